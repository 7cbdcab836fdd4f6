//! The directory a layer is unpacked into.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::errors::{ApplyError, at};
use super::metadata::set_opaque;
use crate::layer::{files, shown};

/// What stood where a new entry goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    Whiteout,
    Directory,
    Other,
}

/// A root, and the directory in it that was used last.
pub(super) struct Place<'a> {
    root: BorrowedFd<'a>,
    cached: Option<(Vec<u8>, Rc<OwnedFd>)>,
}

impl<'a> Place<'a> {
    pub(super) fn new(root: BorrowedFd<'a>) -> Self {
        Self { root, cached: None }
    }

    pub(super) fn root(&self) -> BorrowedFd<'a> {
        self.root
    }

    /// Keeps `directory`, which is what `path` leads to.
    pub(super) fn cache(&mut self, path: &[u8], directory: OwnedFd) -> Rc<OwnedFd> {
        let directory = Rc::new(directory);
        self.cached = Some((path.to_vec(), Rc::clone(&directory)));
        directory
    }

    /// The directory at a cleaned path, if it is there.
    pub(super) fn existing(&mut self, path: &[u8]) -> Result<Option<Rc<OwnedFd>>, ApplyError> {
        if let Some((_, directory)) = self.cached.as_ref().filter(|(cached, _)| cached == path) {
            return Ok(Some(Rc::clone(directory)));
        }
        match files::open_in_root(self.root, path, OFlags::PATH | OFlags::DIRECTORY) {
            Ok(directory) => Ok(Some(self.cache(path, directory))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(at(path, "open the directory")(error)),
        }
    }

    /// The directory at a cleaned path; what is missing is made and noted in `implied`.
    pub(super) fn directory(&mut self, path: &[u8], implied: &mut Vec<Vec<u8>>) -> Result<Rc<OwnedFd>, ApplyError> {
        if let Some(directory) = self.existing(path)? {
            return Ok(directory);
        }
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        let mut start = 0;
        for end in slashes.chain([path.len()]) {
            let prefix = path.get(..end).unwrap_or(path);
            if self.existing(prefix)?.is_none() {
                let outer = self.existing(path.get(..start.max(1) - 1).unwrap_or_default())?;
                let outer = outer.ok_or_else(|| ApplyError::Parent { path: shown(prefix) })?;
                self.imply(&outer, prefix, path.get(start..end).unwrap_or_default())?;
                implied.push(prefix.to_vec());
            }
            start = end + 1;
        }
        self.existing(path)?.ok_or_else(|| ApplyError::Parent { path: shown(path) })
    }

    /// Makes a directory that the tar only implies.
    fn imply(&mut self, outer: &OwnedFd, path: &[u8], name: &[u8]) -> Result<(), ApplyError> {
        let made = fs::mkdirat(outer, name, Mode::RWXU);
        let was_whiteout = match made {
            Err(Errno::EXIST) => self.take_whiteout(outer, name).map_err(at(path, "look up"))?,
            Ok(()) | Err(_) => false,
        };
        match made {
            Err(Errno::EXIST) if was_whiteout => fs::mkdirat(outer, name, Mode::RWXU),
            Err(Errno::EXIST) => return Err(ApplyError::Parent { path: shown(path) }),
            answer => answer,
        }
        .map_err(at(path, "make the directory"))?;
        let directory = files::open_directory(outer, name).map_err(at(path, "open the directory"))?;
        let mode = Mode::from_raw_mode(0o755);
        fs::fchmod(&directory, mode).map_err(at(path, "set the mode"))?;
        if was_whiteout {
            set_opaque(directory.as_fd()).map_err(at(path, "mark the directory as opaque"))?;
        }
        Ok(())
    }

    fn take_whiteout(&mut self, outer: &OwnedFd, name: &[u8]) -> Result<bool, Errno> {
        let is_whiteout = files::is_whiteout(&files::stat(outer, name)?);
        if is_whiteout {
            self.clear(outer.as_fd(), name)?;
        }
        Ok(is_whiteout)
    }

    /// Removes `name`, be it a whole tree.
    pub(super) fn clear(&mut self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<Before, Errno> {
        let Some(stat) = files::stat_if_there(parent, name)? else { return Ok(Before::Nothing) };
        // The path of the cached directory may have led through this name.
        self.cached = None;
        if files::kind(&stat) == FileType::Directory {
            files::remove_tree(parent, name)?;
            return Ok(Before::Directory);
        }
        fs::unlinkat(parent, name, AtFlags::empty())?;
        Ok(if files::is_whiteout(&stat) { Before::Whiteout } else { Before::Other })
    }
}
