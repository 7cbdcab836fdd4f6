//! Tests of manual pages.

use super::*;

const NAMES: Names<'static> = Names { name: "ns/app", maintainer: "Ada <ada@example>", epoch: 1_795_219_200 };

#[track_caller]
fn check(markdown: &str, expected: &str) {
    let made = page(markdown, NAMES);
    let (_, body) = made.split_once(".TH ").unwrap().1.split_once('\n').unwrap();
    assert_eq!(body, expected);
}

#[track_caller]
fn header(markdown: &str, expected: &str) {
    let made = page(markdown, NAMES);
    assert_eq!(made.lines().nth(2).unwrap(), format!(".TH {expected}"));
}

#[test]
fn a_page_without_a_title_is_named_after_the_image() {
    header("# NAME\n", "\"ns/app\" \"1\" \"November 21, 2026\" \"Ada <ada@example>\" \"Container Image Pages\"");
    header("", "\"ns/app\" \"1\" \"November 21, 2026\" \"Ada <ada@example>\" \"Container Image Pages\"");
}

#[test]
fn a_title_block_has_its_say() {
    let block = "% httpd (1) Container \"Image\" Pages\n% Ada\n% May 1, 2020\n# NAME\n";
    header(block, "\"httpd\" \"1\" \"May 1, 2020\" \"Ada\" \"Container \\(dqImage\\(dq Pages\"");
    header("% only\n", "\"only\" \"1\" \"\" \"\" \"\"");
    check(block, ".SH NAME\n");
}

#[test]
fn headings_and_paragraphs() {
    check("# A\n\nb\nc\n\n## D-E\n\n### F\n\ng\n", ".SH A\n.PP\nb\nc\n.SH D\\-E\n.SS F\n.PP\ng\n");
}

#[test]
fn emphasis_nests() {
    check("a *b **c** d* `e-f`\n", ".PP\na \\fIb \\f(BIc\\fI d\\fR \\fBe\\-f\\fR\n");
}

#[test]
fn lists_have_marks_and_nest() {
    let expected = ".IP \\(bu 2\na\n.RS\n.IP \"1.\" 4\nb\n.IP \"2.\" 4\nc\n.RE\n.IP \\(bu 2\nd\n";
    check("* a\n    1. b\n    2. c\n* d\n", expected);
    check("* a\n\n  b\n", ".IP \\(bu 2\na\n.IP\nb\n");
}

#[test]
fn code_is_kept_as_it_is() {
    check("```sh\n.x \\y\n 'z\n```\n", ".PP\n.RS\n.nf\n\\&.x \\ey\n 'z\n.fi\n.RE\n");
    check("    podman run -it\n", ".PP\n.RS\n.nf\npodman run \\-it\n.fi\n.RE\n");
}

#[test]
fn what_looks_like_a_request_is_text() {
    check("a\n.SH b\n'c\n", ".PP\na\n\\&.SH b\n\\&'c\n");
    check("```\n\u{1}.so x\n```\na\n\0'c\n", ".PP\n.RS\n.nf\n\\&.so x\n.fi\n.RE\n.PP\na\n\\&'c\n");
    check("**.b**\n", ".PP\n\\fB\\&.b\\fR\n");
    check("\\e \u{1b}[0m\n", ".PP\n\\ee [0m\n");
}

#[test]
fn links_show_where_they_lead() {
    check("[a](http://x/y) <http://z>\n", ".PP\na \\[la]http://x/y\\[ra] http://z\n");
}

#[test]
fn tables_and_definitions() {
    let table = ".TS\nallbox;\nl l\nl l .\nT{\na\nT}\tT{\nb\nT}\nT{\nc\nT}\tT{\nd\nT}\n.TE\n";
    check("|a|b|\n|-|-|\n|c|d|\n", table);
    check("term\n: what it is\n", ".TP\nterm\nwhat it is\n");
}

#[test]
fn html_is_left_out_and_quotes_are_indented() {
    check("<!-- no -->\n\na <b>c</b>\n\n> d\n", ".PP\na c\n.PP\n.RS\n.PP\nd\n.RE\n");
}

#[test]
fn deep_nesting_is_no_trouble() {
    let made = page(&"> ".repeat(50_000), NAMES);
    assert!(made.starts_with("'\\\" t\n.nh\n.TH"));
    page(&"*".repeat(50_000), NAMES);
    page(&"[".repeat(50_000), NAMES);
}
