//! Tests of expansion; `ENV` is the environment of all of them.

use super::*;

fn env(name: &str) -> Option<String> {
    let value = match name {
        "X" => "value",
        "EMPTY" => "",
        "BLANKS" => " a  b ",
        "FILE" => "dir.d/name.tar.gz",
        "STARS" => "a*b?c",
        "LINES" => "one\ntwo\nthree",
        _ => return None,
    };
    Some(value.to_owned())
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(word(text, Escape::Backslash, &env).as_deref(), Ok(expected), "{text}");
}

#[track_caller]
fn check_words(text: &str, expected: &[&str]) {
    assert_eq!(words(text, Escape::Backslash, &env).unwrap(), expected, "{text}");
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    assert_eq!(word(text, Escape::Backslash, &env).unwrap_err().to_string(), expected, "{text}");
}

#[test]
fn a_plain_word_stays() {
    check("", "");
    check("a b:c", "a b:c");
    check("ключ=値", "ключ=値");
}

#[test]
fn variables_end_where_names_end() {
    check("$X-$X.${X}y$Xy", "value-value.valuey");
    check("$ $. $", "$ $. $");
    check("$1x $@ $$", "x  ");
}

#[test]
fn quotes_are_removed_and_single_ones_keep_everything() {
    check(r#"'$X' "$X" "it's""#, "$X value it's");
    check(r"'a\b'", r"a\b");
}

#[test]
fn an_escape_takes_the_next_character_as_it_is() {
    check(r"\$X \a \\ \'", r"$X a \ '");
    check(r#""\$X \a \\ \"""#, r#"$X \a \ ""#);
    check("end\\", "end");
}

#[test]
fn the_escape_directive_changes_the_escape() {
    assert_eq!(word("a\\`$X \"`$X\"", Escape::Backtick, &env).unwrap(), "a\\$X $X");
}

#[test]
fn defaults_and_alternatives_see_unset_and_empty() {
    check("${NO-d}|${NO:-d}|${EMPTY-d}|${EMPTY:-d}|${X-d}|${X:-d}", "d|d||d|value|value");
    check("${NO+a}|${NO:+a}|${EMPTY+a}|${EMPTY:+a}|${X+a}|${X:+a}", "||a||a|a");
    check("${NO:-$X ${NO:-in} '}'}", "value in }");
    check("${NO}", "");
}

#[test]
fn a_required_variable_is_named_with_its_message() {
    check("${X?no}${EMPTY?no}", "value");
    check_error("${NO?give $X}", "NO: give value");
    check_error("${NO:?}", "NO: is not allowed to be unset");
    check_error("${EMPTY:?}", "EMPTY: is not allowed to be empty");
}

#[test]
fn prefixes_and_suffixes_are_trimmed() {
    check("${FILE#*.}|${FILE##*.}|${FILE%.*}|${FILE%%.*}", "d/name.tar.gz|gz|dir.d/name.tar|dir");
    check("${FILE#nothing}|${FILE%}|${FILE##}", "dir.d/name.tar.gz|dir.d/name.tar.gz|dir.d/name.tar.gz");
    check("${X#?}|${X%??}|${NO#x}", "alue|val|");
    check(r"${STARS#a\*}|${STARS%\?c}|${STARS##*\*}", "b?c|a*b|b?c");
    check("${X%$NO}|${X#${NO:-va}}", "value|lue");
}

#[test]
fn matches_are_replaced() {
    check("${FILE/./_}|${FILE//./_}", "dir_d/name.tar.gz|dir_d/name_tar_gz");
    check(r"${FILE/\//-}|${FILE//\//}", "dir.d-name.tar.gz|dir.dname.tar.gz");
    check("${FILE/*\\//}|${FILE//?/x}", "name.tar.gz|xxxxxxxxxxxxxxxxx");
    check("${X//q/}|${NO/a/b}|${X/a/$X}", "value||vvaluelue");
    check("${X//*/all}", "all");
}

#[test]
fn wildcards_do_not_cross_lines() {
    check("${LINES/o*e/-}", "-\ntwo\nthree");
    check("${LINES##*e}", "\ntwo\nthree");
    check("${LINES//t*/-}", "one\n-\n-");
}

#[test]
fn bad_substitutions_are_refused_by_name() {
    check_error("${", "${: a `}` is missing");
    check_error("${X", "${X: a `}` is missing");
    check_error("${X:-a", "${X: a `}` is missing");
    check_error("${X/a}", "${X: a `/` is missing");
    check_error("${}", "bad substitution: ${} has no variable name");
    check_error("${X=a}", "${X=…} is not a substitution that Dockerfiles have");
    check_error("${X:#a}", "${X:#…} is not a substitution that Dockerfiles have");
    check_error(r"${X#\a}", r"${X…}: pattern `\a` has a bad escape, only \* \? \\ \/ and \} exist");
    check_error("'a", "a ' is not closed");
    check_error("${X:-\"a}", "a \" is not closed");
}

#[test]
fn words_split_where_nothing_quotes() {
    check_words("a  b\tc", &["a", "b", "c"]);
    check_words("x$BLANKS-y", &["x", "a", "b", "-y"]);
    check_words("x\"$BLANKS\"y \"\" ''", &["x a  b y"]);
    check_words(r"a\ b 'c d'", &["a b", "c d"]);
    check_words("80${NO:-81} ${NO}", &["8081"]);
}

#[test]
fn a_heredoc_body_keeps_its_quotes() {
    assert_eq!(body("'$X' \"$X\" it's \\$X\n", &env).unwrap(), "'value' \"value\" it's $X\n");
}

#[test]
fn what_is_added_has_a_limit() {
    let big = |_: &str| Some("x".repeat(MAX_EXPANDED_BYTES / 2 + 1));
    assert!(word("$A", Escape::Backslash, &big).is_ok());
    let error = word("$A$B", Escape::Backslash, &big).unwrap_err();
    assert_eq!(error, ExpandError::TooLarge { name: "B".into() });
    let many = |_: &str| Some("x".repeat(1 << 16));
    let error = word("${A//x/$A}", Escape::Backslash, &many).unwrap_err();
    assert_eq!(error, ExpandError::TooLarge { name: "A".into() });
}

#[test]
fn substitutions_have_a_depth() {
    let nested = |depth: usize| format!("{}x{}", "${A:-".repeat(depth), "}".repeat(depth));
    check(&nested(MAX_DEPTH), "x");
    let error = word(&nested(MAX_DEPTH + 1), Escape::Backslash, &env).unwrap_err();
    assert_eq!(error, ExpandError::TooDeep { name: "A".into() });
    assert!(word(&"${A:-".repeat(1 << 20), Escape::Backslash, &env).is_err());
}

#[test]
fn a_pattern_that_takes_too_long_is_refused() {
    let slow = |_: &str| Some("a".repeat(1 << 20));
    let pattern = format!("${{A/*{}b/}}", "a".repeat(1 << 10));
    assert!(matches!(word(&pattern, Escape::Backslash, &slow), Err(ExpandError::PatternTooCostly { .. })));
}
