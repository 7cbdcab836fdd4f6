//! Where a bind mount's files come from: the context, another stage, an image, a directory of this machine.
//!
//! Comes in: what `from` says. Goes out: a tree that can be mounted, held for as long as that takes. As in buildah, a
//! mount of a context shows all of it: ignore files are for COPY and ADD. Nothing is ever written to an origin.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::Digest;
use rustix::fs::{Mode, OFlags, RenameFlags};
use sandbox::Root;
use source::{Place, Tree};

use crate::copy::{self, CopyRequest};
use crate::instruction::Surroundings;
use crate::owner::Ids;
use crate::repositories;
use crate::request::{Context, NamedContext};
use crate::run::error::MountProblem;
use crate::run::held::Folder;
use crate::stage::{self, Failure, Stage, Stubs, Workshop};
use crate::{BuildError, base};

/// The id that files of unmapped owners seem to have (`/proc/sys/kernel/overflowuid`).
pub(crate) const UNMAPPED: u32 = 65534;

/// A tree to mount from.
pub(crate) struct Origin {
    tree: Tree,
    /// Whether its files are a user's: perhaps of ids that do not exist in steps.
    is_users: bool,
    /// Held: the tree is mounted as long as this lives.
    root: Option<Root>,
}

/// What of an origin is mounted.
pub(crate) struct Part {
    /// An absolute path that is good as long as `held`.
    pub(crate) path: PathBuf,
    /// Open, for who puts an overlay over it.
    pub(crate) fd: OwnedFd,
    pub(crate) root: Option<Root>,
}

/// Why there is no origin: what is wrong with the mount, or something that has a place of its own.
pub(crate) enum NoOrigin {
    Mount(MountProblem),
    Elsewhere(Failure),
}

impl<E: Into<MountProblem>> From<E> for NoOrigin {
    fn from(error: E) -> Self {
        Self::Mount(error.into())
    }
}

impl Origin {
    /// The tree that `from` means, by default the context.
    pub(crate) fn find(around: &Surroundings<'_, '_, '_>, from: Option<&str>) -> Result<Self, NoOrigin> {
        let Some(from) = from else {
            return match &around.request.context {
                Context::Tree(tree) => Self::users(tree),
                Context::Absent => Err(MountProblem::NoContext.into()),
            };
        };
        let stages = &around.plan.plan().stages;
        if let Ok(Some(index)) = stages.referenced(from, around.stage_index, dockerfile::Span::default())
            && let Some(other) = around.done.get(&index)
        {
            return Self::stage(&around.workshop, other).map_err(NoOrigin::Elsewhere);
        }
        if let Some(NamedContext::Tree(tree)) = around.request.contexts.get(from) {
            return Self::users(tree);
        }
        let Some(image) = around.plan.origins.get(from) else {
            return Err(MountProblem::NoOrigin { from: from.to_owned() }.into());
        };
        let name = format!("image {from}");
        let mounted = base::unpack(&around.workshop, image)
            .and_then(|lowers| stage::mount(&around.workshop, &lowers, &name, Stubs::Absent))
            .and_then(|(root, _)| Self::mounted(duplicate(&root, &name)?, &name, Some(root)));
        mounted.map_err(|error| NoOrigin::Elsewhere(error.into()))
    }

    /// A directory of this machine that a volume names.
    pub(crate) fn volume(directory: OwnedFd, shown: &Path, around: &Surroundings<'_, '_, '_>) -> Self {
        let tree = Tree::new(directory, shown, None);
        if let Some(threads) = around.request.step_inputs.threads.get() {
            tree.read_through(threads);
        }
        Self { tree, is_users: true, root: None }
    }

    fn users(tree: &Arc<Tree>) -> Result<Self, NoOrigin> {
        Ok(Self { tree: tree.whole()?, is_users: true, root: None })
    }

    fn stage(workshop: &Workshop<'_>, other: &Stage<'_>) -> Result<Self, Failure> {
        let name = format!("stage {}", other.label);
        let lowers = stage::lowers(workshop, &other.whole_chain())?;
        let (root, _) = stage::mount(workshop, &lowers, &name, Stubs::Absent)?;
        Ok(Self::mounted(duplicate(&root, &name)?, &name, Some(root))?)
    }

    fn mounted(directory: OwnedFd, name: &str, root: Option<Root>) -> Result<Self, BuildError> {
        Ok(Self { tree: Tree::new(directory, name.as_ref(), None), is_users: false, root })
    }

    /// What is at `source`, for steps that read it. Files whose owner does not exist in steps, who could read only
    /// what everybody may, are copied first, once a build, and are root's then, as COPY would make them.
    pub(crate) fn part(self, workshop: &Workshop<'_>, source: &Path) -> Result<Part, MountProblem> {
        let source = Tree::relative(source);
        let place = self.tree.place(&source)?;
        let is_unmapped = self.is_users && (place.uid == UNMAPPED || place.gid == UNMAPPED);
        if !is_unmapped {
            let path = fd_path(&place.fd);
            return Ok(Part { path, fd: place.fd, root: self.root });
        }
        let path = self.kept_copy(workshop, &source, &place)?;
        let fd = open_place(&path)?;
        Ok(Part { path, fd, root: None })
    }

    /// A copy of the file at `source`, in a folder of its own, for a step that may change it.
    pub(crate) fn file_copy(&self, workshop: &Workshop<'_>, source: &Path) -> Result<(PathBuf, Folder), MountProblem> {
        let folder = Folder::fresh(workshop, "bind")?;
        let source = Tree::relative(source);
        self.copy_into(workshop, &source, &folder.path)?;
        Ok((folder.path.join(source.file_name().unwrap_or_default()), folder))
    }

    /// Whether `source` is a directory.
    pub(crate) fn is_directory(&self, source: &Path) -> Result<bool, MountProblem> {
        Ok(self.tree.place(&Tree::relative(source))?.is_directory)
    }

    fn kept_copy(&self, workshop: &Workshop<'_>, source: &Path, place: &Place) -> Result<PathBuf, MountProblem> {
        let store = workshop.store;
        let key = Digest::of(format!("{}\0{}", self.tree.shown().display(), source.display()).as_bytes());
        let folder = store.scratch().fresh("copy");
        let name = folder.parent().unwrap_or(&folder).join(format!("copy-of-{}", key.hex()));
        let whole = store.path(&name);
        let found = || match place.is_directory {
            true => whole.clone(),
            false => whole.join(source.file_name().unwrap_or_default()),
        };
        if whole.is_dir() {
            return Ok(found());
        }
        let fresh = Folder::fresh(workshop, "copy")?;
        self.copy_into(workshop, source, &fresh.path)?;
        let from = fresh.name.clone();
        match rustix::fs::renameat_with(store.directory(), &from, store.directory(), &name, RenameFlags::NOREPLACE) {
            // Another stage was faster.
            Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(found()),
            Err(error) => Err(io(&name, "keep a copy of a mount's source", error.into())),
        }
    }

    fn copy_into(&self, workshop: &Workshop<'_>, source: &Path, to: &Path) -> Result<(), MountProblem> {
        let directory = store::open_directory(to).map_err(|error| io(to, "open a folder", error))?;
        let owner = self.is_users.then_some(Ids::ROOT);
        let request = CopyRequest { owner, ..repositories::whole("/".into()) };
        copy::copy(directory.as_fd(), &self.tree, &[source.to_owned()], &request, workshop.owners)?;
        Ok(())
    }
}

/// A path that opens what a descriptor is open at.
pub(crate) fn fd_path(fd: &impl std::os::fd::AsRawFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> MountProblem {
    MountProblem::Io { path: path.to_owned(), action, source }
}

fn open_place(path: &Path) -> Result<OwnedFd, MountProblem> {
    let opened = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|error| io(path, "open a copy", error.into()))
}

fn duplicate(root: &Root, name: &str) -> Result<OwnedFd, BuildError> {
    root.dir().try_clone_to_owned().map_err(|source| {
        BuildError::Store(store::StoreError::Io { path: name.into(), action: "open the tree of a stage", source })
    })
}
