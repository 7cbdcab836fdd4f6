//! COPY and ADD of files into a stage's tree.
//!
//! Where builders disagree the result follows buildah: an owner of 0:0 for files of the context, set-id bits of the
//! context dropped, modification times kept, content of a source directory copied rather than the directory.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use oci::layer::open_inside;
use oci::{Digest, Hasher};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chownat, fchmod,
    fgetxattr, flistxattr, fsetxattr, linkat, mkdirat, mkfifoat, openat, readlinkat, statat, symlinkat, unlinkat,
    utimensat,
};
use source::{Entry, Kind, Tree, TreeError};

use crate::owner::{Ids, Owners};

/// One COPY or ADD, everything expanded and looked up.
#[derive(Clone, Debug)]
pub(crate) struct CopyRequest {
    /// Absolute destination in the stage.
    pub(crate) destination: PathBuf,
    /// Whether the destination must be a directory: it ends in a slash, or there are several sources.
    pub(crate) into_directory: bool,
    /// The owner of everything copied; `None` keeps the source's.
    pub(crate) owner: Option<Ids>,
    /// The mode of everything copied; `None` keeps the source's.
    pub(crate) mode: Option<u32>,
    /// The time of everything copied.
    pub(crate) mtime: Mtime,
    /// Whether set-user-id and set-group-id bits are dropped, as from a context.
    pub(crate) drops_set_id: bool,
    /// Whether the digests of regular files are wanted.
    pub(crate) digests: Digests,
}

/// Whether files are hashed while they are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digests {
    /// They are.
    Wanted,
    /// Nobody asks.
    Unwanted,
}

/// What becomes of modification times; in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mtime {
    /// They stay.
    Kept,
    /// Later ones become this.
    AtMost(i64),
    /// All become this.
    Exactly(i64),
}

/// What was copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Files of all kinds but directories.
    pub(crate) files: u64,
    /// Bytes of regular files.
    pub(crate) bytes: u64,
    /// Regular files by their path in the source, where [`Digests::Wanted`].
    pub(crate) digests: Vec<(PathBuf, Digest)>,
}

/// Why something could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source could not be read.
    #[error(transparent)]
    Source(#[from] TreeError),
    /// Several sources, or a directory, cannot become one file.
    #[error("{destination}: already exists and is not a directory")]
    NotADirectory {
        /// The destination.
        destination: PathBuf,
    },
    /// A file cannot take a directory's place.
    #[error("{destination}: cannot replace a directory by a file")]
    IsADirectory {
        /// The destination.
        destination: PathBuf,
    },
    /// An unprivileged build cannot make device nodes.
    #[error("{path}: a device node cannot be copied without privileges; leave it out with an ignore file")]
    Device {
        /// The source.
        path: PathBuf,
    },
    /// Symbolic links lead in a circle.
    #[error("{path}: too many symbolic links")]
    Loop {
        /// The destination.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("{path}: cannot {action} in the image")]
    Io {
        /// What was touched in the image.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Copies `sources` of `tree` into the tree `root`.
pub(crate) fn copy(
    root: BorrowedFd<'_>,
    tree: &Tree,
    sources: &[PathBuf],
    request: &CopyRequest,
    owners: Owners,
) -> Result<Copied, CopyError> {
    let links = HashMap::new();
    let mut target = Target { root, owners, tree, request, copied: Copied::default(), links, parent: None };
    for source in sources {
        let entries = tree.walk(source)?;
        let Some(first) = entries.first() else { continue };
        let base = target.base(first)?;
        target.copy_entries(source, &entries, &base)?;
    }
    Ok(target.copied)
}

/// Makes a directory and those above it, where they are missing; returns whether any was.
pub(crate) fn make_directories(
    root: BorrowedFd<'_>,
    path: &Path,
    owner: Ids,
    owners: Owners,
) -> Result<bool, CopyError> {
    let resolved = resolve(root, path)?;
    let mut is_made = false;
    let mut done = PathBuf::new();
    for name in &resolved {
        let parent = open_directory(root, &done)?;
        done.push(name);
        let failed = |action| move |error: rustix::io::Errno| io_error(path, action, error);
        match mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                is_made = true;
                owners.set(parent.as_fd(), name, owner).map_err(failed("set the owner of a directory"))?;
                let directory = open_directory(root, &done)?;
                fchmod(&directory, Mode::from_raw_mode(0o755)).map_err(failed("set the mode of a directory"))?;
            }
            Err(rustix::io::Errno::EXIST) => {
                let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("examine a directory"))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    return Err(CopyError::NotADirectory { destination: Path::new("/").join(&done) });
                }
            }
            Err(error) => return Err(failed("make a directory")(error)),
        }
    }
    Ok(is_made)
}

/// `path` with all symbolic links resolved inside `root`, those of missing files included, relative to `root`.
fn resolve(root: BorrowedFd<'_>, path: &Path) -> Result<PathBuf, CopyError> {
    const MAX_LINKS: u32 = 40;
    let mut pending: Vec<OsString> = names(path).rev().collect();
    let mut resolved = PathBuf::new();
    let mut links = 0;
    while let Some(name) = pending.pop() {
        if name == ".." {
            resolved.pop();
            continue;
        }
        let candidate = resolved.join(&name);
        match readlinkat(root, &candidate, Vec::new()) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(CopyError::Loop { path: path.to_owned() });
                }
                let target = Path::new(OsStr::from_bytes(target.as_bytes())).to_owned();
                if target.is_absolute() {
                    resolved = PathBuf::new();
                }
                pending.extend(names(&target).collect::<Vec<_>>().into_iter().rev());
            }
            Err(_) => resolved = candidate,
        }
    }
    Ok(resolved)
}

/// The components of a path that say where to go: names and `..`.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

fn open_directory(root: BorrowedFd<'_>, relative: &Path) -> Result<OwnedFd, CopyError> {
    open_inside(root, relative, OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(|error| io_error(relative, "open a directory", error))
}

fn io_error(path: &Path, action: &'static str, error: rustix::io::Errno) -> CopyError {
    CopyError::Io { path: Path::new("/").join(path), action, source: error.into() }
}

struct Target<'a> {
    root: BorrowedFd<'a>,
    owners: Owners,
    tree: &'a Tree,
    request: &'a CopyRequest,
    copied: Copied,
    /// First copy of files that have several names, relative to `root`.
    links: HashMap<(u64, u64), PathBuf>,
    /// The directory last written to, kept open: files come a directory at a time.
    parent: Option<(PathBuf, OwnedFd)>,
}

impl Target<'_> {
    /// Where the first entry of a source goes, relative to the root, all links resolved: under its own name into a
    /// directory, or exactly there.
    fn base(&self, first: &Entry) -> Result<PathBuf, CopyError> {
        let request = self.request;
        let destination = resolve(self.root, &request.destination)?;
        let existing = self.kind_at(&destination);
        let owner = request.owner.unwrap_or(Ids::ROOT);
        let is_directory = first.kind == Kind::Directory;
        let goes_inside = is_directory || request.into_directory || existing == Some(FileType::Directory);
        if !goes_inside {
            if let Some(parent) = destination.parent() {
                make_directories(self.root, parent, owner, self.owners)?;
            }
            return Ok(destination);
        }
        if existing.is_some_and(|kind| kind != FileType::Directory) {
            return Err(CopyError::NotADirectory { destination: request.destination.clone() });
        }
        make_directories(self.root, &destination, owner, self.owners)?;
        let name = if is_directory { OsStr::new("") } else { first.path.file_name().unwrap_or_default() };
        Ok(if name.is_empty() { destination } else { destination.join(name) })
    }

    fn kind_at(&self, relative: &Path) -> Option<FileType> {
        let name = if relative.as_os_str().is_empty() { Path::new(".") } else { relative };
        statat(self.root, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
    }

    fn copy_entries(&mut self, source: &Path, entries: &[Entry], base: &Path) -> Result<(), CopyError> {
        let mut directories = Vec::new();
        for (position, entry) in entries.iter().enumerate() {
            let below = entry.path.strip_prefix(source).unwrap_or(&entry.path);
            let to = if position == 0 { base.to_owned() } else { base.join(below) };
            if entry.kind == Kind::Directory {
                if position > 0 {
                    self.directory(&to, entry)?;
                    directories.push((to, mtime(entry, self.request)));
                }
            } else {
                self.file(&to, entry)?;
            }
        }
        // Children are written by now, so the times stay.
        for (to, mtime) in directories.into_iter().rev() {
            self.set_times(&to, mtime)?;
        }
        Ok(())
    }

    fn directory(&mut self, to: &Path, entry: &Entry) -> Result<(), CopyError> {
        let (parent, name) = self.parent(to)?;
        let failed = |action| move |error: rustix::io::Errno| io_error(to, action, error);
        let is_there = match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => true,
            Ok(_) => {
                unlinkat(parent, name, AtFlags::empty()).map_err(failed("replace a file by a directory"))?;
                false
            }
            Err(_) => false,
        };
        if !is_there {
            mkdirat(parent, name, Mode::from_raw_mode(0o700)).map_err(failed("make a directory"))?;
        }
        let (owner, mode) = attributes(entry, self.request);
        let owners = self.owners;
        let (parent, name) = self.parent(to)?;
        owners.set(parent, name, owner).map_err(failed("set the owner of a directory"))?;
        let directory = openat(parent, name, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW, Mode::empty())
            .map_err(failed("open a directory"))?;
        fchmod(&directory, Mode::from_raw_mode(mode)).map_err(failed("set the mode of a directory"))
    }

    fn file(&mut self, to: &Path, entry: &Entry) -> Result<(), CopyError> {
        self.make_room(to)?;
        if let Some(first) = entry.link.and_then(|link| self.links.get(&link).cloned()) {
            let root = self.root;
            let (parent, name) = self.parent(to)?;
            linkat(root, &first, parent, name, AtFlags::empty()).map_err(|e| io_error(to, "make a hard link", e))?;
            self.copied.files += 1;
            return Ok(());
        }
        let failed = |action| move |error: rustix::io::Errno| io_error(to, action, error);
        let (owner, mode) = attributes(entry, self.request);
        let owners = self.owners;
        match &entry.kind {
            Kind::File(_) => self.regular(to, entry)?,
            Kind::Symlink(target) => {
                let (parent, name) = self.parent(to)?;
                symlinkat(target, parent, name).map_err(failed("make a symbolic link"))?;
                owners.set(parent, name, owner).map_err(failed("set the owner of a symbolic link"))?;
                self.set_times(to, mtime(entry, self.request))?;
            }
            Kind::Fifo => {
                let (parent, name) = self.parent(to)?;
                mkfifoat(parent, name, Mode::from_raw_mode(mode)).map_err(failed("make a named pipe"))?;
                owners.set(parent, name, owner).map_err(failed("set the owner of a named pipe"))?;
                self.set_times(to, mtime(entry, self.request))?;
            }
            Kind::Socket => {
                tracing::warn!(path = %entry.path.display(), "socket not copied: an image cannot hold one");
                return Ok(());
            }
            Kind::Device => return Err(CopyError::Device { path: entry.path.clone() }),
            Kind::Directory => return Err(CopyError::IsADirectory { destination: to.to_owned() }),
        }
        if let Some(link) = entry.link {
            self.links.insert(link, to.to_owned());
        }
        self.copied.files += 1;
        Ok(())
    }

    fn regular(&mut self, to: &Path, entry: &Entry) -> Result<(), CopyError> {
        let failed = |action| move |error: rustix::io::Errno| io_error(to, action, error);
        let mut from = self.tree.open(&entry.path)?;
        let owners = self.owners;
        let (parent, name) = self.parent(to)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(parent, name, flags, Mode::from_raw_mode(0o600)).map_err(failed("create a file"))?;
        let mut file = File::from(made);
        let failed_write = |source| CopyError::Io { path: to.to_owned(), action: "write a file", source };
        let (bytes, digest) = match self.request.digests {
            Digests::Unwanted => (io::copy(&mut from, &mut file).map_err(failed_write)?, None),
            Digests::Wanted => {
                let (bytes, digest) = copy_hashed(&mut from, &mut file).map_err(failed_write)?;
                (bytes, Some(digest))
            }
        };
        let (owner, mode) = attributes(entry, self.request);
        owners.set_open(file.as_fd(), owner).map_err(failed("set the owner of a file"))?;
        copy_xattrs(&from, &file).map_err(failed("set an extended attribute of a file"))?;
        // After the owner: changing that clears set-id bits.
        fchmod(&file, Mode::from_raw_mode(mode)).map_err(failed("set the mode of a file"))?;
        rustix::fs::futimens(&file, &timestamps(mtime(entry, self.request)))
            .map_err(failed("set the time of a file"))?;
        self.copied.bytes += bytes;
        self.copied.digests.extend(digest.map(|digest| (entry.path.clone(), digest)));
        Ok(())
    }

    /// Removes what a new file would collide with.
    fn make_room(&mut self, to: &Path) -> Result<(), CopyError> {
        let (parent, name) = self.parent(to)?;
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(_) => Ok(()),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => {
                Err(CopyError::IsADirectory { destination: Path::new("/").join(to) })
            }
            Ok(_) => unlinkat(parent, name, AtFlags::empty()).map_err(|error| io_error(to, "replace a file", error)),
        }
    }

    fn set_times(&mut self, to: &Path, mtime: (i64, u32)) -> Result<(), CopyError> {
        let (parent, name) = self.parent(to)?;
        utimensat(parent, name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|error| io_error(to, "set the time of a file", error))
    }

    fn parent<'s, 'p>(&'s mut self, to: &'p Path) -> Result<(BorrowedFd<'s>, &'p OsStr), CopyError> {
        let directory = to.parent().unwrap_or(Path::new(""));
        if self.parent.as_ref().is_none_or(|(path, _)| path != directory) {
            self.parent = Some((directory.to_owned(), open_directory(self.root, directory)?));
        }
        let fd = self.parent.as_ref().map_or(self.root, |(_, fd)| fd.as_fd());
        Ok((fd, to.file_name().unwrap_or_default()))
    }
}

fn copy_hashed(from: &mut File, to: &mut File) -> io::Result<(u64, Digest)> {
    let (mut hasher, mut buffer, mut bytes) = (Hasher::default(), vec![0; 128 << 10], 0);
    loop {
        let read = from.read(&mut buffer)?;
        let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else {
            return Ok((bytes, hasher.finish()));
        };
        hasher.update(piece);
        to.write_all(piece)?;
        bytes += read as u64;
    }
}

fn attributes(entry: &Entry, request: &CopyRequest) -> (Ids, u32) {
    let owner = request.owner.unwrap_or(Ids { uid: entry.uid, gid: entry.gid });
    let kept = if request.drops_set_id && entry.kind != Kind::Directory { entry.mode & 0o1777 } else { entry.mode };
    (owner, request.mode.unwrap_or(kept))
}

fn mtime(entry: &Entry, request: &CopyRequest) -> (i64, u32) {
    match request.mtime {
        Mtime::Exactly(seconds) => (seconds, 0),
        Mtime::AtMost(seconds) if entry.mtime.0 >= seconds => (seconds, 0),
        Mtime::AtMost(_) | Mtime::Kept => entry.mtime,
    }
}

fn timestamps((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() },
    }
}

/// `user.*` attributes travel with a file, as buildah has it; those of overlay and of this program do not.
fn copy_xattrs(from: &File, to: &File) -> rustix::io::Result<()> {
    let length = match flistxattr(from, &mut [] as &mut [u8]) {
        Ok(0) | Err(rustix::io::Errno::NOTSUP) => return Ok(()),
        other => other?,
    };
    let mut names = vec![0; length];
    let length = flistxattr(from, &mut names[..])?;
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        let is_ours = name.starts_with(b"user.overlay.") || name.starts_with(b"user.stratum.");
        if name.starts_with(b"user.") && !is_ours {
            let mut value = vec![0; 65536];
            let length = fgetxattr(from, name, &mut value[..])?;
            match fsetxattr(to, name, value.get(..length).unwrap_or_default(), XattrFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::NOTSUP) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Used by [`Owners`]; here so that everything that changes an owner is in sight of the copying.
pub(crate) fn chown(parent: BorrowedFd<'_>, name: &OsStr, owner: Ids) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}
