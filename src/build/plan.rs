//! Deciding what is to be done, first without asking anybody, then with every base pinned.

use std::collections::BTreeMap;
use std::sync::Arc;

use dockerfile::{Arguments, Base, Command, Graph, Instruction, Kind, Origin, Span, Stages, edit};
use oci::Platform;
use transport::{Location, SourceImage, Transports};

use crate::pull::{self, Wanted};
use crate::request::NamedContext;
use crate::scope;
use crate::source_policy::Decision;
use crate::trigger::{self, Trigger};
use crate::{BuildError, Event, Observer, Request};

/// What is to be built, in order. Nothing has been fetched.
#[derive(Debug)]
pub struct Plan<'r> {
    pub(crate) request: &'r Request,
    pub(crate) stages: Stages<'r>,
    pub(crate) globals: BTreeMap<String, String>,
    graph: Graph,
    /// The stages that are needed, in an order in which they can be built; the last is the target.
    pub needed: Vec<StagePlan>,
    /// The stages that are not needed: their bases are named, but nothing of them is built.
    pub others: Vec<StagePlan>,
}

/// One stage that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagePlan {
    /// Its number in the Dockerfile.
    pub index: usize,
    /// Its name, or its number.
    pub label: String,
    /// What it is built on.
    pub base: Base,
    /// The place of that in the Dockerfile.
    pub base_span: Span,
    /// The platform of its base.
    pub platform: Platform,
    /// What it copies from, each with its place.
    pub origins: Vec<(Origin, Span)>,
}

impl StagePlan {
    /// Whether steps of the stage see what a site injects: not those of one built on nothing, which has no package
    /// manager of the site's.
    #[must_use]
    pub fn sees_injected(&self) -> bool {
        self.base != Base::Scratch
    }
}

/// What a stage is built on, in hand.
#[derive(Clone, Debug)]
pub enum ResolvedBase {
    /// Nothing.
    Scratch,
    /// An earlier stage, by number.
    Stage(usize),
    /// An image whose digest is known.
    Image(Arc<SourceImage>),
}

/// A plan in which every image has a digest; only this can be built.
#[derive(Debug)]
pub struct ResolvedPlan<'r> {
    pub(crate) plan: Plan<'r>,
    /// One for each of [`Plan::needed`].
    pub bases: Vec<ResolvedBase>,
    /// What the bases want executed first, one for each of [`Plan::needed`].
    pub(crate) triggers: Vec<Vec<Trigger>>,
    /// The images COPY takes from, by the name the Dockerfile uses.
    pub(crate) origins: BTreeMap<String, Arc<SourceImage>>,
    /// The Dockerfile with every FROM pinned by digest, all other bytes as they were.
    pub dockerfile: String,
}

/// Decides what has to be built.
///
/// # Errors
/// [`BuildError::Stages`] and, for a platform that is none, [`BuildError::Unusable`].
pub fn plan(request: &Request) -> Result<Plan<'_>, BuildError> {
    let stages = dockerfile::stages(&request.dockerfile)?;
    let target = stages.target(request.target.as_deref())?;
    let build = |name: &str| request.build_args.get(name).cloned();
    let platform = |name: &str| scope::platform_argument(request, name);
    let arguments = Arguments { build: &build, platform: &platform };
    let globals = stages.globals(arguments)?;
    let graph = stages.resolve(arguments)?;
    let needed = needed(request, &stages, &graph, target)?;
    let is_other = |index: &usize| !needed.iter().any(|stage: &StagePlan| stage.index == *index);
    // What is wrong with a stage that is not built does not matter.
    let other = |index| stage_plan(request, &stages, &graph, index)?.ok();
    let others = (0..stages.stages.len()).filter(is_other).filter_map(other).collect();
    Ok(Plan { request, stages, globals, graph, needed, others })
}

fn needed(request: &Request, stages: &Stages<'_>, graph: &Graph, target: usize) -> Result<Vec<StagePlan>, BuildError> {
    let order = if request.builds_unused_stages { (0..=target).collect() } else { graph.order(target) };
    order.into_iter().filter_map(|index| stage_plan(request, stages, graph, index)).collect()
}

fn stage_plan(
    request: &Request,
    stages: &Stages<'_>,
    graph: &Graph,
    index: usize,
) -> Option<Result<StagePlan, BuildError>> {
    let (stage, needs) = (stages.stages.get(index)?, graph.needs.get(index)?);
    let platform = match needs.platform.as_deref().map(str::parse) {
        None => request.platform.clone(),
        Some(Ok(platform)) => platform,
        Some(Err(error)) => {
            let span = stage.platform.map_or(stage.from.span, |word| word.span);
            let name = needs.platform.clone().unwrap_or_default();
            let error: oci::platform::PlatformError = error;
            return Some(Err(BuildError::Unusable { name, span, why: error.to_string() }));
        }
    };
    Some(Ok(StagePlan {
        index,
        label: stage.label(),
        base: needs.base.clone(),
        base_span: stage.base.span,
        platform,
        origins: needs.origins.clone(),
    }))
}

/// Whether an instruction reads or writes files of the stage.
fn needs_files(instruction: &Instruction) -> bool {
    match &instruction.kind {
        Kind::Run { command: Command::Shell(text), heredocs, .. } => !text.is_empty() || !heredocs.is_empty(),
        Kind::Run { .. } | Kind::Copy(_) | Kind::Add(_) | Kind::Workdir(_) | Kind::Volume(_) => true,
        Kind::From { .. }
        | Kind::Arg(_)
        | Kind::Env(_)
        | Kind::User(_)
        | Kind::Label(_)
        | Kind::Cmd(_)
        | Kind::Entrypoint(_)
        | Kind::Expose(_)
        | Kind::Stopsignal(_)
        | Kind::Healthcheck(_)
        | Kind::Shell(_)
        | Kind::Onbuild(_)
        | Kind::Maintainer(_) => false,
    }
}

impl<'r> Plan<'r> {
    /// The number of the stage that is built.
    #[must_use]
    pub fn target(&self) -> usize {
        self.needed.last().map_or(0, |stage| stage.index)
    }

    /// The stage whose image the target is built on in the end, through the stages between; none for scratch.
    #[must_use]
    pub fn root_stage(&self) -> Option<usize> {
        let mut index = self.target();
        loop {
            let stage = self.needed.iter().find(|stage| stage.index == index)?;
            match stage.base {
                Base::Scratch => return None,
                Base::Image(_) => return Some(index),
                // Stages are built on earlier ones only.
                Base::Stage(below) => index = below,
            }
        }
    }

    /// The image that the stage of this number is built on; none for one built on nothing or on another stage.
    ///
    /// # Errors
    /// As for [`Plan::resolve`].
    pub fn parent(&self, index: usize, transports: &Transports) -> Result<Option<Arc<SourceImage>>, BuildError> {
        let Some(stage) = self.needed.iter().find(|stage| stage.index == index) else { return Ok(None) };
        let Base::Image(name) = &stage.base else { return Ok(None) };
        let mut resolver = Resolver { request: self.request, transports, observer: &|_| {}, known: BTreeMap::new() };
        resolver.image(name, stage.base_span, &stage.platform).map(Some)
    }

    /// The first instruction that cannot be executed without a sandbox.
    #[must_use]
    pub fn first_isolated(&self) -> Option<&'r Instruction> {
        let stages = self.needed.iter().filter_map(|stage| self.stages.stages.get(stage.index));
        stages.flat_map(|stage| stage.instructions).find(|instruction| needs_files(instruction))
    }

    /// Finds the digest, manifest and config of every image the plan names.
    ///
    /// # Errors
    /// [`BuildError::Name`], [`BuildError::Base`], [`BuildError::Unusable`], each with its place.
    pub fn resolve(mut self, transports: &Transports, observer: Observer<'_>) -> Result<ResolvedPlan<'r>, BuildError> {
        let mut resolver = Resolver { request: self.request, transports, observer, known: BTreeMap::new() };
        let mut resolved: BTreeMap<usize, (ResolvedBase, Vec<Trigger>)> = BTreeMap::new();
        // What a base brings may need more stages than the Dockerfile says.
        while let Some(stage) = self.needed.iter().find(|stage| !resolved.contains_key(&stage.index)).cloned() {
            let (base, triggers) = self.base(&stage, &mut resolver)?;
            self.add_origins(stage.index, &triggers)?;
            resolved.insert(stage.index, (base, triggers));
        }
        let (mut edits, mut origins) = (Vec::new(), BTreeMap::new());
        for stage in &self.needed {
            if let Some((ResolvedBase::Image(image), _)) = resolved.get(&stage.index) {
                edits.extend(pin(self.request, stage.index, image));
            }
            for (origin, span) in &stage.origins {
                let Origin::Image(name) = origin else { continue };
                if !matches!(resolver.named(name), Some(NamedContext::Tree(_))) {
                    origins.insert(name.clone(), resolver.image(name, *span, &stage.platform)?);
                }
            }
        }
        // Edits of different FROM lines cannot overlap, so the text can only be whole.
        let dockerfile =
            edit::apply(&self.request.dockerfile.text, &edits).unwrap_or_else(|_| self.request.dockerfile.text.clone());
        let (bases, triggers) = resolved.into_values().unzip();
        Ok(ResolvedPlan { plan: self, bases, triggers, origins, dockerfile })
    }

    fn base(&self, stage: &StagePlan, resolver: &mut Resolver<'_>) -> Result<(ResolvedBase, Vec<Trigger>), BuildError> {
        Ok(match &stage.base {
            Base::Scratch => (ResolvedBase::Scratch, Vec::new()),
            Base::Stage(index) => {
                let below = self.stages.stages.get(*index);
                (ResolvedBase::Stage(*index), below.map(trigger::of_stage).unwrap_or_default())
            }
            Base::Image(name) => {
                let image = resolver.image(name, stage.base_span, &stage.platform);
                let image = image.map_err(|error| self.advised(error, name, stage.index))?;
                let triggers = trigger::of_image(name, stage.base_span, &image.config.config.on_build)?;
                (ResolvedBase::Image(image), triggers)
            }
        })
    }

    /// An error about a base that may have been meant as a stage.
    fn advised(&self, error: BuildError, base: &str, stage: usize) -> BuildError {
        let BuildError::Base { name, span, source, .. } = error else { return error };
        BuildError::Base { name, span, advice: self.stages.advice(base, stage), source }
    }

    /// Lets a stage need what its triggers copy from.
    fn add_origins(&mut self, index: usize, triggers: &[Trigger]) -> Result<(), BuildError> {
        let mut has_more = false;
        for trigger in triggers {
            for name in trigger.origins()? {
                let Some(needs) = self.graph.needs.get_mut(index) else { continue };
                let span = trigger.span();
                let origin = match self.stages.referenced(&name, index, span)? {
                    Some(stage) => Origin::Stage(stage),
                    None => Origin::Image(name),
                };
                needs.origins.push((origin, span));
                has_more = true;
            }
        }
        if has_more {
            self.needed = needed(self.request, &self.stages, &self.graph, self.target())?;
        }
        Ok(())
    }
}

fn pin(request: &Request, stage: usize, image: &SourceImage) -> Option<dockerfile::Edit> {
    let Location::Registry(reference) = &image.location else { return None };
    edit::pin_from(&request.dockerfile, stage, &reference.to_string()).ok()
}

struct Resolver<'a> {
    request: &'a Request,
    transports: &'a Transports,
    observer: Observer<'a>,
    known: BTreeMap<(String, Platform), Arc<SourceImage>>,
}

impl Resolver<'_> {
    /// The `--build-context` a name means: literally, or as an image reference that says the same.
    fn named(&self, name: &str) -> Option<&NamedContext> {
        let contexts = &self.request.contexts;
        contexts.get(name).or_else(|| {
            let wanted: oci::Reference = name.parse().ok()?;
            contexts
                .iter()
                .find(|(known, _)| known.parse().is_ok_and(|known: oci::Reference| known == wanted))
                .map(|(_, context)| context)
        })
    }

    /// The image of a name that means no `--build-context`, if the policy lets it pass.
    fn named_image(&self, wanted: Wanted<'_>) -> Result<SourceImage, BuildError> {
        let Wanted { name, span, .. } = wanted;
        let full_name = |name: &str| {
            let named = |source| BuildError::Name { name: name.to_owned(), span, source };
            self.transports.reference(name).map_err(named)
        };
        let reference = full_name(name)?;
        let decision = self.request.source_policy.as_ref().map(|policy| policy.decide(name, &reference));
        match decision {
            None | Some(Decision::Allowed) => pull::open(self.transports, wanted, &reference),
            Some(Decision::Converted(name)) => {
                pull::open(self.transports, Wanted { name, ..wanted }, &full_name(name)?)
            }
            Some(Decision::Denied(number, rule)) => {
                let (name, rule) = (name.to_owned(), rule.to_owned());
                Err(BuildError::Denied { name, span, number, rule })
            }
        }
    }

    fn image(&mut self, name: &str, span: Span, platform: &Platform) -> Result<Arc<SourceImage>, BuildError> {
        let key = (name.to_owned(), platform.clone());
        if let Some(known) = self.known.get(&key) {
            return Ok(Arc::clone(known));
        }
        let unusable = |why: String| BuildError::Unusable { name: name.to_owned(), span, why };
        let location = match self.named(name) {
            Some(NamedContext::Image(location)) => Some(location.clone()),
            Some(NamedContext::Tree(_)) => {
                return Err(unusable("this build context is a directory, not an image".to_owned()));
            }
            None => None,
        };
        let wanted = Wanted { name, span, platform, pull: self.request.pull };
        let image = match location {
            Some(location) => {
                let opened = self.transports.open(&location, platform);
                opened.map_err(|source| BuildError::Base { name: name.to_owned(), span, advice: None, source })?
            }
            None => self.named_image(wanted)?,
        };
        if !image.config.platform().satisfies(platform) {
            let text = format!("{name}: the image is for {}, not for {platform}", image.config.platform());
            (self.observer)(Event::Warning(&text));
        }
        (self.observer)(Event::Resolved { name, image: &image });
        let image = Arc::new(image);
        self.known.insert(key, Arc::clone(&image));
        Ok(image)
    }
}

impl<'r> ResolvedPlan<'r> {
    /// The plan behind it.
    #[must_use]
    pub fn plan(&self) -> &Plan<'r> {
        &self.plan
    }
}
