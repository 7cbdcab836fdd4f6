//! Heredocs as files.

use std::io::Write;

use rustix::fs::{Mode as FileMode, OFlags, fchmod, openat};

use super::Writer;
use super::fetched::Folder;
use crate::InstructionError;
use crate::copy::{CopyRequest, Digests, Item, Mtime, Shape};
use crate::owner::Ids;

impl Writer<'_, '_, '_, '_, '_> {
    /// Writes the instruction's heredocs: 0644, owned by root unless flags say otherwise, as old as the image.
    pub(super) fn inline(&mut self) -> Result<(), InstructionError> {
        let asked = self.asked;
        for (name, content) in &asked.inline {
            let folder = Folder::new(&self.around.workshop, "inline")?;
            let failed = |source| folder.failed("write a heredoc", source);
            let directory = folder.open()?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let made = openat(&directory, name.as_str(), flags, FileMode::from_raw_mode(0o644));
            let mut file = std::fs::File::from(made.map_err(|error| failed(error.into()))?);
            fchmod(&file, FileMode::from_raw_mode(0o644)).map_err(|error| failed(error.into()))?;
            file.write_all(content.as_bytes()).map_err(failed)?;
            let epoch = i64::try_from(self.around.request.epoch).unwrap_or(i64::MAX);
            let request = CopyRequest {
                owner: Some(self.request.owner.unwrap_or(Ids::ROOT)),
                mtime: Mtime::Exactly(epoch),
                digests: Digests::Unwanted,
                ..self.request.clone()
            };
            let tree = folder.tree()?;
            let item = Item::walk(&tree, name.as_ref())?;
            let place = self.place(&request, Shape::File)?;
            self.copy(&tree, &[item], &place, &request)?;
        }
        Ok(())
    }
}
