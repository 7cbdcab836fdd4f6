//! Looking at an image's packages: what `inspect` and the gate of `build` have in common.

use std::path::Path;

use proof::{CollectError, Collected, Report};
use rpm::{Keyring, Policy};

use crate::failure::{Failure, Status};
use crate::session::Session;

/// Judges the databases that `collect` puts into the directory it is given.
pub(crate) fn examine(
    session: &Session,
    (keyring, policy): (&Keyring, &Policy),
    collect: impl FnOnce(&Path) -> Result<Collected, CollectError> + Send,
) -> Result<Report, Failure> {
    let store = session.transports.store();
    let folder = store.scratch().fresh_folder("proof").map_err(|error| {
        Failure::new(Status::Environment, format!("{}: cannot make a folder: {error}", store.shown().display()))
    })?;
    // SQLite resolves symbolic links itself, so it must be given the real path, which only the user may traverse.
    let scratch = store.shown().join(folder);
    session.entered.outside().run(|| {
        let databases = collect(&scratch).map_err(|error| Failure::of(Status::Refused, &error));
        let report = databases.map(|found| proof::examine(&found, keyring, policy, &scratch));
        // These files are the user's, so root inside could not remove them with the rest.
        if let Err(error) = std::fs::remove_dir_all(&scratch) {
            tracing::debug!(path = %scratch.display(), %error, "copies of package databases left for the next run");
        }
        report
    })
}
