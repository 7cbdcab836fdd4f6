//! Directories by descriptor: opening inside a root, listing, removing.
//!
//! Comes in: descriptors and names. Goes out: descriptors, names, and plain errors for the caller to give a path
//! to. It never follows a symlink out of the root it was given.

use std::collections::BTreeSet;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, Stat};
use rustix::io::{self, Errno};

/// What openat2 answers when a rename elsewhere made it unsure is tried again this often.
const RETRIES: u32 = 64;
const LISTING: usize = 32 << 10;

/// What a directory entry is, as far as listing tells.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) bytes: Vec<u8>,
    pub(super) is_directory: bool,
}

/// Opens `path` with every symlink resolved as if `root` were `/`; the empty path is the root.
pub(super) fn open_in_root(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    open(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens `path` with every symbolic link and every `..` resolved as if `root` were `/`; the empty path is the root.
///
/// # Errors
/// What the kernel says (openat2(2)); a walk that a rename elsewhere made unsure is tried again first.
pub fn open_inside(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    open_in_root(root, path.as_os_str().as_bytes(), flags)
}

/// Opens `path` below `root` if no component of it is a symlink; the empty path is the root.
pub(super) fn open_real(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> io::Result<OwnedFd> {
    open(root, path, flags, ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS)
}

fn open(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, resolve: ResolveFlags) -> io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = flags | OFlags::CLOEXEC;
    for _ in 0..RETRIES {
        match fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            answer => return answer,
        }
    }
    Err(Errno::AGAIN)
}

/// Calls `visit` with every name in `directory` except `.` and `..`, in no order.
pub(super) fn each_name<E: From<Errno>>(
    directory: impl AsFd,
    mut visit: impl FnMut(&[u8], FileType) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![MaybeUninit::uninit(); LISTING];
    let mut listing = RawDir::new(directory.as_fd(), &mut buffer);
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            visit(name, entry.file_type())?;
        }
    }
    Ok(())
}

/// The names in a directory that was just opened, sorted by bytes.
pub(super) fn list(directory: impl AsFd) -> io::Result<Vec<Name>> {
    let directory = directory.as_fd();
    let mut names = Vec::new();
    each_name::<Errno>(directory, |name, kind| {
        // Not every file system tells.
        let kind = if kind == FileType::Unknown { kind_at(directory, name)? } else { kind };
        names.push(Name { bytes: name.to_vec(), is_directory: kind == FileType::Directory });
        Ok(())
    })?;
    names.sort_unstable();
    Ok(names)
}

fn kind_at(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<FileType> {
    stat(directory, name).map(|stat| kind(&stat))
}

/// What `stat` is about.
pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The metadata of `name` itself.
pub(super) fn stat(directory: impl AsFd, name: &[u8]) -> io::Result<Stat> {
    fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// The metadata of `name` itself, `None` if there is no such name.
pub(super) fn stat_if_there(directory: impl AsFd, name: &[u8]) -> io::Result<Option<Stat>> {
    match stat(directory, name) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether this is overlayfs's mark for a name that is gone (Documentation/filesystems/overlayfs.rst).
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Opens a directory by its name for listing, following nothing.
pub(super) fn open_directory(parent: impl AsFd, name: &[u8]) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty())
}

/// Removes the directory `name` and everything in it, however deep.
///
/// The tree must not be changed by anybody else meanwhile.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let mut path = vec![name.to_vec()];
    let mut current = open_directory(parent, name)?;
    loop {
        match remove_files(&current)? {
            Some(child) => {
                current = open_directory(&current, &child)?;
                path.push(child);
            }
            None => {
                let Some(name) = path.pop() else { return Ok(()) };
                if path.is_empty() {
                    return fs::unlinkat(parent, name, AtFlags::REMOVEDIR);
                }
                // Names, not descriptors, are kept: a tree may be deeper than descriptors are allowed.
                current = open_directory(&current, b"..")?;
                fs::unlinkat(&current, name, AtFlags::REMOVEDIR)?;
            }
        }
    }
}

/// Why a listing is not read to its end.
enum Stop {
    Subdirectory(Vec<u8>),
    Failed(Errno),
}

impl From<Errno> for Stop {
    fn from(error: Errno) -> Self {
        Self::Failed(error)
    }
}

/// Removes what can be unlinked up to the first subdirectory, which it gives.
fn remove_files(directory: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let removed = each_name(directory, |name, _| match fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(Errno::ISDIR) => Err(Stop::Subdirectory(name.to_vec())),
        Err(error) => Err(Stop::Failed(error)),
    });
    match removed {
        Ok(()) => Ok(None),
        Err(Stop::Subdirectory(name)) => Ok(Some(name)),
        Err(Stop::Failed(error)) => Err(error),
    }
}

/// The names of the extended attributes of an open file.
pub(super) fn xattr_names(file: impl AsFd) -> io::Result<BTreeSet<Vec<u8>>> {
    let mut list: Vec<u8> = vec![0; 1024];
    loop {
        match fs::flistxattr(&file, list.as_mut_slice()) {
            Ok(length) => {
                let list = list.get(..length).unwrap_or_default();
                return Ok(list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect());
            }
            // The kernel allows 64 KiB.
            Err(Errno::RANGE) if list.len() < 128 << 10 => list.resize(list.len() * 8, 0),
            Err(Errno::NOTSUP) => return Ok(BTreeSet::new()),
            Err(error) => return Err(error),
        }
    }
}

/// The value of an extended attribute of an open file, `None` if it has none of that name.
pub(super) fn xattr(file: impl AsFd, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut value: Vec<u8> = vec![0; 256];
    loop {
        match fs::fgetxattr(&file, name, value.as_mut_slice()) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(Errno::RANGE) if value.len() < 128 << 10 => value.resize(value.len() * 16, 0),
            Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}
