use super::*;

#[track_caller]
fn check(text: &str, problem: &str) {
    let error = RepoFile::parse("x.repo", text.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), problem);
}

fn entry(key: &str, value: &str, line: usize) -> Entry {
    Entry { key: key.into(), value: value.into(), line }
}

#[test]
fn keys_keep_their_order_and_unknown_ones_stay() {
    let text = "# comment\n\n[my-repo]\nname=My repo - $basearch\nzzz = 1\nbaseurl=https://a.example/$releasever/\n  https://b.example/\n; more\nenabled=0\ngpgcheck = yes\n";
    let file = RepoFile::parse("x.repo", text.as_bytes()).unwrap();
    let entries = vec![
        entry("name", "My repo - $basearch", 4),
        entry("zzz", "1", 5),
        entry("baseurl", "https://a.example/$releasever/\nhttps://b.example/", 6),
        entry("enabled", "0", 9),
        entry("gpgcheck", "yes", 10),
    ];
    assert_eq!(file.sections, [Section { id: "my-repo".into(), line: 3, entries }]);
    let repo = &file.sections[0];
    assert_eq!(repo.base_urls(), ["https://a.example/$releasever/", "https://b.example/"]);
    assert!(!repo.is_enabled());
    assert_eq!(repo.gpgcheck(), Some(true));
}

#[test]
fn a_repository_is_enabled_unless_it_says_otherwise() {
    let file = RepoFile::parse("x", b"\xef\xbb\xbf[a]\r\nmetalink=https://m.example/?a=b&c=d\r\n").unwrap();
    assert!(file.sections[0].is_enabled());
    assert_eq!(file.sections[0].gpgcheck(), None);
    assert_eq!(file.sections[0].value("metalink"), Some("https://m.example/?a=b&c=d"));
}

#[test]
fn main_is_not_a_repository() {
    let file = RepoFile::parse("x", b"[main]\ngpgcheck=1\n[a]\nmirrorlist=https://m.example/\n").unwrap();
    assert_eq!(file.repositories().map(|repo| repo.id.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn a_mistake_is_reported_with_file_and_line() {
    check("", "x.repo:1: no repository in the file; it needs a section such as [my-repo]");
    check("[a\nbaseurl=x", "x.repo:1: section header is not of the form [id]");
    check("\n[a] b\n", "x.repo:2: section header is not of the form [id]");
    check("[a b]\nbaseurl=x", "x.repo:1: \"a b\" is not a repository id: letters, digits and -_.: are allowed");
    check("[a]\nbaseurl=x\n[a]\n", "x.repo:3: repository [a] occurs twice");
    check("baseurl=x\n[a]\n", "x.repo:1: line is outside of a section such as [my-repo]");
    check("[a]\nbaseurl=x\nenabled\n", "x.repo:3: line is not of the form key=value");
    check("[a]\n=x\n", "x.repo:2: line is not of the form key=value");
    check("[a]\n  more\n", "x.repo:2: line is not of the form key=value");
    check("[a]\nname=x\n", "x.repo:1: repository [a] has none of baseurl, metalink and mirrorlist");
    check(
        "[a]\nbaseurl=x\nenabled=maybe\n",
        "x.repo:3: enabled is \"maybe\"; it must be 1 or 0 (or yes, no, true, false, on, off)",
    );
    check("[a]\nbaseurl=\u{1b}[31m\n", "x.repo:2: repository file is not plain text in UTF-8");
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_line() {
    let error = RepoFile::parse("x", b"[a]\nbaseurl=\xff\n").unwrap_err();
    assert_eq!((error.line, error.problem), (2, Problem::NotText));
    let error = RepoFile::parse("x", &vec![b'#'; MAX_BYTES + 1]).unwrap_err();
    assert_eq!((error.line, error.problem), (1, Problem::TooLarge));
}

#[test]
fn no_cut_or_flipped_byte_makes_the_parser_panic() {
    let text = "[a]\nname=Ü\nbaseurl=http://x/\n\ty\n#\n[b]\nmetalink=z\n".as_bytes();
    for at in 0..text.len() {
        for bit in 0..8 {
            let mut changed = text.to_vec();
            changed[at] ^= 1 << bit;
            // Any answer will do.
            drop(RepoFile::parse("x", &changed));
        }
        drop(RepoFile::parse("x", &text[..at]));
    }
}
