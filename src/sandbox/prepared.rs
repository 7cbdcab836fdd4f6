//! What a step needs that is made before it: mount points, detached trees, limits.
//!
//! What comes in: a [`Step`] and its root. What goes out: [`Prepared`], which takes mount points it
//! had to make away again when it is dropped. Nothing is mounted here.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};

use crate::mounts::{Content, Point, Source};
use crate::plan::{Ceiling, c_string};
use crate::resolve::{is_reserved, resolve};
use crate::root::Root;
use crate::run::RunError;
use crate::step::{Access, InjectedFile, Limit, MountSource, Resource, Step};
use crate::targets::{Follow, Made, Shape, names, open_in};

/// Descriptors that old programs are safe with (select(2)).
const USUAL_OPEN_FILES: u64 = 1024;

/// What a step needs that lives in the builder as long as the step.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) points: Vec<Point>,
    pub(crate) ceilings: Vec<Ceiling>,
    // Held: the points name their descriptors.
    _trees: Vec<OwnedFd>,
    // Last, so that mount points are removed after all else.
    _made: Made,
}

impl Prepared {
    pub(crate) fn new(root: &Root, step: &Step) -> Result<Self, RunError> {
        let mut made = Made::default();
        let mut trees = Vec::new();
        let mut points: Vec<Point> = Vec::new();
        for path in ["/dev", "/proc", "/sys"] {
            prepare(&mut made, root, Path::new(path), Shape::Directory)?;
        }
        let mut covered: Vec<PathBuf> = ["/dev", "/proc", "/sys"].map(PathBuf::from).to_vec();
        for mount in &step.mounts {
            let (source, shape) = open_source(&mount.source, &mut trees)?;
            let place = Place::find(root, &mount.target, shape)?;
            if is_reserved(&place.path) {
                return Err(RunError::Reserved { path: place.path });
            }
            points.push(point(&mut made, root, &place, source, &covered)?);
            covered.push(place.path);
        }
        for file in &step.files {
            let place = Place::find(root, &file.target, Shape::File)?;
            let source = Source::File(content(root, file));
            let point = point(&mut made, root, &place, source, &covered)?;
            // A step that mounts over /etc has what it mounted.
            let is_optional = point.nested.is_some() && file.is_dispensable;
            points.push(Point { is_optional, ..point });
        }
        Ok(Self {
            points,
            ceilings: plan_ceilings(&step.limits, |resource| sys::limit(resource).ok()),
            _trees: trees,
            _made: made,
        })
    }
}

fn prepare(made: &mut Made, root: &Root, path: &Path, shape: Shape) -> Result<Follow, RunError> {
    made.prepare(root.dir(), path, shape).map_err(|source| RunError::Target { path: path.to_owned(), source })
}

/// Where something is mounted.
struct Place {
    /// All links followed, but for one at the end that leads nowhere and is covered itself.
    path: PathBuf,
    shape: Shape,
}

impl Place {
    fn find(root: &Root, target: &Path, shape: Shape) -> Result<Self, RunError> {
        let failed = |source| RunError::Target { path: target.to_owned(), source };
        let path = resolve(root.dir(), target).map_err(failed)?;
        let is_there = |path: &Path, flags| open_in(root.dir(), path, flags).is_ok();
        if shape == Shape::File && !is_there(&path, OFlags::PATH) && is_there(target, OFlags::PATH | OFlags::NOFOLLOW) {
            let names = names(target);
            if let Some((last, parents)) = names.split_last() {
                let parent: PathBuf = Path::new("/").iter().chain(parents.iter().map(OsString::as_os_str)).collect();
                return Ok(Self { path: resolve(root.dir(), &parent).map_err(failed)?.join(last), shape });
            }
        }
        Ok(Self { path, shape })
    }
}

/// A mount ready to attach. Below another mount of the step nothing can be prepared yet.
fn point(made: &mut Made, root: &Root, place: &Place, source: Source, covered: &[PathBuf]) -> Result<Point, RunError> {
    let is_nested = covered.iter().any(|other| place.path.starts_with(other));
    let (follow, nested) = match is_nested {
        true => (Follow::Links, Some(place.shape)),
        false => (prepare(made, root, &place.path, place.shape)?, None),
    };
    Ok(Point { target: c_string(place.path.as_os_str())?, follow, nested, source, is_optional: false })
}

fn content(root: &Root, file: &InjectedFile) -> Content {
    // Root is the only owner there is.
    let (uid, gid) = if root.ids().is_single() { (0, 0) } else { (file.uid, file.gid) };
    Content { bytes: file.contents.clone(), mode: file.mode, uid, gid }
}

fn open_source(source: &MountSource, trees: &mut Vec<OwnedFd>) -> Result<(Source, Shape), RunError> {
    match source {
        MountSource::Tmpfs { size, mode } => {
            let mut options = vec![(c"mode".to_owned(), number(format!("{mode:o}")))];
            if let Some(size) = size {
                options.push((c"size".to_owned(), number(size.to_string())));
            }
            Ok((Source::Memory(options), Shape::Directory))
        }
        MountSource::Bind { source, access } => {
            let (tree, shape) =
                open_tree(source, *access).map_err(|error| RunError::Source { path: source.clone(), source: error })?;
            let fd = tree.as_raw_fd();
            trees.push(tree);
            Ok((Source::Tree(fd), shape))
        }
    }
}

fn number(digits: String) -> std::ffi::CString {
    // Digits hold no zero byte.
    std::ffi::CString::new(digits).unwrap_or_default()
}

fn open_tree(path: &Path, access: Access) -> io::Result<(OwnedFd, Shape)> {
    let tree = sys::bind_tree(path, true)?;
    let attributes = match access {
        Access::ReadOnly => sys::Attributes::READ_ONLY,
        Access::Writable => sys::Attributes::NONE,
    };
    let safe = sys::Attributes::NO_SUID | sys::Attributes::NO_DEV;
    sys::set_attributes(tree.as_fd(), attributes | safe, true)?;
    let mode = rustix::fs::fstat(&tree)?.st_mode;
    let shape = match FileType::from_raw_mode(mode).is_dir() {
        true => Shape::Directory,
        false => Shape::File,
    };
    Ok((tree, shape))
}

/// The limits to set: no core files, a usual number of descriptors, and what the step asks for,
/// never above what the builder itself has.
fn plan_ceilings(wanted: &[Limit], own: impl Fn(u32) -> Option<(u64, u64)>) -> Vec<Ceiling> {
    let defaults = [
        Limit { resource: Resource::CoreSize, soft: 0, hard: 0 },
        Limit { resource: Resource::OpenFiles, soft: USUAL_OPEN_FILES, hard: u64::MAX },
    ];
    let asked = |limit: &Limit| wanted.iter().any(|other| other.resource == limit.resource);
    defaults
        .iter()
        .filter(|limit| !asked(limit))
        .chain(wanted)
        .map(|limit| {
            let resource = limit.resource.number();
            let (_, own_hard) = own(resource).unwrap_or((u64::MAX, u64::MAX));
            let hard = limit.hard.min(own_hard);
            Ceiling { resource, soft: limit.soft.min(hard), hard }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_only_lowered() {
        let wanted = [Limit { resource: Resource::OpenFiles, soft: 9000, hard: 9000 }];
        let ceilings = plan_ceilings(&wanted, |_| Some((100, 4096)));
        let expected = [
            Ceiling { resource: Resource::CoreSize.number(), soft: 0, hard: 0 },
            Ceiling { resource: Resource::OpenFiles.number(), soft: 4096, hard: 4096 },
        ];
        assert_eq!(ceilings, expected);
    }
}
