//! Tests of ignore files and patterns.

use super::*;

fn patterns(text: &str) -> Patterns {
    Patterns::parse(text).unwrap()
}

#[track_caller]
fn check(text: &str, out: &[&str], kept: &[&str]) {
    let patterns = patterns(text);
    for path in out {
        assert!(patterns.matches(path), "{path} should be left out by {text:?}");
    }
    for path in kept {
        assert!(!patterns.matches(path), "{path} should not be left out by {text:?}");
    }
}

#[track_caller]
fn check_error(pattern: &str, expected: &str) {
    assert_eq!(Patterns::parse(pattern).unwrap_err().to_string(), expected);
}

#[test]
fn a_pattern_matches_a_path_and_all_below_it() {
    check("docs", &["docs", "docs/a", "docs/a/b"], &["docs2", "a/docs", "."]);
    check("a/b", &["a/b", "a/b/c"], &["a", "b", "x/a/b"]);
}

#[test]
fn wildcards_stay_within_a_name() {
    check("*.o", &["x.o", ".o", "x.o/y"], &["a/x.o", "x.oo"]);
    check("*/t?p", &["a/tmp", "a/tap/x"], &["tmp", "a/b/tmp", "a/t/p"]);
    check("a*b*c", &["abc", "axbybc"], &["ab/c", "acb"]);
}

#[test]
fn two_stars_cross_directories() {
    check("**", &["a", "a/b"], &[]);
    check("**/x", &["x", "a/x", "a/b/x", "a/x/y"], &["ax", "x2"]);
    check("a/**", &["a/b", "a/b/c"], &["a", "ab"]);
    check("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a", "ab", "a/xb"]);
    check("**/*.o", &["x.o", "a/b/x.o"], &["x.c"]);
    check("a**b*", &["ab", "a/b", "ax/bc"], &["axb"]);
}

#[test]
fn two_stars_before_a_plain_text_are_a_suffix() {
    check("**foo", &["foo", "afoo", "a/bfoo"], &["foob"]);
    check("**foo?", &["foo1", "a/foo1"], &["afoo1"]);
}

#[test]
fn classes_have_ranges_and_can_be_negated() {
    check("[a-cx]", &["a", "b", "x"], &["d", "-", "ab"]);
    check("a[^0-9]", &["ab", "a-"], &["a1", "a"]);
    check(r"[\]\-a]", &["]", "-", "a"], &["\\"]);
}

#[test]
fn an_escape_takes_special_characters_as_they_are() {
    check(r"a\*b", &["a*b"], &["axb"]);
    check(r"\!x", &["!x"], &["x"]);
    check(r"\d", &["d"], &["1"]);
}

#[test]
fn characters_of_regular_expressions_mean_nothing() {
    check("a.b+c$(x){y}|z", &["a.b+c$(x){y}|z"], &["aXb+c$(x){y}|z"]);
    check("*.b(c", &["a.b(c"], &[]);
}

#[test]
fn the_last_pattern_that_matches_decides() {
    check("*.md\n!README.md", &["a.md"], &["README.md"]);
    check("!README.md\n*.md", &["README.md"], &[]);
    check("docs\n!docs/keep\ndocs/keep/not", &["docs/a", "docs/keep/not/x"], &["docs/keep", "docs/keep/b"]);
    check("*\n!src\nsrc/**/t", &["a", "src/t", "src/x/t/y"], &["src", "src/x"]);
}

#[test]
fn ignore_files_have_comments_blanks_and_slashes() {
    check("\u{feff}# a comment\r\n\r\n  /docs/  \r\n! /docs/./a/../b\r\n", &["docs", "docs/x"], &["docs/b"]);
    check(" # no comment", &["# no comment"], &[]);
    check("/", &[], &["a"]);
    check("a//b/./c/..", &["a/b"], &["a/c"]);
    assert!(patterns("# x\n\n").is_empty());
}

#[test]
fn bad_patterns_are_named() {
    check_error("a\n!", "ignore pattern 2 is a `!` alone");
    check_error("[a", "ignore pattern `[a`: a bracket is not closed");
    check_error("a[]b]", "ignore pattern `a[]b]`: brackets are empty, or have a `-` without both its ends");
    check_error("[a-]", "ignore pattern `[a-]`: brackets are empty, or have a `-` without both its ends");
    check_error("[z-a]", "ignore pattern `[z-a]`: a range in brackets runs backwards");
    check_error("a\\", "ignore pattern `a\\`: an escape stands at the end");
    check_error(&"a".repeat(5000), "ignore pattern 1 is longer than 4096 bytes");
    check_error(&"a\n".repeat(10_001), "more than 10000 ignore patterns");
    check_error(&"#".repeat((1 << 20) + 1), "the ignore file has 1048577 bytes, the limit is 1048576");
}

#[test]
fn a_walk_enters_only_where_something_may_be_taken_back_in() {
    let cases = [
        ("docs\n!docs/a/keep", "docs", true),
        ("docs\n!docs/a/keep", "docs/a", true),
        ("docs\n!docs/a/keep", "docs/b", false),
        ("docs\n!src", "docs", false),
        ("*\n!*/keep", "any", true),
        ("*\n!*/keep", "any/deep", false),
        ("*\n!**/keep", "any/deep", true),
        ("*\n!a/**/keep?", "a/b/c", true),
        ("*\n!a/**/keep?", "b", false),
        ("*\n!a/b/**", "a", true),
        ("*\n!a/b/**", "a/c", false),
        ("!docs\ndocs", "docs", false),
        ("docs", "docs", false),
        ("*\n!x", ".", true),
    ];
    for (text, dir, expected) in cases {
        assert_eq!(patterns(text).could_match_below(dir), expected, "{dir} with {text:?}");
    }
}

/// All paths of up to three components over a small alphabet.
fn small_paths() -> Vec<String> {
    let names = ["a", "b", "ab", "c.o"];
    let mut paths: Vec<String> = names.map(str::to_owned).to_vec();
    for depth in 1..3 {
        let above: Vec<String> = paths.iter().filter(|path| path.matches('/').count() == depth - 1).cloned().collect();
        paths.extend(above.iter().flat_map(|path| names.map(|name| format!("{path}/{name}"))));
    }
    paths
}

#[test]
fn pruning_never_loses_a_path() {
    let paths = small_paths();
    let files =
        ["a\n!a/b", "*\n!a/*/b", "**\n!**/*.o", "a\n!b\n!a/a/a", "**/a\n!a/b/a/c.o", "*\n!**b\nb", "a*\n![ab]/a?"];
    for text in files {
        let patterns = patterns(text);
        for path in paths.iter().filter(|path| !patterns.matches(path)) {
            for (at, _) in path.match_indices('/') {
                let parent = path.get(..at).unwrap();
                let enters = !patterns.matches(parent) || patterns.could_match_below(parent);
                assert!(enters, "{path} is kept by {text:?}, but a walk would not enter {parent}");
            }
        }
    }
}
