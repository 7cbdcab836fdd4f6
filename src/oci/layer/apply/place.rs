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
        // Step by step: resolving every prefix from the root would take time by the square of the depth.
        let mut current = Rc::new(files::open_directory(self.root, b".").map_err(at(b"", "open the directory"))?);
        let mut end = 0;
        for name in path.split(|byte| *byte == b'/') {
            end += name.len();
            let prefix = path.get(..end).unwrap_or(path);
            current = self.step(&current, prefix, name, implied)?;
            end += 1;
        }
        self.cached = Some((path.to_vec(), Rc::clone(&current)));
        Ok(current)
    }

    /// The directory `name`, whose path is `prefix`, in `outer`.
    fn step(
        &mut self,
        outer: &OwnedFd,
        prefix: &[u8],
        name: &[u8],
        implied: &mut Vec<Vec<u8>>,
    ) -> Result<Rc<OwnedFd>, ApplyError> {
        let not_a_directory = || ApplyError::Parent { path: shown(prefix) };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match fs::openat(outer, name, flags, Mode::empty()) {
            Ok(directory) => return Ok(Rc::new(directory)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => return Err(at(prefix, "open the directory")(error)),
        }
        let stat = files::stat_if_there(outer, name).map_err(at(prefix, "look up"))?;
        let is_whiteout = stat.as_ref().is_some_and(files::is_whiteout);
        match stat.map(|stat| files::kind(&stat)) {
            Some(FileType::Symlink) => self.existing(prefix)?.ok_or_else(not_a_directory),
            Some(_) if !is_whiteout => Err(not_a_directory()),
            Some(_) => {
                self.clear(outer.as_fd(), name).map_err(at(prefix, "replace"))?;
                implied.push(prefix.to_vec());
                let directory = imply(outer, prefix, name)?;
                set_opaque(directory.as_fd()).map_err(at(prefix, "mark the directory as opaque"))?;
                Ok(Rc::new(directory))
            }
            None => {
                implied.push(prefix.to_vec());
                imply(outer, prefix, name).map(Rc::new)
            }
        }
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

/// Makes a directory that the tar only implies.
fn imply(outer: &OwnedFd, path: &[u8], name: &[u8]) -> Result<OwnedFd, ApplyError> {
    fs::mkdirat(outer, name, Mode::RWXU).map_err(at(path, "make the directory"))?;
    let directory = files::open_directory(outer, name).map_err(at(path, "open the directory"))?;
    fs::fchmod(&directory, Mode::from_raw_mode(0o755)).map_err(at(path, "set the mode"))?;
    Ok(directory)
}
