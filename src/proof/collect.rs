//! Finding package databases in an image, and the file that says which distribution it is of.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci::layer::{PickLimits, PickedFile, Picker, open_inside};
use rpm::database::{DATABASE_FILES, DATABASE_PATHS, Format, MAX_FILE};
use rustix::fs::{OFlags, fstat};
use transport::{Keep, SourceImage, TransportError, Transports};

use crate::distribution::{Distribution, MAX_OS_RELEASE, OS_RELEASE_PATHS};

/// One package database, copied out of the image with its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Where it is in the image.
    pub in_image: PathBuf,
    /// Where the copy is.
    pub copy: PathBuf,
}

/// What is looked at in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Its package databases.
    pub databases: Vec<Database>,
    /// The distribution it says it is of.
    pub distribution: Option<Distribution>,
}

/// Everything that is looked at: paths without a leading slash, the databases' directories first.
pub const LOOKED_AT: [&str; DATABASE_PATHS.len() + OS_RELEASE_PATHS.len()] = {
    let [one, two, three, four] = DATABASE_PATHS;
    let [etc, usr] = OS_RELEASE_PATHS;
    [one, two, three, four, etc, usr]
};

/// Why databases could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The kernel refused.
    #[error("{path}: cannot {action}")]
    Io {
        /// What was touched, in the image or in the scratch directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file of the database is larger than any real one.
    #[error("{path}: the package database is larger than {MAX_FILE} bytes")]
    TooLarge {
        /// The file in the image.
        path: PathBuf,
    },
    /// The image cannot be fetched.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A layer's bytes are not those of its digest, or end early.
    #[error("layer {digest}: cannot be read to its end")]
    Unverified {
        /// The layer's blob.
        digest: oci::Digest,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// A layer cannot be read.
    #[error("layer {digest}: cannot be searched for package databases")]
    Layer {
        /// The layer's blob.
        digest: oci::Digest,
        /// What is wrong.
        #[source]
        source: oci::layer::PickError,
    },
}

/// What is in an unpacked image; `scratch` (an existing directory) gets the copies of databases.
///
/// # Errors
/// [`CollectError::Io`], [`CollectError::TooLarge`].
pub fn from_tree(root: BorrowedFd<'_>, scratch: &Path) -> Result<Collected, CollectError> {
    Ok(Collected { databases: databases_of(root, scratch)?, distribution: distribution_of(root) })
}

/// An os-release that cannot be read is none: it is decoration.
fn distribution_of(root: BorrowedFd<'_>) -> Option<Distribution> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = OS_RELEASE_PATHS.iter().find_map(|path| open(root, Path::new(path), flags).ok().flatten())?;
    read_distribution(File::from(file))
}

fn read_distribution(file: File) -> Option<Distribution> {
    // A device could be endless, and reading one may have effects.
    file.metadata().ok().filter(|metadata| metadata.is_file())?;
    let mut bytes = Vec::new();
    file.take(MAX_OS_RELEASE).read_to_end(&mut bytes).ok()?;
    Distribution::parse(&bytes)
}

fn databases_of(root: BorrowedFd<'_>, scratch: &Path) -> Result<Vec<Database>, CollectError> {
    let mut seen = Vec::new();
    let mut databases = Vec::new();
    for (number, path) in DATABASE_PATHS.iter().enumerate() {
        let Some(directory) = open(root, Path::new(path), OFlags::PATH | OFlags::DIRECTORY)? else { continue };
        let stat = fstat(&directory).map_err(|error| io(path, "examine a directory", error))?;
        // One of the usual places is often a symbolic link to another.
        if seen.contains(&(stat.st_dev, stat.st_ino)) {
            continue;
        }
        seen.push((stat.st_dev, stat.st_ino));
        databases.extend(copy_directory(&directory, Path::new(path), &scratch.join(number.to_string()))?);
    }
    Ok(databases)
}

fn copy_directory(directory: &OwnedFd, path: &Path, to: &Path) -> Result<Vec<Database>, CollectError> {
    use std::os::fd::AsFd;
    let mut databases = Vec::new();
    for name in DATABASE_FILES {
        let in_image = path.join(name);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let Some(file) = open(directory.as_fd(), Path::new(name), flags)? else { continue };
        std::fs::create_dir_all(to).map_err(|source| failed(to, "make a directory", source))?;
        copy(File::from(file), &in_image, &to.join(name))?;
        if Format::of_file(OsStr::new(name)).is_some() {
            databases.push(Database { in_image, copy: to.join(name) });
        }
    }
    Ok(databases)
}

fn copy(file: File, in_image: &Path, to: &Path) -> Result<(), CollectError> {
    let metadata = file.metadata().map_err(|source| failed(in_image, "examine a file", source))?;
    if !metadata.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(failed(in_image, "read a package database", source));
    }
    let mut copy = File::create_new(to).map_err(|source| failed(to, "create a file", source))?;
    let copied = io::copy(&mut file.take(MAX_FILE + 1), &mut copy);
    if copied.map_err(|source| failed(in_image, "copy a package database", source))? > MAX_FILE {
        return Err(CollectError::TooLarge { path: in_image.to_owned() });
    }
    Ok(())
}

fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<Option<OwnedFd>, CollectError> {
    use rustix::io::Errno;
    match open_inside(root, path, flags) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(io(path, "open a package database", error)),
    }
}

/// What is in an image that is not unpacked: its layers are read once, from the base up.
///
/// # Errors
/// [`CollectError`].
pub fn from_image(transports: &Transports, image: &SourceImage, scratch: &Path) -> Result<Collected, CollectError> {
    let wanted = |path: &Path| {
        if is_os_release(path) {
            return true;
        }
        let directory = path.parent().and_then(Path::to_str).unwrap_or_default();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        DATABASE_PATHS.contains(&directory) && DATABASE_FILES.contains(&name)
    };
    let picked = scratch.join("picked");
    std::fs::create_dir_all(&picked).map_err(|source| failed(&picked, "make a directory", source))?;
    let mut picker = Picker::new(&picked, PickLimits::default(), wanted);
    for (position, layer) in image.manifest.layers.iter().enumerate() {
        let mut tar = transports.layer_tar(image, position, Keep::Nothing)?;
        picker.layer(&mut tar).map_err(|source| CollectError::Layer { digest: layer.digest.clone(), source })?;
        // Only now is it known that the bytes were those the manifest names.
        tar.finish().map_err(|source| CollectError::Unverified { digest: layer.digest.clone(), source })?;
    }
    let (mut files, mut others) = (BTreeMap::new(), BTreeMap::new());
    for (path, file) in picker.finish() {
        if is_os_release(&path) {
            others.insert(path, file);
            continue;
        }
        match file {
            PickedFile::Regular { content, .. } => drop(files.insert(path, content)),
            PickedFile::Symlink { .. } | PickedFile::Directory | PickedFile::Special => {
                let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
                return Err(failed(&path, "read a package database", source));
            }
        }
    }
    Ok(Collected { databases: arrange(files, scratch)?, distribution: picked_distribution(&others) })
}

/// Whether a path is an os-release, or where distributions keep what it is a link to.
fn is_os_release(path: &Path) -> bool {
    OS_RELEASE_PATHS.iter().any(|known| path == Path::new(known)) || path.starts_with("usr/lib/os.release.d")
}

/// The os-release among picked files, links followed as far as their targets were picked.
fn picked_distribution(files: &BTreeMap<PathBuf, PickedFile>) -> Option<Distribution> {
    const LINKS: usize = 8;
    let found = |path: &str| {
        let mut path = PathBuf::from(path);
        for _ in 0..LINKS {
            match files.get(&path)? {
                PickedFile::Regular { content, .. } => return File::open(content).ok(),
                PickedFile::Symlink { target } => path = resolved(path.parent()?, target),
                PickedFile::Directory | PickedFile::Special => return None,
            }
        }
        None
    };
    OS_RELEASE_PATHS.iter().find_map(|path| found(path)).and_then(read_distribution)
}

/// Where a link in `directory` leads, as a path from the image's root.
fn resolved(directory: &Path, target: &Path) -> PathBuf {
    use std::path::Component;
    let mut path = PathBuf::new();
    let whole = directory.join(target);
    for component in whole.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// Puts picked files side by side under their own names, a directory each.
fn arrange(files: BTreeMap<PathBuf, PathBuf>, scratch: &Path) -> Result<Vec<Database>, CollectError> {
    let mut databases = Vec::new();
    for (in_image, picked) in files {
        let directory = in_image.parent().and_then(Path::to_str).unwrap_or_default();
        let Some(number) = DATABASE_PATHS.iter().position(|path| *path == directory) else { continue };
        let (to, name) = (scratch.join(number.to_string()), in_image.file_name().unwrap_or_default());
        std::fs::create_dir_all(&to).map_err(|source| failed(&to, "make a directory", source))?;
        std::fs::rename(&picked, to.join(name)).map_err(|source| failed(&picked, "move a file", source))?;
        if Format::of_file(name).is_some() {
            databases.push(Database { copy: to.join(name), in_image });
        }
    }
    Ok(databases)
}

fn io(path: impl AsRef<Path>, action: &'static str, error: rustix::io::Errno) -> CollectError {
    failed(path.as_ref(), action, error.into())
}

fn failed(path: &Path, action: &'static str, source: io::Error) -> CollectError {
    CollectError::Io { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;

    fn name(found: Option<&Distribution>) -> String {
        found.map(Distribution::name).unwrap_or_default()
    }

    #[test]
    fn the_distribution_is_found_behind_links_that_stay_in_the_image() {
        let folder = tempfile::tempdir().unwrap();
        let (etc, lib) = (folder.path().join("etc"), folder.path().join("usr/lib"));
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::create_dir_all(&lib).unwrap();
        std::fs::write(lib.join("os-release"), "ID=fedora\nVERSION_ID=42\n").unwrap();
        symlink("/usr/lib/os-release", etc.join("os-release")).unwrap();
        let root = File::open(folder.path()).unwrap();
        let found = from_tree(root.as_fd(), folder.path()).unwrap();
        assert_eq!((name(found.distribution.as_ref()), found.databases), ("fedora-42".to_owned(), Vec::new()));
    }

    #[test]
    fn a_link_between_picked_files_leads_where_it_does_in_a_tree() {
        let folder = tempfile::tempdir().unwrap();
        let content = folder.path().join("0");
        std::fs::write(&content, "ID=a\n").unwrap();
        let link = |target: &str| PickedFile::Symlink { target: target.into() };
        let regular = PickedFile::Regular { content, size: 5, mode: 0o644 };
        for (first, second) in
            [("../usr/lib/os-release", "os.release.d/a"), ("/usr/lib/os-release", "/usr/lib/os.release.d/a")]
        {
            let files = BTreeMap::from([
                (PathBuf::from("etc/os-release"), link(first)),
                (PathBuf::from("usr/lib/os-release"), link(second)),
                (PathBuf::from("usr/lib/os.release.d/a"), regular.clone()),
            ]);
            assert_eq!(name(picked_distribution(&files).as_ref()), "a");
        }
        let files = BTreeMap::from([(PathBuf::from("etc/os-release"), link("os-release"))]);
        assert_eq!(picked_distribution(&files), None, "a link to itself");
    }
}
