//! The tree that is written: one entry after the other, in few calls each.
//!
//! What is in the way of an entry is replaced, whatever it is, as buildah has it; only directories are merged.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci::layer::remove_tree;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, chmodat, fchmod, fstat, futimens, linkat,
    mkdirat, mkfifoat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use source::{Entry, Kind, Opened, Opener, Tree};

use super::content::{Contents, set_xattrs};
use super::place::open_directory;
use super::{Copied, CopyError, CopyRequest, io_error};
use crate::owner::{Ids, Owners};

pub(super) struct Target<'a> {
    root: BorrowedFd<'a>,
    owners: Owners,
    request: &'a CopyRequest,
    tree: &'a Tree,
    opener: Opener<'a>,
    contents: Contents,
    pub(super) copied: Copied,
    /// First copy of files that have several names, relative to `root`.
    links: HashMap<(u64, u64), PathBuf>,
    /// The directory last written to, kept open: files come a directory at a time.
    parent: Option<(PathBuf, OwnedFd)>,
    /// What directories get when nothing more is written into them.
    directories: Vec<Deferred>,
}

/// The last touch of a directory.
struct Deferred {
    path: PathBuf,
    /// Set only now where the owner could not write into it otherwise.
    mode: Option<u32>,
    mtime: (i64, u32),
}

impl<'a> Target<'a> {
    pub(super) fn new(root: BorrowedFd<'a>, tree: &'a Tree, request: &'a CopyRequest, owners: Owners) -> Self {
        Self {
            root,
            owners,
            request,
            tree,
            opener: tree.opener(),
            contents: Contents::new(request.digests),
            copied: Copied::default(),
            links: HashMap::new(),
            parent: None,
            directories: Vec::new(),
        }
    }

    /// Writes one entry to `to`, relative to the root; its parent is there.
    pub(super) fn write(&mut self, to: &Path, entry: &Entry) -> Result<(), CopyError> {
        match &entry.kind {
            Kind::Directory => return self.directory(to, entry),
            Kind::Socket => {
                tracing::warn!(path = %entry.path.display(), "socket not copied: an image cannot hold one");
                return Ok(());
            }
            Kind::Device => return Err(CopyError::Device { path: entry.path.clone() }),
            Kind::File(_) => match entry.link.and_then(|link| self.links.get(&link).cloned()) {
                Some(first) => self.hard_link(to, &first)?,
                None => self.regular(to, entry)?,
            },
            Kind::Symlink(target) => self.symlink(to, entry, target)?,
            Kind::Fifo => self.fifo(to, entry)?,
        }
        self.copied.files += 1;
        Ok(())
    }

    /// Ends a source: gives directories their times, children are written by now, and forgets its hard links.
    pub(super) fn end_source(&mut self) -> Result<(), CopyError> {
        self.links.clear();
        for Deferred { path, mode, mtime } in std::mem::take(&mut self.directories).into_iter().rev() {
            let (parent, name) = self.parent(&path)?;
            if let Some(mode) = mode {
                chmodat(parent, name, Mode::from_raw_mode(mode), AtFlags::empty())
                    .map_err(|error| io_error(&path, "set the mode of a directory", error))?;
            }
            self.set_times(&path, mtime)?;
        }
        Ok(())
    }

    fn directory(&mut self, to: &Path, entry: &Entry) -> Result<(), CopyError> {
        let failed = |action| move |error: Errno| io_error(to, action, error);
        let (parent, name) = self.parent(to)?;
        let made = match mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Err(Errno::EXIST) if is_directory(parent, name) => Err(Errno::EXIST),
            Err(Errno::EXIST) => {
                unlinkat(parent, name, AtFlags::empty()).map_err(failed("replace a file by a directory"))?;
                mkdirat(parent, name, Mode::from_raw_mode(0o700))
            }
            made => made,
        };
        let is_there = made == Err(Errno::EXIST);
        if !is_there {
            made.map_err(failed("make a directory"))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(parent, name, flags, Mode::empty()).map_err(failed("open a directory"))?;
        let (owner, mode) = self.request.attributes(entry);
        if is_there {
            self.owners.forget(directory.as_fd()).map_err(failed("set the owner of a directory"))?;
        }
        self.own(&directory, owner).map_err(failed("set the owner of a directory"))?;
        let attributes = self.tree.user_xattrs(&entry.path, self.opener.open_directory(&entry.path)?)?;
        set_xattrs(&directory, &attributes).map_err(failed("set an extended attribute of a directory"))?;
        let is_usable = mode & 0o300 == 0o300;
        if is_usable {
            fchmod(&directory, Mode::from_raw_mode(mode)).map_err(failed("set the mode of a directory"))?;
        }
        let mtime = self.request.mtime(entry);
        self.directories.push(Deferred { path: to.to_owned(), mode: (!is_usable).then_some(mode), mtime });
        // What is in it comes next.
        self.parent = Some((to.to_owned(), directory));
        Ok(())
    }

    fn regular(&mut self, to: &Path, entry: &Entry) -> Result<(), CopyError> {
        let failed = |action| move |error: Errno| io_error(to, action, error);
        let Opened { file: mut from, size } = self.opener.open(&entry.path)?;
        let (owner, mode) = self.request.attributes(entry);
        // Attributes below need a file its owner may write.
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create_mode = Mode::from_raw_mode(mode & 0o777 | 0o600);
        let made = self.create(to, "create a file", |parent, name| openat(parent, name, flags, create_mode))?;
        let mut file = File::from(made);
        let (bytes, digest) = self.contents.copy(&mut from, size, &mut file).map_err(|source| CopyError::Io {
            path: Path::new("/").join(to),
            action: "write a file",
            source,
        })?;
        let is_right = self.own(&file, owner).map_err(failed("set the owner of a file"))? == mode;
        let attributes = self.tree.user_xattrs(&entry.path, from.as_fd())?;
        set_xattrs(&file, &attributes).map_err(failed("set an extended attribute of a file"))?;
        if !is_right || mode & 0o7000 != 0 {
            // After the owner: changing that clears set-id bits.
            fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed("set the mode of a file"))?;
        }
        futimens(&file, &timestamps(self.request.mtime(entry))).map_err(failed("set the time of a file"))?;
        self.copied.bytes += bytes;
        self.copied.digests.extend(digest.map(|digest| (entry.path.clone(), digest)));
        if let Some(link) = entry.link {
            self.links.insert(link, to.to_owned());
        }
        Ok(())
    }

    fn hard_link(&mut self, to: &Path, first: &Path) -> Result<(), CopyError> {
        let root = self.root;
        let link = |parent: BorrowedFd<'_>, name: &OsStr| linkat(root, first, parent, name, AtFlags::empty());
        self.create(to, "make a hard link", link)
    }

    fn symlink(&mut self, to: &Path, entry: &Entry, target: &Path) -> Result<(), CopyError> {
        self.create(to, "make a symbolic link", |parent, name| symlinkat(target, parent, name))?;
        let (owners, (owner, _)) = (self.owners, self.request.attributes(entry));
        let (parent, name) = self.parent(to)?;
        owners.set(parent, name, owner).map_err(|error| io_error(to, "set the owner of a symbolic link", error))?;
        self.set_times(to, self.request.mtime(entry))
    }

    fn fifo(&mut self, to: &Path, entry: &Entry) -> Result<(), CopyError> {
        let failed = |action| move |error: Errno| io_error(to, action, error);
        let (owner, mode) = self.request.attributes(entry);
        let mode = Mode::from_raw_mode(mode);
        self.create(to, "make a named pipe", |parent, name| mkfifoat(parent, name, mode))?;
        let owners = self.owners;
        let (parent, name) = self.parent(to)?;
        owners.set(parent, name, owner).map_err(failed("set the owner of a named pipe"))?;
        // Whatever the umask took away.
        chmodat(parent, name, mode, AtFlags::empty()).map_err(failed("set the mode of a named pipe"))?;
        self.set_times(to, self.request.mtime(entry))
    }

    /// Makes something new at `to`; what is in the way goes.
    fn create<T>(
        &mut self,
        to: &Path,
        action: &'static str,
        make: impl Fn(BorrowedFd<'_>, &OsStr) -> rustix::io::Result<T>,
    ) -> Result<T, CopyError> {
        let (parent, name) = self.parent(to)?;
        let made = match make(parent, name) {
            Err(Errno::EXIST) => {
                let removed = match unlinkat(parent, name, AtFlags::empty()) {
                    Err(Errno::ISDIR) => remove_tree(parent, name.as_bytes()),
                    removed => removed,
                };
                removed.map_err(|error| io_error(to, "replace a file", error))?;
                make(parent, name)
            }
            made => made,
        };
        made.map_err(|error| io_error(to, action, error))
    }

    /// Gives an open file its owner, and returns the mode it then has.
    fn own(&self, file: impl AsFd, owner: Ids) -> rustix::io::Result<u32> {
        let stat = fstat(&file)?;
        if self.owners == Owners::Recorded || (stat.st_uid, stat.st_gid) != (owner.uid, owner.gid) {
            self.owners.set_open(file.as_fd(), owner)?;
        }
        Ok(stat.st_mode & 0o7777)
    }

    fn set_times(&mut self, to: &Path, mtime: (i64, u32)) -> Result<(), CopyError> {
        let (parent, name) = self.parent(to)?;
        utimensat(parent, name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| io_error(to, "set the time of a file", error))
    }

    fn parent<'s, 'p>(&'s mut self, to: &'p Path) -> Result<(BorrowedFd<'s>, &'p OsStr), CopyError> {
        let directory = to.parent().unwrap_or(Path::new(""));
        let is_open = |(path, _): &(PathBuf, OwnedFd)| path.as_os_str() == directory.as_os_str();
        if !self.parent.as_ref().is_some_and(is_open) {
            self.parent = Some((directory.to_owned(), open_directory(self.root, directory)?));
        }
        let fd = self.parent.as_ref().map_or(self.root, |(_, fd)| fd.as_fd());
        Ok((fd, to.file_name().unwrap_or_default()))
    }
}

fn is_directory(parent: BorrowedFd<'_>, name: &OsStr) -> bool {
    statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn timestamps((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    }
}
