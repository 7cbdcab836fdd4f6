//! Blobs by digest: written under a temporary name, hashed on the way, renamed when the digest is right.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::{Digest, Hasher};

use crate::{Store, StoreError};

/// A blob being written. Dropped without [`PendingBlob::commit`] it leaves nothing.
#[derive(Debug)]
pub struct PendingBlob {
    file: File,
    temporary: PathBuf,
    root: PathBuf,
    shown: PathBuf,
    hasher: Hasher,
    is_kept: bool,
    /// Held so that `temporary` and `root`, which lead through it, stay good.
    _store: Arc<OwnedFd>,
}

impl Store {
    /// Whether the blob is here.
    #[must_use]
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.root.join(blob_name(digest)).is_file()
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`StoreError::Io`], also when it is not here.
    pub fn blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let name = blob_name(digest);
        File::open(self.root.join(&name)).map_err(|source| self.error(&name, "open a blob", source))
    }

    /// Starts a blob.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn start_blob(&self) -> Result<PendingBlob, StoreError> {
        let relative = self.scratch().fresh("blob");
        let temporary = self.root.join(&relative);
        let file = File::create_new(&temporary).map_err(|source| self.error(&relative, "create a blob", source))?;
        Ok(PendingBlob {
            file,
            temporary,
            root: self.root.clone(),
            shown: self.shown.clone(),
            hasher: Hasher::default(),
            is_kept: false,
            _store: Arc::clone(&self.directory),
        })
    }

    /// An empty file without a name, to be written and read: it is gone when it is closed.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn nameless(&self, purpose: &str) -> Result<File, StoreError> {
        let relative = self.scratch().fresh(purpose);
        let path = self.root.join(&relative);
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        let file = file.map_err(|source| self.error(&relative, "create a file", source))?;
        std::fs::remove_file(&path).map_err(|source| self.error(&relative, "remove a name", source))?;
        Ok(file)
    }

    /// Keeps `bytes` as a blob.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn keep_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if !self.has_blob(&digest) {
            let mut blob = self.start_blob()?;
            blob.write_all(bytes).map_err(|source| self.error(&blob_name(&digest), "write a blob", source))?;
            blob.commit(&digest)?;
        }
        Ok(digest)
    }

    /// Reads a blob of at most `limit` bytes whole.
    ///
    /// # Errors
    /// [`StoreError::Io`]; a longer blob is an error of kind `FileTooLarge`.
    pub fn small_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let name = blob_name(digest);
        let mut bytes = Vec::new();
        let read = self.blob(digest)?.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|source| self.error(&name, "read a blob", source))?;
        if bytes.len() as u64 > limit {
            return Err(self.error(&name, "read a blob", io::ErrorKind::FileTooLarge.into()));
        }
        Ok(bytes)
    }
}

impl PendingBlob {
    /// Gives the blob its name, if its bytes have the digest `expected`.
    ///
    /// # Errors
    /// [`StoreError::Mismatch`], and then nothing is kept.
    pub fn commit(mut self, expected: &Digest) -> Result<(), StoreError> {
        let got = std::mem::take(&mut self.hasher).finish();
        if got != *expected {
            return Err(StoreError::Mismatch { expected: expected.clone(), got });
        }
        let name = blob_name(expected);
        let renamed = std::fs::rename(&self.temporary, self.root.join(&name));
        renamed.map_err(|source| StoreError::Io { path: self.shown.join(&name), action: "name a blob", source })?;
        self.is_kept = true;
        Ok(())
    }
}

impl Write for PendingBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PendingBlob {
    fn drop(&mut self) {
        if !self.is_kept {
            // The scratch directory goes as a whole in any case.
            drop(std::fs::remove_file(&self.temporary));
        }
    }
}

fn blob_name(digest: &Digest) -> PathBuf {
    let algorithm = if digest.as_str().starts_with("sha512:") { "sha512" } else { "sha256" };
    Path::new("blobs").join(algorithm).join(digest.hex())
}
