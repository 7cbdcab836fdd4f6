//! The cases of `testdata/dockerfile`: each folder is a claim about one Dockerfile.
//!
//! `out.json` is either the whole tree of `in.Dockerfile` or `{"error", "line", "column"}`.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use serde_json::{Value, json};
use stratum_dockerfile::json::tree_json;
use stratum_dockerfile::{parse_bytes, parse_tree, parse_tree_bytes, position, stages};

fn outcome(bytes: &[u8]) -> Value {
    match parse_bytes(bytes) {
        Ok(_) => tree_json(&parse_tree_bytes(bytes).unwrap()),
        Err(error) => {
            let at = position(&String::from_utf8_lossy(bytes), error.span().start);
            json!({ "error": error.to_string(), "line": at.line, "column": at.column })
        }
    }
}

#[test]
fn every_case_gives_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/dockerfile");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let case = entry.unwrap().path();
        if !case.is_dir() {
            continue;
        }
        let bytes = std::fs::read(case.join("in.Dockerfile")).unwrap();
        let wanted: Value = serde_json::from_slice(&std::fs::read(case.join("out.json")).unwrap()).unwrap();
        assert_eq!(without_spans(outcome(&bytes)), wanted, "{}", case.display());
        count += 1;
    }
    assert!(count >= 110, "only {count} cases were found");
}

/// The tree without the places of its words, which [`every_span_covers_its_word`] looks at.
fn without_spans(mut value: Value) -> Value {
    fn clean(value: &mut Value) {
        if let Some(object) = value.as_object_mut() {
            object.remove("spans");
            object.remove("directiveSpans");
            object.values_mut().for_each(clean);
        } else if let Some(list) = value.as_array_mut() {
            list.iter_mut().for_each(clean);
        }
    }
    clean(&mut value);
    value
}

/// The text that a span of the answer covers.
fn covered<'t>(text: &'t str, span: &Value) -> &'t str {
    let number = |at: usize| usize::try_from(span[at].as_u64().unwrap()).unwrap();
    text.get(number(0)..number(1)).unwrap()
}

fn check_node(text: &str, node: &Value) {
    let name = covered(text, &node["spans"]["name"]);
    assert_eq!(name.replace("\\\n", "").to_lowercase(), node["instruction"].as_str().unwrap());
    for key in ["flags", "args"] {
        let (words, spans) = (node[key].as_array().unwrap(), node["spans"][key].as_array().unwrap());
        assert_eq!(words.len(), spans.len(), "{node}");
        for (word, span) in words.iter().map(|word| word.as_str().unwrap()).zip(spans) {
            let there = covered(text, span);
            // Quotes are resolved in flags and JSON forms; continuations are not in words.
            let is_plain = !there.contains(['\n', '"', '\'']) && !there.contains('\\');
            let is_separator = matches!(word, "" | "=") && !node["args"].as_array().unwrap().is_empty();
            assert!(!is_plain || is_separator || there.trim() == word.trim(), "{there:?} is not {word:?}");
        }
    }
    for heredoc in node["heredocs"].as_array().unwrap() {
        assert_eq!(covered(text, &heredoc["span"]), heredoc["content"].as_str().unwrap());
    }
    if let Some(child) = node.get("child") {
        check_node(text, child);
    }
}

#[test]
fn every_span_covers_its_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/dockerfile");
    for entry in std::fs::read_dir(folder).unwrap() {
        let Ok(text) = std::fs::read_to_string(entry.unwrap().path().join("in.Dockerfile")) else { continue };
        let Ok(tree) = parse_tree(&text) else { continue };
        let answer = tree_json(&tree);
        answer["nodes"].as_array().unwrap().iter().for_each(|node| check_node(&text, node));
    }
}

#[test]
fn the_words_of_a_case_stand_where_their_spans_say() {
    let text = "FROM base \\\n  AS one\nCOPY --chown=a b /c\nENV A=1 B=\"2 3\"\nVOLUME [\"/x\" , \"/y z\"]\n";
    let tree = parse_tree(text).unwrap();
    let shown: Vec<&str> = tree
        .nodes
        .iter()
        .flat_map(|node| {
            let flags = node.flags.iter().map(|flag| flag.span);
            let args = node.args.iter().map(|word| word.span);
            let pairs = node.pairs.iter().flat_map(|pair| [pair.key.span, pair.value.span]);
            flags.chain(args).chain(pairs).map(|span| span.of(text)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(shown, ["base", "AS", "one", "--chown=a", "b", "/c", "A", "1", "B", "\"2 3\"", "\"/x\"", "\"/y z\""]);
}

#[test]
fn a_file_without_from_parses_but_has_no_stages() {
    let file = parse_bytes(b"RUN one\n").unwrap();
    assert_eq!(stages(&file).unwrap_err().to_string(), "no FROM: RUN stands before the first FROM");
}

#[test]
fn the_first_byte_that_is_not_utf8_is_named() {
    let error = parse_bytes(b"FROM a\xff\n").unwrap_err();
    assert_eq!((error.to_string().as_str(), error.span().start), ("byte 6 of the Dockerfile is not UTF-8", 6));
}
