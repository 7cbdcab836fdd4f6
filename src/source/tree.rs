//! A tree of files that can be listed, matched and opened without leaving it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, OnceLock};

use dockerfile::ignore::Patterns;
use oci::layer::open_inside;
use rayon::ThreadPool;
use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat, readlinkat, statat};

use crate::glob;

mod place;

pub use place::Place;

/// Entries in the largest tree read; more is a mistake such as `/` as the context.
const MAX_ENTRIES: usize = 4_000_000;
/// Directories in each other at most; deeper ones cannot be named with PATH_MAX anyway.
const MAX_DEPTH: usize = 1024;
/// Names in a folder that are compared with one that is missing.
const MAX_COMPARED: usize = 10_000;

/// A directory and what of it may be seen.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    shown: PathBuf,
    ignore: Option<Patterns>,
    /// Threads that may read what the user may, where this thread may not.
    reader: OnceLock<Arc<ThreadPool>>,
}

/// One file of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the tree, without `.` and `..`; empty for the tree itself.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, set-id and sticky included.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds and nanoseconds of the last change of the content.
    pub mtime: (i64, u32),
    /// Device and inode, where other names may lead to the same file.
    pub link: Option<(u64, u64)>,
}

/// The kinds of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of so many bytes.
    File(u64),
    /// A directory.
    Directory,
    /// A symbolic link and where it points.
    Symlink(PathBuf),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
}

/// Why a tree could not be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Nothing is there, or nothing matches.
    #[error("{path}: no such file or directory in {tree}{help}")]
    Missing {
        /// What was asked for.
        path: PathBuf,
        /// The tree.
        tree: PathBuf,
        /// What may be meant, from the comma on; empty where nothing comes near.
        help: String,
    },
    /// It is there, but an ignore file leaves it out.
    #[error("{path}: left out of {tree} by its ignore file")]
    Ignored {
        /// What was asked for.
        path: PathBuf,
        /// The tree.
        tree: PathBuf,
    },
    /// The kernel refused.
    #[error("{path}: cannot {action} in {tree}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// The tree.
        tree: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A wildcard that is none.
    #[error("`{pattern}` is not a pattern")]
    Pattern {
        /// The text.
        pattern: String,
        /// What is wrong.
        #[source]
        source: glob::BadPattern,
    },
    /// More than anyone means to copy.
    #[error(
        "{tree}: more than {MAX_ENTRIES} entries, or more than {MAX_DEPTH} directories in each other; leave some out with an ignore file"
    )]
    TooLarge {
        /// The tree.
        tree: PathBuf,
    },
}

impl TreeError {
    fn is_denied(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl Tree {
    /// The tree below `root`; `shown` is its name in messages.
    #[must_use]
    pub fn new(root: OwnedFd, shown: &Path, ignore: Option<Patterns>) -> Self {
        Self { root, shown: shown.to_owned(), ignore, reader: OnceLock::new() }
    }

    /// From now on these threads open what the calling one may not; the first call counts.
    pub fn read_through(&self, threads: &Arc<ThreadPool>) {
        self.reader.get_or_init(|| Arc::clone(threads));
    }

    /// What is left out of it, if anything may be.
    #[must_use]
    pub fn ignored(&self) -> Option<&Patterns> {
        self.ignore.as_ref()
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// The tree's name in messages.
    #[must_use]
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// The paths a COPY source stands for, sorted by bytes: itself, or what its wildcards match.
    ///
    /// # Errors
    /// [`TreeError::Missing`] when there is nothing, [`TreeError::Ignored`] when all of it is left out.
    pub fn matches(&self, source: &OsStr) -> Result<Vec<PathBuf>, TreeError> {
        self.as_reader(|| self.find(source))
    }

    /// What `path` leads to (a symbolic link is followed inside the tree), then everything below it, parents first,
    /// siblings sorted by bytes, without what is ignored.
    ///
    /// # Errors
    /// [`TreeError`] names the first path that could not be read.
    pub fn walk(&self, path: &Path) -> Result<Vec<Entry>, TreeError> {
        self.as_reader(|| {
            let fd = self.open_path(path, OFlags::PATH)?;
            let stat = rustix::fs::fstat(&fd).map_err(|error| self.io(path, "examine a file", error))?;
            let mut entries = vec![self.entry(path, &stat, None)];
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                self.descend(path, 0, &mut entries)?;
            }
            Ok(entries)
        })
    }

    /// Opens a regular file.
    ///
    /// # Errors
    /// [`TreeError`]; a file that became something else meanwhile is an error too.
    pub fn open(&self, path: &Path) -> Result<File, TreeError> {
        self.as_reader(|| {
            // A pipe put in the file's place must not hang us.
            let fd = self.open_path(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
            let stat = rustix::fs::fstat(&fd).map_err(|error| self.io(path, "examine a file", error))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile {
                Ok(File::from(fd))
            } else {
                Err(self.io(path, "open a file that is no longer one", rustix::io::Errno::INVAL))
            }
        })
    }

    /// Where the symbolic link `path` points, as it says; none for anything else, and for what is not there.
    ///
    /// # Errors
    /// [`TreeError::Io`].
    pub fn link(&self, path: &Path) -> Result<Option<PathBuf>, TreeError> {
        use rustix::io::Errno;
        let (Some(name), parent) = (path.file_name(), path.parent().unwrap_or(Path::new(""))) else { return Ok(None) };
        self.as_reader(|| {
            let folder = match self.open_path(parent, OFlags::PATH | OFlags::DIRECTORY) {
                Ok(folder) => folder,
                Err(TreeError::Missing { .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            match readlinkat(&folder, name, Vec::new()) {
                Ok(target) => Ok(Some(PathBuf::from(OsString::from_vec(target.into_bytes())))),
                Err(Errno::INVAL | Errno::NOENT | Errno::NOTDIR) => Ok(None),
                Err(error) => Err(self.io(path, "read a symbolic link", error)),
            }
        })
    }

    /// Reads in this thread, and by the user's threads only what this one may not: going there costs more than a file.
    pub(crate) fn as_reader<T: Send>(
        &self,
        read: impl Fn() -> Result<T, TreeError> + Send + Sync,
    ) -> Result<T, TreeError> {
        match (read(), self.reader.get()) {
            (Err(error), Some(threads)) if error.is_denied() => threads.install(read),
            (result, _) => result,
        }
    }

    pub(crate) fn open_path(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, TreeError> {
        open_inside(self.root.as_fd(), path, flags).map_err(|error| {
            if matches!(error, rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) {
                TreeError::Missing { path: path.to_owned(), tree: self.shown.clone(), help: String::new() }
            } else {
                self.io(path, "open a file", error)
            }
        })
    }

    fn descend(&self, path: &Path, depth: usize, entries: &mut Vec<Entry>) -> Result<(), TreeError> {
        if depth > MAX_DEPTH {
            return Err(TreeError::TooLarge { tree: self.shown.clone() });
        }
        let directory = self.open_path(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        for name in self.names(path, &directory)? {
            let child = path.join(&name);
            let stat = statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| self.io(&child, "examine a file", error))?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let is_ignored = self.is_ignored(&child);
            if !is_ignored {
                if entries.len() >= MAX_ENTRIES {
                    return Err(TreeError::TooLarge { tree: self.shown.clone() });
                }
                entries.push(self.entry(&child, &stat, Some(&directory)));
            }
            if is_directory && (!is_ignored || self.may_hold_exceptions(&child)) {
                let before = entries.len();
                self.descend(&child, depth + 1, entries)?;
                if is_ignored && entries.len() > before {
                    // The directory itself is needed to hold what was brought back.
                    entries.insert(before, self.entry(&child, &stat, None));
                }
            }
        }
        Ok(())
    }

    fn names(&self, path: &Path, directory: &OwnedFd) -> Result<Vec<OsString>, TreeError> {
        let list = || -> rustix::io::Result<Vec<OsString>> {
            let mut names = Vec::new();
            for entry in Dir::read_from(directory)? {
                let name = entry?.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    names.push(OsString::from_vec(name));
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        list().map_err(|error| self.io(path, "list a directory", error))
    }

    pub(crate) fn entry(&self, path: &Path, stat: &Stat, directory: Option<&OwnedFd>) -> Entry {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink(target(directory, path)),
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Kind::Device,
            FileType::RegularFile | FileType::Unknown => Kind::File(u64::try_from(stat.st_size).unwrap_or(0)),
        };
        let is_linked = stat.st_nlink > 1 && matches!(kind, Kind::File(_));
        let nanoseconds = u32::try_from(stat.st_mtime_nsec).unwrap_or(0);
        Entry {
            path: path.to_owned(),
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: (stat.st_mtime, nanoseconds),
            link: is_linked.then_some((stat.st_dev, stat.st_ino)),
        }
    }

    fn is_ignored(&self, path: &Path) -> bool {
        self.ignore.as_ref().is_some_and(|ignore| ignore.matches(&path.to_string_lossy()))
    }

    fn may_hold_exceptions(&self, directory: &Path) -> bool {
        self.ignore.as_ref().is_some_and(|ignore| ignore.could_match_below(&directory.to_string_lossy()))
    }

    fn find(&self, source: &OsStr) -> Result<Vec<PathBuf>, TreeError> {
        let clean = clean(source);
        let missing = || TreeError::Missing {
            path: PathBuf::from(source),
            tree: self.shown.clone(),
            help: self.help(&clean).unwrap_or_default(),
        };
        let found = if glob::is_pattern(clean.as_os_str().as_bytes()) {
            self.expand(&clean)?
        } else {
            self.open_path(&clean, OFlags::PATH)
                .map_err(|error| if matches!(error, TreeError::Missing { .. }) { missing() } else { error })?;
            vec![clean.clone()]
        };
        if found.is_empty() {
            return Err(missing());
        }
        let mut seen = Vec::new();
        for path in found {
            if self.is_seen(&path)? {
                seen.push(path);
            }
        }
        if seen.is_empty() {
            return Err(TreeError::Ignored { path: PathBuf::from(source), tree: self.shown.clone() });
        }
        Ok(seen)
    }

    /// Whether a match is in the tree: it is not left out, or something below it is not.
    fn is_seen(&self, path: &Path) -> Result<bool, TreeError> {
        if !self.is_ignored(path) {
            return Ok(true);
        }
        if !self.may_hold_exceptions(path) {
            return Ok(false);
        }
        match self.walk_unread(path) {
            Ok(entries) => Ok(entries.len() > 1),
            Err(error) if error.is_denied() => Err(error),
            // A file holds nothing.
            Err(_) => Ok(false),
        }
    }

    /// The name most like the one that is missing, where it is missing.
    fn help(&self, path: &Path) -> Option<String> {
        let folder = path.parent()?;
        let directory = self.open_path(folder, OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
        let names = self.names(folder, &directory).ok()?;
        let seen = names.iter().filter(|name| !self.is_ignored(&folder.join(name)));
        let known: Vec<&str> = seen.filter_map(|name| name.to_str()).take(MAX_COMPARED).collect();
        let nearest = dockerfile::nearest(path.file_name()?.to_str()?, known)?;
        Some(format!("; did you mean {}?", folder.join(nearest).display()))
    }

    /// The paths a pattern matches, one component after the other.
    fn expand(&self, pattern: &Path) -> Result<Vec<PathBuf>, TreeError> {
        let mut found = vec![PathBuf::new()];
        for component in pattern.iter() {
            let mut next = Vec::new();
            for base in &found {
                if component == "**" {
                    next.extend(self.directories(base)?);
                } else if glob::is_pattern(component.as_bytes()) {
                    next.extend(self.children_like(base, component)?);
                } else if self.open_path(&base.join(component), OFlags::PATH).is_ok() {
                    next.push(base.join(component));
                }
            }
            next.sort_unstable_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
            next.dedup();
            found = next;
        }
        Ok(found)
    }

    fn children_like(&self, base: &Path, pattern: &OsStr) -> Result<Vec<PathBuf>, TreeError> {
        let Ok(directory) = self.open_path(base, OFlags::RDONLY | OFlags::DIRECTORY) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for name in self.names(base, &directory)? {
            let is_match = glob::component_matches(pattern.as_bytes(), name.as_bytes());
            let pattern = || pattern.to_string_lossy().into_owned();
            if is_match.map_err(|source| TreeError::Pattern { pattern: pattern(), source })? {
                found.push(base.join(name));
            }
        }
        Ok(found)
    }

    fn directories(&self, base: &Path) -> Result<Vec<PathBuf>, TreeError> {
        let below = self.walk_unread(base)?;
        let directories = below.into_iter().filter(|entry| entry.kind == Kind::Directory).map(|entry| entry.path);
        Ok(directories.collect())
    }

    fn walk_unread(&self, base: &Path) -> Result<Vec<Entry>, TreeError> {
        let fd = self.open_path(base, OFlags::PATH)?;
        let stat = rustix::fs::fstat(&fd).map_err(|error| self.io(base, "examine a file", error))?;
        let mut entries = vec![self.entry(base, &stat, None)];
        self.descend(base, 0, &mut entries)?;
        Ok(entries)
    }

    pub(crate) fn io(&self, path: &Path, action: &'static str, error: rustix::io::Errno) -> TreeError {
        TreeError::Io { path: path.to_owned(), tree: self.shown.clone(), action, source: error.into() }
    }
}

/// A link that vanished meanwhile points nowhere.
fn target(directory: Option<&OwnedFd>, path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let read = directory.and_then(|directory| readlinkat(directory, name, Vec::new()).ok());
    read.map(|target| PathBuf::from(OsString::from_vec(target.into_bytes()))).unwrap_or_default()
}

/// A source without `.`, `..` and leading slashes: nothing above the tree can be named.
fn clean(source: &OsStr) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in Path::new(source).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    clean
}
