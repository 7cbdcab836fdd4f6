//! What can go wrong while a layer is unpacked.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::layer::{ArchiveError, NameError, shown};

/// Why a layer could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The tar cannot be read, is malformed, or too large.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A name that no file can have.
    #[error("{path}: the tar has an entry of this name, which cannot be used: {why}", path = path.display())]
    Name {
        /// The name as it is in the tar.
        path: PathBuf,
        /// What is wrong with it.
        why: NameError,
    },
    /// A symlink that nobody could follow.
    #[error("{path}: the tar has a symlink here whose target cannot be used: {why}", path = path.display())]
    Target {
        /// The symlink.
        path: PathBuf,
        /// What is wrong with its target.
        why: NameError,
    },
    /// Something other than a directory in place of the root.
    #[error("the tar has an entry `{name}` that would replace the root directory", name = name.display())]
    Root {
        /// The name as it is in the tar.
        name: PathBuf,
    },
    /// A whiteout of nothing, of `.` or `..`, or a whiteout used as a directory.
    #[error("{path}: the tar has a whiteout of this name, which hides nothing a layer may hide", path = path.display())]
    Whiteout {
        /// The whiteout.
        path: PathBuf,
    },
    /// A hard link to a file that this layer does not have; a lower layer may.
    #[error("{path}: the tar has this as a hard link to {target}, which it does not hold before it", path = path.display(), target = target.display())]
    HardlinkMissing {
        /// The link.
        path: PathBuf,
        /// What it should link to.
        target: PathBuf,
    },
    /// A hard link that cannot be made, to a directory for example.
    #[error("{path}: cannot make the hard link to {target}: {source}", path = path.display(), target = target.display())]
    Hardlink {
        /// The link.
        path: PathBuf,
        /// What it should link to.
        target: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A parent that is there but no directory.
    #[error("{path}: the tar puts files into this, but it is not a directory", path = path.display())]
    Parent {
        /// The parent.
        path: PathBuf,
    },
    /// An owner that cannot be given to a file.
    #[error("{path}: cannot give it to {uid}:{gid}: {source}; the user namespace may not map these ids", path = path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// What the kernel said.
        source: io::Error,
    },
    /// An extended attribute that cannot be set.
    #[error("{path}: cannot set the extended attribute `{name}`: {source}", path = path.display())]
    Xattr {
        /// The file.
        path: PathBuf,
        /// The attribute.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Content that cannot be written.
    #[error("{path}: cannot write the file: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said; a full disk for example.
        source: io::Error,
    },
    /// Anything else the kernel refused.
    #[error("{path}: cannot {what}: {source}", path = path.display())]
    Place {
        /// The entry, empty for the root.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// No safe way to open files.
    #[error(
        "the kernel has no openat2, which unpacking layers safely needs: use Linux 5.6 or later, or a seccomp profile that allows it"
    )]
    NoOpenat2,
    /// More names to keep in mind than allowed.
    #[error("the tar has so many directories that remembering them takes more than {limit} bytes")]
    Remembered {
        /// How much is allowed.
        limit: usize,
    },
}

/// Turns what the kernel said about `path` into an error.
pub(super) fn at(path: &[u8], what: &'static str) -> impl Fn(Errno) -> ApplyError {
    move |error| match error {
        Errno::NOSYS => ApplyError::NoOpenat2,
        error => ApplyError::Place { path: shown(path), what, source: error.into() },
    }
}

impl ApplyError {
    pub(super) fn forbidden(path: &[u8]) -> Self {
        at(path, "make")(Errno::PERM)
    }

    /// Whether this user may not do it, as opposed to nobody can.
    pub(super) fn is_forbidden(&self) -> bool {
        matches!(self, Self::Place { source, .. } if source.raw_os_error() == Some(Errno::PERM.raw_os_error()))
    }

    pub(super) fn of_link(self, target: &[u8]) -> Self {
        match self {
            Self::Place { path, source, .. } => Self::Hardlink { path, target: shown(target), source },
            other @ (Self::Archive(_)
            | Self::Name { .. }
            | Self::Target { .. }
            | Self::Root { .. }
            | Self::Whiteout { .. }
            | Self::HardlinkMissing { .. }
            | Self::Hardlink { .. }
            | Self::Parent { .. }
            | Self::Owner { .. }
            | Self::Xattr { .. }
            | Self::Write { .. }
            | Self::NoOpenat2
            | Self::Remembered { .. }) => other,
        }
    }
}
