//! The findings of a check as SARIF 2.1.0, which code review tools read.

use dockerfile::check::{Finding, Rule};
use dockerfile::{Diagnostic, Span, position};
use serde_json::{Value, json};

use super::check::Outcome;
use super::report::Source;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// The rule of a Dockerfile that cannot be built at all.
const ERROR: &str = "BuildError";

/// A whole log with one run.
pub(super) fn log(source: &Source<'_>, outcome: &Outcome) -> Value {
    let findings = outcome.report.findings.iter().map(|finding| result(source, finding));
    let error = outcome.error.iter().map(|error| failure(source, error));
    let rules = Rule::ALL.into_iter().map(rule).chain([json!({
        "id": ERROR,
        "shortDescription": { "text": "the Dockerfile can be built" },
        "defaultConfiguration": { "level": "error" },
    })]);
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "stratum",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": findings.chain(error).collect::<Vec<_>>(),
        }],
    })
}

fn rule(rule: Rule) -> Value {
    let mut value = json!({
        "id": rule.name(),
        "shortDescription": { "text": rule.description() },
        "defaultConfiguration": { "level": "warning", "enabled": !rule.is_experimental() },
    });
    if let (Some(url), Some(object)) = (rule.url(), value.as_object_mut()) {
        object.insert("helpUri".to_owned(), url.into());
    }
    value
}

fn result(source: &Source<'_>, finding: &Finding) -> Value {
    json!({
        "ruleId": finding.rule.name(),
        "ruleIndex": Rule::ALL.iter().position(|rule| *rule == finding.rule),
        "level": "warning",
        "message": { "text": format!("{}; {}", finding.message, finding.help) },
        "locations": [location(source, finding.span)],
    })
}

fn failure(source: &Source<'_>, error: &Diagnostic) -> Value {
    json!({
        "ruleId": ERROR,
        "ruleIndex": Rule::ALL.len(),
        "level": "error",
        "message": { "text": error.message },
        "locations": [location(source, error.span)],
    })
}

fn location(source: &Source<'_>, span: Span) -> Value {
    let (start, end) = (position(source.text, span.start), position(source.text, span.end));
    json!({ "physicalLocation": {
        "artifactLocation": { "uri": uri(source.path) },
        "region": {
            "startLine": start.line,
            "startColumn": start.column,
            "endLine": end.line,
            "endColumn": end.column,
            "byteOffset": span.start,
            "byteLength": span.end.saturating_sub(span.start),
        },
    } })
}

/// A path as a URI reference: all but letters, digits and `-._~/` as `%XX`.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let mut uri = String::new();
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri("./a b/Docker%file"), "a%20b/Docker%25file");
        assert_eq!(uri("/é"), "/%C3%A9");
    }
}
