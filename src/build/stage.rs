//! Executing one stage.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dockerfile::Base;
use dockerfile::Instruction;
use gateway::Gateway;
use oci::ImageConfig;
use oci::config::History;
use sandbox::{Cancel, Root, RootSpec};
use store::Store;
use transport::{Location, SourceImage, Transports};

use crate::adjust::{self, Inherited};
use crate::copy::Touch;
use crate::graft::Graft;
use crate::plan::{ResolvedBase, ResolvedPlan, StagePlan};
use crate::scope::Scope;
use crate::{BuildError, Event, Image, Layering, Observer, Owners, Request, added, base, instruction, mask, schedule};

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
    /// Which files of the image are needed beside the layers.
    pub looked_at: LookedAt<'w>,
    /// The way out of steps whose network is the gateway's.
    pub gateway: Option<&'w Gateway>,
    /// Where the image goes.
    pub outputs: &'w [Location],
    /// Stages that are built at the same time.
    pub jobs: usize,
    /// The way to what ADD names by URL.
    pub http: &'w http::Client,
    /// The environment of git, for repositories that ADD names.
    pub git_environment: &'w [(String, String)],
}

impl std::fmt::Debug for Workshop<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Workshop").field("store", &self.store).field("owners", &self.owners).finish()
    }
}

/// Which files of an image somebody looks at once it is built, beside those who read its layers.
///
/// Others need not exist outside the layer: a COPY whose files nobody else needs goes there straight from the context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookedAt<'w> {
    /// All: they are written out.
    Everything,
    /// Those below these paths, links followed.
    Below(&'w [&'w str]),
}

/// What lies below a stage's own files, the lowest first.
#[derive(Clone, Debug)]
pub(crate) enum Link {
    /// A layer of a base image, by position.
    Base { image: Arc<SourceImage>, position: usize },
    /// What a stage changed: a directory of the store in overlay form.
    Upper {
        directory: PathBuf,
        stage: String,
        /// The position in the history of the last instruction that may have changed files in it.
        changed_at: Option<usize>,
    },
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
    /// Files that belong into its tree and are not there yet.
    pub(crate) grafts: Vec<Graft>,
    /// Whether CMD was given in this stage, so that ENTRYPOINT leaves it.
    pub(crate) has_cmd: bool,
    /// The position in the history of the last instruction that may have changed files.
    pub(crate) changed_at: Option<usize>,
    /// What it has of its base beside the config.
    pub(crate) inherited: Inherited,
    /// Whether its steps see what a site injects.
    pub(crate) sees_injected: bool,
    /// How much of the chain was there before its first instruction.
    below: usize,
    /// What hides files of that from steps: a directory of the store, once it was looked for.
    mask: Option<Option<PathBuf>>,
}

/// The stages that are done, by number.
pub(crate) type Done<'r> = BTreeMap<usize, Arc<Stage<'r>>>;

/// Builds the plan's target; new layers grow into all of [`Workshop::outputs`] at once.
///
/// # Errors
/// [`BuildError`]; nothing of the image has a name anywhere then.
pub fn build<'w>(workshop: Workshop<'w>, plan: &ResolvedPlan<'_>) -> Result<Image<'w>, BuildError> {
    let mut done = schedule::build_stages(workshop, plan)?;
    // A plan has at least its target, and nobody else holds a stage any more.
    let target = done.remove(&plan.plan().target()).and_then(Arc::into_inner);
    let Some(stage) = target else { return Err(BuildError::Cancelled) };
    Image::write(workshop, plan.plan().request, stage)
}

/// Who wants an instruction executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The Dockerfile.
    Stage,
    /// The base image (ONBUILD).
    Base,
}

/// One stage to be built.
pub(crate) struct Builder<'b, 'p, 'w, 'r> {
    pub(crate) workshop: Workshop<'w>,
    pub(crate) plan: &'p ResolvedPlan<'r>,
    pub(crate) done: &'b Done<'p>,
    pub(crate) stage_plan: &'p StagePlan,
}

impl<'p> Builder<'_, 'p, '_, '_> {
    /// Executes the triggers of the base, then the instructions. `position` is that of the stage among the needed.
    pub(crate) fn build(&self, position: usize) -> Result<Stage<'p>, BuildError> {
        let plan = self.plan.plan();
        let base = self.plan.bases.get(position).unwrap_or(&ResolvedBase::Scratch);
        let triggers = self.plan.triggers.get(position).map_or(&[][..], Vec::as_slice);
        let mut stage = self.start(base);
        let Some(source) = plan.stages.stages.get(self.stage_plan.index) else { return Ok(stage) };
        let label = stage.label.clone();
        let steps = triggers.len() + source.instructions.len();
        let observer = self.workshop.observer;
        observer(Event::StageStarted { stage: &label, base: &source.base.raw, steps });
        // They are for the first image built on the base only (Dockerfile reference, "ONBUILD").
        stage.config.config.on_build.clear();
        for (trigger, number) in triggers.iter().zip(1..) {
            let executed = self.execute(&mut stage, (&trigger.instruction, Whose::Base), (number, steps))?;
            executed.map_err(|failure| trigger.at(failure))?;
        }
        for (instruction, number) in source.instructions.iter().zip(triggers.len() + 1..) {
            let executed = self.execute(&mut stage, (instruction, Whose::Stage), (number, steps))?;
            executed.map_err(|failure| failure.at(instruction))?;
        }
        if self.stage_plan.index == plan.target() && !plan.request.added.is_empty() {
            added::add(&self.workshop, plan.request, &mut stage)?;
        }
        observer(Event::StageDone { stage: &label });
        Ok(stage)
    }

    fn execute(
        &self,
        stage: &mut Stage<'p>,
        (instruction, whose): (&Instruction, Whose),
        (number, steps): (usize, usize),
    ) -> Result<Result<(), Failure>, BuildError> {
        if self.workshop.cancel.is_set() {
            return Err(BuildError::Cancelled);
        }
        let label = stage.label.clone();
        let observer = self.workshop.observer;
        observer(Event::StepStarted { stage: &label, number, steps, line: &instruction.line });
        let request = self.plan.plan().request;
        // Others see the files of other stages, and a trigger's failure has a place of its own.
        let is_last = self.stage_plan.index == self.plan.plan().target() && request.layering == Layering::OneNew;
        let around = instruction::Surroundings {
            workshop: self.workshop,
            request,
            deferrable: (is_last && whose == Whose::Stage).then_some(instruction),
            plan: self.plan,
            done: self.done,
            stage_index: self.stage_plan.index,
        };
        let executed = instruction::execute(&around, stage, instruction);
        if executed.is_ok() {
            if around.request.layering == Layering::EachInstruction {
                stage.seal();
            }
            observer(Event::StepDone { stage: &label, number });
        }
        Ok(executed)
    }

    fn start(&self, base: &ResolvedBase) -> Stage<'p> {
        let request = self.plan.plan().request;
        let mut args = BTreeMap::new();
        let mut inherited = Inherited::default();
        let (mut config, chain) = match base {
            ResolvedBase::Scratch => (ImageConfig::scratch(&request.platform), Vec::new()),
            ResolvedBase::Image(image) => {
                inherited = self.inherit(image);
                let layers = 0..image.manifest.layers.len();
                let link = |position| Link::Base { image: Arc::clone(image), position };
                (image.config.clone(), layers.map(link).collect())
            }
            ResolvedBase::Stage(index) => match self.done.get(index) {
                Some(below) => {
                    args = below.scope.args();
                    inherited = below.inherited.clone();
                    let mut config = below.config.clone();
                    adjust::unset(&mut config.config, &request.config);
                    (config, below.whole_chain())
                }
                // The order of the plan puts it first.
                None => (ImageConfig::scratch(&request.platform), Vec::new()),
            },
        };
        adjust::begin(&mut config, &request.config);
        let scope = Scope::new(request, &self.plan.plan().globals, args);
        let sees_injected = self.stage_plan.sees_injected();
        Stage { inherited, sees_injected, ..Stage::new(&self.stage_plan.label, config, scope, chain) }
    }

    /// What the stage has of a base image beside its config.
    fn inherit(&self, image: &SourceImage) -> Inherited {
        let name = match &self.stage_plan.base {
            Base::Image(name) => name.as_str(),
            Base::Stage(_) | Base::Scratch => "",
        };
        Inherited::of(name, &image.descriptor, &image.manifest, &image.config)
    }
}

impl<'r> Stage<'r> {
    /// A stage before its first instruction.
    pub(crate) fn new(label: &str, config: ImageConfig, scope: Scope<'r>, chain: Vec<Link>) -> Self {
        Self {
            label: label.to_owned(),
            config,
            scope,
            sees_injected: true,
            below: chain.len(),
            mask: None,
            chain,
            upper: None,
            root: None,
            grafts: Vec::new(),
            has_cmd: false,
            changed_at: None,
            inherited: Inherited::default(),
        }
    }
}

impl Stage<'_> {
    /// What a stage built on this one has below it.
    pub(crate) fn whole_chain(&self) -> Vec<Link> {
        self.chain.iter().cloned().chain(self.own()).collect()
    }

    /// What the stage changed since it began, or since it was sealed.
    fn own(&self) -> Option<Link> {
        let (stage, changed_at) = (self.label.clone(), self.changed_at);
        self.upper.clone().map(|directory| Link::Upper { directory, stage, changed_at })
    }

    /// Makes what was changed so far a layer of its own; what follows goes into another.
    fn seal(&mut self) {
        let own = self.own();
        self.chain.extend(own);
        (self.upper, self.root, self.changed_at) = (None, None, None);
    }

    /// The stage's tree with all its files.
    pub(crate) fn root(&mut self, workshop: &Workshop<'_>) -> Result<&Root, BuildError> {
        self.plant(workshop)?;
        Ok(self.mounted(workshop)?.0)
    }

    /// Sees to it that whoever touches no more than this cannot tell that files are missing in [`Self::mounted`].
    pub(crate) fn prepare(&mut self, workshop: &Workshop<'_>, touched: &[Touch<'_>]) -> Result<(), BuildError> {
        // Without a tree nothing was put off.
        let Some(root) = &self.root else { return Ok(()) };
        let meets = |graft: &Graft| touched.iter().any(|touch| touch.meets(root.dir(), graft.directory()));
        if self.grafts.iter().any(meets) { self.plant(workshop) } else { Ok(()) }
    }

    /// Sees to it that all is there that somebody looks at when the layers are written.
    pub(crate) fn prepare_for(&mut self, workshop: &Workshop<'_>) -> Result<(), BuildError> {
        match workshop.looked_at {
            LookedAt::Everything => self.plant(workshop),
            LookedAt::Below(paths) => {
                let touched: Vec<Touch<'_>> = paths.iter().map(|path| Touch::Below(Path::new(path))).collect();
                self.prepare(workshop, &touched)
            }
        }
    }

    /// Copies what was put off.
    fn plant(&mut self, workshop: &Workshop<'_>) -> Result<(), BuildError> {
        let grafts = std::mem::take(&mut self.grafts);
        grafts.iter().try_for_each(|graft| graft.plant(self.mounted(workshop)?.0.dir(), workshop.owners))
    }

    /// The stage's tree, mounted when it is first asked for, and its own changes; what was put off may be missing.
    pub(crate) fn mounted(&mut self, workshop: &Workshop<'_>) -> Result<(&Root, &Path), BuildError> {
        if self.root.is_none() {
            let lowers = self.step_lowers(workshop)?;
            let stubs = if self.sees_injected { Stubs::Shown } else { Stubs::Bare };
            let (root, upper) = mount(workshop, &lowers, &self.label, stubs)?;
            self.upper = Some(upper);
            self.root = Some(root);
        }
        match (&self.root, &self.upper) {
            (Some(root), Some(upper)) => Ok((root, upper)),
            (Some(_), None) | (None, _) => Err(BuildError::Cancelled),
        }
    }

    /// What lies below the stage's changes while steps run, the topmost first: files of the base may be hidden.
    fn step_lowers(&mut self, workshop: &Workshop<'_>) -> Result<Vec<PathBuf>, BuildError> {
        let (below, own) = self.chain.split_at_checked(self.below).unwrap_or((&self.chain, &[]));
        let (mut all, below) = (lowers(workshop, own)?, lowers(workshop, below)?);
        if self.sees_injected && self.mask.is_none() {
            self.mask = Some(mask::make(workshop, &workshop.request.step_inputs.hidden, &below, &self.label)?);
        }
        all.extend(self.mask.clone().flatten());
        all.extend(below);
        Ok(all)
    }

    /// Whether the stage's tree lacks files that the image has.
    pub(crate) fn hides_files(&self) -> bool {
        self.mask.iter().flatten().next().is_some()
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

/// Whether a tree shows the places that steps need and an image may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stubs {
    Shown,
    /// Only those that every step needs, not those for what a site injects.
    Bare,
    Absent,
}

/// Mounts an overlay of `lowers` with a new upper directory, whose name is returned.
pub(crate) fn mount(
    workshop: &Workshop<'_>,
    lowers: &[PathBuf],
    stage: &str,
    stubs: Stubs,
) -> Result<(Root, PathBuf), BuildError> {
    let store = workshop.store;
    let (upper, work, mount) = (folder(workshop, "upper")?, folder(workshop, "work")?, folder(workshop, "root")?);
    open_to_all(&store.path(&upper));
    let mut lowers = lowers.to_vec();
    if stubs != Stubs::Absent {
        lowers.push(make_stubs(workshop, stubs)?);
    }
    let spec = RootSpec { base: store.directory(), lowers, upper: upper.clone(), work, mount };
    let root = sandbox::mount_root(&spec).map_err(|source| BuildError::Mount { stage: stage.to_owned(), source })?;
    Ok((root, upper))
}

fn folder(workshop: &Workshop<'_>, purpose: &str) -> Result<PathBuf, BuildError> {
    let failed = |source| {
        let path = workshop.store.shown().to_owned();
        BuildError::Store(store::StoreError::Io { path, action: "make a folder for a stage", source })
    };
    workshop.store.scratch().fresh_folder(purpose).map_err(failed)
}

/// A directory with what steps need, to be the lowest.
fn make_stubs(workshop: &Workshop<'_>, stubs_for: Stubs) -> Result<PathBuf, BuildError> {
    let stubs = folder(workshop, "stubs")?;
    let failed = |action| {
        let path = stubs.clone();
        move |source| BuildError::Store(store::StoreError::Io { path, action, source })
    };
    let directory = store::open_directory(&workshop.store.path(&stubs));
    let directory = directory.map_err(failed("open the folder of a stage"))?;
    open_to_all(&workshop.store.path(&stubs));
    let mut files = crate::step_options::mount_points(&workshop.request.steps);
    let sees_injected = stubs_for == Stubs::Shown;
    if sees_injected {
        files.extend(workshop.request.step_inputs.files.iter().map(|file| file.target.as_path()));
    }
    // An image without the directory shall not get one for what only steps see.
    let repositories = [Path::new(crate::repositories::DIRECTORY)];
    let has_repositories = workshop.request.repositories.iter().any(|file| file.is_seen(sees_injected));
    let directories = if has_repositories { &repositories[..] } else { &[][..] };
    sandbox::write_stubs(directory.as_fd(), &files, directories).map_err(failed("make mount points"))?;
    Ok(stubs)
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
                let span = source.span().unwrap_or(instruction.span);
                BuildError::Instruction { line: instruction.line.clone(), span, source }
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
