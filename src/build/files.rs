//! COPY and ADD: from words to files in the stage.
//!
//! Comes in: an instruction, the stage it is in, and where its sources can be. Goes out: files in the stage's tree,
//! and an event for everything that came in. First everything is expanded and checked, then each source is copied
//! the way of its kind: a match in a tree, an archive, a heredoc, a URL, a git repository.

mod deferred;
mod fetched;
mod inline;
mod local;
mod mode;
mod origin;
mod remote;
mod spec;

use std::os::fd::{AsFd, BorrowedFd};

use dockerfile::ignore::Patterns;
use dockerfile::{AddSpec, CopySpec};

use crate::copy::{self, Copied, CopyRequest, Digests, Item, Links, Mtime, Place, Shape};
use crate::graft::Graft;
use crate::owner::{self, Ids};
use crate::stage::{Failure, Stage, inside};
use crate::{BuildError, Event, InstructionError, instruction::Surroundings};
pub(crate) use mode::Mode;
use remote::Source;
use spec::{Asked, Files};

/// Executes COPY.
pub(crate) fn copy(around: &Surroundings<'_, '_, '_>, stage: &mut Stage<'_>, spec: &CopySpec) -> Result<(), Failure> {
    execute(around, stage, &Files::of_copy(spec))
}

/// Executes ADD.
pub(crate) fn add(around: &Surroundings<'_, '_, '_>, stage: &mut Stage<'_>, spec: &AddSpec) -> Result<(), Failure> {
    execute(around, stage, &Files::of_add(spec))
}

fn execute(around: &Surroundings<'_, '_, '_>, stage: &mut Stage<'_>, files: &Files<'_>) -> Result<(), Failure> {
    let mut asked = Asked::expand(files, &stage.scope, &stage.config.config)?;
    let mut request = request(around, &stage.config.config.working_dir, &asked);
    let folder = origin::folder(around, &mut asked)?;
    let tree = match folder {
        Some(folder) => {
            // What it holds is not of the context that was given.
            request.digests = Digests::Unwanted;
            Some(folder)
        }
        None if asked.has_paths() => Some(origin::tree(around, asked.from.as_deref())?),
        None => None,
    };
    match deferred::touched(&asked, &request.destination) {
        Some(touched) => stage.prepare(&around.workshop, &touched)?,
        None => drop(stage.root(&around.workshop)?),
    }
    let (root, upper) = stage.mounted(&around.workshop)?;
    let upper = store::open_directory(&around.workshop.store.path(upper)).map_err(|source| {
        let (path, action) = (around.workshop.store.shown().join(upper), "open the changes of a stage");
        BuildError::Store(store::StoreError::Io { path, action, source })
    })?;
    if let Some(chown) = &asked.chown {
        request.owner = Some(owner::of_files(root.dir(), chown).map_err(InstructionError::from)?);
    }
    let exclude = exclude(&asked)?;
    let (upper, copied) = (upper.as_fd(), Copied::default());
    let mut writer = Writer { around, root, upper, asked: &asked, request, exclude, copied, graft: None };
    // Heredocs first, as in buildah.
    writer.inline()?;
    for source in &asked.sources {
        match (source, &tree) {
            (Source::Path(path), Some(tree)) => writer.local(tree, path)?,
            (Source::Path(_), None) => {}
            (Source::Url(url), _) => writer.url(url)?,
            (Source::Git(url), _) => writer.git(url)?,
        }
    }
    let Writer { copied, graft, .. } = writer;
    let (files, bytes) = graft.as_ref().map_or((0, 0), Graft::count);
    let is_deferred = graft.is_some();
    tracing::debug!(files = copied.files + files, bytes = copied.bytes + bytes, is_deferred, "copied");
    stage.grafts.extend(graft);
    (around.workshop.observer)(Event::Copied { files: &copied.digests });
    Ok(())
}

fn request(around: &Surroundings<'_, '_, '_>, workdir: &str, asked: &Asked) -> CopyRequest {
    let is_context = asked.from.is_none();
    let text = asked.destination.as_str();
    let destination = inside(workdir, text);
    let names_directory = text.is_empty() || text == "." || text.ends_with('/') || text.ends_with("/.");
    let is_one_of_several = asked.parents || asked.sources.len() + asked.inline.len() > 1;
    CopyRequest {
        into_directory: names_directory || is_one_of_several || destination == inside(workdir, ""),
        destination,
        links: if asked.link { Links::Replaced } else { Links::Followed },
        owner: is_context.then_some(Ids::ROOT),
        mode: asked.mode.clone(),
        mtime: if is_context { around.request.context_mtime } else { Mtime::Kept },
        drops_set_id: is_context,
        digests: if is_context && around.request.hashes_context { Digests::Wanted } else { Digests::Unwanted },
    }
}

/// The patterns of `--exclude`, relative to the tree: each may be meant relative to the tree or to a source.
fn exclude(asked: &Asked) -> Result<Patterns, InstructionError> {
    let mut patterns = asked.exclude.clone();
    let paths = asked.sources.iter().filter_map(|source| match source {
        Source::Path(path) => Some(path),
        Source::Url(_) | Source::Git(_) => None,
    });
    for path in paths {
        patterns.extend(asked.exclude.iter().map(|pattern| local::below(path, pattern)));
    }
    Patterns::new(&patterns).map_err(|error| InstructionError::Invalid { what: format!("--exclude: {error}") })
}

/// Writes the sources of one instruction, one after the other.
struct Writer<'x, 'a, 's, 'w, 'r> {
    around: &'x Surroundings<'s, 'w, 'r>,
    root: &'a sandbox::Root,
    /// What the stage changed so far, on disk.
    upper: BorrowedFd<'x>,
    asked: &'x Asked,
    request: CopyRequest,
    /// What is left out, relative to a tree.
    exclude: Patterns,
    copied: Copied,
    /// What is to be copied later.
    graft: Option<Graft>,
}

impl Writer<'_, '_, '_, '_, '_> {
    /// Where something of `shape` goes; what it needs is made.
    fn place(&self, request: &CopyRequest, shape: Shape) -> Result<Place, InstructionError> {
        Ok(copy::place(self.root.dir(), request, shape, self.around.workshop.owners)?)
    }

    fn copy(
        &mut self,
        tree: &source::Tree,
        items: &[Item],
        place: &Place,
        request: &CopyRequest,
    ) -> Result<(), InstructionError> {
        let owners = self.around.workshop.owners;
        let copied = copy::copy_to(self.root.dir(), (tree, items), place, request, owners)?;
        self.copied.files += copied.files;
        self.copied.bytes += copied.bytes;
        self.copied.digests.extend(copied.digests);
        Ok(())
    }

    fn warn(&self, text: &str) {
        (self.around.workshop.observer)(Event::Warning(text));
    }
}
