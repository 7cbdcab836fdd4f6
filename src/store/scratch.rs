//! One process's working directory, and the removal of those whose process is gone.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::StoreError;

/// A directory only this process works in; `lock` inside is locked as long as it lives.
#[derive(Debug)]
pub struct Scratch {
    name: PathBuf,
    path: PathBuf,
    next: AtomicU64,
    /// Held, not read: the kernel lets go of the lock when the process dies.
    _lock: File,
    /// Held so that `path`, which leads through it, stays good.
    _store: Arc<OwnedFd>,
}

const LOCK: &str = "lock";
/// How many names are tried before giving up: far more than processes can share a store.
const ATTEMPTS: u32 = 10_000;

impl Scratch {
    pub(crate) fn create(store: &Arc<OwnedFd>, root: &Path, shown: &Path) -> Result<Self, StoreError> {
        let folder = Path::new("scratch");
        for attempt in 0..ATTEMPTS {
            let name = folder.join(format!("{}-{attempt}", std::process::id()));
            let path = root.join(&name);
            match std::fs::create_dir(&path).and_then(|()| lock(&path)) {
                Ok(lock) => {
                    return Ok(Self { name, path, next: AtomicU64::new(0), _lock: lock, _store: Arc::clone(store) });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                // Another process took our new folder for a left-over before we could lock it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && root.join(folder).is_dir() => {}
                Err(source) => {
                    return Err(StoreError::Io { path: shown.join(&name), action: "make a scratch folder", source });
                }
            }
        }
        let source = io::ErrorKind::AlreadyExists.into();
        Err(StoreError::Io { path: shown.join(folder), action: "find a free scratch folder", source })
    }

    /// A name in the scratch directory not handed out before, relative to the store.
    #[must_use]
    pub fn fresh(&self, purpose: &str) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.name.join(format!("{purpose}-{number}"))
    }

    /// Makes a fresh directory and returns its name, relative to the store.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn fresh_folder(&self, purpose: &str) -> io::Result<PathBuf> {
        let name = self.fresh(purpose);
        let last = name.file_name().map(PathBuf::from).unwrap_or_default();
        std::fs::create_dir(self.path.join(last)).map(|()| name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_tree(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "scratch folder left for the next process");
        }
    }
}

fn lock(path: &Path) -> io::Result<File> {
    let file = File::create_new(path.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::NotFound.into()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes the scratch folders of the store at `store` whose lock nobody holds: their process was killed.
///
/// To be called by whoever may remove the files of every identity that worked there.
pub fn remove_left_overs(store: &Path) {
    let Ok(entries) = std::fs::read_dir(store.join("scratch")) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_free = match File::open(path.join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // Made an instant ago and not locked yet, or killed in that instant: age tells.
            Err(_) => is_old(&path),
        };
        if is_free && let Err(error) = remove_tree(&path) {
            tracing::debug!(path = %path.display(), %error, "left-over scratch folder could not be removed");
        }
    }
}

fn is_old(path: &Path) -> bool {
    let age = path.symlink_metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
    matches!(age, Ok(Ok(age)) if age.as_secs() > 60)
}

/// Removes a tree, directories without permissions included: overlay makes its `work/work` with mode 0, and tars have
/// them.
///
/// # Errors
/// What the kernel said about the first file that stays.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    if std::fs::remove_dir_all(path).is_ok() {
        return Ok(());
    }
    open_up(path);
    std::fs::remove_dir_all(path)
}

fn open_up(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // What cannot be opened up shows when it is removed.
    drop(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)));
    let Ok(entries) = std::fs::read_dir(path) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}
