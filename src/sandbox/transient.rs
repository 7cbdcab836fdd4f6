//! Mounts that the builder makes for one step: a tree whose changes are thrown away, and an empty one in memory.
//!
//! What comes in: the directory to work in, and a folder of it that belongs to the mount. What goes out: a [`Root`],
//! unmounted when it is dropped; the folder is the caller's to remove then. Nothing is ever written to the tree below.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, Uid};

use crate::root::{MountError, Root, RootSpec, Sync, explain, make_directory, mount_overlay, open, own_ids};

/// The directory `lower` with everything written to it kept apart, in `folder` (relative to `base`).
///
/// Mounts below `lower` do not show.
///
/// # Errors
/// [`MountError`] names the folder.
pub fn mount_discarding(base: BorrowedFd<'_>, lower: BorrowedFd<'_>, folder: &Path) -> Result<Root, MountError> {
    let spec = RootSpec {
        base,
        lowers: Vec::new(),
        upper: folder.join("upper"),
        work: folder.join("work"),
        mount: folder.join("merged"),
    };
    for name in [&spec.upper, &spec.work, &spec.mount] {
        make_directory(base, name)?;
    }
    look_alike(&spec, lower)?;
    // Resolved in this process: the thread that mounts shares its descriptors.
    let lowers = [PathBuf::from(format!("/proc/self/fd/{}", lower.as_raw_fd()))];
    let mounted = match mount_overlay(&spec, &lowers, Sync::Volatile) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => mount_overlay(&spec, &lowers, Sync::Always),
        other => other,
    };
    mounted.map_err(|source| explain(&spec, lowers.len(), source))?;
    mounted_at(base, &spec.mount)
}

/// The upper directory shows as the root of the merged tree.
fn look_alike(spec: &RootSpec<'_>, lower: BorrowedFd<'_>) -> Result<(), MountError> {
    let copy = || -> std::io::Result<()> {
        let from = rustix::fs::fstat(lower)?;
        let upper = open(spec.base, &spec.upper)?;
        rustix::fs::fchown(&upper, Some(Uid::from_raw(from.st_uid)), Some(Gid::from_raw(from.st_gid)))?;
        rustix::fs::fchmod(&upper, Mode::from_raw_mode(from.st_mode & 0o7777))?;
        Ok(())
    };
    copy().map_err(|source| MountError::Prepare { path: spec.upper.clone(), source })
}

/// An empty file system in memory, mounted on `folder` (relative to `base`). `size` is in bytes; none means half of
/// the memory.
///
/// # Errors
/// [`MountError`] names the folder.
pub fn mount_memory(base: BorrowedFd<'_>, folder: &Path, size: Option<u64>, mode: u32) -> Result<Root, MountError> {
    make_directory(base, folder)?;
    let mount = || -> std::io::Result<()> {
        let context = sys::FsContext::open(c"tmpfs")?;
        context.set(c"mode", &CString::new(format!("{mode:o}"))?)?;
        if let Some(size) = size {
            context.set(c"size", &CString::new(size.to_string())?)?;
        }
        let mount = context.mount(sys::Attributes::NO_SUID | sys::Attributes::NO_DEV)?;
        sys::move_mount(mount.as_fd(), open(base, folder)?.as_fd())
    };
    mount().map_err(|source| MountError::Prepare { path: folder.to_owned(), source })?;
    mounted_at(base, folder)
}

fn mounted_at(base: BorrowedFd<'_>, folder: &Path) -> Result<Root, MountError> {
    let directory = open(base, folder).map_err(|source| MountError::Prepare { path: folder.to_owned(), source })?;
    Ok(Root { directory, ids: own_ids() })
}
