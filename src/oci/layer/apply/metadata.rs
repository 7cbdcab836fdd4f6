//! Owners, modes, times and extended attributes of what was unpacked.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::errors::{ApplyError, at};
use super::{Extraction, SkippedXattr, Spot};
use crate::layer::archive::{Kind, Member, Time, Xattr};
use crate::layer::{OPAQUE_XATTR, OWNER_XATTR, Owners, files, is_carried, shown};

/// What a directory gets at the end: writing into it would change its time, or be refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deferred {
    mode: u32,
    mtime: Time,
}

const OWNER_ALL: u32 = 0o700;
const SET_IDS: u32 = 0o6000;

/// Hides what lower layers have in this directory.
pub(super) fn set_opaque(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    fs::fsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty())
}

fn timestamps(time: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() },
    }
}

impl Extraction<'_> {
    /// Everything for a regular file; the order matters: chown clears capabilities and setuid bits.
    pub(super) fn file_metadata(
        &mut self,
        path: &[u8],
        file: BorrowedFd<'_>,
        member: &Member,
    ) -> Result<(), ApplyError> {
        self.owner(path, file, member)?;
        self.xattrs(path, file, &member.xattrs)?;
        fs::fchmod(file, self.mode(member)).map_err(at(path, "set the mode"))?;
        fs::futimens(file, &timestamps(member.mtime)).map_err(at(path, "set the time"))
    }

    /// The owner of a directory that the tar only implies, where one is demanded.
    pub(super) fn implied_owner(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        let Some((uid, gid)) = self.options.owner else { return Ok(()) };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = files::open_in_root(self.place.root(), path, flags).map_err(at(path, "open the directory"))?;
        self.give(path, directory.as_fd(), uid, gid)
    }

    /// Owner and attributes of a directory; mode and time wait until nothing more goes into it.
    pub(super) fn directory_metadata(
        &mut self,
        path: &[u8],
        directory: &OwnedFd,
        member: &Member,
    ) -> Result<(), ApplyError> {
        if self.options.owners == Owners::Recorded {
            forget_owner(directory).map_err(|error| not_set(path, OWNER_XATTR.as_bytes(), error))?;
        }
        self.owner(path, directory.as_fd(), member)?;
        self.xattrs(path, directory.as_fd(), &member.xattrs)?;
        let mode = self.mode(member) | Mode::RWXU;
        fs::fchmod(directory, mode).map_err(at(path, "set the mode"))?;
        let deferred = Deferred { mode: self.mode(member).as_raw_mode(), mtime: member.mtime };
        if self.deferred.insert(path.to_vec(), deferred).is_none() {
            self.remember(path.len())?;
        }
        Ok(())
    }

    /// Everything for what cannot be opened: symlinks, fifos, devices.
    pub(super) fn other_metadata(&mut self, spot: &Spot<'_>, member: &Member) -> Result<(), ApplyError> {
        match self.options.owners {
            Owners::Real => {
                let (uid, gid) = owner(member);
                fs::chownat(&spot.parent, spot.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(|error| not_owned(spot.path, member, error))?;
            }
            Owners::Recorded if (member.uid, member.gid) != (0, 0) => self.applied.unrecorded_owners += 1,
            Owners::Recorded | Owners::Dropped => {}
        }
        if member.kind != Kind::Symlink {
            let mode = self.mode(member);
            fs::chmodat(&spot.parent, spot.name, mode, AtFlags::empty()).map_err(at(spot.path, "set the mode"))?;
        }
        fs::utimensat(&spot.parent, spot.name, &timestamps(member.mtime), AtFlags::SYMLINK_NOFOLLOW)
            .map_err(at(spot.path, "set the time"))
    }

    fn mode(&self, member: &Member) -> Mode {
        let dropped = if self.options.owners == Owners::Dropped { SET_IDS } else { 0 };
        Mode::from_raw_mode(member.mode & !dropped)
    }

    fn owner(&mut self, path: &[u8], file: BorrowedFd<'_>, member: &Member) -> Result<(), ApplyError> {
        self.give(path, file, member.uid, member.gid)
    }

    fn give(&mut self, path: &[u8], file: BorrowedFd<'_>, uid: u32, gid: u32) -> Result<(), ApplyError> {
        match self.options.owners {
            Owners::Real => fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
                .map_err(|source| ApplyError::Owner { path: shown(path), uid, gid, source: source.into() }),
            Owners::Recorded if (uid, gid) != (0, 0) => {
                let text = format!("{uid}:{gid}");
                fs::fsetxattr(file, OWNER_XATTR, text.as_bytes(), XattrFlags::empty())
                    .map_err(|error| not_set(path, OWNER_XATTR.as_bytes(), error))
            }
            Owners::Recorded | Owners::Dropped => Ok(()),
        }
    }

    fn xattrs(&mut self, path: &[u8], file: BorrowedFd<'_>, xattrs: &[Xattr]) -> Result<(), ApplyError> {
        if self.options.owners == Owners::Dropped {
            return Ok(());
        }
        for xattr in xattrs.iter().filter(|xattr| is_carried(&xattr.name)) {
            match fs::fsetxattr(file, xattr.name.as_slice(), &xattr.value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::PERM | Errno::NOTSUP) => {
                    self.remember(path.len() + xattr.name.len())?;
                    let name = String::from_utf8_lossy(&xattr.name).into_owned();
                    self.applied.skipped_xattrs.push(SkippedXattr { path: shown(path), name });
                }
                Err(error) => return Err(not_set(path, &xattr.name, error)),
            }
        }
        Ok(())
    }

    /// Gives directories what they could not have before, the innermost first.
    pub(super) fn finish_directories(&mut self) -> Result<(), ApplyError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        for (path, deferred) in std::mem::take(&mut self.deferred).iter().rev() {
            let directory = match files::open_in_root(self.place.root(), path, flags) {
                Ok(directory) => directory,
                // A later entry replaced it, or one of its parents, by another path.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(at(path, "open the directory")(error)),
            };
            fs::futimens(&directory, &timestamps(deferred.mtime)).map_err(at(path, "set the time"))?;
            if deferred.mode & OWNER_ALL != OWNER_ALL {
                let mode = Mode::from_raw_mode(deferred.mode);
                fs::fchmod(&directory, mode).map_err(at(path, "set the mode"))?;
            }
        }
        Ok(())
    }
}

/// A directory that was there before may have an owner recorded, which root as the new one would not replace.
fn forget_owner(directory: &OwnedFd) -> Result<(), Errno> {
    match fs::fremovexattr(directory, OWNER_XATTR) {
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
        answer => answer,
    }
}

fn owner(member: &Member) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(member.uid)), Some(Gid::from_raw(member.gid)))
}

fn not_owned(path: &[u8], member: &Member, error: Errno) -> ApplyError {
    ApplyError::Owner { path: shown(path), uid: member.uid, gid: member.gid, source: error.into() }
}

fn not_set(path: &[u8], name: &[u8], error: Errno) -> ApplyError {
    let name = String::from_utf8_lossy(name).into_owned();
    ApplyError::Xattr { path: shown(path), name, source: error.into() }
}
