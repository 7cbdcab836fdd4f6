//! Two public parsers read our cases too, and see the same instructions where they are known to be right.
//!
//! Neither is right everywhere (BuildKit is the measure, see `cases.rs`), so where they differ from us is listed here
//! with the reason. A new difference fails the test, and so does one that is gone.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test stops at the first surprise")]

use std::path::Path;

use dockerfile_parser::Instruction as Other;
use parse_dockerfile::{Instruction, Source};
use stratum_dockerfile::{Dockerfile, Kind, parse};

/// What `parse-dockerfile` refuses or reads differently.
const PARSE_DOCKERFILE_DIFFERS: &[&str] = &[
    // It continues a line that ends in two escapes.
    "double-escape-does-not-continue",
    // It does not know `--` alone, nor quotes in flags.
    "flags-are-unquoted-and-end-at-double-dash",
    // It knows heredocs only as the first word, without a number and without blanks.
    "heredoc-delimiter-with-blank-before-it",
    "heredoc-in-run-with-interpreter",
    "heredoc-several-in-run",
    "heredoc-single-quoted",
    // It has no empty JSON form.
    "json-forms-everywhere",
    // It continues a line that ends in two escapes.
    "line-ending-in-two-backslashes-ends",
    // It wants a FROM while parsing.
    "no-from-still-parses",
];
/// What `dockerfile-parser` refuses or reads differently.
const DOCKERFILE_PARSER_DIFFERS: &[&str] = &[
    // It has one name for each ARG.
    "arg-several-on-one-line",
    "arg-with-quotes-and-variables",
    // It has no blank lines in continuations, no marks, no carriage returns and no words across lines.
    "blank-line-inside-continuation-is-dropped",
    "byte-order-mark-before-a-directive",
    "byte-order-mark-is-skipped",
    "carriage-returns-end-lines",
    "carriage-returns-in-continuations-and-heredocs",
    "continuation-splits-a-word",
    // It has no JSON form for COPY.
    "copy-json-form-keeps-blanks",
    // It has no escape directive.
    "directives-all-three",
    // It continues a line that ends in two escapes.
    "double-escape-does-not-continue",
    // It has no old form of LABEL with several words, and other quotes.
    "env-old-form-takes-the-rest",
    "env-pairs-keep-their-quotes",
    "env-with-escaped-blank-and-newline",
    // It has no escape directive.
    "escape-directive-backtick",
    "escape-directive-in-upper-case-with-blanks",
    // It has no quotes in flags, and knows fewer of them.
    "flag-in-quotes",
    "flags-all-of-copy",
    "flags-are-unquoted-and-end-at-double-dash",
    // It has no dots in the names of stages.
    "from-keeps-the-case-of-names",
    // It has no heredocs.
    "heredoc-after-flags-and-continuation",
    "heredoc-below-onbuild",
    "heredoc-delimiter-must-be-the-whole-line",
    "heredoc-delimiter-with-blank-before-it",
    "heredoc-empty-body",
    "heredoc-in-add-with-tabs",
    "heredoc-in-copy-several",
    "heredoc-in-run",
    "heredoc-in-run-with-interpreter",
    "heredoc-quoted-delimiter",
    "heredoc-several-in-run",
    "heredoc-single-quoted",
    "heredoc-strips-tabs",
    "heredoc-twice-with-one-name",
    "heredoc-unquoted-parts-are-joined",
    "heredoc-with-a-backslash-at-its-end",
    // It wants arguments.
    "instruction-without-arguments",
    // It has no shell form that starts with a bracket, and JSON of its own.
    "json-form-lone-surrogate",
    "json-form-with-something-behind-is-shell",
    "json-forms-everywhere",
    "json-that-is-none-is-shell",
    // It continues a line that ends in two escapes.
    "line-ending-in-two-backslashes-ends",
    // It has no heredocs.
    "no-newline-at-the-end-of-a-heredoc",
    // It has no continuation before an instruction.
    "only-a-continuation-is-no-instruction",
];

/// The name and text of each case that is to be accepted.
fn cases() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/dockerfile");
    let mut cases: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.to_owned();
            Some((name, std::fs::read_to_string(path.join("in.Dockerfile")).ok()?))
        })
        .filter(|(_, text)| parse(text).is_ok())
        .collect();
    cases.sort();
    cases
}

/// One line for each instruction: its name, and the words of FROM and COPY.
fn ours(file: &Dockerfile) -> Vec<String> {
    let show = |instruction: &stratum_dockerfile::Instruction| match &instruction.kind {
        Kind::From { image, name, .. } => from(&image.raw, name.as_ref().map(|name| name.raw.as_str())),
        Kind::Copy(spec) => copy(spec.sources.iter().map(|source| source.raw.as_str()), &spec.dest.raw),
        _ => instruction.keyword.to_string(),
    };
    file.instructions.iter().map(show).collect()
}

fn from(image: &str, name: Option<&str>) -> String {
    format!("FROM {image} AS {name:?}")
}

fn copy<'a>(sources: impl Iterator<Item = &'a str>, dest: &str) -> String {
    format!("COPY {:?} TO {dest}", sources.collect::<Vec<_>>())
}

fn parse_dockerfile_sees(text: &str) -> Option<Vec<String>> {
    let file = parse_dockerfile::parse(text).ok()?;
    let show = |instruction: &Instruction<'_>| match instruction {
        Instruction::From(it) => from(&it.image.value, it.as_.as_ref().map(|(_, name)| &*name.value)),
        Instruction::Copy(it) => {
            let paths = it.src.iter().filter_map(|source| match source {
                Source::Path(path) => Some(&*path.value),
                _ => None,
            });
            copy(paths, &it.dest.value)
        }
        other => format!("{other:?}").split('(').next().unwrap_or_default().to_uppercase(),
    };
    Some(file.instructions.iter().map(show).collect())
}

fn dockerfile_parser_sees(text: &str) -> Option<Vec<String>> {
    let file = dockerfile_parser::Dockerfile::parse(text).ok()?;
    let show = |instruction: &Other| match instruction {
        Other::From(it) => from(&it.image.content, it.alias.as_ref().map(|name| name.content.as_str())),
        Other::Copy(it) => copy(it.sources.iter().map(|source| source.content.as_str()), &it.destination.content),
        Other::Misc(it) => it.instruction.content.to_uppercase(),
        other => format!("{other:?}").split('(').next().unwrap_or_default().to_uppercase(),
    };
    Some(file.instructions.iter().map(show).collect())
}

#[track_caller]
fn check(sees: fn(&str) -> Option<Vec<String>>, expected: &[&str]) {
    let differing: Vec<String> = cases()
        .into_iter()
        .filter(|(_, text)| sees(text).as_ref() != Some(&ours(&parse(text).unwrap())))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(differing, expected);
}

#[test]
fn parse_dockerfile_sees_the_same_instructions() {
    check(parse_dockerfile_sees, PARSE_DOCKERFILE_DIFFERS);
}

#[test]
fn dockerfile_parser_sees_the_same_instructions() {
    check(dockerfile_parser_sees, DOCKERFILE_PARSER_DIFFERS);
}
