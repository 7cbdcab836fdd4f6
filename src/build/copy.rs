//! COPY and ADD of files into a stage's tree.
//!
//! Comes in: a tree, which of its entries go where, and what becomes of owners, modes and times. Goes out: the files,
//! and what was copied. It looks up no names and expands nothing: that was done before.
//!
//! Where builders disagree the result follows buildah: an owner of 0:0 for files of the context, set-id bits of the
//! context dropped, modification times kept, content of a source directory copied rather than the directory, and
//! whatever is in the way of a file or directory replaced.

mod content;
mod place;
mod target;
mod touch;

use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use oci::Digest;
use rustix::fs::{AtFlags, Gid, Uid, chownat};
use source::{Entry, Kind, Tree, TreeError};

use crate::files::Mode;
use crate::owner::{Ids, Owners};
pub(crate) use place::{Place, Shape, make_directories, place, resolve};
use target::Target;
pub(crate) use touch::Touch;

/// One COPY or ADD, everything expanded and looked up.
#[derive(Clone, Debug)]
pub(crate) struct CopyRequest {
    /// Absolute destination in the stage.
    pub(crate) destination: PathBuf,
    /// Whether the destination must be a directory: it ends in a slash, or there are several sources.
    pub(crate) into_directory: bool,
    /// What becomes of symbolic links on the way to the destination.
    pub(crate) links: Links,
    /// The owner of everything copied; `None` keeps the source's.
    pub(crate) owner: Option<Ids>,
    /// The mode of everything copied; `None` keeps the source's.
    pub(crate) mode: Option<Mode>,
    /// The time of everything copied.
    pub(crate) mtime: Mtime,
    /// Whether set-user-id and set-group-id bits are dropped, as from a context.
    pub(crate) drops_set_id: bool,
    /// Whether the digests of regular files are wanted.
    pub(crate) digests: Digests,
}

impl CopyRequest {
    /// The owner and mode of what `entry` becomes.
    pub(crate) fn attributes(&self, entry: &Entry) -> (Ids, u32) {
        let owner = self.owner.unwrap_or(Ids { uid: entry.uid, gid: entry.gid });
        let kept = if self.drops_set_id { entry.mode & 0o1777 } else { entry.mode };
        let mode = self.mode.as_ref();
        (owner, mode.map_or(kept, |mode| mode.apply(kept, entry.kind == Kind::Directory)))
    }

    /// Its time.
    pub(crate) fn mtime(&self, entry: &Entry) -> (i64, u32) {
        match self.mtime {
            Mtime::Exactly(seconds) => (seconds, 0),
            Mtime::AtMost(seconds) if entry.mtime.0 >= seconds => (seconds, 0),
            Mtime::AtMost(_) | Mtime::Kept => entry.mtime,
        }
    }
}

/// What becomes of symbolic links in the destination's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// They are followed inside the root.
    Followed,
    /// They are replaced by directories: `--link` knows nothing of what is below.
    Replaced,
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
    /// An unprivileged build cannot make device nodes.
    #[error("{path}: a device node cannot be copied without privileges; leave it out with an ignore file")]
    Device {
        /// The source.
        path: PathBuf,
    },
    /// A file became shorter while it went into the layer.
    #[error("{path}: the file changed while it was read")]
    Changed {
        /// The source.
        path: PathBuf,
    },
    /// Symbolic links lead in a circle.
    #[error("{path}: too many symbolic links")]
    Loop {
        /// The destination.
        path: PathBuf,
    },
    /// The store did not take what an instruction brings along.
    #[error("{path}: cannot {action}")]
    Store {
        /// Where in the store.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
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

/// A source's match and what is below it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Parents before what is in them; the match itself first, unless its own parents come along.
    pub(crate) entries: Vec<Entry>,
    /// What they are called at the destination.
    pub(crate) names: Names,
}

/// What of an entry's path is kept at the destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// What is below the match, or its own name if it is no directory.
    Below,
    /// All of it but this beginning (`--parents`).
    Whole {
        /// What stood before the pivot, empty without one.
        pivot: PathBuf,
    },
}

impl Item {
    /// `path` of `tree` with everything below it.
    pub(crate) fn walk(tree: &Tree, path: &Path) -> Result<Self, TreeError> {
        Ok(Self { entries: tree.walk(path)?, names: Names::Below })
    }

    /// What decides about the destination.
    pub(crate) fn shape(&self) -> Shape {
        match (&self.names, self.entries.first().map(|entry| &entry.kind)) {
            (Names::Whole { .. }, _) | (Names::Below, Some(Kind::Directory) | None) => Shape::Directory,
            (Names::Below, Some(Kind::File(_))) => Shape::File,
            (Names::Below, Some(_)) => Shape::Other,
        }
    }

    /// Where `entry` goes below the destination; `None` for what is the destination.
    pub(crate) fn below<'e>(&self, entry: &'e Entry) -> Option<&'e Path> {
        let path = entry.path.as_path();
        let below = match &self.names {
            // By its number of parts, for the pivot may be a pattern. What is above it has fewer, and is made at the
            // destination, empty, as by buildah.
            Names::Whole { pivot } => {
                let (depth, mut parts) = (pivot.components().count(), path.components());
                if path.components().count() >= depth {
                    parts.by_ref().take(depth).for_each(drop);
                }
                parts.as_path()
            }
            Names::Below => match self.entries.first() {
                Some(first) if first.kind == Kind::Directory => path.strip_prefix(&first.path).unwrap_or(path),
                Some(_) | None => Path::new(path.file_name().unwrap_or_default()),
            },
        };
        (!below.as_os_str().is_empty()).then_some(below)
    }
}

/// Copies `sources` of `tree` into the tree `root`.
pub(crate) fn copy(
    root: BorrowedFd<'_>,
    tree: &Tree,
    sources: &[PathBuf],
    request: &CopyRequest,
    owners: Owners,
) -> Result<Copied, CopyError> {
    let items = sources.iter().map(|source| Item::walk(tree, source)).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = items.first() else { return Ok(Copied::default()) };
    let place = place(root, request, first.shape(), owners)?;
    copy_to(root, (tree, &items), &place, request, owners)
}

/// Copies `items` of a tree to a place in the tree `root`.
pub(crate) fn copy_to(
    root: BorrowedFd<'_>,
    (tree, items): (&Tree, &[Item]),
    place: &Place,
    request: &CopyRequest,
    owners: Owners,
) -> Result<Copied, CopyError> {
    let mut target = Target::new(root, tree, request, owners);
    for item in items {
        for entry in &item.entries {
            let Some(below) = item.below(entry) else { continue };
            match place {
                Place::Inside(directory) => target.write(&directory.join(below), entry)?,
                Place::As(path) => target.write(path, entry)?,
            }
        }
        target.end_source()?;
    }
    Ok(target.copied)
}

pub(crate) fn io_error(path: &Path, action: &'static str, error: rustix::io::Errno) -> CopyError {
    CopyError::Io { path: Path::new("/").join(path), action, source: error.into() }
}

/// Used by [`Owners`]; here so that everything that changes an owner is in sight of the copying.
pub(crate) fn chown(parent: BorrowedFd<'_>, name: &OsStr, owner: Ids) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
    chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests;
