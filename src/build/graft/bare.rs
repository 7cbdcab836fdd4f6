//! Whether a directory of a stage is one whose files may come later, and what copying them would do to it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::layer::open_inside;
use rustix::fs::{Dir, Gid, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid, fchown, fstat, futimens};
use rustix::io::{self, Errno};

use crate::owner::{Ids, Owners};

/// A stage's tree, and what of it the stage changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bed<'b> {
    /// The tree.
    pub(crate) root: BorrowedFd<'b>,
    /// Its upper directory, as it is on disk.
    pub(crate) upper: BorrowedFd<'b>,
    /// How owners are kept.
    pub(crate) owners: Owners,
}

/// Makes `directory` what it is when files of `owner` have been copied into it, but for the files; tells whether that
/// is all there is to do.
///
/// Nothing may show in it, and the stage may have hidden nothing in it: of a file that comes back, only copying finds
/// out whether it changed.
pub(crate) fn claim(bed: &Bed<'_>, directory: &Path, owner: Ids) -> bool {
    // Whatever stands in the way, copying finds it too, and says so.
    try_claim(bed, directory, owner).unwrap_or(false)
}

fn try_claim(bed: &Bed<'_>, directory: &Path, owner: Ids) -> io::Result<bool> {
    let Some(opened) = open(bed.root, directory)? else { return Ok(false) };
    if directory.as_os_str().is_empty() || !is_empty(&opened)? {
        return Ok(false);
    }
    if let Some(changed) = open(bed.upper, directory)?
        && !is_empty(&changed)?
    {
        return Ok(false);
    }
    if bed.owners == Owners::Real && !is_mapped(&opened, owner)? {
        return Ok(false);
    }
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    futimens(&opened, &Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) })?;
    // What is mounted there is no part of the layer.
    Ok(open(bed.upper, directory)?.is_some())
}

fn open(root: BorrowedFd<'_>, directory: &Path) -> io::Result<Option<OwnedFd>> {
    match open_inside(root, directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        opened => opened.map(Some),
    }
}

fn is_empty(directory: &OwnedFd) -> io::Result<bool> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a file can have this owner here, found out by trying.
fn is_mapped(directory: &OwnedFd, owner: Ids) -> io::Result<bool> {
    let stat = fstat(directory)?;
    let give = |uid, gid| fchown(directory.as_fd(), Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    if (stat.st_uid, stat.st_gid) == (owner.uid, owner.gid) {
        return Ok(true);
    }
    match give(owner.uid, owner.gid) {
        Ok(()) => give(stat.st_uid, stat.st_gid).map(|()| true),
        Err(_) => Ok(false),
    }
}
