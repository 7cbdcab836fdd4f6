//! Reading a layout.

use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::{BLOBS, INDEX, LayoutError, MARKER, REF_NAME, VERSION};
use crate::digest::Algorithm;
use crate::manifest::{Descriptor, Document, Index, MAX_MANIFEST};
use crate::parts::{BlobReader, Parts};
use crate::tarball::Tarball;
use crate::{Digest, ManifestError};

/// An image layout to read from.
#[derive(Debug)]
pub struct Layout {
    parts: Parts,
}

/// Which image of a layout is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// The one whose `org.opencontainers.image.ref.name` this is.
    Tag(String),
    /// The one of this digest.
    Digest(Digest),
    /// The only one there is.
    Only,
}

/// The marker of a layout: which version of the specification it follows.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl Layout {
    /// Opens the layout in the directory `path`.
    ///
    /// # Errors
    /// [`LayoutError::NotALayout`] if it lacks the marker file, or has one of another version.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        Self::of(Parts::directory(path)?)
    }

    /// The layout in a tar (containers-transports(5), "oci-archive").
    ///
    /// # Errors
    /// As [`Layout::open`].
    pub fn in_tarball(tarball: Arc<Tarball>) -> Result<Self, LayoutError> {
        Self::of(Parts::Tarball(tarball))
    }

    fn of(parts: Parts) -> Result<Self, LayoutError> {
        const MAX_MARKER: u64 = 4096;
        let not_a_layout = |why| LayoutError::NotALayout { path: parts.path().to_owned(), why };
        let text = parts.small(MARKER, MAX_MARKER)?.ok_or_else(|| not_a_layout("it has no file oci-layout"))?;
        let marker: Marker =
            serde_json::from_slice(&text).map_err(|_| not_a_layout("its file oci-layout is malformed"))?;
        let is_known = marker.image_layout_version == VERSION;
        if is_known { Ok(Self { parts }) } else { Err(not_a_layout("its version is not 1.0.0")) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.parts.path()
    }

    /// `index.json`.
    ///
    /// # Errors
    /// [`LayoutError::Manifest`] if it is no index or larger than a manifest may be.
    pub fn index(&self) -> Result<Index, LayoutError> {
        let bad = |source| LayoutError::Manifest { path: self.path().join(INDEX), source };
        let missing = || LayoutError::NotALayout { path: self.path().to_owned(), why: "it has no file index.json" };
        let text = self.parts.small(INDEX, MAX_MANIFEST as u64)?.ok_or_else(missing)?;
        match Document::parse(&text, None).map_err(bad)? {
            Document::Index(index) => Ok(index),
            Document::Manifest(_) => Err(bad(ManifestError::Unsupported {
                media_type: "image manifest".to_owned(),
                hint: " in this place: index.json has to be an index",
            })),
        }
    }

    /// The descriptor of an image. Of several entries of one name the last counts.
    ///
    /// # Errors
    /// [`LayoutError::NotFound`] lists the names there are.
    pub fn find(&self, name: &Name) -> Result<Descriptor, LayoutError> {
        let index = self.index()?;
        let ref_name = |entry: &Descriptor| entry.annotations.get(REF_NAME).cloned();
        let found = match name {
            Name::Tag(tag) => index.manifests.iter().rfind(|entry| ref_name(entry).as_ref() == Some(tag)),
            Name::Digest(digest) => index.manifests.iter().find(|entry| entry.digest == *digest),
            Name::Only => only(&index.manifests),
        };
        found.cloned().ok_or_else(|| LayoutError::NotFound {
            path: self.path().to_owned(),
            wanted: match name {
                Name::Tag(tag) => format!("there is no image named `{tag}`"),
                Name::Digest(digest) => format!("there is no image {digest}"),
                Name::Only => "there is not exactly one image: say which one is meant".to_owned(),
            },
            present: names(&index),
        })
    }

    /// A blob as a stream that fails at its end if it is not what the descriptor says.
    ///
    /// # Errors
    /// [`LayoutError::Missing`] and [`LayoutError::Size`], before anything is read.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<BlobReader, LayoutError> {
        self.parts.blob(&blob_path(&descriptor.digest), descriptor)
    }

    /// A whole blob of at most `limit` bytes, verified.
    ///
    /// # Errors
    /// [`LayoutError::TooLarge`], and what [`Self::blob`] and reading give.
    pub fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, LayoutError> {
        self.parts.small_blob(&blob_path(&descriptor.digest), descriptor, limit)
    }
}

/// Where a blob is, from the layout's directory.
pub(super) fn blob_path(digest: &Digest) -> String {
    let algorithm = match digest.algorithm() {
        Algorithm::Sha256 => "sha256",
        Algorithm::Sha512 => "sha512",
    };
    format!("{BLOBS}/{algorithm}/{}", digest.hex())
}

fn only(entries: &[Descriptor]) -> Option<&Descriptor> {
    match entries {
        [entry] => Some(entry),
        _ => None,
    }
}

fn names(index: &Index) -> String {
    let name = |entry: &Descriptor| {
        let name = entry.annotations.get(REF_NAME);
        name.map_or_else(|| entry.digest.to_string(), Clone::clone)
    };
    let names: Vec<String> = index.manifests.iter().map(name).collect();
    if names.is_empty() { "no images".to_owned() } else { names.join(", ") }
}
