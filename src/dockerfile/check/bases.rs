//! What FROM says: arguments that nobody declared, defaults that name no image, platforms.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::{Checker, Found, Rule};
use crate::expand;
use crate::graph::{Arguments, Variables};
use crate::instruction::Instruction;
use crate::span::Word;
use crate::stages::{Stage, Stages};
use crate::suggest::nearest;

/// Arguments that every FROM sees without ARG.
const PREDEFINED: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];
/// The most names that a missing one is compared with.
const MAX_COMPARED: usize = 500;
const TARGET: &str = "TARGETPLATFORM";

/// A word of FROM, expanded.
struct Expanded {
    text: String,
    /// The variables that it looked at and that are set.
    matched: BTreeSet<String>,
    /// Those that are not.
    missing: BTreeSet<String>,
}

pub(super) fn check(checker: &mut Checker<'_>, stages: &Stages<'_>) {
    // What cannot be expanded fails the build by itself.
    let Ok(globals) = stages.globals(checker.around.arguments) else { return };
    let declared: BTreeSet<&str> = stages.globals.iter().map(|declaration| declaration.name.raw.as_str()).collect();
    for stage in &stages.stages {
        let image = expanded(checker, stages, &globals, stage.base);
        undeclared(checker, stage.from, stage.base, (&image, &declared));
        if let Some(platform) = stage.platform {
            let value = expanded(checker, stages, &globals, platform);
            undeclared(checker, stage.from, platform, (&value, &declared));
            self::platform(checker, stage, platform, &value);
        }
        other_platform(checker, stage);
    }
    defaults(checker, stages);
}

/// The stage that each stage is built on, if it is one.
pub(super) fn below(checker: &Checker<'_>, stages: &Stages<'_>) -> Vec<Option<usize>> {
    let globals = stages.globals(checker.around.arguments).unwrap_or_default();
    let base = |stage: &Stage<'_>| {
        let base = expanded(checker, stages, &globals, stage.base)?;
        stages.base_stage(&base.text, stage.index)
    };
    stages.stages.iter().map(base).collect()
}

fn expanded(checker: &Checker<'_>, stages: &Stages<'_>, globals: &Variables, word: &Word) -> Option<Expanded> {
    let (matched, missing) = (RefCell::new(BTreeSet::new()), RefCell::new(BTreeSet::new()));
    let lookup = |name: &str| {
        let value = globals.get(name).cloned().or_else(|| (checker.around.arguments.platform)(name));
        let seen = if value.is_some() { &matched } else { &missing };
        seen.borrow_mut().insert(name.to_owned());
        value
    };
    if checker.budget.is_spent() {
        return None;
    }
    let text = expand::word(&word.raw, stages.escape, &lookup).ok()?;
    checker.budget.spend(text.len());
    Some(Expanded { text, matched: matched.into_inner(), missing: missing.into_inner() })
}

fn undeclared(
    checker: &mut Checker<'_>,
    from: &Instruction,
    word: &Word,
    (expanded, declared): (&Option<Expanded>, &BTreeSet<&str>),
) {
    let missing = expanded.iter().flat_map(|expanded| &expanded.missing);
    for name in missing.filter(|name| !declared.contains(name.as_str()) && !PREDEFINED.contains(&name.as_str())) {
        if checker.is_full() {
            return;
        }
        let message = format!("FROM uses ${name}, which no ARG above it declares");
        let help = match nearest(name, PREDEFINED.into_iter().chain(declared.iter().copied().take(MAX_COMPARED))) {
            Some(other) => format!("did you mean ${other}?"),
            None => format!("write ARG {name} with a default before the first FROM"),
        };
        let span = super::variables::find(&checker.file.text, word.span, name);
        checker.add(Rule::UndefinedArgInFrom, from, Found { span, message, help });
    }
}

fn platform(checker: &mut Checker<'_>, stage: &Stage<'_>, word: &Word, value: &Option<Expanded>) {
    let Some(value) = value else { return };
    let is_target = value.matched.iter().eq([TARGET]) && value.missing.is_empty();
    if is_target && (checker.around.arguments.platform)(TARGET).as_ref() == Some(&value.text) {
        let message = format!("--platform={} is what FROM does anyway", word.raw);
        let found = Found { span: word.span, message, help: "leave the flag out".to_owned() };
        checker.add(Rule::RedundantTargetPlatform, stage.from, found);
    }
    if value.matched.is_empty() && value.missing.is_empty() && !is_in_name(stage, &value.text) {
        let message = format!("--platform={} is the same for every build", value.text);
        let help = "leave the flag out and build with --platform, use $BUILDPLATFORM, or name the stage after it";
        let found = Found { span: word.span, message, help: help.to_owned() };
        checker.add(Rule::FromPlatformFlagConstDisallowed, stage.from, found);
    }
}

/// Whether the stage's name holds the system or the architecture of `platform`.
fn is_in_name(stage: &Stage<'_>, platform: &str) -> bool {
    let Some(name) = &stage.name else { return false };
    let mut parts = platform.split('/').take(2).map(str::to_lowercase);
    parts.any(|part| match part.as_str() {
        "x86_64" | "x86-64" => name.contains("amd64"),
        "aarch64" => name.contains("arm64"),
        part => !part.is_empty() && name.contains(part),
    })
}

fn other_platform(checker: &mut Checker<'_>, stage: &Stage<'_>) {
    let Some(differs) = (checker.around.base)(stage.index).and_then(|base| base.other_platform) else { return };
    let message = format!("{} is for {}, not for {}", stage.base.raw, differs.actual, differs.expected);
    let help = "take an image that is there for that platform".to_owned();
    let found = Found { span: stage.base.span, message, help };
    checker.add(Rule::InvalidBaseImagePlatform, stage.from, found);
}

/// FROM names an image where no argument is given.
fn defaults(checker: &mut Checker<'_>, stages: &Stages<'_>) {
    let arguments = Arguments { build: &|_| None, platform: checker.around.arguments.platform };
    let Ok(globals) = stages.globals(arguments) else { return };
    for stage in stages.stages.iter().filter(|stage| stage.base.raw.contains('$')) {
        let Some(value) = expanded(checker, stages, &globals, stage.base) else { return };
        let is_stage = stages.base_stage(&value.text, stage.index).is_some();
        if is_stage || !value.text.is_empty() && (checker.around.is_image)(&value.text) {
            continue;
        }
        let message = match value.text.as_str() {
            "" => format!("{} is empty where no --build-arg is given", stage.base.raw),
            text => format!("{} is {text} where no --build-arg is given, which names no image", stage.base.raw),
        };
        let help = "give its ARG a default with which FROM names an image".to_owned();
        let found = Found { span: stage.base.span, message, help };
        checker.add(Rule::InvalidDefaultArgInFrom, stage.from, found);
    }
}
