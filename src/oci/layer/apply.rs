//! Unpacking one layer into a directory of its own, to be used as an overlayfs lower.
//!
//! Comes in: the tar of a layer and an empty directory. Goes out: the layer's files there, whiteouts in overlayfs's
//! form (a character device 0:0, the xattr `user.overlay.opaque`). It never touches anything outside the directory,
//! whatever the tar says, and never asks other layers: a parent that only they have is made anew.
//!
//! Tars that are no layers (build contexts, what ADD unpacks) come this way too, into directories that may hold files
//! already: [`Whiteouts::Literal`], [`Devices::LeftOut`].

mod errors;
mod metadata;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

pub use self::errors::ApplyError;
use self::errors::at;
use self::metadata::Deferred;
use self::place::{Before, Place};
use super::archive::{Archive, Kind, Member, Piece};
use super::{AUFS, Limits, OPAQUE_WHITEOUT, Owners, WHITEOUT, check_depth, clean, files, shown, split};

/// How to unpack.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ApplyOptions {
    /// Where owners go.
    pub owners: Owners,
    /// What the layer may ask for.
    pub limits: Limits,
    /// What names of whiteouts mean.
    pub whiteouts: Whiteouts,
    /// What becomes of devices.
    pub devices: Devices,
    /// User and group of everything, instead of what the tar says.
    pub owner: Option<(u32, u32)>,
    /// Permission bits of everything but symlinks, instead of what the tar says.
    pub mode: Option<u32>,
}

/// What a name that starts with `.wh.` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Whiteouts {
    /// Something of lower layers is gone (OCI image-spec, layer.md).
    #[default]
    Honoured,
    /// Nothing: it is a name, as in any archive that is no layer.
    Literal,
}

/// What becomes of character and block devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Devices {
    /// They are made where this user may make them, else reported.
    #[default]
    Made,
    /// They are reported only, and so are hard links to them left out.
    LeftOut,
}

/// What a layer was found to hold, and what could not be made of it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Applied {
    /// Headers in the tar.
    pub entries: u64,
    /// Files, directories and links in it, each entry counted.
    pub files: u64,
    /// Bytes in its files, holes included.
    pub bytes: u64,
    /// Whether everything in lower layers is hidden. overlayfs does not look at the xattr of a layer's root, so
    /// the layers below must not be mounted.
    pub root_is_opaque: bool,
    /// Directories that the tar uses but does not hold; they were made `root:root 0755`.
    pub implied_directories: Vec<PathBuf>,
    /// Devices that this user may not make.
    pub skipped_devices: Vec<SkippedDevice>,
    /// Extended attributes that the file system or the kernel refused.
    pub skipped_xattrs: Vec<SkippedXattr>,
    /// Symlinks and special files whose owner could not be recorded ([`Owners::Recorded`]): such files take no
    /// xattrs of users.
    pub unrecorded_owners: u64,
}

/// A device that is in the layer but not in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedDevice {
    /// Where it belongs.
    pub path: PathBuf,
    /// Whether it is a block device.
    pub is_block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

/// An extended attribute that is in the layer but not on the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedXattr {
    /// The file.
    pub path: PathBuf,
    /// The attribute's name.
    pub name: String,
}

/// Unpacks the layer `tar` into the directory `root`, which should be empty and must not change meanwhile.
///
/// What is there is replaced by entries of its name, except that directories are merged; a directory replaces a
/// symlink to one, as in buildah and docker.
///
/// Whiteouts hide what lower layers have and never what the layer itself has. Of extended attributes
/// `security.capability` and `user.*` are set, except overlayfs's and ours. The tar is read up to its end mark; the
/// caller drains and verifies the rest ([`super::LayerReader::finish`]).
///
/// # Errors
/// [`ApplyError`] names the entry. The directory is then half full and should be removed.
pub fn apply(tar: impl Read, root: BorrowedFd<'_>, options: &ApplyOptions) -> Result<Applied, ApplyError> {
    let mut archive = Archive::new(tar, &options.limits);
    let mut extraction = Extraction {
        place: Place::new(root),
        options,
        applied: Applied::default(),
        deferred: BTreeMap::new(),
        left_out: BTreeSet::new(),
        remembered: 0,
    };
    while let Some(mut member) = archive.next()? {
        options.change(&mut member);
        extraction.applied.files += 1;
        extraction.member(&member, &mut archive)?;
    }
    extraction.finish_directories()?;
    let mut applied = extraction.applied;
    (applied.entries, applied.bytes) = archive.totals();
    Ok(applied)
}

impl ApplyOptions {
    /// What is not to be as the tar says.
    fn change(&self, member: &mut Member) {
        if let Some((uid, gid)) = self.owner {
            (member.uid, member.gid) = (uid, gid);
        }
        if let Some(mode) = self.mode {
            member.mode = mode & 0o7777;
        }
    }

    fn has_whiteouts(&self) -> bool {
        self.whiteouts == Whiteouts::Honoured
    }
}

struct Extraction<'a> {
    place: Place<'a>,
    options: &'a ApplyOptions,
    applied: Applied,
    /// What directories get when nothing more is written into them, by cleaned path.
    deferred: BTreeMap<Vec<u8>, Deferred>,
    /// Devices that were not to be made, and hard links to them.
    left_out: BTreeSet<Vec<u8>>,
    remembered: usize,
}

/// Where an entry goes.
struct Spot<'m> {
    path: &'m [u8],
    parent: Rc<OwnedFd>,
    name: &'m [u8],
}

impl Extraction<'_> {
    fn member<R: Read>(&mut self, member: &Member, archive: &mut Archive<'_, R>) -> Result<(), ApplyError> {
        let path = self.clean(&member.path)?;
        let Some((directory, name)) = split(&path) else { return self.root(member) };
        let is_below_whiteout = || directory.split(|byte| *byte == b'/').any(|part| part.starts_with(WHITEOUT));
        if self.options.has_whiteouts() && is_below_whiteout() {
            return if holds_aufs_name(directory) { Ok(()) } else { Err(ApplyError::Whiteout { path: shown(&path) }) };
        }
        let parent = self.parent(directory)?;
        let spot = Spot { path: &path, parent, name };
        if self.options.has_whiteouts() && name.starts_with(WHITEOUT) {
            return self.whiteout(&spot, directory);
        }
        match member.kind {
            Kind::Regular => self.regular(&spot, member, archive),
            Kind::Directory => self.directory(&spot, member),
            Kind::HardLink => self.hard_link(&spot, member),
            Kind::Symlink => self.symlink(&spot, member),
            Kind::Fifo | Kind::Character | Kind::Block => self.special(&spot, member),
        }
    }

    fn clean(&self, name: &[u8]) -> Result<Vec<u8>, ApplyError> {
        clean(name, &self.options.limits).map_err(|why| ApplyError::Name { path: shown(name), why })
    }

    /// An entry for the layer's root itself.
    fn root(&mut self, member: &Member) -> Result<(), ApplyError> {
        if member.kind != Kind::Directory {
            if member.path.is_empty() && self.options.whiteouts == Whiteouts::Literal {
                // Some archives of people have an entry without a name; everybody passes it over.
                return Ok(());
            }
            return Err(ApplyError::Root { name: shown(&member.path) });
        }
        let root = files::open_real(self.place.root(), b"", OFlags::RDONLY | OFlags::DIRECTORY)
            .map_err(at(b"", "open the directory"))?;
        self.directory_metadata(b"", &root, member)
    }

    /// The directory `path`, made if it is not there.
    fn parent(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>, ApplyError> {
        let mut implied = Vec::new();
        let parent = self.place.directory(path, &mut implied)?;
        for path in implied {
            self.remember(path.len())?;
            self.implied_owner(&path)?;
            self.applied.implied_directories.push(shown(&path));
        }
        Ok(parent)
    }

    fn remember(&mut self, bytes: usize) -> Result<(), ApplyError> {
        const OVERHEAD: usize = 96;
        let limit = self.options.limits.remembered_bytes;
        self.remembered = self.remembered.saturating_add(bytes).saturating_add(OVERHEAD);
        if self.remembered > limit { Err(ApplyError::Remembered { limit }) } else { Ok(()) }
    }

    /// Calls `make` for a spot, clearing away what an earlier entry put there.
    fn make<T>(
        &mut self,
        spot: &Spot<'_>,
        what: &'static str,
        make: impl Fn(&Spot<'_>) -> Result<T, Errno>,
    ) -> Result<(T, Before), ApplyError> {
        match make(spot) {
            Ok(made) => Ok((made, Before::Nothing)),
            Err(Errno::EXIST) => {
                let before = self.clear(spot)?;
                Ok((make(spot).map_err(at(spot.path, what))?, before))
            }
            Err(error) => Err(at(spot.path, what)(error)),
        }
    }

    fn clear(&mut self, spot: &Spot<'_>) -> Result<Before, ApplyError> {
        let before = self.place.clear(spot.parent.as_fd(), spot.name).map_err(at(spot.path, "replace"))?;
        if before == Before::Directory {
            self.forget_directories(spot.path);
        }
        Ok(before)
    }

    /// Nothing is left to be done for a directory that is gone, nor for those in it.
    fn forget_directories(&mut self, path: &[u8]) {
        self.deferred.remove(path);
        // The byte after the slash bounds what is inside.
        let (first, last) = ([path, b"/"].concat(), [path, b"0"].concat());
        let inside: Vec<Vec<u8>> = self.deferred.range(first..last).map(|(path, _)| path.clone()).collect();
        for path in inside {
            self.deferred.remove(&path);
        }
    }

    fn regular<R: Read>(
        &mut self,
        spot: &Spot<'_>,
        member: &Member,
        archive: &mut Archive<'_, R>,
    ) -> Result<(), ApplyError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |spot: &Spot<'_>| fs::openat(&spot.parent, spot.name, flags, Mode::RUSR | Mode::WUSR);
        let (file, _) = self.make(spot, "make the file", open)?;
        let mut file = File::from(file);
        let failed = |source| ApplyError::Write { path: shown(spot.path), source };
        let mut ends_in_hole = false;
        archive.content(|piece| {
            ends_in_hole = matches!(piece, Piece::Hole(_));
            match piece {
                Piece::Bytes(bytes) => file.write_all(bytes).map_err(failed),
                Piece::Hole(length) => {
                    let length = i64::try_from(length).unwrap_or(i64::MAX);
                    file.seek(SeekFrom::Current(length)).map(drop).map_err(failed)
                }
            }
        })?;
        if ends_in_hole {
            file.set_len(member.size).map_err(failed)?;
        }
        self.file_metadata(spot.path, file.as_fd(), member)
    }

    fn directory(&mut self, spot: &Spot<'_>, member: &Member) -> Result<(), ApplyError> {
        let make = |spot: &Spot<'_>| match fs::mkdirat(&spot.parent, spot.name, Mode::RWXU) {
            Err(Errno::EXIST) if is_directory(spot) => Ok(()),
            answer => answer,
        };
        let ((), before) = self.make(spot, "make the directory", make)?;
        let directory = files::open_directory(&spot.parent, spot.name).map_err(at(spot.path, "open the directory"))?;
        if before == Before::Whiteout && self.options.has_whiteouts() {
            metadata::set_opaque(directory.as_fd()).map_err(at(spot.path, "mark the directory as opaque"))?;
        }
        self.directory_metadata(spot.path, &directory, member)?;
        // What follows is most often inside.
        self.place.cache(spot.path, directory);
        Ok(())
    }

    fn symlink(&mut self, spot: &Spot<'_>, member: &Member) -> Result<(), ApplyError> {
        check_depth(&member.link, &self.options.limits)
            .map_err(|why| ApplyError::Target { path: shown(spot.path), why })?;
        let make = |spot: &Spot<'_>| fs::symlinkat(member.link.as_slice(), &spot.parent, spot.name);
        self.make(spot, "make the symlink", make)?;
        self.other_metadata(spot, member)
    }

    fn hard_link(&mut self, spot: &Spot<'_>, member: &Member) -> Result<(), ApplyError> {
        let target = self.clean(&member.link)?;
        let missing = || ApplyError::HardlinkMissing { path: shown(spot.path), target: shown(&target) };
        let Some((directory, name)) = split(&target) else { return Err(missing()) };
        if self.left_out.contains(&target) {
            return self.leave_out(spot.path);
        }
        let Some(from) = self.place.existing(directory)? else { return Err(missing()) };
        let there = files::stat_if_there(&from, name).map_err(at(&target, "look up the hard link's target"))?;
        let there = there.filter(|stat| !files::is_whiteout(stat)).ok_or_else(missing)?;
        let here = files::stat_if_there(&spot.parent, spot.name).map_err(at(spot.path, "look up"))?;
        if here.is_some_and(|here| (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)) {
            return Ok(());
        }
        let link = |spot: &Spot<'_>| fs::linkat(&from, name, &spot.parent, spot.name, AtFlags::empty());
        self.make(spot, "make the hard link", link).map(drop).map_err(|error| error.of_link(&target))
    }

    fn special(&mut self, spot: &Spot<'_>, member: &Member) -> Result<(), ApplyError> {
        let (kind, device) = match member.kind {
            Kind::Character => (FileType::CharacterDevice, fs::makedev(member.major, member.minor)),
            Kind::Block => (FileType::BlockDevice, fs::makedev(member.major, member.minor)),
            Kind::Regular | Kind::HardLink | Kind::Symlink | Kind::Directory | Kind::Fifo => (FileType::Fifo, 0),
        };
        if kind != FileType::Fifo && self.options.devices == Devices::LeftOut {
            self.leave_out(spot.path)?;
            return self.skip_device(spot.path, member);
        }
        // The device 0:0 would be a whiteout to overlayfs.
        let is_whiteout = kind == FileType::CharacterDevice && device == 0;
        let make = |spot: &Spot<'_>| fs::mknodat(&spot.parent, spot.name, kind, Mode::RUSR | Mode::WUSR, device);
        let made = if is_whiteout { Err(ApplyError::forbidden(spot.path)) } else { self.make(spot, "make", make) };
        match made {
            Ok(_) => self.other_metadata(spot, member),
            Err(error) if kind != FileType::Fifo && error.is_forbidden() => self.skip_device(spot.path, member),
            Err(error) => Err(error),
        }
    }

    fn leave_out(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        if self.left_out.insert(path.to_vec()) { self.remember(path.len()) } else { Ok(()) }
    }

    fn skip_device(&mut self, path: &[u8], member: &Member) -> Result<(), ApplyError> {
        self.remember(path.len())?;
        let (is_block, major, minor) = (member.kind == Kind::Block, member.major, member.minor);
        self.applied.skipped_devices.push(SkippedDevice { path: shown(path), is_block, major, minor });
        Ok(())
    }

    fn whiteout(&mut self, spot: &Spot<'_>, directory: &[u8]) -> Result<(), ApplyError> {
        if spot.name == OPAQUE_WHITEOUT {
            self.applied.root_is_opaque |= directory.is_empty();
            let directory = files::open_directory(&spot.parent, b".").map_err(at(spot.path, "open its directory"))?;
            return metadata::set_opaque(directory.as_fd()).map_err(at(spot.path, "mark its directory as opaque"));
        }
        if spot.name.starts_with(AUFS) {
            return Ok(());
        }
        let hidden = spot.name.strip_prefix(WHITEOUT).unwrap_or_default();
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(ApplyError::Whiteout { path: shown(spot.path) });
        }
        match fs::mknodat(&spot.parent, hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            Err(Errno::EXIST) => self.whiteout_of_own(spot, hidden),
            answer => answer.map_err(at(spot.path, "make the whiteout")),
        }
    }

    /// A whiteout beside an entry of that name: only what lower layers have there is hidden.
    fn whiteout_of_own(&mut self, spot: &Spot<'_>, hidden: &[u8]) -> Result<(), ApplyError> {
        match files::open_directory(&spot.parent, hidden) {
            Ok(directory) => {
                metadata::set_opaque(directory.as_fd()).map_err(at(spot.path, "mark the directory as opaque"))
            }
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(error) => Err(at(spot.path, "hide")(error)),
        }
    }
}

fn is_directory(spot: &Spot<'_>) -> bool {
    files::stat(&spot.parent, spot.name).is_ok_and(|stat| files::kind(&stat) == FileType::Directory)
}

/// aufs left directories of its own in layers of old; nothing in them is an image's.
fn holds_aufs_name(directory: &[u8]) -> bool {
    directory.split(|byte| *byte == b'/').any(|component| component.starts_with(AUFS))
}

#[cfg(test)]
mod tests;
