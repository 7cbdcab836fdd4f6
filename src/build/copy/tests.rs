use std::fs::{self, Permissions};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

/// A source and a target directory, and one copy from the one to the other.
struct Case {
    source: tempfile::TempDir,
    target: tempfile::TempDir,
    request: CopyRequest,
}

impl Case {
    fn new(destination: &str) -> Self {
        let request = CopyRequest {
            destination: Path::new("/").join(destination),
            into_directory: destination.ends_with('/'),
            links: Links::Followed,
            owner: None,
            mode: None,
            mtime: Mtime::Kept,
            drops_set_id: true,
            digests: Digests::Unwanted,
        };
        Self { source: tempfile::tempdir().unwrap(), target: tempfile::tempdir().unwrap(), request }
    }

    fn source(self, files: &[&str]) -> Self {
        fill(self.source.path(), files);
        self
    }

    fn target(self, files: &[&str]) -> Self {
        fill(self.target.path(), files);
        self
    }

    fn copy(&self, sources: &[&str]) -> Result<Copied, CopyError> {
        let tree = Tree::new(fs::File::open(self.source.path()).unwrap().into(), Path::new("context"), None);
        let sources: Vec<PathBuf> = sources.iter().map(PathBuf::from).collect();
        let root = fs::File::open(self.target.path()).unwrap();
        copy(root.as_fd(), &tree, &sources, &self.request, Owners::Recorded)
    }

    /// Copies, and compares everything in the target: `a` with the content `a`, `b/`, `c -> d`.
    #[track_caller]
    fn check(&self, sources: &[&str], expected: &[&str]) {
        self.copy(sources).unwrap();
        assert_eq!(listing(self.target.path()), expected);
    }

    fn mode(&self, path: &str) -> u32 {
        self.target.path().join(path).symlink_metadata().unwrap().mode() & 0o7777
    }
}

/// Makes `a/` as a directory, `a -> b` as a link, and `a` as a file that holds its own path.
fn fill(root: &Path, files: &[&str]) {
    for file in files {
        match (file.split_once(" -> "), file.strip_suffix('/')) {
            (Some((link, target)), _) => {
                fs::create_dir_all(root.join(link).parent().unwrap()).unwrap();
                symlink(target, root.join(link)).unwrap();
            }
            (None, Some(folder)) => fs::create_dir_all(root.join(folder)).unwrap(),
            (None, None) => {
                let path = root.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, file).unwrap();
            }
        }
    }
}

fn listing(root: &Path) -> Vec<String> {
    let tree = Tree::new(fs::File::open(root).unwrap().into(), Path::new("target"), None);
    let shown = |entry: Entry| match &entry.kind {
        Kind::Directory => format!("{}/", entry.path.display()),
        Kind::Symlink(target) => format!("{} -> {}", entry.path.display(), target.display()),
        Kind::File(_) => {
            let content = fs::read_to_string(root.join(&entry.path)).unwrap();
            format!("{}={content}", entry.path.display())
        }
        Kind::Fifo | Kind::Socket | Kind::Device => format!("{}?", entry.path.display()),
    };
    tree.walk(Path::new("")).unwrap().into_iter().skip(1).map(shown).collect()
}

#[test]
fn a_file_goes_into_a_directory_or_takes_a_name() {
    Case::new("a").source(&["f"]).check(&["f"], &["a=f"]);
    Case::new("a/").source(&["f"]).check(&["f"], &["a/", "a/f=f"]);
    Case::new("x/y/a").source(&["f"]).check(&["f"], &["x/", "x/y/", "x/y/a=f"]);
    Case::new("a").source(&["f"]).target(&["a/"]).check(&["f"], &["a/", "a/f=f"]);
    Case::new("a").source(&["f"]).target(&["a"]).check(&["f"], &["a=f"]);
    let onto = Case::new("a/").source(&["f"]).target(&["a"]).copy(&["f"]);
    assert!(matches!(onto, Err(CopyError::NotADirectory { .. })));
}

#[test]
fn the_content_of_a_directory_is_copied_and_merged() {
    let case = Case::new("d").source(&["s/f", "s/sub/g", "s/l -> f"]).target(&["d/sub/old"]);
    case.check(&["s"], &["d/", "d/f=s/f", "d/l -> f", "d/sub/", "d/sub/g=s/sub/g", "d/sub/old=d/sub/old"]);
}

#[test]
fn links_on_the_way_are_followed_inside_the_root() {
    Case::new("l/a").source(&["f"]).target(&["d/", "l -> /d"]).check(&["f"], &["d/", "d/a=f", "l -> /d"]);
    Case::new("l/a").source(&["f"]).target(&["d/", "l -> ../../d"]).check(&["f"], &["d/", "d/a=f", "l -> ../../d"]);
    Case::new("l/").source(&["f"]).target(&["l -> /new"]).check(&["f"], &["l -> /new", "new/", "new/f=f"]);
    let circle = Case::new("l/a").source(&["f"]).target(&["l -> l"]).copy(&["f"]);
    assert!(matches!(circle, Err(CopyError::Loop { .. })));
}

#[test]
fn a_link_to_a_file_is_replaced_and_one_to_nothing_names_a_directory() {
    Case::new("l").source(&["f"]).target(&["t", "l -> t"]).check(&["f"], &["l=f", "t=t"]);
    Case::new("l").source(&["f"]).target(&["l -> gone"]).check(&["f"], &["gone/", "gone/f=f", "l -> gone"]);
}

#[test]
fn what_is_in_the_way_is_replaced() {
    Case::new("d/").source(&["s/x/f"]).target(&["d/x"]).check(&["s"], &["d/", "d/x/", "d/x/f=s/x/f"]);
    Case::new("d/")
        .source(&["s/x/f"])
        .target(&["t/", "d/", "d/x -> ../t"])
        .check(&["s"], &["d/", "d/x/", "d/x/f=s/x/f", "t/"]);
    Case::new("d/").source(&["s/x"]).target(&["d/x/deep/er"]).check(&["s"], &["d/", "d/x=s/x"]);
    Case::new("d/").source(&["s/x -> y"]).target(&["d/x/old"]).check(&["s"], &["d/", "d/x -> y"]);
}

#[test]
fn with_link_nothing_below_is_followed() {
    let linked = |destination: &str| {
        let mut case = Case::new(destination);
        case.request.links = Links::Replaced;
        case.source(&["f", "s/g"])
    };
    linked("l/a").target(&["d/", "l -> /d"]).check(&["f"], &["d/", "l/", "l/a=f"]);
    linked("l/").target(&["d/", "l -> /d"]).check(&["f"], &["d/", "l/", "l/f=f"]);
    linked("l").target(&["d/", "l -> /d"]).check(&["f"], &["d/", "l=f"]);
    linked("l").target(&["d/", "l -> /d"]).check(&["s"], &["d/", "l/", "l/g=s/g"]);
    linked("d").target(&["d/x"]).check(&["f"], &["d/", "d/f=f", "d/x=d/x"]);
}

#[test]
fn modes_are_the_sources_without_set_id_bits_unless_given() {
    let mut case = Case::new("d/").source(&["s/f", "s/x/g", "s/locked/h"]);
    let set = |path: &str, mode| fs::set_permissions(case.source.path().join(path), Permissions::from_mode(mode));
    for (path, mode) in [("s/f", 0o6751), ("s/x", 0o3710), ("s/x/g", 0o404), ("s/locked", 0o555)] {
        set(path, mode).unwrap();
    }
    case.copy(&["s"]).unwrap();
    let modes = |case: &Case| ["d", "d/f", "d/x", "d/x/g", "d/locked"].map(|path| case.mode(path));
    assert_eq!(modes(&case), [0o755, 0o751, 0o1710, 0o404, 0o555]);
    case.request.drops_set_id = false;
    case.copy(&["s"]).unwrap();
    assert_eq!(modes(&case), [0o755, 0o6751, 0o3710, 0o404, 0o555]);
    case.request.mode = Some(Mode::parse("u=rwX,go=rX").unwrap());
    case.copy(&["s"]).unwrap();
    assert_eq!(modes(&case), [0o755, 0o755, 0o1755, 0o644, 0o755]);
    case.request.mode = Some(Mode::octal(0o4711));
    case.copy(&["s"]).unwrap();
    assert_eq!(modes(&case), [0o755, 0o4711, 0o4711, 0o4711, 0o4711]);
}

#[test]
fn times_are_kept_capped_or_set() {
    let mut case = Case::new("d/").source(&["s/x/f"]);
    for path in ["s/x/f", "s/x"] {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(5000);
        fs::File::open(case.source.path().join(path)).unwrap().set_modified(time).unwrap();
    }
    for (mtime, expected) in [(Mtime::Kept, 5000), (Mtime::AtMost(4000), 4000), (Mtime::Exactly(7), 7)] {
        case.request.mtime = mtime;
        case.copy(&["s"]).unwrap();
        let found = ["d/x", "d/x/f"].map(|path| case.target.path().join(path).metadata().unwrap().mtime());
        assert_eq!(found, [expected; 2], "{mtime:?}");
    }
}

#[test]
fn hard_links_stay_within_one_source() {
    let case = Case::new("d/").source(&["s/a"]);
    fs::hard_link(case.source.path().join("s/a"), case.source.path().join("s/b")).unwrap();
    fs::hard_link(case.source.path().join("s/a"), case.source.path().join("c")).unwrap();
    let copied = case.copy(&["s", "c"]).unwrap();
    let inode = |path: &str| case.target.path().join(path).metadata().unwrap().ino();
    assert_eq!(inode("d/a"), inode("d/b"));
    assert_ne!(inode("d/a"), inode("d/c"));
    assert_eq!((copied.files, copied.bytes), (3, 6));
}

#[test]
fn pipes_are_made_and_sockets_left_out() {
    let case = Case::new("d/").source(&["s/f"]);
    let pipe = case.source.path().join("s/pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o622)).unwrap();
    fs::set_permissions(&pipe, Permissions::from_mode(0o622)).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(case.source.path().join("s/socket")).unwrap();
    case.check(&["s"], &["d/", "d/f=s/f", "d/pipe?"]);
    assert_eq!(case.mode("d/pipe"), 0o622);
}

#[test]
fn digests_are_those_of_the_files() {
    let mut case = Case::new("d/").source(&["s/f", "s/empty"]);
    let long = vec![b'x'; 300_000];
    fs::write(case.source.path().join("s/long"), &long).unwrap();
    fs::write(case.source.path().join("s/empty"), "").unwrap();
    case.request.digests = Digests::Wanted;
    let copied = case.copy(&["s"]).unwrap();
    let digest = |path: &str, bytes: &[u8]| (PathBuf::from(path), Digest::of(bytes));
    assert_eq!(copied.digests, [digest("s/empty", b""), digest("s/f", b"s/f"), digest("s/long", &long)]);
    assert_eq!(fs::read(case.target.path().join("d/long")).unwrap(), long);
    case.request.digests = Digests::Unwanted;
    case.copy(&["s"]).unwrap();
    assert_eq!(fs::read(case.target.path().join("d/long")).unwrap(), long);
}

#[test]
fn user_attributes_travel_with_files_and_directories() {
    let case = Case::new("d/").source(&["s/x/f"]);
    let set = |path: &str| {
        let file = fs::File::open(case.source.path().join(path)).unwrap();
        rustix::fs::fsetxattr(&file, "user.note", b"kept", rustix::fs::XattrFlags::empty())
    };
    if set("s/x/f").and_then(|()| set("s/x")).is_err() {
        return;
    }
    case.copy(&["s"]).unwrap();
    for path in ["d/x", "d/x/f"] {
        let file = fs::File::open(case.target.path().join(path)).unwrap();
        let mut value = [0; 16];
        let length = rustix::fs::fgetxattr(&file, "user.note", &mut value[..]).unwrap();
        assert_eq!(value.get(..length), Some(&b"kept"[..]), "{path}");
    }
}

#[test]
fn a_recorded_owner_goes_when_root_takes_a_directory_over() {
    let mut case = Case::new("d/").source(&["s/x/f"]);
    let recorded = |case: &Case| {
        let file = fs::File::open(case.target.path().join("d/x")).unwrap();
        rustix::fs::fgetxattr(&file, "user.stratum.owner", &mut [0_u8; 32][..])
    };
    case.request.owner = Some(Ids { uid: 7, gid: 8 });
    if case.copy(&["s"]).is_err() {
        return;
    }
    assert_eq!(recorded(&case), Ok(3));
    case.request.owner = Some(Ids::ROOT);
    case.copy(&["s"]).unwrap();
    assert_eq!(recorded(&case), Err(rustix::io::Errno::NODATA));
}

#[test]
fn whole_paths_begin_behind_the_pivot() {
    let case = Case::new("d/").source(&["x/y/f"]);
    let tree = Tree::new(fs::File::open(case.source.path()).unwrap().into(), Path::new("context"), None);
    let entries = ["x", "x/y", "x/y/f"].map(|path| tree.look_at(Path::new(path)).unwrap());
    let below = |pivot: &str| {
        let item = Item { entries: entries.to_vec(), names: Names::Whole { pivot: pivot.into() } };
        entries.iter().map(|entry| item.below(entry).map(|path| path.display().to_string())).collect::<Vec<_>>()
    };
    assert_eq!(below(""), [Some("x".to_owned()), Some("x/y".to_owned()), Some("x/y/f".to_owned())]);
    assert_eq!(below("x"), [None, Some("y".to_owned()), Some("y/f".to_owned())]);
    for pivot in ["x/y", "x/*"] {
        assert_eq!(below(pivot), [Some("x".to_owned()), None, Some("f".to_owned())], "{pivot}");
    }
}
