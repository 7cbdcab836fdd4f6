use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use dockerfile::ignore::Patterns;

use super::*;

fn tree(directory: &Path, ignore: &str) -> Tree {
    let root = std::fs::File::open(directory).unwrap().into();
    Tree::new(root, Path::new("context"), Some(Patterns::parse(ignore).unwrap()))
}

fn fill(directory: &Path) {
    for folder in ["src/deep", "docs"] {
        std::fs::create_dir_all(directory.join(folder)).unwrap();
    }
    for file in ["a.txt", "b.txt", "src/main.c", "src/deep/x.c", "docs/a.md", "docs/keep.md"] {
        std::fs::write(directory.join(file), file).unwrap();
    }
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.path.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_tree_is_walked_parents_first_and_sorted() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let entries = tree(directory.path(), "").walk(Path::new("")).unwrap();
    let expected =
        ["", "a.txt", "b.txt", "docs", "docs/a.md", "docs/keep.md", "src", "src/deep", "src/deep/x.c", "src/main.c"];
    assert_eq!(names(&entries), expected);
}

#[test]
fn what_is_ignored_is_not_there_and_exceptions_are() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let tree = tree(directory.path(), "docs\n!docs/keep.md\n*.txt\n");
    assert_eq!(
        names(&tree.walk(Path::new("")).unwrap()),
        ["", "docs", "docs/keep.md", "src", "src/deep", "src/deep/x.c", "src/main.c"]
    );
    assert!(matches!(tree.matches("a.txt".as_ref()), Err(TreeError::Ignored { .. })));
}

#[test]
fn a_match_is_seen_for_itself_or_for_what_is_left_below_it() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let found = |ignore: &str, source: &str| {
        let found = tree(directory.path(), ignore).matches(source.as_ref());
        found.map(|paths| paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>())
    };
    assert_eq!(found("*\n!*/keep*\n", "*").unwrap(), ["docs"]);
    assert!(matches!(found("*\n!*/keep*\n", "a.txt"), Err(TreeError::Ignored { .. })));
    assert!(matches!(found("docs\n!docs/none\n", "docs"), Err(TreeError::Ignored { .. })));
}

#[test]
fn a_missing_source_is_named_with_what_comes_near() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let message = |source: &str| tree(directory.path(), "b.txt").matches(source.as_ref()).unwrap_err().to_string();
    assert_eq!(message("src/man.c"), "src/man.c: no such file or directory in context; did you mean src/main.c?");
    assert_eq!(message("nothing"), "nothing: no such file or directory in context");
}

#[test]
fn sources_are_names_or_patterns() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    let tree = tree(directory.path(), "");
    let found = |source: &str| tree.matches(source.as_ref()).unwrap();
    assert_eq!(found("*.txt"), [PathBuf::from("a.txt"), PathBuf::from("b.txt")]);
    assert_eq!(found("/src/../a.txt"), [PathBuf::from("a.txt")]);
    assert_eq!(found("../../a.txt"), [PathBuf::from("a.txt")]);
    assert_eq!(found("**/*.c"), [PathBuf::from("src/deep/x.c"), PathBuf::from("src/main.c")]);
    assert_eq!(found("."), [PathBuf::new()]);
    assert!(matches!(tree.matches("*.none".as_ref()), Err(TreeError::Missing { .. })));
    assert!(matches!(tree.matches("none".as_ref()), Err(TreeError::Missing { .. })));
    assert!(matches!(tree.matches("[".as_ref()), Err(TreeError::Pattern { .. })));
}

#[test]
fn links_that_lead_out_end_inside() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    std::os::unix::fs::symlink("/etc/passwd", directory.path().join("out")).unwrap();
    std::os::unix::fs::symlink("../../../src", directory.path().join("docs/in")).unwrap();
    let tree = tree(directory.path(), "");
    assert!(matches!(tree.open(Path::new("out")), Err(TreeError::Missing { .. })));
    assert_eq!(names(&tree.walk(Path::new("docs/in/deep")).unwrap()), ["docs/in/deep", "docs/in/deep/x.c"]);
}

#[test]
fn odd_files_are_told_apart_and_never_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(directory.path().join("socket")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"n\xffme");
    std::fs::write(directory.path().join(odd), "x").unwrap();
    let fifo = directory.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let tree = tree(directory.path(), "");
    let entries = tree.walk(Path::new("")).unwrap();
    let kinds: Vec<Kind> = entries.into_iter().skip(1).map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Fifo, Kind::File(1), Kind::Socket]);
    assert!(tree.open(Path::new("fifo")).is_err());
    assert!(tree.open(Path::new(odd)).is_ok());
}

#[test]
fn the_time_of_a_context_is_its_newest_files() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path());
    for (name, seconds) in [("a.txt", 1000), ("b.txt", 3000), ("src/main.c", 2000)] {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        std::fs::File::open(directory.path().join(name)).unwrap().set_modified(time).unwrap();
    }
    let some = tree(directory.path(), "docs\nsrc/deep\n");
    assert_eq!(context_time(directory.path(), &some).unwrap(), ContextTime::Newest(3000));
    let fewer = tree(directory.path(), "docs\nsrc/deep\nb.txt\n");
    assert_eq!(context_time(directory.path(), &fewer).unwrap(), ContextTime::Newest(2000));
}
