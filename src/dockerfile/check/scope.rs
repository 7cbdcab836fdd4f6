//! What depends on the variables of a stage: names nobody has set, working directories, paths and ports.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::variables::{Expander, Variables, find};
use super::{Checker, Found, Rule, ports};
use crate::graph;
use crate::instruction::{ArgDecl, Instruction, Kind, Pair};
use crate::span::{Span, Word};
use crate::stages::{Stage, Stages};
use crate::suggest::nearest;

/// The most names that a missing one is compared with.
const MAX_COMPARED: usize = 500;

/// What a stage passes on to those built on it.
#[derive(Clone, Debug, Default)]
struct State {
    variables: Variables,
    has_workdir: bool,
}

/// What all stages have in common.
struct Walk<'a> {
    stages: &'a Stages<'a>,
    globals: graph::Variables,
}

pub(super) fn check(checker: &mut Checker<'_>, stages: &Stages<'_>) {
    let globals = stages.globals(checker.around.arguments).unwrap_or_default();
    let walk = Walk { stages, globals };
    let mut done: Vec<(Rc<Variables>, bool)> = Vec::with_capacity(stages.stages.len());
    for stage in &stages.stages {
        let mut state = walk.beginning(checker, stage, &done);
        for instruction in stage.instructions {
            walk.instruction(checker, &mut state, instruction);
        }
        done.push((Rc::new(state.variables), state.has_workdir));
    }
}

impl Walk<'_> {
    fn beginning(&self, checker: &Checker<'_>, stage: &Stage<'_>, done: &[(Rc<Variables>, bool)]) -> State {
        let below = checker.below.get(stage.index).copied().flatten().and_then(|index| done.get(index));
        if let Some((variables, has_workdir)) = below {
            return State { variables: Variables::above(variables), has_workdir: *has_workdir };
        }
        let mut env =
            vec![("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned())];
        env.extend((checker.around.base)(stage.index).into_iter().flat_map(|base| base.env));
        State { variables: Variables::of_image(env), has_workdir: false }
    }

    fn global(&self, checker: &Checker<'_>, name: &str) -> Option<String> {
        self.globals.get(name).cloned().or_else(|| (checker.around.arguments.platform)(name))
    }

    fn instruction(&self, checker: &mut Checker<'_>, state: &mut State, instruction: &Instruction) {
        match &instruction.kind {
            Kind::Arg(declarations) => {
                declarations.iter().for_each(|arg| self.declare(checker, state, instruction, arg));
            }
            Kind::Env(pairs) => self.env(checker, state, instruction, pairs),
            Kind::Workdir(path) => {
                let value = self.words(checker, state, instruction, &[path]).pop();
                workdir(checker, state, instruction, (path, value.flatten()));
            }
            Kind::Copy(spec) => {
                let values = self.words(checker, state, instruction, &words(&instruction.kind));
                if spec.from.is_none() {
                    ignored(checker, instruction, &spec.sources, &values);
                }
                self.bodies(checker, state, instruction);
            }
            Kind::Add(spec) => {
                let values = self.words(checker, state, instruction, &words(&instruction.kind));
                ignored(checker, instruction, &spec.sources, &values);
                self.bodies(checker, state, instruction);
            }
            Kind::Expose(words) => {
                for word in words {
                    let ports = self.expander(checker, state).words(&word.raw);
                    ports.iter().for_each(|port| ports::check(checker, instruction, port, word));
                }
            }
            Kind::Run { .. } => self.mounts(checker, state, instruction),
            Kind::From { .. }
            | Kind::User(_)
            | Kind::Label(_)
            | Kind::Cmd(_)
            | Kind::Entrypoint(_)
            | Kind::Volume(_)
            | Kind::Stopsignal(_)
            | Kind::Healthcheck(_)
            | Kind::Shell(_)
            | Kind::Onbuild(_)
            | Kind::Maintainer(_) => drop(self.words(checker, state, instruction, &words(&instruction.kind))),
        }
    }

    fn expander<'s>(&self, checker: &Checker<'s>, state: &'s State) -> Expander<'s> {
        Expander::new(&state.variables, self.stages.escape, checker.budget)
    }

    /// Expands `words` and reports what is missing in them.
    fn words(
        &self,
        checker: &mut Checker<'_>,
        state: &State,
        instruction: &Instruction,
        words: &[&Word],
    ) -> Vec<Option<String>> {
        let expander = self.expander(checker, state);
        let mut reported = BTreeSet::new();
        let mut values = Vec::with_capacity(words.len());
        for word in words {
            let value = expander.word(&word.raw);
            let missing: BTreeSet<String> = expander.take_missing();
            values.push(value.filter(|_| missing.is_empty()));
            for name in missing {
                if reported.insert(name.clone()) {
                    undefined(checker, state, instruction, (&name, word.span));
                }
            }
        }
        values
    }

    fn bodies(&self, checker: &mut Checker<'_>, state: &State, instruction: &Instruction) {
        for heredoc in instruction.heredocs().iter().filter(|heredoc| heredoc.expand) {
            let expander = self.expander(checker, state);
            expander.body(&heredoc.content);
            for name in expander.take_missing() {
                undefined(checker, state, instruction, (&name, heredoc.span));
            }
        }
    }

    fn mounts(&self, checker: &mut Checker<'_>, state: &State, instruction: &Instruction) {
        let Kind::Run { flags, .. } = &instruction.kind else { return };
        for mount in &flags.mounts {
            let expander = self.expander(checker, state);
            // A mount that cannot be made fails the build by itself; here only its variables count.
            drop(mount.resolve(self.stages.escape, &|name| expander.lookup(name)));
            for name in expander.take_missing() {
                undefined(checker, state, instruction, (&name, mount.span));
            }
        }
    }

    /// All pairs of one ENV see the variables as they were before it.
    fn env(&self, checker: &mut Checker<'_>, state: &mut State, instruction: &Instruction, pairs: &[Pair]) {
        let words: Vec<&Word> = pairs.iter().flat_map(|pair| [&pair.key, &pair.value]).collect();
        self.words(checker, state, instruction, &words);
        let set: Vec<(String, String)> = pairs
            .iter()
            .map(|pair| {
                let expander = self.expander(checker, state);
                let value = |word: &Word| expander.word(&word.raw).unwrap_or_default();
                (value(&pair.key), value(&pair.value))
            })
            .collect();
        set.into_iter().for_each(|(name, value)| state.variables.set(name, value));
    }

    /// A value from outside counts, then the default, then the argument before the first FROM.
    fn declare(&self, checker: &mut Checker<'_>, state: &mut State, instruction: &Instruction, arg: &ArgDecl) {
        let name = arg.name.raw.clone();
        let value = match ((checker.around.arguments.build)(&name), &arg.value) {
            (Some(given), _) => Some(given),
            (None, Some(default)) => {
                self.words(checker, state, instruction, &[default]);
                Some(self.expander(checker, state).word(&default.raw).unwrap_or_default())
            }
            (None, None) => self.global(checker, &name),
        };
        if let Some(value) = value {
            state.variables.set(name.clone(), value);
        }
        state.variables.declare(name);
    }
}

/// The words of an instruction that are expanded to one text each. Sources of COPY and ADD come first.
fn words(kind: &Kind) -> Vec<&Word> {
    match kind {
        Kind::Copy(spec) => spec.sources.iter().chain([&spec.dest]).chain(&spec.chown).chain(&spec.chmod).collect(),
        Kind::Add(spec) => {
            let flags = spec.chown.iter().chain(&spec.chmod).chain(&spec.checksum);
            spec.sources.iter().chain([&spec.dest]).chain(flags).collect()
        }
        Kind::Label(pairs) => pairs.iter().flat_map(|pair| [&pair.key, &pair.value]).collect(),
        Kind::Workdir(word) | Kind::User(word) | Kind::Stopsignal(word) => vec![word],
        Kind::Volume(words) => words.iter().collect(),
        Kind::From { .. }
        | Kind::Arg(_)
        | Kind::Env(_)
        | Kind::Run { .. }
        | Kind::Cmd(_)
        | Kind::Entrypoint(_)
        | Kind::Expose(_)
        | Kind::Healthcheck(_)
        | Kind::Shell(_)
        | Kind::Onbuild(_)
        | Kind::Maintainer(_) => Vec::new(),
    }
}

fn undefined(checker: &mut Checker<'_>, state: &State, instruction: &Instruction, (name, span): (&str, Span)) {
    if checker.is_full() {
        return;
    }
    let message = format!("${name} is used, but nothing in this stage sets it");
    let help = match nearest(name, state.variables.names().take(MAX_COMPARED)) {
        Some(other) => format!("did you mean ${other}?"),
        None => format!("declare it with ARG {name} or ENV {name}=… above, unless the base image sets it"),
    };
    let span = find(&checker.file.text, span, name);
    checker.add(Rule::UndefinedVar, instruction, Found { span, message, help });
}

/// The first WORKDIR of a stage is absolute; one with a variable that is not known may be.
fn workdir(
    checker: &mut Checker<'_>,
    state: &mut State,
    instruction: &Instruction,
    (word, value): (&Word, Option<String>),
) {
    let had_one = std::mem::replace(&mut state.has_workdir, true);
    if had_one || value.is_none_or(|value| value.is_empty() || value.starts_with('/')) {
        return;
    }
    let message = format!("{} is below whatever working directory the base image has", word.raw);
    let found = Found { span: word.span, message, help: "begin it with /".to_owned() };
    checker.add(Rule::WorkdirRelativePath, instruction, found);
}

/// No source is left out by the ignore file. Where that takes something back in it cannot be told.
fn ignored(checker: &mut Checker<'_>, instruction: &Instruction, sources: &[Word], values: &[Option<String>]) {
    let Some(patterns) = checker.around.ignore.filter(|patterns| !patterns.has_exceptions()) else { return };
    for (source, value) in sources.iter().zip(values) {
        let Some(value) = value.as_deref().filter(|value| !is_remote(value)) else { continue };
        let path = value.trim_start_matches('/');
        let is_all = path.is_empty() || path.split('/').all(|part| matches!(part, "" | "."));
        let is_out = if is_all { patterns.leave_out_all() } else { patterns.matches(path) };
        if is_out {
            let message = format!("{} is left out of the context by the ignore file", source.raw);
            let help = "take it out of the ignore file, or do not copy it".to_owned();
            checker.add(Rule::CopyIgnoredFile, instruction, Found { span: source.span, message, help });
        }
    }
}

/// Whether a source is a URL or a git repository.
fn is_remote(source: &str) -> bool {
    source.contains("://") || source.starts_with("git@")
}
