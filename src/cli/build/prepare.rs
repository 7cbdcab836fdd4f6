//! From arguments, environment and configuration to what is asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::build::{Layering, Mtime, RepositoryFile, Request, SourcePolicy, StepNetwork, StepOptions};
use dockerfile::Dockerfile;
use dockerfile::edit::EditError;
use oci::Platform;
use oci::layer::CompressOptions;
use oci::manifest::{Compression, Format};
use pipeline::Wanted;
use pipeline::site::{Limits, Site};
use rpm::Keyring;
use sandbox::{Isolation, Limit, Resource};

use super::bring::Bring;
use super::containerfile::{self, Asked, Found};
use super::context::{self, Files};
use super::fetch::{Fetched, Time};
use super::{Arguments, FormatName, NetworkName, config_options, mounts, outputs};
use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::in_cluster::{self, UserThreads};
use crate::inputs;
use crate::koji;
use crate::last_words::LastWords;
use crate::registries;
use crate::site::Configuration;

/// What is known before anything is entered, fetched or read of the source.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) registries: registry::Options,
    pub(super) isolation: Isolation,
    pub(super) wanted: Wanted,
    /// Files with keys, and the keys.
    pub(super) keys: Option<(Vec<PathBuf>, Keyring)>,
    pub(super) network: StepNetwork,
    pub(super) platform: Platform,
    pub(super) compression: CompressOptions,
    pub(super) source_policy: Option<SourcePolicy>,
    pub(super) steps: StepOptions,
    /// What a user should know of how options were taken.
    pub(super) notes: Vec<String>,
    /// What is left for the end once everything is told to stop.
    pub(super) last_words: LastWords,
    /// Who reads the user's files.
    pub(super) user_threads: UserThreads,
}

impl Settings {
    pub(super) fn read(
        arguments: &Arguments,
        environment: &Environment,
        configuration: &Configuration,
    ) -> Result<Self, Failure> {
        let site = &configuration.site;
        let usage = |error: &dyn std::error::Error| Failure::of(Status::Usage, error);
        let paths = key_paths(arguments, site);
        let keys = if paths.is_empty() {
            None
        } else {
            let keyring = Keyring::load(&paths).map_err(|error| usage(&error))?;
            Some((paths, keyring))
        };
        let isolation = arguments.isolation.as_deref().or(site.sandbox.isolation.as_deref()).unwrap_or("auto");
        let mut notes = arguments.steps.notes();
        let isolation = own_isolation(isolation, &mut notes);
        let platform = match &arguments.platform {
            Some(text) => text.parse().map_err(|error: oci::platform::PlatformError| usage(&error))?,
            None => arguments.sources.platform()?,
        };
        let network = network(arguments, configuration);
        let mut registries = registries::options(&arguments.registry, environment, &configuration.site)?;
        // Connections that are made before the sandbox is entered end with the rest when everything is to stop.
        registries.http.cancelled = Some(Arc::default());
        let (last_words, user_threads) = (LastWords::default(), UserThreads::default());
        let around = in_cluster::surroundings(environment, &user_threads);
        let wanted = Wanted {
            has_keys: keys.is_some(),
            names: outputs::names(arguments)?,
            has_record: arguments.record.is_some(),
            pushes_record: arguments.push_record,
            hub: koji::hub(site, &registries.http)?,
            odcs: koji::compose_service(site, &registries.http)?,
            is_dry_run: arguments.dry_run,
            sbom: arguments.sbom.demand()?,
            cluster: in_cluster::client(site, &around, &registries.http, &last_words)?,
            ..Wanted::default()
        };
        Ok(Self {
            registries,
            isolation: isolation.parse::<Isolation>().map_err(|error| usage(&error))?,
            wanted,
            keys,
            network,
            platform,
            compression: compression(arguments)?,
            source_policy: arguments.sources.source_policy()?,
            steps: arguments.steps.options(network)?,
            notes,
            last_words,
            user_threads,
        })
    }
}

/// The files and directories with keys: those given, else the site's.
pub(super) fn key_paths(arguments: &Arguments, site: &Site) -> Vec<PathBuf> {
    if arguments.keys.is_empty() {
        return site.keys.paths().into_iter().map(Path::to_owned).collect();
    }
    arguments.keys.clone()
}

/// The network of steps: as demanded, as configured, else the gateway where there is a configuration.
fn network(arguments: &Arguments, configuration: &Configuration) -> StepNetwork {
    use pipeline::site::Mode;
    let demanded = arguments.network.and_then(NetworkName::demanded);
    match (demanded, configuration.site.network.mode, &configuration.path) {
        (Some(network), _, _) => network,
        (None, Some(Mode::Host), _) => StepNetwork::Host,
        (None, Some(Mode::None), _) => StepNetwork::None,
        (None, Some(Mode::Gateway), _) | (None, None, Some(_)) => StepNetwork::Gateway,
        (None, None, None) => StepNetwork::Host,
    }
}

/// What is asked for, and what the Dockerfile is called.
pub(super) struct Prepared {
    pub(super) path: String,
    /// The Dockerfile as it was written.
    pub(super) written: String,
    pub(super) request: Request,
}

/// Reads Dockerfile, context and the other files a user names. Runs as the user.
pub(super) fn read(
    arguments: &Arguments,
    (settings, site): (&Settings, &Site),
    fetched: &Fetched,
    bring: &Bring<'_>,
    (last_base, inline): (Option<&str>, Option<&str>),
) -> Result<Prepared, Failure> {
    let environment = bring.environment;
    let asked = Asked { files: &arguments.file, cpp_flags: cpp_flags(arguments, environment), inline };
    let Found { name, dockerfile, places } = containerfile::find(bring, fetched, &asked)?;
    let tree = Files::of(fetched).without_ignored(&places, arguments.ignorefile.as_deref())?;
    let written = dockerfile.text.clone();
    let from = (arguments.sources.from.as_deref(), last_base);
    let dockerfile = edited((arguments, environment), from, dockerfile)?;
    let mut build_args = arguments.sources.build_args(&arguments.build_arg, environment)?;
    let (epoch, is_commit) = epoch(arguments, environment, (fetched, &tree), &mut build_args)?;
    let request = Request {
        dockerfile,
        context: inputs::tree(tree),
        context_mtime: mtime(epoch, is_commit),
        contexts: context::named(bring, &arguments.build_context)?,
        folders: BTreeMap::new(),
        build_args,
        target: arguments.target.clone(),
        platform: settings.platform.clone(),
        labels: inputs::pairs(&arguments.label),
        annotations: inputs::pairs(&arguments.annotation),
        repositories: repositories(arguments, bring.http)?,
        added: Vec::new(),
        network: settings.network,
        limits: limits(&site.sandbox.limits, arguments.steps.limits()),
        step_timeout: site.network.step_timeout,
        run_env: if arguments.steps.http_proxy { environment.proxies() } else { Vec::new() },
        resolv_conf: arguments.steps.resolv_conf(&std::fs::read("/etc/resolv.conf").unwrap_or_default()),
        hosts: std::fs::read("/etc/hosts").unwrap_or_default(),
        format: format(arguments, environment)?,
        layering: layering(arguments),
        compression: settings.compression.clone(),
        epoch,
        // A commit names its files; others are named by the record one by one.
        hashes_context: fetched.fact.commit.is_none() && (arguments.record.is_some() || arguments.push_record),
        // File times come from a clock that may lag a tick behind.
        started: environment.now.saturating_sub(1),
        pull: arguments.sources.pull(arguments.config.is_some()),
        source_policy: settings.source_policy.clone(),
        config: arguments.image.options(),
        layer_times: arguments.image.layer_times(),
        steps: settings.steps.clone(),
        builds_unused_stages: !arguments.sources.skip_unused_stages,
        step_inputs: mounts::step_inputs(arguments, environment)?,
    };
    Ok(Prepared { path: name, written, request })
}

/// Flags for the preprocessor: the environment's as buildah has them, blanks between them, then those given.
fn cpp_flags(arguments: &Arguments, environment: &Environment) -> Vec<String> {
    let inherited = environment.get("BUILDAH_CPPFLAGS").unwrap_or_default().split_whitespace().map(str::to_owned);
    inherited.chain(arguments.cpp_flag.iter().cloned()).collect()
}

fn layering(arguments: &Arguments) -> Layering {
    if arguments.squash {
        Layering::Squashed
    } else if arguments.layers {
        Layering::EachInstruction
    } else {
        Layering::OneNew
    }
}

/// The site's limits as the sandbox takes them, soft and hard alike, lowered by those of the command line.
fn limits(site: &Limits, demanded: &[Limit]) -> Vec<Limit> {
    let all = [
        (Resource::AddressSpace, site.address_space),
        (Resource::CoreSize, site.core_size),
        (Resource::CpuSeconds, site.cpu_seconds),
        (Resource::FileSize, site.file_size),
        (Resource::OpenFiles, site.open_files),
        (Resource::Processes, site.processes),
        (Resource::Stack, site.stack),
    ];
    all.into_iter()
        .filter_map(|(resource, limit)| limit.map(|limit| Limit { resource, soft: limit, hard: limit }))
        .chain(demanded.iter().copied())
        .fold(Vec::new(), |mut limits: Vec<Limit>, limit| {
            match limits.iter_mut().find(|known| known.resource == limit.resource) {
                Some(known) => {
                    known.hard = known.hard.min(limit.hard);
                    known.soft = limit.soft.min(known.hard);
                }
                None => limits.push(limit),
            }
            limits
        })
}

fn repositories(arguments: &Arguments, http: &http::Client) -> Result<Vec<RepositoryFile>, Failure> {
    arguments.add_repo.iter().map(|text| inputs::repository(text, http)).collect()
}

/// The Dockerfile with other images in its first and last FROM, and with what `--env` says.
fn edited(
    (arguments, environment): (&Arguments, &Environment),
    from: (Option<&str>, Option<&str>),
    file: Dockerfile,
) -> Result<Dockerfile, Failure> {
    let variables = arguments.image.variables(environment);
    if from == (None, None) && variables.is_empty() {
        return Ok(file);
    }
    let text = match config_options::edited(&file, from, &variables) {
        Ok(text) => text,
        // What is wrong with the stages shows when they are planned, beside its place.
        Err(EditError::Stages(_)) => return Ok(file),
        Err(error) => return Err(Failure::new(Status::Usage, format!("--from: {error}"))),
    };
    dockerfile::parse(&text).map_err(|error| Failure::new(Status::Usage, format!("--from or --env: {error}")))
}

/// `--isolation` in our words: buildah's all mean the best there is.
fn own_isolation<'t>(text: &'t str, notes: &mut Vec<String>) -> &'t str {
    match text.to_ascii_lowercase().as_str() {
        "oci" | "rootless" | "chroot" | "default" => {
            notes.push(format!("--isolation {text} is another builder's: the best isolation that works here is taken"));
            "auto"
        }
        _ => text,
    }
}

fn format(arguments: &Arguments, environment: &Environment) -> Result<Format, Failure> {
    match (arguments.format, environment.get("BUILDAH_FORMAT")) {
        (Some(FormatName::Oci), _) | (None, None | Some("oci")) => Ok(Format::Oci),
        (Some(FormatName::Docker), _) | (None, Some("docker")) => Ok(Format::Docker),
        (None, Some(text)) => {
            Err(Failure::new(Status::Usage, format!("BUILDAH_FORMAT={text}: expected oci or docker")))
        }
    }
}

/// The image's time, and whether it is that of a commit. One that is demanded is a build argument too.
fn epoch(
    arguments: &Arguments,
    environment: &Environment,
    (fetched, tree): (&Fetched, &source::Tree),
    build_args: &mut BTreeMap<String, String>,
) -> Result<(u64, bool), Failure> {
    const NAME: &str = "SOURCE_DATE_EPOCH";
    if let Some(seconds) = arguments.image.timestamp {
        return Ok((seconds, false));
    }
    let given = arguments.source_date_epoch.map(|seconds| seconds.to_string());
    // docker's way of giving it is the build argument.
    let given = given.or_else(|| build_args.get(NAME).filter(|text| !text.is_empty()).cloned());
    if let Some(text) = given.as_deref().or_else(|| environment.get(NAME)) {
        let parsed = text.parse().map(|seconds| (seconds, false));
        let parsed = parsed
            .map_err(|_| Failure::new(Status::Usage, format!("{NAME}={text} is not a number of seconds since 1970")))?;
        build_args.entry(NAME.to_owned()).or_insert_with(|| text.to_owned());
        return Ok(parsed);
    }
    match fetched.time {
        Some(Time::Commit(seconds)) => return Ok((seconds, true)),
        Some(Time::Changed(seconds)) => return Ok((seconds, false)),
        None => {}
    }
    // In a directory from elsewhere a `.git` is anybody's, and git would start what its configuration names.
    let time = match fetched.is_ours {
        true => source::newest_time(tree),
        false => source::context_time(&fetched.directory, tree),
    };
    let time = time.map_err(|error| Failure::of(Status::Source, &error))?;
    Ok((time.seconds(), matches!(time, source::ContextTime::Commit(_))))
}

/// All files of a commit are as old as it; of others none is newer than the image.
fn mtime(epoch: u64, is_commit: bool) -> Mtime {
    let seconds = i64::try_from(epoch).unwrap_or(i64::MAX);
    if is_commit { Mtime::Exactly(seconds) } else { Mtime::AtMost(seconds) }
}

fn compression(arguments: &Arguments) -> Result<CompressOptions, Failure> {
    let usage = |why: &str| Failure::new(Status::Usage, format!("--compression {}: {why}", arguments.compression));
    let (name, level) = match arguments.compression.split_once(':') {
        Some((name, level)) => (name, Some(level.parse().map_err(|_| usage("the level is not a number"))?)),
        None => (arguments.compression.as_str(), None),
    };
    let is_disabled = arguments.log.disable_compression == Some(true) && !goes_to_registry(arguments);
    let name = if is_disabled { "none" } else { arguments.log.compression_format.as_deref().unwrap_or(name) };
    let compression = match name {
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        "none" => Compression::None,
        _ => return Err(usage("expected gzip, zstd or none")),
    };
    let level = arguments.log.compression_level.or(level);
    Ok(CompressOptions { compression, level, threads: arguments.jobs() })
}

/// Whether a registry is among the places the image goes to: layers there are always compressed.
fn goes_to_registry(arguments: &Arguments) -> bool {
    let is_registry = |text: &String| matches!(text.parse(), Ok(transport::Location::Registry(_)));
    arguments.push || arguments.output.iter().any(is_registry)
}
