//! Directories that RUN steps keep between builds (`RUN --mount=type=cache`).
//!
//! Comes in: what a cache is called and whom it belongs to. Goes out: a directory and a lock that is held as long as
//! the step runs. No build and no collector of garbage may touch a directory whose lock it does not hold: whoever
//! removes one takes the lock alone first. What is in the directories is the steps' own and never trusted.
//!
//! ```text
//! caches/<owners>/<hash of name and owner>/<n>/lock    held, shared or alone, while a step uses the directory
//! caches/<owners>/<hash of name and owner>/<n>/data    the directory; <n> above 0 are private further ones
//! ```

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use oci::Digest;
use rustix::fs::RenameFlags;

use crate::{Store, StoreError};

/// What tells caches apart: two of one name but of different owners are two caches, as in buildah.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CacheName {
    /// The id, by default the target it is mounted on.
    pub id: String,
    /// The user it is made for.
    pub uid: u32,
    /// The group it is made for.
    pub gid: u32,
}

/// Who else may use a cache at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody but who wants it alone.
    Shared,
    /// Nobody; who comes second gets another directory.
    Private,
    /// Nobody; who comes second waits.
    Locked,
}

/// A cache in use; dropping it lets others have it.
#[derive(Debug)]
pub struct Cache {
    /// Its directory, relative to [`Store::directory`].
    pub path: PathBuf,
    /// Held, not read: the kernel lets go of the lock when the process dies.
    _lock: File,
}

/// How long a waiting step sleeps before it looks again.
const PAUSE: Duration = Duration::from_millis(50);
/// Directories of one private cache; more steps than that do not run at once.
const MAX_PRIVATE: u32 = 1000;

impl Store {
    /// Takes a cache, made if it is not there. `prepare` gives a new directory its owner and mode. Waiting ends when
    /// `is_cancelled` says so, and then the answer is none.
    ///
    /// # Errors
    /// [`StoreError::Io`] names the directory.
    pub fn cache(
        &self,
        name: &CacheName,
        sharing: Sharing,
        prepare: &dyn Fn(BorrowedFd<'_>) -> io::Result<()>,
        is_cancelled: &dyn Fn() -> bool,
    ) -> Result<Option<Cache>, StoreError> {
        let folder = self.cache_folder(name);
        let failed = |source| self.error(&folder, "keep a cache", source);
        let mut number = 0;
        loop {
            let place = folder.join(number.to_string());
            match self.try_cache(&place, sharing).map_err(failed)? {
                Some(lock) => {
                    let path = self.cache_directory(&place, prepare).map_err(failed)?;
                    return Ok(Some(Cache { path, _lock: lock }));
                }
                None if sharing == Sharing::Private && number < MAX_PRIVATE => number += 1,
                None if is_cancelled() => return Ok(None),
                None => thread::sleep(PAUSE),
            }
        }
    }

    fn cache_folder(&self, name: &CacheName) -> PathBuf {
        let key = Digest::of(format!("{}:{}:{}", name.id, name.uid, name.gid).as_bytes());
        Path::new("caches").join(&self.owners).join(key.hex())
    }

    /// The lock of one directory; none where others keep it.
    fn try_cache(&self, place: &Path, sharing: Sharing) -> io::Result<Option<File>> {
        let path = self.path(place);
        std::fs::create_dir_all(&path)?;
        let name = path.join("lock");
        let opened = File::options().create(true).truncate(false).write(true).open(&name);
        let lock = match opened {
            // Removed by a collector between the two lines above.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let locked = match sharing {
            Sharing::Shared => lock.try_lock_shared(),
            Sharing::Private | Sharing::Locked => lock.try_lock(),
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // A lock on a file that was removed meanwhile keeps nobody out.
        let is_same = name.metadata().is_ok_and(|found| lock.metadata().is_ok_and(|own| own.ino() == found.ino()));
        Ok(is_same.then_some(lock))
    }

    /// The directory, which has its owner and mode before it has its name.
    fn cache_directory(&self, place: &Path, prepare: &dyn Fn(BorrowedFd<'_>) -> io::Result<()>) -> io::Result<PathBuf> {
        let name = place.join("data");
        if self.path(&name).is_dir() {
            return Ok(name);
        }
        let fresh = self.scratch().fresh_folder("cache")?;
        prepare(File::open(self.path(&fresh))?.as_fd())?;
        let directory = self.directory();
        match rustix::fs::renameat_with(directory, &fresh, directory, &name, RenameFlags::NOREPLACE) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(name),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(directory: &Path) -> Store {
        Store::open(crate::open_directory(directory).unwrap(), directory, "test").unwrap()
    }

    fn name(id: &str, uid: u32) -> CacheName {
        CacheName { id: id.to_owned(), uid, gid: 0 }
    }

    fn take(store: &Store, name: &CacheName, sharing: Sharing) -> Option<Cache> {
        store.cache(name, sharing, &|_| Ok(()), &|| true).unwrap()
    }

    #[test]
    fn what_is_written_is_there_for_the_next_build_and_for_that_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let first = store(directory.path());
        let cache = take(&first, &name("../../etc", 1), Sharing::Shared).unwrap();
        std::fs::write(first.path(&cache.path).join("file"), "x").unwrap();
        drop((cache, first));
        let second = store(directory.path());
        let cache = take(&second, &name("../../etc", 1), Sharing::Locked).unwrap();
        assert!(second.path(&cache.path).join("file").exists());
        let other = take(&second, &name("../../etc", 2), Sharing::Locked).unwrap();
        assert!(!second.path(&other.path).join("file").exists());
        assert!(cache.path.starts_with("caches/test"));
    }

    #[test]
    fn a_shared_cache_is_one_and_a_locked_one_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        let one = take(&store, &name("a", 0), Sharing::Shared).unwrap();
        let two = take(&store, &name("a", 0), Sharing::Shared).unwrap();
        assert_eq!(one.path, two.path);
        assert!(take(&store, &name("a", 0), Sharing::Locked).is_none());
        drop((one, two));
        let alone = take(&store, &name("a", 0), Sharing::Locked).unwrap();
        assert!(take(&store, &name("a", 0), Sharing::Shared).is_none());
        drop(alone);
    }

    #[test]
    fn a_second_user_of_a_private_cache_gets_another_directory() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        let one = take(&store, &name("a", 0), Sharing::Private).unwrap();
        let two = take(&store, &name("a", 0), Sharing::Private).unwrap();
        assert_ne!(one.path, two.path);
        let path = one.path.clone();
        drop((one, two));
        assert_eq!(take(&store, &name("a", 0), Sharing::Private).unwrap().path, path);
    }

    #[test]
    fn a_waiting_step_gets_the_cache_when_it_is_free() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        let held = std::cell::RefCell::new(take(&store, &name("a", 0), Sharing::Locked));
        let let_go = || {
            drop(held.borrow_mut().take());
            false
        };
        assert!(store.cache(&name("a", 0), Sharing::Locked, &|_| Ok(()), &let_go).unwrap().is_some());
    }

    #[test]
    fn a_new_directory_is_prepared_once() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path());
        let times = std::cell::Cell::new(0);
        let prepare = |_: BorrowedFd<'_>| {
            times.set(times.get() + 1);
            Ok(())
        };
        for _ in 0..2 {
            drop(store.cache(&name("a", 0), Sharing::Shared, &prepare, &|| true).unwrap());
        }
        assert_eq!(times.get(), 1);
    }
}
