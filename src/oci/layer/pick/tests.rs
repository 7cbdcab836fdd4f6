use super::*;
use crate::layer::tar_write::{Entry, EntryKind};
use crate::layer::testing::{Tar, entry};

fn picked(layers: Vec<Tar>) -> BTreeMap<PathBuf, PickedFile> {
    let directory = tempfile::tempdir().unwrap();
    let mut picker = Picker::new(directory.path(), PickLimits::default(), |path| path.starts_with("var/lib/rpm"));
    for layer in layers {
        picker.layer(layer.end().as_slice()).unwrap();
    }
    let files = picker.finish();
    // Contents instead of paths: the directory does not outlive this function.
    let read = |file: PickedFile| match file {
        PickedFile::Regular { content, size, mode } => {
            let text = fs::read_to_string(content).unwrap();
            assert_eq!(text.len() as u64, size);
            PickedFile::Regular { content: text.into(), size, mode }
        }
        other @ (PickedFile::Symlink { .. } | PickedFile::Directory | PickedFile::Special) => other,
    };
    files.into_iter().map(|(path, file)| (path, read(file))).collect()
}

#[track_caller]
fn check(layers: Vec<Tar>, expected: &[(&str, &str)]) {
    let regular =
        |content: &str| PickedFile::Regular { content: content.into(), size: content.len() as u64, mode: 0o644 };
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(path, content)| (Path::new("var/lib/rpm").join(path), regular(content))).collect();
    assert_eq!(picked(layers), expected);
}

fn base() -> Tar {
    Tar::default().file("var/lib/rpm/a", "1").file("./var/lib//rpm/b", "2").file("etc/passwd", "no")
}

#[test]
fn only_wanted_files_are_picked() {
    check(vec![base()], &[("a", "1"), ("b", "2")]);
}

#[test]
fn later_layers_replace_and_hide() {
    check(vec![base(), Tar::default().file("var/lib/rpm/a", "new").file("var/lib/rpm/.wh.b", "")], &[("a", "new")]);
    check(vec![base(), Tar::default().file("var/.wh.lib", "")], &[]);
    check(vec![base(), Tar::default().file(".wh..wh..opq", "")], &[]);
    check(vec![base(), Tar::default().file("var/lib/rpm/.wh..wh..opq", "").file("var/lib/rpm/c", "3")], &[("c", "3")]);
    check(vec![base(), Tar::default().file("var/lib/rpm/c", "3").file("var/lib/rpm/.wh..wh..opq", "")], &[("c", "3")]);
    check(vec![base(), Tar::default().file("var/lib/rpm/a", "3").file("var/.wh.lib", "")], &[("a", "3")]);
    check(
        vec![base(), Tar::default().file("var/lib/rpm/.wh..wh.plnk", "").directory("var/lib")],
        &[("a", "1"), ("b", "2")],
    );
}

#[test]
fn a_file_in_place_of_a_directory_hides_what_was_in_it() {
    check(vec![base(), Tar::default().file("var/lib", "a file")], &[]);
    check(vec![base(), Tar::default().symlink("var", "other")], &[]);
}

#[test]
fn hard_links_share_the_content_of_their_target() {
    let tar = || base().hard_link("var/lib/rpm/c", "/var/lib/rpm/a").hard_link("var/lib/rpm/d", "etc/passwd");
    check(vec![tar()], &[("a", "1"), ("b", "2"), ("c", "1")]);
    check(vec![tar(), Tar::default().file("var/lib/rpm/a", "new")], &[("a", "new"), ("b", "2"), ("c", "1")]);
}

#[test]
fn what_is_no_file_is_named_as_such() {
    let tar = Tar::default().symlink("var/lib/rpm", "../../usr/lib/sysimage/rpm").directory("var/lib/rpm/d");
    let files = picked(vec![tar.add(&entry("var/lib/rpm/p", EntryKind::Fifo), b"")]);
    let expected = [
        ("var/lib/rpm", PickedFile::Symlink { target: "../../usr/lib/sysimage/rpm".into() }),
        ("var/lib/rpm/d", PickedFile::Directory),
        ("var/lib/rpm/p", PickedFile::Special),
    ];
    assert_eq!(files, expected.map(|(path, file)| (path.into(), file)).into());
}

#[test]
fn limits_hold() {
    let directory = tempfile::tempdir().unwrap();
    let limits = PickLimits { picked_bytes: 3, picked_files: 2, ..PickLimits::default() };
    let pick = |tar: Tar| Picker::new(directory.path(), limits.clone(), |_: &Path| true).layer(tar.end().as_slice());
    let error = pick(Tar::default().file("a", "12").file("b", "34")).unwrap_err().to_string();
    assert_eq!(error, "b: with this file more than 3 bytes would be read out of the image");
    let error = pick(Tar::default().file("a", "").file("b", "").file("c", "")).unwrap_err().to_string();
    assert_eq!(error, "c: with this file more than 2 files would be read out of the image");
    let huge = Entry { mode: 0, ..entry("a", EntryKind::Regular { size: 1 << 40 }) };
    assert!(matches!(pick(Tar::default().add(&huge, b"")), Err(PickError::Archive(ArchiveError::Limit { .. }))));
}
