use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use tempfile::TempDir;

use super::*;

/// A tar put together entry by entry.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    /// A header made by hand, so that names nobody honest uses get through.
    fn entry(mut self, kind: tar::EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name.iter_mut().zip(name.as_bytes()).for_each(|(to, from)| *to = *from);
        header.as_old_mut().linkname.iter_mut().zip(link.as_bytes()).for_each(|(to, from)| *to = *from);
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(if kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(12);
        header.set_gid(34);
        header.set_mtime(1_000_000_000);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.entry(tar::EntryType::Regular, name, "", content.as_bytes())
    }

    fn directory(self, name: &str) -> Self {
        self.entry(tar::EntryType::Directory, name, "", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Symlink, name, target, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(tar::EntryType::Link, name, target, b"")
    }

    fn device(self, name: &str) -> Self {
        self.entry(tar::EntryType::Char, name, "", b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

/// A root with a directory `below` in it, and something beside it that must stay as it is.
struct World(TempDir);

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("root/below")).unwrap();
        fs::write(directory.path().join("outside"), "untouched").unwrap();
        Self(directory)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join("root").join(path)
    }

    fn unpack_with(&self, archive: &[u8], options: &Unpack) -> Result<Unpacked, ArchiveError> {
        let root = fs::File::open(self.path("")).unwrap();
        let result = unpack(archive, root.as_fd(), Path::new("below"), options);
        assert_eq!(fs::read_to_string(self.0.path().join("outside")).unwrap(), "untouched");
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), 2, "something was made outside the root");
        result
    }

    fn unpack(&self, archive: &[u8]) -> Result<Unpacked, ArchiveError> {
        self.unpack_with(archive, &recorded())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }
}

/// What a user without ids can do.
fn recorded() -> Unpack {
    Unpack { owners: Owners::Recorded, ..Unpack::default() }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One uncompressed LZMA2 chunk in a stream without checks, with a dictionary of this size byte (xz file format
/// 1.1.0): the crate's encoder is not built in. Up to 16 KiB.
fn xz(bytes: &[u8], dictionary: u8) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let padded = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    };
    let number = |value: usize| [u8::try_from(value & 0x7f).unwrap() | 0x80, u8::try_from(value >> 7).unwrap()];
    let flags = [0, 0];
    let header = [2, 0, 0x21, 1, dictionary, 0, 0, 0];
    let length = u16::try_from(bytes.len() - 1).unwrap().to_be_bytes();
    let block = [header.as_slice(), &crc(&header), &[1], &length, bytes, &[0]].concat();
    let index = padded([&[0, 1], number(block.len()).as_slice(), &number(bytes.len())].concat());
    let index = [index.as_slice(), &crc(&index)].concat();
    let footer = [u32::try_from(index.len() / 4 - 1).unwrap().to_le_bytes().as_slice(), &flags].concat();
    [b"\xfd7zXZ\0".as_slice(), &flags, &crc(&flags), &padded(block), &index, &crc(&footer), &footer, b"YZ"].concat()
}

fn every_packing(tar: &[u8]) -> [(Packing, Vec<u8>); 5] {
    [
        (Packing::Tar, tar.to_vec()),
        (Packing::Gzip, gzip(tar)),
        (Packing::Bzip2, bzip2(tar)),
        (Packing::Xz, xz(tar, 16)),
        (Packing::Zstd, zstd::encode_all(tar, 1).unwrap()),
    ]
}

#[test]
fn a_tar_is_found_and_unpacked_in_every_packing() {
    let tar = Tar::default().directory("d").file("d/f", "content").end();
    for (packing, archive) in every_packing(&tar) {
        assert_eq!(detect(&archive), Some(packing));
        assert!(is_archive(archive.as_slice()).unwrap(), "{packing}");
        let mut opened = Vec::new();
        open(archive.as_slice()).unwrap().read_to_end(&mut opened).unwrap();
        assert_eq!(opened, tar, "{packing}");
        let world = World::new();
        let unpacked = world.unpack(&archive).unwrap();
        assert_eq!(unpacked, Unpacked { files: 2, bytes: 7, skipped_devices: Vec::new() });
        assert_eq!(world.read("below/d/f"), "content");
    }
}

#[test]
fn what_holds_no_tar_is_no_archive() {
    let text = b"FROM scratch\n".repeat(100);
    for (packing, file) in every_packing(&text) {
        assert!(!is_archive(file.as_slice()).unwrap(), "{packing}");
        assert!(matches!(World::new().unpack(&file), Err(ArchiveError::NotTar { .. })), "{packing}");
    }
    let zeros = vec![0; 10_240];
    for file in [b"".as_slice(), b"\x1f\x8b", b"\x1f\x8b\x08garbage", &zeros, b"BZh9", b"\xfd7zXZ\0\0\0"] {
        assert!(!is_archive(file).unwrap());
    }
}

#[test]
fn what_it_is_instead_is_said() {
    let check = |file: &[u8], what: &str| {
        let message = format!("it is {what}; expected a tar, plain or compressed with gzip, bzip2, xz or zstd");
        let error = World::new().unpack(file).unwrap_err();
        assert_eq!((error.to_string(), error.class()), (message, Class::Source));
    };
    check(b"\n<!DOCTYPE html><title>Not found</title>", "a web page");
    check(b"FROM scratch", "text");
    check(b"", "empty");
    check(&[0xff; 600], "no archive");
    check(&gzip(b"FROM scratch"), "compressed with gzip, but there is no tar in it");
}

/// Reads some bytes, then fails.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into) {
            Ok(0) => Err(io::Error::from_raw_os_error(5)),
            other => other,
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_not_an_answer() {
    let tar = gzip(&Tar::default().file("f", "x").end());
    for length in [0, 3, 20] {
        let error = is_archive(Failing(tar.get(..length).unwrap())).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(5));
    }
}

#[test]
fn nothing_leads_out_of_the_directory() {
    let world = World::new();
    let tar = Tar::default().file("../../outside", "1").file("/etc/passwd", "2").symlink("up", "../../..");
    let tar = tar.file("up/outside", "3").symlink("abs", "/").file("abs/x", "4").symlink("f", "../../outside");
    world.unpack(&tar.file("f", "5").end()).unwrap();
    let read = ["outside", "etc/passwd", "x", "f"].map(|path| world.read(&format!("below/{path}")));
    assert_eq!(read, ["3", "2", "4", "5"], "links resolve inside the directory itself");
    assert_eq!(fs::read_dir(world.path("")).unwrap().count(), 1);
    for target in ["../../outside", "/../outside", "up/../../outside"] {
        let tar = Tar::default().symlink("up", "../..").hard_link("l", target).end();
        assert!(matches!(World::new().unpack(&tar), Err(ArchiveError::Unpack(ApplyError::HardlinkMissing { .. }))));
    }
}

#[test]
fn the_directory_is_found_inside_the_root() {
    let world = World::new();
    fs::remove_dir(world.path("below")).unwrap();
    fs::create_dir(world.path("real")).unwrap();
    symlink("/../../real", world.path("below")).unwrap();
    world.unpack(&Tar::default().file("f", "x").end()).unwrap();
    assert_eq!(world.read("real/f"), "x");
    fs::remove_dir_all(world.path("real")).unwrap();
    let error = world.unpack(&Tar::default().file("f", "x").end()).unwrap_err();
    assert_eq!(error.to_string(), "below: cannot open the directory to unpack into");
}

#[test]
fn what_is_there_is_merged_or_replaced() {
    let world = World::new();
    for directory in ["d", "gone"] {
        fs::create_dir(world.path("below").join(directory)).unwrap();
        fs::write(world.path("below").join(directory).join("old"), "old").unwrap();
    }
    fs::write(world.path("below/file"), "old").unwrap();
    symlink("d", world.path("below/link")).unwrap();
    symlink("d", world.path("below/through")).unwrap();
    let tar = Tar::default().directory("d").file("d/new", "new").file("gone", "new").file("file", "new");
    let tar = tar.directory("link").file("link/in", "1").file("through/in", "2").hard_link("again", "d/old");
    world.unpack(&tar.end()).unwrap();
    let read = ["d/old", "d/new", "gone", "file", "link/in", "d/in", "again"];
    let read = read.map(|path| world.read(&format!("below/{path}")));
    assert_eq!(read, ["old", "new", "new", "new", "1", "2", "old"]);
    assert!(world.path("below/link").symlink_metadata().unwrap().is_dir());
    assert!(world.path("below/through").symlink_metadata().unwrap().is_symlink());
}

#[test]
fn names_of_whiteouts_are_names() {
    let world = World::new();
    let tar = Tar::default().file(".wh.f", "1").file(".wh..wh..opq", "2").file(".wh.d/f", "3").file("f", "4");
    world.unpack(&tar.end()).unwrap();
    let read = [".wh.f", ".wh..wh..opq", ".wh.d/f", "f"].map(|path| world.read(&format!("below/{path}")));
    assert_eq!(read, ["1", "2", "3", "4"]);
}

#[test]
fn devices_are_listed_and_links_to_them_left_out() {
    let world = World::new();
    let tar = Tar::default().device("dev/null").hard_link("n", "dev/null").hard_link("m", "n").file("f", "x");
    let unpacked = world.unpack(&tar.end()).unwrap();
    assert_eq!(unpacked.skipped_devices, [Path::new("dev/null")]);
    assert_eq!((world.path("below/n").exists(), world.read("below/f")), (false, "x".to_owned()));
}

fn owner(path: &Path) -> Option<Vec<u8>> {
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(path, "user.stratum.owner", &mut value).ok()?;
    value.get(..length).map(<[u8]>::to_vec)
}

#[test]
fn owners_and_modes_can_be_demanded() {
    let tar = Tar::default().file("deep/f", "x").directory("d").symlink("l", "f").end();
    let world = World::new();
    world.unpack(&tar).unwrap();
    let owners = ["deep", "deep/f", "d"].map(|path| owner(&world.path("below").join(path)));
    assert_eq!(owners, [None, Some(b"12:34".to_vec()), Some(b"12:34".to_vec())]);
    world.unpack_with(&tar, &Unpack { owner: Some((0, 0)), mode: Some(0o4711), ..recorded() }).unwrap();
    let owners = ["deep/f", "d"].map(|path| owner(&world.path("below").join(path)));
    assert_eq!(owners, [None, None], "what was recorded before is gone");
    let modes = ["deep/f", "d"].map(|path| world.path("below").join(path).metadata().unwrap().permissions().mode());
    assert_eq!(modes.map(|mode| mode & 0o7777), [0o4711, 0o4711]);
    let world = World::new();
    world.unpack_with(&tar, &Unpack { owner: Some((7, 8)), ..recorded() }).unwrap();
    assert_eq!(owner(&world.path("below/deep")), Some(b"7:8".to_vec()), "directories that are only implied too");
    assert_eq!(world.path("below/d").metadata().unwrap().mtime(), 1_000_000_000);
}

#[test]
fn archives_that_are_cut_short_or_damaged_say_so() {
    let tar = Tar::default().file("f", &"x".repeat(3000)).end();
    let message = |archive: &[u8]| World::new().unpack(archive).unwrap_err().to_string();
    assert_eq!(message(&tar[..2000]), "the tar ends at byte 2000, in the middle of an entry");
    let mut damaged = tar.clone();
    damaged[3584 + 5] = b'x';
    assert!(message(&damaged).contains("the checksum of a header is wrong"), "{}", message(&damaged));
    for (packing, archive) in every_packing(&tar).into_iter().skip(1) {
        let cut = message(&archive[..archive.len() - 9]);
        let is_told = cut.contains(&format!("the {packing} data"));
        assert!(is_told, "{packing}: {cut}");
    }
    let mut archive = gzip(&tar);
    let checksum = archive.len() - 8;
    archive[checksum] ^= 1;
    assert!(message(&archive).starts_with("cannot read the archive behind its last entry: the gzip data is damaged"));
}

#[test]
fn bombs_stop_at_the_limits() {
    let limits = Limits { unpacked_bytes: 1 << 20, entries: 100, ..Limits::default() };
    let options = Unpack { limits, ..recorded() };
    let message = |archive: &[u8]| World::new().unpack_with(archive, &options).unwrap_err().to_string();
    let many = (0..200).fold(Tar::default(), |tar, at| tar.file(&at.to_string(), ""));
    assert_eq!(message(&many.end()), "the tar has more than 100 entries");
    let large = Tar::default().file("f", &"x".repeat(2 << 20));
    assert_eq!(message(&large.end()), "the tar has more than 1048576 bytes in its files");
    // Extended headers are no files, but are bytes; what follows the end is bytes too.
    let comment = "x".repeat(1 << 20);
    let pax = Tar::default().entry(tar::EntryType::XGlobalHeader, "g", "", comment.as_bytes()).file("f", "");
    assert!(message(&gzip(&pax.end())).contains("it unpacks to more than 1048576 bytes"));
    let tail = [Tar::default().file("f", "x").end(), vec![0; 2 << 20]].concat();
    for (packing, archive) in [(Packing::Gzip, gzip(&tail)), (Packing::Zstd, zstd::encode_all(&*tail, 1).unwrap())] {
        assert!(message(&archive).contains("it unpacks to more than 1048576 bytes"), "{packing}");
    }
    // A window of 1.5 GiB, as no preset of xz has it.
    let hungry = xz(&Tar::default().file("f", "x").end(), 37);
    assert!(message(&hungry).contains("the xz data is damaged"), "{}", message(&hungry));
}

#[test]
fn an_empty_tar_is_nothing_and_fine() {
    assert_eq!(World::new().unpack(&[0; 10_240]).unwrap(), Unpacked::default());
}

#[test]
fn an_entry_without_a_name_is_passed_over() {
    let world = World::new();
    let tar = Tar::default().file("", "nothing").file("a", "content").end();
    world.unpack_with(&tar, &Unpack::default()).unwrap();
    assert_eq!(fs::read_to_string(world.path("below/a")).unwrap(), "content");
}
