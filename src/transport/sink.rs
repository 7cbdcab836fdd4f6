//! Places to write an image to.

use std::io::{self, Read, Write};

use oci::layout::LayoutWriter;
use oci::{Descriptor, Digest, Reference};
use registry::{Mounted, Upload};
use store::StoredImage;

use crate::source::SourceImage;
use crate::{Location, TransportError, Transports};

/// Bytes passed on at a time.
const CHUNK: usize = 256 << 10;

/// An open place to write to; nothing in it has a name before a commit.
#[derive(Debug)]
pub struct Sink<'t> {
    transports: &'t Transports,
    location: Location,
    layout: Option<LayoutWriter>,
}

/// A blob that grows at its destination. Dropped before [`PendingBlob::commit`] it is deleted there.
#[derive(Debug)]
pub struct PendingBlob<'t> {
    inner: Inner,
    transports: &'t Transports,
    location: Location,
}

#[derive(Debug)]
enum Inner {
    Registry(Box<Upload>),
    Layout(oci::layout::PendingBlob),
    Store(store::PendingBlob),
}

impl<'t> Sink<'t> {
    pub(crate) fn open(transports: &'t Transports, location: &Location) -> Result<Self, TransportError> {
        let layout = match location {
            Location::Layout { path, .. } => Some(transports.files.install(|| LayoutWriter::create_or_open(path))?),
            Location::Registry(_) | Location::Store(_) => None,
        };
        Ok(Self { transports, location: location.clone(), layout })
    }

    /// Where it is.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Starts a blob.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn start_blob(&self) -> Result<PendingBlob<'t>, TransportError> {
        let inner = match (&self.location, &self.layout) {
            (Location::Registry(reference), _) => {
                Inner::Registry(Box::new(self.transports.registries.open_upload(reference)?))
            }
            (Location::Layout { .. }, Some(layout)) => {
                Inner::Layout(self.transports.files.install(|| layout.start_blob())?)
            }
            (Location::Layout { .. } | Location::Store(_), _) => Inner::Store(self.transports.store.start_blob()?),
        };
        Ok(self.pending(inner))
    }

    fn pending(&self, inner: Inner) -> PendingBlob<'t> {
        PendingBlob { inner, transports: self.transports, location: self.location.clone() }
    }

    /// Whether the blob is there.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, TransportError> {
        match (&self.location, &self.layout) {
            (Location::Registry(reference), _) => Ok(self.transports.registries.has_blob(reference, digest)?),
            (Location::Layout { .. }, Some(layout)) => Ok(self.transports.files.install(|| layout.has_blob(digest))),
            (Location::Layout { .. } | Location::Store(_), _) => Ok(self.transports.store.has_blob(digest)),
        }
    }

    /// Puts a layer of `image` here: not at all if it is here, by a mount within one registry, else byte for byte.
    ///
    /// # Errors
    /// [`TransportError`]; a blob whose digest is wrong gets no name.
    pub fn copy_layer(&self, image: &SourceImage, layer: &Descriptor) -> Result<(), TransportError> {
        if self.has_blob(&layer.digest)? {
            return Ok(());
        }
        let pending = match (&self.location, &image.location) {
            (Location::Registry(to), Location::Registry(from)) if to.registry() == from.registry() => {
                match self.transports.registries.mount(to, from, &layer.digest)? {
                    Mounted::Yes => return Ok(()),
                    Mounted::No(upload) => self.pending(Inner::Registry(Box::new(upload))),
                }
            }
            _ => self.start_blob()?,
        };
        self.pass(self.transports.layer_blob(image, layer)?, pending, &layer.digest)
    }

    fn pass(
        &self,
        mut from: Box<dyn Read + Send>,
        mut to: PendingBlob<'t>,
        digest: &Digest,
    ) -> Result<(), TransportError> {
        let copy = |source| TransportError::Copy { what: digest.clone(), to: self.location.clone(), source };
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(copy(error)),
            };
            to.write_all(buffer.get(..read).unwrap_or_default()).map_err(copy)?;
        }
        to.commit(digest)
    }

    /// Puts a small blob, such as a config, here.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, TransportError> {
        if let Location::Registry(reference) = &self.location {
            return Ok(self.transports.registries.put_blob(reference, bytes)?);
        }
        let digest = Digest::of(bytes);
        if !self.has_blob(&digest)? {
            let mut blob = self.start_blob()?;
            let written = blob.write_all(bytes);
            written.map_err(|source| TransportError::Copy {
                what: digest.clone(),
                to: self.location.clone(),
                source,
            })?;
            blob.commit(&digest)?;
        }
        Ok(digest)
    }

    /// Gives the image its names: this sink's own, and in a registry the further `tags` of the same repository.
    /// Everything the manifest names must be here.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn put_manifest(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        tags: &[Reference],
    ) -> Result<(), TransportError> {
        match (&self.location, &self.layout) {
            (Location::Registry(reference), _) => {
                for name in std::iter::once(reference).chain(tags) {
                    self.transports.registries.put_manifest(name, &descriptor.media_type, bytes)?;
                }
                Ok(())
            }
            (Location::Layout { name, .. }, Some(layout)) => {
                Ok(self.transports.files.install(|| layout.put_manifest(descriptor, bytes, name.as_deref()))?)
            }
            (Location::Layout { .. } | Location::Store(_), _) => {
                self.transports.store.keep_blob(bytes)?;
                let name = match &self.location {
                    Location::Store(name) if name.is_empty() => descriptor.digest.to_string(),
                    Location::Store(name) => name.clone(),
                    Location::Registry(_) | Location::Layout { .. } => self.location.to_string(),
                };
                Ok(self.transports.store.keep_image(&StoredImage { name, manifest: descriptor.clone() })?)
            }
        }
    }
}

impl PendingBlob<'_> {
    /// Says that all bytes are written; they stay without a name.
    ///
    /// # Errors
    /// [`TransportError`], such as a registry's answer to the upload.
    pub fn close(&mut self) -> Result<(), TransportError> {
        match &mut self.inner {
            Inner::Registry(upload) => Ok(upload.close_stream()?),
            Inner::Layout(_) | Inner::Store(_) => Ok(()),
        }
    }

    /// Gives the blob its digest as a name.
    ///
    /// # Errors
    /// [`TransportError`]; a wrong digest deletes the blob.
    pub fn commit(self, digest: &Digest) -> Result<(), TransportError> {
        match self.inner {
            Inner::Registry(upload) => Ok(upload.commit(digest)?),
            Inner::Layout(blob) => Ok(self.transports.files.install(|| blob.commit(digest))?),
            Inner::Store(blob) => Ok(blob.commit(digest)?),
        }
    }

    /// Where it grows.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.location
    }
}

impl Write for PendingBlob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Registry(upload) => upload.write(bytes),
            Inner::Layout(blob) => blob.write(bytes),
            Inner::Store(blob) => blob.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
