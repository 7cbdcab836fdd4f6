//! The phases, what a plugin of each may look at, and what it may answer.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use build::{Image, Plan, Published, Request};
use dockerfile::Dockerfile;
use oci::{Digest, ImageConfig, Reference};
use serde::Serialize;
use source::Tree;
use transport::{Location, Transports};

use crate::record::Record;
use crate::site::Site;
use crate::{Fact, Facts, Finding, Index, PluginError, Reasoned, SourceFact};

/// A part of a build.
pub trait Phase: Sized {
    /// What a plugin sees.
    type View<'v>;
    /// What it answers.
    type Answer: Answer;
    /// Which phase it is.
    const NAME: PhaseName;
}

/// What a plugin answers, whatever its phase.
pub trait Answer: Default {
    /// Takes out what somebody should know; the runner says it, and the record keeps it.
    fn take_warnings(&mut self) -> Vec<String>;
}

/// The phases that have plugins, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PhaseName {
    /// Before the Dockerfile is read.
    Source,
    /// Before anything is built.
    PreBuild,
    /// The image is there, but has no name yet; its end is the gate.
    PostBuild,
    /// The image gets its names.
    Publish,
    /// Always, whatever happened.
    Exit,
}

impl PhaseName {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::PreBuild => "pre-build",
            Self::PostBuild => "post-build",
            Self::Publish => "publish",
            Self::Exit => "exit",
        }
    }
}

/// Before the Dockerfile is read: files for the context.
#[derive(Debug)]
pub enum Source {}

/// What a plugin of [`Source`] sees.
#[derive(Debug)]
pub struct SourceView<'a> {
    /// The site.
    pub site: &'a Site,
    /// Where the source comes from.
    pub source: &'a SourceFact,
    /// The context's directory. Only a clone this build made may be written to.
    pub directory: &'a Path,
    /// Whether it is such a clone.
    pub is_clone: bool,
    /// Connections for downloads.
    pub http: &'a http::Client,
}

/// What a plugin of [`Source`] found out.
#[derive(Debug, Default)]
pub struct Found {
    /// To be known from here on.
    pub facts: Vec<Fact>,
    /// To be said in the log.
    pub warnings: Vec<String>,
}

impl From<Fact> for Found {
    fn from(fact: Fact) -> Self {
        Self { facts: vec![fact], ..Self::default() }
    }
}

impl Answer for Found {
    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

impl Phase for Source {
    type View<'v> = SourceView<'v>;
    type Answer = Found;
    const NAME: PhaseName = PhaseName::Source;
}

/// Before anything is built: edits.
#[derive(Debug)]
pub enum PreBuild {}

/// What a plugin of [`PreBuild`] sees.
#[derive(Clone, Copy)]
pub struct PreBuildView<'a> {
    /// The site.
    pub site: &'a Site,
    /// Where the source comes from.
    pub source: &'a SourceFact,
    /// What is asked for; its Dockerfile has the edits of the plugins before.
    pub request: &'a Request,
    /// What is to be built.
    pub plan: &'a Plan<'a>,
    /// The Dockerfile as its author wrote it.
    pub written: &'a Dockerfile,
    /// Names demanded with `-t`.
    pub names: &'a [Reference],
    /// What plugins before found out.
    pub facts: &'a Facts,
    /// The build context, if there is one.
    pub context: Option<&'a Arc<Tree>>,
    /// The ways to images.
    pub transports: &'a Transports,
    /// Connections for downloads.
    pub http: &'a http::Client,
    /// The config of the root stage's parent, once somebody asked for it.
    pub(crate) opened: &'a OnceCell<Result<Option<ImageConfig>, PluginError>>,
}

impl std::fmt::Debug for PreBuildView<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PreBuildView").field("source", self.source).finish_non_exhaustive()
    }
}

/// The largest file of a context that a plugin reads, in bytes.
const MAX_CONTEXT_FILE: u64 = 4 << 20;

impl PreBuildView<'_> {
    /// The config the image will have as far as the Dockerfile's text and the parent say it: labels, environment.
    ///
    /// # Errors
    /// The plan's, with the place.
    pub fn preview(&self) -> Result<ImageConfig, PluginError> {
        let config = self.root_config()?;
        Ok(build::preview(self.plan, &|_| config.cloned())?)
    }

    /// The labels that the Dockerfile itself sets, variables expanded.
    ///
    /// # Errors
    /// As for [`PreBuildView::preview`].
    pub fn written_labels(&self) -> Result<BTreeMap<String, String>, PluginError> {
        let mut config = self.root_config()?.cloned();
        if let Some(config) = &mut config {
            config.config.labels.clear();
        }
        Ok(build::preview(self.plan, &|_| config.clone())?.config.labels)
    }

    /// The config of the image that the stage to be built is built on, through the stages between; none for scratch,
    /// and for one that cannot be had, which [`PreBuildView::preview`] says.
    #[must_use]
    pub fn parent_config(&self) -> Option<&ImageConfig> {
        self.root_config().ok().flatten()
    }

    /// The same; an image that no plugin has looked at is looked at now.
    fn root_config(&self) -> Result<Option<&ImageConfig>, PluginError> {
        let Some(stage) = self.plan.root_stage() else { return Ok(None) };
        let parents = self.facts.parents().unwrap_or_default();
        if let Some(parent) = parents.iter().find(|parent| parent.stage == stage) {
            return Ok(Some(&parent.image.config));
        }
        let open = || Ok(self.plan.parent(stage, self.transports)?.map(|image| image.config.clone()));
        match self.opened.get_or_init(open) {
            Ok(config) => Ok(config.as_ref()),
            Err(error) => Err(error.clone()),
        }
    }

    /// The text of a file of the context, if it is there; ignore files do not hide it.
    ///
    /// # Errors
    /// [`crate::Class::Source`] when it cannot be read, is too large or is not UTF-8.
    pub fn context_file(&self, name: &str) -> Result<Option<String>, PluginError> {
        use std::io::Read;
        let Some(tree) = self.context else { return Ok(None) };
        let failed = |why: String| PluginError::new(crate::Class::Source, format!("{name}: {why}"));
        let file = match tree.open(Path::new(name)) {
            Ok(file) => file,
            Err(source::TreeError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(PluginError::of(crate::Class::Source, &error)),
        };
        let mut text = String::new();
        file.take(MAX_CONTEXT_FILE + 1).read_to_string(&mut text).map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > MAX_CONTEXT_FILE {
            return Err(failed("larger than 4 MiB".to_owned()));
        }
        Ok(Some(text))
    }
}

/// What a plugin of [`PreBuild`] wants.
#[derive(Debug, Default)]
pub struct Changes {
    /// To be made in this order.
    pub edits: Vec<Reasoned>,
    /// To be known from here on.
    pub facts: Vec<Fact>,
    /// To be said in the log.
    pub warnings: Vec<String>,
}

impl Answer for Changes {
    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

impl Phase for PreBuild {
    type View<'v> = PreBuildView<'v>;
    type Answer = Changes;
    const NAME: PhaseName = PhaseName::PreBuild;
}

/// The image is there but has no name yet: findings.
#[derive(Debug)]
pub enum PostBuild {}

/// Judges the packages of the image with the site's keys.
pub type Examine<'a> = &'a dyn Fn() -> Result<proof::Report, PluginError>;

/// What a plugin of [`PostBuild`] sees.
#[derive(Clone, Copy)]
pub struct PostBuildView<'a> {
    /// The site.
    pub site: &'a Site,
    /// The image.
    pub image: &'a Image<'a>,
    /// What plugins before found out.
    pub facts: &'a Facts,
    /// Judges the packages; they are read each time.
    pub examine: Examine<'a>,
}

impl std::fmt::Debug for PostBuildView<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PostBuildView").field("image", self.image).finish_non_exhaustive()
    }
}

/// What a plugin of [`PostBuild`] says.
#[derive(Debug, Default)]
pub struct Findings {
    /// What shuts the gate, and what somebody should know.
    pub findings: Vec<Finding>,
    /// To be known from here on.
    pub facts: Vec<Fact>,
    /// To be said in the log: what is not about the image.
    pub warnings: Vec<String>,
}

impl Answer for Findings {
    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

impl Phase for PostBuild {
    type View<'v> = PostBuildView<'v>;
    type Answer = Findings;
    const NAME: PhaseName = PhaseName::PostBuild;
}

/// The image passed the gate: what is to be done with it.
#[derive(Debug)]
pub enum Publish {}

/// What a plugin of [`Publish`] sees.
#[derive(Clone, Copy, Debug)]
pub struct PublishView<'a> {
    /// The site.
    pub site: &'a Site,
    /// The digest the image will have.
    pub digest: &'a Digest,
    /// Where it has been growing.
    pub outputs: &'a [Location],
    /// What plugins before found out.
    pub facts: &'a Facts,
    /// The ways to registries: what plugins before had ordered is there already.
    pub transports: &'a Transports,
}

/// What is to be done with an approved image. The orders of one plugin are carried out before the next is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Give the image its names, the unique ones first; those that move with every build only with [`Order::Float`].
    Push,
    /// Put an index under its names.
    Group(Arc<Index>),
    /// Move the floating names: to the index where there is one, else to the image.
    Float,
}

/// What a plugin of [`Publish`] wants.
#[derive(Debug, Default)]
pub struct Orders {
    /// To be carried out in this order.
    pub orders: Vec<Order>,
    /// To be known once they are.
    pub facts: Vec<Fact>,
    /// To be said in the log.
    pub warnings: Vec<String>,
}

impl From<Order> for Orders {
    fn from(order: Order) -> Self {
        Self { orders: vec![order], ..Self::default() }
    }
}

impl Answer for Orders {
    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }
}

impl Phase for Publish {
    type View<'v> = PublishView<'v>;
    type Answer = Orders;
    const NAME: PhaseName = PhaseName::Publish;
}

/// Always, whatever happened.
#[derive(Debug)]
pub enum Exit {}

/// Writes a file as the user who asked for it.
pub type WriteFile<'a> = &'a dyn Fn(&Path, &[u8]) -> std::io::Result<()>;

/// What a plugin of [`Exit`] sees. It acts by itself, but only outwards.
#[derive(Clone, Copy)]
pub struct ExitView<'a> {
    /// The site.
    pub site: &'a Site,
    /// What is known.
    pub facts: &'a Facts,
    /// What happened, how it ended included.
    pub record: &'a Record,
    /// The image, if it has been published.
    pub published: Option<&'a Published>,
    /// Where the record was demanded (`--record`).
    pub record_path: Option<&'a Path>,
    /// Writes a file as the user.
    pub write: WriteFile<'a>,
    /// The ways to registries.
    pub registries: &'a registry::Registries,
}

impl std::fmt::Debug for ExitView<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ExitView").field("published", &self.published).finish_non_exhaustive()
    }
}

/// The record is written in this phase, so that a plugin of it says in the log what it has to say.
impl Answer for () {
    fn take_warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}

impl Phase for Exit {
    type View<'v> = ExitView<'v>;
    type Answer = ();
    const NAME: PhaseName = PhaseName::Exit;
}
