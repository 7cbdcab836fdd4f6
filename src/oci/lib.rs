//! OCI image data: digests, references, platforms, manifests, configs, layers and the image layout.
//!
//! Comes in: bytes and text as registries, layouts and Dockerfiles hold them. Goes out: typed values, and
//! bytes that are the same for the same values. It never opens a network connection and asks no clock.

pub mod config;
pub mod digest;
pub mod docker_archive;
pub mod image_directory;
pub mod layer;
pub mod layout;
pub mod manifest;
pub mod parts;
pub mod platform;
pub mod reference;
pub mod tarball;

pub use config::ImageConfig;
pub use digest::{DiffId, Digest, DigestError, Hasher};
pub use manifest::{Descriptor, Document, Format, Index, Manifest, ManifestError};
pub use platform::Platform;
pub use reference::{ImageName, Reference, ReferenceError};
