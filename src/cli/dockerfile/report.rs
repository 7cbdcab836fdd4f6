//! The findings of a check as text and as JSON.

use dockerfile::check::{Finding, Report};
use dockerfile::{Diagnostic, position};
use serde_json::{Value, json};

use super::check::Outcome;
use crate::diagnostic;

/// A Dockerfile and what it is called.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
}

/// Each finding drawn into its line, then how many there are.
pub(super) fn text(source: &Source<'_>, report: &Report) -> Vec<String> {
    let drawn = |finding: &Finding| {
        let mut drawn = diagnostic::warning(&finding.diagnostic(), source.path, source.text);
        if let Some(url) = finding.rule.url() {
            drawn.push_str(&format!("\n  = note: {url}"));
        }
        drawn.push('\n');
        drawn
    };
    let count = match report.findings.len() {
        0 => "no warnings".to_owned(),
        count => warnings(count),
    };
    report.findings.iter().map(drawn).chain([format!("{}: {count}", source.path)]).collect()
}

/// One line for each finding, as a build shows them.
pub(crate) fn lines(source: &Source<'_>, report: &Report) -> Vec<String> {
    let line = |finding: &Finding| {
        let line = position(source.text, finding.span.start).line;
        format!("  {}:{line}: {}: {}", source.path, finding.rule, finding.message)
    };
    report.findings.iter().map(line).collect()
}

pub(crate) fn warnings(count: usize) -> String {
    if count == 1 { "1 warning".to_owned() } else { format!("{count} warnings") }
}

/// Why findings stop a build.
pub(crate) fn refusal(path: &str, count: usize) -> String {
    format!("{path}: its check found {}, which are errors here", warnings(count))
}

/// The keys of `docker build --call=check,format=json`, and of ours `help`, `span` (bytes) and `column` (from 1).
pub(super) fn json(source: &Source<'_>, outcome: &Outcome) -> Value {
    let warnings: Vec<Value> = outcome.report.findings.iter().map(|finding| warning(source, finding)).collect();
    let mut value = json!({
        "warnings": warnings,
        "sources": [{ "filename": source.path, "language": "Dockerfile" }],
    });
    if let (Some(error), Some(object)) = (&outcome.error, value.as_object_mut()) {
        object.insert("buildError".to_owned(), build_error(source, error));
    }
    value
}

fn warning(source: &Source<'_>, finding: &Finding) -> Value {
    let (first, last) = finding.lines;
    json!({
        "ruleName": finding.rule.name(),
        "description": finding.rule.description(),
        "url": finding.rule.url(),
        "detail": finding.message,
        "location": { "ranges": [{ "start": { "line": first }, "end": { "line": last } }] },
        "help": finding.help,
        "span": [finding.span.start, finding.span.end],
        "column": position(source.text, finding.span.start).column,
    })
}

fn build_error(source: &Source<'_>, error: &Diagnostic) -> Value {
    let line = position(source.text, error.span.start).line;
    json!({
        "message": error.message,
        "location": { "ranges": [{ "start": { "line": line }, "end": { "line": line } }] },
        "help": error.help,
        "span": [error.span.start, error.span.end],
    })
}
