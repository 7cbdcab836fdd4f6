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
        assert_eq!(outcome(&bytes), wanted, "{}", case.display());
        count += 1;
    }
    assert!(count >= 60, "only {count} cases were found");
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
