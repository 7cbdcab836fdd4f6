//! `--volume`: files of this machine in every step.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once};

use rustix::fs::{FileType, Mode, OFlags};
use sandbox::Access;

use super::{Flag, Kit};
use crate::Event;
use crate::run::error::MountProblem;
use crate::run::held::Held;
use crate::run::origin::{Origin, UNMAPPED, fd_path, io};
use crate::stage::Failure;
use crate::step_inputs::{Volume, VolumeAccess};

impl Kit<'_, '_, '_, '_> {
    /// Mounts a volume. It is opened as the user; what a step may do with its files depends on their owners.
    pub(super) fn volume(&mut self, volume: &Volume) -> Result<(), Failure> {
        let what = format!("--volume {}:{}", volume.source.display(), volume.target.display());
        let flag = Flag { what, span: None };
        self.volume_mount(volume).map_err(|problem| flag.refuse(problem))
    }

    fn volume_mount(&mut self, volume: &Volume) -> Result<(), MountProblem> {
        let Volume { source, target, access } = volume;
        if super::is_reserved(target) {
            return Err(MountProblem::Reserved { target: target.clone() });
        }
        let opened = self.around.request.step_inputs.as_user(|| open(source));
        let (fd, is_directory) = opened.map_err(|error| io(source, "open a volume", error))?;
        match access {
            VolumeAccess::Discarded if !is_directory => Err(MountProblem::NotADirectory { path: source.clone() }),
            VolumeAccess::Discarded => {
                let origin = Origin::volume(fd, source, self.around);
                self.show(origin, Path::new(""), (target.clone(), VolumeAccess::Discarded))
            }
            VolumeAccess::ReadOnly | VolumeAccess::Writable => {
                let is_writable = *access == VolumeAccess::Writable;
                if is_writable && is_unmapped(&fd) {
                    self.say_other_user(source);
                }
                if is_unmapped(&fd)
                    && let Some(private) = self.around.request.step_inputs.as_user(|| private_in(source))
                {
                    self.say_private(source, &private);
                }
                let access = if is_writable { Access::Writable } else { Access::ReadOnly };
                self.mount(target.clone(), fd_path(&fd), access);
                self.provided.held.push(Held::Place { fd, root: None });
                Ok(())
            }
        }
    }
}

impl Kit<'_, '_, '_, '_> {
    /// Said once, not at every step.
    fn say_other_user(&self, source: &Path) {
        static SAID: Once = Once::new();
        let text = format!(
            "--volume {}: steps are another user to this machine here; they write only where others may",
            source.display()
        );
        SAID.call_once(|| (self.around.workshop.observer)(Event::Warning(&text)));
    }
}

impl Kit<'_, '_, '_, '_> {
    /// Said once of each volume, not at every step.
    fn say_private(&self, source: &Path, private: &Path) {
        static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
        if !SAID.lock().is_ok_and(|mut said| said.insert(source.to_owned())) {
            return;
        }
        let text = format!(
            "--volume {}: steps cannot read {}, for they are another user to this machine here and it is its owner's \
             alone: let others read it, or give it as --secret",
            source.display(),
            private.display()
        );
        (self.around.workshop.observer)(Event::Warning(&text));
    }
}

/// The first of `path` and, if it is a directory, of the entries in it that none but their owner and group may read.
fn private_in(path: &Path) -> Option<PathBuf> {
    const LOOKED_AT: usize = 1000;
    let is_private = |path: &Path| {
        path.metadata().is_ok_and(|metadata| {
            let wanted = if metadata.is_dir() { 0o005 } else { 0o004 };
            metadata.mode() & wanted != wanted
        })
    };
    if is_private(path) {
        return Some(path.to_owned());
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().take(LOOKED_AT).flatten();
    let mut private: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| is_private(path)).collect();
    private.sort();
    private.into_iter().next()
}

/// Whether the owner of a file does not exist in steps.
fn is_unmapped(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_uid == UNMAPPED)
}

fn open(path: &Path) -> std::io::Result<(OwnedFd, bool)> {
    let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let is_directory = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::Directory;
    Ok((fd, is_directory))
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_its_owners_alone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            write(&path, "").unwrap();
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        };
        set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let open = at("a.pem", 0o644);
        assert_eq!((private_in(&open), private_in(folder.path())), (None, None));
        let (key, _) = (at("b-key.pem", 0o600), at("c", 0o640));
        assert_eq!((private_in(&key), private_in(folder.path())), (Some(key.clone()), Some(key)));
        set_permissions(folder.path(), Permissions::from_mode(0o750)).unwrap();
        assert_eq!(private_in(folder.path()), Some(folder.path().to_owned()));
    }
}
