//! `--check`, `--call=check`, and the findings that a build shows before its first step.

use std::collections::BTreeMap;
use std::path::Path;

use ::build::{ResolvedBase, ResolvedPlan};
use dockerfile::check::BaseImage;

use super::Arguments;
use super::job::Job;
use super::prepare::Prepared;
use crate::dockerfile::check::{self, Format, Known, Wanted};
use crate::dockerfile::report;
use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::{diagnostic, output};

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArguments {
    /// Check the Dockerfile and build nothing; as --call=check
    #[arg(long)]
    check: bool,
    /// What to do: build, or check[,format=text|json|sarif]
    #[arg(long, value_name = "METHOD", default_value = "build")]
    call: String,
}

impl CheckArguments {
    /// Whether a check is all that is wanted.
    pub(super) fn is_alone(&self) -> Result<bool, Failure> {
        self.format().map(|format| format.is_some())
    }

    /// How findings are printed, if a check is all that is wanted.
    fn format(&self) -> Result<Option<Format>, Failure> {
        let usage = |why: &str| Failure::new(Status::Usage, format!("--call={}: {why}", self.call));
        let (method, options) = self.call.split_once(',').unwrap_or((&self.call, ""));
        match method {
            "build" if options.is_empty() => return Ok(self.check.then_some(Format::Text)),
            "build" => return Err(usage("build has no options")),
            "check" | "lint" => {}
            "outline" | "targets" => return Err(usage("this program has only build and check")),
            _ => return Err(usage("expected build or check")),
        }
        match options {
            "" | "format=text" => Ok(Some(Format::Text)),
            "format=json" => Ok(Some(Format::Json)),
            "format=sarif" => Ok(Some(Format::Sarif)),
            _ => Err(usage("expected format=text, format=json or format=sarif")),
        }
    }
}

/// Checks the Dockerfile and does nothing else.
pub(super) fn alone(arguments: &Arguments, environment: &Environment) -> Result<(), Failure> {
    let context = Path::new(&arguments.source);
    if !context.is_dir() {
        let text = format!("{}: only a directory can be checked", arguments.source);
        return Err(Failure::new(Status::Usage, text).help("check the Dockerfile of a clone of it"));
    }
    if arguments.file.len() > 1 {
        return Err(Failure::new(Status::Usage, "--check looks at one Dockerfile: give one -f"));
    }
    let wanted = Wanted {
        context,
        file: arguments.file.first().map(Path::new),
        ignorefile: arguments.ignorefile.as_deref(),
        build_arg: &arguments.build_arg,
        platform: arguments.platform.as_deref(),
        format: arguments.checking.format()?.unwrap_or_default(),
        error: false,
    };
    check::check(&wanted, environment)
}

/// Shows the findings of the Dockerfile as it was written; where its directive says so they end the build.
pub(super) fn before_build(job: &Job<'_>, prepared: &Prepared, resolved: &ResolvedPlan<'_>) -> Result<(), Failure> {
    let written = dockerfile::parse(&prepared.written);
    // It was read before, and only what plugins made of it since then is built.
    let Ok(file) = written else { return Ok(()) };
    let bases = bases(resolved);
    let request = &prepared.request;
    let ignore = match &request.context {
        ::build::Context::Tree(tree) => tree.ignored(),
        ::build::Context::Absent => None,
    };
    let known = Known {
        build: &|name| request.build_args.get(name).cloned(),
        platform: &request.platform,
        ignore,
        base: &|stage| bases.get(&stage).cloned(),
    };
    let report = check::findings(&file, known);
    let report = report
        .map_err(|error| diagnostic::failure(Status::Source, &error.diagnostic(), &prepared.path, &prepared.written))?;
    let source = report::Source { path: &prepared.path, text: &prepared.written };
    let count = report.findings.len();
    let lines = report::lines(&source, &report);
    if count > 0 && !job.arguments.style().is_silent() {
        output::note(&format!("{} (`stratum build --check` explains):", report::warnings(count)));
        lines.iter().for_each(|line| output::note(line));
    }
    job.note_said(lines.iter().map(|line| line.trim().to_owned()).collect());
    if report.options.error && count > 0 {
        return Err(Failure::new(Status::Source, report::refusal(&prepared.path, count)));
    }
    Ok(())
}

/// What the images bring along that stages are built on, by the stage's number.
fn bases(resolved: &ResolvedPlan<'_>) -> BTreeMap<usize, BaseImage> {
    let stages = resolved.plan().needed.iter().zip(&resolved.bases);
    let base = |(stage, base): (&::build::StagePlan, &ResolvedBase)| {
        let ResolvedBase::Image(image) = base else { return None };
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.to_owned())
        };
        let base = BaseImage {
            env: image.config.config.env.iter().map(pair).collect(),
            has_shell: image.config.config.shell.is_some(),
            // The plan has warned already when it opened the image, also of those that are only copied from.
            other_platform: None,
        };
        Some((stage.index, base))
    };
    stages.filter_map(base).collect()
}
