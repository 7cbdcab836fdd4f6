//! A tar that holds an image, read by seeking and written for others to read.
//!
//! Comes in: an open file that is a tar of anybody. Goes out: where each regular file in it lies, so that it can be read
//! without unpacking anything. It never makes a file whose name the tar chose, follows a link once and only within
//! the tar, and refuses names that lead upwards and names that are there twice: readers differ in what those mean.

mod write;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::layer::archive::{Archive, Kind, Member};
use crate::layer::{ArchiveError, Limits, NameError, clean, shown, split};
use crate::parts::Part;

pub use write::{Content, write};

/// What a tar that holds an image may ask of this machine.
const LIMITS: Limits =
    Limits { unpacked_bytes: 1 << 50, entries: 100_000, path_length: 4095, path_depth: 64, remembered_bytes: 16 << 20 };

/// A tar whose files are known by name.
#[derive(Debug)]
pub struct Tarball {
    path: PathBuf,
    file: Arc<File>,
    members: BTreeMap<Vec<u8>, Found>,
}

#[derive(Debug)]
enum Found {
    File {
        start: u64,
        size: u64,
    },
    /// The cleaned name it leads to, or the target as it is where that leads out.
    Link(Result<Vec<u8>, Vec<u8>>),
    Directory,
}

/// Why a tar cannot be taken for an image.
#[derive(Debug, thiserror::Error)]
pub enum TarballError {
    /// The file cannot be read.
    #[error("{path}: cannot read it: {source}", path = path.display())]
    Read {
        /// The tar.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No tar, or a damaged one.
    #[error("{path}: {source}", path = path.display())]
    Archive {
        /// The tar.
        path: PathBuf,
        /// What is wrong, and where.
        source: ArchiveError,
    },
    /// An entry that leads out of the tar, or has a name that no file can have.
    #[error("{path}: the entry `{name}` has a name that cannot be used: {why}", path = path.display(), name = name.display())]
    Name {
        /// The tar.
        path: PathBuf,
        /// The entry.
        name: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Two entries of one name: which one counts depends on the reader.
    #[error("{path}: the entry `{name}` is there twice", path = path.display(), name = name.display())]
    Twice {
        /// The tar.
        path: PathBuf,
        /// The entry.
        name: PathBuf,
    },
    /// A device, a pipe or a file with holes, which no image archive has.
    #[error("{path}: the entry `{name}` is {what}, which no image archive has", path = path.display(), name = name.display())]
    Kind {
        /// The tar.
        path: PathBuf,
        /// The entry.
        name: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// Names that take too much memory.
    #[error("{path}: its names take more than the {limit} bytes allowed", path = path.display())]
    Names {
        /// The tar.
        path: PathBuf,
        /// How much is allowed.
        limit: usize,
    },
    /// The file ends before an entry does.
    #[error("{path}: the tar ends before its entry `{name}` does: it is cut short", path = path.display(), name = name.display())]
    CutShort {
        /// The tar.
        path: PathBuf,
        /// The entry.
        name: PathBuf,
    },
    /// A link to what is not a file of the tar.
    #[error("{path}: the entry `{name}` is a link to `{target}`, which is no file of the archive", path = path.display(), name = name.display(), target = target.display())]
    Link {
        /// The tar.
        path: PathBuf,
        /// The link.
        name: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
}

impl Tarball {
    /// Finds the files in the tar `file`, which is called `path`. Only headers are read.
    ///
    /// # Errors
    /// [`TarballError`] names the first entry that cannot be.
    pub fn index(path: &Path, file: File) -> Result<Self, TarballError> {
        let unreadable = |source| TarballError::Read { path: path.to_owned(), source };
        let length = file.metadata().map_err(unreadable)?.len();
        let mut own = file.try_clone().map_err(unreadable)?;
        own.rewind().map_err(unreadable)?;
        let mut index = Index { path, length, members: BTreeMap::new(), remembered: 0 };
        let damaged = |source| TarballError::Archive { path: path.to_owned(), source };
        let mut archive = Archive::new(own, &LIMITS);
        while let Some(member) = archive.next().map_err(damaged)? {
            index.add(&member, archive.extent())?;
            archive.skip().map_err(damaged)?;
        }
        Ok(Self { path: path.to_owned(), file: Arc::new(file), members: index.members })
    }

    /// What it is called.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The regular file `name`, or the one a link of that name leads to; `None` if there is no entry of that name.
    ///
    /// # Errors
    /// [`TarballError::Link`], [`TarballError::Kind`].
    pub fn part(&self, name: &str) -> Result<Option<Part>, TarballError> {
        let Ok(cleaned) = cleaned(name.as_bytes()) else { return Ok(None) };
        match self.members.get(&cleaned) {
            None => Ok(None),
            Some(Found::File { start, size }) => Ok(Some(Part::new(Arc::clone(&self.file), *start, *size))),
            Some(Found::Link(target)) => self.linked(name, target).map(Some),
            Some(Found::Directory) => {
                Err(TarballError::Kind { path: self.path.clone(), name: name.into(), what: "a directory" })
            }
        }
    }

    fn linked(&self, name: &str, target: &Result<Vec<u8>, Vec<u8>>) -> Result<Part, TarballError> {
        let found = target.as_ref().ok().and_then(|target| self.members.get(target));
        match found {
            Some(Found::File { start, size }) => Ok(Part::new(Arc::clone(&self.file), *start, *size)),
            Some(Found::Link(_) | Found::Directory) | None => {
                let target = target.as_ref().unwrap_or_else(|target| target);
                Err(TarballError::Link { path: self.path.clone(), name: name.into(), target: shown(target) })
            }
        }
    }
}

/// The members of a tar while they are found.
struct Index<'a> {
    path: &'a Path,
    length: u64,
    members: BTreeMap<Vec<u8>, Found>,
    remembered: usize,
}

impl Index<'_> {
    fn add(&mut self, member: &Member, extent: Option<(u64, u64)>) -> Result<(), TarballError> {
        let (path, name) = (|| self.path.to_owned(), || shown(&member.path));
        let cleaned = cleaned(&member.path).map_err(|why| TarballError::Name { path: path(), name: name(), why })?;
        let found = self.found(member, &cleaned, extent)?;
        self.remember(cleaned.len() + member.link.len())?;
        let is_directory = matches!(found, Found::Directory);
        match self.members.insert(cleaned, found) {
            None => Ok(()),
            Some(Found::Directory) if is_directory => Ok(()),
            Some(_) => Err(TarballError::Twice { path: path(), name: name() }),
        }
    }

    fn found(&self, member: &Member, cleaned: &[u8], extent: Option<(u64, u64)>) -> Result<Found, TarballError> {
        let (path, name) = (|| self.path.to_owned(), || shown(&member.path));
        match member.kind {
            Kind::Directory => Ok(Found::Directory),
            Kind::Symlink => Ok(Found::Link(resolved(cleaned, &member.link))),
            Kind::HardLink => Ok(Found::Link(self::cleaned(&member.link).map_err(|_| member.link.clone()))),
            Kind::Regular => {
                let no_holes = TarballError::Kind { path: path(), name: name(), what: "a file with holes" };
                let (start, size) = extent.ok_or(no_holes)?;
                let is_whole = start.checked_add(size).is_some_and(|end| end <= self.length);
                if is_whole {
                    Ok(Found::File { start, size })
                } else {
                    Err(TarballError::CutShort { path: path(), name: name() })
                }
            }
            Kind::Character | Kind::Block | Kind::Fifo => {
                Err(TarballError::Kind { path: path(), name: name(), what: "a device or a pipe" })
            }
        }
    }

    fn remember(&mut self, bytes: usize) -> Result<(), TarballError> {
        const OVERHEAD: usize = 96;
        let limit = LIMITS.remembered_bytes;
        self.remembered = self.remembered.saturating_add(bytes).saturating_add(OVERHEAD);
        let is_too_much = self.remembered > limit;
        if is_too_much { Err(TarballError::Names { path: self.path.to_owned(), limit }) } else { Ok(()) }
    }
}

/// The name without `.` and doubled slashes; one that leads upwards or is nobody's is refused.
fn cleaned(name: &[u8]) -> Result<Vec<u8>, String> {
    if name.split(|byte| *byte == b'/').any(|component| component == b"..") {
        return Err("it leads out of its directory".to_owned());
    }
    clean(name, &LIMITS).map_err(|why: NameError| why.to_string())
}

/// Where the symlink `name` leads; the target as it is where that is outside.
fn resolved(name: &[u8], target: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
    let outside = || target.to_vec();
    if target.starts_with(b"/") {
        return Err(outside());
    }
    let mut parts: Vec<&[u8]> = match split(name) {
        Some((directory, _)) => directory.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).collect(),
        None => Vec::new(),
    };
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop().ok_or_else(outside)?),
            part => parts.push(part),
        }
    }
    cleaned(&parts.join(&b'/')).map_err(|_| outside())
}

#[cfg(test)]
mod tests;
