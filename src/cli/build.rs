//! `stratum build`.

mod bring;
mod checking;
mod config_options;
mod containerfile;
mod context;
mod dry_run;
mod fetch;
mod foreign;
mod id_files;
mod inline;
mod job;
mod last_base;
mod log_options;
mod mounts;
mod outputs;
mod prepare;
mod publishing;
mod recording;
mod sbom_options;
mod source_options;
mod step_options;
mod trees;

use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use ::build::{Published, StepNetwork};
use pipeline::record::Recorder;
use pipeline::{Clock, Outwards, PhaseName, Registry, Run, Task};

use crate::environment::Environment;
use crate::failure::{self, Failure};
use crate::log::{self, Style};
use crate::progress::Progress;
use crate::registries::RegistryArguments;
use crate::site::{self, Configuration};
use crate::{output, session, summary};
use config_options::ConfigArguments;
use foreign::ForeignArguments;
pub(crate) use inline::{IN_BUILD, Inline};
use job::Job;
pub(crate) use last_base::LastBase;
use log_options::LogArguments;
use prepare::Settings;
use sbom_options::SbomArguments;
use source_options::SourceArguments;
use step_options::StepArguments;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The source: a directory, a git URL with #COMMIT[:SUBDIRECTORY], a tar or its URL, or - for standard input
    #[arg(default_value = ".")]
    source: String,
    /// The Dockerfile, a URL or - for standard input; several are joined. By default the context's Containerfile or
    /// Dockerfile
    #[arg(short, long)]
    file: Vec<String>,
    /// Name the image; with --push also push it there
    #[arg(short, long, value_name = "REF")]
    tag: Vec<String>,
    /// Push the image under every name given with --tag, or else under those the site's configuration gives it
    #[arg(long)]
    push: bool,
    /// Write the image here: docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], dir:DIR;
    /// or as docker and buildah say it: type=image|registry|oci|docker|tar|local,dest=PATH,name=REF; or its files:
    /// DIR, or - for a tar on stdout
    #[arg(short, long, value_name = "LOCATION")]
    output: Vec<String>,
    /// Give a value to an ARG
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Replace an image name, or name files for COPY --from: NAME=DIR, NAME=URL of a tar or of git, NAME=FILE.tar,
    /// NAME=docker-image://REF, NAME=oci-layout://DIR[:TAG]
    #[arg(long, value_name = "NAME=VALUE")]
    build_context: Vec<String>,
    /// Build this stage instead of the last
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Build for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Add a label
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Add an annotation to the manifest
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// Leave out of the context what this file says, instead of .containerignore or .dockerignore
    #[arg(long, value_name = "FILE")]
    ignorefile: Option<PathBuf>,
    /// The media types to write; oci where $BUILDAH_FORMAT says nothing
    #[arg(long, value_enum)]
    format: Option<FormatName>,
    /// How to compress new layers: gzip, zstd or none, with a level if need be
    #[arg(long, value_name = "NAME[:LEVEL]", default_value = "gzip")]
    compression: String,
    /// Let RUN steps see this .repo file in /etc/yum.repos.d; it gets into no layer
    #[arg(long, value_name = "FILE|URL")]
    add_repo: Vec<String>,
    /// The site's configuration; without one no plugin acts
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Verify every package's signature with these keys, and publish nothing if one fails
    #[arg(long, value_name = "FILE|DIR")]
    keys: Vec<PathBuf>,
    /// Write a record of everything that came in and went out, as JSON
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Attach the record to the pushed image, as a referrer
    #[arg(long)]
    push_record: bool,
    /// The network of RUN steps: host, none or gateway; host without a site's configuration, gateway with one
    #[arg(long, visible_alias = "net", value_name = "NAME", value_parser = NetworkName::parse)]
    network: Option<NetworkName>,
    /// Let RUN steps reach this host through the gateway: NAME, *.DOMAIN, NAME:PORT
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// How RUN steps are isolated: auto, sub, range, full, single, none (see `stratum doctor`)
    #[arg(long)]
    isolation: Option<String>,
    /// The time that stands for "now" in the image, in seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    source_date_epoch: Option<u64>,
    /// Where trees and blobs are kept
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t = Style::Auto)]
    progress: Style,
    /// Print the plan, every edit with its reason and the Dockerfile as it would be executed; build nothing
    #[arg(long)]
    dry_run: bool,
    /// Stages that are built at the same time, and threads that compress; by default as many as there are processors
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Make a layer for each instruction that changes files, instead of one for all
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    layers: bool,
    /// Make one layer in all, the base's files in it
    #[arg(long, visible_alias = "squash-all", conflicts_with = "layers", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    squash: bool,
    /// Let RUN --mount=type=secret have a file or variable: id=ID[,src=FILE|,env=NAME][,type=file|env]
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,
    /// Let RUN --mount=type=ssh use the agent of SSH_AUTH_SOCK, or another one's socket
    #[arg(long, value_name = "ID[=SOCKET]")]
    ssh: Vec<String>,
    /// Show a file or directory of this machine to every RUN step; with O what a step writes is thrown away
    #[arg(short, long, value_name = "HOST:CONTAINER[:ro|rw|O|z|Z]")]
    volume: Vec<String>,
    /// Hand this to the C preprocessor, which Dockerfiles called .in go through
    #[arg(long, value_name = "FLAG", allow_hyphen_values = true)]
    cpp_flag: Vec<String>,
    /// Write the image's ID, the digest of its config, to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write the digests of manifest and config as JSON to this file, with BuildKit's keys
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Write the manifest's digest to this file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArguments,
    #[command(flatten)]
    checking: checking::CheckArguments,
    #[command(flatten)]
    sources: SourceArguments,
    #[command(flatten)]
    image: ConfigArguments,
    #[command(flatten)]
    steps: StepArguments,
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    sbom: SbomArguments,
    #[command(flatten)]
    foreign: ForeignArguments,
}

impl Arguments {
    /// What `words`, options and source as after `stratum build`, ask for.
    pub(crate) fn of_words(words: &[String]) -> Result<Self, clap::Error> {
        use clap::{Args, FromArgMatches};
        let command = Self::augment_args(clap::Command::new("stratum build").no_binary_name(true));
        Self::from_arg_matches(&command.try_get_matches_from(words)?)
    }

    /// Further files and directories with credentials for registries, the first one first.
    pub(crate) fn add_credentials(&mut self, paths: Vec<PathBuf>) {
        self.registry.secrets = paths;
    }

    /// How progress is shown.
    pub(crate) fn style(&self) -> Style {
        if self.log.quiet { Style::Quiet } else { self.progress }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatName {
    Oci,
    Docker,
}

#[derive(Clone, Copy, Debug)]
enum NetworkName {
    /// As if nothing had been said
    Default,
    /// The machine's
    Host,
    /// Loopback only
    None,
    /// Loopback, and there a gateway to the repositories and hosts that are allowed
    Gateway,
}

impl NetworkName {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "default" => Ok(Self::Default),
            "host" => Ok(Self::Host),
            "none" => Ok(Self::None),
            "gateway" => Ok(Self::Gateway),
            _ => Err("steps cannot have a network of their own with a way out (bridge, private, pasta, ns:…), which \
                takes privilege; there are host (the builder's), none (loopback only) and gateway (allowed hosts only)"
                .to_owned()),
        }
    }

    /// The network that is demanded, if one is.
    fn demanded(self) -> Option<StepNetwork> {
        match self {
            Self::Default => None,
            Self::Host => Some(StepNetwork::Host),
            Self::None => Some(StepNetwork::None),
            Self::Gateway => Some(StepNetwork::Gateway),
        }
    }
}

impl Arguments {
    /// Stages built at the same time, and threads that compress.
    fn jobs(&self) -> usize {
        // 0 is no limit to buildah.
        let given = self.jobs.filter(|jobs| *jobs > 0);
        given.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }
}

pub(crate) fn run(arguments: &Arguments, environment: &Environment, registry: &Registry) -> Result<(), Failure> {
    if arguments.checking.is_alone()? {
        return checking::alone(arguments, environment);
    }
    let configuration = site::read(arguments.config.as_deref())?;
    run_as(arguments, environment, registry, Demand { configuration, ..Demand::default() })
}

/// What a build system hands in beside a command line.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// The site's configuration; `--config` is not read any more.
    pub(crate) configuration: Configuration,
    /// What is demanded of this build.
    pub(crate) task: Task,
    /// What it is built on.
    pub(crate) base: LastBase,
    /// What it has of the source itself.
    pub(crate) inline: Inline,
}

/// Builds what `arguments` say for a build system.
pub(crate) fn run_as(
    arguments: &Arguments,
    environment: &Environment,
    registry: &Registry,
    Demand { configuration, task, base, inline }: Demand,
) -> Result<(), Failure> {
    let start = Instant::now();
    let clock = || start.elapsed();
    arguments.foreign.check()?;
    let mut settings = Settings::read(arguments, environment, &configuration)?;
    settings.wanted.task = task;
    arguments.log.open(&settings.platform)?;
    log::platform(configuration.site.platform(&settings.platform.architecture));
    let lineup = registry.choose(&configuration.site, &settings.wanted);
    let lineup = lineup.map_err(|error| failure::of_plugin(&error, None))?;
    if !arguments.style().is_silent() {
        configuration.notes.iter().chain(&lineup.notes).chain(&settings.notes).for_each(|note| output::note(note));
    }
    let place = arguments.store.as_deref();
    let session = session::open(settings.isolation, place, settings.registries.clone(), environment)?;
    session.launch(&lineup);
    settings.user_threads.are(session.entered.outside().pool());
    let recorder = Recorder::new(recording::beginning(arguments, environment, &configuration, &session)?);
    recorder.change(|record| record.warnings.clone_from(&lineup.warnings));
    let job = Job {
        arguments,
        environment,
        configuration: &configuration,
        settings: &settings,
        session: &session,
        recorder: &recorder,
        progress: &Progress::new(arguments.style(), start),
        base: &base,
        inline: &inline,
        start,
        told: AtomicUsize::default(),
    };
    let mut run = Run::new(&configuration.site, &lineup, &recorder, Clock(&clock));
    let mut published = None;
    let result = job
        .build(&mut run, &mut published)
        .map_err(|failure| if session.cancel.is_set() { failure.of_stopping() } else { failure });
    if arguments.dry_run {
        return result;
    }
    recorder.change(|record| recording::end(record, (result.as_ref().err(), run.facts()), start.elapsed()));
    let write = |path: &std::path::Path, bytes: &[u8]| session.entered.outside().run(|| std::fs::write(path, bytes));
    let phase = log::current_phase();
    log::phase(PhaseName::Exit.as_str());
    let registries = job.last_registries()?;
    let outwards = Outwards { record_path: arguments.record.as_deref(), write: &write, registries: &registries };
    let left = run.exit(published.as_ref(), outwards).map_err(|error| failure::of_plugin(&error, None));
    job.say_warnings();
    if result.is_err() {
        // Where it failed, not where it is told.
        log::phase(&phase);
    }
    finish(&job, result, left, published.as_ref())
}

/// Says how it went. What failed first counts, what failed at the end is said too.
fn finish(
    job: &Job<'_>,
    result: Result<(), Failure>,
    left: Result<(), Failure>,
    published: Option<&Published>,
) -> Result<(), Failure> {
    let (result, left) = match (result, left) {
        (Err(failure), Err(more)) => {
            let phase = log::current_phase();
            log::phase(PhaseName::Exit.as_str());
            let help = more.help.map_or_else(String::new, |help| format!("\nhelp: {help}"));
            output::warning(&format!("{}{help}", more.text));
            log::phase(&phase);
            (Err(failure), Ok(()))
        }
        other => other,
    };
    result?;
    let Some(published) = published else { return left };
    id_files::write(job, published)?;
    if !job.arguments.style().is_silent() {
        summary::print(job.arguments.style(), &job.recorder.record(), published, job.start.elapsed());
    }
    if !trees::take_stdout(job.arguments) {
        output::result(&published.digest.to_string());
    }
    left
}
