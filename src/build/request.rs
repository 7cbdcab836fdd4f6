//! What somebody asks to be built.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dockerfile::Dockerfile;
use oci::Platform;
use oci::layer::CompressOptions;
use oci::manifest::Format;
use rayon::ThreadPool;
use sandbox::Limit;
use source::Tree;
use transport::Location;

use crate::{ConfigOptions, LayerTimes, Mtime, Pull, SourcePolicy, StepInputs, StepOptions};

/// A build, with everything from outside already read.
#[derive(Debug)]
pub struct Request {
    /// The Dockerfile.
    pub dockerfile: Dockerfile,
    /// What COPY and ADD read without `--from`.
    pub context: Context,
    /// What becomes of the times of the context's files.
    pub context_mtime: Mtime,
    /// `--build-context`, by name.
    pub contexts: BTreeMap<String, NamedContext>,
    /// Folders at the top of the context that are named contexts: the name of the folder, that of the context.
    pub folders: BTreeMap<String, String>,
    /// `--build-arg`, by name.
    pub build_args: BTreeMap<String, String>,
    /// `--target`.
    pub target: Option<String>,
    /// The platform to build for.
    pub platform: Platform,
    /// `--label`, in order.
    pub labels: Vec<(String, String)>,
    /// `--annotation`, in order.
    pub annotations: Vec<(String, String)>,
    /// Repository files seen by RUN and in no layer.
    pub repositories: Vec<RepositoryFile>,
    /// Files written into the image after the last instruction.
    pub added: Vec<AddedFile>,
    /// The network of RUN where the Dockerfile does not say.
    pub network: StepNetwork,
    /// Upper limits on the resources of RUN.
    pub limits: Vec<Limit>,
    /// How long one RUN may take.
    pub step_timeout: Option<Duration>,
    /// Variables RUN gets from outside and no image keeps: proxies.
    pub run_env: Vec<(String, String)>,
    /// What RUN finds in /etc/resolv.conf.
    pub resolv_conf: Vec<u8>,
    /// What RUN finds in /etc/hosts, before our own line.
    pub hosts: Vec<u8>,
    /// The media types to write.
    pub format: Format,
    /// Which layers are made.
    pub layering: Layering,
    /// How new layers are compressed.
    pub compression: CompressOptions,
    /// SOURCE_DATE_EPOCH: seconds since 1970 that stand for "now" in the image.
    pub epoch: u64,
    /// Whether files are hashed when they are copied out of the context, for [`crate::Event::Copied`].
    pub hashes_context: bool,
    /// When the build began, seconds since 1970: files newer than that were written by it.
    pub started: u64,
    /// What RUN gets from outside beside the context.
    pub step_inputs: StepInputs,
    /// When a registry is asked for a base.
    pub pull: Pull,
    /// `--source-policy-file`.
    pub source_policy: Option<SourcePolicy>,
    /// What the command line says of the image's config and manifest.
    pub config: ConfigOptions,
    /// What becomes of file times in new layers.
    pub layer_times: LayerTimes,
    /// What the command line says of RUN.
    pub steps: StepOptions,
    /// `--skip-unused-stages=false`: all stages up to the target are built.
    pub builds_unused_stages: bool,
}

/// Which layers a build makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layering {
    /// One over those of the base.
    #[default]
    OneNew,
    /// One for each instruction that changes files.
    EachInstruction,
    /// One in all, the base's files in it.
    Squashed,
}

/// Where COPY and ADD read.
#[derive(Clone, Debug)]
pub enum Context {
    /// A tree.
    Tree(Arc<Tree>),
    /// There is none: only `--from` copies.
    Absent,
}

/// A `--build-context`.
#[derive(Clone, Debug)]
pub enum NamedContext {
    /// A directory.
    Tree(Arc<Tree>),
    /// An image.
    Image(Location),
}

/// A `.repo` file for RUN (`--add-repo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryFile {
    /// Its name in /etc/yum.repos.d.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
    /// Which stages' steps see it.
    pub seen_in: SeenIn,
}

/// Which stages' steps see a repository file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenIn {
    /// All: somebody gave it for this build.
    EveryStage,
    /// Those that are not built on nothing: it comes from the site or the build system.
    StagesOnImages,
}

impl RepositoryFile {
    /// Whether steps see it, in a stage of which is known whether it [sees what is injected](crate::StagePlan).
    pub(crate) fn is_seen(&self, sees_injected: bool) -> bool {
        sees_injected || self.seen_in == SeenIn::EveryStage
    }
}

/// A file that is written into the image after the last instruction, owned by root and as old as the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddedFile {
    /// Its path in the image.
    pub path: PathBuf,
    /// Its content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// What network RUN has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepNetwork {
    /// The builder's.
    Host,
    /// Loopback only.
    None,
    /// Loopback, and there the gateway.
    Gateway,
}

impl Request {
    /// A build of a Dockerfile and nothing else, to be planned and looked at.
    #[must_use]
    pub fn of(dockerfile: Dockerfile, platform: Platform) -> Self {
        Self {
            dockerfile,
            context: Context::Absent,
            context_mtime: Mtime::Kept,
            contexts: BTreeMap::new(),
            folders: BTreeMap::new(),
            build_args: BTreeMap::new(),
            target: None,
            platform,
            labels: Vec::new(),
            annotations: Vec::new(),
            repositories: Vec::new(),
            added: Vec::new(),
            network: StepNetwork::None,
            limits: Vec::new(),
            step_timeout: None,
            run_env: Vec::new(),
            resolv_conf: Vec::new(),
            hosts: Vec::new(),
            format: Format::default(),
            layering: Layering::default(),
            compression: CompressOptions::default(),
            epoch: 0,
            hashes_context: false,
            started: 0,
            step_inputs: StepInputs::default(),
            pull: Pull::default(),
            source_policy: None,
            config: ConfigOptions::default(),
            layer_times: LayerTimes::default(),
            steps: StepOptions::default(),
            builds_unused_stages: false,
        }
    }

    /// Lets `threads` open the files of all contexts: they may do what the user may, this process perhaps not.
    pub fn read_through(&self, threads: &Arc<ThreadPool>) {
        self.step_inputs.threads.get_or_init(|| Arc::clone(threads));
        if let Context::Tree(tree) = &self.context {
            tree.read_through(threads);
        }
        for context in self.contexts.values() {
            if let NamedContext::Tree(tree) = context {
                tree.read_through(threads);
            }
        }
    }
}
