use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use tempfile::TempDir;

use super::*;
use crate::layer::archive::{Archive, Kind, Member};
use crate::layer::testing::{Tar, entry, open, tree};
use crate::layer::{ApplyOptions, Limits, apply};
use crate::manifest::{Compression, media_type};

/// An upper directory over lowers made of tars, topmost first.
struct Stage {
    directory: TempDir,
    lowers: Vec<PathBuf>,
}

impl Stage {
    fn over(lowers: Vec<Tar>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("upper")).unwrap();
        let make = |(at, tar): (usize, Tar)| {
            let path = directory.path().join(at.to_string());
            fs::create_dir(&path).unwrap();
            apply(tar.end().as_slice(), open(&path).as_fd(), &ApplyOptions::default()).unwrap();
            path
        };
        let lowers = lowers.into_iter().enumerate().map(make).collect();
        Self { directory, lowers }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join("upper").join(path)
    }

    fn directory(&self, path: &str) -> &Self {
        fs::create_dir(self.path(path)).unwrap();
        self
    }

    fn file(&self, path: &str, content: &str) -> &Self {
        fs::write(self.path(path), content).unwrap();
        self
    }

    fn whiteout(&self, path: &str) -> &Self {
        rustix::fs::mknodat(CWD, self.path(path), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
        self
    }

    fn opaque(&self, path: &str) -> &Self {
        rustix::fs::setxattr(self.path(path), OPAQUE_XATTR, b"y", XattrFlags::empty()).unwrap();
        self
    }

    /// What overlayfs does before a change: the file of the topmost lower with all its metadata.
    fn copied_up(&self, path: &str) -> &Self {
        let status =
            std::process::Command::new("cp").arg("-a").arg(self.lowers[0].join(path)).arg(self.path(path)).status();
        assert!(status.unwrap().success());
        self
    }

    fn write(&self, options: &DiffOptions) -> Result<(Written, Vec<u8>), DiffError> {
        let lowers: Vec<OwnedFd> = self.lowers.iter().map(|lower| open(lower)).collect();
        let lowers: Vec<BorrowedFd<'_>> = lowers.iter().map(AsFd::as_fd).collect();
        let mut blob = Vec::new();
        let written = write_upper(open(&self.path("")).as_fd(), &lowers, options, &mut blob)?;
        Ok((written, blob))
    }

    fn members(&self, options: &DiffOptions) -> Vec<Member> {
        let (written, blob) = self.write(options).unwrap();
        let limits = Limits::default();
        let tar = crate::layer::decompressor(Compression::Gzip, blob.as_slice()).unwrap();
        let mut archive = Archive::new(tar, &limits);
        let mut members = Vec::new();
        while let Some(member) = archive.next().unwrap() {
            members.push(member);
        }
        assert_eq!(written.entries, members.len() as u64);
        members
    }

    fn names(&self) -> Vec<String> {
        let name = |member: Member| String::from_utf8_lossy(&member.path).into_owned();
        self.members(&DiffOptions::default()).into_iter().map(name).collect()
    }
}

fn lower() -> Tar {
    let tar = Tar::default().directory("d").file("d/a", "1").file("d/b", "2").file("f", "3").symlink("l", "f");
    tar.directory("e").directory("e/sub").file("e/sub/x", "4")
}

#[test]
fn entries_come_sorted_parents_first() {
    let stage = Stage::over(vec![]);
    stage.directory("b").file("b/z", "").directory("b/a").file("b/a/x", "").file("b-", "").file("a", "").file("B", "");
    assert_eq!(stage.names(), ["B", "a", "b/", "b/a/", "b/a/x", "b/z", "b-"]);
}

#[test]
fn whiteouts_only_hide_what_is_there() {
    let stage = Stage::over(vec![Tar::default().file(".wh.f", "").file("d/.wh.a", ""), lower()]);
    stage.directory("d").whiteout("d/a").whiteout("d/b").whiteout("d/never").whiteout("f").whiteout("l").whiteout("no");
    assert_eq!(stage.names(), ["d/", "d/.wh.b", ".wh.l"]);
}

#[test]
fn an_opaque_directory_hides_only_what_shows() {
    let stage = Stage::over(vec![
        Tar::default().directory("d").file("d/.wh.a", "").file("d/.wh.b", "").directory("o").file("o/.wh..wh..opq", ""),
        lower().file("o/x", ""),
    ]);
    stage
        .directory("d")
        .opaque("d")
        .directory("new")
        .opaque("new")
        .directory("e")
        .opaque("e")
        .file("e/y", "")
        .directory("o")
        .opaque("o");
    stage.directory("f").opaque("f").directory("e/sub").whiteout("e/sub/x");
    assert_eq!(stage.names(), ["d/", "e/", "e/.wh..wh..opq", "e/sub/", "e/y", "f/", "new/", "o/"]);
}

#[test]
fn what_came_up_unchanged_is_left_out_and_its_directory_with_it() {
    let stage = Stage::over(vec![lower()]);
    stage.copied_up("d").copied_up("f").copied_up("l").copied_up("e");
    assert_eq!(stage.names(), [""; 0]);
    let (written, _) = stage.write(&DiffOptions::default()).unwrap();
    assert_eq!((written.entries, written.uncompressed), (0, 1024));
}

#[test]
fn whatever_differs_is_written_with_the_directories_that_lead_there() {
    let stage = Stage::over(vec![lower()]);
    stage.copied_up("d").copied_up("f").copied_up("l").copied_up("e");
    // Same size and time, other content.
    let file = fs::OpenOptions::new().write(true).open(stage.path("e/sub/x")).unwrap();
    let metadata = file.metadata().unwrap();
    file.write_all_at(b"!", 0).unwrap();
    file.set_modified(metadata.modified().unwrap()).unwrap();
    fs::set_permissions(stage.path("f"), fs::Permissions::from_mode(0o600)).unwrap();
    rustix::fs::setxattr(stage.path("d/b"), "user.new", b"", XattrFlags::empty()).unwrap();
    assert_eq!(stage.names(), ["d/", "d/b", "e/", "e/sub/", "e/sub/x", "f"]);
}

#[test]
fn a_lower_is_asked_through_those_above_it() {
    let stage = Stage::over(vec![Tar::default().file("d", "a file now"), lower()]);
    stage.directory("d").opaque("d").file("d/a", "1");
    assert_eq!(stage.names(), ["d/", "d/a"]);
}

#[test]
fn names_of_one_file_are_links_to_the_first() {
    let stage = Stage::over(vec![]);
    stage.directory("z").file("z/b", "content").file("single", "");
    fs::hard_link(stage.path("z/b"), stage.path("a")).unwrap();
    fs::hard_link(stage.path("z/b"), stage.path("z/a")).unwrap();
    let members = stage.members(&DiffOptions::default());
    let shown: Vec<_> = members
        .iter()
        .map(|member| (member.path.as_slice(), member.kind, member.link.as_slice(), member.size))
        .collect();
    let expected: [(&[u8], Kind, &[u8], u64); 5] = [
        (b"a", Kind::Regular, b"", 7),
        (b"single", Kind::Regular, b"", 0),
        (b"z/", Kind::Directory, b"", 0),
        (b"z/a", Kind::HardLink, b"a", 0),
        (b"z/b", Kind::HardLink, b"a", 0),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn times_of_the_build_are_clamped_and_whole() {
    let stage = Stage::over(vec![lower()]);
    stage.file("old", "").file("new", "").directory("dir").whiteout("f");
    let set = |path: &str, seconds, nanoseconds| {
        let times = rustix::fs::Timestamps {
            last_access: rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
            last_modification: rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds },
        };
        rustix::fs::utimensat(CWD, stage.path(path), &times, rustix::fs::AtFlags::empty()).unwrap();
    };
    set("old", 999, 999_999_999);
    set("new", 1000, 0);
    let options = DiffOptions { clamp: Some(Clamp { since: 1000, to: 77 }), ..DiffOptions::default() };
    let times: Vec<_> = stage
        .members(&options)
        .into_iter()
        .map(|member| (member.path, member.mtime.seconds, member.mtime.nanoseconds))
        .collect();
    let expected: [(&[u8], i64); 4] = [(b"dir/", 77), (b".wh.f", 77), (b"new", 77), (b"old", 999)];
    assert_eq!(times, expected.map(|(path, seconds)| (path.to_vec(), seconds, 0)));
}

#[test]
fn private_attributes_stay_and_recorded_owners_count() {
    let stage = Stage::over(vec![]);
    stage.file("f", "").file("r", "").directory("d");
    for (path, name, value) in [
        ("f", "user.stratum.owner", "12:34"),
        ("f", "user.overlay.origin", "x"),
        ("f", "user.kept", "v"),
        ("d", "user.stratum.owner", "5:6"),
        ("d", "user.overlay.impure", "y"),
    ] {
        rustix::fs::setxattr(stage.path(path), name, value.as_bytes(), XattrFlags::empty()).unwrap();
    }
    let options = DiffOptions { owners: Owners::Recorded, ..DiffOptions::default() };
    let shown: Vec<_> = stage
        .members(&options)
        .into_iter()
        .map(|member| (member.path, member.uid, member.gid, member.xattrs.len()))
        .collect();
    assert_eq!(shown, [(b"d/".to_vec(), 5, 6, 0), (b"f".to_vec(), 12, 34, 1), (b"r".to_vec(), 0, 0, 0)]);
    rustix::fs::setxattr(stage.path("r"), "user.stratum.owner", b"root", XattrFlags::empty()).unwrap();
    let error = stage.write(&options).unwrap_err().to_string();
    assert_eq!(error, "r: the recorded owner `root` is not `uid:gid`");
}

#[test]
fn sockets_are_left_out_and_counted() {
    let stage = Stage::over(vec![]);
    let _socket = std::os::unix::net::UnixListener::bind(stage.path("s")).unwrap();
    rustix::fs::mkfifoat(CWD, stage.path("p"), Mode::RUSR).unwrap();
    let (written, _) = stage.write(&DiffOptions::default()).unwrap();
    assert_eq!((written.entries, written.skipped_sockets), (1, 1));
}

#[test]
fn names_that_look_like_whiteouts_are_refused() {
    let stage = Stage::over(vec![]);
    stage.directory("d").file("d/.wh.x", "");
    let message = "d/.wh.x: names that start with `.wh.` cannot be in a layer: rename or remove the file";
    assert_eq!(stage.write(&DiffOptions::default()).unwrap_err().to_string(), message);
}

#[test]
fn a_tree_too_deep_to_unpack_is_named() {
    let stage = Stage::over(vec![]);
    let mut directory = open(&stage.path(""));
    for _ in 0..2100 {
        rustix::fs::mkdirat(&directory, "dd", Mode::RWXU).unwrap();
        directory = files::open_directory(&directory, b"dd").unwrap();
    }
    assert!(matches!(stage.write(&DiffOptions::default()), Err(DiffError::Long { .. })));
    files::remove_tree(open(&stage.path("")).as_fd(), b"dd").unwrap();
}

#[test]
fn the_descriptor_says_what_was_written() {
    let stage = Stage::over(vec![]);
    stage.file("f", &"content".repeat(1000));
    for (compression, media_type) in
        [(Compression::Gzip, media_type::DOCKER_LAYER_GZIP), (Compression::None, media_type::DOCKER_LAYER)]
    {
        let compress = CompressOptions { compression, ..CompressOptions::default() };
        let options = DiffOptions { format: Format::Docker, compress, ..DiffOptions::default() };
        let (written, blob) = stage.write(&options).unwrap();
        let mut reader =
            crate::layer::LayerReader::new(&written.descriptor, None, &Limits::default(), blob.as_slice()).unwrap();
        io::copy(&mut reader, &mut io::sink()).unwrap();
        reader.finish().unwrap().check(&written.descriptor, Some(&written.diff_id)).unwrap();
        assert_eq!(written.descriptor.media_type, media_type);
    }
    let compress = CompressOptions { compression: Compression::Zstd, ..CompressOptions::default() };
    let options = DiffOptions { format: Format::Docker, compress, ..DiffOptions::default() };
    assert!(matches!(stage.write(&options), Err(DiffError::Write(WriteError::MediaType { .. }))));
}

/// Something of everything that a layer can hold without privilege.
fn everything() -> Tar {
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = format!("{}/{}", "d".repeat(180), "f".repeat(180));
    let xattrs = [(b"user.note".to_vec(), b"kept".to_vec())];
    let mut tar = Tar::default().directory("usr").directory("usr/bin").directory(&"d".repeat(180)).file(&long, "long");
    tar = tar.add(&Entry { mode: 0o4755, ..entry("usr/bin/su", EntryKind::Regular { size: 2 }) }, b"su");
    tar = tar.hard_link("usr/bin/su2", "usr/bin/su").symlink("bin", "usr/bin").symlink("long", &"t".repeat(200));
    tar = tar.add(&Entry { xattrs: &xattrs, mode: 0o1777, ..entry("tmp", EntryKind::Directory) }, b"");
    tar = tar
        .add(&Entry { mode: 0o600, mtime: -7, ..entry("p", EntryKind::Fifo) }, b"")
        .directory("o")
        .file("o/.wh..wh..opq", "");
    tar = tar.add(&Entry { mode: 0o555, ..entry("locked", EntryKind::Directory) }, b"").file("locked/in", "");
    if crate::layer::testing::is_root() {
        let xattrs = [(b"security.capability".to_vec(), capability.to_vec())];
        tar = tar.add(&Entry { xattrs: &xattrs, uid: 7, ..entry("ping", EntryKind::Regular { size: 0 }) }, b"");
    } else {
        eprintln!("skipped: capabilities and other owners, which only root can set");
    }
    tar.file(".wh.gone", "").raw(b'0', b"caf\xe9", 1, |_| {}).content(b"x").file("big", &"0123456789".repeat(300_000))
}

#[test]
fn applying_writing_and_applying_again_gives_the_same_tree() {
    let base = Tar::default().file("gone", "").file("o/hidden", "");
    let stage = Stage::over(vec![base]);
    apply(everything().end().as_slice(), open(&stage.path("")).as_fd(), &ApplyOptions::default()).unwrap();
    let expected = tree(&stage.path(""));
    assert!(expected.len() > 15);
    for (compression, threads) in [(Compression::None, 1), (Compression::Gzip, 2), (Compression::Zstd, 1)] {
        let compress = CompressOptions { compression, threads, level: None };
        let (_, blob) = stage.write(&DiffOptions { compress, ..DiffOptions::default() }).unwrap();
        let again = tempfile::tempdir().unwrap();
        let tar = crate::layer::decompressor(compression, blob.as_slice()).unwrap();
        apply(tar, open(again.path()).as_fd(), &ApplyOptions::default()).unwrap();
        assert_eq!(tree(again.path()), expected, "{compression:?}");
    }
}

/// Changes a stage the way a RUN instruction does, through overlayfs in a user namespace. Gives what shows then.
fn changed_by(stage: &Stage, script: &str) -> Option<String> {
    for directory in ["work", "merged"] {
        fs::create_dir(stage.directory.path().join(directory)).unwrap();
    }
    let mount = "mount -t overlay overlay -o lowerdir=1:0,upperdir=upper,workdir=work,userxattr merged && cd merged";
    let list = "find . -mindepth 1 '(' -type d -printf 'd %P \\n' -o -printf '%y %P %l %s\\n' ')' | LC_ALL=C sort";
    let script = format!("{mount} || exit 99\n{script}\n{list}");
    let output = std::process::Command::new("unshare")
        .args(["-Urm", "sh", "-euc", &script])
        .current_dir(stage.directory.path())
        .output();
    match output {
        Ok(output) if output.status.success() => Some(String::from_utf8(output.stdout).unwrap()),
        Ok(output) => {
            eprintln!("skipped: no overlayfs in a user namespace: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(error) => {
            eprintln!("skipped: there is no program unshare: {error}");
            None
        }
    }
}

/// What an image of these layers shows, in the same form.
fn shown_by(layers: &[Vec<u8>]) -> String {
    use crate::layer::{PickLimits, PickedFile, Picker};
    let directory = tempfile::tempdir().unwrap();
    let mut picker = Picker::new(directory.path(), PickLimits::default(), |_: &std::path::Path| true);
    for layer in layers {
        picker.layer(layer.as_slice()).unwrap();
    }
    let mut lines: Vec<String> = Vec::new();
    for (path, file) in picker.finish() {
        let path = path.display();
        lines.push(match file {
            PickedFile::Regular { size, .. } => format!("f {path}  {size}"),
            PickedFile::Symlink { target } => format!("l {path} {} {}", target.display(), target.as_os_str().len()),
            PickedFile::Directory => format!("d {path} "),
            PickedFile::Special => format!("p {path}  0"),
        });
    }
    lines.sort();
    lines.into_iter().map(|line| line + "\n").collect()
}

#[test]
fn what_a_step_did_through_overlayfs_is_what_the_layers_show() {
    let base =
        lower().directory("gone").file("gone/x", "5").directory("again").file("again/old", "6").file("same", "7");
    let above = Tar::default().directory("d").file("d/c", "8").file(".wh.gone", "").file("twice", "9");
    let stage = Stage::over(vec![base.clone(), above.clone()]);
    let script = "rm d/a twice l; rm -rf again e; mkdir again; echo longer > again/new; chmod 644 same; mkfifo pipe
        ln f f2; mkdir -p n/o; mv d/b n/o/; ln -s n/o e; echo more >> d/c; mkdir t; echo 1 > t/1; mv t u; touch -r d d";
    let Some(expected) = changed_by(&stage, script) else { return };
    let lowers: Vec<OwnedFd> = stage.lowers.iter().rev().map(|lower| open(lower)).collect();
    let lowers: Vec<BorrowedFd<'_>> = lowers.iter().map(AsFd::as_fd).collect();
    let mut tar = Vec::new();
    let compress = CompressOptions { compression: Compression::None, ..CompressOptions::default() };
    let options = DiffOptions { compress, ..DiffOptions::default() };
    write_upper(open(&stage.path("")).as_fd(), &lowers, &options, &mut tar).unwrap();
    assert_eq!(shown_by(&[base.end(), above.end(), tar.clone()]), expected);
    let mut archive_names = Vec::new();
    let limits = Limits::default();
    let mut archive = Archive::new(tar.as_slice(), &limits);
    while let Some(member) = archive.next().unwrap() {
        archive_names.push(String::from_utf8(member.path).unwrap());
    }
    let expected = [
        "again/",
        "again/.wh..wh..opq",
        "again/new",
        "d/",
        "d/.wh.a",
        "d/.wh.b",
        "d/c",
        "e",
        "f",
        "f2",
        ".wh.l",
        "n/",
        "n/o/",
        "n/o/b",
        "pipe",
        ".wh.twice",
        "u/",
        "u/1",
    ];
    assert_eq!(archive_names, expected);
}
