//! COPY that can wait: into an empty directory, from the context, in a stage whose files perhaps nobody needs before
//! they are in the layer.

use std::path::Path;
use std::sync::Arc;

use source::Tree;

use super::Writer;
use super::remote::Source;
use super::spec::Asked;
use crate::InstructionError;
use crate::copy::{Digests, Item, Place, Touch};
use crate::graft::{Bed, Graft, claim};
use crate::owner::{self, Ids};

/// The parts of a stage's tree that an instruction touches; `None` for what may touch anything.
pub(super) fn touched<'d>(asked: &Asked, destination: &'d Path) -> Option<Vec<Touch<'d>>> {
    let copies = asked.sources.iter().all(|source| matches!(source, Source::Path(_)));
    if !copies || asked.unpack.local || asked.link {
        return None;
    }
    let mut touched = vec![Touch::Below(destination)];
    if asked.chown.is_some() {
        touched.extend(owner::FILES.map(|path| Touch::Of(Path::new(path))));
    }
    Some(touched)
}

impl Writer<'_, '_, '_, '_, '_> {
    /// Copies the matches of a source, now or when somebody needs them.
    pub(super) fn bring(&mut self, tree: &Arc<Tree>, items: Vec<Item>, place: &Place) -> Result<(), InstructionError> {
        let items = match place {
            Place::Inside(directory) => match self.put_off(tree, items, directory) {
                Ok(()) => return Ok(()),
                Err(items) => items,
            },
            Place::As(_) => items,
        };
        let request = self.request.clone();
        items.into_iter().try_for_each(|item| self.copy(tree, &[item], place, &request))
    }

    /// Puts the copying off, or gives back what is to be copied now.
    fn put_off(&mut self, tree: &Arc<Tree>, mut items: Vec<Item>, directory: &Path) -> Result<(), Vec<Item>> {
        let Some(instruction) = self.around.deferrable.filter(|_| self.may_wait()) else { return Err(items) };
        // What an earlier source of the instruction brings; it goes to the same place.
        let earlier = self.graft.take();
        let is_claimed = earlier.is_some();
        items.splice(..0, earlier.map(Graft::into_items).unwrap_or_default());
        let graft = Graft::of((tree, items), directory, &self.request, instruction)?;
        let bed = Bed { root: self.root.dir(), upper: self.upper, owners: self.around.workshop.owners };
        if !is_claimed && !claim(&bed, directory, self.request.owner.unwrap_or(Ids::ROOT)) {
            return Err(graft.into_items());
        }
        self.graft = Some(graft);
        Ok(())
    }

    /// Whether the instruction does nothing but copy files of the context that nobody wants to be hashed.
    fn may_wait(&self) -> bool {
        let asked = self.asked;
        let copies = asked.sources.iter().all(|source| matches!(source, Source::Path(_)));
        copies && asked.from.is_none() && asked.inline.is_empty() && self.request.digests == Digests::Unwanted
    }
}
