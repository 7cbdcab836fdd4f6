//! Repository files of yum and dnf (`*.repo`).
//!
//! What comes in: the text of a file. What goes out: its repositories, with every key in the order it was
//! written, unknown ones too; or the first mistake with its line. The syntax is that of dnf
//! (dnf.conf(5), "REPO OPTIONS"): `[id]`, `key = value`, indented lines continue a value, `#` and `;`
//! begin comment lines. Variables such as `$releasever` are kept as written; nothing is fetched.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

/// Largest file that is parsed, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// What is wrong with a repository file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct RepoFileError {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with a repository file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file is larger than [`MAX_BYTES`].
    #[error("repository file is larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// The bytes are not UTF-8, or hold a control character.
    #[error("repository file is not plain text in UTF-8")]
    NotText,
    /// There is no repository in the file.
    #[error("no repository in the file; it needs a section such as [my-repo]")]
    NoRepository,
    /// A `[` without a `]`, or something after it.
    #[error("section header is not of the form [id]")]
    Section,
    /// The id is empty or holds a character dnf does not allow.
    #[error("{id:?} is not a repository id: letters, digits and -_.: are allowed")]
    Id {
        /// The id.
        id: String,
    },
    /// An id occurs twice.
    #[error("repository [{id}] occurs twice")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// A line before the first section.
    #[error("line is outside of a section such as [my-repo]")]
    OutsideSection,
    /// A line without `=`, or without a key before it.
    #[error("line is not of the form key=value")]
    NoValue,
    /// A repository that says nowhere where it is.
    #[error("repository [{id}] has none of baseurl, metalink and mirrorlist")]
    NoSource {
        /// The id.
        id: String,
    },
    /// A switch that is neither on nor off.
    #[error("{key} is {value:?}; it must be 1 or 0 (or yes, no, true, false, on, off)")]
    NotBoolean {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
}

/// The repositories of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoFile {
    /// In the order of the file; a `[main]` section is among them.
    pub sections: Vec<Section>,
}

/// One section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What stands between the brackets.
    pub id: String,
    /// Line of the section header, from 1.
    pub line: usize,
    /// In the order of the file; a key can occur more than once.
    pub entries: Vec<Entry>,
}

/// One `key = value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As written.
    pub key: String,
    /// Without space around it; continued lines are joined by a line feed.
    pub value: String,
    /// Line of the key, from 1.
    pub line: usize,
}

/// Keys with which a repository says where it is.
const SOURCES: [&str; 3] = ["baseurl", "metalink", "mirrorlist"];
/// Keys which are on or off.
const SWITCHES: [&str; 6] =
    ["enabled", "gpgcheck", "repo_gpgcheck", "pkg_gpgcheck", "skip_if_unavailable", "sslverify"];

impl RepoFile {
    /// Parses the bytes of a file; `file` names it in errors.
    ///
    /// # Errors
    /// [`RepoFileError`] for the first mistake.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, RepoFileError> {
        parse(bytes).map_err(|(line, problem)| RepoFileError { file: file.to_owned(), line, problem })
    }

    /// The repositories: every section but `[main]`.
    pub fn repositories(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| !section.is_main())
    }
}

impl Section {
    /// The value of a key; the last one if it occurs more than once, as dnf takes it.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.entries.iter().rev().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// The base URLs, with variables as written.
    #[must_use]
    pub fn base_urls(&self) -> Vec<&str> {
        let apart = |c: char| c.is_whitespace() || c == ',';
        let urls = self.value("baseurl").unwrap_or_default().split(apart);
        urls.filter(|url| !url.is_empty()).collect()
    }

    /// Whether it is switched on, which it is unless it says otherwise.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.switch("enabled").unwrap_or(true)
    }

    /// Whether packages must be signed; `None` leaves it to dnf's main configuration.
    #[must_use]
    pub fn gpgcheck(&self) -> Option<bool> {
        self.switch("gpgcheck")
    }

    fn switch(&self, key: &str) -> Option<bool> {
        self.value(key).and_then(boolean)
    }

    fn is_main(&self) -> bool {
        self.id == "main"
    }

    /// What is wrong with it as a whole.
    fn check(&self) -> Result<(), Located> {
        for entry in &self.entries {
            if SWITCHES.contains(&entry.key.as_str()) && boolean(&entry.value).is_none() {
                let (key, value) = (entry.key.clone(), entry.value.clone());
                return Err((entry.line, Problem::NotBoolean { key, value }));
            }
        }
        let is_source = |key: &&str| self.value(key).is_some_and(|value| !value.is_empty());
        if self.is_main() || SOURCES.iter().any(is_source) {
            Ok(())
        } else {
            Err((self.line, Problem::NoSource { id: self.id.clone() }))
        }
    }
}

/// A problem with its line.
type Located = (usize, Problem);

/// dnf's words for on and off (libdnf, `OptionBool`).
fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

fn parse(bytes: &[u8]) -> Result<RepoFile, Located> {
    let mut sections: Vec<Section> = Vec::new();
    let mut ids = BTreeSet::new();
    for (at, text) in plain_text(bytes)?.lines().enumerate() {
        let line = at + 1;
        let problem = |problem| (line, problem);
        match Line::of(text).map_err(problem)? {
            Line::Nothing => {}
            Line::Section(id) if !ids.insert(id) => {
                return Err(problem(Problem::DuplicateId { id: id.to_owned() }));
            }
            Line::Section(id) => {
                sections.push(Section { id: id.to_owned(), line, entries: Vec::new() });
            }
            Line::Entry { key, value } => {
                let section = sections.last_mut().ok_or(problem(Problem::OutsideSection))?;
                let (key, value) = (key.to_owned(), value.to_owned());
                section.entries.push(Entry { key, value, line });
            }
            Line::Continued(more) => {
                let section = sections.last_mut().ok_or(problem(Problem::OutsideSection))?;
                let entry = section.entries.last_mut().ok_or(problem(Problem::NoValue))?;
                entry.value.push('\n');
                entry.value.push_str(more);
            }
        }
    }
    sections.iter().try_for_each(Section::check)?;
    let file = RepoFile { sections };
    if file.repositories().next().is_none() { Err((1, Problem::NoRepository)) } else { Ok(file) }
}

/// The text without a byte order mark; refused with its line where it is none.
fn plain_text(bytes: &[u8]) -> Result<&str, Located> {
    if bytes.len() > MAX_BYTES {
        return Err((1, Problem::TooLarge));
    }
    let line_of = |valid: &[u8]| valid.split(|byte| *byte == b'\n').count();
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
        (line_of(valid), Problem::NotText)
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.split_once(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        Some((before, _)) => Err((line_of(before.as_bytes()), Problem::NotText)),
        None => Ok(text),
    }
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
