//! Reading a layout.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use serde::Deserialize;

use super::{BLOBS, INDEX, LayoutError, MARKER, REF_NAME, VERSION};
use crate::digest::{Algorithm, Hasher};
use crate::manifest::{Descriptor, Document, Index, MAX_MANIFEST};
use crate::{Digest, ManifestError};

/// An image layout to read from.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    directory: OwnedFd,
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
        const MAX_MARKER: u64 = 4096;
        let not_a_layout = |why| LayoutError::NotALayout { path: path.to_owned(), why };
        let directory = fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| LayoutError::Read { path: path.to_owned(), source: error.into() })?;
        let layout = Self { path: path.to_owned(), directory };
        let marker = layout.file(MARKER)?.ok_or_else(|| not_a_layout("it has no file oci-layout"))?;
        let mut text = Vec::new();
        marker.take(MAX_MARKER).read_to_end(&mut text).map_err(layout.unreadable(MARKER))?;
        let marker: Marker =
            serde_json::from_slice(&text).map_err(|_| not_a_layout("its file oci-layout is malformed"))?;
        let is_known = marker.image_layout_version == VERSION;
        if is_known { Ok(layout) } else { Err(not_a_layout("its version is not 1.0.0")) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `index.json`.
    ///
    /// # Errors
    /// [`LayoutError::Manifest`] if it is no index or larger than a manifest may be.
    pub fn index(&self) -> Result<Index, LayoutError> {
        let bad = |source| LayoutError::Manifest { path: self.path.join(INDEX), source };
        let missing = || LayoutError::NotALayout { path: self.path.clone(), why: "it has no file index.json" };
        let file = self.file(INDEX)?.ok_or_else(missing)?;
        let mut text = Vec::new();
        file.take(MAX_MANIFEST as u64 + 1).read_to_end(&mut text).map_err(self.unreadable(INDEX))?;
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
            path: self.path.clone(),
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
        let (digest, expected) = (&descriptor.digest, descriptor.size);
        let name = blob_path(digest);
        let missing = || LayoutError::Missing { path: self.path.clone(), digest: digest.clone() };
        let file = self.file(&name)?.ok_or_else(missing)?;
        let found = file.metadata().map_err(self.unreadable(&name))?.len();
        if found != expected {
            return Err(LayoutError::Size { path: self.path.clone(), digest: digest.clone(), expected, found });
        }
        let hasher = Some(Hasher::new(digest.algorithm()));
        Ok(BlobReader { file, left: expected, expected: digest.clone(), hasher, path: self.path.clone() })
    }

    /// A whole blob of at most `limit` bytes, verified.
    ///
    /// # Errors
    /// [`LayoutError::TooLarge`], and what [`Self::blob`] and reading give.
    pub fn small_blob(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, LayoutError> {
        let (size, digest) = (descriptor.size, || descriptor.digest.clone());
        if size > limit {
            return Err(LayoutError::TooLarge { path: self.path.clone(), digest: digest(), size, limit });
        }
        let mut blob = self.blob(descriptor)?;
        let mut bytes = Vec::new();
        blob.file.by_ref().take(size + 1).read_to_end(&mut bytes).map_err(self.unreadable(&blob_path(&digest())))?;
        let mut hasher = Hasher::new(descriptor.digest.algorithm());
        hasher.update(&bytes);
        let found = hasher.finish();
        if found == descriptor.digest {
            return Ok(bytes);
        }
        Err(LayoutError::Digest { path: self.path.clone(), expected: digest(), found })
    }

    /// Opens a regular file of the layout, `None` if it is not there.
    fn file(&self, name: &str) -> Result<Option<File>, LayoutError> {
        let file = open_inside(self.directory.as_fd(), name, OFlags::RDONLY | OFlags::NONBLOCK);
        let file = match file {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.unreadable(name)(error.into())),
        };
        let is_file = file.metadata().map_err(self.unreadable(name))?.is_file();
        let not_a_file = || io::Error::other("it is not a regular file");
        if is_file { Ok(Some(file)) } else { Err(self.unreadable(name)(not_a_file())) }
    }

    fn unreadable(&self, name: &str) -> impl Fn(io::Error) -> LayoutError {
        let path = self.path.join(name);
        move |source| LayoutError::Read { path: path.clone(), source }
    }
}

/// Opens a file of a layout, following no symlink.
pub(super) fn open_inside(
    directory: std::os::fd::BorrowedFd<'_>,
    name: &str,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    fs::openat2(directory, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
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

/// A blob being read; the read that reaches the end fails if the digest is not the right one.
#[derive(Debug)]
pub struct BlobReader {
    file: File,
    left: u64,
    expected: Digest,
    hasher: Option<Hasher>,
    path: PathBuf,
}

impl Read for BlobReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let count = self.file.read(into.get_mut(..most).unwrap_or_default())?;
        let Some(hasher) = &mut self.hasher else { return Ok(0) };
        hasher.update(into.get(..count).unwrap_or_default());
        self.left -= count as u64;
        if self.left > 0 && count > 0 {
            return Ok(count);
        }
        let Some(hasher) = self.hasher.take() else { return Ok(count) };
        let (path, expected, found) = (self.path.clone(), self.expected.clone(), hasher.finish());
        let is_right = found == expected;
        if is_right { Ok(count) } else { Err(io::Error::other(LayoutError::Digest { path, expected, found })) }
    }
}
