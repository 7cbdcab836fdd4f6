//! Copying an image from one place to another, its bytes unchanged.
//!
//! Comes in: two places, and which of the images at the first. Goes out: the image at the second under the same
//! digests, where that place keeps manifests. It never compresses, never rewrites a manifest, and never sends what is
//! there already.

use oci::{Descriptor, Document, Manifest, Platform};

use crate::sink::Moved;
use crate::source::{document, small_blob};
use crate::{Location, Sink, TransportError, Transports};

/// Images in an index copied at most.
const MAX_INSTANCES: usize = 1000;

/// Which images are copied where there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which<'a> {
    /// The one for this platform.
    Platform(&'a Platform),
    /// All, with their index.
    All,
}

/// What happens while an image is copied.
#[derive(Clone, Copy, Debug)]
pub enum CopyEvent<'a> {
    /// A blob was there.
    WasThere(&'a Descriptor),
    /// A blob was mounted from another repository.
    Mounted(&'a Descriptor),
    /// A blob was sent.
    Sent(&'a Descriptor),
}

/// An image that was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// What points to its manifest or index.
    pub descriptor: Descriptor,
    /// Where it came from, by digest where the place has digests.
    pub from: Location,
    /// Whether the destination has it under that digest; `docker-archive:` keeps no manifests.
    pub keeps_digest: bool,
}

impl Transports {
    /// Copies the image at `from` into `sink`.
    ///
    /// # Errors
    /// [`TransportError`]; the image has no name at the destination then.
    pub fn copy(
        &self,
        from: &Location,
        which: Which<'_>,
        sink: &Sink<'_>,
        observe: &dyn Fn(CopyEvent<'_>),
    ) -> Result<Copied, TransportError> {
        let copy = Copy { transports: self, sink, observe };
        let (descriptor, from) = match which {
            Which::Platform(platform) => {
                let image = self.open(from, platform)?;
                copy.blobs(&image.location, &image.manifest, &image.config_bytes)?;
                sink.put_manifest(&without_annotations(&image.descriptor), &image.manifest_bytes, &[])?;
                (image.descriptor, image.location)
            }
            Which::All => (copy.all(from)?, from.clone()),
        };
        let keeps_digest = !matches!(sink.location(), Location::DockerArchive { .. });
        Ok(Copied { descriptor, from, keeps_digest })
    }
}

struct Copy<'a> {
    transports: &'a Transports,
    sink: &'a Sink<'a>,
    observe: &'a dyn Fn(CopyEvent<'_>),
}

impl Copy<'_> {
    fn all(&self, from: &Location) -> Result<Descriptor, TransportError> {
        let (descriptor, bytes, document) = document(self.transports, from, None)?;
        match document {
            Document::Manifest(manifest) => self.manifest(from, &manifest)?,
            Document::Index(index) => {
                if index.manifests.len() > MAX_INSTANCES {
                    let why = format!("the index has more than the {MAX_INSTANCES} images allowed");
                    return Err(TransportError::Unfit { location: from.clone(), why });
                }
                for entry in &index.manifests {
                    self.instance(from, entry)?;
                }
            }
        }
        self.sink.put_manifest(&without_annotations(&descriptor), &bytes, &[])?;
        Ok(descriptor)
    }

    fn instance(&self, from: &Location, entry: &Descriptor) -> Result<(), TransportError> {
        let (descriptor, bytes, document) = document(self.transports, from, Some(entry))?;
        match document {
            Document::Manifest(manifest) => self.manifest(from, &manifest)?,
            Document::Index(_) => {
                let media_type = descriptor.media_type;
                let source = oci::ManifestError::Unsupported { media_type, hint: " inside another index" };
                return Err(TransportError::Image { location: from.clone(), source });
            }
        }
        self.sink.put_instance(&descriptor, &bytes)
    }

    fn manifest(&self, from: &Location, manifest: &Manifest) -> Result<(), TransportError> {
        self.blobs(from, manifest, &small_blob(self.transports, from, &manifest.config)?)
    }

    fn blobs(&self, from: &Location, manifest: &Manifest, config: &[u8]) -> Result<(), TransportError> {
        for layer in &manifest.layers {
            let event = match self.sink.copy_blob(from, layer)? {
                Moved::WasThere => CopyEvent::WasThere(layer),
                Moved::Mounted => CopyEvent::Mounted(layer),
                Moved::Sent => CopyEvent::Sent(layer),
            };
            (self.observe)(event);
        }
        self.sink.put(&manifest.config.digest, config)
    }
}

/// What an index said about its entry is not said by the next index.
fn without_annotations(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(&descriptor.media_type, descriptor.digest.clone(), descriptor.size)
}
