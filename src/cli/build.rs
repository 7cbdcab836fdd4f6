//! `stratum build`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use ::build::{Approved, Image, Mtime, Published, Request, Workshop};
use oci::layer::CompressOptions;
use oci::manifest::{Compression, Format};
use oci::{Platform, Reference};
use proof::Report;
use rpm::Keyring;
use sandbox::{Isolation, Network, Rung};
use transport::Location;

use crate::environment::Environment;
use crate::failure::{self, Failure, Status};
use crate::inputs::{self, Parsed, RegistryArguments};
use crate::progress::{Progress, Style};
use crate::session::{self, Session};
use crate::summary::{self, Contents};
use crate::{examine, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The build context: a directory
    #[arg(default_value = ".")]
    source: PathBuf,
    /// The Dockerfile, by default the context's Containerfile or Dockerfile
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// Name the image; with --push also push it there
    #[arg(short, long, value_name = "REF")]
    tag: Vec<String>,
    /// Push the image under every name given with --tag
    #[arg(long)]
    push: bool,
    /// Write the image here: oci:DIR[:TAG] or docker://REF
    #[arg(short, long, value_name = "LOCATION")]
    output: Vec<String>,
    /// Give a value to an ARG
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Replace an image name, or name a directory for COPY --from: NAME=DIR, NAME=docker-image://REF, NAME=oci:DIR[:TAG]
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
    /// The media types to write
    #[arg(long, value_enum, default_value_t = FormatName::Oci)]
    format: FormatName,
    /// How to compress new layers: gzip, zstd or none, with a level if need be
    #[arg(long, value_name = "NAME[:LEVEL]", default_value = "gzip")]
    compression: String,
    /// Let RUN steps see this .repo file in /etc/yum.repos.d; it gets into no layer
    #[arg(long, value_name = "FILE")]
    add_repo: Vec<PathBuf>,
    /// Verify every package's signature with these keys, and publish nothing if one fails
    #[arg(long, value_name = "FILE|DIR")]
    keys: Vec<PathBuf>,
    /// The network of RUN steps
    #[arg(long, value_enum, default_value_t = NetworkName::Host)]
    network: NetworkName,
    /// How RUN steps are isolated: auto, sub, range, full, single, none (see `stratum doctor`)
    #[arg(long, default_value = "auto")]
    isolation: String,
    /// The time that stands for "now" in the image, in seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    source_date_epoch: Option<u64>,
    /// Where trees and blobs are kept
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t = Style::Auto)]
    progress: Style,
    /// Print the Dockerfile with every FROM pinned, and build nothing
    #[arg(long)]
    dry_run: bool,
    /// Threads that compress
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    #[command(flatten)]
    registry: RegistryArguments,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum FormatName {
    Oci,
    Docker,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum NetworkName {
    /// The machine's
    Host,
    /// Loopback only
    None,
}

/// Everything that was read before anything is done.
struct Inputs {
    parsed_path: String,
    request: Request,
    keyring: Option<Keyring>,
    registries: registry::Options,
    outputs: Vec<Location>,
    isolation: Isolation,
}

pub(crate) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), Failure> {
    let progress = Progress::new(arguments.progress, Instant::now());
    let inputs = read(arguments, environment)?;
    let text = inputs.request.dockerfile.text.clone();
    let drawn = |error: &::build::BuildError| failure::of_build(error, &inputs.parsed_path, &text);
    let plan = ::build::plan(&inputs.request).map_err(|error| drawn(&error))?;
    let session = session::open(inputs.isolation, arguments.store.as_deref(), inputs.registries.clone(), environment)?;
    inputs.request.read_through(&session.entered.outside().pool());
    if let Some(first) = plan.first_isolated() {
        require_isolation(&session, first, &inputs)?;
        say_rung(&session, arguments.progress);
    }
    let observer = |event: ::build::Event<'_>| progress.event(event);
    let resolved = plan.resolve(&session.transports, &observer).map_err(|error| drawn(&error))?;
    if arguments.dry_run {
        output::result(resolved.dockerfile.trim_end_matches('\n'));
        return Ok(());
    }
    let workshop = Workshop {
        request: &inputs.request,
        transports: &session.transports,
        store: session.transports.store(),
        observer: &observer,
        cancel: &session.cancel,
        owners: session.owners,
        outputs: &inputs.outputs,
    };
    let image = ::build::build(workshop, &resolved).map_err(|error| drawn(&error))?;
    let contents = Contents::of(&image);
    let (approved, report) = gate(image, &session, inputs.keyring.as_ref(), environment)?;
    let published: Published = approved.publish().map_err(|error| drawn(&error))?;
    if arguments.progress != Style::Quiet && arguments.progress != Style::Json {
        summary::print(&contents, report.as_ref(), &published, &progress);
    }
    output::result(&published.digest.to_string());
    Ok(())
}

/// Lets the image through if its packages are proven, or if nobody asked for that.
fn gate<'w>(
    image: Image<'w>,
    session: &Session,
    keyring: Option<&Keyring>,
    environment: &Environment,
) -> Result<(Approved<'w>, Option<Report>), Failure> {
    let Some(keyring) = keyring else {
        return Ok((image.approve(|_| Ok::<(), Failure>(()))?, None));
    };
    let mut report = None;
    let approved = image.approve(|image| {
        let found = judge(image, session, keyring, environment)?;
        let verdict = found.gate().map_err(|refused| Failure::of(Status::Refused, &refused));
        report = Some(found);
        verdict
    })?;
    Ok((approved, report))
}

fn judge(
    image: &Image<'_>,
    session: &Session,
    keyring: &Keyring,
    environment: &Environment,
) -> Result<Report, Failure> {
    examine::examine(session, keyring, environment, |scratch| match (image.root(), image.base()) {
        (Some(root), _) => proof::from_tree(root.dir(), scratch),
        (None, Some(base)) => proof::from_image(&session.transports, base, scratch),
        (None, None) => Ok(Vec::new()),
    })
}

fn require_isolation(session: &Session, first: &dockerfile::Instruction, inputs: &Inputs) -> Result<(), Failure> {
    if session.entered.rung != Rung::None {
        return Ok(());
    }
    let position = inputs.request.dockerfile.position(first.span.start);
    let line = crate::progress::shortened(&first.line);
    let mut text =
        format!("{}:{}: `{line}` needs isolation, and none is possible here", inputs.parsed_path, position.line);
    for refused in &session.entered.refused {
        text = format!("{text}\n  {}: {}", refused.rung, refused.cause);
    }
    // The lowest rung asks for least, so what keeps it away is what to change.
    let help = session.entered.refused.last().map_or("see `stratum doctor`", |refused| refused.remedy.as_str());
    Err(Failure::new(Status::Environment, text).help(help))
}

fn say_rung(session: &Session, style: Style) {
    if matches!(style, Style::Quiet | Style::Json) {
        return;
    }
    let higher = session.entered.refused.iter().map(|refused| format!("{}: {}", refused.rung, refused.cause));
    let why: Vec<String> = higher.collect();
    let why = if why.is_empty() { String::new() } else { format!(" (not {})", why.join("; not ")) };
    output::note(&format!("isolation: {}{why}", session.entered.rung));
    for note in &session.notes {
        output::note(note);
    }
}

fn read(arguments: &Arguments, environment: &Environment) -> Result<Inputs, Failure> {
    let usage = |text: String| Failure::new(Status::Usage, text);
    let Parsed { path, dockerfile } = inputs::dockerfile(&arguments.source, arguments.file.as_deref())?;
    let tree = inputs::context(&arguments.source, &path, arguments.ignorefile.as_deref())?;
    let (epoch, is_commit) = epoch(arguments, environment, &tree)?;
    let keyring = if arguments.keys.is_empty() {
        None
    } else {
        Some(Keyring::load(&arguments.keys).map_err(|error| Failure::of(Status::Usage, &error))?)
    };
    let contexts = arguments.build_context.iter().map(|text| inputs::named_context(text));
    let platform = match &arguments.platform {
        Some(text) => text.parse().map_err(|error: oci::platform::PlatformError| usage(error.to_string()))?,
        None => Platform::host(),
    };
    let repositories = arguments.add_repo.iter().map(|path| inputs::repository(path));
    let request = Request {
        dockerfile,
        context: inputs::tree(tree),
        context_mtime: mtime(epoch, is_commit),
        contexts: contexts.collect::<Result<BTreeMap<_, _>, Failure>>()?,
        build_args: inputs::build_args(&arguments.build_arg, environment).into_iter().collect(),
        target: arguments.target.clone(),
        platform,
        labels: inputs::pairs(&arguments.label),
        annotations: inputs::pairs(&arguments.annotation),
        repositories: repositories.collect::<Result<Vec<_>, Failure>>()?,
        network: match arguments.network {
            NetworkName::Host => Network::Host,
            NetworkName::None => Network::None,
        },
        run_env: environment.proxies(),
        resolv_conf: std::fs::read("/etc/resolv.conf").unwrap_or_default(),
        hosts: std::fs::read("/etc/hosts").unwrap_or_default(),
        format: match arguments.format {
            FormatName::Oci => Format::Oci,
            FormatName::Docker => Format::Docker,
        },
        compression: compression(arguments)?,
        epoch,
        // File times come from a clock that may lag a tick behind.
        started: environment.now.saturating_sub(1),
    };
    let isolation = arguments.isolation.parse::<Isolation>().map_err(|error| Failure::of(Status::Usage, &error))?;
    Ok(Inputs {
        parsed_path: path.display().to_string(),
        request,
        keyring,
        registries: inputs::registries(&arguments.registry, environment)?,
        outputs: outputs(arguments)?,
        isolation,
    })
}

/// SOURCE_DATE_EPOCH, and whether it is the time of a commit.
fn epoch(arguments: &Arguments, environment: &Environment, tree: &source::Tree) -> Result<(u64, bool), Failure> {
    if let Some(seconds) = arguments.source_date_epoch {
        return Ok((seconds, false));
    }
    if let Some(text) = environment.get("SOURCE_DATE_EPOCH") {
        let parsed = text.parse().map(|seconds| (seconds, false));
        return parsed.map_err(|_| {
            Failure::new(Status::Usage, format!("SOURCE_DATE_EPOCH={text} is not a number of seconds since 1970"))
        });
    }
    let time = source::context_time(&arguments.source, tree).map_err(|error| Failure::of(Status::Source, &error))?;
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
    let threads = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    Ok(CompressOptions { compression, level, threads })
}

/// Where the image goes: named locations, pushed tags, else the store.
fn outputs(arguments: &Arguments) -> Result<Vec<Location>, Failure> {
    let usage = |error: &dyn std::error::Error| Failure::of(Status::Usage, error);
    let tags = arguments.tag.iter().map(|tag| tag.parse::<Reference>().map_err(|error| usage(&error)));
    let tags = tags.collect::<Result<Vec<Reference>, Failure>>()?;
    let mut outputs = Vec::new();
    for text in &arguments.output {
        outputs.push(text.parse::<Location>().map_err(|error| usage(&error))?);
    }
    if arguments.push {
        if tags.is_empty() {
            let failure = Failure::new(Status::Usage, "--push: no name to push to");
            return Err(failure.help("give one with -t REGISTRY/NAME:TAG"));
        }
        outputs.extend(tags.iter().cloned().map(Location::Registry));
    }
    if outputs.is_empty() {
        let stored = tags.iter().map(|tag| Location::Store(tag.to_string()));
        outputs.extend(stored);
        if outputs.is_empty() {
            outputs.push(Location::Store(String::new()));
        }
    }
    Ok(outputs)
}
