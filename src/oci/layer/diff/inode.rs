//! The metadata of one file as layers carry it.

use std::os::fd::AsFd;

use rustix::fs::{self, Stat};

use super::{Clamp, DiffError, lower, read};
use crate::layer::tar_write::{Entry, EntryKind};
use crate::layer::{CAPABILITY_XATTR, OWNER_XATTR, Owners, files, is_carried, shown};

const PERMISSIONS: u32 = 0o7777;
/// `VFS_CAP_REVISION_3` and `_2` of linux/capability.h, in the top byte of the first, little-endian, word.
const REVISION_3: u8 = 3;
const REVISION_2: u8 = 2;
const REVISION_2_LENGTH: usize = 20;
const REVISION_3_LENGTH: usize = 24;

/// What is known of a file beside its content.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    stat: Stat,
    uid: u32,
    gid: u32,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Why metadata could not be read, before it is known which layer the file is in.
pub(super) enum InodeError<'p> {
    Kernel { path: &'p [u8], what: &'static str, error: rustix::io::Errno },
    Owner { path: &'p [u8], text: Vec<u8> },
}

impl InodeError<'_> {
    pub(super) fn in_upper(self) -> DiffError {
        match self {
            Self::Kernel { path, what, error } => read(path, what)(error),
            Self::Owner { path, text } => bad_owner(path, &text),
        }
    }

    pub(super) fn in_lower(self) -> DiffError {
        match self {
            Self::Kernel { path, what, error } => lower(path, what)(error),
            Self::Owner { path, text } => bad_owner(path, &text),
        }
    }
}

fn bad_owner(path: &[u8], text: &[u8]) -> DiffError {
    DiffError::Owner { path: shown(path), text: String::from_utf8_lossy(text).into_owned() }
}

impl Inode {
    /// Of an open regular file or directory.
    pub(super) fn of<'p>(file: impl AsFd, owners: Owners, path: &'p [u8]) -> Result<Self, InodeError<'p>> {
        let kernel = |what| move |error| InodeError::Kernel { path, what, error };
        let stat = fs::fstat(&file).map_err(kernel("look at it"))?;
        let mut inode = Self::without_xattrs(stat);
        if owners != Owners::Real {
            (inode.uid, inode.gid) = (0, 0);
        }
        for name in files::xattr_names(&file).map_err(kernel("list its xattrs"))? {
            if name == OWNER_XATTR.as_bytes() && owners == Owners::Recorded {
                let text = files::xattr(&file, &name).map_err(kernel("read its xattrs"))?.unwrap_or_default();
                (inode.uid, inode.gid) = parse_owner(&text).ok_or(InodeError::Owner { path, text })?;
            } else if is_carried(&name)
                && let Some(value) = files::xattr(&file, &name).map_err(kernel("read its xattrs"))?
            {
                let value = if name == CAPABILITY_XATTR { revision_2(value) } else { value };
                inode.xattrs.push((name, value));
            }
        }
        Ok(inode)
    }

    fn without_xattrs(stat: Stat) -> Self {
        Self { uid: stat.st_uid, gid: stat.st_gid, stat, xattrs: Vec::new() }
    }

    /// Of anything else: the kernel keeps no xattrs of users on it.
    pub(super) fn of_other(stat: Stat, owners: Owners) -> Self {
        let inode = Self::without_xattrs(stat);
        match owners {
            Owners::Real => inode,
            Owners::Recorded | Owners::Dropped => Self { uid: 0, gid: 0, ..inode },
        }
    }

    pub(super) fn entry<'a>(&'a self, path: &'a [u8], kind: EntryKind<'a>, clamp: Option<Clamp>) -> Entry<'a> {
        let mtime = clamp.map_or(self.stat.st_mtime, |clamp| clamp.apply(self.stat.st_mtime));
        let mode = self.stat.st_mode & PERMISSIONS;
        Entry { path, kind, mode, uid: self.uid, gid: self.gid, mtime, xattrs: &self.xattrs }
    }

    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.stat.st_size).unwrap_or_default()
    }

    pub(super) fn has_one_name(&self) -> bool {
        self.stat.st_nlink <= 1
    }

    pub(super) fn identity(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }

    /// Whether kind, mode, owner, time, and size or device number are the same.
    pub(super) fn has_stat_of(&self, other: &Stat) -> bool {
        let mine = &self.stat;
        let time = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec);
        let is_directory = files::kind(mine) == fs::FileType::Directory;
        // Where owners are recorded, those of inodes are all the same.
        (mine.st_mode, mine.st_uid, mine.st_gid) == (other.st_mode, other.st_uid, other.st_gid)
            && time(mine) == time(other)
            && (is_directory || mine.st_size == other.st_size)
            && mine.st_rdev == other.st_rdev
    }

    pub(super) fn is_like(&self, other: &Self) -> bool {
        let known = |inode: &Self| (inode.uid, inode.gid, inode.xattrs.clone());
        self.has_stat_of(&other.stat) && known(self) == known(other)
    }

    pub(super) fn was_written_since(&self, after: &Stat) -> bool {
        let times = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
        self.stat.st_size != after.st_size || times(&self.stat) != times(after)
    }
}

/// `uid:gid`.
fn parse_owner(text: &[u8]) -> Option<(u32, u32)> {
    let (uid, gid) = std::str::from_utf8(text).ok()?.split_once(':')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

/// Capabilities as every namespace's root means them: without the id of the root who set them.
fn revision_2(mut value: Vec<u8>) -> Vec<u8> {
    if value.len() == REVISION_3_LENGTH && value.get(3) == Some(&REVISION_3) {
        value.truncate(REVISION_2_LENGTH);
        if let Some(revision) = value.get_mut(3) {
            *revision = REVISION_2;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_of_a_namespaces_root_becomes_everybodys() {
        let mut value = vec![1, 0, 0, 3, 0, 4, 0, 0];
        value.resize(20, 0);
        let expected = [&[1, 0, 0, 2], value.get(4..).unwrap()].concat();
        value.extend_from_slice(&1000_u32.to_le_bytes());
        assert_eq!(revision_2(value), expected);
        assert_eq!(revision_2(expected.clone()), expected);
    }

    #[test]
    fn a_recorded_owner_is_two_numbers() {
        assert_eq!(parse_owner(b"12:4294967295"), Some((12, u32::MAX)));
        assert_eq!(parse_owner(b"12"), None);
        assert_eq!(parse_owner(b"-1:0"), None);
    }
}
