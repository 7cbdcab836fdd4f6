//! Where an artifact goes: a path that stays below its directory.

use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use oci::Digest;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, fchmod, mkdirat, openat, renameat_with, unlinkat};
use rustix::io::Errno;

use super::ArtifactError;

/// Bytes in the longest path.
const MAX_PATH: usize = 1024;
/// Bytes in the longest name of a file.
const MAX_NAME: usize = 255;
/// What a download is called until its checksums are right, before some digits.
const PARTIAL: &str = ".stratum-partial-";

/// A relative path of names, displayed with slashes between them. None of the names is empty, `.` or `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    folders: Vec<String>,
    name: String,
}

/// Why a text is no [`Target`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It begins with a slash.
    #[error("it is an absolute path")]
    Absolute,
    /// A part of it is `..`.
    #[error("a part of it is `..`, which leads out of the folder")]
    Upwards,
    /// A part of it is nothing, or `.`, or has a character that no name should have.
    #[error("a part of it is no name of a file")]
    Name,
    /// It is longer than paths may be.
    #[error("it is too long")]
    Long,
}

impl Target {
    /// The path `text` below the folder `folder`, whose name is a plain one.
    ///
    /// # Errors
    /// [`TargetError`] for what would lead out of the folder, or names no file.
    pub fn below(folder: &str, text: &str) -> Result<Self, TargetError> {
        if text.len() > MAX_PATH {
            return Err(TargetError::Long);
        }
        if text.starts_with('/') {
            return Err(TargetError::Absolute);
        }
        if text.split('/').any(|part| part == "..") {
            return Err(TargetError::Upwards);
        }
        let is_name =
            |part: &&str| !matches!(*part, "" | ".") && part.len() <= MAX_NAME && !part.chars().any(char::is_control);
        let mut parts: Vec<String> = text.split('/').take_while(is_name).map(str::to_owned).collect();
        match parts.pop() {
            Some(name) if parts.len() + 1 == text.split('/').count() => {
                parts.insert(0, folder.to_owned());
                Ok(Self { folders: parts, name })
            }
            Some(_) | None => Err(TargetError::Name),
        }
    }

    pub(super) fn failure(&self, action: &'static str, source: io::Error) -> ArtifactError {
        ArtifactError::Io { path: self.to_string(), action, source }
    }

    /// Its folder in `directory`, made where it is not there; no symbolic link is followed.
    pub(super) fn open(&self, directory: &Path) -> Result<Place<'_>, ArtifactError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |action| move |error: Errno| self.failure(action, error.into());
        let mut folder = openat(CWD, directory, flags, Mode::empty()).map_err(failed("open the clone for"))?;
        for name in &self.folders {
            match mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed("make a folder for")(error)),
            }
            let below = openat(&folder, name, flags | OFlags::NOFOLLOW, Mode::empty());
            folder = below.map_err(|error| match error {
                Errno::LOOP | Errno::NOTDIR => {
                    ArtifactError::InTheWay { path: self.to_string(), what: format!("{name}, which is no folder") }
                }
                error => failed("open a folder for")(error),
            })?;
        }
        let digest = Digest::of(self.to_string().as_bytes());
        let partial = format!("{PARTIAL}{}", digest.hex().get(..16).unwrap_or_default());
        Ok(Place { target: self, folder, partial })
    }
}

impl Display for Target {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.folders.iter().try_for_each(|folder| write!(formatter, "{folder}/"))?;
        formatter.write_str(&self.name)
    }
}

/// An open folder, and the file that is to be in it.
pub(super) struct Place<'t> {
    target: &'t Target,
    folder: OwnedFd,
    partial: String,
}

impl Place<'_> {
    /// A new file under a name of its own. What an earlier, killed run left is removed first.
    pub(super) fn create(&self) -> Result<File, ArtifactError> {
        const MODE: Mode = Mode::from_raw_mode(0o644);
        let failed = |error: Errno| self.target.failure("create a file for", error.into());
        match unlinkat(&self.folder, &self.partial, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(failed(error)),
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&self.folder, &self.partial, flags, MODE).map_err(failed)?;
        // The umask took part in the mode above.
        fchmod(&file, MODE).map_err(failed)?;
        Ok(File::from(file))
    }

    /// Gives the file its name, unless something has it already.
    pub(super) fn name_it(&self) -> Result<(), ArtifactError> {
        let (folder, name) = (&self.folder, self.target.name.as_str());
        match renameat_with(folder, &self.partial, folder, name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => {
                let what = "a file or folder of that name".to_owned();
                Err(ArtifactError::InTheWay { path: self.target.to_string(), what })
            }
            Err(error) => Err(self.target.failure("name", error.into())),
        }
    }

    /// Removes a file that is not to be there.
    pub(super) fn discard(&self) {
        // The error that led here is the one to tell; a leftover is removed by the next run.
        let _ = unlinkat(&self.folder, &self.partial, AtFlags::empty());
    }
}
