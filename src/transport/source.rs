//! Images to read.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use oci::docker_archive::Wanted;
use oci::image_directory::ImageDirectory;
use oci::layer::{LayerReader, Limits, Sums};
use oci::layout::{BlobReader, Layout, Name};
use oci::manifest::media_type;
use oci::{Descriptor, Digest, Document, ImageConfig, Manifest, ManifestError, Platform};
use store::PendingBlob;

use crate::{Location, TransportError, Transports};

/// Bytes of the largest image config read.
pub(crate) const MAX_CONFIG: usize = 8 << 20;
/// Bytes of the largest manifest read.
const MAX_MANIFEST: u64 = oci::manifest::MAX_MANIFEST as u64;

/// An image whose manifest and config are read and checked; its layers are not fetched.
#[derive(Clone, Debug)]
pub struct SourceImage {
    /// Where it is, by digest: what the name stood for when it was opened, an index included.
    pub location: Location,
    /// Its manifest's descriptor.
    pub descriptor: Descriptor,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its config.
    pub config: ImageConfig,
    /// The manifest's bytes as they are at the source.
    pub manifest_bytes: Arc<[u8]>,
    /// The config's.
    pub config_bytes: Arc<[u8]>,
    /// The platforms of the index it was chosen from, in its order; empty where there was none.
    pub platforms: Vec<Platform>,
}

impl Transports {
    /// What `location` was when it was opened before, under its name or its digest: one run sees one state of a name.
    fn known(&self, location: &Location, platform: &Platform) -> Option<SourceImage> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(name, wanted, image): &&(Location, Platform, SourceImage)| {
            (name == location || image.location == *location) && wanted == platform
        };
        opened.iter().find(is_it).map(|(_, _, image)| image.clone())
    }

    fn remember(&self, location: &Location, platform: &Platform, image: &SourceImage) {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push((location.clone(), platform.clone(), image.clone()));
    }
}

/// A layer's blob as it comes in.
pub(crate) type Blob = Box<dyn Read + Send>;

pub(crate) fn open(
    transports: &Transports,
    location: &Location,
    platform: &Platform,
) -> Result<SourceImage, TransportError> {
    if let Some(image) = transports.known(location, platform) {
        return Ok(image);
    }
    let failed = |source: ManifestError| TransportError::Image { location: location.clone(), source };
    let (named, bytes, document) = document(transports, location, None)?;
    let pinned = pinned(location, &named.digest);
    let mut platforms = Vec::new();
    let (descriptor, manifest_bytes, manifest) = match document {
        Document::Manifest(manifest) => (named, bytes, manifest),
        Document::Index(index) => {
            platforms.extend(index.manifests.iter().filter_map(|entry| entry.platform.clone()));
            let entry = index.select(platform).map_err(failed)?.clone();
            match self::document(transports, location, Some(&entry))? {
                (descriptor, bytes, Document::Manifest(manifest)) => (descriptor, bytes, manifest),
                (_, _, Document::Index(_)) => {
                    let media_type = media_type::OCI_INDEX.to_owned();
                    return Err(failed(ManifestError::Unsupported { media_type, hint: " inside another index" }));
                }
            }
        }
    };
    let bytes = small_blob(transports, location, &manifest.config)?;
    let config = ImageConfig::parse(&bytes).map_err(failed)?;
    check_layers(location, &manifest, &config)?;
    let (manifest_bytes, config_bytes) = (manifest_bytes.into(), bytes.into());
    let image = SourceImage { location: pinned, descriptor, manifest, config, manifest_bytes, config_bytes, platforms };
    transports.remember(location, platform, &image);
    Ok(image)
}

fn check_layers(location: &Location, manifest: &Manifest, config: &ImageConfig) -> Result<(), TransportError> {
    let (layers, diff_ids) = (manifest.layers.len(), config.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(TransportError::LayerCount { location: location.clone(), layers, diff_ids });
    }
    match manifest.layers.iter().find(|layer| layer.compression().is_none()) {
        None => Ok(()),
        Some(layer) => Err(TransportError::LayerType {
            location: location.clone(),
            digest: layer.digest.clone(),
            media_type: layer.media_type.clone(),
        }),
    }
}

fn pinned(location: &Location, digest: &Digest) -> Location {
    match location {
        Location::Registry(reference) => Location::Registry(reference.pinned(digest.clone())),
        Location::Layout { path, .. } => Location::Layout { path: path.clone(), name: Some(digest.to_string()) },
        Location::OciArchive { path, .. } => {
            Location::OciArchive { path: path.clone(), name: Some(digest.to_string()) }
        }
        Location::Store(_) | Location::DockerArchive { .. } | Location::Directory(_) => location.clone(),
    }
}

/// The name in a layout's index: a digest, a tag, or the only image there is.
fn layout_name(name: Option<&str>) -> Name {
    match name {
        None => Name::Only,
        Some(name) => name.parse().map_or_else(|_| Name::Tag(name.to_owned()), Name::Digest),
    }
}

/// The manifest or index a location names, or the one `entry` of its index points to.
pub(crate) fn document(
    transports: &Transports,
    location: &Location,
    entry: Option<&Descriptor>,
) -> Result<(Descriptor, Vec<u8>, Document), TransportError> {
    let (descriptor, bytes) = match location {
        Location::Registry(reference) => {
            let reference = match entry {
                Some(entry) => reference.pinned(entry.digest.clone()),
                None => reference.clone(),
            };
            let pulled = transports.registries.resolve(&reference)?;
            return Ok((pulled.descriptor, pulled.bytes, pulled.document));
        }
        Location::Layout { path, name } => {
            let read = || in_layout(&Layout::open(path)?, name.as_deref(), entry);
            transports.files.install(read)?
        }
        Location::OciArchive { path, name } => {
            in_layout(&Layout::in_tarball(transports.tarball(path)?)?, name.as_deref(), entry)?
        }
        Location::DockerArchive { path, image } => in_docker_archive(transports, location, (path, image))?,
        Location::Directory(path) => transports.files.install(|| {
            let directory = ImageDirectory::open(path)?;
            match entry {
                Some(entry) => Ok::<_, TransportError>((entry.clone(), directory.instance(entry)?)),
                None => Ok(directory.manifest()?),
            }
        })?,
        Location::Store(name) => {
            let missing = || TransportError::NotStored { name: name.clone() };
            let descriptor = match entry {
                Some(entry) => entry.clone(),
                None => transports.store.image(name)?.ok_or_else(missing)?.manifest,
            };
            let bytes = transports.store.small_blob(&descriptor.digest, MAX_MANIFEST)?;
            (descriptor, bytes)
        }
    };
    let document = Document::parse(&bytes, Some(&descriptor.media_type))
        .map_err(|source| TransportError::Image { location: location.clone(), source })?;
    Ok((descriptor, bytes, document))
}

fn in_layout(
    layout: &Layout,
    name: Option<&str>,
    entry: Option<&Descriptor>,
) -> Result<(Descriptor, Vec<u8>), TransportError> {
    let descriptor = match entry {
        Some(entry) => entry.clone(),
        None => layout.find(&layout_name(name))?,
    };
    let bytes = layout.small_blob(&descriptor, MAX_MANIFEST)?;
    Ok((descriptor, bytes))
}

/// Such an archive holds no manifest: it is made of what is there.
fn in_docker_archive(
    transports: &Transports,
    location: &Location,
    (path, image): (&Path, &Wanted),
) -> Result<(Descriptor, Vec<u8>), TransportError> {
    let image = transports.docker_image(path, image)?;
    let bytes = image.manifest.to_bytes();
    let bytes = bytes.map_err(|source| TransportError::Image { location: location.clone(), source })?;
    let descriptor = Descriptor::new(media_type::DOCKER_MANIFEST, Digest::of(&bytes), bytes.len() as u64);
    Ok((descriptor, bytes))
}

pub(crate) fn small_blob(
    transports: &Transports,
    location: &Location,
    descriptor: &Descriptor,
) -> Result<Vec<u8>, TransportError> {
    match location {
        Location::Registry(reference) => Ok(transports.registries.small_blob(reference, descriptor, MAX_CONFIG)?),
        Location::Layout { path, .. } => {
            transports.files.install(|| Ok(Layout::open(path)?.small_blob(descriptor, MAX_CONFIG as u64)?))
        }
        Location::OciArchive { path, .. } => {
            Ok(Layout::in_tarball(transports.tarball(path)?)?.small_blob(descriptor, MAX_CONFIG as u64)?)
        }
        Location::DockerArchive { path, image } => Ok(transports.docker_image(path, image)?.config.clone()),
        Location::Directory(path) => {
            transports.files.install(|| Ok(ImageDirectory::open(path)?.small_blob(descriptor, MAX_CONFIG as u64)?))
        }
        Location::Store(_) => Ok(transports.store.small_blob(&descriptor.digest, MAX_CONFIG as u64)?),
    }
}

impl Transports {
    /// A blob, such as a layer, as it lies at the source; its digest is checked by whoever reads it, or by what it is
    /// written to.
    ///
    /// # Errors
    /// [`TransportError`].
    pub(crate) fn blob(&self, location: &Location, layer: &Descriptor) -> Result<Blob, TransportError> {
        if self.store.has_blob(&layer.digest) {
            return Ok(Box::new(self.store.blob(&layer.digest)?));
        }
        match location {
            Location::Registry(reference) => Ok(Box::new(self.registries.blob(reference, layer)?)),
            Location::Layout { path, .. } => {
                let open = || -> Result<BlobReader, TransportError> { Ok(Layout::open(path)?.blob(layer)?) };
                Ok(Box::new(self.files.install(open)?))
            }
            Location::OciArchive { path, .. } => Ok(Box::new(Layout::in_tarball(self.tarball(path)?)?.blob(layer)?)),
            Location::DockerArchive { path, image } => Ok(Box::new(self.docker_image(path, image)?.layer(layer)?)),
            Location::Directory(path) => {
                let open = || -> Result<BlobReader, TransportError> { Ok(ImageDirectory::open(path)?.blob(layer)?) };
                Ok(Box::new(self.files.install(open)?))
            }
            Location::Store(_) => Ok(Box::new(self.store.blob(&layer.digest)?)),
        }
    }

    /// The tar of the layer at `position`, base first; [`LayerTar::finish`] says whether blob and tar were those that
    /// manifest and config name. With [`Keep::Blob`] the store has the blob after that.
    ///
    /// # Errors
    /// [`TransportError`].
    pub fn layer_tar(&self, image: &SourceImage, position: usize, keep: Keep) -> Result<LayerTar, TransportError> {
        let copy = |source| TransportError::Read { location: image.location.clone(), source };
        let Some(layer) = image.manifest.layers.get(position) else {
            return Err(copy(io::Error::new(io::ErrorKind::InvalidInput, "there is no such layer")));
        };
        let diff_id = image.config.rootfs.diff_ids.get(position);
        let mut blob = self.blob(&image.location, layer)?;
        let mut kept = None;
        if keep == Keep::Blob && !self.store.has_blob(&layer.digest) {
            let pending = Arc::new(Mutex::new(self.store.start_blob()?));
            blob = Box::new(Tee { from: blob, to: Arc::clone(&pending) });
            kept = Some(pending);
        }
        let reader = LayerReader::new(layer, diff_id, &Limits::default(), blob).map_err(copy)?;
        Ok(LayerTar { reader, kept })
    }
}

/// What becomes of a blob that is read for its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is read and gone.
    Nothing,
    /// The store keeps it, so that it need not be fetched again.
    Blob,
}

/// The tar of a layer, checked while it is read.
#[derive(Debug)]
pub struct LayerTar {
    reader: LayerReader<Blob>,
    kept: Option<Arc<Mutex<PendingBlob>>>,
}

impl LayerTar {
    /// Reads to the end and checks blob and tar.
    ///
    /// # Errors
    /// What could not be read, or [`oci::layer::Mismatch`] within an error of kind `InvalidData`.
    pub fn finish(self) -> io::Result<Sums> {
        let sums = self.reader.finish()?;
        // The reader, which had the other half, is gone by now.
        let pending = self.kept.and_then(Arc::into_inner).map(Mutex::into_inner);
        if let Some(Ok(pending)) = pending {
            pending.commit(&sums.digest).map_err(io::Error::other)?;
        }
        Ok(sums)
    }
}

impl Read for LayerTar {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// Writes what is read to a growing blob too.
struct Tee {
    from: Blob,
    to: Arc<Mutex<PendingBlob>>,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
        to.write_all(buffer.get(..read).unwrap_or_default())?;
        Ok(read)
    }
}
