//! `stratum dockerfile check` and `stratum build --check`: docker's build checks, without a build.
//!
//! Reads the Dockerfile and the ignore file beside it, asks no registry, prints the findings on stdout.

use std::path::{Path, PathBuf};

use dockerfile::check::{BaseImage, CheckError, Report, Surroundings};
use dockerfile::ignore::Patterns;
use dockerfile::{Diagnostic, Dockerfile, StageError};
use oci::Platform;

use super::report;
use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::{diagnostic, inputs, output};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The Dockerfile, or the directory it is in
    #[arg(default_value = ".", value_name = "FILE|DIR")]
    path: PathBuf,
    /// Give a value to an ARG
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Check as for this platform
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// The ignore file, instead of the one beside the Dockerfile
    #[arg(long, value_name = "FILE")]
    ignorefile: Option<PathBuf>,
    /// How findings are printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Fail with 3 if anything is found, as `# check=error=true` does
    #[arg(long)]
    error: bool,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Drawn into the lines they are about
    #[default]
    Text,
    /// As `docker build --call=check,format=json` has them
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// What is to be checked, and how the outcome is shown.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// The directory that COPY reads from.
    pub(crate) context: &'a Path,
    /// The Dockerfile; the context's where none is named.
    pub(crate) file: Option<&'a Path>,
    pub(crate) ignorefile: Option<&'a Path>,
    pub(crate) build_arg: &'a [String],
    pub(crate) platform: Option<&'a str>,
    pub(crate) format: Format,
    /// Whether findings are a failure whatever the Dockerfile says.
    pub(crate) error: bool,
}

/// What is known of arguments and images.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) build: dockerfile::Lookup<'a>,
    pub(crate) platform: &'a Platform,
    pub(crate) ignore: Option<&'a Patterns>,
    pub(crate) base: &'a dyn Fn(usize) -> Option<BaseImage>,
}

pub(crate) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), Failure> {
    let is_directory = arguments.path.is_dir();
    let parent = arguments.path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let context = if is_directory { arguments.path.as_path() } else { parent.unwrap_or(Path::new(".")) };
    let wanted = Wanted {
        context,
        file: (!is_directory).then_some(arguments.path.as_path()),
        ignorefile: arguments.ignorefile.as_deref(),
        build_arg: &arguments.build_arg,
        platform: arguments.platform.as_deref(),
        format: arguments.format,
        error: arguments.error,
    };
    check(&wanted, environment)
}

/// Checks and prints.
pub(crate) fn check(wanted: &Wanted<'_>, environment: &Environment) -> Result<(), Failure> {
    let (path, bytes) = inputs::dockerfile_bytes(wanted.context, wanted.file)?;
    let shown = path.display().to_string();
    let text = String::from_utf8_lossy(&bytes);
    let outcome = outcome(wanted, environment, (&path, &bytes))?;
    let source = report::Source { path: &shown, text: &text };
    match wanted.format {
        Format::Text => report::text(&source, &outcome.report).iter().for_each(|drawn| output::result(drawn)),
        Format::Json => output::result(&report::json(&source, &outcome).to_string()),
        Format::Sarif => output::result(&super::sarif::log(&source, &outcome).to_string()),
    }
    for name in outcome.report.options.unknown() {
        output::warning(&format!("{shown}: directive check: there is no rule {name}"));
    }
    if let Some(error) = &outcome.error {
        return Err(diagnostic::failure(Status::Source, error, &shown, &text));
    }
    let fails = wanted.error || outcome.report.options.error;
    match outcome.report.findings.len() {
        count if fails && count > 0 => Err(Failure::new(Status::Source, report::refusal(&shown, count))),
        _ => Ok(()),
    }
}

/// What came of a check: findings, and the error that would stop a build.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) report: Report,
    pub(crate) error: Option<Diagnostic>,
}

fn outcome(wanted: &Wanted<'_>, environment: &Environment, (path, bytes): (&Path, &[u8])) -> Result<Outcome, Failure> {
    let platform = match wanted.platform {
        Some(text) => text.parse().map_err(|e: oci::platform::PlatformError| Failure::of(Status::Usage, &e))?,
        None => Platform::host(),
    };
    let ignore = inputs::ignore_patterns(wanted.context, path, wanted.ignorefile)?;
    let given = inputs::build_args(wanted.build_arg, environment);
    let build = |name: &str| given.get(name).cloned();
    let file = match dockerfile::parse_bytes(bytes) {
        Ok(file) => file,
        Err(error) => return Ok(Outcome { error: Some(error.diagnostic()), ..Outcome::default() }),
    };
    let known = Known { build: &build, platform: &platform, ignore: ignore.as_ref(), base: &|_| None };
    Ok(match findings(&file, known) {
        Err(error) => Outcome { error: Some(error.diagnostic()), ..Outcome::default() },
        Ok(report) => Outcome { report, error: unbuildable(&file, known).err().map(|error| error.diagnostic()) },
    })
}

/// The findings of a Dockerfile that parses.
pub(crate) fn findings(file: &Dockerfile, known: Known<'_>) -> Result<Report, CheckError> {
    let platform = |name: &str| platform_argument(known.platform, name);
    let around = Surroundings {
        arguments: dockerfile::Arguments { build: known.build, platform: &platform },
        ignore: known.ignore,
        is_image: &|text| text.parse::<oci::Reference>().is_ok(),
        base: known.base,
    };
    dockerfile::check::check(file, around)
}

/// The error in its stages that would stop a build.
fn unbuildable(file: &Dockerfile, known: Known<'_>) -> Result<(), StageError> {
    let platform = |name: &str| platform_argument(known.platform, name);
    let arguments = dockerfile::Arguments { build: known.build, platform: &platform };
    dockerfile::stages(file)?.resolve(arguments).map(drop)
}

/// The value of a platform argument (`TARGETARCH`, …).
pub(super) fn platform_argument(target: &Platform, name: &str) -> Option<String> {
    let (platform, part) = match (name.strip_prefix("TARGET"), name.strip_prefix("BUILD")) {
        (Some(part), _) => (target.clone(), part),
        (None, Some(part)) => (Platform::host(), part),
        (None, None) => return None,
    };
    match part {
        "PLATFORM" => Some(platform.to_string()),
        "OS" => Some(platform.os),
        "ARCH" => Some(platform.architecture),
        "VARIANT" => Some(platform.variant.unwrap_or_default()),
        _ => None,
    }
}
