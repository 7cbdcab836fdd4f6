//! Writing a layout.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use super::read::{Layout, blob_path};
use super::{BLOBS, INDEX, LayoutError, MARKER, REF_NAME};
use crate::Digest;
use crate::digest::{Algorithm, Hasher};
use crate::manifest::{Descriptor, Index, MAX_MANIFEST, canonical, media_type};

/// An image layout to write to.
///
/// Several processes may write to one layout: blobs are renamed into place, and the index is changed under a lock.
#[derive(Debug)]
pub struct LayoutWriter {
    path: PathBuf,
}

/// A blob that is being written and has no name yet; dropping it removes it.
#[derive(Debug)]
pub struct PendingBlob {
    layout: PathBuf,
    temporary: Temporary,
    file: File,
    hasher: Hasher,
}

/// A file that is removed unless it was given its name.
#[derive(Debug)]
struct Temporary {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "a temporary file stays behind");
        }
    }
}

fn unwritable(path: &Path) -> impl Fn(io::Error) -> LayoutError {
    move |source| LayoutError::Write { path: path.to_owned(), source }
}

impl LayoutWriter {
    /// Makes a layout in the directory `path`, or opens the one that is there.
    ///
    /// # Errors
    /// [`LayoutError::NotALayout`] for a directory that holds something else.
    pub fn create_or_open(path: &Path) -> Result<Self, LayoutError> {
        let blobs = path.join(BLOBS).join("sha256");
        let writer = Self { path: path.to_owned() };
        if path.join(MARKER).exists() {
            Layout::open(path)?;
        } else if is_used(path)? {
            let why = "it has no file oci-layout, and other files are in it";
            return Err(LayoutError::NotALayout { path: path.to_owned(), why });
        }
        fs::create_dir_all(&blobs).map_err(unwritable(&blobs))?;
        writer.check_is_ours()?;
        if !path.join(INDEX).exists() {
            writer.replace(INDEX, &index_bytes(&empty_index(), path)?)?;
        }
        if !path.join(MARKER).exists() {
            writer.replace(MARKER, super::marker_text().as_bytes())?;
        }
        Ok(writer)
    }

    /// A layout of somebody else must not lead our blobs out of it.
    fn check_is_ours(&self) -> Result<(), LayoutError> {
        let is_directory = |path: PathBuf| path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let blobs = self.path.join(BLOBS);
        let sha512 = blobs.join("sha512");
        let is_ours = (is_directory(sha512.clone()) || sha512.symlink_metadata().is_err())
            && is_directory(blobs.join("sha256"))
            && is_directory(blobs);
        let why = "in blobs/ there is something other than directories";
        if is_ours { Ok(()) } else { Err(LayoutError::NotALayout { path: self.path.clone(), why }) }
    }

    /// The layout, to read from.
    ///
    /// # Errors
    /// As [`Layout::open`].
    pub fn layout(&self) -> Result<Layout, LayoutError> {
        Layout::open(&self.path)
    }

    /// Whether a blob of this digest is there; its content is not looked at.
    #[must_use]
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.path.join(blob_path(digest)).symlink_metadata().is_ok_and(|metadata| metadata.is_file())
    }

    /// Starts a blob whose SHA-256 digest is known at its end.
    ///
    /// # Errors
    /// [`LayoutError::Write`].
    pub fn start_blob(&self) -> Result<PendingBlob, LayoutError> {
        self.start_blob_with(Algorithm::Sha256)
    }

    /// Starts a blob that a digest of `algorithm` names.
    ///
    /// # Errors
    /// [`LayoutError::Write`].
    pub fn start_blob_with(&self, algorithm: Algorithm) -> Result<PendingBlob, LayoutError> {
        let (temporary, file) = self.temporary()?;
        Ok(PendingBlob { layout: self.path.clone(), temporary, file, hasher: Hasher::new(algorithm) })
    }

    /// Writes a small blob: a config or a manifest.
    ///
    /// # Errors
    /// [`LayoutError::Write`].
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, LayoutError> {
        let digest = Digest::of(bytes);
        if !self.has_blob(&digest) {
            let mut blob = self.start_blob()?;
            blob.write_all(bytes).map_err(unwritable(&self.path))?;
            blob.commit(&digest)?;
        }
        Ok(digest)
    }

    /// Writes a manifest or index and lists it in `index.json`, in the place of the entry that had its name.
    ///
    /// Without a name an entry of the same digest is replaced. The descriptor's annotations are kept.
    ///
    /// # Errors
    /// [`LayoutError::Digest`] if the bytes are not the descriptor's; [`LayoutError::Write`].
    pub fn put_manifest(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        ref_name: Option<&str>,
    ) -> Result<(), LayoutError> {
        let mut blob = self.start_blob_with(descriptor.digest.algorithm())?;
        blob.write_all(bytes).map_err(unwritable(&self.path))?;
        blob.commit(&descriptor.digest)?;
        let mut entry = descriptor.clone();
        entry.size = bytes.len() as u64;
        if let Some(name) = ref_name {
            entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
        }
        let _lock = self.lock()?;
        let mut index = self.layout()?.index()?;
        let name = entry.annotations.get(REF_NAME);
        let is_replaced = |old: &Descriptor| {
            let old_name = old.annotations.get(REF_NAME);
            old_name == name && (name.is_some() || old.digest == entry.digest)
        };
        index.manifests.retain(|old| !is_replaced(old));
        index.manifests.push(entry);
        self.replace(INDEX, &index_bytes(&index, &self.path)?)
    }

    /// Keeps other processes from changing the index until dropped.
    fn lock(&self) -> Result<OwnedFd, LayoutError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let locked = rustix::fs::open(&self.path, flags, Mode::empty())
            .and_then(|directory| flock(&directory, FlockOperation::LockExclusive).map(|()| directory));
        locked.map_err(|error| unwritable(&self.path)(error.into()))
    }

    /// Puts a file in place of another at once.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), LayoutError> {
        let path = self.path.join(name);
        let (temporary, mut file) = self.temporary()?;
        file.write_all(bytes).map_err(unwritable(&temporary.path))?;
        temporary.keep_as(&path)
    }

    fn temporary(&self) -> Result<(Temporary, File), LayoutError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = self.path.join(BLOBS).join(format!(".pending-{}-{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Temporary { path, is_kept: false }, file)),
                // Left behind by a process that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(LayoutError::Write { path, source }),
            }
        }
    }
}

impl Temporary {
    fn keep_as(mut self, path: &Path) -> Result<(), LayoutError> {
        fs::rename(&self.path, path).map_err(unwritable(path))?;
        self.is_kept = true;
        Ok(())
    }
}

fn is_used(path: &Path) -> Result<bool, LayoutError> {
    match fs::read_dir(path) {
        // `blobs` alone is a layout whose making was interrupted.
        Ok(mut names) => Ok(names.any(|name| !name.is_ok_and(|name| name.file_name() == BLOBS))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(LayoutError::Read { path: path.to_owned(), source }),
    }
}

pub(super) fn empty_index() -> Index {
    Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        manifests: Vec::new(),
        annotations: std::collections::BTreeMap::new(),
        other: serde_json::Map::new(),
    }
}

fn index_bytes(index: &Index, path: &Path) -> Result<Vec<u8>, LayoutError> {
    let path = path.join(INDEX);
    let bytes = canonical(index).map_err(|source| LayoutError::Write { path: path.clone(), source: source.into() })?;
    let is_too_large = bytes.len() > MAX_MANIFEST;
    let too_large = || io::Error::other("the layout has so many images that nobody would read its index");
    if is_too_large { Err(LayoutError::Write { path, source: too_large() }) } else { Ok(bytes) }
}

impl PendingBlob {
    /// Gives the blob its name, if it is what `expected` says.
    ///
    /// # Errors
    /// [`LayoutError::Digest`] if it is not `expected`; the blob is then removed.
    pub fn commit(self, expected: &Digest) -> Result<(), LayoutError> {
        let Self { layout, temporary, file, hasher } = self;
        drop(file);
        let found = hasher.finish();
        if found != *expected {
            let path = temporary.path.clone();
            return Err(LayoutError::Digest { path, expected: expected.clone(), found });
        }
        let path = layout.join(blob_path(expected));
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(unwritable(directory))?;
        }
        temporary.keep_as(&path)
    }

    /// Removes the blob.
    pub fn abort(self) {
        drop(self);
    }
}

impl Write for PendingBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
