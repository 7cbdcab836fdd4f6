//! Files of a stage's base that no step sees: a directory of whiteouts between the base and what the stage changes.
//!
//! Comes in: the layers of the base and paths in them. Goes out: a directory of the store in overlay form, to be
//! mounted right above those layers while steps run. It is no layer of the image: what is hidden is there unchanged in
//! the image, unless a step made a file of that name, which then counts. Only what is there is hidden, so an image
//! gets no directory for it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use store::StoreError;

use crate::stage::{self, Stubs};
use crate::{BuildError, Workshop, copy};

/// Bytes of the longest extended attribute (Linux, `XATTR_SIZE_MAX`).
const MAX_XATTR: usize = 65536;

/// The mask that hides `files` of `lowers`, the topmost first; none where none of them is there.
pub(crate) fn make(
    workshop: &Workshop<'_>,
    files: &[PathBuf],
    lowers: &[PathBuf],
    label: &str,
) -> Result<Option<PathBuf>, BuildError> {
    if files.is_empty() || lowers.is_empty() {
        return Ok(None);
    }
    let failed = |source| {
        let path = workshop.store.shown().to_owned();
        BuildError::Store(StoreError::Io { path, action: "hide files of a base from steps", source })
    };
    let (root, _) = stage::mount(workshop, lowers, label, Stubs::Absent)?;
    let found = topmost(files.iter().filter_map(|file| find(root.dir(), file)).collect());
    if found.is_empty() {
        return Ok(None);
    }
    let folder = workshop.store.scratch().fresh_folder("mask").map_err(failed)?;
    let mask = store::open_directory(&workshop.store.path(&folder)).map_err(failed)?;
    fill(root.dir(), mask.as_fd(), &found).map_err(failed)?;
    Ok(Some(folder))
}

/// Where a file is, links on the way to it resolved; none where there is none. A link itself is not followed.
fn find(root: BorrowedFd<'_>, file: &Path) -> Option<PathBuf> {
    let parent = copy::resolve(root, file.parent()?).ok()?;
    let path = parent.join(file.file_name()?);
    rustix::fs::statat(root, &path, AtFlags::SYMLINK_NOFOLLOW).ok().map(|_| path)
}

/// Those that do not lie below another one, which hides them too.
fn topmost(found: BTreeSet<PathBuf>) -> BTreeSet<PathBuf> {
    let is_below = |file: &PathBuf| file.ancestors().skip(1).any(|above| found.contains(above));
    found.iter().filter(|file| !is_below(file)).cloned().collect()
}

/// Makes the whiteouts, in directories that look like those they hide.
fn fill(root: BorrowedFd<'_>, mask: BorrowedFd<'_>, found: &BTreeSet<PathBuf>) -> io::Result<()> {
    // The tree's root is one of them.
    let directories: BTreeSet<&Path> = found.iter().flat_map(|file| file.ancestors().skip(1)).collect();
    for directory in directories.iter().filter(|path| !path.as_os_str().is_empty()) {
        rustix::fs::mkdirat(mask, *directory, Mode::RWXU)?;
    }
    for file in found {
        rustix::fs::mknodat(mask, file, FileType::CharacterDevice, Mode::empty(), 0)?;
    }
    // Upwards, because what is made in a directory changes its time.
    directories.iter().rev().try_for_each(|directory| liken(root, mask, directory))
}

/// Gives a directory of the mask owner, mode, time and attributes of the one it lies over, which it would hide else.
fn liken(root: BorrowedFd<'_>, mask: BorrowedFd<'_>, directory: &Path) -> io::Result<()> {
    let name = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let open = |at| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(at, name, flags, Mode::empty())
    };
    let (from, to) = (open(root)?, open(mask)?);
    copy_attributes(&from, &to)?;
    let stat = rustix::fs::fstat(&from)?;
    rustix::fs::fchown(&to, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    rustix::fs::fchmod(&to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let time = |tv_sec, tv_nsec: u64| Timespec {
        tv_sec,
        // Below 10^9, whatever its type on this architecture.
        tv_nsec: tv_nsec as _,
    };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec as u64),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec as u64),
    };
    Ok(rustix::fs::futimens(&to, &times)?)
}

/// Copies the attributes that layers carry, the recorded owner among them. The overlay's own do not show.
fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let mut names = vec![0; MAX_XATTR];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Err(Errno::NOTSUP) => return Ok(()),
        listed => listed?,
    };
    for name in names.get(..length).unwrap_or_default().split(|byte| *byte == 0) {
        if !name.starts_with(b"user.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        let mut value = vec![0; MAX_XATTR];
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        rustix::fs::fsetxattr(to, name, value.get(..length).unwrap_or_default(), XattrFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        store::open_directory(path).unwrap()
    }

    #[test]
    fn a_file_is_found_through_links_to_directories_and_is_itself_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("usr/lib")).unwrap();
        symlink("/usr/lib", folder.path().join("lib")).unwrap();
        symlink("nowhere", folder.path().join("usr/lib/x")).unwrap();
        let root = open(folder.path());
        assert_eq!(find(root.as_fd(), Path::new("/lib/x")), Some("usr/lib/x".into()));
        assert_eq!(find(root.as_fd(), Path::new("/lib/y")), None);
        assert_eq!(find(root.as_fd(), Path::new("/")), None);
        assert_eq!(find(root.as_fd(), Path::new("/../../etc/..")), None);
    }

    #[test]
    fn what_lies_below_something_hidden_is_hidden_with_it() {
        let found = ["etc/d", "etc/d/x", "etc/dx"].map(PathBuf::from);
        assert_eq!(topmost(found.into()), ["etc/d", "etc/dx"].map(PathBuf::from).into());
    }

    #[test]
    fn whiteouts_lie_in_directories_like_those_of_the_base() {
        let folder = tempfile::tempdir().unwrap();
        let (base, mask) = (folder.path().join("base"), folder.path().join("mask"));
        fs::create_dir_all(base.join("etc/d")).unwrap();
        fs::create_dir(&mask).unwrap();
        fs::set_permissions(base.join("etc"), fs::Permissions::from_mode(0o2711)).unwrap();
        fs::File::open(base.join("etc")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        let found = ["etc/d/x", "etc/y"].map(PathBuf::from).into();
        if let Err(error) = fill(open(&base).as_fd(), open(&mask).as_fd(), &found) {
            assert_eq!(error.raw_os_error(), Some(1), "{error}");
            eprintln!("skipped: this kernel lets nobody but root make whiteouts");
            return;
        }
        let etc = fs::metadata(mask.join("etc")).unwrap();
        assert_eq!((etc.mode() & 0o7777, etc.mtime()), (0o2711, 0));
        let is_whiteout = |path: &str| fs::symlink_metadata(mask.join(path)).unwrap().file_type().is_char_device();
        assert!(is_whiteout("etc/d/x") && is_whiteout("etc/y"));
    }
}
