//! Image sources and sinks: a registry, an OCI layout, the store.
//!
//! Comes in: locations as users write them. Goes out: images whose manifest and config are read and checked, layers
//! as streams that are checked while they are read, and sinks into which blobs grow but where nothing has a name
//! before it is committed. It never changes a byte of what it passes on.

mod location;
mod sink;
mod source;

use std::sync::{Arc, Mutex};

use oci::layout::LayoutError;
use oci::{Digest, ManifestError, Platform};
use rayon::ThreadPool;
use registry::{Registries, RegistryError};
use store::{Store, StoreError};

pub use location::{Location, LocationError};
pub use sink::{PendingBlob, Sink};
pub use source::{Keep, LayerTar, SourceImage};

/// The ways to images of one run, shared by its threads.
#[derive(Debug)]
pub struct Transports {
    registries: Registries,
    store: Arc<Store>,
    /// Threads that touch files named by the user, as the user.
    files: Arc<ThreadPool>,
    /// The images that were opened.
    opened: Mutex<Vec<(Location, Platform, SourceImage)>>,
}

/// Why an image could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store has no image of that name.
    #[error("store:{name}: no such image in the store; build it with `-t {name}` first")]
    NotStored {
        /// The name.
        name: String,
    },
    /// A manifest, index or config is malformed, or nothing fits the platform.
    #[error("{location}: {source}")]
    Image {
        /// The image.
        location: Location,
        /// What is wrong.
        source: ManifestError,
    },
    /// Manifest and config disagree about the layers.
    #[error("{location}: the manifest has {layers} layers, the config {diff_ids}")]
    LayerCount {
        /// The image.
        location: Location,
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// A layer of a media type this program does not know.
    #[error("{location}: layer {digest} has the media type `{media_type}`, which is no layer's")]
    LayerType {
        /// The image.
        location: Location,
        /// The layer.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// A layer could not be read.
    #[error("{location}: a layer cannot be read")]
    Read {
        /// The image.
        location: Location,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// Bytes could not be passed on.
    #[error("{what}: cannot be copied to {to}")]
    Copy {
        /// The blob.
        what: Digest,
        /// Where it was to go.
        to: Location,
        /// What went wrong, on either side.
        #[source]
        source: std::io::Error,
    },
}

impl Transports {
    /// The ways through `registries` and `store`; `files` are threads that may do what the user may.
    #[must_use]
    pub fn new(registries: Registries, store: Arc<Store>, files: Arc<ThreadPool>) -> Self {
        Self { registries, store, files, opened: Mutex::default() }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The registries.
    #[must_use]
    pub fn registries(&self) -> &Registries {
        &self.registries
    }

    /// The image that a name stands for as people write it, perhaps without a registry.
    ///
    /// # Errors
    /// [`LocationError::Name`].
    pub fn reference(&self, name: &str) -> Result<oci::Reference, LocationError> {
        Ok(self.registries.reference(name)?)
    }

    /// Reads manifest and config of the image at `location`, the one for `platform` where there is a choice.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn open(&self, location: &Location, platform: &Platform) -> Result<SourceImage, TransportError> {
        source::open(self, location, platform)
    }

    /// Opens a place to write an image to. Nothing is written yet.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn sink(&self, location: &Location) -> Result<Sink<'_>, TransportError> {
        Sink::open(self, location)
    }
}

/// Whose turn it is when an image cannot be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The image is not there, or is damaged.
    Image,
    /// What was configured, such as credentials, cannot be used.
    Configuration,
    /// This machine: no space, no permission.
    Environment,
    /// A service failed or said no.
    Remote,
}

impl TransportError {
    /// Whose turn it is, from which the exit code follows.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Registry(error) => match error.kind() {
                registry::Kind::NoSuchImage => Kind::Image,
                registry::Kind::Configuration => Kind::Configuration,
                registry::Kind::Service => Kind::Remote,
            },
            Self::Store(_) => Kind::Environment,
            Self::Layout(_)
            | Self::NotStored { .. }
            | Self::Image { .. }
            | Self::LayerCount { .. }
            | Self::LayerType { .. } => Kind::Image,
            Self::Read { .. } | Self::Copy { .. } => Kind::Remote,
        }
    }
}
