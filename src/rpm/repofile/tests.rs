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
            check_any(&changed);
        }
        check_any(&text[..at]);
    }
}

/// Whatever the bytes: no panic, one reader for both ways, and what is read is written so that it reads the same.
#[track_caller]
fn check_any(bytes: &[u8]) {
    let (lenient, notes) = RepoFile::parse_lenient("x", bytes);
    match RepoFile::parse("x", bytes) {
        Ok(file) => {
            assert_eq!(RepoFile::parse("x", file.to_text().as_bytes()).unwrap(), file);
            assert_eq!((file, &notes[..]), (lenient, &[][..]));
        }
        Err(error) => assert_eq!(error, notes[0]),
    }
}

fn sample(name: &str) -> RepoFile {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/rpm/repository-files");
    let bytes = std::fs::read(format!("{folder}/{name}")).unwrap();
    check_any(&bytes);
    RepoFile::parse(name, &bytes).unwrap()
}

#[test]
fn files_as_distributions_ship_them_are_read_and_written() {
    let ids = |name| sample(name).sections.into_iter().map(|section| section.id).collect::<Vec<_>>();
    assert_eq!(ids("fedora.repo"), ["fedora", "fedora-debuginfo"]);
    assert_eq!(ids("redhat.repo"), ["rhel-9-for-x86_64-baseos-rpms"]);
    assert_eq!(ids("ubi.repo"), ["ubi-9-baseos-rpms", "ubi-9-codeready-builder-rpms"]);
    assert_eq!(ids("centos.repo"), ["baseos", "crb", "base7"]);
    assert_eq!(ids("epel.repo"), ["epel", "copr:copr.fedora.example:group_tools:thing"]);
    assert_eq!(sample("redhat.repo").sections[0].value("proxy"), Some(""));
    let keys = "https://download.copr.example/results/@tools/thing";
    let expected = [format!("{keys}/pubkey.gpg"), format!("{keys}/old.gpg")];
    assert_eq!(sample("epel.repo").sections[1].values("gpgkey"), expected);
}

#[test]
fn a_file_is_written_with_everything_on_its_line() {
    let text = "# comment\n[a]\nbaseurl =\n  http://x/\n\thttp://y/\n# more\n\n[main]\nz=\n";
    let mut file = RepoFile::parse("x", text.as_bytes()).unwrap();
    assert_eq!(file.to_text(), "\n[a]\nbaseurl=\n http://x/\n http://y/\n\n\n[main]\nz=\n");
    file.sections[0].entries.push(entry("proxy", "http://gateway/\n[evil]\r\n", 0));
    let changed = RepoFile::parse("x", file.to_text().as_bytes()).unwrap();
    assert_eq!(changed.sections.len(), 2);
    assert_eq!(changed.sections[0].value("proxy"), Some("http://gateway/\n[evil]"));
}

#[test]
fn a_list_is_split_at_spaces_commas_and_lines() {
    let file = RepoFile::parse("x", b"[a]\nbaseurl=http://x/, http://y/\n  http://z/,\n").unwrap();
    assert_eq!(file.sections[0].values("baseurl"), ["http://x/", "http://y/", "http://z/"]);
    assert_eq!(file.sections[0].values("gpgkey"), [""; 0]);
}

#[test]
fn a_file_with_only_main_is_a_file() {
    let file = RepoFile::parse("dnf.conf", b"[main]\ngpgcheck=True\nbest=False\n").unwrap();
    assert_eq!((file.sections.len(), file.repositories().count()), (1, 0));
}

#[track_caller]
fn check_lenient(bytes: &[u8], left: &str, notes: &[&str]) {
    let (file, found) = RepoFile::parse_lenient("x", bytes);
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!((file.to_text().trim_start(), found), (left, notes.iter().map(ToString::to_string).collect()));
}

#[test]
fn a_lenient_reader_leaves_out_only_what_it_cannot_understand() {
    let source = "x:1: repository [a] has none of baseurl, metalink and mirrorlist";
    check_lenient(b"[a]\nname=x\n", "[a]\nname=x\n", &[source]);
    let switch = "x:3: enabled is \"maybe\"; it must be 1 or 0 (or yes, no, true, false, on, off)";
    check_lenient(b"[a]\nbaseurl=x\nenabled=maybe\n", "[a]\nbaseurl=x\nenabled=maybe\n", &[switch]);
    let key = "x:2: line is not of the form key=value";
    check_lenient(b"[a]\nnothing\n more\nbaseurl=x\n", "[a]\n\n\nbaseurl=x\n", &[key]);
    let text = "x:2: repository file is not plain text in UTF-8";
    check_lenient(b"[a]\nname=D\xe9p\xf4t\nbaseurl=x\n", "[a]\n\nbaseurl=x\n", &[text]);
    let id = "x:1: \"a b\" is not a repository id: letters, digits and -_.: are allowed";
    check_lenient(b"[a b]\nbaseurl=x\n y\n[c]\nbaseurl=z\n", "[c]\nbaseurl=z\n", &[id]);
    let twice = "x:3: repository [a] occurs twice";
    check_lenient(b"[a]\nbaseurl=x\n[a]\nbaseurl=y\n", "[a]\nbaseurl=x\n\nbaseurl=y\n", &[twice]);
    check_lenient(
        b"a=b\n",
        "",
        &[
            "x:1: line is outside of a section such as [my-repo]",
            "x:1: no repository in the file; it needs a section such as [my-repo]",
        ],
    );
    check_lenient(&vec![b'#'; MAX_BYTES + 1], "", &["x:1: repository file is larger than 1048576 bytes"]);
    let (_, notes) = RepoFile::parse_lenient("x", "a\n".repeat(1000).as_bytes());
    assert_eq!(notes.len(), 100);
}
