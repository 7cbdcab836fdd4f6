//! What a Build object says of its source beside where it is: the Dockerfile itself, and a folder of the archive on
//! standard input.
//!
//! Comes in: the fetched source. Goes out: the source at that folder; or a failure that names the folder. It follows no
//! link out of the archive.

use std::path::{Path, PathBuf};

use super::fetch::Fetched;
use crate::failure::{Failure, Status};

/// What the Dockerfile of a Build object is called, and what stands for its source where there are no files.
pub(crate) const IN_BUILD: &str = "spec.source.dockerfile of the Build";

/// Parts of a source that an object has in itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inline {
    /// The Dockerfile, in the place of that of the source.
    pub(crate) dockerfile: Option<String>,
    /// The folder of an archive that is the build context.
    pub(crate) folder: Option<PathBuf>,
}

impl Inline {
    /// The build context at the folder.
    pub(super) fn below(&self, fetched: Fetched) -> Result<Fetched, Failure> {
        let Some(folder) = &self.folder else { return Ok(fetched) };
        let failed = |why: &str| Failure::new(Status::Source, format!("{}: {why}", fetched.shown));
        if fetched.dockerfile.is_some() {
            let why = format!("it is a Dockerfile, and the build context is to be its folder {}", folder.display());
            return Err(failed(&why).help("send an archive: oc start-build --from-dir=DIR"));
        }
        let Some(directory) = inside(&fetched.directory, folder) else {
            return Err(failed(&format!("there is no folder {} in it", folder.display())).help("see contextDir"));
        };
        Ok(Fetched { directory, ..fetched })
    }
}

/// The real path of `folder`, if that is a directory below `root`.
fn inside(root: &Path, folder: &Path) -> Option<PathBuf> {
    // Whatever keeps it from being resolved, there is no such folder.
    let root = root.canonicalize().ok()?;
    let real = root.join(folder).canonicalize().ok()?;
    (real.starts_with(&root) && real.is_dir()).then_some(real)
}

#[cfg(test)]
mod tests {
    use pipeline::SourceFact;

    use super::*;

    #[test]
    fn a_folder_is_inside_or_it_is_none() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("tree/a/b")).unwrap();
        std::os::unix::fs::symlink("..", root.path().join("tree/up")).unwrap();
        std::os::unix::fs::symlink("a", root.path().join("tree/link")).unwrap();
        std::fs::write(root.path().join("tree/file"), "").unwrap();
        let of = |folder: &str| {
            let fetched = Fetched {
                directory: root.path().join("tree"),
                shown: "standard input".to_owned(),
                fact: SourceFact::default(),
                is_ours: true,
                time: None,
                dockerfile: None,
            };
            let inline = Inline { folder: Some(folder.into()), dockerfile: None };
            inline.below(fetched).map(|fetched| fetched.directory).map_err(|failure| failure.text)
        };
        let real = root.path().canonicalize().unwrap();
        assert_eq!(of("a/b").unwrap(), real.join("tree/a/b"));
        assert_eq!(of("link/b").unwrap(), real.join("tree/a/b"));
        for folder in ["up", "..", "/etc", "file", "none"] {
            assert_eq!(of(folder), Err(format!("standard input: there is no folder {folder} in it")), "{folder}");
        }
    }
}
