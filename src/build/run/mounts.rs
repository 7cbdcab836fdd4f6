//! The mounts of a RUN: from its flags and the command line's to what the sandbox takes.
//!
//! Comes in: the flags of the instruction and [`crate::StepInputs`]. Goes out: [`Provided`]: mounts, files, variables,
//! and what they hang on. buildah's defaults apply. Nothing here shows in a layer.

mod confidential;
mod tmpfs;
mod volume;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use dockerfile::{Mount, MountKind, MountSpec, RunFlags, Span};
use rustix::fs::Mode;
use sandbox::{Access, InjectedFile, MountSource, Step, StepMount};
use source::Tree;
use store::{Cache, CacheName, Sharing};

use crate::instruction::Surroundings;
use crate::owner::Ids;
use crate::run::error::{MountProblem, StepMountError};
use crate::run::held::{Folder, Held};
use crate::run::origin::{NoOrigin, Origin, fd_path, io};
use crate::stage::{Failure, Stage, Workshop, inside};
use crate::step_inputs::VolumeAccess;
use crate::{BuildError, Event};

/// What a step gets beside the image's tree.
#[derive(Default)]
pub(crate) struct Provided {
    /// Parents first.
    pub(crate) mounts: Vec<StepMount>,
    pub(crate) files: Vec<InjectedFile>,
    /// Variables that only this step sees.
    pub(crate) env: Vec<(String, String)>,
    held: Vec<Held>,
}

impl Provided {
    /// Gives a step all of it; this must live until the step has ended.
    pub(crate) fn give(&self, step: &mut Step) {
        step.mounts.extend(self.mounts.iter().cloned());
        step.files.extend(self.files.iter().cloned());
        for (name, value) in &self.env {
            step.env.retain(|(known, _)| known != name.as_str());
            step.env.push((name.into(), value.into()));
        }
    }
}

/// A flag with its options checked.
struct Wanted {
    flag: Flag,
    spec: MountSpec,
    /// Where, absolute; empty for a secret that is a variable only, and for an agent's own place.
    target: Option<PathBuf>,
}

/// A mount as messages name it.
struct Flag {
    what: String,
    span: Option<Span>,
}

impl Flag {
    fn refuse(&self, source: impl Into<MountProblem>) -> Failure {
        StepMountError { what: self.what.clone(), span: self.span, source: source.into() }.into()
    }

    fn no_origin(&self, error: NoOrigin) -> Failure {
        match error {
            NoOrigin::Mount(problem) => self.refuse(problem),
            NoOrigin::Elsewhere(failure) => failure,
        }
    }
}

/// Makes everything that the flags of a RUN ask for.
pub(crate) fn provide(
    around: &Surroundings<'_, '_, '_>,
    stage: &mut Stage<'_>,
    flags: &RunFlags,
) -> Result<Provided, Failure> {
    let wanted = flags.mounts.iter().map(|mount| want(stage, mount)).collect::<Result<Vec<_>, Failure>>()?;
    say_labels(around, &wanted);
    let mut kit = Kit { around, caches: take_caches(around, &wanted)?, provided: Provided::default(), agents: 0 };
    for volume in &around.request.step_inputs.volumes {
        kit.volume(volume)?;
    }
    for wanted in &wanted {
        match wanted.spec.kind {
            MountKind::Bind => kit.bind(wanted)?,
            MountKind::Cache => kit.cache(wanted)?,
            MountKind::Tmpfs => kit.tmpfs(stage, wanted)?,
            MountKind::Secret => kit.secret(wanted)?,
            MountKind::Ssh => kit.ssh(wanted)?,
        }
    }
    let Kit { mut provided, caches, .. } = kit;
    provided.held.extend(caches.into_values().map(Held::Cache));
    // A mount may lie below one that stands after it. The order of equals is kept.
    provided.mounts.sort_by_key(|mount| mount.target.components().count());
    Ok(provided)
}

/// Expands and checks one flag.
fn want(stage: &Stage<'_>, mount: &Mount) -> Result<Wanted, Failure> {
    let container = &stage.config.config;
    let raw = Flag { what: "RUN".to_owned(), span: Some(mount.span) };
    let spec = stage.scope.mount(container, mount).map_err(|error| raw.refuse(error))?;
    let target = spec.target.as_deref().map(|target| inside(&container.working_dir, target));
    let shown = target.as_ref().map(|target| format!(",target={}", target.display()));
    let what = format!("--mount=type={}{}", spec.kind, shown.unwrap_or_default());
    let flag = Flag { what, span: Some(mount.span) };
    let needs_target = matches!(spec.kind, MountKind::Bind | MountKind::Cache | MountKind::Tmpfs);
    match &target {
        None if needs_target => Err(flag.refuse(MountProblem::NoTarget)),
        Some(target) if is_reserved(target) => Err(flag.refuse(MountProblem::Reserved { target: target.clone() })),
        Some(_) | None => Ok(Wanted { flag, spec, target }),
    }
}

/// Whether every step has something of its own there. The sandbox looks again when links are resolved.
fn is_reserved(target: &Path) -> bool {
    let whole = ["/", "/dev"].map(Path::new);
    whole.contains(&target) || target.starts_with("/proc") || target.starts_with("/sys")
}

/// Labels are for SELinux alone; where it is on, files of this machine keep theirs.
fn say_labels(around: &Surroundings<'_, '_, '_>, wanted: &[Wanted]) {
    let asks = wanted.iter().find(|wanted| wanted.spec.relabel.is_some());
    if let Some(wanted) = asks.filter(|_| Path::new("/sys/fs/selinux/enforce").exists()) {
        let text = format!("{}: nothing is relabelled for SELinux", wanted.flag.what);
        (around.workshop.observer)(Event::Warning(&text));
    }
}

impl Wanted {
    fn target(&self) -> PathBuf {
        self.target.clone().unwrap_or_default()
    }

    fn access(&self) -> Access {
        if self.spec.read_only { Access::ReadOnly } else { Access::Writable }
    }

    fn owner(&self) -> Ids {
        Ids { uid: self.spec.uid.unwrap_or(0), gid: self.spec.gid.unwrap_or(0) }
    }

    /// The cache that is kept in the store; none where its files come from elsewhere.
    fn cache_name(&self) -> Option<CacheName> {
        let is_kept = self.spec.kind == MountKind::Cache && self.spec.from.is_none();
        let id = self.spec.id.clone().unwrap_or_else(|| self.target().display().to_string());
        let Ids { uid, gid } = self.owner();
        is_kept.then_some(CacheName { id, uid, gid })
    }
}

/// Takes all caches of a step, each once and in the order of their names: two steps can then not wait for each other.
fn take_caches(around: &Surroundings<'_, '_, '_>, wanted: &[Wanted]) -> Result<BTreeMap<CacheName, Cache>, Failure> {
    let mut named: BTreeMap<CacheName, Vec<&Wanted>> = BTreeMap::new();
    for wanted in wanted {
        if let Some(name) = wanted.cache_name() {
            named.entry(name).or_default().push(wanted);
        }
    }
    let mut caches = BTreeMap::new();
    for (name, uses) in named {
        let Some(first) = uses.first() else { continue };
        let cache = take_cache(&around.workshop, &name, &uses).map_err(|error| first.flag.refuse(error))?;
        let Some(cache) = cache else { return Err(BuildError::Cancelled.into()) };
        caches.insert(name, cache);
    }
    Ok(caches)
}

fn take_cache(workshop: &Workshop<'_>, name: &CacheName, uses: &[&Wanted]) -> Result<Option<Cache>, MountProblem> {
    use dockerfile::mount::Sharing as Asked;
    let asks = |sharing| uses.iter().any(|wanted| wanted.spec.sharing == Some(sharing));
    // The strictest of several uses in one step counts.
    let sharing = match (asks(Asked::Locked), asks(Asked::Private)) {
        (true, _) => Sharing::Locked,
        (false, true) => Sharing::Private,
        (false, false) => Sharing::Shared,
    };
    let mode = uses.iter().find_map(|wanted| wanted.spec.mode).unwrap_or(0o755);
    let prepare = |directory: std::os::fd::BorrowedFd<'_>| -> std::io::Result<()> {
        workshop.owners.set_open(directory, Ids { uid: name.uid, gid: name.gid })?;
        Ok(rustix::fs::fchmod(directory, Mode::from_raw_mode(mode & 0o7777))?)
    };
    Ok(workshop.store.cache(name, sharing, &prepare, &|| workshop.cancel.is_set())?)
}

/// Mounts while they are made.
struct Kit<'k, 's, 'w, 'r> {
    around: &'k Surroundings<'s, 'w, 'r>,
    caches: BTreeMap<CacheName, Cache>,
    provided: Provided,
    /// Agents so far, which number their sockets.
    agents: usize,
}

impl Kit<'_, '_, '_, '_> {
    fn mount(&mut self, target: PathBuf, source: PathBuf, access: Access) {
        self.provided.mounts.push(StepMount { target, source: MountSource::Bind { source, access } });
    }

    fn bind(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        let flag = &wanted.flag;
        let origin = Origin::find(self.around, wanted.spec.from.as_deref()).map_err(|error| flag.no_origin(error))?;
        let source = wanted.spec.source.clone().unwrap_or_default();
        let access = if wanted.spec.read_only { VolumeAccess::ReadOnly } else { VolumeAccess::Discarded };
        let made = self.show(origin, Path::new(&source), (wanted.target(), access));
        made.map_err(|problem| flag.refuse(problem))
    }

    /// Mounts a part of an origin so that nothing can be written to it.
    fn show(
        &mut self,
        origin: Origin,
        source: &Path,
        (target, access): (PathBuf, VolumeAccess),
    ) -> Result<(), MountProblem> {
        let workshop = &self.around.workshop;
        let is_discarded = access == VolumeAccess::Discarded;
        if is_discarded && !origin.is_directory(source)? {
            let (path, folder) = origin.file_copy(workshop, source)?;
            self.mount(target, path, Access::Writable);
            self.provided.held.push(Held::Copy(folder));
            return Ok(());
        }
        let part = origin.part(workshop, source)?;
        if !is_discarded {
            self.mount(target, part.path, Access::ReadOnly);
            self.provided.held.push(Held::Place { fd: part.fd, root: part.root });
            return Ok(());
        }
        let folder = Folder::fresh(workshop, "discard")?;
        let root = sandbox::mount_discarding(workshop.store.directory(), part.fd.as_fd(), &folder.name)?;
        self.mount(target, fd_path(&root.dir()), Access::Writable);
        self.provided.held.push(Held::Mount { root, folder, below: part.fd, below_root: part.root });
        Ok(())
    }

    fn cache(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        let Some(name) = wanted.cache_name() else { return self.bind(wanted) };
        let workshop = &self.around.workshop;
        // All are taken by now.
        let Some(cache) = self.caches.get(&name) else { return Err(BuildError::Cancelled.into()) };
        let path = workshop.store.path(&cache.path);
        let source = wanted.spec.source.clone().unwrap_or_default();
        let opened = store::open_directory(&path).map_err(|error| io(&cache.path, "open a cache", error));
        let place = opened.and_then(|directory| {
            let shown = PathBuf::from(format!("cache {}", name.id));
            Ok(Tree::new(directory, &shown, None).place(&Tree::relative(Path::new(&source)))?)
        });
        let place = place.map_err(|problem| wanted.flag.refuse(problem))?;
        self.mount(wanted.target(), fd_path(&place.fd), wanted.access());
        self.provided.held.push(Held::Place { fd: place.fd, root: None });
        Ok(())
    }
}
