//! Places to write an image to.

use std::io::{self, Read, Write};
use std::sync::PoisonError;

use oci::layout::LayoutWriter;
use oci::{Descriptor, Digest, Reference};
use registry::{Mounted, RegistryError, Upload};
use store::StoredImage;

use crate::beside::OfUser;
use crate::bundle::{Bundle, Kind, PendingPart};
use crate::source::{Blob, SourceImage};
use crate::{Location, TransportError, Transports};

/// Bytes passed on at a time.
const CHUNK: usize = 256 << 10;

/// An open place to write to; nothing in it has a name before a commit.
#[derive(Debug)]
pub struct Sink<'t> {
    transports: &'t Transports,
    location: Location,
    place: Place,
}

/// What is written to.
#[derive(Debug)]
enum Place {
    Registry(Reference),
    Layout { writer: LayoutWriter, name: Option<String> },
    Store { name: String },
    Bundle(Bundle),
}

/// A blob that grows at its destination. Dropped before [`PendingBlob::commit`] it is deleted there.
#[derive(Debug)]
pub struct PendingBlob<'t> {
    inner: Inner,
    location: Location,
    /// No blob outlives the ways to images it grows on.
    _transports: std::marker::PhantomData<&'t Transports>,
}

#[derive(Debug)]
enum Inner {
    Registry(Box<Upload>),
    Layout(OfUser<oci::layout::PendingBlob>),
    Store(store::PendingBlob),
    Bundle(PendingPart),
}

impl<'t> Sink<'t> {
    pub(crate) fn open(transports: &'t Transports, location: &Location) -> Result<Self, TransportError> {
        let files = &transports.files;
        let bundle = |kind, path| Bundle::open(kind, path, location, files).map(Place::Bundle);
        let place = match location {
            Location::Registry(reference) => Place::Registry(reference.clone()),
            Location::Layout { path, name } => {
                let writer = files.install(|| LayoutWriter::create_or_open(path))?;
                Place::Layout { writer, name: name.clone() }
            }
            Location::Store(name) => Place::Store { name: name.clone() },
            Location::OciArchive { path, .. } => bundle(Kind::OciArchive, path)?,
            Location::DockerArchive { path, .. } => bundle(Kind::DockerArchive, path)?,
            Location::Directory(path) => bundle(Kind::Directory, path)?,
        };
        Ok(Self { transports, location: location.clone(), place })
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
        self.start(oci::digest::Algorithm::Sha256)
    }

    /// Starts a blob that a digest of `algorithm` names.
    fn start(&self, algorithm: oci::digest::Algorithm) -> Result<PendingBlob<'t>, TransportError> {
        let inner = match &self.place {
            Place::Registry(reference) => Inner::Registry(Box::new(self.transports.registries.open_upload(reference)?)),
            Place::Layout { writer, .. } => {
                let files = &self.transports.files;
                Inner::Layout(OfUser::new(files.install(|| writer.start_blob_with(algorithm))?, files))
            }
            Place::Store { .. } => Inner::Store(self.transports.store.start_blob()?),
            Place::Bundle(bundle) => Inner::Bundle(bundle.start_blob(algorithm)?),
        };
        Ok(PendingBlob { inner, location: self.location.clone(), _transports: std::marker::PhantomData })
    }

    /// Whether the blob is there.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn has_blob(&self, digest: &Digest) -> Result<bool, TransportError> {
        match &self.place {
            Place::Registry(reference) => Ok(self.transports.registries.has_blob(reference, digest)?),
            Place::Layout { writer, .. } => Ok(self.transports.files.install(|| writer.has_blob(digest))),
            Place::Store { .. } => Ok(self.transports.store.has_blob(digest)),
            Place::Bundle(bundle) => Ok(bundle.has_blob(digest)),
        }
    }

    /// Puts a layer of `image` here: not at all if it is here, by a mount within one registry, else byte for byte.
    ///
    /// # Errors
    /// [`TransportError`]; a blob whose digest is wrong gets no name.
    pub fn copy_layer(&self, image: &SourceImage, layer: &Descriptor) -> Result<(), TransportError> {
        self.copy_blob(&image.location, layer).map(drop)
    }

    /// Puts a blob of the image at `from` here, as [`Sink::copy_layer`] does; says what it took.
    pub(crate) fn copy_blob(&self, from: &Location, blob: &Descriptor) -> Result<Moved, TransportError> {
        if self.has_blob(&blob.digest)? {
            return Ok(Moved::WasThere);
        }
        match &self.place {
            Place::Registry(to) => self.push_blob(to, from, blob),
            Place::Bundle(bundle) if self.transports.store.has_blob(&blob.digest) => {
                match bundle.adopt(&blob.digest, self.transports.store.blob(&blob.digest)?) {
                    true => Ok(Moved::WasThere),
                    false => self.pass(from, blob),
                }
            }
            Place::Layout { .. } | Place::Store { .. } | Place::Bundle(_) => self.pass(from, blob),
        }
    }

    /// Pushes a blob. What is pushed can be read again, so a registry may lose an upload in the middle.
    fn push_blob(&self, to: &Reference, from: &Location, blob: &Descriptor) -> Result<Moved, TransportError> {
        let registries = &self.transports.registries;
        if let Location::Registry(from) = from
            && to.registry() == from.registry()
        {
            match registries.mount(to, from, &blob.digest)? {
                Mounted::Yes => return Ok(Moved::Mounted),
                // An upload of its own can begin anew.
                Mounted::No(upload) => upload.cancel(),
            }
        }
        let unread = std::sync::Mutex::new(None);
        let mut open = || {
            self.transports.blob(from, blob).map_err(|error| {
                if let TransportError::Registry(error) = error {
                    return error.into_io();
                }
                let text = error.to_string();
                *unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                io::Error::other(text)
            })
        };
        let put = registries.put_blob_from(to, &blob.digest, &mut open);
        match (put, unread.into_inner().unwrap_or_else(PoisonError::into_inner)) {
            (Ok(()), _) => Ok(Moved::Sent),
            // The source's own words say more than that it could not be read.
            (Err(RegistryError::Unreadable { .. }), Some(error)) => Err(error),
            (Err(error), _) => Err(error.into()),
        }
    }

    fn pass(&self, from: &Location, blob: &Descriptor) -> Result<Moved, TransportError> {
        let digest = &blob.digest;
        let mut from: Blob = self.transports.blob(from, blob)?;
        let mut to = self.start(digest.algorithm())?;
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
        to.commit(digest)?;
        Ok(Moved::Sent)
    }

    /// Puts a small blob, such as a config, here.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn put_blob(&self, bytes: &[u8]) -> Result<Digest, TransportError> {
        let digest = Digest::of(bytes);
        self.put(&digest, bytes)?;
        Ok(digest)
    }

    /// Puts bytes here whose digest is known to be `digest`.
    pub(crate) fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), TransportError> {
        if self.has_blob(digest)? {
            return Ok(());
        }
        let mut blob = self.start(digest.algorithm())?;
        let written = blob.write_all(bytes);
        let copy = |source| TransportError::Copy { what: digest.clone(), to: self.location.clone(), source };
        written.map_err(copy)?;
        blob.commit(digest)
    }

    /// Puts one of the manifests of an index here, without a name.
    pub(crate) fn put_instance(&self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), TransportError> {
        match &self.place {
            Place::Registry(reference) => {
                let pinned = reference.pinned(descriptor.digest.clone());
                self.transports.registries.put_manifest(&pinned, &descriptor.media_type, bytes)?;
                Ok(())
            }
            Place::Layout { .. } | Place::Store { .. } => self.put(&descriptor.digest, bytes),
            Place::Bundle(bundle) => bundle.put_instance(&descriptor.digest, bytes),
        }
    }

    /// Gives the image one name of this sink's repository. Everything the manifest names must be here.
    ///
    /// # Errors
    /// [`TransportError`]; [`TransportError::Unfit`] for a place that is no registry, or a name outside one.
    pub fn put_name(&self, descriptor: &Descriptor, bytes: &[u8], name: &Location) -> Result<(), TransportError> {
        let (Place::Registry(_), Location::Registry(name)) = (&self.place, name) else {
            let why = "only images of a registry get their names one by one".to_owned();
            return Err(TransportError::Unfit { location: name.clone(), why });
        };
        self.transports.registries.put_manifest(name, &descriptor.media_type, bytes)?;
        Ok(())
    }

    /// Gives the image its names: this sink's own, and the `further` ones at the same place
    /// ([`Location::shares_place_with`]). Everything the manifest names must be here.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn put_manifest(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        further: &[Location],
    ) -> Result<(), TransportError> {
        match &self.place {
            Place::Registry(_) => {
                for name in std::iter::once(&self.location).chain(further) {
                    if let Location::Registry(name) = name {
                        self.transports.registries.put_manifest(name, &descriptor.media_type, bytes)?;
                    }
                }
                Ok(())
            }
            Place::Layout { writer, name } => {
                let put = || writer.put_manifest(descriptor, bytes, name.as_deref());
                Ok(self.transports.files.install(put)?)
            }
            Place::Store { name } => {
                self.put(&descriptor.digest, bytes)?;
                let name = if name.is_empty() { descriptor.digest.to_string() } else { name.clone() };
                Ok(self.transports.store.keep_image(&StoredImage { name, manifest: descriptor.clone() })?)
            }
            Place::Bundle(bundle) => bundle.finish(descriptor, bytes, further),
        }
    }
}

/// What it took to have a blob at its destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Nothing.
    WasThere,
    /// A request.
    Mounted,
    /// All its bytes.
    Sent,
}

impl PendingBlob<'_> {
    /// Says that all bytes are written; they stay without a name.
    ///
    /// # Errors
    /// [`TransportError`], such as a registry's answer to the upload.
    pub fn close(&mut self) -> Result<(), TransportError> {
        match &mut self.inner {
            Inner::Registry(upload) => Ok(upload.close_stream()?),
            Inner::Layout(_) | Inner::Store(_) | Inner::Bundle(_) => Ok(()),
        }
    }

    /// Gives the blob its digest as a name.
    ///
    /// # Errors
    /// [`TransportError`]; a wrong digest deletes the blob.
    pub fn commit(self, digest: &Digest) -> Result<(), TransportError> {
        match self.inner {
            Inner::Registry(upload) => Ok(upload.commit(digest)?),
            Inner::Layout(blob) => Ok(blob.hand_over(|blob| blob.commit(digest)).unwrap_or(Ok(()))?),
            Inner::Store(blob) => Ok(blob.commit(digest)?),
            Inner::Bundle(part) => part.commit(digest),
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
            Inner::Layout(blob) => blob.value_mut().map_or(Ok(0), |blob| blob.write(bytes)),
            Inner::Store(blob) => blob.write(bytes),
            Inner::Bundle(part) => part.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
