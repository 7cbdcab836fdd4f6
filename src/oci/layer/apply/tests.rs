use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::layer::tar_write::{Entry, EntryKind};
use crate::layer::testing::{Tar, entry, is_root, open, own_ids, tree};

/// A directory with the layer's root in it and something beside it that must stay as it is.
struct World {
    directory: TempDir,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        fs::write(directory.path().join("outside"), "untouched").unwrap();
        Self { directory }
    }

    fn root(&self) -> std::path::PathBuf {
        self.directory.path().join("root")
    }

    fn apply(&self, tar: &[u8]) -> Result<Applied, ApplyError> {
        self.apply_with(tar, &ApplyOptions::default())
    }

    fn apply_with(&self, tar: &[u8], options: &ApplyOptions) -> Result<Applied, ApplyError> {
        let result = apply(tar, open(&self.root()).as_fd(), options);
        assert_eq!(fs::read_to_string(self.directory.path().join("outside")).unwrap(), "untouched");
        assert_eq!(fs::read_dir(self.directory.path()).unwrap().count(), 2, "something was made outside the root");
        result
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn is_whiteout(&self, path: &str) -> bool {
        self.root()
            .join(path)
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.mode() & 0o170_000 == 0o020_000 && metadata.rdev() == 0)
    }

    fn is_opaque(&self, path: &str) -> bool {
        let value = files::xattr(open(&self.root().join(path)), b"user.overlay.opaque").unwrap();
        value.as_deref() == Some(b"y")
    }
}

fn applied(tar: Tar) -> (World, Applied) {
    let world = World::new();
    let applied = world.apply(&tar.end()).unwrap();
    (world, applied)
}

#[track_caller]
fn refused(tar: Tar, message: &str) {
    let world = World::new();
    assert_eq!(world.apply(&tar.end()).unwrap_err().to_string(), message);
}

#[test]
fn names_that_climb_or_are_absolute_stay_inside() {
    let (world, _) = applied(Tar::default().file("../outside", "1").file("a/../../../outside2", "2"));
    assert_eq!((world.read("outside"), world.read("outside2")), ("1".to_owned(), "2".to_owned()));
    let (world, _) = applied(Tar::default().raw(b'0', b"/etc/passwd", 2, |_| {}).content(b"hi"));
    assert_eq!(world.read("etc/passwd"), "hi");
}

#[test]
fn writing_through_a_symlink_stays_inside() {
    let up = "../../../../../../..";
    let tar = Tar::default().symlink("up", up).symlink("abs", "/").file("up/outside", "1").file("abs/etc/x", "2");
    let (world, _) = applied(tar);
    assert_eq!((world.read("outside"), world.read("etc/x")), ("1".to_owned(), "2".to_owned()));
}

#[test]
fn a_file_that_replaces_a_symlink_does_not_follow_it() {
    let (world, _) = applied(Tar::default().symlink("f", "../outside").file("f", "new"));
    assert_eq!(world.read("f"), "new");
    assert!(world.root().join("f").symlink_metadata().unwrap().is_file());
}

#[test]
fn a_directory_that_became_a_symlink_leads_inside() {
    let tar = Tar::default().directory("d").file("d/a", "1").symlink("d", "/other").directory("other").file("d/b", "2");
    let (world, _) = applied(tar);
    assert_eq!(world.read("other/b"), "2");
    assert!(!world.root().join("other/a").exists());
}

#[test]
fn a_directory_replaces_a_symlink_to_a_directory() {
    let (world, _) = applied(Tar::default().directory("a").symlink("l", "a").directory("l").file("l/f", "x"));
    assert!(world.root().join("l").symlink_metadata().unwrap().is_dir());
    assert!(!world.root().join("a/f").exists());
}

#[test]
fn hard_links_are_relative_to_the_root() {
    let tar = Tar::default().file("etc/a", "x").hard_link("b", "/etc/a").symlink("s", "nowhere").hard_link("t", "s");
    let (world, _) = applied(tar);
    assert_eq!(world.root().join("b").metadata().unwrap().nlink(), 2);
    assert_eq!(fs::read_link(world.root().join("t")).unwrap(), Path::new("nowhere"));
}

#[test]
fn a_hard_link_to_what_is_outside_is_missing() {
    let message = "l: the tar has this as a hard link to outside, which it does not hold before it";
    refused(Tar::default().hard_link("l", "../outside"), message);
    refused(Tar::default().symlink("up", "..").hard_link("l", "up/../outside"), message);
    let message = "l: the tar has this as a hard link to up/outside, which it does not hold before it";
    refused(Tar::default().symlink("up", "..").hard_link("l", "up/outside"), message);
}

#[test]
fn a_hard_link_to_itself_changes_nothing() {
    let (world, _) =
        applied(Tar::default().file("a", "x").hard_link("a", "./a").hard_link("b", "a").hard_link("b", "a"));
    assert_eq!((world.read("a"), world.root().join("b").metadata().unwrap().nlink()), ("x".to_owned(), 2));
}

#[test]
fn a_hard_link_to_a_directory_is_refused() {
    let world = World::new();
    let error = world.apply(&Tar::default().directory("d").hard_link("l", "d").end()).unwrap_err();
    assert!(matches!(error, ApplyError::Hardlink { .. }), "{error}");
}

#[test]
fn whiteouts_take_overlayfs_form() {
    let tar = Tar::default().directory("d").file("d/.wh.gone", "").directory("o").file("o/.wh..wh..opq", "");
    let (world, applied) = applied(tar.file("o/new", "x").file(".wh..wh.plnk", "").file("deep/.wh..wh..opq", ""));
    assert!(world.is_whiteout("d/gone") && world.is_opaque("o") && world.is_opaque("deep") && !world.is_opaque("d"));
    assert_eq!(applied.implied_directories, [Path::new("deep")]);
    assert!(!applied.root_is_opaque);
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 3);
}

#[test]
fn an_opaque_root_is_reported() {
    let (_, applied) = applied(Tar::default().file(".wh..wh..opq", ""));
    assert!(applied.root_is_opaque);
}

#[test]
fn a_whiteout_hides_lower_layers_only() {
    let tar = Tar::default().file(".wh.f", "").file("f", "1").file("g", "2").file(".wh.g", "").directory("d");
    let tar =
        tar.file("d/in", "3").file(".wh.d", "").file(".wh.e", "").directory("e").file(".wh.i", "").file("i/j", "4");
    let (world, _) = applied(tar);
    assert_eq!(["f", "g", "d/in", "i/j"].map(|path| world.read(path)), ["1", "2", "3", "4"]);
    assert!(world.is_opaque("d") && world.is_opaque("e") && world.is_opaque("i"));
}

#[test]
fn strange_whiteouts_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..", ".wh.a/b"] {
        let message = format!("{name}: the tar has a whiteout of this name, which hides nothing a layer may hide");
        refused(Tar::default().file(name, ""), &message);
    }
    let (world, _) = applied(Tar::default().file(".wh..wh.plnk/1.2", "x").file("x/.wh.../../y", ""));
    assert_eq!(fs::read_dir(world.root()).unwrap().count(), 1, "cleaning comes before looking for whiteouts");
}

#[test]
fn modes_times_and_attributes_arrive() {
    let tar = Tar::default().pax(&[
        ("mtime", b"-1.25"),
        ("SCHILY.xattr.user.a", b"1\n\0="),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.stratum.owner", b"0:0"),
        ("SCHILY.xattr.trusted.x", b"y"),
    ]);
    let tar = tar.add(&Entry { mode: 0o4751, ..entry("f", EntryKind::Regular { size: 1 }) }, b"x");
    let tar = tar.add(&Entry { mode: 0o555, ..entry("d", EntryKind::Directory) }, b"").file("d/in", "y");
    let (world, _) = applied(tar.add(&entry("p", EntryKind::Fifo), b""));
    let (uid, gid) = own_ids();
    let expected = [
        ("d", format!("directory 555 {uid}:{gid} 1000000000.000000000")),
        ("d/in", format!("`y` 644 {uid}:{gid} 1000000000.000000000")),
        ("f", format!("`x` user.a=1\\n\\x00= 4751 {uid}:{gid} -2.750000000")),
        ("p", format!("fifo 644 {uid}:{gid} 1000000000.000000000")),
    ];
    let expected: BTreeMap<_, _> = expected.into_iter().map(|(path, line)| (path.to_owned(), line)).collect();
    assert_eq!(tree(&world.root()), expected);
}

#[test]
fn the_root_itself_may_have_an_entry() {
    let tar = Tar::default().raw(b'5', b"./", 0, |header| header.set_mode(0o750)).file("a", "");
    let (world, _) = applied(tar);
    assert_eq!(world.root().metadata().unwrap().permissions().mode() & 0o7777, 0o750);
    assert_eq!(world.root().metadata().unwrap().mtime(), 1);
    refused(
        Tar::default().raw(b'2', b"..", 0, |header| header.set_link_name("/etc").unwrap()),
        "the tar has an entry `..` that would replace the root directory",
    );
}

#[test]
fn owners_are_set() {
    if !is_root() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let tar = Tar::default()
        .add(&Entry { uid: 12, gid: 34, mode: 0o6711, ..entry("f", EntryKind::Regular { size: 0 }) }, b"");
    let tar = tar.add(&Entry { uid: 3_000_000, ..entry("l", EntryKind::Symlink { target: b"x" }) }, b"");
    let (world, _) = applied(tar);
    let lines = tree(&world.root());
    assert_eq!(lines.get("f").unwrap(), "`` 6711 12:34 1000000000.000000000");
    assert!(lines.get("l").unwrap().contains(" 3000000:0 "));
}

#[test]
fn recorded_owners_are_an_attribute() {
    let world = World::new();
    let owned = |path, kind| Entry { uid: 12, gid: 34, ..entry(path, kind) };
    let tar = Tar::default()
        .add(&owned("f", EntryKind::Regular { size: 0 }), b"")
        .add(&owned("d", EntryKind::Directory), b"");
    let tar = tar.add(&owned("l", EntryKind::Symlink { target: b"x" }), b"");
    let tar = tar.add(&Entry { uid: 0, gid: 0, ..entry("r", EntryKind::Directory) }, b"");
    let options = ApplyOptions { owners: Owners::Recorded, ..ApplyOptions::default() };
    let applied = world.apply_with(&tar.end(), &options).unwrap();
    assert_eq!(applied.unrecorded_owners, 1);
    let lines = tree(&world.root());
    assert!(lines.get("f").unwrap().starts_with("`` user.stratum.owner=12:34 644"));
    assert!(lines.get("d").unwrap().starts_with("directory user.stratum.owner=12:34 755"));
    assert!(lines.get("r").unwrap().starts_with("directory 755"));
    assert_eq!(fs::metadata(world.root().join("f")).unwrap().uid(), own_ids().0);
}

#[test]
fn devices_are_made_or_reported() {
    let device = |path| entry(path, EntryKind::Block { major: 7, minor: 200 });
    let zero = entry("zero", EntryKind::Character { major: 0, minor: 0 });
    let (world, applied) = applied(Tar::default().add(&device("dev/b"), b"").add(&zero, b""));
    assert!(!world.root().join("zero").exists(), "it would be a whiteout");
    let names: Vec<_> = applied.skipped_devices.iter().map(|device| device.path.clone()).collect();
    match world.root().join("dev/b").metadata() {
        Ok(metadata) => assert_eq!((metadata.rdev(), names), (fs_makedev(), vec!["zero".into()])),
        Err(_) => assert_eq!(names, [Path::new("dev/b"), Path::new("zero")]),
    }
}

fn fs_makedev() -> u64 {
    rustix::fs::makedev(7, 200)
}

#[test]
fn long_names_and_names_that_are_not_text_arrive() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(250));
    let tar = Tar::default().file(&long, "1").raw(b'0', b"caf\xe9", 1, |_| {}).content(b"2");
    let gnu = "g".repeat(180);
    let tar = tar.raw(b'L', b"././@LongLink", 181, |_| {}).content(format!("{gnu}\0").as_bytes());
    let tar = tar.raw(b'0', b"short", 1, |_| {}).content(b"3");
    let (world, _) = applied(tar);
    assert_eq!((world.read(&long), world.read(&gnu)), ("1".to_owned(), "3".to_owned()));
    assert!(tree(&world.root()).contains_key("caf\\xe9"));
}

#[test]
fn names_the_kernel_cannot_take_are_named() {
    let part = format!("{}/", "a".repeat(200));
    let long = part.repeat(21);
    let message = format!("{long}x: the tar has an entry of this name, which cannot be used: it is too long");
    refused(Tar::default().file(&format!("{long}x"), ""), &message);
    let deep = "a/".repeat(300);
    let message = "l: the tar has a symlink here whose target cannot be used: it leads through too many directories";
    refused(Tar::default().symlink("l", &deep), message);
    refused(
        Tar::default().pax(&[("path", b"a\0b")]).file("c", ""),
        "the tar is malformed at byte 1536: a name with a NUL byte",
    );
}

#[test]
fn files_do_not_go_through_files() {
    refused(Tar::default().file("a", "").file("a/b", ""), "a: the tar puts files into this, but it is not a directory");
    refused(
        Tar::default().symlink("a", "loop").symlink("loop", "a").file("a/b", ""),
        "a: cannot open the directory: Too many levels of symbolic links (os error 40)",
    );
    refused(
        Tar::default().symlink("a", "nowhere").file("a/b", ""),
        "a: the tar puts files into this, but it is not a directory",
    );
}

#[test]
fn a_deep_tree_is_removed_without_recursion() {
    let part = "d/".repeat(200);
    let mut tar = Tar::default();
    // Each symlink leads two hundred levels deeper than the one before: deeper in the end than a path can name.
    for level in 0..12 {
        let inside = if level == 0 { String::new() } else { format!("s{}/", level - 1) };
        let target = format!("{inside}{part}").trim_end_matches('/').to_owned();
        tar = tar.directory(&target).symlink(&format!("s{level}"), &target);
    }
    let (world, _) = applied(tar.file("d", "gone"));
    assert_eq!(world.read("d"), "gone");
}

#[test]
fn limits_hold() {
    let world = World::new();
    let with = |limits| ApplyOptions { limits, ..ApplyOptions::default() };
    let few = with(Limits { entries: 10, ..Limits::default() });
    let many = (0..11).fold(Tar::default(), |tar, at| tar.file(&at.to_string(), "")).end();
    assert_eq!(world.apply_with(&many, &few).unwrap_err().to_string(), "the tar has more than 10 entries");
    let small = with(Limits { unpacked_bytes: 5, ..Limits::default() });
    let large = Tar::default().file("a", "abc").file("b", "def").end();
    let message = "the tar has more than 5 bytes in its files";
    assert_eq!(world.apply_with(&large, &small).unwrap_err().to_string(), message);
    let forgetful = with(Limits { remembered_bytes: 500, ..Limits::default() });
    let directories = (0..11).fold(Tar::default(), |tar, at| tar.directory(&at.to_string())).end();
    assert!(matches!(world.apply_with(&directories, &forgetful), Err(ApplyError::Remembered { limit: 500 })));
}

#[test]
fn a_sparse_bomb_stops_at_the_limit_and_costs_nothing_below_it() {
    let size = 10_u64 << 30;
    let text = size.to_string();
    let records = [
        ("GNU.sparse.major", &b"1"[..]),
        ("GNU.sparse.minor", b"0"),
        ("GNU.sparse.name", b"hole"),
        ("GNU.sparse.realsize", text.as_bytes()),
    ];
    let map = format!("1\n{}\n3\n", size - 3);
    let tar =
        Tar::default().pax(&records).raw(b'0', b"x", 512 + 3, |_| {}).content(map.as_bytes()).content(b"end").end();
    let world = World::new();
    let limits = Limits { unpacked_bytes: 1 << 30, ..Limits::default() };
    let options = ApplyOptions { limits, ..ApplyOptions::default() };
    assert!(world.apply_with(&tar, &options).is_err());
    let world = World::new();
    world.apply(&tar).unwrap();
    let metadata = world.root().join("hole").metadata().unwrap();
    assert_eq!((metadata.len(), metadata.blocks() < 1000), (size, true));
}

#[test]
fn a_directory_that_is_gone_gets_no_metadata() {
    let tar = Tar::default().directory("a").directory("a/b").file("a", "x").directory("c").symlink("a", "c");
    let tar = tar.add(&Entry { mtime: 5, ..entry("c", EntryKind::Directory) }, b"");
    let (world, _) = applied(tar);
    assert_eq!(world.root().join("c").metadata().unwrap().mtime(), 5);
}
