//! Files that become part of a layer without ever lying in the upper directory.
//!
//! Comes in: an empty directory of the upper one, and what knows the files that belong there. Goes out: their entries,
//! right behind the directory's own, as if the files had been in it. It refuses the names it refuses on disk, and
//! replaces times alike; sorting and reading are the giver's.

use std::io::{Read, Write};

use super::{Clamp, DiffError, MAX_PATH, Walk};
use crate::layer::tar_write::Entry;
use crate::layer::write::LayerWriter;
use crate::layer::{WHITEOUT, shown, split};

/// Takes one entry and, of a regular file, its content. Times are those of the file: the clamp of the layer acts on
/// them here.
pub type Add<'a> = dyn FnMut(&Entry<'_>, &mut dyn Read) -> Result<(), DiffError> + 'a;

/// Hands over entries: parents first, siblings by bytes of their name, paths from the root.
pub type Fill<'a> = dyn FnMut(&mut Add<'_>) -> Result<(), DiffError> + 'a;

/// What fills a directory of the upper one that is empty there.
pub struct Graft<'g> {
    /// The directory: components joined by `/`, none of them a symlink. Nothing may show there but what comes from here.
    pub directory: Vec<u8>,
    /// Called once. An error ends the layer.
    pub fill: Box<Fill<'g>>,
}

impl std::fmt::Debug for Graft<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Graft").field("directory", &shown(&self.directory)).finish_non_exhaustive()
    }
}

impl<S: Write> Walk<'_, S> {
    /// Writes what belongs into the directory `path`, which was just begun, if anything does.
    pub(super) fn fill(&mut self, path: &[u8]) -> Result<(), DiffError> {
        let Some(mut fill) = self.grafts.remove(path) else { return Ok(()) };
        let is_empty = self.stack.last().is_some_and(|frame| frame.names.as_slice().is_empty());
        if !is_empty {
            return Err(DiffError::Changed { path: shown(path) });
        }
        self.flush()?;
        let (writer, clamp) = (&mut self.writer, self.options.clamp);
        fill(&mut |entry, content| add(writer, clamp, entry, content))
    }
}

fn add<S: Write>(
    writer: &mut LayerWriter<S>,
    clamp: Option<Clamp>,
    entry: &Entry<'_>,
    mut content: &mut dyn Read,
) -> Result<(), DiffError> {
    if entry.path.len() > MAX_PATH {
        return Err(DiffError::Long { path: shown(entry.path) });
    }
    if split(entry.path).is_some_and(|(_, name)| name.starts_with(WHITEOUT)) {
        return Err(DiffError::WhiteoutName { path: shown(entry.path) });
    }
    let mtime = clamp.map_or(entry.mtime, |clamp| clamp.apply(entry.mtime));
    Ok(writer.add(&Entry { mtime, ..entry.clone() }, &mut content)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::os::fd::AsFd as _;
    use std::path::Path;

    use super::*;
    use crate::layer::tar_write::EntryKind;
    use crate::layer::testing::{entry, open};
    use crate::layer::{DiffOptions, write_grafted, write_upper};

    fn options() -> DiffOptions {
        DiffOptions { clamp: Some(Clamp { since: 1_000_000_001, to: 5 }), ..DiffOptions::default() }
    }

    /// A layer of `upper` in which the directory `d` is filled with `files`, each holding its own path.
    fn graft(upper: &Path, directory: &str, files: &[&str]) -> Result<Vec<u8>, DiffError> {
        let mut blob = Vec::new();
        let fill = |add: &mut Add<'_>| {
            for path in files {
                let kind = EntryKind::Regular { size: path.len() as u64 };
                add(&entry(path, kind), &mut path.as_bytes())?;
            }
            Ok(())
        };
        let grafts = vec![Graft { directory: directory.into(), fill: Box::new(fill) }];
        write_grafted((open(upper).as_fd(), grafts), &[], &options(), &mut blob)?;
        Ok(blob)
    }

    /// An upper directory with `a`, an empty `d`, and `z`.
    fn upper() -> tempfile::TempDir {
        let upper = tempfile::tempdir().unwrap();
        fs::create_dir(upper.path().join("d")).unwrap();
        for name in ["a", "z"] {
            fs::write(upper.path().join(name), name).unwrap();
        }
        upper
    }

    #[test]
    fn grafted_files_are_written_where_files_on_disk_would_be() {
        let upper = upper();
        let grafted = graft(upper.path(), "d", &["d/one", "d/two"]).unwrap();
        for name in ["one", "two"] {
            let file = upper.path().join("d").join(name);
            fs::write(&file, format!("d/{name}")).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
            fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
            fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        }
        let mut written = Vec::new();
        write_upper(open(upper.path()).as_fd(), &[], &options(), &mut written).unwrap();
        assert_eq!(grafted, written);
    }

    #[test]
    fn a_graft_that_finds_no_empty_directory_is_refused() {
        let upper = upper();
        fs::write(upper.path().join("d/there"), "").unwrap();
        for directory in ["d", "none", "a"] {
            let refused = graft(upper.path(), directory, &["d/one"]);
            assert!(matches!(refused, Err(DiffError::Changed { .. })), "{directory}: {refused:?}");
        }
    }

    #[test]
    fn names_that_no_layer_takes_are_refused_in_grafts_too() {
        let upper = upper();
        let refused = graft(upper.path(), "d", &["d/.wh.x"]);
        assert!(matches!(refused, Err(DiffError::WhiteoutName { path }) if path == Path::new("d/.wh.x")));
        let long = ["d", &"x".repeat(MAX_PATH)].join("/");
        assert!(matches!(graft(upper.path(), "d", &[&long]), Err(DiffError::Long { .. })));
    }

    #[test]
    fn what_fills_a_directory_can_give_up() {
        let upper = upper();
        let fill = |_: &mut Add<'_>| Err(DiffError::Grafted { path: "d".into() });
        let grafts = vec![Graft { directory: b"d".to_vec(), fill: Box::new(fill) }];
        let written = write_grafted((open(upper.path()).as_fd(), grafts), &[], &options(), io::sink());
        assert!(matches!(written, Err(DiffError::Grafted { .. })));
    }
}
