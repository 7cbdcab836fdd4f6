//! Single system calls as the child between `clone` and `exec` may make them.
//!
//! Every function here is async-signal-safe: no allocation, no lock, no panic. What comes in: raw
//! descriptors and C strings that live as long as the call. What goes out: the kernel's answer or
//! its error number. Nothing here retries or closes on its own, except where a doc comment says so.

use std::ffi::CStr;
use std::os::fd::RawFd;

use libc::{c_int, c_long};

/// An error number of the kernel, positive.
pub(crate) type Errno = i32;

pub(crate) const FSOPEN_CLOEXEC: usize = 1;
pub(crate) const FSMOUNT_CLOEXEC: usize = 1;
pub(crate) const FSCONFIG_SET_FLAG: usize = 0;
pub(crate) const FSCONFIG_SET_STRING: usize = 1;
pub(crate) const FSCONFIG_CMD_CREATE: usize = 6;
pub(crate) const MOVE_MOUNT_F_EMPTY_PATH: usize = 0x4;
pub(crate) const MOVE_MOUNT_T_EMPTY_PATH: usize = 0x40;
pub(crate) const OPEN_TREE_CLONE: usize = 1;
pub(crate) const OPEN_TREE_CLOEXEC: usize = libc::O_CLOEXEC as usize;
pub(crate) const AT_EMPTY_PATH: usize = libc::AT_EMPTY_PATH as usize;
pub(crate) const AT_RECURSIVE: usize = 0x8000;

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// `struct open_how` of openat2(2).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// The calling thread's last error number.
pub(crate) fn last_errno() -> Errno {
    // `last_os_error` reads errno and allocates nothing.
    std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// One system call with up to six arguments.
///
/// # Safety
/// The arguments must be what the system call `number` takes: pointers among them must be valid
/// for the sizes the kernel reads or writes.
pub(crate) unsafe fn call(number: c_long, args: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the caller vouches for the arguments.
    let answer = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    usize::try_from(answer).map_err(|_| last_errno())
}

fn fd_of(answer: usize) -> RawFd {
    // The kernel hands out descriptors that fit an int.
    RawFd::try_from(answer).unwrap_or(-1)
}

fn word(fd: RawFd) -> usize {
    // Sign extension is wanted: AT_FDCWD is negative.
    fd as isize as usize
}

fn address(text: &CStr) -> usize {
    text.as_ptr() as usize
}

pub(crate) fn fsopen(kind: &CStr) -> Result<RawFd, Errno> {
    // SAFETY: `kind` is a C string.
    unsafe { call(libc::SYS_fsopen, [address(kind), FSOPEN_CLOEXEC, 0, 0, 0, 0]) }.map(fd_of)
}

/// Sets `key` to `value`, or as a flag where `value` is empty.
pub(crate) fn fsconfig_set(context: RawFd, key: &CStr, value: &CStr) -> Result<(), Errno> {
    let (command, value) =
        if value.is_empty() { (FSCONFIG_SET_FLAG, 0) } else { (FSCONFIG_SET_STRING, address(value)) };
    // SAFETY: `key` and `value` are C strings; a flag takes a null value.
    unsafe { call(libc::SYS_fsconfig, [word(context), command, address(key), value, 0, 0]) }.map(drop)
}

pub(crate) fn fsconfig_create(context: RawFd) -> Result<(), Errno> {
    // SAFETY: the command takes neither key nor value.
    unsafe { call(libc::SYS_fsconfig, [word(context), FSCONFIG_CMD_CREATE, 0, 0, 0, 0]) }.map(drop)
}

pub(crate) fn fsmount(context: RawFd, attributes: u64) -> Result<RawFd, Errno> {
    // SAFETY: three integers.
    unsafe { call(libc::SYS_fsmount, [word(context), FSMOUNT_CLOEXEC, attributes as usize, 0, 0, 0]) }.map(fd_of)
}

/// A detached copy of the mount tree at `path` relative to `directory`, or of `directory` itself
/// where `path` is empty.
pub(crate) fn open_tree(directory: RawFd, path: &CStr, recursive: bool) -> Result<RawFd, Errno> {
    let mut flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    if recursive {
        flags |= AT_RECURSIVE;
    }
    // SAFETY: `path` is a C string.
    unsafe { call(libc::SYS_open_tree, [word(directory), address(path), flags, 0, 0, 0]) }.map(fd_of)
}

/// Attaches the detached tree `mount` on the place that `target` was opened at.
pub(crate) fn move_mount(mount: RawFd, target: RawFd) -> Result<(), Errno> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are empty C strings.
    unsafe { call(libc::SYS_move_mount, [word(mount), address(c""), word(target), address(c""), flags, 0]) }.map(drop)
}

pub(crate) fn mount_setattr(mount: RawFd, set: u64, recursive: bool) -> Result<(), Errno> {
    let attributes = MountAttr { set, clear: 0, propagation: 0, userns: 0 };
    let mut flags = AT_EMPTY_PATH;
    if recursive {
        flags |= AT_RECURSIVE;
    }
    // SAFETY: the structure outlives the call and its size is given.
    unsafe {
        call(
            libc::SYS_mount_setattr,
            [word(mount), address(c""), flags, &raw const attributes as usize, size_of::<MountAttr>(), 0],
        )
    }
    .map(drop)
}

/// An `O_PATH` descriptor of `path`, with `directory` as the root that no `..` and no symbolic
/// link leaves. `follow` says whether a symbolic link as last component is followed.
pub(crate) fn open_in_root(directory: RawFd, path: &CStr, follow: bool) -> Result<RawFd, Errno> {
    let mut flags = libc::O_PATH | libc::O_CLOEXEC;
    if !follow {
        flags |= libc::O_NOFOLLOW;
    }
    let how = OpenHow { flags: flags as u64, mode: 0, resolve: libc::RESOLVE_IN_ROOT };
    // SAFETY: `path` is a C string; the structure outlives the call and its size is given.
    unsafe {
        call(libc::SYS_openat2, [word(directory), address(path), &raw const how as usize, size_of::<OpenHow>(), 0, 0])
    }
    .map(fd_of)
}

pub(crate) fn close(fd: RawFd) {
    // SAFETY: an integer. The answer cannot matter: the descriptor is gone either way (close(2)).
    let _ = unsafe { call(libc::SYS_close, [word(fd), 0, 0, 0, 0, 0]) };
}

pub(crate) fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: three integers.
    unsafe { call(libc::SYS_close_range, [first as usize, last as usize, 0, 0, 0, 0]) }.map(drop)
}

pub(crate) fn fchdir(fd: RawFd) -> Result<(), Errno> {
    // SAFETY: an integer.
    unsafe { call(libc::SYS_fchdir, [word(fd), 0, 0, 0, 0, 0]) }.map(drop)
}

pub(crate) fn chdir(path: &CStr) -> Result<(), Errno> {
    // SAFETY: `path` is a C string.
    unsafe { call(libc::SYS_chdir, [address(path), 0, 0, 0, 0, 0]) }.map(drop)
}

pub(crate) fn mkdirat(directory: RawFd, path: &CStr, mode: u32) -> Result<(), Errno> {
    // SAFETY: `path` is a C string.
    unsafe { call(libc::SYS_mkdirat, [word(directory), address(path), mode as usize, 0, 0, 0]) }.map(drop)
}

pub(crate) fn symlinkat(target: &CStr, directory: RawFd, path: &CStr) -> Result<(), Errno> {
    // SAFETY: both are C strings.
    unsafe { call(libc::SYS_symlinkat, [address(target), word(directory), address(path), 0, 0, 0]) }.map(drop)
}

/// A new file with `contents`; its mode is set past the umask.
pub(crate) fn make_file(directory: RawFd, path: &CStr, mode: u32, contents: &[u8]) -> Result<(), Errno> {
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    // SAFETY: `path` is a C string.
    let fd = unsafe { call(libc::SYS_openat, [word(directory), address(path), flags as usize, mode as usize, 0, 0]) }
        .map(fd_of)?;
    let written = write_all(fd, contents).and_then(|()| fchmod(fd, mode));
    close(fd);
    written
}

pub(crate) fn fchmod(fd: RawFd, mode: u32) -> Result<(), Errno> {
    // SAFETY: two integers.
    unsafe { call(libc::SYS_fchmod, [word(fd), mode as usize, 0, 0, 0, 0]) }.map(drop)
}

/// The owner of a file; a symbolic link is not followed.
pub(crate) fn lchownat(directory: RawFd, path: &CStr, uid: u32, gid: u32) -> Result<(), Errno> {
    let flags = libc::AT_SYMLINK_NOFOLLOW as usize;
    // SAFETY: `path` is a C string.
    unsafe { call(libc::SYS_fchownat, [word(directory), address(path), uid as usize, gid as usize, flags, 0]) }
        .map(drop)
}

/// Writes all of `bytes`, again after a short write or an interruption.
pub(crate) fn write_all(fd: RawFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut rest = bytes;
    while !rest.is_empty() {
        // SAFETY: the kernel reads `rest.len()` bytes of `rest`.
        let answer = unsafe { call(libc::SYS_write, [word(fd), rest.as_ptr() as usize, rest.len(), 0, 0, 0]) };
        match answer {
            Ok(0) => return Err(libc::EIO),
            Ok(count) => rest = rest.get(count..).unwrap_or(&[]),
            Err(libc::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

pub(crate) fn unshare(flags: c_int) -> Result<(), Errno> {
    // SAFETY: an integer.
    unsafe { call(libc::SYS_unshare, [flags as usize, 0, 0, 0, 0, 0]) }.map(drop)
}

/// Makes the current directory, a mount point, the root, and lets the old root go.
pub(crate) fn pivot_to_current_directory() -> Result<(), Errno> {
    // SAFETY: C strings throughout.
    unsafe {
        call(libc::SYS_pivot_root, [address(c"."), address(c"."), 0, 0, 0, 0])?;
        // The old root lies on top of the new one now, at the same place.
        call(libc::SYS_umount2, [address(c"."), libc::MNT_DETACH as usize, 0, 0, 0, 0])?;
    }
    chdir(c"/")
}

/// Makes every mount of the namespace private.
pub(crate) fn make_private() -> Result<(), Errno> {
    let flags = (libc::MS_REC | libc::MS_PRIVATE) as usize;
    // SAFETY: C strings, and null for what a change of propagation does not look at.
    unsafe { call(libc::SYS_mount, [0, address(c"/"), 0, flags, 0, 0]) }.map(drop)
}

/// prctl(2) with integer arguments.
pub(crate) fn prctl(option: c_int, arg: usize) -> Result<usize, Errno> {
    prctl2(option, arg, 0)
}

pub(crate) fn prctl2(option: c_int, first: usize, second: usize) -> Result<usize, Errno> {
    // SAFETY: all callers in this crate use options whose arguments are integers.
    unsafe { call(libc::SYS_prctl, [option as usize, first, second, 0, 0, 0]) }
}

pub(crate) fn setgroups(groups: &[u32]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `len` 32-bit ids.
    unsafe { call(libc::SYS_setgroups, [groups.len(), groups.as_ptr() as usize, 0, 0, 0, 0]) }.map(drop)
}

/// Real, effective, saved and file system user id of this thread alone.
pub(crate) fn setresuid(id: u32) -> Result<(), Errno> {
    let id = id as usize;
    // SAFETY: three integers.
    unsafe { call(libc::SYS_setresuid, [id, id, id, 0, 0, 0]) }.map(drop)
}

/// Real, effective, saved and file system group id of this thread alone.
pub(crate) fn setresgid(id: u32) -> Result<(), Errno> {
    let id = id as usize;
    // SAFETY: three integers.
    unsafe { call(libc::SYS_setresgid, [id, id, id, 0, 0, 0]) }.map(drop)
}
