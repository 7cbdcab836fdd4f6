//! Where in a stage's tree something goes: links resolved inside it, directories made on the way.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use oci::layer::open_inside;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, mkdirat, readlinkat, statat, unlinkat};
use rustix::io::Errno;

use super::{CopyError, CopyRequest, Links, io_error};
use crate::owner::{Ids, Owners};

/// What the sources are, as far as it decides about the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A regular file, which may be called like the destination.
    File,
    /// A directory, an archive, or several things: the destination is a directory.
    Directory,
    /// Something that keeps its name, such as a pipe.
    Other,
}

/// Where sources go, relative to the root, all links resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into this directory, under their names.
    Inside(PathBuf),
    /// Exactly there.
    As(PathBuf),
}

/// Decides where sources of `shape` go, and makes the directories they need (buildah's rules).
///
/// A file goes into a directory that is there, and takes the place of a file or of a link to one; a link to nothing
/// names a directory to be made.
pub(crate) fn place(
    root: BorrowedFd<'_>,
    request: &CopyRequest,
    shape: Shape,
    owners: Owners,
) -> Result<Place, CopyError> {
    let (owner, destination) = (request.owner.unwrap_or(Ids::ROOT), request.destination.as_path());
    let above = destination.parent().unwrap_or(Path::new(""));
    let (named, resolved) = match request.links {
        Links::Followed => (resolve(root, above)?, resolve(root, destination)?),
        Links::Replaced => {
            let above = names(above).collect::<PathBuf>();
            make(root, &above, (owner, owners), Links::Replaced)?;
            (above, names(destination).collect())
        }
    };
    let named = destination.file_name().map_or_else(PathBuf::new, |name| named.join(name));
    let must_be_directory = request.into_directory || shape == Shape::Directory;
    let place = match kind_at(root, &resolved) {
        Some(FileType::Directory) => Place::Inside(resolved),
        Some(FileType::RegularFile) if !must_be_directory => Place::As(named),
        Some(FileType::Symlink) if request.links == Links::Replaced && !must_be_directory => Place::As(named),
        Some(FileType::Symlink) if request.links == Links::Replaced => Place::Inside(resolved),
        Some(_) => return Err(CopyError::NotADirectory { destination: destination.to_owned() }),
        None if shape == Shape::File && !must_be_directory && kind_at(root, &named).is_none() => Place::As(named),
        None => Place::Inside(resolved),
    };
    let directory = match &place {
        Place::Inside(directory) => directory.as_path(),
        Place::As(file) => file.parent().unwrap_or(Path::new("")),
    };
    make(root, directory, (owner, owners), request.links)?;
    Ok(place)
}

/// Makes a directory and those above it, where they are missing; returns whether any was.
pub(crate) fn make_directories(
    root: BorrowedFd<'_>,
    path: &Path,
    owner: Ids,
    owners: Owners,
) -> Result<bool, CopyError> {
    make(root, &resolve(root, path)?, (owner, owners), Links::Followed)
}

/// Makes `resolved`, none of whose components is a link unless links are to be replaced.
fn make(
    root: BorrowedFd<'_>,
    resolved: &Path,
    (owner, owners): (Ids, Owners),
    links: Links,
) -> Result<bool, CopyError> {
    let mut is_made = false;
    let mut done = PathBuf::new();
    for name in resolved {
        let parent = open_directory(root, &done)?;
        done.push(name);
        let failed = |action| {
            let path = done.clone();
            move |error: Errno| io_error(&path, action, error)
        };
        let mode = Mode::from_raw_mode(0o755);
        let mut made = mkdirat(&parent, name, mode);
        if made == Err(Errno::EXIST) {
            let stat = statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("examine a directory"))?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Directory {
                continue;
            }
            if kind != FileType::Symlink || links != Links::Replaced {
                return Err(CopyError::NotADirectory { destination: Path::new("/").join(&done) });
            }
            unlinkat(&parent, name, AtFlags::empty()).map_err(failed("replace a link by a directory"))?;
            made = mkdirat(&parent, name, mode);
        }
        made.map_err(failed("make a directory"))?;
        is_made = true;
        owners.set(parent.as_fd(), name, owner).map_err(failed("set the owner of a directory"))?;
        let directory = open_directory(root, &done)?;
        fchmod(&directory, mode).map_err(failed("set the mode of a directory"))?;
    }
    Ok(is_made)
}

/// `path` with all symbolic links resolved inside `root`, those of missing files included, relative to `root`.
pub(crate) fn resolve(root: BorrowedFd<'_>, path: &Path) -> Result<PathBuf, CopyError> {
    follow(root, path, &mut |_| ())
}

/// Resolves `path` and tells every place on the way, that of links too.
pub(super) fn follow(root: BorrowedFd<'_>, path: &Path, passed: &mut dyn FnMut(&Path)) -> Result<PathBuf, CopyError> {
    const MAX_LINKS: u32 = 40;
    let mut pending: Vec<OsString> = names(path).rev().collect();
    let mut resolved = PathBuf::new();
    let mut links = 0;
    while let Some(name) = pending.pop() {
        if name == ".." {
            resolved.pop();
            continue;
        }
        let candidate = resolved.join(&name);
        passed(&candidate);
        match readlinkat(root, &candidate, Vec::new()) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(CopyError::Loop { path: path.to_owned() });
                }
                let target = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes())).to_owned();
                if target.is_absolute() {
                    resolved = PathBuf::new();
                }
                pending.extend(names(&target).collect::<Vec<_>>().into_iter().rev());
            }
            Err(_) => resolved = candidate,
        }
    }
    Ok(resolved)
}

/// The components of a path that say where to go: names and `..`.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

fn kind_at(root: BorrowedFd<'_>, resolved: &Path) -> Option<FileType> {
    let name = if resolved.as_os_str().is_empty() { Path::new(".") } else { resolved };
    statat(root, name, AtFlags::SYMLINK_NOFOLLOW).ok().map(|stat| FileType::from_raw_mode(stat.st_mode))
}

pub(super) fn open_directory(root: BorrowedFd<'_>, relative: &Path) -> Result<OwnedFd, CopyError> {
    open_inside(root, relative, OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(|error| io_error(relative, "open a directory", error))
}
