//! Mounts as the builder itself makes them; the child's are operations.
//!
//! What comes in: descriptors, and names relative to the current directory of the calling thread.
//! What goes out: descriptors of detached mounts. It never chooses options.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags};

use crate::raw;

/// Attributes of a mount (`MOUNT_ATTR_…` of mount_setattr(2)), to be added together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes;

impl Attributes {
    /// No attribute.
    pub const NONE: u64 = 0;
    /// Nothing can be written through the mount.
    pub const READ_ONLY: u64 = 0x1;
    /// Set-user-id bits and file capabilities have no effect.
    pub const NO_SUID: u64 = 0x2;
    /// Device nodes cannot be opened.
    pub const NO_DEV: u64 = 0x4;
    /// Programs cannot be executed.
    pub const NO_EXEC: u64 = 0x8;
}

/// Makes every mount of this namespace private: nothing goes out, nothing comes in.
///
/// # Errors
/// EPERM outside an own mount namespace, EINVAL where `/` is no mount point.
pub fn set_private() -> io::Result<()> {
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?;
    Ok(())
}

/// Mounts an overlay on `target` with an option string; names are relative to the calling
/// thread's current directory.
///
/// # Errors
/// What mount(2) says.
pub fn mount_overlay(target: &Path, options: &str) -> io::Result<()> {
    let kind = Some("overlay");
    nix::mount::mount(kind, target, kind, MsFlags::empty(), Some(options))?;
    Ok(())
}

/// Detaches the mount whose root `mount` is open at; it goes away with its last user.
///
/// # Errors
/// EINVAL where `mount` is not the root of a mount of this namespace.
pub fn unmount_lazily(mount: BorrowedFd<'_>) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    nix::mount::umount2(path.as_str(), MntFlags::MNT_DETACH)?;
    Ok(())
}

/// Gives the calling thread a current directory of its own and sets it.
///
/// # Errors
/// What unshare(2) and fchdir(2) say.
pub fn unshare_directory(directory: BorrowedFd<'_>) -> io::Result<()> {
    raw::unshare(libc::CLONE_FS).and_then(|()| raw::fchdir(directory.as_raw_fd())).map_err(io::Error::from_raw_os_error)
}

/// A file system being configured (fsopen(2)).
#[derive(Debug)]
pub struct FsContext(OwnedFd);

impl FsContext {
    /// A new one of this type.
    ///
    /// # Errors
    /// ENODEV for an unknown type, ENOSYS before Linux 5.2, EPERM without privilege.
    pub fn open(kind: &CStr) -> io::Result<Self> {
        raw::fsopen(kind).map(owned).map(Self).map_err(os)
    }

    /// Sets an option; with an empty value, a flag. The kernel takes at most 255 bytes.
    ///
    /// # Errors
    /// EINVAL for an option this kernel does not know.
    pub fn set(&self, key: &CStr, value: &CStr) -> io::Result<()> {
        raw::fsconfig_set(self.0.as_raw_fd(), key, value).map_err(os)
    }

    /// Creates it and returns the mount, attached nowhere.
    ///
    /// # Errors
    /// What the file system says.
    pub fn mount(&self, attributes: u64) -> io::Result<OwnedFd> {
        raw::fsconfig_create(self.0.as_raw_fd())
            .and_then(|()| raw::fsmount(self.0.as_raw_fd(), attributes))
            .map(owned)
            .map_err(os)
    }
}

/// A detached copy of the mount tree at an absolute path or at a path relative to the current
/// directory.
///
/// # Errors
/// EINVAL where the path lies in another mount namespace, ENOSYS before Linux 5.2.
pub fn bind_tree(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    raw::open_tree(libc::AT_FDCWD, &path, recursive).map(owned).map_err(os)
}

/// Attaches a detached mount where `target` was opened.
///
/// # Errors
/// What move_mount(2) says.
pub fn move_mount(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    raw::move_mount(mount.as_raw_fd(), target.as_raw_fd()).map_err(os)
}

/// Adds attributes to a mount.
///
/// # Errors
/// ENOSYS before Linux 5.12.
pub fn set_attributes(mount: BorrowedFd<'_>, attributes: u64, recursive: bool) -> io::Result<()> {
    raw::mount_setattr(mount.as_raw_fd(), attributes, recursive).map_err(os)
}

fn owned(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just handed it out, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn os(errno: raw::Errno) -> io::Error {
    io::Error::from_raw_os_error(errno)
}
