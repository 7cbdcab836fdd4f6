//! A folder a story may fill, and who the story runs as. Everything in it belongs to that person.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::binary::Stratum;
use super::{is_root, skip};

/// Who runs the binary.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Person {
    /// Whoever runs the tests.
    Me,
    /// A user without subordinate ids, where the tests run as root; otherwise whoever runs them.
    Plain,
    /// A user with subordinate ids.
    WithSubids,
}

/// A user id and a group id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ids {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// No such user is in /etc/passwd, and none is needed: a pod's user is not there either.
const PLAIN: Ids = Ids { uid: 61_234, gid: 61_234 };

/// A temporary folder with a home, a store and a copy of the binary that its person can reach.
pub(crate) struct Scratch {
    dir: TempDir,
    person: Option<Ids>,
}

impl Scratch {
    /// A folder for whoever runs the tests.
    pub(crate) fn new() -> Self {
        Self::with(None)
    }

    /// A folder for `person`; skips aloud where this machine has no such person.
    pub(crate) fn of(person: Person) -> Option<Self> {
        match person {
            Person::Me => Some(Self::with(None)),
            Person::Plain => Some(Self::with(is_root().then_some(PLAIN))),
            Person::WithSubids => {
                let user = user_with_subids().or_else(|| skip("no user here has a range in /etc/subuid"))?;
                Some(Self::with(is_root().then_some(user)))
            }
        }
    }

    fn with(person: Option<Ids>) -> Self {
        let dir = tempfile::Builder::new().prefix("stratum-story-").tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let scratch = Self { dir, person };
        scratch.give(scratch.path());
        for folder in ["home", "tmp"] {
            scratch.folder(folder);
        }
        scratch
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path in the folder, as text for a command line.
    pub(crate) fn at(&self, path: &str) -> String {
        self.path().join(path).to_str().unwrap().to_owned()
    }

    /// The ids to run programs with; none means the ids of the tests.
    pub(crate) fn person(&self) -> Option<Ids> {
        self.person
    }

    /// Makes a folder, with the folders above it.
    pub(crate) fn folder(&self, path: &str) -> PathBuf {
        let mut made = self.path().to_owned();
        for part in Path::new(path).components() {
            made.push(part);
            if !made.exists() {
                fs::create_dir(&made).unwrap();
                self.give(&made);
            }
        }
        made
    }

    /// Writes a file, with the folders above it.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let file = self.path().join(path);
        if let Some(folder) = Path::new(path).parent() {
            self.folder(folder.to_str().unwrap());
        }
        fs::write(&file, content).unwrap();
        self.give(&file);
        file
    }

    /// Writes a build context that is one Dockerfile; returns the folder.
    pub(crate) fn context(&self, name: &str, dockerfile: &str) -> String {
        self.write(&format!("{name}/Dockerfile"), dockerfile);
        self.at(name)
    }

    /// Copies a file or a folder from outside to `path`, keeping modes and times, for this folder's person.
    pub(crate) fn copy(&self, from: &Path, path: &str) -> String {
        let to = self.path().join(path);
        if let Some(folder) = Path::new(path).parent() {
            self.folder(folder.to_str().unwrap());
        }
        self.copy_tree(from, &to);
        to.to_str().unwrap().to_owned()
    }

    fn copy_tree(&self, from: &Path, to: &Path) {
        let metadata = fs::symlink_metadata(from).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
        if metadata.is_symlink() {
            return symlink(fs::read_link(from).unwrap(), to).unwrap();
        }
        if metadata.is_dir() {
            fs::create_dir(to).unwrap();
            for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
                self.copy_tree(&entry.path(), &to.join(entry.file_name()));
            }
        } else {
            fs::copy(from, to).unwrap();
        }
        self.give(to);
        // A folder its owner may write, or a plain user could neither commit nor remove it.
        let writable = if metadata.is_dir() { 0o200 } else { 0 };
        fs::set_permissions(to, fs::Permissions::from_mode(metadata.permissions().mode() | writable)).unwrap();
        if !metadata.is_symlink() {
            fs::File::open(to).unwrap().set_modified(metadata.modified().unwrap()).unwrap();
        }
    }

    fn give(&self, path: &Path) {
        if let Some(Ids { uid, gid }) = self.person {
            chown(path, Some(uid), Some(gid)).unwrap();
        }
    }

    /// The binary, at a path this folder's person may execute.
    pub(crate) fn binary(&self) -> PathBuf {
        let built = Path::new(env!("CARGO_BIN_EXE_stratum"));
        if self.person.is_none() {
            return built.to_owned();
        }
        let copied = self.path().join("stratum");
        if !copied.exists() {
            fs::copy(built, &copied).unwrap();
            fs::set_permissions(&copied, fs::Permissions::from_mode(0o755)).unwrap();
        }
        copied
    }

    /// One run of the binary by this folder's person, with a clean environment and this folder's home and store.
    pub(crate) fn stratum<S: AsRef<str>>(&self, arguments: &[S]) -> Stratum {
        Stratum::new(self, arguments)
    }

    /// Every path below `path`, relative to it, sorted: to say what a run left behind.
    pub(crate) fn listing(&self, path: &str) -> Vec<String> {
        let root = self.path().join(path);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().map(Result::unwrap) {
                found.push(entry.path().strip_prefix(&root).unwrap().display().to_string());
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        found.sort();
        found
    }
}

impl Drop for Scratch {
    /// A store holds files of mapped ids and folders nobody may write: removes them in a user namespace if need be.
    fn drop(&mut self) {
        if fs::remove_dir_all(self.path()).is_err() {
            let inside = ["--map-root-user", "--map-auto", "--", "rm", "-rf", "--"];
            // What cannot be removed stays in /var/tmp: no reason to fail a story that passed.
            let _status = Command::new("unshare").args(inside).arg(self.path()).status();
        }
    }
}

/// The first user of /etc/passwd, other than root, with a range in /etc/subuid; for a test run that is not root's
/// own, only that user will do.
fn user_with_subids() -> Option<Ids> {
    let ranges = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let me = fs::metadata("/proc/self").unwrap().uid();
    let owners: Vec<&str> = ranges.lines().filter_map(|line| line.split(':').next()).collect();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let ids = Ids { uid: fields.nth(1)?.parse().ok()?, gid: fields.next()?.parse().ok()? };
        let listed = owners.contains(&name) || owners.contains(&ids.uid.to_string().as_str());
        (listed && ids.uid != 0 && (me == 0 || me == ids.uid)).then_some(ids)
    })
}
