use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oci::layer::{Clamp, DiffError, DiffOptions, Graft as LayerGraft, write_grafted, write_upper};
use rustix::fs::{XattrFlags, fsetxattr};

use super::*;
use crate::copy::{Digests, Links, Mtime, Shape, place};
use crate::files::Mode;
use crate::owner::Ids;

/// A source and how it is copied to `opt/tree`.
struct Case {
    source: tempfile::TempDir,
    request: CopyRequest,
    owners: Owners,
}

impl Case {
    fn new() -> Self {
        let request = CopyRequest {
            destination: "/opt/tree".into(),
            into_directory: true,
            links: Links::Followed,
            owner: Some(Ids::ROOT),
            mode: None,
            mtime: Mtime::Kept,
            drops_set_id: true,
            digests: Digests::Unwanted,
        };
        Self { source: tempfile::tempdir().unwrap(), request, owners: Owners::Recorded }
    }

    fn file(self, path: &str, mode: u32) -> Self {
        let file = self.source.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("this is {path}")).unwrap();
        fs::set_permissions(file, Permissions::from_mode(mode)).unwrap();
        self
    }

    fn tree(&self) -> Arc<Tree> {
        Arc::new(Tree::new(directory(self.source.path()), Path::new("context"), None))
    }

    fn items(&self, sources: &[&str]) -> Vec<Item> {
        let tree = self.tree();
        sources.iter().map(|source| Item::walk(&tree, Path::new(source)).unwrap()).collect()
    }

    /// The files in `root`: as a graft, or copied.
    fn graft(&self, root: &Path, items: Vec<Item>) -> Option<Graft> {
        let fd = directory(root);
        let Place::Inside(into) = place(fd.as_fd(), &self.request, Shape::Directory, self.owners).unwrap() else {
            return None;
        };
        let bed = Bed { root: fd.as_fd(), upper: fd.as_fd(), owners: self.owners };
        if !claim(&bed, &into, self.request.owner.unwrap_or(Ids::ROOT)) {
            return None;
        }
        Graft::of((&self.tree(), items), &into, &self.request, &instruction()).ok()
    }

    fn grafted(&self, items: Vec<Item>) -> Result<Vec<u8>, BuildError> {
        let root = tempfile::tempdir().unwrap();
        let graft = self.graft(root.path(), items).unwrap();
        let (mut blob, mut failure) = (Vec::new(), None);
        let fill = |add: &mut oci::layer::Add<'_>| graft.fill(self.owners, &mut failure, add);
        let grafts = vec![LayerGraft { directory: graft.path(), fill: Box::new(fill) }];
        let upper = directory(root.path());
        let written = write_grafted((upper.as_fd(), grafts), &[], &self.options(), &mut blob);
        match (written, failure) {
            (_, Some(failure)) => Err(failure),
            (written, None) => written.map(|_| blob).map_err(BuildError::from),
        }
    }

    fn planted(&self, items: Vec<Item>) -> Vec<u8> {
        let root = tempfile::tempdir().unwrap();
        let upper = directory(root.path());
        self.graft(root.path(), items).unwrap().plant(upper.as_fd(), self.owners).unwrap();
        let mut blob = Vec::new();
        write_upper(upper.as_fd(), &[], &self.options(), &mut blob).unwrap();
        blob
    }

    fn options(&self) -> DiffOptions {
        // Everything of today is made by the test.
        let clamp = Some(Clamp { since: 1_700_000_000, to: 1_600_000_000 });
        DiffOptions { clamp, owners: self.owners.of_layers(), ..DiffOptions::default() }
    }

    #[track_caller]
    fn check(&self, sources: &[&str]) {
        let items = self.items(sources);
        assert!(self.grafted(items.clone()).unwrap() == self.planted(items), "the layers of {sources:?} differ");
    }
}

fn directory(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

fn instruction() -> Instruction {
    dockerfile::parse("FROM scratch\nCOPY a b\n").unwrap().instructions.pop().unwrap()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Everything that a context can hold and a layer shows.
fn odd() -> Case {
    let case = Case::new()
        .file("s/plain", 0o644)
        .file("s/run", 0o755)
        .file("s/set-id", 0o6755)
        .file("s/sticky", 0o1644)
        .file("s/private", 0o400)
        .file("s/sub/deeper/file", 0o640)
        .file("s/sub-/after", 0o644)
        .file("s/sub.d/before", 0o644)
        .file("s/locked/inside", 0o444)
        .file("s/old", 0o644)
        .file("s/new", 0o644)
        .file(&format!("s/{}/{}", "long".repeat(50), "name".repeat(50)), 0o644)
        .file("other/alone", 0o600);
    let root = case.source.path();
    fs::write(root.join("s/large"), vec![7; 3_000_000]).unwrap();
    fs::write(root.join("s/none"), "").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"s/\xff\xfe odd\nname")), "bytes").unwrap();
    fs::create_dir_all(root.join("s/empty")).unwrap();
    let deep = root.join("s").join("d/".repeat(300));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "deep").unwrap();
    symlink("plain", root.join("s/link")).unwrap();
    symlink("/nowhere", root.join("s/dangling")).unwrap();
    symlink("x".repeat(200), root.join("s/far")).unwrap();
    symlink("sub", root.join("s/to-directory")).unwrap();
    fs::hard_link(root.join("s/plain"), root.join("s/a-first")).unwrap();
    fs::hard_link(root.join("s/plain"), root.join("s/sub/third")).unwrap();
    fs::hard_link(root.join("s/plain"), root.join("other/elsewhere")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(root.join("s/socket")).unwrap();
    File::options().write(true).open(root.join("s/old")).unwrap().set_modified(at(1000)).unwrap();
    File::open(root.join("s/empty")).unwrap().set_modified(at(2000)).unwrap();
    for (path, mode) in [("s/empty", 0o2770), ("s/sub/deeper", 0o1777), ("s/locked", 0o555)] {
        fs::set_permissions(root.join(path), Permissions::from_mode(mode)).unwrap();
    }
    for path in ["s/run", "s/sub", "s/empty"] {
        let file = File::open(root.join(path)).unwrap();
        for (name, value) in [("user.z", "last"), ("user.a", "first"), ("user.overlay.x", "ours")] {
            if fsetxattr(&file, name, value.as_bytes(), XattrFlags::empty()).is_err() {
                eprintln!("skipped: no extended attributes here");
                break;
            }
        }
    }
    case
}

/// Whether files can be given to anybody.
fn may_give() -> bool {
    let file = tempfile::NamedTempFile::new().unwrap();
    let is_root = std::os::unix::fs::chown(file.path(), Some(7), Some(8)).is_ok();
    if !is_root {
        eprintln!("skipped: only root gives files away");
    }
    is_root
}

#[test]
fn a_graft_and_its_copy_are_the_same_layer() {
    let mut case = odd();
    case.check(&["s"]);
    case.check(&["s", "other"]);
    for mode in [Mode::octal(0o750), Mode::octal(0o4711), Mode::octal(0o7000), Mode::parse("u=rwX,go=rX").unwrap()] {
        case.request.mode = Some(mode);
        case.check(&["s"]);
    }
    case.request.mode = None;
    for mtime in [Mtime::AtMost(1500), Mtime::AtMost(5_000_000_000), Mtime::Exactly(7), Mtime::Exactly(-7)] {
        case.request.mtime = mtime;
        case.check(&["s"]);
    }
    case.request.drops_set_id = false;
    case.check(&["s"]);
}

#[test]
fn owners_are_those_of_copied_files() {
    let mut case = odd();
    if may_give() {
        case.owners = Owners::Real;
        case.check(&["s"]);
        case.request.owner = Some(Ids { uid: 1001, gid: 65_534 });
        case.request.mode = Some(Mode::octal(0o6755));
        case.check(&["s"]);
        case.request.owner = None;
        case.check(&["s"]);
    }
    case.owners = Owners::Recorded;
    case.request.owner = Some(Ids { uid: 1001, gid: 3_000_000 });
    let can_record = fsetxattr(directory(case.source.path()), "user.x", b"", XattrFlags::empty()).is_ok();
    if can_record {
        case.check(&["s"]);
    }
}

#[test]
fn names_are_those_of_copied_files() {
    let case = odd();
    let whole = |path: &str, pivot: &str| {
        let mut items = case.items(&[path]);
        let tree = case.tree();
        let above = Path::new(path).ancestors().skip(1).filter(|above| !above.as_os_str().is_empty());
        let above: Vec<Entry> = above.map(|above| tree.look_at(above).unwrap()).collect();
        let item = items.first_mut().unwrap();
        item.entries.splice(..0, above.into_iter().rev());
        item.names = copy::Names::Whole { pivot: pivot.into() };
        items
    };
    let both = [whole("s/sub", ""), whole("s/empty", "")].concat();
    for items in [whole("s/sub/deeper", ""), whole("s/sub/deeper", "s"), both] {
        assert!(case.grafted(items.clone()).unwrap() == case.planted(items));
    }
    case.check(&["s/run", "s/old", "s/link", "other"]);
    case.check(&["s/sub", "s/run"]);
}

#[test]
fn what_a_graft_cannot_be_is_copied() {
    let case = odd();
    let root = tempfile::tempdir().unwrap();
    let pipe = case.source.path().join("other/pipe");
    let twice = [case.items(&["s"]), case.items(&["s/plain"])].concat();
    assert!(case.graft(root.path(), twice).is_none(), "one name for two files");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    assert!(case.graft(root.path(), case.items(&["other"])).is_none(), "a pipe");
    assert!(case.graft(root.path(), case.items(&["s/socket"])).is_none(), "nothing to be copied");
    assert!(case.graft(root.path(), case.items(&["s/run"])).is_some());
    fs::write(root.path().join("opt/tree/there"), "").unwrap();
    assert!(case.graft(root.path(), case.items(&["s/run"])).is_none(), "something is there");
}

#[test]
fn where_the_stage_hid_something_files_are_copied() {
    let case = Case::new().file("f", 0o644);
    let (root, upper) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for base in [root.path(), upper.path()] {
        fs::create_dir_all(base.join("d")).unwrap();
    }
    let (root, changed) = (directory(root.path()), directory(upper.path()));
    let bed = Bed { root: root.as_fd(), upper: changed.as_fd(), owners: case.owners };
    assert!(claim(&bed, Path::new("d"), Ids::ROOT));
    // A whiteout, as the stage's tree does not show it.
    fs::write(upper.path().join("d/f"), "").unwrap();
    assert!(!claim(&bed, Path::new("d"), Ids::ROOT));
    for path in ["", "none"] {
        assert!(!claim(&bed, Path::new(path), Ids::ROOT), "{path}");
    }
}

#[test]
fn what_is_counted_is_what_is_copied() {
    let case = odd();
    let items = case.items(&["s"]);
    let root = tempfile::tempdir().unwrap();
    let (files, bytes) = case.graft(root.path(), items.clone()).unwrap().count();
    let into = Place::Inside("opt/tree".into());
    let request = &case.request;
    let copied = copy::copy_to(directory(root.path()).as_fd(), (&case.tree(), &items), &into, request, case.owners);
    let copied = copied.unwrap();
    assert_eq!((files, bytes), (copied.files, copied.bytes));
}

#[test]
fn a_file_that_vanished_or_shrank_is_the_instructions_failure() {
    let case = Case::new().file("s/a", 0o644).file("s/b", 0o644);
    let items = case.items(&["s"]);
    fs::remove_file(case.source.path().join("s/b")).unwrap();
    let gone = case.grafted(items.clone()).unwrap_err();
    let BuildError::Instruction { line, span, source } = &gone else { panic!("{gone:?}") };
    assert_eq!((line.as_str(), *span), ("COPY a b", instruction().span));
    assert!(source.to_string().starts_with("s/b: no such file or directory"), "{source}");
    fs::create_dir(case.source.path().join("s/b")).unwrap();
    let changed = case.grafted(items).unwrap_err();
    assert!(matches!(changed, BuildError::Instruction { .. }), "{changed:?}");
    let short = of_source_shrunk();
    assert!(
        matches!(short, BuildError::Instruction { ref source, .. }
        if source.to_string() == "s/a: the file changed while it was read"),
        "{short:?}"
    );
}

/// What becomes of a file that ends before its size.
fn of_source_shrunk() -> BuildError {
    let case = Case::new().file("s/a", 0o644);
    let root = tempfile::tempdir().unwrap();
    let graft = case.graft(root.path(), case.items(&["s"])).unwrap();
    let mut failure = None;
    let mut short = |entry: &oci::layer::tar_write::Entry<'_>, _: &mut dyn std::io::Read| {
        let path = OsStr::from_bytes(entry.path).into();
        Err(DiffError::Write(oci::layer::WriteError::Changed { path }))
    };
    let filled = graft.fill(case.owners, &mut failure, &mut short);
    assert!(matches!(filled, Err(DiffError::Grafted { .. })));
    failure.unwrap()
}
