//! Fetching and unpacking what an instruction needs of a base image.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci::DiffId;
use oci::layer::{ApplyOptions, Limits};
use sandbox::Cancel;
use store::StoreError;
use transport::{Keep, Location, SourceImage};

use crate::error::UnpackError;
use crate::{BuildError, Event, Workshop};

/// Layers fetched at the same time: more only divide the network and the processors.
const PARALLEL: usize = 4;

/// One base at a time, or two stages on the same one would both fetch it.
static UNPACKING: Mutex<()> = Mutex::new(());

/// Unpacks the layers of `image` that are not in the store; returns where they are, the topmost first.
pub(crate) fn unpack(workshop: &Workshop<'_>, image: &SourceImage) -> Result<Vec<PathBuf>, BuildError> {
    let _alone = UNPACKING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<BuildError>> = Mutex::new(None);
    let work = || {
        loop {
            let position = next.fetch_add(1, Ordering::Relaxed);
            let Some(diff_id) = image.config.rootfs.diff_ids.get(position) else { break };
            if workshop.store.layer(diff_id).is_some() {
                continue;
            }
            if let Err(error) = unpack_one(workshop, image, position, diff_id) {
                keep_first(&failure, error);
                next.store(usize::MAX / 2, Ordering::Relaxed);
            }
        }
    };
    let missing = image.config.rootfs.diff_ids.iter().filter(|id| workshop.store.layer(id).is_none()).count();
    if missing > 0 {
        std::thread::scope(|scope| {
            for _ in 0..missing.min(PARALLEL) {
                scope.spawn(work);
            }
        });
    }
    if let Some(error) = failure.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        return Err(error);
    }
    let layers = image.config.rootfs.diff_ids.iter().rev();
    // What was just unpacked is there; what another process removes meanwhile shows at the mount.
    Ok(layers.filter_map(|diff_id| workshop.store.layer(diff_id)).collect())
}

fn keep_first(failure: &Mutex<Option<BuildError>>, error: BuildError) {
    let mut slot = failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    slot.get_or_insert(error);
}

fn unpack_one(
    workshop: &Workshop<'_>,
    image: &SourceImage,
    position: usize,
    diff_id: &DiffId,
) -> Result<(), BuildError> {
    let Some(layer) = image.manifest.layers.get(position) else { return Ok(()) };
    (workshop.observer)(Event::PullStarted { layer });
    let entries = fetch(workshop, image, position, diff_id).map_err(|source| match workshop.cancel.is_set() {
        true => BuildError::Cancelled,
        false => BuildError::Unpack { digest: layer.digest.clone(), source },
    })?;
    (workshop.observer)(Event::PullDone { layer: &layer.digest, entries });
    Ok(())
}

fn fetch(workshop: &Workshop<'_>, image: &SourceImage, position: usize, diff_id: &DiffId) -> Result<u64, UnpackError> {
    let store = workshop.store;
    let in_store = |path: &PathBuf| store.shown().join(path);
    let folder = store.scratch().fresh_folder("layer").map_err(|source| UnpackError::Io {
        path: store.shown().to_owned(),
        action: "make a folder for a layer",
        source,
    })?;
    let directory = store::open_directory(&store.path(&folder)).map_err(|source| UnpackError::Io {
        path: in_store(&folder),
        action: "open the folder of a layer",
        source,
    })?;
    let limits = Limits::default();
    let mut tar = workshop.transports.layer_tar(image, position, keep(workshop, image))?;
    let options = ApplyOptions { owners: workshop.owners.of_layers(), limits, ..ApplyOptions::default() };
    let stoppable = Stoppable { reader: &mut tar, cancel: workshop.cancel };
    let applied = oci::layer::apply(stoppable, std::os::fd::AsFd::as_fd(&directory), &options)?;
    if applied.root_is_opaque {
        return Err(UnpackError::OpaqueRoot);
    }
    for device in &applied.skipped_devices {
        tracing::debug!(path = %device.path.display(), "device node of a base layer not made");
    }
    let sums = tar.finish().map_err(|source| UnpackError::Read { source })?;
    if sums.diff_id != *diff_id {
        return Err(UnpackError::DiffId { expected: diff_id.clone(), got: sums.diff_id });
    }
    store.keep_layer(diff_id, &folder).map_err(|error: StoreError| UnpackError::Store(error))?;
    Ok(applied.entries)
}

/// A layer that must travel to a destination later is kept: the network is asked once.
fn keep(workshop: &Workshop<'_>, image: &SourceImage) -> Keep {
    let Some(from) = image.location.in_registry() else { return Keep::Nothing };
    let is_elsewhere = |to: &Location| to.in_registry().is_none_or(|to| to.registry() != from.registry());
    if workshop.outputs.iter().any(is_elsewhere) { Keep::Blob } else { Keep::Nothing }
}

/// Stops reading when the build is told to stop.
struct Stoppable<'a, R> {
    reader: &'a mut R,
    cancel: &'a Cancel,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_set() {
            return Err(io::Error::other("cancelled"));
        }
        self.reader.read(buffer)
    }
}
