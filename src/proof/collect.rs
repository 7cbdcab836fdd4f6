//! Finding package databases in an image.

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

/// One package database, copied out of the image with its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Where it is in the image.
    pub in_image: PathBuf,
    /// Where the copy is.
    pub copy: PathBuf,
}

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

/// The databases of an unpacked image; `scratch` (an existing directory) gets the copies.
///
/// # Errors
/// [`CollectError::Io`], [`CollectError::TooLarge`].
pub fn from_tree(root: BorrowedFd<'_>, scratch: &Path) -> Result<Vec<Database>, CollectError> {
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

/// The databases of an image that is not unpacked: its layers are read once, from the base up.
///
/// # Errors
/// [`CollectError`].
pub fn from_image(transports: &Transports, image: &SourceImage, scratch: &Path) -> Result<Vec<Database>, CollectError> {
    let wanted = |path: &Path| {
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
    let mut files = BTreeMap::new();
    for (path, file) in picker.finish() {
        match file {
            PickedFile::Regular { content, .. } => drop(files.insert(path, content)),
            PickedFile::Symlink { .. } | PickedFile::Directory | PickedFile::Special => {
                let source = io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file");
                return Err(failed(&path, "read a package database", source));
            }
        }
    }
    arrange(files, scratch)
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
