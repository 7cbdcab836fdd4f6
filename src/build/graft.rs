//! COPY that is put off: files that go from the context straight into the layer.
//!
//! Comes in: what a COPY into an empty directory takes and how. Goes out: nothing, until somebody needs the files, who
//! gets them planted into the stage's tree as the COPY would have put them there; or, if nobody does, their entries
//! in the layer, which are those that planted files would have. It never decides whether somebody needs them.

mod bare;
mod entries;

use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dockerfile::{Instruction, Span};
use source::{Entry, Kind, Tree};

use crate::BuildError;
use crate::copy::{self, CopyError, CopyRequest, Item, Place};
use crate::owner::Owners;
pub(crate) use bare::{Bed, claim};

/// Files that belong into a directory and are not there yet.
#[derive(Debug)]
pub(crate) struct Graft {
    /// A real directory of the stage's tree, relative to its root; nothing shows in it.
    directory: PathBuf,
    tree: Arc<Tree>,
    items: Vec<Item>,
    request: CopyRequest,
    /// The entries as a layer has them, without what is written once only.
    order: Vec<Position>,
    blamed: Blamed,
}

/// Which entry of which item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    item: usize,
    entry: usize,
}

/// The instruction that a failure belongs to.
#[derive(Clone, Debug)]
struct Blamed {
    line: String,
    span: Span,
}

impl Graft {
    /// `items` of `tree`, to be copied into `directory`.
    ///
    /// # Errors
    /// The items, where only copying will do: several have the same names, or there are files of unusual kinds.
    pub(crate) fn of(
        (tree, items): (&Arc<Tree>, Vec<Item>),
        directory: &Path,
        request: &CopyRequest,
        instruction: &Instruction,
    ) -> Result<Self, Vec<Item>> {
        let Some(order) = order(&items) else { return Err(items) };
        let blamed = Blamed { line: instruction.line.clone(), span: instruction.span };
        let (directory, tree) = (directory.to_owned(), Arc::clone(tree));
        Ok(Self { directory, tree, items, request: request.clone(), order, blamed })
    }

    /// Where the files belong.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is to be copied there.
    pub(crate) fn into_items(self) -> Vec<Item> {
        self.items
    }

    /// Files of all kinds but directories, and bytes of regular ones.
    pub(crate) fn count(&self) -> (u64, u64) {
        let (mut files, mut bytes) = (0, 0);
        for (position, item) in self.items.iter().enumerate() {
            let mut links = HashSet::new();
            let placed = self.order.iter().filter(|placed| placed.item == position);
            for entry in placed.filter_map(|placed| item.entries.get(placed.entry)) {
                files += u64::from(entry.kind != Kind::Directory && entry.kind != Kind::Socket);
                if let Kind::File(size) = entry.kind
                    && entry.link.is_none_or(|link| links.insert(link))
                {
                    bytes += size;
                }
            }
        }
        (files, bytes)
    }

    /// Copies the files into the tree `root` after all.
    pub(crate) fn plant(&self, root: BorrowedFd<'_>, owners: Owners) -> Result<(), BuildError> {
        let place = Place::Inside(self.directory.clone());
        let planted = copy::copy_to(root, (&self.tree, &self.items), &place, &self.request, owners);
        planted.map(drop).map_err(|error| self.blame(error))
    }

    fn blame(&self, error: CopyError) -> BuildError {
        let Blamed { line, span } = self.blamed.clone();
        BuildError::Instruction { line, span, source: Box::new(error.into()) }
    }

    /// The entry at `position`, and its path from the root.
    fn placed(&self, position: Position) -> Option<(&Entry, PathBuf)> {
        let item = self.items.get(position.item)?;
        let entry = item.entries.get(position.entry)?;
        Some((entry, self.directory.join(item.below(entry)?)))
    }
}

/// All entries that go below the destination, parents first, siblings by bytes; `None` where that would not tell all.
fn order(items: &[Item]) -> Option<Vec<Position>> {
    let mut found: Vec<(Position, &Entry, &Path)> = Vec::new();
    for (item, of_item) in items.iter().enumerate() {
        for (entry, of_entry) in of_item.entries.iter().enumerate() {
            if matches!(of_entry.kind, Kind::Fifo | Kind::Device) {
                return None;
            }
            found.extend(of_item.below(of_entry).map(|below| (Position { item, entry }, of_entry, below)));
        }
    }
    // Paths are compared a component at a time, components by bytes.
    found.sort_by_key(|(_, _, below)| *below);
    // Directories may come along with several items (`--parents`); nothing else may.
    let is_twice = |(_, one, above): &(Position, &Entry, &Path), (_, other, below): &(Position, &Entry, &Path)| {
        above == below && (one.kind != Kind::Directory || one != other)
    };
    if found.iter().zip(found.iter().skip(1)).any(|(one, other)| is_twice(one, other)) {
        return None;
    }
    found.dedup_by_key(|(_, _, below)| *below);
    let writes = found.iter().any(|(_, entry, _)| entry.kind != Kind::Socket);
    writes.then(|| found.into_iter().map(|(position, _, _)| position).collect())
}

#[cfg(test)]
mod tests;
