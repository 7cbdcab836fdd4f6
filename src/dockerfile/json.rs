//! The answers of `stratum dockerfile parse|expand|ignore --json`.
//!
//! Each function takes a text and gives one JSON value or line. The shapes are those that the conformance suite asks
//! for; more keys may come.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::expand::ExpandError;
use crate::heredoc::Heredoc;
use crate::ignore::{IgnoreError, Patterns};
use crate::instruction::{Separator, Warning};
use crate::span::Span;
use crate::tree::{Flag, Node, Tree};
use crate::{Escape, expand};

/// A whole tree: `{"escape", "directives", "nodes": [N…], "warnings": [{"warning", "span"}…]}`.
///
/// `N` is `{"instruction", "flags", "args", "json", "line", "endLine", "span", "comments", "heredocs",
/// "child", "spans"}`. The instruction
/// is in lower case. ENV and LABEL give key, value and separator (`=` or empty) of each pair in `args`. `child` is only
/// there for ONBUILD. `span` is `[start, end]` in bytes; `spans` has that of the name, of each flag and of each argument,
/// those of pairs with what stands between key and value.
pub fn tree_json(tree: &Tree) -> Value {
    let directives = &tree.directives;
    let raw = |word: &Option<crate::Word>| word.as_ref().map(|word| word.raw.clone());
    json!({
        "escape": directives.escape().as_char(),
        "directives": { "syntax": raw(&directives.syntax), "check": raw(&directives.check) },
        "directiveSpans": {
            "syntax": directives.syntax.as_ref().map(|word| span_json(word.span)),
            "check": directives.check.as_ref().map(|word| span_json(word.span)),
            "escape": directives.escape.as_ref().map(|word| span_json(word.span)),
        },
        "nodes": tree.nodes.iter().map(node_json).collect::<Vec<_>>(),
        "warnings": tree.warnings.iter().map(warning_json).collect::<Vec<_>>(),
    })
}

fn node_json(node: &Node) -> Value {
    let mut args: Vec<&str> = node.args.iter().map(|word| word.raw.as_str()).collect();
    for pair in &node.pairs {
        let separator = match pair.separator {
            Separator::Equals => "=",
            Separator::Blank => "",
        };
        args.extend([pair.key.raw.as_str(), pair.value.raw.as_str(), separator]);
    }
    let mut value = json!({
        "instruction": node.word.raw.to_lowercase(),
        "flags": node.flags.iter().map(|flag: &Flag| flag.text.as_str()).collect::<Vec<_>>(),
        "args": args,
        "json": node.json,
        "line": node.first_line,
        "endLine": node.last_line,
        "span": span_json(node.span),
        "comments": node.comments.iter().copied().map(span_json).collect::<Vec<_>>(),
        "heredocs": node.heredocs.iter().map(heredoc_json).collect::<Vec<_>>(),
        "spans": spans_json(node),
    });
    if let (Some(child), Some(object)) = (&node.child, value.as_object_mut()) {
        object.insert("child".to_owned(), node_json(child));
    }
    value
}

fn spans_json(node: &Node) -> Value {
    let words = node.args.iter().map(|word| word.span);
    let pairs = node.pairs.iter().flat_map(|pair| {
        let (key, value) = (pair.key.span, pair.value.span);
        [key, value, Span::new(key.end, value.start)]
    });
    json!({
        "name": span_json(node.word.span),
        "flags": node.flags.iter().map(|flag| span_json(flag.span)).collect::<Vec<_>>(),
        "args": words.chain(pairs).map(span_json).collect::<Vec<_>>(),
    })
}

fn warning_json(warning: &Warning) -> Value {
    match warning {
        Warning::EmptyContinuation { span } => json!({ "warning": "empty continuation", "span": span_json(*span) }),
    }
}

fn span_json(span: Span) -> Value {
    json!([span.start, span.end])
}

fn heredoc_json(heredoc: &Heredoc) -> Value {
    json!({
        "name": heredoc.name,
        "descriptor": heredoc.descriptor,
        "expand": heredoc.expand,
        "stripTabs": heredoc.strip_tabs,
        "content": heredoc.content,
        "span": span_json(heredoc.span),
    })
}

/// A question of `expand --json`.
#[derive(Debug, serde::Deserialize)]
struct Expand {
    mode: Mode,
    word: String,
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    escape: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Word,
    Words,
    Body,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
enum QuestionError {
    #[error("this is no question: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the escape is \\ or `, not `{escape}`")]
    Escape { escape: String },
    #[error(transparent)]
    Expand(#[from] ExpandError),
    #[error(transparent)]
    Ignore(#[from] IgnoreError),
}

/// Answers one line of `expand --json`.
///
/// The question is `{"mode": "word" | "words" | "body", "word", "env": ["K=V"…], "escape"}`, the answer
/// `{"ok": true, "result"}` or `{"ok": false, "error"}`.
pub fn expand_line(line: &str) -> String {
    answer(expanded(line))
}

fn expanded(line: &str) -> Result<Value, QuestionError> {
    let question: Expand = serde_json::from_str(line)?;
    let escape = match question.escape {
        Some(escape) if !escape.is_empty() => Escape::parse(&escape).ok_or(QuestionError::Escape { escape })?,
        _ => Escape::default(),
    };
    let env: HashMap<&str, &str> = question.env.iter().map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    let lookup = |name: &str| env.get(name).map(|&value| value.to_owned());
    Ok(match question.mode {
        Mode::Word => expand::word(&question.word, escape, &lookup)?.into(),
        Mode::Words => expand::words(&question.word, escape, &lookup)?.into(),
        Mode::Body => expand::body(&question.word, &lookup)?.into(),
    })
}

/// A question of `ignore --json`.
#[derive(Debug, serde::Deserialize)]
struct Ignore {
    patterns: Vec<String>,
    path: String,
}

/// Answers one line of `ignore --json`.
///
/// The question is `{"patterns": […], "path"}`, the answer `{"ok": true, "result"}`, true where the path is left out,
/// or `{"ok": false, "error"}`.
pub fn ignore_line(line: &str) -> String {
    answer(ignored(line))
}

fn ignored(line: &str) -> Result<Value, QuestionError> {
    let Ignore { patterns, path } = serde_json::from_str(line)?;
    Ok(Patterns::new(&patterns)?.matches(&path).into())
}

fn answer(result: Result<Value, QuestionError>) -> String {
    match result {
        Ok(result) => json!({ "ok": true, "result": result }).to_string(),
        Err(error) => json!({ "ok": false, "error": error.to_string() }).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: fn(&str) -> String, question: Value, expected: Value) {
        assert_eq!(serde_json::from_str::<Value>(&answer(&question.to_string())).unwrap(), expected);
    }

    #[test]
    fn expansions_are_answered() {
        let word = json!({ "mode": "word", "word": "$A`$A", "env": ["A=1 2"], "escape": "`" });
        check(expand_line, word, json!({ "ok": true, "result": "1 2$A" }));
        let words = json!({ "mode": "words", "word": "$A", "env": ["A=1 2"] });
        check(expand_line, words, json!({ "ok": true, "result": ["1", "2"] }));
        let failing = json!({ "mode": "body", "word": "${A:?none}" });
        check(expand_line, failing, json!({ "ok": false, "error": "A: none" }));
        let escape = json!({ "mode": "word", "word": "", "escape": "^" });
        check(expand_line, escape, json!({ "ok": false, "error": "the escape is \\ or `, not `^`" }));
    }

    #[test]
    fn ignore_patterns_are_answered() {
        check(ignore_line, json!({ "patterns": ["a", "!a/b"], "path": "a/c" }), json!({ "ok": true, "result": true }));
        let bad = json!({ "patterns": ["["], "path": "a" });
        check(ignore_line, bad, json!({ "ok": false, "error": "ignore pattern `[`: a bracket is not closed" }));
    }

    #[test]
    fn what_is_no_question_is_answered_too() {
        assert!(ignore_line("[").starts_with(r#"{"error":"this is no question"#));
    }
}
