//! Executing stages, one after the other.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway::Gateway;
use oci::ImageConfig;
use oci::config::History;
use sandbox::{Cancel, Root, RootSpec};
use store::Store;
use transport::{Location, SourceImage, Transports};

use crate::plan::{ResolvedBase, ResolvedPlan, StagePlan};
use crate::scope::Scope;
use crate::{BuildError, Event, Image, Observer, Owners, Request, added, base, instruction};

/// What a build works with.
#[derive(Clone, Copy)]
pub struct Workshop<'w> {
    /// What is asked for.
    pub request: &'w Request,
    /// The ways to images.
    pub transports: &'w Transports,
    /// Where trees lie.
    pub store: &'w Store,
    /// Who listens.
    pub observer: Observer<'w>,
    /// Whether to stop.
    pub cancel: &'w Cancel,
    /// How owners are kept.
    pub owners: Owners,
    /// The way out of steps whose network is the gateway's.
    pub gateway: Option<&'w Gateway>,
    /// Where the image goes.
    pub outputs: &'w [Location],
}

impl std::fmt::Debug for Workshop<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Workshop").field("store", &self.store).field("owners", &self.owners).finish()
    }
}

/// What lies below a stage's own files, the lowest first.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// A layer of a base image, by position.
    Base { image: Arc<SourceImage>, position: usize },
    /// What another stage changed: a directory of the store in overlay form.
    Upper { directory: PathBuf, stage: String },
}

/// A stage while it is built, and after.
#[derive(Debug)]
pub(crate) struct Stage<'r> {
    pub(crate) label: String,
    pub(crate) config: ImageConfig,
    pub(crate) scope: Scope<'r>,
    /// What is below.
    pub(crate) chain: Vec<Link>,
    /// Its own changes, once there may be some.
    pub(crate) upper: Option<PathBuf>,
    root: Option<Root>,
    /// Whether CMD was given in this stage, so that ENTRYPOINT leaves it.
    pub(crate) has_cmd: bool,
    /// The position in the history of the last instruction that may have changed files.
    pub(crate) changed_at: Option<usize>,
}

/// The stages that are done, by number.
pub(crate) type Done<'r> = BTreeMap<usize, Stage<'r>>;

/// Builds the plan's target; new layers grow into all of [`Workshop::outputs`] at once.
///
/// # Errors
/// [`BuildError`]; nothing of the image has a name anywhere then.
pub fn build<'w>(workshop: Workshop<'w>, plan: &ResolvedPlan<'_>) -> Result<Image<'w>, BuildError> {
    let mut done = Done::new();
    let mut target = None;
    for (stage_plan, base) in plan.plan().needed.iter().zip(&plan.bases) {
        let stage = Builder { workshop, plan, done: &done, stage_plan }.build(base)?;
        target = Some(stage_plan.index);
        done.insert(stage_plan.index, stage);
    }
    // A plan has at least its target.
    let stage = target.and_then(|index| done.remove(&index));
    let Some(stage) = stage else { return Err(BuildError::Cancelled) };
    Image::write(workshop, plan.plan().request, stage)
}

struct Builder<'b, 'p, 'w, 'r> {
    workshop: Workshop<'w>,
    plan: &'p ResolvedPlan<'r>,
    done: &'b Done<'p>,
    stage_plan: &'p StagePlan,
}

impl<'p> Builder<'_, 'p, '_, '_> {
    fn build(&self, base: &ResolvedBase) -> Result<Stage<'p>, BuildError> {
        let mut stage = self.start(base);
        let plan = self.plan.plan();
        let Some(source) = plan.stages.stages.get(self.stage_plan.index) else { return Ok(stage) };
        let label = stage.label.clone();
        let steps = source.instructions.len();
        let observer = self.workshop.observer;
        observer(Event::StageStarted { stage: &label, base: &source.base.raw, steps });
        for (position, instruction) in source.instructions.iter().enumerate() {
            if self.workshop.cancel.is_set() {
                return Err(BuildError::Cancelled);
            }
            let number = position + 1;
            observer(Event::StepStarted { stage: &label, number, steps, line: &instruction.line });
            let context = instruction::Surroundings {
                workshop: self.workshop,
                request: plan.request,
                plan: self.plan,
                done: self.done,
                stage_index: self.stage_plan.index,
            };
            let executed = instruction::execute(&context, &mut stage, instruction);
            executed.map_err(|failure| failure.at(instruction))?;
            observer(Event::StepDone { stage: &label, number });
        }
        if self.stage_plan.index == plan.target() && !plan.request.added.is_empty() {
            added::add(&self.workshop, plan.request, &mut stage)?;
        }
        observer(Event::StageDone { stage: &label });
        Ok(stage)
    }

    fn start(&self, base: &ResolvedBase) -> Stage<'p> {
        let request = self.plan.plan().request;
        let mut args = BTreeMap::new();
        let (config, chain) = match base {
            ResolvedBase::Scratch => (ImageConfig::scratch(&request.platform), Vec::new()),
            ResolvedBase::Image(image) => {
                let layers = 0..image.manifest.layers.len();
                let link = |position| Link::Base { image: Arc::clone(image), position };
                (image.config.clone(), layers.map(link).collect())
            }
            ResolvedBase::Stage(index) => match self.done.get(index) {
                Some(below) => {
                    args = below.scope.args();
                    (below.config.clone(), below.whole_chain())
                }
                // The order of the plan puts it first.
                None => (ImageConfig::scratch(&request.platform), Vec::new()),
            },
        };
        let scope = Scope::new(request, &self.plan.plan().globals, args);
        Stage::new(&self.stage_plan.label, config, scope, chain)
    }
}

impl<'r> Stage<'r> {
    /// A stage before its first instruction.
    pub(crate) fn new(label: &str, config: ImageConfig, scope: Scope<'r>, chain: Vec<Link>) -> Self {
        Self {
            label: label.to_owned(),
            config,
            scope,
            chain,
            upper: None,
            root: None,
            has_cmd: false,
            changed_at: None,
        }
    }
}

impl Stage<'_> {
    /// What a stage built on this one has below it.
    pub(crate) fn whole_chain(&self) -> Vec<Link> {
        let own = self.upper.clone().map(|directory| Link::Upper { directory, stage: self.label.clone() });
        self.chain.iter().cloned().chain(own).collect()
    }

    /// The stage's tree, mounted when it is first asked for.
    pub(crate) fn root(&mut self, workshop: &Workshop<'_>) -> Result<&Root, BuildError> {
        if self.root.is_none() {
            let lowers = lowers(workshop, &self.chain)?;
            let (root, upper) = mount(workshop, &lowers, &self.label)?;
            self.upper = Some(upper);
            self.root = Some(root);
        }
        match &self.root {
            Some(root) => Ok(root),
            None => Err(BuildError::Cancelled),
        }
    }

    /// The tree, if it was ever mounted.
    pub(crate) fn mounted(&self) -> Option<&Root> {
        self.root.as_ref()
    }

    /// Takes the tree out of the stage.
    pub(crate) fn take_root(&mut self) -> Option<Root> {
        self.root.take()
    }

    /// Notes an instruction in the history.
    pub(crate) fn note(&mut self, request: &Request, line: &str, may_change_files: bool) {
        if may_change_files {
            self.changed_at = Some(self.config.history.len());
        }
        self.config.history.push(History {
            created: Some(crate::commit::timestamp(request.epoch)),
            created_by: Some(line.to_owned()),
            empty_layer: true,
            ..History::default()
        });
    }
}

/// Where the layers of a chain are unpacked, the topmost first.
pub(crate) fn lowers(workshop: &Workshop<'_>, chain: &[Link]) -> Result<Vec<PathBuf>, BuildError> {
    let mut unpacked: Vec<Arc<SourceImage>> = Vec::new();
    let mut lowers = Vec::new();
    for link in chain {
        match link {
            Link::Base { image, position } => {
                if !unpacked.iter().any(|known| Arc::ptr_eq(known, image)) {
                    base::unpack(workshop, image)?;
                    unpacked.push(Arc::clone(image));
                }
                let diff_id = image.config.rootfs.diff_ids.get(*position);
                lowers.extend(diff_id.and_then(|diff_id| workshop.store.layer(diff_id)));
            }
            Link::Upper { directory, .. } => lowers.push(directory.clone()),
        }
    }
    lowers.reverse();
    Ok(lowers)
}

/// Mounts an overlay of `lowers` with a new upper directory, whose name is returned.
pub(crate) fn mount(workshop: &Workshop<'_>, lowers: &[PathBuf], stage: &str) -> Result<(Root, PathBuf), BuildError> {
    let store = workshop.store;
    let folder = |purpose: &str| {
        store.scratch().fresh_folder(purpose).map_err(|source| {
            BuildError::Store(store::StoreError::Io {
                path: store.shown().to_owned(),
                action: "make a folder for a stage",
                source,
            })
        })
    };
    let (upper, work, mount, stubs) = (folder("upper")?, folder("work")?, folder("root")?, folder("stubs")?);
    open_to_all(&store.path(&upper));
    let failed = |source| BuildError::Mount { stage: stage.to_owned(), source };
    let stub_directory = store::open_directory(&store.path(&stubs)).map_err(|source| {
        BuildError::Store(store::StoreError::Io { path: stubs.clone(), action: "open the folder of a stage", source })
    })?;
    open_to_all(&store.path(&stubs));
    let files = crate::run::MOUNT_POINTS.map(Path::new);
    // An image without the directory shall not get one for what only steps see.
    let repositories = [Path::new(crate::repositories::DIRECTORY)];
    let directories = if workshop.request.repositories.is_empty() { &[][..] } else { &repositories[..] };
    sandbox::write_stubs(stub_directory.as_fd(), &files, directories).map_err(|source| {
        BuildError::Store(store::StoreError::Io { path: stubs.clone(), action: "make mount points", source })
    })?;
    let lowers = lowers.iter().cloned().chain([stubs]).collect();
    let spec = RootSpec { base: store.directory(), lowers, upper: upper.clone(), work, mount };
    let root = sandbox::mount_root(&spec).map_err(failed)?;
    Ok((root, upper))
}

/// An upper directory's own mode shows as that of `/`.
fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    if let Err(error) = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)) {
        tracing::debug!(path = %path.display(), %error, "mode of a stage's root not set");
    }
}

/// An instruction that did not work, before its place is known.
pub(crate) enum Failure {
    /// It has a place: the instruction.
    Here(Box<crate::InstructionError>),
    /// It knows its place, or has none.
    Elsewhere(Box<BuildError>),
}

impl Failure {
    pub(crate) fn at(self, instruction: &dockerfile::Instruction) -> BuildError {
        match self {
            Self::Here(source) if source.is_cancelled() => BuildError::Cancelled,
            Self::Here(source) => {
                BuildError::Instruction { line: instruction.line.clone(), span: instruction.span, source }
            }
            Self::Elsewhere(error) => *error,
        }
    }
}

impl<E: Into<crate::InstructionError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Here(Box::new(error.into()))
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::Elsewhere(Box::new(error))
    }
}

/// A place inside a stage is absolute and clean.
pub(crate) fn inside(workdir: &str, path: &str) -> PathBuf {
    PathBuf::from(crate::config::workdir(workdir, path))
}
