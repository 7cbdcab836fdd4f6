//! A folder of the store for what an instruction brings along itself.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use source::Tree;

use crate::stage::Workshop;
use crate::{CopyError, InstructionError};

/// A folder that is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    /// As this process finds it.
    path: PathBuf,
    /// As other programs find it, and messages show it.
    shown: PathBuf,
}

impl Folder {
    pub(super) fn new(workshop: &Workshop<'_>, purpose: &str) -> Result<Self, InstructionError> {
        let store = workshop.store;
        let relative = store.scratch().fresh_folder(purpose).map_err(|source| CopyError::Store {
            path: store.shown().to_owned(),
            action: "make a folder for a source",
            source,
        })?;
        Ok(Self { path: store.path(&relative), shown: store.shown().join(relative) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn shown(&self) -> &Path {
        &self.shown
    }

    pub(super) fn open(&self) -> Result<OwnedFd, InstructionError> {
        store::open_directory(&self.path).map_err(|source| self.failed("open a folder for a source", source))
    }

    /// What is in it.
    pub(super) fn tree(&self) -> Result<Tree, InstructionError> {
        Ok(Tree::new(self.open()?, &self.shown, None))
    }

    pub(super) fn failed(&self, action: &'static str, source: io::Error) -> InstructionError {
        CopyError::Store { path: self.shown.clone(), action, source }.into()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left goes with the rest of the scratch folder when the build ends.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
