//! The OCI image layout (OCI image-spec, image-layout.md), in and out.
//!
//! Comes in: a directory, possibly made by somebody else. Goes out: verified blobs, or a layout others can read.
//! It never follows a symlink inside a layout, and never leaves a half-written file under a final name.

mod read;
mod tar;
mod write;

use std::io;
use std::path::PathBuf;

pub use read::{Layout, Name};
pub use tar::entries;
pub use write::{LayoutWriter, PendingBlob};

pub use crate::parts::BlobReader;
use crate::tarball::TarballError;
use crate::{Digest, ManifestError};

/// The annotation with an image's name in a layout (annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

const MARKER: &str = "oci-layout";
const VERSION: &str = "1.0.0";
const INDEX: &str = "index.json";
const BLOBS: &str = "blobs";

/// The text of the marker.
fn marker_text() -> String {
    format!("{{\"imageLayoutVersion\":\"{VERSION}\"}}")
}

/// Why a layout cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file or directory that cannot be read.
    #[error("{path}: cannot read it: {source}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file or directory that cannot be written.
    #[error("{path}: cannot write it: {source}", path = path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A directory that is no layout, or one of a version unknown to us.
    #[error("{path}: not an OCI image layout: {why}", path = path.display())]
    NotALayout {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// An index or manifest that cannot be understood.
    #[error("{path}: {source}", path = path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A blob that its layout lists and does not have.
    #[error("{path}: there is no blob {digest} in it", path = path.display())]
    Missing {
        /// The layout.
        path: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A blob that is not what its name says.
    #[error("{path}: the blob {expected} has the digest {found}: it is damaged", path = path.display())]
    Digest {
        /// The layout, or the pending blob.
        path: PathBuf,
        /// What it is called.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// A blob of another size than its descriptor says.
    #[error("{path}: the blob {digest} should have {expected} bytes and has {found}", path = path.display())]
    Size {
        /// The layout.
        path: PathBuf,
        /// The blob.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A blob too large to be what it is said to be.
    #[error("{path}: the blob {digest} has {size} bytes, more than the {limit} allowed", path = path.display())]
    TooLarge {
        /// The layout, or a file in it.
        path: PathBuf,
        /// The blob.
        digest: Digest,
        /// Its size.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// A file too large to be what it is called.
    #[error("{path}: it has {size} bytes, more than the {limit} allowed", path = path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The tar the layout is in.
    #[error(transparent)]
    Tarball(#[from] TarballError),
    /// No image of that name, or no name where there are several images.
    #[error("{path}: {wanted}; the layout has: {present}", path = path.display())]
    NotFound {
        /// The layout.
        path: PathBuf,
        /// What was looked for.
        wanted: String,
        /// The names there are.
        present: String,
    },
}

#[cfg(test)]
mod tests;
