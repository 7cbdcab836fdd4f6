//! Archives to read: opened once a run, by the user's rights, and read by seeking.
//!
//! Comes in: paths. Goes out: tars whose files are known. What is compressed is
//! written once to a nameless file of the store, within limits; pipes are refused. It never unpacks an archive.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use oci::docker_archive::{DockerImage, Wanted};
use oci::layer::Limits;
use oci::layer::read::{compression_of, decompressor};
use oci::manifest::Compression;
use oci::tarball::Tarball;

use crate::{Location, TransportError, Transports};

/// Opening a pipe does not wait for whoever writes to it.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

impl Transports {
    /// The tar at `path`: one run sees one state of it.
    pub(crate) fn tarball(&self, path: &Path) -> Result<Arc<Tarball>, TransportError> {
        let mut known = self.tarballs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tarball) = known.get(path) {
            return Ok(Arc::clone(tarball));
        }
        let failed = |source| TransportError::Archive { path: path.to_owned(), source };
        let open = || File::options().read(true).custom_flags(NONBLOCK).open(path);
        let file = self.files.install(open).map_err(failed)?;
        let file = self.seekable(path, file)?;
        let tarball = Arc::new(Tarball::index(path, file)?);
        known.insert(path.to_owned(), Arc::clone(&tarball));
        Ok(tarball)
    }

    /// The archive as a plain tar.
    fn seekable(&self, path: &Path, file: File) -> Result<File, TransportError> {
        let failed = |source| TransportError::Archive { path: path.to_owned(), source };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            let why = "it is not a regular file; write it to one first";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        let own = file.try_clone().map_err(failed)?;
        let (compression, _) = compression_of(&own).map_err(failed)?;
        io::Seek::rewind(&mut &file).map_err(failed)?;
        if compression == Compression::None {
            return Ok(file);
        }
        let limit = Limits::default().unpacked_bytes;
        let mut tar = decompressor(compression, file).map_err(failed)?.take(limit + 1);
        let mut plain = self.store.nameless("archive")?;
        let copied = io::copy(&mut tar, &mut plain).map_err(failed)?;
        if copied > limit {
            let why = format!("it unpacks to more than the {limit} bytes allowed");
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, why)));
        }
        Ok(plain)
    }

    /// An image of a docker-archive.
    pub(crate) fn docker_image(&self, path: &Path, image: &Wanted) -> Result<Arc<DockerImage>, TransportError> {
        let location = Location::DockerArchive { path: path.to_owned(), image: image.clone() };
        let mut known = self.docker_images.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, image)) = known.iter().find(|(name, _)| *name == location) {
            return Ok(Arc::clone(image));
        }
        let found = Arc::new(DockerImage::open(self.tarball(path)?, image)?);
        known.push((location, Arc::clone(&found)));
        Ok(found)
    }
}
