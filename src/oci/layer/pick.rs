//! Reading a few files out of a whole image without unpacking it.
//!
//! Comes in: the layers' tars, base first, and which paths are wanted. Goes out: the wanted files as the image shows
//! them, contents in numbered files of a directory the caller gives. It never follows symlinks, and makes no file
//! whose name a layer chose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::archive::{Archive, ArchiveError, Kind, Member, Piece};
use super::{AUFS, Limits, NameError, OPAQUE_WHITEOUT, WHITEOUT, clean, shown, split};

/// What picking may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickLimits {
    /// What each layer may ask for.
    pub layer: Limits,
    /// Bytes of all files picked, also of those that a later layer replaces.
    pub picked_bytes: u64,
    /// Files picked, counted likewise.
    pub picked_files: u64,
}

impl Default for PickLimits {
    fn default() -> Self {
        Self { layer: Limits::default(), picked_bytes: 4 << 30, picked_files: 100_000 }
    }
}

/// What is at a wanted path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PickedFile {
    /// A regular file.
    Regular {
        /// Where its content is: a file in the picker's directory, shared by hard links.
        content: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// Its permission bits.
        mode: u32,
    },
    /// A symlink, not followed.
    Symlink {
        /// Where it leads, as the layer says.
        target: PathBuf,
    },
    /// A directory.
    Directory,
    /// A device or named pipe.
    Special,
}

/// Why files could not be picked.
#[derive(Debug, thiserror::Error)]
pub enum PickError {
    /// The tar cannot be read, is malformed, or too large.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A name that no file can have.
    #[error("{path}: the layer has an entry of this name, which cannot be used: {why}", path = path.display())]
    Name {
        /// The name as it is in the tar.
        path: PathBuf,
        /// What is wrong with it.
        why: NameError,
    },
    /// More than [`PickLimits`] allows.
    #[error("{path}: with this file more than {limit} {what} would be read out of the image", path = path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
    /// The content could not be kept.
    #[error("{path}: cannot write what was read from the image: {source}", path = path.display())]
    Write {
        /// The file in the picker's directory.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Collects wanted files while layers go by.
///
/// A wanted file must be reached by its real path: directories that are symlinks in the image are not followed. A
/// hard link is only found if its target is wanted too.
pub struct Picker<F> {
    directory: PathBuf,
    is_wanted: F,
    limits: PickLimits,
    files: BTreeMap<Vec<u8>, PickedFile>,
    picked_bytes: u64,
    picked_files: u64,
}

impl<F> std::fmt::Debug for Picker<F> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Picker").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl<F: Fn(&Path) -> bool> Picker<F> {
    /// A picker that keeps contents in `directory`, which must exist and be the picker's alone.
    ///
    /// `is_wanted` sees paths without a leading slash.
    pub fn new(directory: &Path, limits: PickLimits, is_wanted: F) -> Self {
        let directory = directory.to_owned();
        Self { directory, is_wanted, limits, files: BTreeMap::new(), picked_bytes: 0, picked_files: 0 }
    }

    /// Reads the next layer, up to its end mark; layers come base first.
    ///
    /// # Errors
    /// [`PickError`] names the entry.
    pub fn layer(&mut self, tar: impl Read) -> Result<(), PickError> {
        let limits = self.limits.layer.clone();
        let mut archive = Archive::new(tar, &limits);
        // What this layer itself has; whiteouts only hide what lower layers have.
        let mut own: BTreeSet<Vec<u8>> = BTreeSet::new();
        while let Some(member) = archive.next()? {
            let path =
                clean(&member.path, &limits).map_err(|why| PickError::Name { path: shown(&member.path), why })?;
            let Some((directory, name)) = split(&path) else { continue };
            if name.starts_with(WHITEOUT) {
                self.whiteout(directory, name, &own);
                continue;
            }
            if member.kind != Kind::Directory {
                self.hide(&path, &BTreeSet::new(), Depth::Inside);
            }
            self.files.remove(&path);
            if (self.is_wanted)(&shown(&path)) && self.pick(&path, &member, &mut archive)? {
                own.insert(path);
            }
        }
        Ok(())
    }

    /// What was picked, by path without a leading slash.
    #[must_use]
    pub fn finish(self) -> BTreeMap<PathBuf, PickedFile> {
        self.files.into_iter().map(|(path, file)| (shown(&path), file)).collect()
    }

    fn whiteout(&mut self, directory: &[u8], name: &[u8], own: &BTreeSet<Vec<u8>>) {
        if name == OPAQUE_WHITEOUT {
            self.hide(directory, own, Depth::Inside);
        } else if !name.starts_with(AUFS) {
            let name = name.strip_prefix(WHITEOUT).unwrap_or_default();
            let hidden = if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() };
            self.hide(&hidden, own, Depth::Whole);
        }
    }

    /// Forgets what is inside `path`, and itself if asked, except for what is in `kept`.
    fn hide(&mut self, path: &[u8], kept: &BTreeSet<Vec<u8>>, depth: Depth) {
        if depth == Depth::Whole && !kept.contains(path) {
            self.files.remove(path);
        }
        let (first, last) = match path {
            [] => (Vec::new(), None),
            path => ([path, b"/"].concat(), Some([path, b"0"].concat())),
        };
        let inside = self.files.range(first..).map(|(path, _)| path);
        let inside = inside.take_while(|path| last.as_ref().is_none_or(|last| *path < last));
        let hidden: Vec<Vec<u8>> = inside.filter(|path| !kept.contains(*path)).cloned().collect();
        for path in hidden {
            self.files.remove(&path);
        }
    }

    /// Keeps a wanted entry; `false` if there is nothing to keep.
    fn pick<R: Read>(&mut self, path: &[u8], member: &Member, archive: &mut Archive<'_, R>) -> Result<bool, PickError> {
        self.picked_files += 1;
        let limit = self.limits.picked_files;
        if self.picked_files > limit {
            return Err(PickError::Limit { path: shown(path), what: "files", limit });
        }
        let picked = match member.kind {
            Kind::Regular => self.content(path, member, archive)?,
            Kind::Directory => PickedFile::Directory,
            Kind::Symlink => PickedFile::Symlink { target: shown(&member.link) },
            Kind::Character | Kind::Block | Kind::Fifo => PickedFile::Special,
            Kind::HardLink => {
                let target = clean(&member.link, &self.limits.layer)
                    .map_err(|why| PickError::Name { path: shown(&member.link), why })?;
                match self.files.get(&target) {
                    Some(file) => file.clone(),
                    None => return Ok(false),
                }
            }
        };
        self.files.insert(path.to_vec(), picked);
        Ok(true)
    }

    fn content<R: Read>(
        &mut self,
        path: &[u8],
        member: &Member,
        archive: &mut Archive<'_, R>,
    ) -> Result<PickedFile, PickError> {
        self.picked_bytes = self.picked_bytes.saturating_add(member.size);
        let limit = self.limits.picked_bytes;
        if self.picked_bytes > limit {
            return Err(PickError::Limit { path: shown(path), what: "bytes", limit });
        }
        let content = self.directory.join(self.picked_files.to_string());
        let failed = |source| PickError::Write { path: content.clone(), source };
        let mut file = create(&content).map_err(failed)?;
        archive.content(|piece| match piece {
            Piece::Bytes(bytes) => file.write_all(bytes).map_err(failed),
            Piece::Hole(length) => {
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                file.seek(SeekFrom::Current(length)).map(drop).map_err(failed)
            }
        })?;
        file.set_len(member.size).map_err(failed)?;
        let (size, mode) = (member.size, member.mode);
        Ok(PickedFile::Regular { content, size, mode })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Inside,
    Whole,
}

fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    OpenOptions::new().write(true).create_new(true).open(path)
}

#[cfg(test)]
mod tests;
