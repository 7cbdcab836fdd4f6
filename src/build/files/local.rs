//! Sources in a tree: what they match, what is left out, and archives that ADD unpacks.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dockerfile::ignore::Patterns;
use oci::Hasher;
use source::archive::{self, Unpack};
use source::{Entry, Kind, Tree, TreeError};

use super::Writer;
use crate::InstructionError;
use crate::copy::{Digests, Item, Names, Place, Shape};

/// One match of a source.
enum Match {
    Copied(Item),
    /// To be unpacked.
    Archive(PathBuf),
}

impl Writer<'_, '_, '_, '_, '_> {
    /// Copies what one source stands for.
    pub(super) fn local(&mut self, tree: &Arc<Tree>, source: &str) -> Result<(), InstructionError> {
        let paths = tree.matches(source.as_ref())?;
        let mut matches = Vec::new();
        for path in &paths {
            matches.extend(self.matched(tree, source, path)?);
        }
        let shape = shape(&matches).ok_or_else(|| nothing_left(source))?;
        let request = self.request.clone();
        let place = self.place(&request, shape)?;
        if matches.len() > 1 && matches!(place, Place::As(_)) {
            self.warn(&format!(
                "{source} matches {} files, which overwrite each other at {}; end the destination in a slash",
                matches.len(),
                request.destination.display()
            ));
        }
        if matches.iter().all(|found| matches!(found, Match::Copied(_))) {
            let item = |found| if let Match::Copied(item) = found { Some(item) } else { None };
            return self.bring(tree, matches.into_iter().filter_map(item).collect(), &place);
        }
        for found in matches {
            match found {
                Match::Copied(item) => self.copy(tree, &[item], &place, &request)?,
                Match::Archive(path) => self.archive(tree, &path, &place)?,
            }
        }
        Ok(())
    }

    /// One match with everything below it; `None` when all of it is left out.
    fn matched(&self, tree: &Tree, source: &str, path: &Path) -> Result<Option<Match>, InstructionError> {
        let is_out = |path: &Path| self.exclude.matches(&path.to_string_lossy());
        if self.asked.unpack.local && is_archive(tree, path)? {
            return Ok((!is_out(path)).then(|| Match::Archive(path.to_owned())));
        }
        let mut item = Item::walk(tree, path)?;
        if !self.exclude.is_empty() {
            item.entries = without(item.entries, &self.exclude);
        }
        if item.entries.is_empty() {
            return Ok(None);
        }
        if self.asked.parents {
            let pivot = pivot(source);
            if pivot.iter().any(|part| part == "**") {
                let what = format!("{source}: what stands before the pivot `/./` of --parents cannot hold `**`");
                return Err(InstructionError::Invalid { what });
            }
            item.names = Names::Whole { pivot };
            item.entries.splice(..0, parents(tree, path)?);
        }
        Ok(Some(Match::Copied(item)))
    }

    /// Unpacks an archive of the tree, with the owners it has: `--chown` is for files that are copied (buildah).
    fn archive(&mut self, tree: &Tree, path: &Path, place: &Place) -> Result<(), InstructionError> {
        let file = tree.open(path)?;
        let mut hashed = (self.request.digests == Digests::Wanted).then(Hasher::default);
        let reader = Hashing { reader: file, hasher: hashed.as_mut() };
        self.unpack(reader, &path.display().to_string(), place)?;
        self.copied.digests.extend(hashed.map(|hasher| (path.to_owned(), hasher.finish())));
        Ok(())
    }

    /// Unpacks an archive called `name` into the place's directory.
    pub(super) fn unpack(
        &mut self,
        reader: impl Read + Send,
        name: &str,
        place: &Place,
    ) -> Result<(), InstructionError> {
        let (Place::Inside(into) | Place::As(into)) = place;
        let options = Unpack { owners: self.around.workshop.owners.of_layers(), ..Unpack::default() };
        let unpacked = archive::unpack(reader, self.root.dir(), into, &options)
            .map_err(|source| InstructionError::Archive { name: name.to_owned(), source: Box::new(source) })?;
        for device in &unpacked.skipped_devices {
            self.warn(&format!("{name}: left out {}: a device node cannot be made here", device.display()));
        }
        self.copied.files += unpacked.files;
        self.copied.bytes += unpacked.bytes;
        Ok(())
    }
}

/// The first match decides, as in buildah; an archive always needs a directory.
fn shape(matches: &[Match]) -> Option<Shape> {
    let has_archive = matches.iter().any(|found| matches!(found, Match::Archive(_)));
    match matches.first()? {
        Match::Copied(item) if !has_archive => Some(item.shape()),
        Match::Copied(_) | Match::Archive(_) => Some(Shape::Directory),
    }
}

fn nothing_left(source: &str) -> InstructionError {
    InstructionError::Invalid { what: format!("{source}: --exclude leaves nothing of it to copy") }
}

fn is_archive(tree: &Tree, path: &Path) -> Result<bool, InstructionError> {
    if !matches!(tree.look_at(path)?.kind, Kind::File(_)) {
        return Ok(false);
    }
    let unreadable =
        |source| TreeError::Io { path: path.to_owned(), tree: tree.shown().to_owned(), action: "read a file", source };
    Ok(archive::is_archive(tree.open(path)?).map_err(unreadable)?)
}

/// The directories above `path`, the topmost first.
fn parents(tree: &Tree, path: &Path) -> Result<Vec<Entry>, TreeError> {
    let above: Vec<&Path> = path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()).collect();
    above.into_iter().rev().map(|above| tree.look_at(above)).collect()
}

/// What stands before the first `/./` of a source, clean and relative.
fn pivot(source: &str) -> PathBuf {
    source.split_once("/./").map(|(before, _)| clean(before).into()).unwrap_or_default()
}

/// A pattern of `--exclude`, meant relative to `source`, relative to the tree.
pub(super) fn below(source: &str, pattern: &str) -> String {
    let (mark, pattern) = match pattern.strip_prefix('!') {
        Some(rest) => ("!", rest),
        None => ("", pattern),
    };
    match clean(source).as_str() {
        "" => format!("{mark}{pattern}"),
        source => format!("{mark}{source}/{pattern}"),
    }
}

/// A source without `.`, `..` and slashes at its ends.
pub(super) fn clean(source: &str) -> String {
    let mut parts = Vec::new();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Entries that no pattern leaves out, and the directories that hold them.
pub(super) fn without(entries: Vec<Entry>, patterns: &Patterns) -> Vec<Entry> {
    let is_out: Vec<bool> = entries.iter().map(|entry| patterns.matches(&entry.path.to_string_lossy())).collect();
    let mut needed: HashSet<PathBuf> = HashSet::new();
    for (entry, _) in entries.iter().zip(&is_out).filter(|(_, is_out)| !**is_out) {
        for above in entry.path.ancestors().skip(1) {
            if !needed.insert(above.to_owned()) {
                break;
            }
        }
    }
    let keeps = |(entry, is_out): (Entry, bool)| (!is_out || needed.contains(&entry.path)).then_some(entry);
    entries.into_iter().zip(is_out).filter_map(keeps).collect()
}

/// Hashes what is read.
struct Hashing<'h, R> {
    reader: R,
    hasher: Option<&'h mut Hasher>,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        if let (Some(hasher), Some(piece)) = (&mut self.hasher, buffer.get(..read)) {
            hasher.update(piece);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_pivots_are_relative_to_their_source() {
        for (source, pattern, expected) in [
            ("src", "*.txt", "src/*.txt"),
            ("/src/", "!*.txt", "!src/*.txt"),
            (".", "*.txt", "*.txt"),
            ("./a/../b", "c", "b/c"),
            ("*", "c", "*/c"),
        ] {
            assert_eq!(below(source, pattern), expected, "{source} {pattern}");
        }
        for (source, expected) in [("x/./y", "x"), ("./x/y/./*.c", "x/y"), ("./x", ""), ("/a/./b/./c", "a")] {
            assert_eq!(pivot(source), Path::new(expected), "{source}");
        }
    }

    #[test]
    fn exceptions_bring_their_directories_along() {
        let entry = |path: &str| Entry {
            path: path.into(),
            kind: Kind::Directory,
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            link: None,
        };
        let entries: Vec<Entry> = ["", "a", "a/b", "a/b/keep", "a/c", "d"].map(entry).into();
        let left = |patterns: &[&str]| {
            let left = without(entries.clone(), &Patterns::new(patterns).unwrap());
            left.into_iter().map(|entry| entry.path.display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(left(&["a"]), ["", "d"]);
        assert_eq!(left(&["a", "!a/b/keep"]), ["", "a", "a/b", "a/b/keep", "d"]);
        assert_eq!(left(&["*"]), [""]);
    }
}
