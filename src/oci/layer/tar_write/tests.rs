use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::layer::Limits;
use crate::layer::archive::{Archive, Kind, Time, Xattr};
use crate::layer::testing::Tar;

fn entry<'a>(path: &'a [u8], kind: EntryKind<'a>) -> Entry<'a> {
    Entry { path, kind, mode: 0o644, uid: 1, gid: 2, mtime: 3, xattrs: &[] }
}

#[track_caller]
fn header_blocks(entry: &Entry<'_>, blocks: usize) {
    let mut bytes = Vec::new();
    encode(entry, &mut bytes).unwrap();
    assert_eq!(bytes.len(), blocks * BLOCK);
}

const EMPTY: EntryKind<'static> = EntryKind::Regular { size: 0 };

#[test]
fn a_plain_entry_is_one_ustar_header() {
    header_blocks(&entry(b"etc/passwd", EMPTY), 1);
    header_blocks(&entry(&[b'a'; 100], EMPTY), 1);
    header_blocks(&entry(&[b'a'; 99], EntryKind::Directory), 1);
    header_blocks(&entry("café".as_bytes(), EMPTY), 1);
    header_blocks(&entry(&[[b'a'; 155].as_slice(), b"/", &[b'b'; 100]].concat(), EMPTY), 1);
    header_blocks(&Entry { uid: 0o777_7777, mtime: 0o777_7777_7777, ..entry(b"a", EMPTY) }, 1);
}

#[test]
fn what_does_not_fit_gets_records() {
    header_blocks(&entry(&[b'a'; 101], EMPTY), 3);
    header_blocks(&entry(&[b'a'; 100], EntryKind::Directory), 3);
    header_blocks(&entry(&[[b'a'; 156].as_slice(), b"/", &[b'b'; 100]].concat(), EMPTY), 3);
    header_blocks(&entry(b"l", EntryKind::Symlink { target: &[b'a'; 101] }), 3);
    header_blocks(&entry(b"f", EntryKind::Regular { size: 8 << 30 }), 3);
    header_blocks(&Entry { uid: 0o1000_0000, ..entry(b"a", EMPTY) }, 3);
    header_blocks(&Entry { mtime: -1, ..entry(b"a", EMPTY) }, 3);
}

#[test]
fn everything_is_read_back() {
    let long = [[b'a'; 200].as_slice(), b"/", &[0xff; 100]].concat();
    let target = [b't'; 300];
    let xattrs = [(b"security.capability".to_vec(), vec![1, 0, 0, 2, b'\n', b'=', 0]), (b"user.x".to_vec(), vec![])];
    let odd =
        Entry { uid: u32::MAX - 1, gid: 3_000_000, mtime: -5, mode: 0o7777, xattrs: &xattrs, ..entry(&long, EMPTY) };
    let link = entry(b"l", EntryKind::HardLink { target: &target });
    let device = entry(b"d", EntryKind::Character { major: 4095, minor: 1_048_575 });
    let tar = [&odd, &link, &device].iter().fold(Tar::default(), |tar, entry| tar.add(entry, b"")).end();
    let limits = Limits::default();
    let mut archive = Archive::new(tar.as_slice(), &limits);
    let first = archive.next().unwrap().unwrap();
    assert_eq!((first.path, first.uid, first.gid, first.mode), (long, u32::MAX - 1, 3_000_000, 0o7777));
    assert_eq!(first.mtime, Time { seconds: -5, nanoseconds: 0 });
    let expected = xattrs.map(|(name, value)| Xattr { name, value });
    assert_eq!(first.xattrs, expected);
    let second = archive.next().unwrap().unwrap();
    assert_eq!((second.kind, second.link.as_slice()), (Kind::HardLink, target.as_slice()));
    let third = archive.next().unwrap().unwrap();
    assert_eq!((third.kind, third.major, third.minor), (Kind::Character, 4095, 1_048_575));
    assert!(archive.next().unwrap().is_none());
}

#[test]
fn what_no_tar_can_hold_is_refused() {
    let mut blocks = Vec::new();
    assert_eq!(encode(&entry(b"", EMPTY), &mut blocks), Err(EncodeError::Name));
    assert_eq!(encode(&entry(b"a\0", EMPTY), &mut blocks), Err(EncodeError::Name));
    assert_eq!(encode(&entry(b"a", EntryKind::Symlink { target: b"" }), &mut blocks), Err(EncodeError::Name));
    let xattrs = [(b"user.a=b".to_vec(), vec![])];
    assert_eq!(encode(&Entry { xattrs: &xattrs, ..entry(b"a", EMPTY) }, &mut blocks), Err(EncodeError::Xattr));
    let device = EntryKind::Block { major: 1, minor: u32::MAX };
    assert_eq!(encode(&entry(b"a", device), &mut blocks), Err(EncodeError::Device));
}

/// What a program that reads a tar from its input says about it.
fn told(program: &str, arguments: &[&str], tar: &[u8]) -> Option<String> {
    let child =
        Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).env("LC_ALL", "C").spawn();
    let Ok(mut child) = child else {
        eprintln!("skipped: there is no program {program}");
        return None;
    };
    child.stdin.take().unwrap().write_all(tar).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program}");
    Some(String::from_utf8(output.stdout).unwrap())
}

fn for_others() -> Vec<u8> {
    let (long, deep) = (format!("{}/{}", "p".repeat(170), "n".repeat(160)), format!("{}/x", "q".repeat(120)));
    let xattrs = [(b"user.k".to_vec(), b"v\n=".to_vec())];
    let big = Entry { uid: 5_000_000, xattrs: &xattrs, ..entry(long.as_bytes(), EntryKind::Regular { size: 5 }) };
    let tar = Tar::default().add(&entry(b"d", EntryKind::Directory), b"").add(&big, b"hello");
    let tar = tar.add(&entry(deep.as_bytes(), EntryKind::Symlink { target: &[b't'; 130] }), b"");
    let tar = tar.add(&entry(b"old", EntryKind::HardLink { target: long.as_bytes() }), b"");
    tar.add(&entry(b"dev", EntryKind::Character { major: 1, minor: 3 }), b"")
        .add(&entry(b"p", EntryKind::Fifo), b"")
        .end()
}

#[test]
fn gnu_tar_reads_it() {
    let Some(list) = told("tar", &["--utc", "--numeric-owner", "-tvf", "-"], &for_others()) else { return };
    let (long, deep) = (format!("{}/{}", "p".repeat(170), "n".repeat(160)), format!("{}/x", "q".repeat(120)));
    let lines: Vec<String> = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "drw-r--r-- 1/2 0 1970-01-01 00:00 d/".to_owned(),
        format!("-rw-r--r-- 5000000/2 5 1970-01-01 00:00 {long}"),
        format!("lrw-r--r-- 1/2 0 1970-01-01 00:00 {deep} -> {}", "t".repeat(130)),
        format!("hrw-r--r-- 1/2 0 1970-01-01 00:00 old link to {long}"),
        "crw-r--r-- 1/2 1,3 1970-01-01 00:00 dev".to_owned(),
        "prw-r--r-- 1/2 0 1970-01-01 00:00 p".to_owned(),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn python_reads_it() {
    let script = "import sys,tarfile\nfor m in tarfile.open(fileobj=sys.stdin.buffer,mode='r|'):\n print(m.type.decode(),len(m.name),m.uid,m.size,m.mtime,len(m.linkname),m.devmajor,m.pax_headers.get('SCHILY.xattr.user.k','').encode())";
    let Some(list) = told("python3", &["-c", script], &for_others()) else { return };
    let expected = "5 1 1 0 3 0 0 b''\n0 331 5000000 5 3 0 0 b'v\\n='\n2 122 1 0 3 130 0 b''\n1 3 1 0 3 331 0 b''\n3 3 1 0 3 0 1 b''\n6 1 1 0 3 0 0 b''\n";
    assert_eq!(list, expected);
}
