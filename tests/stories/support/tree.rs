//! The files of a layer or of a whole image, read from tars the way the OCI layer specification says.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

/// What a path is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    File(Vec<u8>),
    Folder,
    Symlink(PathBuf),
    /// Only in a single layer; in a flattened image it is the file it names.
    Hardlink(PathBuf),
    Fifo,
    Character(u32, u32),
    Block(u32, u32),
}

/// One path of a layer or an image.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: u64,
    pub(crate) xattrs: BTreeMap<String, Vec<u8>>,
}

/// Paths without a leading slash; the root itself is not among them.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tree(pub(crate) BTreeMap<PathBuf, Node>);

impl Tree {
    /// The entries of one uncompressed layer tar, whiteouts as files named `.wh.…`.
    pub(crate) fn of_layer(tar: &[u8]) -> Self {
        let mut nodes = BTreeMap::new();
        for entry in tar::Archive::new(tar).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = plain(Path::new(OsStr::from_bytes(&entry.path_bytes())));
            let node = node(&mut entry);
            if path != Path::new("") {
                assert!(nodes.insert(path.clone(), node).is_none(), "{}: twice in one layer", path.display());
            }
        }
        Self(nodes)
    }

    /// The layers one over the other: whiteouts applied, hard links replaced by the file they name.
    pub(crate) fn flatten(layers: &[Self]) -> Self {
        let mut image = Self::default();
        for layer in layers {
            layer.0.keys().for_each(|path| image.white_out(path));
            for (path, node) in &layer.0 {
                image.put(path, node, layer);
            }
        }
        image
    }

    fn white_out(&mut self, path: &Path) {
        let Some(name) = path.file_name().and_then(|n| n.as_bytes().strip_prefix(b".wh.")) else { return };
        let folder = path.parent().unwrap();
        if name == b".wh..opq" {
            self.0.retain(|other, _| !other.starts_with(folder) || other == folder);
        } else {
            let gone = folder.join(OsStr::from_bytes(name));
            self.0.retain(|other, _| !other.starts_with(&gone));
        }
    }

    fn put(&mut self, path: &Path, node: &Node, layer: &Self) {
        if path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".wh.")) {
            return;
        }
        let node = match &node.kind {
            Kind::Hardlink(target) => layer.0.get(target).or_else(|| self.0.get(target)).cloned(),
            Kind::File(_) | Kind::Folder | Kind::Symlink(_) | Kind::Fifo | Kind::Character(..) | Kind::Block(..) => {
                Some(node.clone())
            }
        };
        let node = node.unwrap_or_else(|| panic!("{}: a hard link to nothing", path.display()));
        if node.kind != Kind::Folder {
            self.0.retain(|other, _| !other.starts_with(path) || other == path);
        }
        self.0.insert(path.to_owned(), node);
    }

    /// The node at `path`; fails where there is none.
    #[track_caller]
    pub(crate) fn at(&self, path: &str) -> &Node {
        self.0.get(Path::new(path)).unwrap_or_else(|| panic!("{path} is not there; there are {:?}", self.names()))
    }

    /// True where something is at `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.0.contains_key(Path::new(path))
    }

    /// The content of the file at `path`, as text; fails where it is no file.
    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        let Kind::File(content) = &self.at(path).kind else { panic!("{path} is no file") };
        String::from_utf8(content.clone()).unwrap()
    }

    /// The files that hold `mark`.
    pub(crate) fn with(&self, mark: &str) -> Vec<String> {
        let holds = |content: &[u8]| content.windows(mark.len()).any(|window| window == mark.as_bytes());
        let files = self.0.iter().filter(|(_, node)| matches!(&node.kind, Kind::File(content) if holds(content)));
        files.map(|(path, _)| path.display().to_string()).collect()
    }

    /// Every path, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().map(|path| path.display().to_string()).collect()
    }

    /// Every path that is not a folder, sorted.
    pub(crate) fn files(&self) -> Vec<String> {
        self.0
            .iter()
            .filter(|(_, node)| node.kind != Kind::Folder)
            .map(|(path, _)| path.display().to_string())
            .collect()
    }
}

/// `./a/` and `/a` are `a`; a path that climbs fails the test.
fn plain(path: &Path) -> PathBuf {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name),
            Component::CurDir | Component::RootDir => None,
            Component::ParentDir | Component::Prefix(_) => panic!("{}: climbs", path.display()),
        })
        .collect()
}

fn node(entry: &mut tar::Entry<'_, &[u8]>) -> Node {
    let xattrs = xattrs(entry);
    let header = entry.header();
    let (mode, uid, gid) = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
    let mtime = header.mtime().unwrap();
    Node { kind: kind(entry), mode: mode & 0o7777, uid, gid, mtime, xattrs }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "any other type, now or later, fails the test")]
fn kind(entry: &mut tar::Entry<'_, &[u8]>) -> Kind {
    let link = |entry: &tar::Entry<'_, &[u8]>| PathBuf::from(OsStr::from_bytes(&entry.link_name_bytes().unwrap()));
    let device = |entry: &tar::Entry<'_, &[u8]>| {
        (entry.header().device_major().unwrap().unwrap(), entry.header().device_minor().unwrap().unwrap())
    };
    match entry.header().entry_type() {
        EntryType::Directory => Kind::Folder,
        EntryType::Symlink => Kind::Symlink(link(entry)),
        EntryType::Link => Kind::Hardlink(plain(&link(entry))),
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char => Kind::Character(device(entry).0, device(entry).1),
        EntryType::Block => Kind::Block(device(entry).0, device(entry).1),
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            Kind::File(content)
        }
        other => panic!("an entry of type {other:?} has no place in a layer"),
    }
}

fn xattrs(entry: &mut tar::Entry<'_, &[u8]>) -> BTreeMap<String, Vec<u8>> {
    let records = entry.pax_extensions().unwrap().into_iter().flatten().map(Result::unwrap);
    let pair = |record: tar::PaxExtension<'_>| {
        Some((record.key().ok()?.strip_prefix("SCHILY.xattr.")?.to_owned(), record.value_bytes().to_owned()))
    };
    records.filter_map(pair).collect()
}

#[test]
fn flattening_honours_whiteouts_and_hard_links() {
    let node = |kind: Kind| Node { kind, mode: 0, uid: 0, gid: 0, mtime: 0, xattrs: BTreeMap::new() };
    let file = |text: &str| node(Kind::File(text.into()));
    let layer = |entries: &[(&str, Node)]| Tree(entries.iter().map(|(path, n)| (path.into(), n.clone())).collect());
    let lower =
        layer(&[("a", node(Kind::Folder)), ("a/gone", file("1")), ("b", node(Kind::Folder)), ("b/old", file("2"))]);
    let link = node(Kind::Hardlink("b/old".into()));
    let middle = layer(&[("a/.wh.gone", file("")), ("a/new", file("3")), ("link", link)]);
    let upper = layer(&[("b/.wh..wh..opq", file("")), ("b/new", file("4"))]);
    let image = Tree::flatten(&[lower, middle, upper]);
    assert_eq!(image.names(), ["a", "a/new", "b", "b/new", "link"]);
    assert_eq!(image.text("link"), "2");
}
