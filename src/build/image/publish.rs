//! From an approved image to one that has its names, name by name.
//!
//! Comes in: an [`Approved`] image. Goes out: a [`Stored`] one, whose parts are all at their destinations, and which gets
//! its names when and in the order somebody asks for; then a [`Published`] one. It never names what was not stored.

use oci::{Descriptor, Digest};
use transport::{Location, Sink};

use super::Approved;
use crate::{BuildError, Event, Workshop};

/// An image that has its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The manifest.
    pub digest: Digest,
    /// The manifest, as one that refers to it names it.
    pub descriptor: Descriptor,
    /// Where it is.
    pub locations: Vec<Location>,
}

/// An image whose blobs are where it goes; only the names are missing.
#[derive(Debug)]
pub struct Stored<'w> {
    workshop: Workshop<'w>,
    descriptor: Descriptor,
    manifest: Vec<u8>,
    places: Vec<Place<'w>>,
    named: Vec<Location>,
}

/// One destination.
#[derive(Debug)]
struct Place<'w> {
    sink: Sink<'w>,
    /// All its names, in order.
    names: Vec<Location>,
}

impl<'w> Approved<'w> {
    /// Commits the blobs at all destinations. Equal blobs that are there are not sent again.
    ///
    /// # Errors
    /// [`BuildError::Publish`] names the destination; the image has no name anywhere then.
    pub fn store(self) -> Result<Stored<'w>, BuildError> {
        let image = self.0;
        let size = u64::try_from(image.manifest_bytes.len()).unwrap_or(u64::MAX);
        let media_type = image.manifest.media_type.clone().unwrap_or_default();
        let descriptor = Descriptor::new(&media_type, image.digest(), size);
        let mut places = Vec::new();
        for output in image.outputs {
            let location = output.sink.location().clone();
            (image.workshop.observer)(Event::Publishing { location: &location });
            let failed = |source| BuildError::Publish { location: location.clone(), source };
            for (base, layer) in &image.bases {
                if image.workshop.cancel.is_set() {
                    return Err(BuildError::Cancelled);
                }
                output.sink.copy_layer(base, layer).map_err(failed)?;
            }
            for (layer, blob) in image.layers.iter().zip(output.blobs) {
                blob.commit(&layer.descriptor.digest).map_err(failed)?;
            }
            output.sink.put_blob(&image.config_bytes).map_err(failed)?;
            let names = std::iter::once(location).chain(output.further).collect();
            places.push(Place { sink: output.sink, names });
        }
        Ok(Stored { workshop: image.workshop, descriptor, manifest: image.manifest_bytes, places, named: Vec::new() })
    }
}

impl Stored<'_> {
    /// Gives the image those of its names that it has not yet and that `is_due`, in their order. A place that is no
    /// registry gets all its names as soon as one is due.
    ///
    /// # Errors
    /// [`BuildError::Publish`] names the name that failed; the image has those before it.
    pub fn name(&mut self, is_due: &dyn Fn(&Location) -> bool) -> Result<(), BuildError> {
        let Self { workshop, descriptor, manifest, places, named } = self;
        for place in places {
            let own = place.sink.location();
            let is_registry = own.in_registry().is_some();
            let is_wanted = |name: &Location| is_due(name) || (!is_registry && place.names.iter().any(is_due));
            let due: Vec<&Location> =
                place.names.iter().filter(|name| !named.contains(name) && is_wanted(name)).collect();
            let failed = |location: &Location, source| BuildError::Publish { location: location.clone(), source };
            if !is_registry && !due.is_empty() {
                let further = place.names.get(1..).unwrap_or_default();
                place.sink.put_manifest(descriptor, manifest, further).map_err(|source| failed(own, source))?;
            }
            for location in due {
                if is_registry {
                    let put = place.sink.put_name(descriptor, manifest, location);
                    put.map_err(|source| failed(location, source))?;
                }
                (workshop.observer)(Event::PublishDone { location, digest: &descriptor.digest });
                named.push(location.clone());
            }
        }
        Ok(())
    }

    /// What has its names now.
    #[must_use]
    pub fn published(&self) -> Published {
        let (digest, descriptor) = (self.descriptor.digest.clone(), self.descriptor.clone());
        Published { digest, descriptor, locations: self.named.clone() }
    }
}
