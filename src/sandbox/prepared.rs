//! What a step needs that is made before it: mount points, detached trees, limits.
//!
//! What comes in: a [`Step`] and its root. What goes out: [`Prepared`], which takes mount points it
//! had to make away again when it is dropped. Nothing is mounted here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::FileType;

use crate::mounts::{Point, Source};
use crate::plan::{Ceiling, c_string};
use crate::root::Root;
use crate::run::RunError;
use crate::step::{Access, Limit, MountSource, Resource, Step};
use crate::targets::{Follow, Made, Shape};

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
        let mut covered: Vec<&Path> = vec![Path::new("/dev"), Path::new("/proc"), Path::new("/sys")];
        for mount in &step.mounts {
            let (source, shape) = open_source(&mount.source, &mut trees)?;
            points.push(point(&mut made, root, &mount.target, (source, shape), &covered)?);
            covered.push(&mount.target);
        }
        for file in &step.files {
            let source = (Source::File(file.contents.clone(), file.mode), Shape::File);
            points.push(point(&mut made, root, &file.target, source, &covered)?);
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

/// A mount ready to attach. Below another mount of the step nothing can be prepared yet.
fn point(
    made: &mut Made,
    root: &Root,
    target: &Path,
    (source, shape): (Source, Shape),
    covered: &[&Path],
) -> Result<Point, RunError> {
    let is_nested = covered.iter().any(|other| target.starts_with(other));
    let (follow, nested) =
        if is_nested { (Follow::Links, Some(shape)) } else { (prepare(made, root, target, shape)?, None) };
    Ok(Point { target: c_string(target.as_os_str())?, follow, nested, source })
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
