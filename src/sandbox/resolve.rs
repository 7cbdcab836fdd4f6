//! Where a path of an image leads when every symbolic link is followed inside the image.
//!
//! What comes in: the merged tree and a path in it. What goes out: a path without links, `.` and `..`, below which
//! nothing needs to exist. Mounts are compared and attached by it, so that one on a link to a directory and one on
//! the directory are seen to be the same place. It changes nothing.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::targets::open_in;

/// As many links as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// What every step gets a fresh one of.
const RESERVED: [&str; 3] = ["/dev", "/proc", "/sys"];

/// Whether nothing may be mounted there: the root itself, `/dev`, and all of `/proc` and `/sys`.
pub(crate) fn is_reserved(resolved: &Path) -> bool {
    resolved == Path::new("/")
        || RESERVED.iter().any(|path| resolved == Path::new(path))
        || resolved.starts_with("/proc")
        || resolved.starts_with("/sys")
}

/// Follows all links of `path`, also the last; what does not exist stays as it is.
pub(crate) fn resolve(root: BorrowedFd<'_>, path: &Path) -> io::Result<PathBuf> {
    let mut pending: VecDeque<OsString> = VecDeque::new();
    prepend(&mut pending, path);
    let mut resolved = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = pending.pop_front() {
        if name == ".." {
            resolved.pop();
            continue;
        }
        let candidate = resolved.join(&name);
        let Some(target) = link(root, &candidate)? else {
            resolved = candidate;
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        if target.is_absolute() {
            resolved = PathBuf::from("/");
        }
        prepend(&mut pending, &target);
    }
    Ok(resolved)
}

fn prepend(pending: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => pending.push_front(name.to_owned()),
            Component::ParentDir => pending.push_front("..".into()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
}

/// Where the link at `path` points; none if it is no link, or nothing.
fn link(root: BorrowedFd<'_>, path: &Path) -> io::Result<Option<PathBuf>> {
    let found = match open_in(root, path, OFlags::PATH | OFlags::NOFOLLOW) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // An empty path means the link that the descriptor is (readlinkat(2)).
    match rustix::fs::readlinkat(&found, "", Vec::new()) {
        Ok(target) => Ok(Some(PathBuf::from(OsStr::from_bytes(target.as_bytes())))),
        Err(Errno::INVAL | Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    #[track_caller]
    fn check(links: &[(&str, &str)], path: &str, expected: &str) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("srv/a")).unwrap();
        for (name, target) in links {
            symlink(target, directory.path().join(name)).unwrap();
        }
        let root = File::open(directory.path()).unwrap();
        assert_eq!(resolve(root.as_fd(), Path::new(path)).unwrap(), Path::new(expected), "{path}");
    }

    #[test]
    fn links_on_the_way_and_at_the_end_are_followed_inside_the_root() {
        check(&[("link", "/srv")], "/link/a/b", "/srv/a/b");
        check(&[("link", "../../../srv/a")], "/link", "/srv/a");
        check(&[("one", "two"), ("two", "srv/./a/../a")], "/one/x", "/srv/a/x");
    }

    #[test]
    fn what_does_not_exist_stays() {
        check(&[("link", "none/at/all")], "/link/x", "/none/at/all/x");
        check(&[], "/../a//b/../c", "/a/c");
    }

    #[test]
    fn a_circle_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        symlink("loop", directory.path().join("loop")).unwrap();
        let root = File::open(directory.path()).unwrap();
        assert!(resolve(root.as_fd(), Path::new("/loop/a")).is_err());
    }

    #[test]
    fn what_every_step_has_of_its_own_is_reserved() {
        for path in ["/", "/dev", "/proc", "/proc/sys", "/sys", "/sys/fs"] {
            assert!(is_reserved(Path::new(path)), "{path}");
        }
        for path in ["/dev/shm", "/process", "/srv"] {
            assert!(!is_reserved(Path::new(path)), "{path}");
        }
    }
}
