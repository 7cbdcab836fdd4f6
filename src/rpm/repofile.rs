//! Repository files of yum and dnf (`*.repo`).
//!
//! What comes in: the text of a file. What goes out: its repositories, with every key in the order it was
//! written, unknown ones too; or the first mistake with its line; and the text again, once somebody has
//! changed a value. The syntax is that of dnf (dnf.conf(5), "REPO OPTIONS"): `[id]`, `key = value`,
//! indented lines continue a value, `#` and `;` begin comment lines. Variables such as `$releasever` are
//! kept as written; nothing is fetched.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

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
    /// There is no section in the file.
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

impl RepoFile {
    /// Parses the bytes of a file that somebody wrote for this build; `file` names it in errors.
    ///
    /// # Errors
    /// [`RepoFileError`] for the first mistake.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, RepoFileError> {
        parse::strict(bytes).map_err(|(line, problem)| RepoFileError { file: file.to_owned(), line, problem })
    }

    /// Parses a file that was found in an image, with a note for each mistake, up to 100 of them.
    ///
    /// Lines and sections that cannot be understood are left out. A section is kept though it has no source
    /// or a switch is neither on nor off (the switch then counts as not given). A section that comes again
    /// adds to the first of its id, as in libdnf.
    #[must_use]
    pub fn parse_lenient(file: &str, bytes: &[u8]) -> (Self, Vec<RepoFileError>) {
        let (found, notes) = parse::lenient(bytes);
        let note = |(line, problem)| RepoFileError { file: file.to_owned(), line, problem };
        (found, notes.into_iter().map(note).collect())
    }

    /// The repositories: every section but `[main]`.
    pub fn repositories(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|section| !section.is_main())
    }

    /// The text of the file; [`parse`](Self::parse) reads what it took to the same value again.
    ///
    /// Everything stays on its line, with empty lines for comments, as far as the lines are in order; what
    /// is new can have line 0. A line feed in a value makes an indented line, so a value never begins a
    /// section.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = Text::default();
        for section in &self.sections {
            text.line(section.line, format_args!("[{}]", section.id));
            for entry in &section.entries {
                let mut lines = entry.value.split('\n').map(str::trim);
                text.line(entry.line, format_args!("{}={}", entry.key, lines.next().unwrap_or_default()));
                for more in lines.filter(|more| !more.is_empty()) {
                    text.line(0, format_args!(" {more}"));
                }
            }
        }
        text.written
    }
}

/// Lines that are written where they stood before.
#[derive(Default)]
struct Text {
    written: String,
    lines: usize,
}

impl Text {
    /// Writes a line as number `at`, from 1, or as the next one if it is too late for that.
    fn line(&mut self, at: usize, line: std::fmt::Arguments<'_>) {
        // No file that was parsed has more lines than bytes.
        while self.lines + 1 < at.min(MAX_BYTES) {
            self.written.push('\n');
            self.lines += 1;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(self.written, "{line}");
        self.lines += 1;
    }
}

impl Section {
    /// The value of a key; the last one if it occurs more than once, as dnf takes it.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        self.entries.iter().rev().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
    }

    /// The parts of a value that is a list, such as `baseurl` and `gpgkey`: between spaces, commas and lines.
    #[must_use]
    pub fn values(&self, key: &str) -> Vec<&str> {
        let apart = |c: char| c.is_whitespace() || c == ',';
        let parts = self.value(key).unwrap_or_default().split(apart);
        parts.filter(|part| !part.is_empty()).collect()
    }

    /// The base URLs, with variables as written.
    #[must_use]
    pub fn base_urls(&self) -> Vec<&str> {
        self.values("baseurl")
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
}

/// dnf's words for on and off (libdnf, `OptionBool`).
fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "yes" | "true" | "on" => Some(true),
        "0" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}
