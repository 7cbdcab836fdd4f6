//! How large an image is when it is unpacked.

use transport::Keep;

use super::Image;
use crate::BuildError;
use crate::error::UnpackError;

impl Image<'_> {
    /// Bytes of all layers before compression, those of the base too.
    ///
    /// A layer of the base whose files the build did not need is read for it, and fetched first if it must be.
    ///
    /// # Errors
    /// [`BuildError::Unpack`] names the layer of a base that cannot be read.
    pub fn uncompressed(&self) -> Result<u64, BuildError> {
        let mut bytes: u64 = self.layers.iter().map(|layer| layer.uncompressed).sum();
        for (image, layer) in &self.bases {
            let failed = |source: UnpackError| BuildError::Unpack { digest: layer.digest.clone(), source };
            let Some(position) = image.manifest.layers.iter().position(|one| one == layer) else { continue };
            let tar = self.workshop.transports.layer_tar(image, position, Keep::Blob);
            let sums = tar.map_err(|error| failed(error.into()))?.finish().map_err(|source| {
                let location = image.location.clone();
                failed(transport::TransportError::Read { location, source }.into())
            })?;
            bytes = bytes.saturating_add(sums.uncompressed);
        }
        Ok(bytes)
    }
}
