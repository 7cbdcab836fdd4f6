//! The directory of `dir:` (containers-transports(5)): one image's manifest, config and layers as plain files.
//!
//! Comes in: a directory, possibly made by somebody else. Goes out: verified blobs, and the names such a directory
//! has for them. It never follows a symlink inside.

use std::path::Path;

use crate::Digest;
use crate::digest::Algorithm;
use crate::layout::LayoutError;
use crate::manifest::{Descriptor, Document, MAX_MANIFEST};
use crate::parts::{BlobReader, Parts};

/// The manifest, or the index where there are several platforms.
pub const MANIFEST: &str = "manifest.json";
/// The file that says what the directory is.
pub const VERSION: &str = "version";
/// What it says; 1.2 where a digest is not SHA-256.
pub const VERSION_TEXT: &str = "Directory Transport Version: 1.1\n";
/// See [`VERSION_TEXT`].
pub const VERSION_TEXT_OTHER_DIGESTS: &str = "Directory Transport Version: 1.2\n";

/// What every version of the directory begins its file `version` with.
const VERSION_START: &[u8] = b"Directory Transport Version: 1.";

/// A directory with one image.
#[derive(Debug)]
pub struct ImageDirectory {
    parts: Parts,
}

/// The file of a blob.
#[must_use]
pub fn blob_name(digest: &Digest) -> String {
    match digest.algorithm() {
        Algorithm::Sha256 => digest.hex().to_owned(),
        Algorithm::Sha512 => format!("sha512-{}", digest.hex()),
    }
}

/// The file of one of several manifests.
#[must_use]
pub fn manifest_name(digest: &Digest) -> String {
    format!("{}.manifest.json", blob_name(digest))
}

impl ImageDirectory {
    /// Opens the directory `path`.
    ///
    /// # Errors
    /// [`LayoutError::Read`]; [`LayoutError::NotALayout`] if it has no file `manifest.json`.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let parts = Parts::directory(path)?;
        if parts.part(MANIFEST)?.is_some() {
            return Ok(Self { parts });
        }
        let why = "it has no file manifest.json, so it is no directory of `dir:`";
        Err(LayoutError::NotALayout { path: path.to_owned(), why })
    }

    /// The manifest or index, with what points to it.
    ///
    /// # Errors
    /// [`LayoutError::Manifest`] if it is neither.
    pub fn manifest(&self) -> Result<(Descriptor, Vec<u8>), LayoutError> {
        let bad = |source| LayoutError::Manifest { path: self.parts.path().join(MANIFEST), source };
        let bytes = self.parts.small(MANIFEST, MAX_MANIFEST as u64)?.unwrap_or_default();
        let (said, usual) = match Document::parse(&bytes, None).map_err(bad)? {
            Document::Manifest(manifest) => (manifest.media_type, crate::manifest::media_type::OCI_MANIFEST),
            Document::Index(index) => (index.media_type, crate::manifest::media_type::OCI_INDEX),
        };
        let media_type = said.unwrap_or_else(|| usual.to_owned());
        Ok((Descriptor::new(&media_type, Digest::of(&bytes), bytes.len() as u64), bytes))
    }

    /// One of the manifests an index names.
    ///
    /// # Errors
    /// As [`Parts::small_blob`].
    pub fn instance(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        self.parts.small_blob(&manifest_name(&descriptor.digest), descriptor, MAX_MANIFEST as u64)
    }

    /// A blob, checked while it is read.
    ///
    /// # Errors
    /// As [`Parts::blob`].
    pub fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader, LayoutError> {
        self.parts.blob(&blob_name(&descriptor.digest), descriptor)
    }

    /// A whole blob of at most `limit` bytes, verified.
    ///
    /// # Errors
    /// As [`Parts::small_blob`].
    pub fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, LayoutError> {
        self.parts.small_blob(&blob_name(&descriptor.digest), descriptor, limit)
    }
}

/// Whether the text of a file `version` is one of such a directory.
#[must_use]
pub fn is_version(text: &[u8]) -> bool {
    text.starts_with(VERSION_START)
}
