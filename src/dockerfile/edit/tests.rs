//! Tests of edits.

use super::*;
use crate::parse;

const DIGEST: &str = "r.example/base@sha256:0123";

fn edit(start: usize, end: usize, replacement: &str) -> Edit {
    Edit { span: Span::new(start, end), replacement: replacement.to_owned() }
}

#[track_caller]
fn check_pin(text: &str, stage: usize, expected: &str) {
    let pin = pin_from(&parse(text).unwrap(), stage, DIGEST).unwrap();
    assert_eq!(apply(text, &[pin]).unwrap(), expected);
}

#[test]
fn edits_are_made_in_the_order_of_the_text() {
    assert_eq!(
        apply("abcdef", &[edit(4, 5, "E"), edit(0, 1, ""), edit(2, 2, "+"), edit(2, 2, "-")]).unwrap(),
        "b+-cdEf"
    );
    assert_eq!(apply("abc", &[]).unwrap(), "abc");
    assert_eq!(apply("abc", &[edit(0, 1, "x"), edit(1, 3, "y"), edit(3, 3, "z")]).unwrap(), "xyz");
}

#[test]
fn edits_that_overlap_are_refused() {
    let (first, second) = (Span::new(0, 2), Span::new(1, 3));
    assert_eq!(apply("abc", &[edit(1, 3, ""), edit(0, 2, "")]), Err(EditError::Overlap { first, second }));
}

#[test]
fn edits_outside_the_text_or_inside_a_character_are_refused() {
    for bad in [
        edit(0, 9, ""),
        edit(9, 9, ""),
        edit(1, 2, ""),
        Edit { span: Span { start: 2, end: 0 }, replacement: String::new() },
    ] {
        assert_eq!(apply("aé", std::slice::from_ref(&bad)), Err(EditError::BadSpan { span: bad.span }));
    }
}

#[test]
fn a_pin_changes_nothing_but_the_image() {
    check_pin("FROM base\n", 0, "FROM r.example/base@sha256:0123\n");
    check_pin("FROM base", 0, "FROM r.example/base@sha256:0123");
    check_pin(
        "# c\r\nfrom  --platform=$P\t base:1   as  B\r\nRUN x\r\n",
        0,
        "# c\r\nfrom  --platform=$P\t r.example/base@sha256:0123   as  B\r\nRUN x\r\n",
    );
    check_pin(
        "\u{feff}ARG V=1\nFROM \\\n# why\n  base:${V} \\\n  AS b # no comment\n".replace(" # no comment", "").as_str(),
        0,
        "\u{feff}ARG V=1\nFROM \\\n# why\n  r.example/base@sha256:0123 \\\n  AS b\n",
    );
    check_pin("FROM a\nFROM ba\\\nse AS x\n", 1, "FROM a\nFROM r.example/base@sha256:0123 AS x\n");
}

#[test]
fn a_pinned_file_names_the_pin_and_is_else_the_same() {
    let text = "FROM one AS a\nFROM two\nCOPY --from=a x y\n";
    let file = parse(text).unwrap();
    let pins = [pin_from(&file, 1, DIGEST).unwrap(), pin_from(&file, 0, DIGEST).unwrap()];
    let pinned = parse(&apply(text, &pins).unwrap()).unwrap();
    let bases: Vec<_> = stages(&pinned).unwrap().stages.iter().map(|stage| stage.base.raw.clone()).collect();
    assert_eq!(bases, [DIGEST, DIGEST]);
}

#[test]
fn what_would_not_read_back_is_no_pin() {
    let file = parse("FROM a\n").unwrap();
    for bad in ["", "a b", "a\nRUN x", "$A", "a\\", "\"a\"", "--x"] {
        assert_eq!(pin_from(&file, 0, bad), Err(EditError::BadReference { reference: bad.into() }));
    }
    assert_eq!(pin_from(&file, 1, DIGEST), Err(EditError::NoStage { stage: 1, count: 1 }));
}
