//! The files of an image as one tar: for `--output type=tar` and `type=local`.
//!
//! Comes in: what the image is stacked of. Goes out: the stack's files, whiteouts applied. It mounts the stack anew,
//! because the tree steps ran in shows mount points that are no files of the image.

use std::io::Write;
use std::path::PathBuf;

use oci::layer::{Clamp, CompressOptions, DiffOptions, Written, write_upper};
use oci::manifest::{Compression, Format};
use sandbox::{Root, RootSpec};

use crate::stage::{Link, lowers};
use crate::{BuildError, Workshop};

/// Writes the files of `chain` to `to`.
pub(crate) fn write(workshop: &Workshop<'_>, chain: &[Link], to: impl Write) -> Result<Written, BuildError> {
    let request = workshop.request;
    let root = mount(workshop, &lowers(workshop, chain)?)?;
    let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    let options = DiffOptions {
        format: Format::Oci,
        compress: CompressOptions { compression: Compression::None, level: None, threads: 1 },
        owners: workshop.owners.of_layers(),
        clamp: Some(Clamp { since: signed(request.started), to: signed(request.epoch) }),
    };
    Ok(write_upper(root.dir(), &[], &options, to)?)
}

/// Mounts an overlay of `lowers` and nothing else, to be read.
fn mount(workshop: &Workshop<'_>, lowers: &[PathBuf]) -> Result<Root, BuildError> {
    let store = workshop.store;
    let folder = |purpose: &str| {
        let action = "make a folder for the image's files";
        let failed = |source| store::StoreError::Io { path: store.shown().to_owned(), action, source };
        store.scratch().fresh_folder(purpose).map_err(failed)
    };
    let (upper, work, mount) = (folder("upper")?, folder("work")?, folder("root")?);
    let spec = RootSpec { base: store.directory(), lowers: lowers.to_vec(), upper, work, mount };
    sandbox::mount_root(&spec).map_err(|source| BuildError::Mount { stage: "that is written out".to_owned(), source })
}
