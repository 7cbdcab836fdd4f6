//! `stratum dockerfile rewrite`: the pipeline's edits by hand.
//!
//! Reads one Dockerfile and prints it with other base images, more labels and arguments, or what differs. The edits
//! are made by the code that makes those of plugins: every byte that none is about stays as it is.

use std::path::PathBuf;

use dockerfile::{Base, Dockerfile};
use oci::Platform;
use pipeline::{Edit, Reasoned, RewriteError};
use similar::TextDiff;

use super::check::platform_argument;
use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::{diagnostic, inputs, output};

/// Lines around a change.
const CONTEXT: usize = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The Dockerfile, or the directory it is in
    #[arg(default_value = ".", value_name = "FILE|DIR")]
    path: PathBuf,
    /// Let FROM name NEW where it names OLD, as it is written or as it expands
    #[arg(long, value_name = "OLD=NEW")]
    from: Vec<String>,
    /// Add a label at the end of the stage that is built
    #[arg(long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Declare an argument behind every FROM
    #[arg(long, value_name = "NAME")]
    arg: Vec<String>,
    /// Give a value to an ARG that FROM uses
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// The stage that is built, instead of the last
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Print what changes, as a unified diff
    #[arg(long)]
    diff: bool,
}

pub(crate) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), Failure> {
    let is_directory = arguments.path.is_dir();
    let file = (!is_directory).then_some(arguments.path.as_path());
    let inputs::Parsed { path, dockerfile } = inputs::dockerfile(&arguments.path, file)?;
    let shown = path.display().to_string();
    let (target, edits) =
        edits(arguments, environment, &dockerfile).map_err(|error| error.shown(&shown, &dockerfile))?;
    let made = pipeline::rewrite(&dockerfile, target, &edits).map_err(|error| failed(&error, &shown, &dockerfile))?;
    let text = made.as_ref().map_or(&dockerfile.text, |made| &made.text);
    if !arguments.diff {
        output::bytes(text);
        return Ok(());
    }
    let diff = TextDiff::from_lines(dockerfile.text.as_str(), text.as_str());
    let mut unified = diff.unified_diff();
    output::bytes(&unified.context_radius(CONTEXT).header(&shown, &format!("{shown} (rewritten)")).to_string());
    Ok(())
}

/// Why there are no edits to be made.
enum NoEdits {
    Stages(dockerfile::StageError),
    Usage(Failure),
}

impl NoEdits {
    fn shown(self, path: &str, file: &Dockerfile) -> Failure {
        match self {
            Self::Stages(error) => diagnostic::failure(Status::Source, &error.diagnostic(), path, &file.text),
            Self::Usage(failure) => failure,
        }
    }
}

/// The stage that is built, and the edits.
fn edits(
    arguments: &Arguments,
    environment: &Environment,
    file: &Dockerfile,
) -> Result<(usize, Vec<Reasoned>), NoEdits> {
    let stages = dockerfile::stages(file).map_err(NoEdits::Stages)?;
    let target = stages.target(arguments.target.as_deref()).map_err(NoEdits::Stages)?;
    let mut edits = Vec::new();
    if !arguments.from.is_empty() {
        let given = inputs::build_args(&arguments.build_arg, environment);
        let build = |name: &str| given.get(name).cloned();
        let platform = |name: &str| platform_argument(&Platform::host(), name);
        let values = dockerfile::Arguments { build: &build, platform: &platform };
        let graph = stages.resolve(values).map_err(NoEdits::Stages)?;
        let bases: Vec<(&str, &Base)> = stages
            .stages
            .iter()
            .zip(&graph.needs)
            .map(|(stage, needs)| (stage.base.raw.as_str(), &needs.base))
            .collect();
        edits = froms(&arguments.from, &bases).map_err(NoEdits::Usage)?;
    }
    let labels = inputs::pairs(&arguments.label);
    edits.extend((!labels.is_empty()).then_some(Edit::Labels(labels)));
    let names = names(&arguments.arg).map_err(NoEdits::Usage)?;
    edits.extend((!names.is_empty()).then_some(Edit::Arguments(names)));
    let reasoned = |edit| Reasoned { edit, reason: "asked for on the command line".to_owned() };
    Ok((target, edits.into_iter().map(reasoned).collect()))
}

/// The edits of FROM; the last pair that names a base counts.
fn froms(pairs: &[String], bases: &[(&str, &Base)]) -> Result<Vec<Edit>, Failure> {
    let usage = |text: &str, why: &str| Failure::new(Status::Usage, format!("--from {text}: {why}"));
    let mut images: Vec<Option<&str>> = vec![None; bases.len()];
    for pair in pairs {
        let (old, new) = pair.split_once('=').ok_or_else(|| usage(pair, "expected OLD=NEW"))?;
        new.parse::<oci::Reference>().map(drop).or_else(|error| match new {
            "scratch" => Ok(()),
            _ => Err(usage(pair, &error.to_string())),
        })?;
        let mut is_named = false;
        for (image, (written, base)) in images.iter_mut().zip(bases) {
            if is_base(old, written, base) {
                (*image, is_named) = (Some(new), true);
            }
        }
        if !is_named {
            let text = format!("no FROM names the image {old}");
            return Err(Failure::new(Status::Source, text).help("name it as FROM does, or as its arguments expand"));
        }
    }
    let edit = |(stage, image): (usize, Option<&str>)| Some(Edit::From { stage, image: image?.to_owned() });
    Ok(images.into_iter().enumerate().filter_map(edit).collect())
}

/// Whether `old` is what FROM says, or an image reference that means the same. A stage is no image.
fn is_base(old: &str, written: &str, base: &Base) -> bool {
    match base {
        Base::Stage(_) => false,
        Base::Scratch => old == "scratch",
        Base::Image(name) => {
            let means = |text: &str| text.parse::<oci::Reference>().ok();
            old == written || old == name || means(old).is_some_and(|old| means(name) == Some(old))
        }
    }
}

/// Names that an ARG can have.
fn names(texts: &[String]) -> Result<Vec<String>, Failure> {
    let is_name = |text: &str| {
        let mut characters = text.chars();
        characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match texts.iter().find(|text| !is_name(text)) {
        Some(text) => Err(Failure::new(Status::Usage, format!("--arg {text}: not a name that a variable can have"))),
        None => Ok(texts.to_vec()),
    }
}

fn failed(error: &RewriteError, path: &str, file: &Dockerfile) -> Failure {
    match error {
        RewriteError::Edit(error) => diagnostic::failure(Status::Source, &error.diagnostic(), path, &file.text),
        RewriteError::Swallowed => Failure::new(Status::Source, format!("{path}: {error}"))
            .help("end the last instruction without the escape character"),
        RewriteError::Parse(_) => Failure::new(Status::Bug, format!("{path}: {error}")),
    }
}
