//! A place of a tree, open, for who mounts it rather than copies it.
//!
//! Nothing here heeds the ignore file: a mount shows a directory as it is.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, OFlags};

use super::{Tree, TreeError, clean};

/// A file or directory of a tree, open as a place only (`O_PATH`).
#[derive(Debug)]
pub struct Place {
    /// The place. It keeps what it names from going away, not from changing.
    pub fd: OwnedFd,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Its owner, as this process sees it.
    pub uid: u32,
    /// Its group, likewise.
    pub gid: u32,
}

impl Tree {
    /// What `path` leads to; all symbolic links are followed inside the tree. An empty path is the tree itself.
    ///
    /// # Errors
    /// [`TreeError::Missing`], or what the kernel says.
    pub fn place(&self, path: &Path) -> Result<Place, TreeError> {
        self.as_reader(|| {
            let fd = self.open_path(path, OFlags::PATH)?;
            let stat = rustix::fs::fstat(&fd).map_err(|error| self.io(path, "examine a file", error))?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            Ok(Place { fd, is_directory, uid: stat.st_uid, gid: stat.st_gid })
        })
    }

    /// The same tree without its ignore file.
    ///
    /// # Errors
    /// [`TreeError::Io`] where no descriptor is left.
    pub fn whole(&self) -> Result<Self, TreeError> {
        let root = self.root.as_fd().try_clone_to_owned();
        let root = root.map_err(|source| TreeError::Io {
            path: Path::new(".").to_owned(),
            tree: self.shown.clone(),
            action: "open the top",
            source,
        })?;
        Ok(Self { root, shown: self.shown.clone(), ignore: None, reader: self.reader.clone() })
    }

    /// `path` without `.`, `..` and leading slashes, as sources are named in this tree.
    #[must_use]
    pub fn relative(path: &Path) -> std::path::PathBuf {
        clean(path.as_os_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_in_the_tree_and_ignored_files_are_there() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "x").unwrap();
        symlink("/../../file", directory.path().join("link")).unwrap();
        let patterns = dockerfile::ignore::Patterns::parse("*\n").unwrap();
        let root = OwnedFd::from(File::open(directory.path()).unwrap());
        let tree = Tree::new(root, directory.path(), Some(patterns));
        assert!(!tree.place(Path::new("link")).unwrap().is_directory);
        assert!(tree.place(Path::new("")).unwrap().is_directory);
        assert!(matches!(tree.place(Path::new("none")), Err(TreeError::Missing { .. })));
        assert_eq!(tree.walk(Path::new("")).unwrap().len(), 1);
        assert_eq!(tree.whole().unwrap().walk(Path::new("")).unwrap().len(), 3);
    }
}
