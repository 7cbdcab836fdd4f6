//! Whether something done in a tree could meet a part of it whose files are not there yet.
//!
//! Comes in: a path as it is asked for, and a directory that exists but is still empty. Goes out: yes or no, and yes
//! where it cannot be told. Symbolic links count: what leads through the directory meets it.

use std::os::fd::BorrowedFd;
use std::path::Path;

use super::place::follow;

/// What is done in a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch<'p> {
    /// The path itself is looked at, or made if it is missing.
    Of(&'p Path),
    /// The same, and everything below it may be read or written.
    Below(&'p Path),
}

impl Touch<'_> {
    /// Whether it could matter what is in `directory`, which is relative to `root` and leads through no link.
    pub(crate) fn meets(self, root: BorrowedFd<'_>, directory: &Path) -> bool {
        let (Self::Of(path) | Self::Below(path)) = self;
        let mut is_led_into = false;
        let followed = follow(root, path, &mut |passed| {
            // The directory itself is there, and says what it would say with its files in it.
            is_led_into |= passed.starts_with(directory) && passed != directory;
        });
        match (followed, self) {
            (Err(_), _) => true,
            (Ok(_), Self::Of(_)) => is_led_into,
            (Ok(end), Self::Below(_)) => is_led_into || directory.starts_with(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_leads_into_a_directory_meets_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("opt/tree")).unwrap();
        for (link, target) in [("in", "opt/tree/x"), ("at", "/opt/tree"), ("up", "at/../other"), ("circle", "circle")] {
            symlink(target, at(link)).unwrap();
        }
        let fd = std::fs::File::open(root.path()).unwrap();
        let meets = |touch: Touch<'_>| touch.meets(fd.as_fd(), Path::new("opt/tree"));
        for (path, of, below) in [
            ("/opt/tree", false, true),
            ("/opt/tree/", false, true),
            ("/opt/tree/x", true, true),
            ("/opt/tree2", false, false),
            ("/opt", false, true),
            ("/", false, true),
            ("/opt/other/x", false, false),
            ("/in", true, true),
            ("/in/deeper", true, true),
            ("/at", false, true),
            ("/at/x", true, true),
            ("/up", false, false),
            ("/circle", true, true),
        ] {
            let path = Path::new(path);
            assert_eq!((meets(Touch::Of(path)), meets(Touch::Below(path))), (of, below), "{}", path.display());
        }
    }
}
