//! Tars and trees for the tests of this module.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::files;
use super::tar_write::{END, Entry, EntryKind, encode};

/// The user and group the tests run as, which every file may be given to.
pub(super) fn own_ids() -> (u32, u32) {
    let metadata = fs::metadata("/proc/self").unwrap();
    (metadata.uid(), metadata.gid())
}

/// Whether files can be given to anybody: root, and not of a namespace that knows a single id.
pub(super) fn is_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let ids = |line: &str| line.split_whitespace().next_back().and_then(|count| count.parse::<u64>().ok());
    own_ids().0 == 0 && map.lines().filter_map(ids).sum::<u64>() > 65_535
}

/// A tar being put together, honest unless said otherwise.
#[derive(Clone, Debug, Default)]
pub(super) struct Tar {
    pub(super) bytes: Vec<u8>,
}

pub(crate) fn entry<'a>(path: &'a str, kind: EntryKind<'a>) -> Entry<'a> {
    let (uid, gid) = own_ids();
    let mode = if kind == EntryKind::Directory { 0o755 } else { 0o644 };
    Entry { path: path.as_bytes(), kind, mode, uid, gid, mtime: 1_000_000_000, xattrs: &[] }
}

impl Tar {
    pub(super) fn add(mut self, entry: &Entry<'_>, content: &[u8]) -> Self {
        encode(entry, &mut self.bytes).unwrap();
        self.content(content)
    }

    pub(super) fn content(mut self, content: &[u8]) -> Self {
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub(super) fn file(self, path: &str, content: &str) -> Self {
        let size = content.len() as u64;
        self.add(&entry(path, EntryKind::Regular { size }), content.as_bytes())
    }

    pub(super) fn directory(self, path: &str) -> Self {
        self.add(&entry(path, EntryKind::Directory), b"")
    }

    pub(super) fn symlink(self, path: &str, target: &str) -> Self {
        self.add(&entry(path, EntryKind::Symlink { target: target.as_bytes() }), b"")
    }

    pub(super) fn hard_link(self, path: &str, target: &str) -> Self {
        self.add(&entry(path, EntryKind::HardLink { target: target.as_bytes() }), b"")
    }

    /// A header made by hand, `change` coming before the checksum.
    pub(super) fn raw(mut self, flag: u8, name: &[u8], size: u64, change: impl Fn(&mut tar::Header)) -> Self {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
        header.set_entry_type(tar::EntryType::new(flag));
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(own_ids().0.into());
        header.set_gid(own_ids().1.into());
        header.set_mtime(1);
        change(&mut header);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self
    }

    /// PAX records for the entry that follows.
    pub(super) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut text = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..rest + 9).find(|length| rest + length.to_string().len() == *length).unwrap();
            text.extend_from_slice(format!("{length} {key}=").as_bytes());
            text.extend_from_slice(value);
            text.push(b'\n');
        }
        self.raw(b'x', b"pax", text.len() as u64, |_| {}).content(&text)
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&END);
        self.bytes
    }
}

pub(super) fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
}

/// Every file below `root` as one line of text by its path: kind, mode, owner, time, xattrs, content, and the first
/// of its names if there are several.
pub(super) fn tree(root: &Path) -> BTreeMap<String, String> {
    let (mut lines, mut firsts, mut todo) = (BTreeMap::new(), BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = todo.pop() {
        let mut names: Vec<_> = fs::read_dir(&directory).unwrap().map(|name| name.unwrap().path()).collect();
        names.sort();
        for path in names {
            if path.symlink_metadata().unwrap().is_dir() {
                todo.push(path.clone());
            }
            let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
            lines.insert(name.clone(), path.clone());
        }
    }
    let describe = |(name, path): (String, std::path::PathBuf)| {
        let metadata = path.symlink_metadata().unwrap();
        let first = firsts.entry(metadata.ino()).or_insert_with(|| name.clone());
        let link = if metadata.nlink() > 1 && !metadata.is_dir() { format!(" ={first}") } else { String::new() };
        // Nobody gives a whiteout an owner or a time.
        let is_whiteout = metadata.file_type().is_char_device() && metadata.rdev() == 0;
        if is_whiteout {
            return (name, "whiteout".to_owned());
        }
        let line = format!(
            "{} {:o} {}:{} {}.{:09}{link}",
            content(&path, &metadata),
            metadata.mode() & 0o7777,
            metadata.uid(),
            metadata.gid(),
            metadata.mtime(),
            metadata.mtime_nsec()
        );
        (name, line)
    };
    lines.into_iter().map(describe).collect()
}

fn content(path: &Path, metadata: &fs::Metadata) -> String {
    let kind = metadata.file_type();
    let xattrs = || -> String {
        let file = fs::File::open(path).unwrap();
        let names = files::xattr_names(file.as_fd()).unwrap().into_iter();
        let wanted = names.filter(|name| name.starts_with(b"user.") || name == b"security.capability");
        let value = |name: Vec<u8>| {
            let value = files::xattr(file.as_fd(), &name).unwrap().unwrap();
            format!(" {}={}", name.escape_ascii(), value.escape_ascii())
        };
        wanted.map(value).collect()
    };
    if kind.is_dir() {
        format!("directory{}", xattrs())
    } else if kind.is_symlink() {
        format!("-> {}", fs::read_link(path).unwrap().as_os_str().as_bytes().escape_ascii())
    } else if kind.is_file() {
        let bytes = fs::read(path).unwrap();
        let text =
            if bytes.len() < 100 { bytes.escape_ascii().to_string() } else { crate::Digest::of(&bytes).to_string() };
        format!("`{text}`{}", xattrs())
    } else if kind.is_fifo() {
        "fifo".to_owned()
    } else {
        format!("device {}:{}", rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()))
    }
}
