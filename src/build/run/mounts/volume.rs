//! `--volume`: files of this machine in every step.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Once;

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

/// Whether the owner of a file does not exist in steps.
fn is_unmapped(fd: &OwnedFd) -> bool {
    rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_uid == UNMAPPED)
}

fn open(path: &Path) -> std::io::Result<(OwnedFd, bool)> {
    let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let is_directory = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::Directory;
    Ok((fd, is_directory))
}
