//! `--mount=type=tmpfs`: an empty directory in memory, or one that starts with what the image has there.

use std::path::Path;

use rustix::fs::{Gid, Mode, Uid};
use sandbox::{MountSource, Root, StepMount};
use source::{Tree, TreeError};

use super::{Kit, Wanted};
use crate::copy::{self, CopyRequest};
use crate::repositories;
use crate::run::error::MountProblem;
use crate::run::held::{Folder, Held};
use crate::run::origin::{fd_path, io};
use crate::stage::{Failure, Stage, Workshop};

/// As a tmpfs is made without options: for everybody, like /tmp.
const MODE: u32 = 0o1777;

impl Kit<'_, '_, '_, '_> {
    /// Mounts a file system in memory.
    pub(super) fn tmpfs(&mut self, stage: &mut Stage<'_>, wanted: &Wanted) -> Result<(), Failure> {
        let (target, size) = (wanted.target(), wanted.spec.size);
        if !wanted.spec.copy_up && !wanted.spec.read_only {
            self.provided.mounts.push(StepMount { target, source: MountSource::Tmpfs { size, mode: MODE } });
            return Ok(());
        }
        let workshop = &self.around.workshop;
        let image = stage.root(workshop)?;
        let make = || -> Result<(Root, Folder), MountProblem> {
            let folder = Folder::fresh(workshop, "tmpfs")?;
            let root = sandbox::mount_memory(workshop.store.directory(), &folder.name, size, MODE)?;
            if wanted.spec.copy_up {
                copy_up(workshop, image, &root, &target)?;
            }
            Ok((root, folder))
        };
        let (root, folder) = make().map_err(|problem| wanted.flag.refuse(problem))?;
        self.mount(target, fd_path(&root.dir()), wanted.access());
        self.provided.held.push(Held::Memory { root, folder });
        Ok(())
    }
}

/// Copies what the image has at `target` to the top of `memory`; there may be nothing.
fn copy_up(workshop: &Workshop<'_>, image: &Root, memory: &Root, target: &Path) -> Result<(), MountProblem> {
    let failed = |error: std::io::Error| io(target, "copy a directory into memory", error);
    let directory = image.dir().try_clone_to_owned().map_err(failed)?;
    let tree = Tree::new(directory, Path::new("the image"), None);
    let source = Tree::relative(target);
    let place = match tree.place(&source) {
        Err(TreeError::Missing { .. }) => return Ok(()),
        found => found?,
    };
    if !place.is_directory {
        return Err(MountProblem::NotADirectory { path: target.to_owned() });
    }
    let request: CopyRequest = repositories::whole("/".into());
    copy::copy(memory.dir(), &tree, &[source], &request, workshop.owners)?;
    let stat = rustix::fs::fstat(&place.fd).map_err(|error| failed(error.into()))?;
    rustix::fs::fchown(memory.dir(), Some(Uid::from_raw(place.uid)), Some(Gid::from_raw(place.gid)))
        .and_then(|()| rustix::fs::fchmod(memory.dir(), Mode::from_raw_mode(stat.st_mode & 0o7777)))
        .map_err(|error| failed(error.into()))
}
