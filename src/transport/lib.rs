//! Image sources and sinks: a registry, an OCI layout, archives, a directory, the store.
//!
//! Comes in: locations as users write them. Goes out: images whose manifest and config are read and checked, layers
//! as streams that are checked while they are read, and sinks into which blobs grow but where nothing has a name
//! before it is committed. It never changes a byte of what it passes on.

mod archive;
mod beside;
mod bundle;
mod copy;
mod location;
mod sink;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use oci::docker_archive::{DockerArchiveError, DockerImage};
use oci::layout::LayoutError;
use oci::tarball::{Tarball, TarballError};
use oci::{Digest, ManifestError, Platform};
use rayon::ThreadPool;
use registry::{Registries, RegistryError};
use store::{Store, StoreError};

pub use beside::replace_file;
pub use copy::{Copied, CopyEvent, Which};
pub use location::{Location, LocationError};
pub use oci::docker_archive::Wanted as ArchiveImage;
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
    /// The archives that were opened, by path.
    tarballs: Mutex<BTreeMap<PathBuf, Arc<Tarball>>>,
    /// The images of those of `docker-archive:`.
    docker_images: Mutex<Vec<(Location, Arc<DockerImage>)>>,
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
    /// A tar.
    #[error(transparent)]
    Tarball(#[from] TarballError),
    /// An archive as `docker save` writes it.
    #[error(transparent)]
    DockerArchive(#[from] DockerArchiveError),
    /// An archive that cannot be opened.
    #[error("{path}: cannot read the archive", path = path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A file or directory that cannot be written.
    #[error("{path}: cannot {action}", path = path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// A place that holds something else.
    #[error("{path}: {why}; nothing in it is changed", path = path.display())]
    Occupied {
        /// The place.
        path: PathBuf,
        /// What is there.
        why: &'static str,
    },
    /// What this kind of place cannot hold.
    #[error("{location}: {why}")]
    Unfit {
        /// The place.
        location: Location,
        /// What cannot be held, and what to do.
        why: String,
    },
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
        let (opened, tarballs, docker_images) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { registries, store, files, opened, tarballs, docker_images }
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
            Self::Store(_) | Self::Write { .. } => Kind::Environment,
            Self::Occupied { .. } | Self::Unfit { .. } => Kind::Configuration,
            Self::Layout(_)
            | Self::Tarball(_)
            | Self::DockerArchive(_)
            | Self::Archive { .. }
            | Self::NotStored { .. }
            | Self::Image { .. }
            | Self::LayerCount { .. }
            | Self::LayerType { .. } => Kind::Image,
            Self::Read { .. } | Self::Copy { .. } => Kind::Remote,
        }
    }
}
