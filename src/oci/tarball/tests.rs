use std::fs;
use std::io::{Read as _, Write as _};

use super::*;

/// A tar of these entries: name, type flag, link or content.
fn tar(entries: &[(&str, u8, &str)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, flag, text) in entries {
        let mut header = ::tar::Header::new_ustar();
        let is_file = matches!(flag, b'0');
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkflag = [*flag];
        if !is_file {
            old.linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(if is_file { text.len() as u64 } else { 0 });
        header.set_cksum();
        tar.extend_from_slice(header.as_bytes());
        if is_file {
            tar.extend_from_slice(text.as_bytes());
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
    }
    tar.extend_from_slice(&[0; 1024]);
    tar
}

fn index(bytes: &[u8]) -> Result<Tarball, TarballError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Tarball::index(Path::new("a.tar"), file)
}

#[track_caller]
fn check_refused(entries: &[(&str, u8, &str)], message: &str) {
    assert_eq!(index(&tar(entries)).unwrap_err().to_string(), message);
}

fn text(tarball: &Tarball, name: &str) -> String {
    let mut text = String::new();
    tarball.part(name).unwrap().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn files_are_found_by_name_however_it_is_written() {
    let tarball = index(&tar(&[("./a//b", b'0', "1"), ("c", b'5', ""), ("d", b'0', "")])).unwrap();
    assert_eq!((text(&tarball, "a/b").as_str(), text(&tarball, "./a/b").as_str()), ("1", "1"));
    assert_eq!(text(&tarball, "d"), "");
    assert!(tarball.part("x").unwrap().is_none());
    assert!(tarball.part("../a/b").unwrap().is_none());
    assert_eq!(
        tarball.part("c").unwrap_err().to_string(),
        "a.tar: the entry `c` is a directory, which no image archive has"
    );
}

#[test]
fn a_link_is_followed_once_and_only_inside() {
    let entries = [
        ("x/layer.tar", b'2', "../l.tar"),
        ("y", b'1', "l.tar"),
        ("l.tar", b'0', "layer"),
        ("out", b'2', "../../etc/passwd"),
        ("absolute", b'2', "/l.tar"),
        ("twice", b'2', "y"),
        ("gone", b'2', "nothing"),
    ];
    let tarball = index(&tar(&entries)).unwrap();
    assert_eq!((text(&tarball, "x/layer.tar"), text(&tarball, "y")), ("layer".to_owned(), "layer".to_owned()));
    for (name, target) in [("out", "../../etc/passwd"), ("absolute", "/l.tar"), ("twice", "y"), ("gone", "nothing")] {
        let message = format!("a.tar: the entry `{name}` is a link to `{target}`, which is no file of the archive");
        assert_eq!(tarball.part(name).unwrap_err().to_string(), message);
    }
}

#[test]
fn names_that_mean_different_things_to_readers_are_refused() {
    let leads_out = "a.tar: the entry `a/../b` has a name that cannot be used: it leads out of its directory";
    check_refused(&[("a/../b", b'0', "")], leads_out);
    check_refused(&[("a", b'0', "1"), ("./a", b'0', "2")], "a.tar: the entry `./a` is there twice");
    check_refused(&[("a", b'5', ""), ("a", b'0', "2")], "a.tar: the entry `a` is there twice");
    let device = "a.tar: the entry `a` is a device or a pipe, which no image archive has";
    check_refused(&[("a", b'6', "")], device);
    assert!(index(&tar(&[("a", b'5', ""), ("a", b'5', "")])).is_ok());
}

#[test]
fn a_tar_that_is_cut_short_says_in_which_entry() {
    let whole = tar(&[("a", b'0', "1"), ("b", b'0', &"x".repeat(2000))]);
    let error = index(&whole[..1024 + 512 + 1000]).unwrap_err().to_string();
    assert_eq!(error, "a.tar: the tar ends before its entry `b` does: it is cut short");
    let mut damaged = whole;
    damaged[0] = b'z';
    assert!(index(&damaged).unwrap_err().to_string().contains("the checksum of a header is wrong"));
}

#[test]
fn more_names_than_any_image_has_are_refused() {
    let mut bytes = Vec::new();
    for number in 0..=LIMITS.entries {
        let one = tar(&[(&number.to_string(), b'5', "")]);
        bytes.extend_from_slice(&one[..512]);
    }
    assert!(index(&bytes).unwrap_err().to_string().contains("more than 100000 entries"));
}

#[test]
fn what_is_written_is_sorted_dated_1970_and_read_by_others() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("layer");
    fs::write(&file, vec![b'x'; 700]).unwrap();
    let entries = || {
        let part = Part::whole(Arc::new(File::open(&file).unwrap())).unwrap();
        BTreeMap::from([
            ("b".to_owned(), Content::Bytes(b"2".to_vec())),
            ("a/".to_owned(), Content::Directory),
            ("a/l".to_owned(), Content::Symlink("../b".to_owned())),
            ("c".to_owned(), Content::Part(part)),
        ])
    };
    let (mut once, mut again) = (Vec::new(), Vec::new());
    write(entries(), &mut once).unwrap();
    write(entries(), &mut again).unwrap();
    assert_eq!(once, again);
    let mut archive = ::tar::Archive::new(once.as_slice());
    let names = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        assert_eq!(entry.header().mtime().unwrap(), 0);
        entry.path().unwrap().display().to_string()
    });
    assert_eq!(names.collect::<Vec<_>>(), ["a/", "a/l", "b", "c"]);
    let tarball = index(&once).unwrap();
    assert_eq!((text(&tarball, "a/l").as_str(), text(&tarball, "c").len()), ("2", 700));
}
