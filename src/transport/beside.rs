//! Files that are written beside their place and get its name when they are whole.
//!
//! Comes in: paths of users; the caller has the user's rights. Goes out: files that nobody sees half-written. A
//! process that is killed leaves at most a file with a dot and this program's name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::ThreadPool;
use rustix::fs::{Mode, OFlags};

/// A file beside its place; dropped before [`Beside::take_place`] it is removed.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) file: File,
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "a temporary file stays behind");
        }
    }
}

impl Beside {
    /// A new file in `directory`.
    pub(crate) fn create(directory: &Path) -> io::Result<Self> {
        loop {
            let path = directory.join(fresh_name());
            match File::options().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { file, path, is_kept: false }),
                // Left behind by a process that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the file its place, on disk and all at once.
    pub(crate) fn take_place(mut self, place: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, place)?;
        self.is_kept = true;
        // The name is there; that it survives a crash too is worth a try only.
        drop(File::open(directory_of(place)).and_then(|directory| directory.sync_all()));
        Ok(())
    }
}

/// A value with files of the user, dropped by the user's threads: root inside may not remove them.
#[derive(Debug)]
pub(crate) struct OfUser<T: Send> {
    value: Option<T>,
    files: Arc<ThreadPool>,
}

impl<T: Send> OfUser<T> {
    pub(crate) fn new(value: T, files: &Arc<ThreadPool>) -> Self {
        Self { value: Some(value), files: Arc::clone(files) }
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }

    pub(crate) fn value_mut(&mut self) -> Option<&mut T> {
        self.value.as_mut()
    }

    /// Gives the value to the caller, on the user's threads.
    pub(crate) fn hand_over<R: Send>(mut self, to: impl FnOnce(T) -> R + Send) -> Option<R> {
        let value = self.value.take()?;
        Some(self.files.install(|| to(value)))
    }
}

impl<T: Send> Drop for OfUser<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.take() {
            self.files.install(|| drop(value));
        }
    }
}

/// The start of names that only killed processes leave.
pub(crate) const TEMPORARY: &str = ".stratum-";

fn fresh_name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    format!("{TEMPORARY}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// The directory a path is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    }
}

/// A file without a name in `directory`.
pub(crate) fn nameless(directory: &Path) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        // Not every file system has such files.
        Err(_) => {
            let mut named = Beside::create(directory)?;
            let file = named.file.try_clone()?;
            fs::remove_file(&named.path)?;
            named.is_kept = true;
            Ok(file)
        }
    }
}

/// Writes what `fill` gives to `path`: the name changes hands when all is on disk. A symlink there stays, and what
/// it leads to is replaced. A device or pipe is written to as it is.
///
/// # Errors
/// What `fill` or the kernel said; the file that was there is unchanged then.
pub fn replace_file(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let place = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => path.canonicalize()?,
        Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => return fill(&mut File::options().write(true).open(path)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let mut beside = Beside::create(directory_of(&place))?;
    fill(&mut beside.file)?;
    beside.take_place(&place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_when_it_is_whole_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "old").unwrap();
        let error = replace_file(&path, |to| to.write_all(b"ne").and(Err(io::Error::other("no")))).unwrap_err();
        assert_eq!((error.to_string().as_str(), fs::read_to_string(&path).unwrap().as_str()), ("no", "old"));
        replace_file(&path, |to| to.write_all(b"new")).unwrap();
        assert_eq!(
            (fs::read_to_string(&path).unwrap().as_str(), names(directory.path())),
            ("new", vec!["file".to_owned()])
        );
    }

    #[test]
    fn a_symlink_stays_and_a_device_is_written_to() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        replace_file(&link, |to| to.write_all(b"new")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink());
        replace_file(Path::new("/dev/null"), |to| to.write_all(b"x")).unwrap();
        assert!(!Path::new("/dev/null").is_file());
        assert!(replace_file(directory.path(), |_| Ok(())).is_err());
    }

    #[test]
    fn a_nameless_file_has_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = nameless(directory.path()).unwrap();
        file.write_all(b"x").unwrap();
        assert_eq!(names(directory.path()), Vec::<String>::new());
    }
}
