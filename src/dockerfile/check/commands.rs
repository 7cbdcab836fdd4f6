//! Instructions that have a better form, have no effect, or hold what they should not.

use super::{Checker, Found, Rule};
use crate::instruction::{Command, Instruction, Kind, Pair, Separator, Warning};
use crate::span::Span;
use crate::stages::Stages;

/// Parts of a name between underscores that make it a secret's, in lower case.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
/// Parts that make it none after all.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// Blank lines within continued instructions: the first of each instruction.
pub(super) fn continuations(checker: &mut Checker<'_>) {
    let file = checker.file;
    let mut last = None;
    for Warning::EmptyContinuation { span } in &file.warnings {
        let after = file.instructions.partition_point(|instruction| instruction.span.start <= span.start);
        let Some(index) = after.checked_sub(1).filter(|index| last != Some(*index)) else { continue };
        let Some(instruction) = file.instructions.get(index) else { continue };
        last = Some(index);
        let message = "a blank line within an instruction, which later versions of docker may refuse".to_owned();
        let help = "take the line out, or make it a comment".to_owned();
        checker.add(Rule::NoEmptyContinuation, instruction, Found { span: *span, message, help });
    }
}

/// The last of each instruction that only counts once.
#[derive(Default)]
struct Seen<'a> {
    cmd: Option<&'a Instruction>,
    entrypoint: Option<&'a Instruction>,
    healthcheck: Option<&'a Instruction>,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a rule about these instructions only")]
pub(super) fn check(checker: &mut Checker<'_>, stages: &Stages<'_>) {
    for instruction in checker.file.instructions.iter() {
        one(checker, instruction);
    }
    let mut shells = Vec::with_capacity(stages.stages.len());
    for stage in &stages.stages {
        let mut seen = Seen::default();
        let below = checker.below.get(stage.index).copied().flatten();
        let base = below.and_then(|index| shells.get(index).copied());
        let known = || (checker.around.base)(stage.index).is_some_and(|base| base.has_shell);
        let mut has_shell = base.unwrap_or_else(known);
        for instruction in stage.instructions {
            match &instruction.kind {
                Kind::Shell(_) => has_shell = true,
                Kind::Cmd(command) => {
                    replaced(checker, seen.cmd.replace(instruction));
                    json_form(checker, instruction, command, has_shell);
                }
                Kind::Entrypoint(command) => {
                    replaced(checker, seen.entrypoint.replace(instruction));
                    json_form(checker, instruction, command, has_shell);
                }
                Kind::Healthcheck(_) => replaced(checker, seen.healthcheck.replace(instruction)),
                _ => {}
            }
        }
        shells.push(has_shell);
    }
}

fn replaced(checker: &mut Checker<'_>, earlier: Option<&Instruction>) {
    let Some(earlier) = earlier else { return };
    let keyword = earlier.keyword;
    let message = format!("this {keyword} has no effect: another one follows in the stage");
    let found = Found { span: first_line(checker, earlier), message, help: format!("keep one {keyword}") };
    checker.add(Rule::MultipleInstructionsDisallowed, earlier, found);
}

/// The part of an instruction that stands on its first line.
fn first_line(checker: &Checker<'_>, instruction: &Instruction) -> Span {
    let Span { start, end } = instruction.span;
    let length = instruction.span.of(&checker.file.text).find('\n').unwrap_or(end - start);
    Span::new(start, start + length)
}

fn json_form(checker: &mut Checker<'_>, instruction: &Instruction, command: &Command, has_shell: bool) {
    let Command::Shell(text) = command else { return };
    if has_shell || text.is_empty() {
        return;
    }
    let keyword = instruction.keyword;
    let message = format!("{keyword} is run by a shell, which passes no signals on to the program");
    let help = format!("write {keyword} [\"program\", \"argument\"], or SHELL above it where a shell is wanted");
    let found = Found { span: first_line(checker, instruction), message, help };
    checker.add(Rule::JSONArgsRecommended, instruction, found);
}

/// What one instruction is enough to see.
#[expect(clippy::wildcard_enum_match_arm, reason = "rules about these instructions only")]
fn one(checker: &mut Checker<'_>, instruction: &Instruction) {
    match &instruction.kind {
        Kind::Maintainer(_) => {
            let message = "MAINTAINER is deprecated".to_owned();
            let help = "write LABEL org.opencontainers.image.authors=\"…\"".to_owned();
            let found = Found { span: instruction.word.span, message, help };
            checker.add(Rule::MaintainerDeprecated, instruction, found);
        }
        Kind::Env(pairs) => {
            old_form(checker, instruction, pairs);
            pairs.iter().for_each(|pair| secret(checker, instruction, (&pair.key.raw, pair.key.span)));
        }
        Kind::Label(pairs) => old_form(checker, instruction, pairs),
        Kind::Arg(declarations) => {
            declarations.iter().for_each(|arg| secret(checker, instruction, (&arg.name.raw, arg.name.span)));
        }
        _ => {}
    }
}

fn old_form(checker: &mut Checker<'_>, instruction: &Instruction, pairs: &[Pair]) {
    for pair in pairs.iter().filter(|pair| pair.separator == Separator::Blank) {
        let message = format!("{} has a blank between key and value", instruction.keyword);
        let help = format!("write {} {}=…", instruction.keyword, pair.key.raw);
        checker.add(Rule::LegacyKeyValueFormat, instruction, Found { span: pair.key.span, message, help });
    }
}

fn secret(checker: &mut Checker<'_>, instruction: &Instruction, (name, span): (&str, Span)) {
    if !is_secret(name) {
        return;
    }
    let message = format!("{} {name} looks like a secret, which would stay in the image", instruction.keyword);
    let help = "give it to the step that needs it with RUN --mount=type=secret".to_owned();
    checker.add(Rule::SecretsUsedInArgOrEnv, instruction, Found { span, message, help });
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let has = |words: &[&str]| name.split('_').any(|part| words.contains(&part));
    has(&SECRET) && !has(&HARMLESS)
}
