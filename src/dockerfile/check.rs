//! Build checks: what a Dockerfile should say otherwise, though it builds.
//!
//! In come a Dockerfile, the values of its arguments and what is known around it; out come findings with their places.
//! The rules are those of BuildKit's stable frontend (`frontend/dockerfile/linter`), with its names, its directive
//! `# check=` and the same directive in a comment above one instruction. Nothing is fetched: of images that the caller
//! does not know it is assumed that they set `PATH` and nothing else. Instructions below ONBUILD are not checked.

mod bases;
mod commands;
mod names;
mod options;
mod ports;
mod rule;
mod scope;
mod variables;

use std::borrow::Cow;

pub use options::{Names, Options, OptionsError};
pub use rule::Rule;

use crate::graph::Arguments;
use crate::ignore::Patterns;
use crate::instruction::{Dockerfile, Instruction};
use crate::span::{Diagnostic, Span};
use crate::stages::stages;
use variables::Budget;

/// The most findings that one Dockerfile gives; nobody reads more.
pub const MAX_FINDINGS: usize = 1000;

/// Something that should be said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where, as exactly as it is known.
    pub span: Span,
    /// Which rule it breaks.
    pub rule: Rule,
    /// What is wrong here, in one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub help: String,
    /// The first and the last line of the instruction, from 1; what BuildKit gives as the place.
    pub lines: (usize, usize),
}

impl Finding {
    /// The finding as a renderer shows it beside the source.
    pub fn diagnostic(&self) -> Diagnostic {
        let message = format!("{}: {}", self.rule, self.message);
        Diagnostic { message, span: self.span, help: Some(self.help.clone()) }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings in the order of the text; at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// The options of the Dockerfile's directive.
    pub options: Options,
}

/// What is known around a Dockerfile.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// The values of its arguments.
    pub arguments: Arguments<'a>,
    /// The ignore file of the context, if there is one.
    pub ignore: Option<&'a Patterns>,
    /// Whether a text is an image reference.
    pub is_image: &'a dyn Fn(&str) -> bool,
    /// The image that the stage of this number is built on, where it is known.
    pub base: &'a dyn Fn(usize) -> Option<BaseImage>,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("ignore", &self.ignore).finish_non_exhaustive()
    }
}

/// What a base image brings along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseImage {
    /// Its variables.
    pub env: Vec<(String, String)>,
    /// Whether it has a shell of its own.
    pub has_shell: bool,
    /// The platform that it has and the one that was asked for, where they differ.
    pub other_platform: Option<PlatformDiffers>,
}

/// A base image for another platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformDiffers {
    /// That of the image.
    pub actual: String,
    /// That of the build.
    pub expected: String,
}

/// A check directive that cannot be read, with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("directive check: {source}")]
pub struct CheckError {
    /// Where it stands.
    pub span: Span,
    /// Why.
    pub source: OptionsError,
}

impl CheckError {
    /// The error as a renderer shows it beside the source.
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic { message: self.to_string(), span: self.span, help: None }
    }
}

/// Checks `file`.
///
/// A file without stages, or with bases that cannot be expanded, is checked as far as that goes.
///
/// # Errors
/// [`CheckError`] for a directive that cannot be read; BuildKit refuses to build such a file.
pub fn check(file: &Dockerfile, around: Surroundings<'_>) -> Result<Report, CheckError> {
    let options = match &file.directives.check {
        Some(word) => Options::parse(&word.raw).map_err(|source| CheckError { span: word.span, source })?,
        None => Options::default(),
    };
    let budget = Budget::new();
    let mut checker =
        Checker { file, around, options: &options, budget: &budget, below: Vec::new(), findings: Vec::new() };
    commands::continuations(&mut checker);
    names::casing(&mut checker);
    for instruction in &file.instructions {
        names::description(&mut checker, instruction);
    }
    if let Ok(stages) = stages(file) {
        names::stages(&mut checker, &stages);
        checker.below = bases::below(&checker, &stages);
        bases::check(&mut checker, &stages);
        commands::check(&mut checker, &stages);
        scope::check(&mut checker, &stages);
    }
    let mut findings = checker.findings;
    findings.sort();
    Ok(Report { findings, options })
}

/// What all rules work with.
struct Checker<'a> {
    file: &'a Dockerfile,
    around: Surroundings<'a>,
    options: &'a Options,
    budget: &'a Budget,
    /// The stage that each stage is built on, if it is one.
    below: Vec<Option<usize>>,
    findings: Vec<Finding>,
}

/// What a rule found.
struct Found {
    span: Span,
    message: String,
    help: String,
}

impl Checker<'_> {
    /// Adds a finding about `instruction`, unless the file or a comment above the instruction says not to.
    fn add(&mut self, rule: Rule, instruction: &Instruction, found: Found) {
        if self.is_full() || !self.options_of(instruction).applies(rule) {
            return;
        }
        let Found { span, message, help } = found;
        let lines = (instruction.first_line, instruction.last_line);
        self.findings.push(Finding { span, rule, message, help, lines });
    }

    fn is_full(&self) -> bool {
        self.findings.len() >= MAX_FINDINGS
    }

    fn options_of(&self, instruction: &Instruction) -> Cow<'_, Options> {
        let comments = instruction.comments.iter().map(|span| span.of(&self.file.text));
        match options::in_comments(comments) {
            Some(more) => Cow::Owned(self.options.with(&more)),
            None => Cow::Borrowed(self.options),
        }
    }
}

#[cfg(test)]
mod tests;
