//! From arguments, environment and configuration to what is asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ::build::{Layering, Mtime, RepositoryFile, Request, StepNetwork};
use oci::Platform;
use oci::layer::CompressOptions;
use oci::manifest::{Compression, Format};
use pipeline::Wanted;
use pipeline::site::{Limits, Site};
use rpm::Keyring;
use sandbox::{Isolation, Limit, Resource};

use super::{Arguments, FormatName, outputs};
use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::inputs::{self, Parsed};
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
        let platform = match &arguments.platform {
            Some(text) => text.parse().map_err(|error: oci::platform::PlatformError| usage(&error))?,
            None => Platform::host(),
        };
        let wanted = Wanted {
            has_keys: keys.is_some(),
            names: outputs::names(arguments)?,
            has_record: arguments.record.is_some(),
            pushes_record: arguments.push_record,
        };
        Ok(Self {
            registries: registries::options(&arguments.registry, environment, &configuration.site)?,
            isolation: isolation.parse::<Isolation>().map_err(|error| usage(&error))?,
            wanted,
            keys,
            network: network(arguments, configuration),
            platform,
            compression: compression(arguments)?,
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
    match (arguments.network, configuration.site.network.mode, &configuration.path) {
        (Some(name), _, _) => name.into(),
        (None, Some(Mode::Host), _) => StepNetwork::Host,
        (None, Some(Mode::None), _) => StepNetwork::None,
        (None, Some(Mode::Gateway), _) | (None, None, Some(_)) => StepNetwork::Gateway,
        (None, None, None) => StepNetwork::Host,
    }
}

/// A source that is a directory by now.
pub(super) struct Fetched {
    pub(super) directory: PathBuf,
    /// What to call it.
    pub(super) shown: String,
    pub(super) fact: pipeline::SourceFact,
    /// The folder that this build checked it out into, if it did.
    pub(super) clone: Option<PathBuf>,
    /// The time of its commit, if it is a clone.
    pub(super) time: Option<u64>,
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
    environment: &Environment,
    (settings, site): (&Settings, &Site),
    (fetched, http): (&Fetched, &http::Client),
) -> Result<Prepared, Failure> {
    let directory = &fetched.directory;
    let Parsed { path, dockerfile } = inputs::dockerfile(directory, arguments.file.as_deref())?;
    let tree = inputs::context(directory, &path, arguments.ignorefile.as_deref())?;
    let (epoch, is_commit) = epoch(arguments, environment, fetched, &tree)?;
    let contexts = arguments.build_context.iter().map(|text| inputs::named_context(text));
    let shown = path.strip_prefix(directory).ok().filter(|_| fetched.clone.is_some());
    let written = dockerfile.text.clone();
    let request = Request {
        dockerfile,
        context: inputs::tree(tree),
        context_mtime: mtime(epoch, is_commit),
        contexts: contexts.collect::<Result<BTreeMap<_, _>, Failure>>()?,
        build_args: inputs::build_args(&arguments.build_arg, environment).into_iter().collect(),
        target: arguments.target.clone(),
        platform: settings.platform.clone(),
        labels: inputs::pairs(&arguments.label),
        annotations: inputs::pairs(&arguments.annotation),
        repositories: repositories(arguments, http)?,
        added: Vec::new(),
        network: settings.network,
        limits: limits(&site.sandbox.limits),
        step_timeout: site.network.step_timeout,
        run_env: environment.proxies(),
        resolv_conf: std::fs::read("/etc/resolv.conf").unwrap_or_default(),
        hosts: std::fs::read("/etc/hosts").unwrap_or_default(),
        format: match arguments.format {
            FormatName::Oci => Format::Oci,
            FormatName::Docker => Format::Docker,
        },
        layering: layering(arguments),
        compression: settings.compression.clone(),
        epoch,
        // A commit names its files; others are named by the record one by one.
        hashes_context: fetched.fact.commit.is_none() && (arguments.record.is_some() || arguments.push_record),
        // File times come from a clock that may lag a tick behind.
        started: environment.now.saturating_sub(1),
    };
    Ok(Prepared { path: shown.unwrap_or(&path).display().to_string(), written, request })
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

/// The site's limits as the sandbox takes them, soft and hard alike.
fn limits(site: &Limits) -> Vec<Limit> {
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
        .collect()
}

fn repositories(arguments: &Arguments, http: &http::Client) -> Result<Vec<RepositoryFile>, Failure> {
    arguments.add_repo.iter().map(|text| inputs::repository(text, http)).collect()
}

/// SOURCE_DATE_EPOCH, and whether it is the time of a commit.
fn epoch(
    arguments: &Arguments,
    environment: &Environment,
    fetched: &Fetched,
    tree: &source::Tree,
) -> Result<(u64, bool), Failure> {
    if let Some(seconds) = arguments.source_date_epoch {
        return Ok((seconds, false));
    }
    if let Some(text) = environment.get("SOURCE_DATE_EPOCH") {
        let parsed = text.parse().map(|seconds| (seconds, false));
        return parsed.map_err(|_| {
            Failure::new(Status::Usage, format!("SOURCE_DATE_EPOCH={text} is not a number of seconds since 1970"))
        });
    }
    if let Some(seconds) = fetched.time {
        return Ok((seconds, true));
    }
    let time = source::context_time(&fetched.directory, tree).map_err(|error| Failure::of(Status::Source, &error))?;
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
    let compression = match name {
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        "none" => Compression::None,
        _ => return Err(usage("expected gzip, zstd or none")),
    };
    Ok(CompressOptions { compression, level, threads: arguments.jobs() })
}
