//! From options to a sandbox that is entered and ways to images that are open.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::build::Owners;
use pipeline::Lineup;
use pipeline::external::Launch;
use registry::{Options, Registries};
use sandbox::{Cancel, EnterOptions, Entered, Isolation, Rung};
use store::{Candidate, Store};
use transport::Transports;

use crate::environment::Environment;
use crate::failure::{Failure, Status};

/// Everything a subcommand works with, from the moment namespaces are entered.
pub(crate) struct Session {
    pub(crate) entered: Entered,
    pub(crate) transports: Transports,
    pub(crate) cancel: Cancel,
    pub(crate) owners: Owners,
    /// How other servers than registries are reached.
    pub(crate) http: http::ClientOptions,
    /// How registries are reached, by who is not to stop with the rest.
    pub(crate) registries: Options,
    /// Where the store is, and what was passed over for it.
    pub(crate) notes: Vec<String>,
}

impl Session {
    /// Says how plugins that are programs are started: as the user, in the scratch.
    pub(crate) fn launch(&self, lineup: &Lineup) {
        let store = self.transports.store();
        let folder = store.shown().join(store.scratch().fresh("plugins"));
        let launch = Launch::new(self.cancel.clone(), self.entered.outside().pool(), folder);
        // A lineup is made for one build, so nobody said it before.
        drop(lineup.launch.set(launch));
    }
}

/// Enters `isolation`, opens the store and the ways to images. No thread may exist before.
pub(crate) fn open(
    isolation: Isolation,
    place: Option<&Path>,
    mut registries: Options,
    environment: &Environment,
) -> Result<Session, Failure> {
    let (candidate, skipped) =
        store::choose(&candidates(place, environment)).map_err(|error| Failure::of(Status::Environment, &error))?;
    let mut notes: Vec<String> = skipped.iter().map(|skipped| format!("store: passed over {skipped}")).collect();
    notes.push(format!("store: {} ({})", candidate.path.display(), candidate.origin));
    let options = EnterOptions { isolation, owned: vec![candidate.path.clone()] };
    let mut entered = sandbox::enter(&options).map_err(|error| Failure::of(Status::Environment, &error))?;
    let owners = match entered.rung {
        Rung::Sub | Rung::Range | Rung::Full => Owners::Real,
        Rung::Single | Rung::None => Owners::Recorded,
    };
    let Some(directory) = entered.owned.pop() else {
        return Err(Failure::new(Status::Bug, "the store's directory was not opened"));
    };
    let (directory, shown) = own_part(directory, &candidate.path, &entered)?;
    // Some of it belongs to the user and some to root inside; only these threads may remove both.
    entered.outside().run(|| store::remove_left_overs(&shown));
    let opened = Store::open(directory, &shown, &owners_key(&entered));
    let store = opened.map_err(|error| Failure::of(Status::Environment, &error))?;
    let cancel = Cancel::on_signals().map_err(|error| Failure::of(Status::Environment, &error))?;
    let mut lasting = registries.clone();
    lasting.http.cancelled = None;
    // Connections that were made before this knew the flag.
    let flag = registries.http.cancelled.take().unwrap_or_default();
    registries.http.cancelled =
        Some(cancel.mirrored_in(flag).map_err(|error| Failure::of(Status::Environment, &error))?);
    let http = registries.http.clone();
    let registries = Registries::new(registries).map_err(|error| Failure::of(Status::Usage, &error))?;
    let transports = Transports::new(registries, Arc::new(store), entered.outside().pool());
    Ok(Session { entered, transports, cancel, owners, notes, http, registries: lasting })
}

/// Places for the store, best first.
pub(crate) fn candidates(place: Option<&Path>, environment: &Environment) -> Vec<Candidate> {
    let demanded = |path: PathBuf, origin| Candidate { path, origin, is_demanded: true };
    if let Some(path) = place {
        return vec![demanded(path.to_owned(), "--store")];
    }
    if let Some(path) = environment.path("STRATUM_STORE") {
        return vec![demanded(path, "STRATUM_STORE")];
    }
    let mut candidates = Vec::new();
    let mut add = |path: PathBuf, origin| candidates.push(Candidate { path, origin, is_demanded: false });
    let volume = Path::new("/var/lib/containers");
    if is_volume(volume) {
        add(volume.join("stratum"), "a volume");
    }
    if let Some(data) = environment.data_home() {
        add(data.join("stratum"), "the user's data");
    }
    let user = user_id();
    let temporary = environment.path("TMPDIR").unwrap_or_else(|| PathBuf::from("/var/tmp"));
    add(temporary.join(format!("stratum-{user}")), "temporary files");
    add(PathBuf::from(".stratum"), "the current directory");
    candidates
}

/// Whether something is mounted there.
fn is_volume(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let device = |path: &Path| path.metadata().map(|metadata| metadata.dev()).ok();
    device(path).is_some() && device(path) != device(Path::new("/var"))
}

/// The part of the store that belongs to whoever root is here: what another root made is out of reach.
fn own_part(directory: OwnedFd, place: &Path, entered: &Entered) -> Result<(OwnedFd, PathBuf), Failure> {
    let root = entered.ids.root_outside().map_or_else(|| "user".to_owned(), |(uid, gid)| format!("{uid}.{gid}"));
    let shown = place.join(&root);
    let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(&root);
    let failed = |error: std::io::Error| {
        Failure::new(Status::Environment, format!("{}: the store cannot be opened: {error}", shown.display()))
    };
    std::fs::create_dir_all(&path).map_err(failed)?;
    Ok((store::open_directory(&path).map_err(failed)?, shown))
}

/// A name for the way ids are mapped: unpacked layers are of no use under another.
fn owners_key(entered: &Entered) -> String {
    let maps = format!("{:?} {:?}", entered.ids.uids, entered.ids.gids);
    let digest = oci::Digest::of(maps.as_bytes());
    format!("{}-{}", entered.rung, digest.hex().get(..12).unwrap_or_default())
}

fn user_id() -> u32 {
    use std::os::unix::fs::MetadataExt;
    // A process's own directory belongs to its user.
    Path::new("/proc/self").metadata().map_or(0, |metadata| metadata.uid())
}
