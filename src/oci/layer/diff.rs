//! The change of a stage as one layer: what its overlayfs upper directory holds.
//!
//! Comes in: the upper directory, unmounted or no longer written to, and the lowers it lay on. Goes out: one layer
//! blob. It never writes what overlayfs or this program noted for itself, nor files that came up unchanged.

mod graft;
mod inode;
mod lowers;

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use rustix::fs::{self, FileType, OFlags, Stat};
use rustix::io::Errno;

pub use self::graft::{Add, Fill, Graft};
use self::inode::{Inode, InodeError};
use self::lowers::{Below, Found};
use super::compress::CompressOptions;
use super::files::{self, Name};
use super::tar_write::{Entry, EntryKind};
use super::write::{LayerWriter, WriteError, Written};
use super::{OPAQUE_WHITEOUT, OPAQUE_XATTR, Owners, WHITEOUT, shown};
use crate::manifest::Format;

/// The longest path written: nobody could unpack a longer one (PATH_MAX).
const MAX_PATH: usize = 4095;

/// How to write the layer.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DiffOptions {
    /// The family of media types.
    pub format: Format,
    /// How to compress.
    pub compress: CompressOptions,
    /// Where owners are.
    pub owners: Owners,
    /// What times become.
    pub clamp: Option<Clamp>,
}

/// Replaces the times of the build: a time not before `since` becomes `to`. Both are seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamp {
    /// The first time replaced.
    pub since: i64,
    /// What it is replaced by.
    pub to: i64,
}

impl Clamp {
    fn apply(self, mtime: i64) -> i64 {
        if mtime >= self.since { self.to } else { mtime }
    }
}

/// Why the layer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// The blob could not be written, or a file not be read.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// Metadata or a directory that could not be read.
    #[error("{path}: cannot {what}: {source}", path = path.display())]
    Read {
        /// The file, empty for the root.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The same in a lower layer, which is read to find out what changed.
    #[error("{path}: cannot {what} in a lower layer: {source}", path = path.display())]
    Lower {
        /// The file.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file that is written to while the layer is made.
    #[error("{path}: the file changed while it was read", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A name that every reader of the layer would take for a whiteout.
    #[error("{path}: names that start with `.wh.` cannot be in a layer: rename or remove the file", path = path.display())]
    WhiteoutName {
        /// The file.
        path: PathBuf,
    },
    /// A path that no system call takes.
    #[error("{path}: the path is longer than {MAX_PATH} bytes, which nobody could unpack", path = path.display())]
    Long {
        /// The file.
        path: PathBuf,
    },
    /// A [`Graft`] gave up; what fills it knows why.
    #[error("{path}: its files cannot be had", path = path.display())]
    Grafted {
        /// The directory.
        path: PathBuf,
    },
    /// An owner recorded in a way this program does not record owners.
    #[error("{path}: the recorded owner `{text}` is not `uid:gid`", path = path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// What is recorded.
        text: String,
    },
}

/// Writes what `upper` changes over `lowers` (topmost first, each in overlay-lower form) to `sink`.
///
/// Entries come parents first, siblings by bytes of their name. What is gone becomes a whiteout and a replaced
/// directory an opaque one (OCI image-spec, layer.md), if the lowers have anything to hide there. Names of one file
/// become hard links to the first. A directory is written if it changed or anything in it did. The root itself is
/// not written. Nothing in `upper` or the lowers may change meanwhile.
///
/// # Errors
/// [`DiffError`] names the first path that could not be read or written.
pub fn write_upper(
    upper: BorrowedFd<'_>,
    lowers: &[BorrowedFd<'_>],
    options: &DiffOptions,
    sink: impl Write,
) -> Result<Written, DiffError> {
    write_grafted((upper, Vec::new()), lowers, options, sink)
}

/// Does what [`write_upper`] does, and fills directories of `upper` with files that are not in it.
///
/// # Errors
/// [`DiffError`]; [`DiffError::Changed`] for a graft whose directory is not there or not empty.
pub fn write_grafted(
    (upper, grafts): (BorrowedFd<'_>, Vec<Graft<'_>>),
    lowers: &[BorrowedFd<'_>],
    options: &DiffOptions,
    sink: impl Write,
) -> Result<Written, DiffError> {
    let mut walk = Walk {
        upper,
        lowers,
        grafts: grafts.into_iter().map(|graft| (graft.directory, graft.fill)).collect(),
        options,
        writer: LayerWriter::new(sink, options.format, &options.compress)?,
        links: HashMap::new(),
        sockets: 0,
        stack: Vec::new(),
    };
    let names = list(upper, b"")?;
    let below = Below::root(lowers).map_err(lower(b"", "look at the root"))?;
    walk.stack.push(Frame { path: Vec::new(), names: names.into_iter(), below, pending: None });
    walk.run()?;
    if let Some((path, _)) = walk.grafts.first_key_value() {
        return Err(DiffError::Changed { path: shown(path) });
    }
    let written = walk.writer.finish()?;
    Ok(Written { skipped_sockets: walk.sockets, ..written })
}

struct Walk<'a, S: Write> {
    upper: BorrowedFd<'a>,
    lowers: &'a [BorrowedFd<'a>],
    /// What is still to be filled, by directory.
    grafts: BTreeMap<Vec<u8>, Box<Fill<'a>>>,
    options: &'a DiffOptions,
    writer: LayerWriter<S>,
    /// First names of files with several, by device and inode.
    links: HashMap<(u64, u64), Vec<u8>>,
    sockets: u64,
    stack: Vec<Frame>,
}

/// A directory on the way down. Paths, not descriptors: a tree may be deeper than descriptors are allowed.
struct Frame {
    path: Vec<u8>,
    names: std::vec::IntoIter<Name>,
    /// What the lowers have here.
    below: Below,
    /// The directory as it has to be written before anything in it, if it has not been.
    pending: Option<Inode>,
}

fn list(directory: impl AsFd, path: &[u8]) -> Result<Vec<Name>, DiffError> {
    // A descriptor of its own: the given one's position may be anywhere.
    let own = files::open_directory(directory, b".").map_err(read(path, "open the directory"))?;
    files::list(&own).map_err(read(path, "list the directory"))
}

impl<S: Write> Walk<'_, S> {
    fn run(&mut self) -> Result<(), DiffError> {
        while let Some(frame) = self.stack.last_mut() {
            let Some(name) = frame.names.next() else {
                self.stack.pop();
                continue;
            };
            let path = join(&frame.path, &name.bytes);
            if path.len() > MAX_PATH {
                return Err(DiffError::Long { path: shown(&path) });
            }
            if name.bytes.starts_with(WHITEOUT) {
                return Err(DiffError::WhiteoutName { path: shown(&path) });
            }
            if name.is_directory { self.directory(path)? } else { self.leaf(&path)? }
        }
        Ok(())
    }

    /// What the lowers show at a path in the current directory.
    fn find_below(&self, path: &[u8]) -> Result<Option<Found>, DiffError> {
        match self.stack.last() {
            Some(frame) => frame.below.find(self.lowers, path).map_err(lower(path, "look it up")),
            None => Ok(None),
        }
    }

    /// What the lowers have in a directory in the current directory.
    fn inside_below(&self, path: &[u8]) -> Result<Below, DiffError> {
        match self.stack.last() {
            Some(frame) => frame.below.inside(self.lowers, path).map_err(lower(path, "look it up")),
            None => Ok(Below::default()),
        }
    }

    fn directory(&mut self, path: Vec<u8>) -> Result<(), DiffError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let directory = files::open_real(self.upper, &path, flags).map_err(read(&path, "open the directory"))?;
        let inode = self.inode(&path, &directory)?;
        let opaque = files::xattr(&directory, OPAQUE_XATTR.as_bytes()).map_err(read(&path, "read its xattrs"))?;
        let is_opaque = opaque.as_deref() == Some(b"y");
        let (found, beneath) = (self.find_below(&path)?, self.inside_below(&path)?);
        let hides = is_opaque && beneath.shows_anything(self.lowers, &path).map_err(lower(&path, "list it"))?;
        let is_same = match &found {
            Some(found) if !hides => self.is_same_directory(&path, &inode, found.lower)?,
            Some(_) | None => false,
        };
        let names = list(&directory, &path)?;
        let below = if is_opaque { Below::default() } else { beneath };
        self.stack.push(Frame { path: path.clone(), names: names.into_iter(), below, pending: Some(inode) });
        if !is_same {
            self.flush()?;
        }
        if hides {
            self.mark(&join(&path, OPAQUE_WHITEOUT))?;
        }
        self.fill(&path)
    }

    fn is_same_directory(&self, path: &[u8], inode: &Inode, lower_index: usize) -> Result<bool, DiffError> {
        let there = self.open_lower(lower_index, path, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK);
        let there = there.map_err(lower(path, "open it"))?;
        let there = Inode::of(&there, self.options.owners, path).map_err(InodeError::in_lower)?;
        Ok(inode.is_like(&there))
    }

    fn open_lower(&self, index: usize, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let root = self.lowers.get(index).ok_or(Errno::NOENT)?;
        files::open_real(*root, path, flags)
    }

    fn inode(&self, path: &[u8], file: &OwnedFd) -> Result<Inode, DiffError> {
        Inode::of(file, self.options.owners, path).map_err(InodeError::in_upper)
    }

    /// Writes the directories that lead here, as far as they have not been.
    fn flush(&mut self) -> Result<(), DiffError> {
        let clamp = self.options.clamp;
        for frame in &mut self.stack {
            if let Some(inode) = frame.pending.take() {
                let entry = inode.entry(&frame.path, EntryKind::Directory, clamp);
                self.writer.add(&entry, &mut io::empty())?;
            }
        }
        Ok(())
    }

    /// A whiteout of either kind: an empty file that carries no time of the build.
    fn mark(&mut self, path: &[u8]) -> Result<(), DiffError> {
        self.flush()?;
        let mtime = self.options.clamp.map_or(0, |clamp| clamp.to);
        let kind = EntryKind::Regular { size: 0 };
        let entry = Entry { path, kind, mode: 0o600, uid: 0, gid: 0, mtime, xattrs: &[] };
        Ok(self.writer.add(&entry, &mut io::empty())?)
    }

    fn leaf(&mut self, path: &[u8]) -> Result<(), DiffError> {
        let stat = files::stat(self.upper, path).map_err(read(path, "look at it"))?;
        if files::is_whiteout(&stat) {
            let hidden = self.find_below(path)?;
            return if hidden.is_some() { self.mark(&whiteout(path)) } else { Ok(()) };
        }
        match files::kind(&stat) {
            FileType::RegularFile => self.regular(path),
            FileType::Symlink => self.symlink(path, stat),
            FileType::Fifo => self.other(path, stat, EntryKind::Fifo),
            FileType::CharacterDevice => {
                let (major, minor) = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
                self.other(path, stat, EntryKind::Character { major, minor })
            }
            FileType::BlockDevice => {
                let (major, minor) = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
                self.other(path, stat, EntryKind::Block { major, minor })
            }
            FileType::Socket => {
                self.sockets += 1;
                tracing::debug!(path = %shown(path).display(), "a socket is left out of the layer");
                Ok(())
            }
            FileType::Directory | FileType::Unknown => Err(DiffError::Changed { path: shown(path) }),
        }
    }

    fn regular(&mut self, path: &[u8]) -> Result<(), DiffError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = files::open_real(self.upper, path, flags).map_err(read(path, "open the file"))?;
        let inode = self.inode(path, &file)?;
        let mut file = File::from(file);
        if self.is_link(path, &inode)? || self.is_unchanged_file(path, &inode, &file)? {
            return Ok(());
        }
        self.flush()?;
        let kind = EntryKind::Regular { size: inode.size() };
        self.writer.add(&inode.entry(path, kind, self.options.clamp), &mut file)?;
        let after = fs::fstat(&file).map_err(read(path, "look at it"))?;
        if inode.was_written_since(&after) { Err(DiffError::Changed { path: shown(path) }) } else { Ok(()) }
    }

    fn symlink(&mut self, path: &[u8], stat: Stat) -> Result<(), DiffError> {
        let target = fs::readlinkat(self.upper, path, Vec::new()).map_err(read(path, "read the symlink"))?;
        let inode = Inode::of_other(stat, self.options.owners);
        if self.is_link(path, &inode)? {
            return Ok(());
        }
        if let Some(index) = self.like_below(path, &inode)? {
            let root = self.lowers.get(index).ok_or(Errno::NOENT);
            let there = root.and_then(|root| fs::readlinkat(*root, path, Vec::new()));
            if there.map_err(lower(path, "read the symlink"))? == target {
                return Ok(());
            }
        }
        self.flush()?;
        let kind = EntryKind::Symlink { target: target.as_bytes() };
        Ok(self.writer.add(&inode.entry(path, kind, self.options.clamp), &mut io::empty())?)
    }

    fn other(&mut self, path: &[u8], stat: Stat, kind: EntryKind<'_>) -> Result<(), DiffError> {
        let inode = Inode::of_other(stat, self.options.owners);
        if self.is_link(path, &inode)? || self.like_below(path, &inode)?.is_some() {
            return Ok(());
        }
        self.flush()?;
        Ok(self.writer.add(&inode.entry(path, kind, self.options.clamp), &mut io::empty())?)
    }

    /// Writes a hard link if another name of this file was written before, else keeps this name as the first.
    fn is_link(&mut self, path: &[u8], inode: &Inode) -> Result<bool, DiffError> {
        if inode.has_one_name() {
            return Ok(false);
        }
        let Some(first) = self.links.get(&inode.identity()).cloned() else {
            self.links.insert(inode.identity(), path.to_vec());
            return Ok(false);
        };
        self.flush()?;
        let entry =
            Entry { xattrs: &[], ..inode.entry(path, EntryKind::HardLink { target: &first }, self.options.clamp) };
        self.writer.add(&entry, &mut io::empty())?;
        Ok(true)
    }

    /// The lower whose file shows at this path, if all that `stat` tells is the same.
    ///
    /// A file with several names is never taken for unchanged: the link is a change.
    fn like_below(&self, path: &[u8], inode: &Inode) -> Result<Option<usize>, DiffError> {
        if !inode.has_one_name() {
            return Ok(None);
        }
        let found = self.find_below(path)?;
        Ok(found.filter(|found| inode.has_stat_of(&found.stat)).map(|found| found.lower))
    }

    fn is_unchanged_file(&self, path: &[u8], inode: &Inode, file: &File) -> Result<bool, DiffError> {
        let Some(index) = self.like_below(path, inode)? else { return Ok(false) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let there = self.open_lower(index, path, flags).map_err(lower(path, "open it"))?;
        let metadata = Inode::of(&there, self.options.owners, path).map_err(InodeError::in_lower)?;
        if !inode.is_like(&metadata) {
            return Ok(false);
        }
        same_content(file, &File::from(there), inode.size()).map_err(|source| {
            let what = "compare it with the lower layer's";
            DiffError::Read { path: shown(path), what, source }
        })
    }
}

/// Compares two files of `size` bytes without moving their positions.
fn same_content(one: &File, other: &File, size: u64) -> io::Result<bool> {
    const PIECE: usize = 64 << 10;
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    let mut at = 0;
    while at < size {
        let count = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        let (left, right) = (left.get_mut(..count).unwrap_or_default(), right.get_mut(..count).unwrap_or_default());
        one.read_exact_at(left, at)?;
        other.read_exact_at(right, at)?;
        if left != right {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// The whiteout that hides `path`.
fn whiteout(path: &[u8]) -> Vec<u8> {
    let (directory, name) = super::split(path).unwrap_or((&[], path));
    join(directory, &[WHITEOUT, name].concat())
}

fn read(path: &[u8], what: &'static str) -> impl FnOnce(Errno) -> DiffError {
    move |error| DiffError::Read { path: shown(path), what, source: error.into() }
}

fn lower(path: &[u8], what: &'static str) -> impl FnOnce(Errno) -> DiffError {
    move |error| DiffError::Lower { path: shown(path), what, source: error.into() }
}

#[cfg(test)]
mod tests;
