//! What must live as long as a step that mounts it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use sandbox::Root;
use store::Cache;

use crate::run::agent::Agent;
use crate::run::error::MountProblem;
use crate::run::origin::io;
use crate::stage::Workshop;

/// Something a step's mounts hang on. It is let go in the order of the fields.
#[expect(dead_code, reason = "held, not read: dropping these ends what they stand for")]
pub(crate) enum Held {
    Place { fd: OwnedFd, root: Option<Root> },
    Mount { root: Root, folder: Folder, below: OwnedFd, below_root: Option<Root> },
    Memory { root: Root, folder: Folder },
    Copy(Folder),
    Cache(Cache),
    Agent { agent: Agent, folder: Folder },
}

/// A folder of the scratch, removed with all that is in it when this is dropped.
pub(crate) struct Folder {
    /// Relative to the store.
    pub(crate) name: PathBuf,
    /// A path that opens it.
    pub(crate) path: PathBuf,
}

impl Folder {
    pub(crate) fn fresh(workshop: &Workshop<'_>, purpose: &str) -> Result<Self, MountProblem> {
        use std::os::unix::fs::PermissionsExt;
        let store = workshop.store;
        let failed = |error| io(store.shown(), "make a folder for a mount", error);
        let name = store.scratch().fresh_folder(purpose).map_err(failed)?;
        let path = store.path(&name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
        Ok(Self { name, path })
    }

    /// Lets nobody in but root.
    pub(crate) fn closed(self) -> Result<Self, MountProblem> {
        use std::os::unix::fs::PermissionsExt;
        let closed = std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o700));
        closed.map_err(|error| io(&self.path, "close a folder", error))?;
        Ok(self)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    match std::fs::remove_dir_all(path) {
        Ok(()) => {}
        // It was given its name for good.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => tracing::debug!(path = %path.display(), %error, "a mount's folder stays until the build ends"),
    }
}
