//! The entries in a layer of files that were never copied.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use oci::layer::tar_write::{Entry as Written, EntryKind};
use oci::layer::{Add, DiffError, WriteError};
use source::{Attribute, Entry, Kind, Opened, Opener};

use super::{Graft, Position};
use crate::BuildError;
use crate::copy::CopyError;
use crate::owner::{Ids, Owners};

/// The mode of every symbolic link (symlink(7)).
const LINK_MODE: u32 = 0o777;

/// The first name of a file with several, by item, device and inode.
type Links = HashMap<(usize, u64, u64), PathBuf>;

/// Why a graft is not in the layer.
enum Stop {
    /// The source.
    Copy(CopyError),
    /// The layer.
    Layer(DiffError),
}

impl<E: Into<CopyError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Copy(error.into())
    }
}

impl Graft {
    /// The path of the directory as layers have it.
    pub(crate) fn path(&self) -> Vec<u8> {
        self.directory.as_os_str().as_bytes().to_vec()
    }

    /// Adds all entries to a layer. What went wrong with the source is left in `failure`.
    pub(crate) fn fill(
        &self,
        owners: Owners,
        failure: &mut Option<BuildError>,
        add: &mut Add<'_>,
    ) -> Result<(), DiffError> {
        let mut filling = Filling { graft: self, owners, opener: self.tree.opener(), links: Links::new(), add };
        for position in &self.order {
            match filling.entry(*position) {
                Ok(()) => {}
                Err(Stop::Layer(error)) => return Err(error),
                Err(Stop::Copy(error)) => {
                    *failure = Some(self.blame(error));
                    return Err(DiffError::Grafted { path: self.directory.clone() });
                }
            }
        }
        Ok(())
    }
}

struct Filling<'g, 'a> {
    graft: &'g Graft,
    owners: Owners,
    opener: Opener<'g>,
    links: Links,
    add: &'a mut Add<'a>,
}

impl Filling<'_, '_> {
    fn entry(&mut self, position: Position) -> Result<(), Stop> {
        let Some((entry, to)) = self.graft.placed(position) else { return Ok(()) };
        match &entry.kind {
            Kind::File(_) => self.file(position.item, entry, &to),
            Kind::Directory => {
                let directory = self.opener.open_directory(&entry.path)?;
                let attributes = self.graft.tree.user_xattrs(&entry.path, directory)?;
                self.add((entry, &to), EntryKind::Directory, &sorted(attributes), &mut io::empty())
            }
            Kind::Symlink(target) => {
                let kind = EntryKind::Symlink { target: target.as_os_str().as_bytes() };
                self.add((entry, &to), kind, &[], &mut io::empty())
            }
            Kind::Socket => {
                tracing::warn!(path = %entry.path.display(), "socket not copied: an image cannot hold one");
                Ok(())
            }
            Kind::Fifo | Kind::Device => Err(CopyError::Device { path: entry.path.clone() }.into()),
        }
    }

    fn file(&mut self, item: usize, entry: &Entry, to: &Path) -> Result<(), Stop> {
        let link = entry.link.map(|(device, inode)| (item, device, inode));
        if let Some(first) = link.and_then(|link| self.links.get(&link).cloned()) {
            let kind = EntryKind::HardLink { target: first.as_os_str().as_bytes() };
            return self.add((entry, to), kind, &[], &mut io::empty());
        }
        let Opened { mut file, size } = self.opener.open(&entry.path)?;
        let attributes = sorted(self.graft.tree.user_xattrs(&entry.path, file.as_fd())?);
        let added = self.add((entry, to), EntryKind::Regular { size }, &attributes, &mut file);
        added.map_err(|stop| of_source(stop, entry, to))?;
        self.links.extend(link.map(|link| (link, to.to_owned())));
        Ok(())
    }

    fn add(
        &mut self,
        (entry, to): (&Entry, &Path),
        kind: EntryKind<'_>,
        xattrs: &[(Vec<u8>, Vec<u8>)],
        content: &mut dyn io::Read,
    ) -> Result<(), Stop> {
        let (owner, mode) = self.graft.request.attributes(entry);
        let is_link = matches!(kind, EntryKind::Symlink { .. });
        // A symbolic link has no attribute that could record its owner.
        let Ids { uid, gid } = if is_link && self.owners == Owners::Recorded { Ids::ROOT } else { owner };
        let mode = if is_link { LINK_MODE } else { mode };
        let (mtime, _) = self.graft.request.mtime(entry);
        let path = to.as_os_str().as_bytes();
        (self.add)(&Written { path, kind, mode, uid, gid, mtime, xattrs }, content).map_err(Stop::Layer)
    }
}

/// What the layer says of a file that cannot be read is the source's failure.
fn of_source(stop: Stop, entry: &Entry, to: &Path) -> Stop {
    match stop {
        Stop::Layer(DiffError::Write(WriteError::Read { source, .. })) => {
            Stop::Copy(CopyError::Io { path: Path::new("/").join(to), action: "write a file", source })
        }
        Stop::Layer(DiffError::Write(WriteError::Changed { .. })) => {
            Stop::Copy(CopyError::Changed { path: entry.path.clone() })
        }
        Stop::Copy(_) | Stop::Layer(_) => stop,
    }
}

fn sorted(attributes: Vec<Attribute>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut attributes: Vec<_> = attributes.into_iter().map(|Attribute { name, value }| (name, value)).collect();
    attributes.sort_unstable();
    attributes
}
