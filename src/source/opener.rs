//! Opening many files of a tree, one directory after the other.
//!
//! Finding a file from the top of its tree costs more than reading a small one. An [`Opener`] keeps the directory it
//! was last asked for open, so that files that come a directory at a time cost one call each.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fgetxattr, flistxattr, fstat, openat};
use rustix::io::Errno;

use crate::{Entry, Tree, TreeError};

/// Bytes in the longest list of names, and in the largest value, that Linux keeps.
const MAX_XATTR: usize = 64 << 10;

/// Opens files of one tree.
#[derive(Debug)]
pub struct Opener<'t> {
    tree: &'t Tree,
    parent: Option<(PathBuf, OwnedFd)>,
}

/// A regular file that is open for reading.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: File,
    /// Its size in bytes when it was opened.
    pub size: u64,
}

/// An extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name, with the `user.`.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

impl Tree {
    /// Opens files of this tree.
    #[must_use]
    pub fn opener(&self) -> Opener<'_> {
        Opener { tree: self, parent: None }
    }

    /// What `path` leads to (a symbolic link is followed inside the tree), without what is below it.
    ///
    /// # Errors
    /// [`TreeError`] when it cannot be read.
    pub fn look_at(&self, path: &Path) -> Result<Entry, TreeError> {
        self.as_reader(|| {
            let fd = self.open_path(path, OFlags::PATH)?;
            let stat = fstat(&fd).map_err(|error| self.io(path, "examine a file", error))?;
            Ok(self.entry(path, &stat, None))
        })
    }

    /// The `user.*` attributes of the open file `path` with their values; those of overlay and of this program are
    /// not the file's own.
    ///
    /// # Errors
    /// [`TreeError::Io`].
    pub fn user_xattrs(&self, path: &Path, file: BorrowedFd<'_>) -> Result<Vec<Attribute>, TreeError> {
        // Whoever may not open the file may not see them either, though it was opened by another thread.
        self.as_reader(|| {
            user_xattrs(file).map_err(|error| self.io(path, "read the extended attributes of a file", error))
        })
    }
}

fn user_xattrs(file: BorrowedFd<'_>) -> rustix::io::Result<Vec<Attribute>> {
    let mut short = [0; 1024];
    let mut long = Vec::new();
    let names = match flistxattr(file, &mut short[..]) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
        Ok(length) => short.get(..length),
        Err(Errno::RANGE) => {
            long.resize(MAX_XATTR, 0);
            let length = flistxattr(file, &mut long[..])?;
            long.get(..length)
        }
        Err(error) => return Err(error),
    };
    let is_own = |name: &&[u8]| {
        let is_reserved = name.starts_with(b"user.overlay.") || name.starts_with(b"user.stratum.");
        name.starts_with(b"user.") && !is_reserved
    };
    let value = |name: &[u8]| {
        let mut value = vec![0; MAX_XATTR];
        let length = fgetxattr(file, name, &mut value[..])?;
        value.truncate(length);
        Ok(Attribute { name: name.to_vec(), value })
    };
    names.unwrap_or_default().split(|byte| *byte == 0).filter(is_own).map(value).collect()
}

impl Opener<'_> {
    /// Opens the regular file at `path`.
    ///
    /// # Errors
    /// [`TreeError`]; a file that became something else meanwhile is an error too.
    pub fn open(&mut self, path: &Path) -> Result<Opened, TreeError> {
        let (tree, name) = (self.tree, path.file_name().unwrap_or_default());
        // A pipe put in the file's place must not hang us.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = self.parent(path.parent().unwrap_or(Path::new("")))?;
        let file = match openat(parent, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            // A link to be followed, or a file that only the user's threads may read.
            Err(_) => tree.open(path)?,
        };
        let stat = fstat(&file).map_err(|error| tree.io(path, "examine a file", error))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(tree.io(path, "open a file that is no longer one", Errno::INVAL));
        }
        Ok(Opened { file, size: u64::try_from(stat.st_size).unwrap_or(0) })
    }

    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn open_directory(&mut self, path: &Path) -> Result<BorrowedFd<'_>, TreeError> {
        self.parent(path)
    }

    fn parent(&mut self, directory: &Path) -> Result<BorrowedFd<'_>, TreeError> {
        let is_open =
            |(path, _): &(PathBuf, OwnedFd)| AsRef::<OsStr>::as_ref(path) == AsRef::<OsStr>::as_ref(directory);
        if !self.parent.as_ref().is_some_and(is_open) {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let opened = self.tree.as_reader(|| self.tree.open_path(directory, flags))?;
            self.parent = Some((directory.to_owned(), opened));
        }
        Ok(self.parent.as_ref().map_or(self.tree.root(), |(_, fd)| fd.as_fd()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_opened_wherever_they_are_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        for name in ["a", "sub/b", "sub/c"] {
            std::fs::write(at(name), name).unwrap();
        }
        std::os::unix::fs::symlink("../a", at("sub/link")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", at("sub/out")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, at("sub/fifo"), Mode::from_raw_mode(0o600)).unwrap();
        let tree = Tree::new(File::open(directory.path()).unwrap().into(), Path::new("context"), None);
        let mut opener = tree.opener();
        let mut read = |path: &str| {
            let opened = opener.open(Path::new(path))?;
            std::io::read_to_string(opened.file).map(|text| (text, opened.size)).map_err(|_| TreeError::Missing {
                path: path.into(),
                tree: "unread".into(),
                help: String::new(),
            })
        };
        for (path, text) in [("a", "a"), ("sub/b", "sub/b"), ("sub/c", "sub/c"), ("sub/link", "a"), ("a", "a")] {
            assert_eq!(read(path).unwrap(), (text.to_owned(), text.len() as u64), "{path}");
        }
        for path in ["sub/out", "sub/fifo", "sub", "none", "none/x"] {
            assert!(read(path).is_err(), "{path}");
        }
        assert!(opener.open_directory(Path::new("sub")).is_ok());
        let file = File::open(at("a")).unwrap();
        let name = "user.note";
        if rustix::fs::fsetxattr(&file, name, b"kept", rustix::fs::XattrFlags::empty()).is_ok() {
            let found = tree.user_xattrs(Path::new("a"), file.as_fd()).unwrap();
            assert_eq!(found, [Attribute { name: name.into(), value: b"kept".to_vec() }]);
        }
        assert_eq!(tree.look_at(Path::new("sub/link")).unwrap().kind, crate::Kind::File(1));
    }
}
