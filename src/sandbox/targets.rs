//! Mount points in an image's tree: found before a step, made where missing, taken away after it.
//!
//! What comes in: the merged tree and paths in it. What goes out: how to mount on them. Every path
//! is resolved with the tree's root as root, so that no symbolic link of an image leads out.
//! A mount point made here is removed again with its parents' times restored; the parents
//! themselves may have been copied up into the upper directory, unchanged.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;
use tracing::warn;

/// What is mounted on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Directory,
    File,
}

/// How to mount on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// On what a symbolic link at its end leads to.
    Links,
    /// On the symbolic link itself, because it leads nowhere.
    Nothing,
}

/// Mount points made for one step; dropping removes them.
#[derive(Debug, Default)]
pub(crate) struct Made(Vec<Point>);

#[derive(Debug)]
struct Point {
    parent: OwnedFd,
    name: OsString,
    shape: Shape,
    times: Timestamps,
}

impl Made {
    /// Makes sure that something of this shape can be mounted on `target`.
    pub(crate) fn prepare(&mut self, root: BorrowedFd<'_>, target: &Path, shape: Shape) -> io::Result<Follow> {
        match open_in(root, target, OFlags::PATH) {
            Ok(found) => check_shape(&found, shape).map(|()| Follow::Links),
            Err(Errno::NOENT) => match open_in(root, target, OFlags::PATH | OFlags::NOFOLLOW) {
                Ok(_) if shape == Shape::File => Ok(Follow::Nothing),
                Ok(_) | Err(Errno::NOENT) => self.make(root, target, shape).map(|()| Follow::Links),
                Err(error) => Err(error.into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn make(&mut self, root: BorrowedFd<'_>, target: &Path, shape: Shape) -> io::Result<()> {
        let names = names(target);
        let mut at = PathBuf::from("/");
        for (index, name) in names.iter().enumerate() {
            let parent = open_in(root, &at, OFlags::RDONLY | OFlags::DIRECTORY)?;
            let shape = if index + 1 == names.len() { shape } else { Shape::Directory };
            self.make_one(parent, name, shape)?;
            at.push(name);
        }
        Ok(())
    }

    fn make_one(&mut self, parent: OwnedFd, name: &OsStr, shape: Shape) -> io::Result<()> {
        let found = rustix::fs::fstat(&parent)?;
        let time = |tv_sec, tv_nsec: u64| Timespec {
            tv_sec,
            // Below 10^9, whatever its type on this architecture.
            tv_nsec: tv_nsec as _,
        };
        let times = Timestamps {
            last_access: time(found.st_atime, found.st_atime_nsec as u64),
            last_modification: time(found.st_mtime, found.st_mtime_nsec as u64),
        };
        match create(&parent, name, shape) {
            Ok(()) => {
                self.0.push(Point { parent, name: name.to_owned(), shape, times });
                Ok(())
            }
            Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        while let Some(point) = self.0.pop() {
            let flags = match point.shape {
                Shape::Directory => AtFlags::REMOVEDIR,
                Shape::File => AtFlags::empty(),
            };
            // What a step put into a directory of ours is the image's now, and so is the directory.
            match rustix::fs::unlinkat(&point.parent, &point.name, flags) {
                Ok(()) => {
                    if let Err(error) = rustix::fs::futimens(&point.parent, &point.times) {
                        warn!(name = ?point.name, %error, "a directory's times changed");
                    }
                }
                Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT) => {}
                Err(error) => warn!(name = ?point.name, %error, "a mount point stays in the layer"),
            }
        }
    }
}

fn create(parent: &OwnedFd, name: &OsStr, shape: Shape) -> rustix::io::Result<()> {
    match shape {
        Shape::Directory => rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        Shape::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    }
}

fn check_shape(found: &OwnedFd, shape: Shape) -> io::Result<()> {
    let is_directory = FileType::from_raw_mode(rustix::fs::fstat(found)?.st_mode).is_dir();
    match (shape, is_directory) {
        (Shape::Directory, true) | (Shape::File, false) => Ok(()),
        (Shape::Directory, false) => Err(io::ErrorKind::NotADirectory.into()),
        (Shape::File, true) => Err(io::ErrorKind::IsADirectory.into()),
    }
}

/// Opens a path of the tree, with the tree's root as root.
pub(crate) fn open_in(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    const RETRIES: u32 = 64;
    let flags = flags | OFlags::CLOEXEC;
    for _ in 0..RETRIES {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            // A rename or mount elsewhere made the kernel unsure of a `..` on the way (openat2(2)).
            Err(rustix::io::Errno::AGAIN) => {}
            answer => return answer,
        }
    }
    Err(rustix::io::Errno::AGAIN)
}

/// The names of a path, without `/`, `.` and `..`; the latter cannot climb above the root.
pub(crate) fn names(path: &Path) -> Vec<OsString> {
    let mut names: Vec<OsString> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name.to_owned()),
            Component::ParentDir => {
                names.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    names
}

/// A mount point that [`write_stubs`] makes, so that no step has to.
fn write_stub(directory: BorrowedFd<'_>, path: &Path, shape: Shape) -> io::Result<()> {
    let names = names(path);
    let mut parent = File::from(directory.try_clone_to_owned()?);
    for (index, name) in names.iter().enumerate() {
        let is_last = index + 1 == names.len();
        let shape = if is_last { shape } else { Shape::Directory };
        match create(&parent.as_fd().try_clone_to_owned()?, name, shape) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        if !is_last {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            parent = rustix::fs::openat(&parent, name, flags, Mode::empty())?.into();
        }
    }
    Ok(())
}

/// Mount points for everything that every step gets, and for these files and directories.
pub(crate) fn write_stubs(directory: BorrowedFd<'_>, files: &[&Path], directories: &[&Path]) -> io::Result<()> {
    for path in ["dev", "proc", "sys"] {
        write_stub(directory, Path::new(path), Shape::Directory)?;
    }
    for path in ["etc/hostname", "etc/hosts", "etc/resolv.conf"] {
        write_stub(directory, Path::new(path), Shape::File)?;
    }
    files.iter().try_for_each(|path| write_stub(directory, path, Shape::File))?;
    directories.iter().try_for_each(|path| write_stub(directory, path, Shape::Directory))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, File) {
        let directory = tempfile::tempdir().unwrap();
        let root = File::open(directory.path()).unwrap();
        (directory, root)
    }

    #[test]
    fn a_missing_mount_point_is_made_and_removed_with_its_parents_times_kept() {
        let (directory, root) = tree();
        fs::create_dir(directory.path().join("etc")).unwrap();
        let before = fs::metadata(directory.path().join("etc")).unwrap().modified().unwrap();
        let mut made = Made::default();
        let target = Path::new("/etc/a/b.repo");
        let follow = made.prepare(root.as_fd(), target, Shape::File).unwrap();
        assert_eq!(follow, Follow::Links);
        assert!(directory.path().join("etc/a/b.repo").is_file());
        drop(made);
        assert!(!directory.path().join("etc/a").exists());
        let after = fs::metadata(directory.path().join("etc")).unwrap().modified().unwrap();
        assert_eq!(before, after);
    }

    #[test]
    fn a_link_to_an_absolute_path_stays_in_the_tree() {
        let (directory, root) = tree();
        fs::create_dir(directory.path().join("run")).unwrap();
        fs::write(directory.path().join("run/resolv"), "").unwrap();
        symlink("/run/resolv", directory.path().join("link")).unwrap();
        let mut made = Made::default();
        let follow = made.prepare(root.as_fd(), Path::new("/link"), Shape::File).unwrap();
        assert_eq!(follow, Follow::Links);
        assert!(made.0.is_empty());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_covered_itself() {
        let (directory, root) = tree();
        symlink("../run/nothing", directory.path().join("link")).unwrap();
        let mut made = Made::default();
        let follow = made.prepare(root.as_fd(), Path::new("/link"), Shape::File).unwrap();
        assert_eq!(follow, Follow::Nothing);
        assert!(made.0.is_empty());
    }

    #[test]
    fn a_directory_is_no_place_for_a_file() {
        let (directory, root) = tree();
        fs::create_dir(directory.path().join("d")).unwrap();
        let error = Made::default().prepare(root.as_fd(), Path::new("/d"), Shape::File);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn stubs_hold_every_mount_point() {
        let (directory, root) = tree();
        let repo = Path::new("/etc/yum.repos.d/x.repo");
        for _ in 0..2 {
            write_stubs(root.as_fd(), &[repo], &[Path::new("/etc/yum.repos.d"), Path::new("/srv/a")]).unwrap();
        }
        let at = |path: &str| directory.path().join(path);
        for path in ["proc", "sys", "dev", "etc/yum.repos.d", "srv/a"] {
            assert!(at(path).is_dir(), "{path}");
        }
        for path in ["etc/hosts", "etc/yum.repos.d/x.repo"] {
            assert!(at(path).is_file(), "{path}");
        }
    }

    #[test]
    fn dots_do_not_climb_out() {
        assert_eq!(names(Path::new("/../a/./../b")), ["b"]);
    }
}
