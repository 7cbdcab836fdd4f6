//! The syntax of repository files, read strictly or leniently.
//!
//! What comes in: bytes. What goes out: sections, and the mistakes with their lines: strictly the first one
//! and nothing else, leniently the notes beside what could be read. There is one reader for both.

use std::collections::BTreeMap;

use super::{Entry, MAX_BYTES, Problem, RepoFile, Section, boolean};

/// Keys with which a repository says where it is.
const SOURCES: [&str; 3] = ["baseurl", "metalink", "mirrorlist"];
/// Keys which are on or off.
const SWITCHES: [&str; 6] =
    ["enabled", "gpgcheck", "repo_gpgcheck", "pkg_gpgcheck", "skip_if_unavailable", "sslverify"];
/// Most notes about one file.
const MAX_NOTES: usize = 100;

/// A problem with its line.
type Located = (usize, Problem);

/// What becomes of a mistake: an error ends the reading.
type Judge<'j> = &'j mut dyn FnMut(Located) -> Result<(), Located>;

pub(super) fn strict(bytes: &[u8]) -> Result<RepoFile, Located> {
    read(bytes, &mut Err)
}

pub(super) fn lenient(bytes: &[u8]) -> (RepoFile, Vec<Located>) {
    let mut notes = Vec::new();
    let read = read(bytes, &mut |note| {
        if notes.len() < MAX_NOTES {
            notes.push(note);
        }
        Ok(())
    });
    // No mistake was made an error above.
    (read.unwrap_or(RepoFile { sections: Vec::new() }), notes)
}

fn read(bytes: &[u8], judge: Judge<'_>) -> Result<RepoFile, Located> {
    let mut reading = Reading { sections: Vec::new(), ids: BTreeMap::new(), place: Place::Outside };
    if bytes.len() > MAX_BYTES {
        judge((1, Problem::TooLarge))?;
        return Ok(RepoFile { sections: Vec::new() });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if let Err(problem) = reading.line(at + 1, line) {
            judge((at + 1, problem))?;
        }
    }
    let sections = reading.sections;
    sections.iter().try_for_each(|section| section.check(judge))?;
    if sections.is_empty() {
        judge((1, Problem::NoRepository))?;
    }
    Ok(RepoFile { sections })
}

struct Reading {
    sections: Vec<Section>,
    /// Where in `sections` an id is.
    ids: BTreeMap<String, usize>,
    place: Place,
}

/// Where the next line belongs.
#[derive(Clone, Copy)]
enum Place {
    /// Before the first section.
    Outside,
    /// In a section that cannot be understood.
    Lost,
    /// In a section, where there is nothing to continue.
    Section(usize),
    /// In a section, after an entry.
    Entry(usize),
    /// In a section, after a line that cannot be understood.
    LostEntry(usize),
}

impl Reading {
    fn line(&mut self, line: usize, bytes: &[u8]) -> Result<(), Problem> {
        let read = plain_text(bytes).and_then(Line::of);
        match read {
            Ok(Line::Nothing) => Ok(()),
            Ok(Line::Section(id)) => self.section(id, line),
            Ok(Line::Entry { key, value }) => self.entry(Entry { key: key.to_owned(), value: value.to_owned(), line }),
            Ok(Line::Continued(more)) => self.continued(more),
            Err(problem) => {
                let is_header = matches!(problem, Problem::Section | Problem::Id { .. });
                self.lose(is_header);
                Err(problem)
            }
        }
    }

    fn section(&mut self, id: &str, line: usize) -> Result<(), Problem> {
        if let Some(known) = self.ids.get(id) {
            self.place = Place::Section(*known);
            return Err(Problem::DuplicateId { id: id.to_owned() });
        }
        self.place = Place::Section(self.sections.len());
        self.ids.insert(id.to_owned(), self.sections.len());
        self.sections.push(Section { id: id.to_owned(), line, entries: Vec::new() });
        Ok(())
    }

    fn entry(&mut self, entry: Entry) -> Result<(), Problem> {
        match self.place {
            Place::Outside => Err(Problem::OutsideSection),
            Place::Lost => Ok(()),
            Place::Section(at) | Place::Entry(at) | Place::LostEntry(at) => {
                self.place = Place::Entry(at);
                self.sections.get_mut(at).ok_or(Problem::OutsideSection)?.entries.push(entry);
                Ok(())
            }
        }
    }

    fn continued(&mut self, more: &str) -> Result<(), Problem> {
        match self.place {
            Place::Outside => Err(Problem::OutsideSection),
            Place::Lost | Place::LostEntry(_) => Ok(()),
            Place::Section(_) => Err(Problem::NoValue),
            Place::Entry(at) => {
                let section = self.sections.get_mut(at).ok_or(Problem::OutsideSection)?;
                let entry = section.entries.last_mut().ok_or(Problem::NoValue)?;
                entry.value.push('\n');
                entry.value.push_str(more);
                Ok(())
            }
        }
    }

    /// After a line that cannot be understood, what continues it cannot be either.
    fn lose(&mut self, is_header: bool) {
        self.place = match self.place {
            _ if is_header => Place::Lost,
            Place::Section(at) | Place::Entry(at) | Place::LostEntry(at) => Place::LostEntry(at),
            Place::Outside => Place::Outside,
            Place::Lost => Place::Lost,
        };
    }
}

impl Section {
    /// What is wrong with it as a whole.
    fn check(&self, judge: Judge<'_>) -> Result<(), Located> {
        for entry in &self.entries {
            if SWITCHES.contains(&entry.key.as_str()) && boolean(&entry.value).is_none() {
                let (key, value) = (entry.key.clone(), entry.value.clone());
                judge((entry.line, Problem::NotBoolean { key, value }))?;
            }
        }
        let is_source = |key: &&str| self.value(key).is_some_and(|value| !value.is_empty());
        if self.is_main() || SOURCES.iter().any(is_source) {
            Ok(())
        } else {
            judge((self.line, Problem::NoSource { id: self.id.clone() }))
        }
    }
}

/// The text of a line without its end.
fn plain_text(line: &[u8]) -> Result<&str, Problem> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| Problem::NotText)?;
    let is_plain = |c: char| !c.is_control() || matches!(c, '\r' | '\t');
    if text.chars().all(is_plain) { Ok(text) } else { Err(Problem::NotText) }
}

enum Line<'a> {
    Nothing,
    Section(&'a str),
    Entry { key: &'a str, value: &'a str },
    Continued(&'a str),
}

impl<'a> Line<'a> {
    fn of(text: &'a str) -> Result<Self, Problem> {
        let trimmed = text.trim();
        if trimmed.is_empty() || text.starts_with(['#', ';']) {
            return Ok(Self::Nothing);
        }
        if text.starts_with([' ', '\t']) {
            return Ok(Self::Continued(trimmed));
        }
        // Behind a space that is not one of dnf's.
        if trimmed.starts_with(['#', ';']) {
            return Ok(Self::Nothing);
        }
        if let Some(rest) = trimmed.strip_prefix('[') {
            let (id, after) = rest.split_once(']').ok_or(Problem::Section)?;
            let after = after.trim();
            if !(after.is_empty() || after.starts_with(['#', ';'])) {
                return Err(Problem::Section);
            }
            return section_id(id).map(Self::Section);
        }
        let (key, value) = trimmed.split_once('=').ok_or(Problem::NoValue)?;
        let (key, value) = (key.trim_end(), value.trim_start());
        if key.is_empty() { Err(Problem::NoValue) } else { Ok(Self::Entry { key, value }) }
    }
}

fn section_id(id: &str) -> Result<&str, Problem> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let is_id = !id.is_empty() && id.chars().all(allowed);
    if is_id { Ok(id) } else { Err(Problem::Id { id: id.to_owned() }) }
}
