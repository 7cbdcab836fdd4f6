//! Layers: reading and unpacking those of others, and writing our own.
//!
//! Comes in: layer blobs as registries hold them, and directories in overlayfs form. Goes out: unpacked
//! layers to be used as overlay lowers, and layer blobs whose bytes depend on the files alone. It never leaves
//! the directory it is given, never asks the clock, and never spools a layer.

pub mod apply;
pub(crate) mod archive;
pub mod compress;
pub mod diff;
mod files;
pub mod pick;
pub mod read;
pub mod tar_write;
#[cfg(test)]
pub(crate) mod testing;
pub mod write;

use std::path::PathBuf;

pub use apply::{Applied, ApplyError, ApplyOptions, Devices, Whiteouts, apply};
pub use archive::{ArchiveError, starts_tar};
pub use compress::{CompressError, CompressOptions, Compressing, compressing};
pub use diff::{Add, Clamp, DiffError, DiffOptions, Fill, Graft, write_grafted, write_upper};
pub use files::{open_inside, remove_tree};
pub use pick::{PickError, PickLimits, PickedFile, Picker};
pub use read::{LayerReader, Mismatch, Sums, decompressor};
pub use write::{LayerWriter, WriteError, Written};

/// What starts the name of a whiteout (OCI image-spec, layer.md, "Whiteouts").
pub(crate) const WHITEOUT: &[u8] = b".wh.";
/// What starts the names aufs kept for itself; apart from [`OPAQUE_WHITEOUT`] they mean nothing here.
pub(crate) const AUFS: &[u8] = b".wh..wh.";
/// The entry that hides what lower layers have in its directory (layer.md, "Opaque Whiteout").
pub(crate) const OPAQUE_WHITEOUT: &[u8] = b".wh..wh..opq";
/// Marks a directory as opaque on overlayfs mounted with `userxattr`.
pub(crate) const OPAQUE_XATTR: &str = "user.overlay.opaque";
/// What starts the names overlayfs mounted with `userxattr` keeps for itself.
const OVERLAY_XATTRS: &[u8] = b"user.overlay.";
/// What starts the names this program keeps for itself.
const OUR_XATTRS: &[u8] = b"user.stratum.";
/// The owner a file should have, `uid:gid`, see [`Owners::Recorded`].
pub(crate) const OWNER_XATTR: &str = "user.stratum.owner";
/// File capabilities, the one xattr outside `user.` that layers carry.
pub(crate) const CAPABILITY_XATTR: &[u8] = b"security.capability";

/// Whether layers carry this extended attribute from image to image.
pub(crate) fn is_carried(name: &[u8]) -> bool {
    let is_reserved = name.starts_with(OVERLAY_XATTRS) || name.starts_with(OUR_XATTRS);
    name == CAPABILITY_XATTR || name.starts_with(b"user.") && !is_reserved
}

/// What a layer of somebody else may ask of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the tar, and bytes of all files' contents with holes counted.
    pub unpacked_bytes: u64,
    /// Entries in the tar.
    pub entries: u64,
    /// Bytes in one path; the kernel takes no more than 4095.
    pub path_length: usize,
    /// Directories in one path or in the target of one symlink, `.` and `..` counted: every one costs time.
    pub path_depth: usize,
    /// Bytes of memory for what has to be remembered until the end: the paths of directories mostly.
    pub remembered_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unpacked_bytes: 64 << 30,
            entries: 4_000_000,
            path_length: 4095,
            path_depth: 256,
            remembered_bytes: 256 << 20,
        }
    }
}

/// Where the owners of files are kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Owners {
    /// In the inode, as usual.
    #[default]
    Real,
    /// In the xattr `user.stratum.owner` (`uid:gid`, decimal) of regular files and directories whose owner is
    /// not 0:0, for a user namespace that maps a single id.
    Recorded,
    /// Nowhere: files belong to whoever unpacks them. With the owners go the setuid and setgid bits and the
    /// extended attributes, which would mean something else for that user.
    Dropped,
}

/// A path from a layer to show to people and keep in maps.
pub(crate) fn shown(path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt as _;
    PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()))
}

/// The directory and the name of a cleaned path; `None` for the root itself.
pub(crate) fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.is_empty() {
        return None;
    }
    let slash = path.iter().rposition(|byte| *byte == b'/');
    slash.map_or(Some((&[], path)), |at| Some((path.get(..at)?, path.get(at + 1..)?)))
}

/// Why a name in a layer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A NUL byte, which ends names for the kernel.
    #[error("it holds a NUL byte")]
    Nul,
    /// More bytes than allowed, or more in one component than any file system takes.
    #[error("it is too long")]
    Long,
    /// More components than allowed.
    #[error("it leads through too many directories")]
    Deep,
}

/// The path inside the root that a name in a tar means: no leading slash, no `.`, no `..`; empty for the root.
///
/// `..` is taken literally and stops at the root, as container tools do.
pub(crate) fn clean(name: &[u8], limits: &Limits) -> Result<Vec<u8>, NameError> {
    const NAME_MAX: usize = 255;
    if name.contains(&0) {
        return Err(NameError::Nul);
    }
    check_depth(name, limits)?;
    let mut path: Vec<u8> = Vec::with_capacity(name.len());
    for component in name.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => path.truncate(split(&path).map_or(0, |(parent, _)| parent.len())),
            long if long.len() > NAME_MAX => return Err(NameError::Long),
            component => {
                if !path.is_empty() {
                    path.push(b'/');
                }
                path.extend_from_slice(component);
            }
        }
    }
    if path.len() > limits.path_length { Err(NameError::Long) } else { Ok(path) }
}

/// Whether the kernel can follow this name in reasonable time.
pub(crate) fn check_depth(name: &[u8], limits: &Limits) -> Result<(), NameError> {
    let slashes = name.iter().filter(|byte| **byte == b'/').count();
    if slashes > limits.path_depth { Err(NameError::Deep) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, path: &str) {
        assert_eq!(clean(name.as_bytes(), &Limits::default()).unwrap(), path.as_bytes());
    }

    #[test]
    fn a_cleaned_path_stays_inside() {
        check("/etc/passwd", "etc/passwd");
        check("./a//b/./c/", "a/b/c");
        check("../../a", "a");
        check("a/../../b/..", "");
        check("", "");
    }

    #[test]
    fn names_the_kernel_cannot_take_are_refused() {
        let limits = Limits::default();
        assert_eq!(clean(b"a\0b", &limits), Err(NameError::Nul));
        assert_eq!(clean(&[b'a'; 256], &limits), Err(NameError::Long));
        assert_eq!(clean(&[&[b'a'; 250], &b"/"[..]].concat().repeat(20), &limits), Err(NameError::Long));
        assert_eq!(clean(&b"a/".repeat(300), &limits), Err(NameError::Deep));
    }
}
