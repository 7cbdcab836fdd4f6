//! What overlayfs shows of the lower layers, one directory at a time.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, OFlags, Stat};
use rustix::io;

use crate::layer::{OPAQUE_XATTR, files};

/// The lowers that have a part in one merged directory, topmost first, by their index.
#[derive(Clone, Debug, Default)]
pub(super) struct Below {
    lowers: Vec<usize>,
}

/// A file that shows.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) lower: usize,
    pub(super) stat: Stat,
}

impl Below {
    /// The merged root.
    pub(super) fn root(lowers: &[BorrowedFd<'_>]) -> io::Result<Self> {
        let mut parts = Vec::new();
        for (index, root) in lowers.iter().enumerate() {
            parts.push(index);
            if is_opaque(*root, b"")? {
                break;
            }
        }
        Ok(Self { lowers: parts })
    }

    /// What shows at `path`, which is in this directory.
    pub(super) fn find(&self, lowers: &[BorrowedFd<'_>], path: &[u8]) -> io::Result<Option<Found>> {
        for (lower, root) in self.roots(lowers) {
            if let Some(stat) = files::stat_if_there(root, path)? {
                let found = Found { lower, stat };
                return Ok(Some(found).filter(|found| !files::is_whiteout(&found.stat)));
            }
        }
        Ok(None)
    }

    /// The merged directory at `path`, which is in this directory; nothing if no directory shows there.
    pub(super) fn inside(&self, lowers: &[BorrowedFd<'_>], path: &[u8]) -> io::Result<Self> {
        let mut parts = Vec::new();
        for (lower, root) in self.roots(lowers) {
            match files::stat_if_there(root, path)? {
                None => {}
                Some(stat) if files::kind(&stat) == FileType::Directory => {
                    parts.push(lower);
                    if is_opaque(root, path)? {
                        break;
                    }
                }
                Some(_) => break,
            }
        }
        Ok(Self { lowers: parts })
    }

    /// Whether the merged directory at `path`, which this is, has any name in it.
    pub(super) fn shows_anything(&self, lowers: &[BorrowedFd<'_>], path: &[u8]) -> io::Result<bool> {
        let mut hidden = BTreeSet::new();
        for (_, root) in self.roots(lowers) {
            let directory = files::open_real(root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
            for name in files::list(&directory)? {
                if !name.is_directory && files::is_whiteout(&files::stat(&directory, &name.bytes)?) {
                    hidden.insert(name.bytes);
                } else if !hidden.contains(&name.bytes) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn roots<'f>(&self, lowers: &'f [BorrowedFd<'f>]) -> impl Iterator<Item = (usize, BorrowedFd<'f>)> {
        self.lowers.iter().filter_map(|index| lowers.get(*index).map(|root| (*index, *root)))
    }
}

fn is_opaque(root: BorrowedFd<'_>, path: &[u8]) -> io::Result<bool> {
    let directory = files::open_real(root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
    Ok(files::xattr(&directory, OPAQUE_XATTR.as_bytes())?.as_deref() == Some(b"y"))
}
