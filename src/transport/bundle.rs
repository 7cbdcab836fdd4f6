//! Places that are written as a whole: `oci-archive:`, `docker-archive:` and `dir:`.
//!
//! Comes in: blobs in any order, several growing at once, then the manifest. Goes out: one file or directory, at
//! once. Until then blobs lie in nameless files beside the archive, or under temporary names in the directory, and
//! go when they are dropped. What users named is opened by their own threads.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oci::digest::Algorithm;
use oci::image_directory::{self, blob_name, manifest_name};
use oci::layer::{Limits, decompressor};
use oci::manifest::Compression;
use oci::parts::Part;
use oci::tarball::Content;
use oci::{Descriptor, DiffId, Digest, Document, Hasher, ImageConfig, Reference};
use rayon::ThreadPool;

use crate::beside::{self, Beside, OfUser};
use crate::{ArchiveImage, Location, TransportError};

/// An archive or directory that is being written.
#[derive(Debug)]
pub(crate) struct Bundle {
    kind: Kind,
    location: Location,
    path: PathBuf,
    files: Arc<ThreadPool>,
    blobs: Arc<Mutex<Blobs>>,
    /// Held by all that lies in the directory.
    claim: Arc<Claim>,
}

/// A directory that goes with the last that is in it, if it was made for this and is empty.
#[derive(Debug)]
struct Claim {
    path: PathBuf,
    is_made: bool,
    files: Arc<ThreadPool>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_made {
            // One with an image is not empty, and stays.
            self.files.install(|| drop(fs::remove_dir(&self.path)));
        }
    }
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    OciArchive,
    DockerArchive,
    Directory,
}

/// Blobs that are whole, by digest; in a directory also the manifests of an index.
#[derive(Debug, Default)]
struct Blobs {
    files: BTreeMap<Digest, Spool>,
    instances: Vec<Digest>,
}

/// A file that has no final name yet.
#[derive(Debug)]
enum Spool {
    Nameless(Arc<File>),
    Named { beside: OfUser<Beside>, _claim: Arc<Claim> },
}

impl Spool {
    fn file(&self) -> io::Result<&File> {
        match self {
            Self::Nameless(file) => Ok(file),
            Self::Named { beside, .. } => match beside.value() {
                Some(beside) => Ok(&beside.file),
                None => Err(io::ErrorKind::NotFound.into()),
            },
        }
    }
}

/// A blob that grows.
#[derive(Debug)]
pub(crate) struct PendingPart {
    spool: Spool,
    hasher: Hasher,
    path: PathBuf,
    blobs: Arc<Mutex<Blobs>>,
}

fn lock(blobs: &Mutex<Blobs>) -> MutexGuard<'_, Blobs> {
    blobs.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> TransportError {
    move |source| TransportError::Write { path: path.to_owned(), action, source }
}

impl Bundle {
    /// Opens the place `path` of `location`.
    pub(crate) fn open(
        kind: Kind,
        path: &Path,
        location: &Location,
        files: &Arc<ThreadPool>,
    ) -> Result<Self, TransportError> {
        if let Location::DockerArchive { image: ArchiveImage::Position(_), .. } = location {
            let why = "a position is for reading; give the image a name, or none".to_owned();
            return Err(TransportError::Unfit { location: location.clone(), why });
        }
        let is_made = files.install(|| match kind {
            Kind::Directory => claim_directory(path),
            // Better now than after the build.
            Kind::OciArchive | Kind::DockerArchive => claim_file(path),
        })?;
        let (location, path, files) = (location.clone(), path.to_owned(), Arc::clone(files));
        let claim = Arc::new(Claim { path: path.clone(), is_made, files: Arc::clone(&files) });
        Ok(Self { kind, location, path, files, blobs: Arc::default(), claim })
    }

    /// Where blobs lie until all is whole.
    fn spool_directory(&self) -> &Path {
        match self.kind {
            Kind::Directory => &self.path,
            Kind::OciArchive | Kind::DockerArchive => spool_directory(&self.path),
        }
    }

    pub(crate) fn start_blob(&self, algorithm: Algorithm) -> Result<PendingPart, TransportError> {
        let spool = self.files.install(|| match self.kind {
            Kind::Directory => Beside::create(&self.path).map(|beside| Spool::Named {
                beside: OfUser::new(beside, &self.files),
                _claim: Arc::clone(&self.claim),
            }),
            Kind::OciArchive | Kind::DockerArchive => {
                beside::nameless(self.spool_directory()).map(|file| Spool::Nameless(Arc::new(file)))
            }
        });
        let spool = spool.map_err(failed(&self.path, "make a file for it"))?;
        let (path, blobs) = (self.path.clone(), Arc::clone(&self.blobs));
        Ok(PendingPart { spool, hasher: Hasher::new(algorithm), path, blobs })
    }

    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        lock(&self.blobs).files.contains_key(digest)
    }

    /// Takes a blob that lies in a file already; `false` where it has to be copied.
    pub(crate) fn adopt(&self, digest: &Digest, file: File) -> bool {
        let takes = self.kind != Kind::Directory;
        if takes {
            lock(&self.blobs).files.insert(digest.clone(), Spool::Nameless(Arc::new(file)));
        }
        takes
    }

    /// Puts one of the manifests of an index.
    pub(crate) fn put_instance(&self, digest: &Digest, bytes: &[u8]) -> Result<(), TransportError> {
        if self.kind == Kind::DockerArchive {
            let why = "such an archive holds one platform: say which with --platform, without --all".to_owned();
            return Err(TransportError::Unfit { location: self.location.clone(), why });
        }
        self.put(digest, bytes)?;
        lock(&self.blobs).instances.push(digest.clone());
        Ok(())
    }

    fn put(&self, digest: &Digest, bytes: &[u8]) -> Result<(), TransportError> {
        let mut blob = self.start_blob(digest.algorithm())?;
        blob.write_all(bytes).map_err(failed(&self.path, "write a blob of it"))?;
        blob.commit(digest)
    }

    /// Writes the whole, under its own name and those of `further`.
    pub(crate) fn finish(
        &self,
        descriptor: &Descriptor,
        bytes: &[u8],
        further: &[Location],
    ) -> Result<(), TransportError> {
        let locations: Vec<&Location> = std::iter::once(&self.location).chain(further).collect();
        match self.kind {
            Kind::OciArchive => {
                self.put(&descriptor.digest, bytes)?;
                let names = locations.iter().filter_map(|location| oci_name(location)).collect::<Vec<_>>();
                let blobs = self.parts()?;
                let entries = oci::layout::entries(descriptor, &names, blobs);
                self.write_archive(entries.map_err(|source| self.bad_image(source))?)
            }
            Kind::DockerArchive => {
                let names = locations.iter().filter_map(|location| docker_name(location)).collect::<Vec<_>>();
                self.write_archive(self.docker_entries(bytes, &names)?)
            }
            Kind::Directory => self.files.install(|| self.name_files(bytes)),
        }
    }

    fn bad_image(&self, source: oci::ManifestError) -> TransportError {
        TransportError::Image { location: self.location.clone(), source }
    }

    fn parts(&self) -> Result<Vec<(Digest, Part)>, TransportError> {
        let blobs = lock(&self.blobs);
        let part = |(digest, spool): (&Digest, &Spool)| {
            let file = match spool {
                Spool::Nameless(file) => Arc::clone(file),
                Spool::Named { .. } => Arc::new(spool.file()?.try_clone()?),
            };
            Ok((digest.clone(), Part::whole(file)?))
        };
        let parts: io::Result<Vec<_>> = blobs.files.iter().map(part).collect();
        parts.map_err(failed(&self.path, "read back what was written for it"))
    }

    fn write_archive(&self, entries: BTreeMap<String, Content>) -> Result<(), TransportError> {
        let write = || {
            beside::replace_file(&self.path, |to| {
                let mut to = io::BufWriter::with_capacity(256 << 10, to);
                oci::tarball::write(entries, &mut to)?;
                to.flush()
            })
        };
        self.files.install(write).map_err(failed(&self.path, "write the archive"))
    }

    /// Config and layers as `docker load` takes them; layers without compression.
    fn docker_entries(
        &self,
        manifest: &[u8],
        names: &[Reference],
    ) -> Result<BTreeMap<String, Content>, TransportError> {
        let document = Document::parse(manifest, None).map_err(|source| self.bad_image(source))?;
        let Document::Manifest(manifest) = document else {
            let why = "such an archive holds one platform: say which with --platform".to_owned();
            return Err(TransportError::Unfit { location: self.location.clone(), why });
        };
        let parts: BTreeMap<Digest, Part> = self.parts()?.into_iter().collect();
        let read_back = failed(&self.path, "find a blob that was written for it");
        let mut config = Vec::new();
        let blob = parts.get(&manifest.config.digest).map(|part| part.again());
        let Some(blob) = blob else { return Err(read_back(io::ErrorKind::NotFound.into())) };
        blob.take(crate::source::MAX_CONFIG as u64).read_to_end(&mut config).map_err(read_back)?;
        let diff_ids = ImageConfig::parse(&config).map_err(|source| self.bad_image(source))?.rootfs.diff_ids;
        let mut layers = Vec::new();
        for (layer, diff_id) in manifest.layers.iter().zip(&diff_ids) {
            let missing = || failed(&self.path, "find a layer that was written for it")(io::ErrorKind::NotFound.into());
            let part = parts.get(&layer.digest).ok_or_else(missing)?.again();
            let plain = self.plain(part, layer, diff_id).map_err(failed(&self.path, "unpack a layer for it"))?;
            layers.push((diff_id.clone(), plain));
        }
        oci::docker_archive::entries(&config, layers, names).map_err(|source| self.bad_image(source))
    }

    /// A layer without compression, which has to be the one the config names.
    fn plain(&self, part: Part, layer: &Descriptor, diff_id: &DiffId) -> io::Result<Part> {
        let compression = layer.compression().unwrap_or(Compression::None);
        let limit = Limits::default().unpacked_bytes;
        let mut file = self.files.install(|| beside::nameless(self.spool_directory()))?;
        let hasher = Hasher::new(diff_id.0.algorithm());
        let mut both = Tee { to: &mut file, hasher };
        let copied = io::copy(&mut decompressor(compression, part)?.take(limit + 1), &mut both)?;
        if copied > limit {
            return Err(io::Error::other(format!("the layer unpacks to more than the {limit} bytes allowed")));
        }
        let found = DiffId(both.hasher.finish());
        if found != *diff_id {
            let (digest, expected) = (layer.digest.clone(), diff_id.clone());
            return Err(io::Error::other(oci::layer::Mismatch::DiffId { digest, expected, found }));
        }
        Part::whole(Arc::new(file))
    }

    /// Gives the files of a directory their names, the manifest last, and removes those of an older image.
    fn name_files(&self, manifest: &[u8]) -> Result<(), TransportError> {
        let mut blobs = lock(&self.blobs);
        let instances = std::mem::take(&mut blobs.instances);
        let mut names = vec![image_directory::MANIFEST.to_owned(), image_directory::VERSION.to_owned()];
        let mut is_usual = true;
        for (digest, spool) in std::mem::take(&mut blobs.files) {
            is_usual &= digest.algorithm() == Algorithm::Sha256;
            let name = if instances.contains(&digest) { manifest_name(&digest) } else { blob_name(&digest) };
            if let Spool::Named { beside, .. } = spool {
                let named = beside.hand_over(|beside| beside.take_place(&self.path.join(&name)));
                named.unwrap_or(Ok(())).map_err(failed(&self.path, "name a blob in it"))?;
            }
            names.push(name);
        }
        let version =
            if is_usual { image_directory::VERSION_TEXT } else { image_directory::VERSION_TEXT_OTHER_DIGESTS };
        for (name, text) in [(image_directory::VERSION, version.as_bytes()), (image_directory::MANIFEST, manifest)] {
            let mut beside = Beside::create(&self.path).map_err(failed(&self.path, "make a file in it"))?;
            let written = beside.file.write_all(text).and_then(|()| beside.take_place(&self.path.join(name)));
            written.map_err(failed(&self.path, "write the manifest in it"))?;
        }
        remove_others(&self.path, &names).map_err(failed(&self.path, "remove an older image from it"))
    }
}

impl PendingPart {
    pub(crate) fn commit(self, digest: &Digest) -> Result<(), TransportError> {
        let Self { spool, hasher, path, blobs } = self;
        let found = hasher.finish();
        if found != *digest {
            let expected = digest.clone();
            return Err(TransportError::Layout(oci::layout::LayoutError::Digest { path, expected, found }));
        }
        lock(&blobs).files.insert(digest.clone(), spool);
        Ok(())
    }
}

impl Write for PendingPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.spool.file()?.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes and hashes.
struct Tee<'a> {
    to: &'a mut File,
    hasher: Hasher,
}

impl Write for Tee<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the blobs of an archive lie: beside it, or where temporary files do if it is a device such as stdout.
fn spool_directory(path: &Path) -> &Path {
    let is_device = fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    if is_device { Path::new("/var/tmp") } else { beside::directory_of(path) }
}

/// Whether an archive can be written at `path`.
fn claim_file(path: &Path) -> Result<bool, TransportError> {
    if path.is_dir() {
        return Err(TransportError::Occupied { path: path.to_owned(), why: "it is a directory, not an archive" });
    }
    beside::nameless(spool_directory(path)).map_err(failed(path, "write the archive"))?;
    Ok(false)
}

/// Makes the directory, or sees that the one there is ours to change; says whether it was made.
fn claim_directory(path: &Path) -> Result<bool, TransportError> {
    match fs::create_dir(path) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(path, "make the directory")(error)),
    }
    let read = |source| TransportError::Archive { path: path.to_owned(), source };
    let mut names = fs::read_dir(path).map_err(read)?.map(|entry| entry.map(|entry| entry.file_name()));
    let is_empty = names.all(|name| name.is_ok_and(|name| is_temporary(&name.to_string_lossy())));
    let mut version = Vec::new();
    if !is_empty && let Ok(file) = File::open(path.join(image_directory::VERSION)) {
        file.take(64).read_to_end(&mut version).map_err(read)?;
    }
    if is_empty || image_directory::is_version(&version) {
        return Ok(false);
    }
    Err(TransportError::Occupied { path: path.to_owned(), why: "there are files in it that are no image of `dir:`" })
}

fn is_temporary(name: &str) -> bool {
    name.starts_with(beside::TEMPORARY)
}

/// Removes the files of such a directory that are none of `names`; what has another name is not ours.
fn remove_others(path: &Path, names: &[String]) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !names.contains(&name) && is_of_an_image(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_of_an_image(name: &str) -> bool {
    let stem = name.strip_suffix(".manifest.json").unwrap_or(name);
    let hex = stem.strip_prefix("sha512-").unwrap_or(stem);
    let is_hex = matches!(hex.len(), 64 | 128) && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex || is_temporary(name) || name.starts_with("signature-")
}

fn oci_name(location: &Location) -> Option<String> {
    match location {
        Location::OciArchive { name, .. } => name.clone(),
        Location::Registry(_)
        | Location::Layout { .. }
        | Location::Store(_)
        | Location::DockerArchive { .. }
        | Location::Directory(_) => None,
    }
}

fn docker_name(location: &Location) -> Option<Reference> {
    match location {
        Location::DockerArchive { image: ArchiveImage::Tag(name), .. } => Some(name.clone()),
        Location::DockerArchive { .. }
        | Location::Registry(_)
        | Location::Layout { .. }
        | Location::Store(_)
        | Location::OciArchive { .. }
        | Location::Directory(_) => None,
    }
}

#[cfg(test)]
mod tests;
