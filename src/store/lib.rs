//! Blobs, unpacked layers, stages and named images on local disk.
//!
//! Comes in: verified bytes and trees. Goes out: paths below one directory. A name appears only when what it
//! names is whole: everything is made in a scratch directory and renamed. It never trusts a name it did not
//! make, and never removes what a living process holds a lock on.
//!
//! ```text
//! blobs/sha256/<hex>          blobs, named by digest
//! layers/<owners>/<hex>       unpacked layers, named by diff_id, one tree for each way owners are mapped
//! images/<hex of name>.json   images kept under a name
//! caches/<owners>/<hex>/       directories that steps keep between builds
//! scratch/<n>/                what one process is working on; `lock` inside is held while it lives
//! ```

mod blobs;
mod caches;
mod images;
mod place;
mod scratch;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::DiffId;

pub use blobs::PendingBlob;
pub use caches::{Cache, CacheName, Sharing};
pub use images::StoredImage;
pub use place::{Candidate, NoPlace, Skipped, choose};
pub use scratch::{Scratch, remove_left_overs, remove_tree};

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file system operation failed.
    #[error("{path}: cannot {action} in the store")]
    Io {
        /// What was touched, as the user would name it.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Bytes did not match the name they were to get.
    #[error("blob {expected}: the bytes written have the digest {got}")]
    Mismatch {
        /// The digest they should have.
        expected: oci::Digest,
        /// The digest they have.
        got: oci::Digest,
    },
    /// A record of a stored image cannot be read.
    #[error("{path}: the record of a stored image is damaged; remove it")]
    Record {
        /// The record.
        path: PathBuf,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },
}

impl StoreError {
    /// Whether there was no room left (ENOSPC, EDQUOT): the environment's fault, not the build's.
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Mismatch { .. } | Self::Record { .. } => false,
        }
    }
}

/// An open store.
#[derive(Debug)]
pub struct Store {
    directory: Arc<OwnedFd>,
    /// How the store is reached; differs from `shown` where the parents may not be traversed.
    root: PathBuf,
    shown: PathBuf,
    owners: String,
    scratch: Scratch,
}

impl Store {
    /// Opens the store in `directory`, making its folders. What dead processes left goes with [`remove_left_overs`].
    ///
    /// `shown` is the path for messages. `owners` names how ids are mapped here: unpacked layers are shared only
    /// between processes that say the same.
    ///
    /// # Errors
    /// [`StoreError::Io`] names the folder.
    pub fn open(directory: OwnedFd, shown: &Path, owners: &str) -> Result<Self, StoreError> {
        let root = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        for name in ["blobs/sha256", "blobs/sha512", "images", "scratch"] {
            make_folder(&root, shown, Path::new(name))?;
        }
        make_folder(&root, shown, &Path::new("layers").join(owners))?;
        let directory = Arc::new(directory);
        let scratch = Scratch::create(&directory, &root, shown)?;
        Ok(Self { directory, root, shown: shown.to_owned(), owners: owners.to_owned(), scratch })
    }

    /// The store's directory; names handed out as relative are relative to it.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// The store's path as the user knows it.
    #[must_use]
    pub fn shown(&self) -> &Path {
        &self.shown
    }

    /// This process's own corner, emptied when it ends and removed by the next process if it is killed.
    #[must_use]
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// A path that opens what `relative` names.
    #[must_use]
    pub fn path(&self, relative: &Path) -> PathBuf {
        self.root.join(relative)
    }

    /// Where the unpacked layer is, relative to [`Store::directory`], if it is here whole.
    #[must_use]
    pub fn layer(&self, diff_id: &DiffId) -> Option<PathBuf> {
        let name = self.layer_name(diff_id);
        self.root.join(&name).is_dir().then_some(name)
    }

    /// Names the tree `unpacked` (relative, in scratch) as the layer `diff_id`.
    ///
    /// When another process was faster, its tree stays and ours is dropped with the scratch.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn keep_layer(&self, diff_id: &DiffId, unpacked: &Path) -> Result<PathBuf, StoreError> {
        let name = self.layer_name(diff_id);
        match std::fs::rename(self.root.join(unpacked), self.root.join(&name)) {
            Ok(()) => Ok(name),
            Err(_) if self.root.join(&name).is_dir() => Ok(name),
            Err(source) => Err(self.error(&name, "keep an unpacked layer", source)),
        }
    }

    /// Whether there is practically no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        const LITTLE: u64 = 64 << 10;
        rustix::fs::fstatvfs(&self.directory).is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) < LITTLE)
    }

    fn layer_name(&self, diff_id: &DiffId) -> PathBuf {
        Path::new("layers").join(&self.owners).join(diff_id.0.hex())
    }

    fn error(&self, relative: &Path, action: &'static str, source: io::Error) -> StoreError {
        StoreError::Io { path: self.shown.join(relative), action, source }
    }
}

fn make_folder(root: &Path, shown: &Path, name: &Path) -> Result<(), StoreError> {
    std::fs::create_dir_all(root.join(name)).map_err(|source| StoreError::Io {
        path: shown.join(name),
        action: "make a folder",
        source,
    })
}

/// Opens a directory to hold on to.
///
/// # Errors
/// What the kernel said.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    File::open(path).map(OwnedFd::from)
}

#[cfg(test)]
mod tests;
