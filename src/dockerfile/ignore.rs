//! Ignore files (`.dockerignore`, `.containerignore`) and the patterns of `--exclude`: which paths are left out.
//!
//! The semantics are those of moby/patternmatcher, as BuildKit uses it: the last pattern that matches a path *or one
//! of the directories above it* decides, and `!` takes back in. Paths are relative to the context, with `/` between
//! their components. In come texts, out come answers; no file is read.

mod glob;

use glob::Glob;

/// The largest ignore file that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 1 << 20;
/// The largest number of patterns.
pub const MAX_PATTERNS: usize = 10_000;
/// The longest pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 4096;

/// Patterns that say which paths are left out.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    patterns: Vec<Pattern>,
}

#[derive(Clone, Debug)]
struct Pattern {
    glob: Glob,
    effect: Effect,
}

/// What a match does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    LeavesOut,
    TakesBackIn,
}

/// Patterns that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are those of the message; lines and patterns count from 1")]
pub enum IgnoreError {
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("the ignore file has {bytes} bytes, the limit is {MAX_FILE_BYTES}")]
    TooLarge { bytes: usize },
    /// There are more than [`MAX_PATTERNS`].
    #[error("more than {MAX_PATTERNS} ignore patterns")]
    TooManyPatterns,
    /// A pattern is longer than [`MAX_PATTERN_BYTES`].
    #[error("ignore pattern {number} is longer than {MAX_PATTERN_BYTES} bytes")]
    TooLong { number: usize },
    /// A `!` with nothing after it.
    #[error("ignore pattern {number} is a `!` alone")]
    LoneExclamation { number: usize },
    /// A bracket that is not closed, an empty or backward range, an escape at the end.
    #[error("ignore pattern `{pattern}`: {reason}")]
    BadPattern { pattern: String, reason: &'static str },
}

impl Patterns {
    /// Reads an ignore file.
    ///
    /// A byte order mark, blank lines and lines that start with `#` are skipped; white space around a pattern and a
    /// `/` at its start do not count.
    ///
    /// # Errors
    /// [`IgnoreError`] names the first pattern that cannot be used.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        if text.len() > MAX_FILE_BYTES {
            return Err(IgnoreError::TooLarge { bytes: text.len() });
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty());
        Self::new(&lines.map(relative).collect::<Vec<_>>())
    }

    /// Takes patterns as they are, for instance those of `--exclude`. Blank ones do not count.
    ///
    /// # Errors
    /// As [`Patterns::parse`].
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, IgnoreError> {
        if patterns.len() > MAX_PATTERNS {
            return Err(IgnoreError::TooManyPatterns);
        }
        let mut compiled = Vec::with_capacity(patterns.len());
        for (number, pattern) in (1..).zip(patterns) {
            let pattern = pattern.as_ref().trim();
            if !pattern.is_empty() {
                compiled.push(Pattern::new(pattern, number)?);
            }
        }
        Ok(Self { patterns: compiled })
    }

    /// Whether there is nothing to leave out.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether some pattern takes back in what others leave out.
    pub fn has_exceptions(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.effect == Effect::TakesBackIn)
    }

    /// Whether a pattern leaves out everything: `*`, `**` or `**/*`.
    pub fn leave_out_all(&self) -> bool {
        // No file is called like this, so only a pattern that matches any name matches it.
        !self.has_exceptions() && self.matches("\u{1}any\u{1}")
    }

    /// Whether `path` is left out.
    ///
    /// The context itself (`.` or an empty path) never is.
    pub fn matches(&self, path: &str) -> bool {
        let path = clean(path);
        if path == "." {
            return false;
        }
        let mut is_out = false;
        for pattern in &self.patterns {
            let can_change = match pattern.effect {
                Effect::LeavesOut => !is_out,
                Effect::TakesBackIn => is_out,
            };
            if can_change && pattern.matches(&path) {
                is_out = !is_out;
            }
        }
        is_out
    }

    /// Whether something below the directory `dir` may be in the context though `dir` is left out.
    ///
    /// A walk need not enter a directory that is left out and for which this is false. True is no promise: nothing
    /// there may match in the end.
    pub fn could_match_below(&self, dir: &str) -> bool {
        let dir = clean(dir);
        // A pattern that matches `dir` itself has had its say: it matches everything below it too.
        self.patterns.iter().any(|pattern| {
            pattern.effect == Effect::TakesBackIn
                && (dir == "." || !pattern.matches(&dir) && pattern.glob.could_match_below(&dir))
        })
    }
}

impl Pattern {
    fn new(pattern: &str, number: usize) -> Result<Self, IgnoreError> {
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(IgnoreError::TooLong { number });
        }
        let cleaned = clean(pattern);
        let (effect, cleaned) = match cleaned.strip_prefix('!') {
            Some("") => return Err(IgnoreError::LoneExclamation { number }),
            Some(rest) => (Effect::TakesBackIn, rest),
            None => (Effect::LeavesOut, cleaned.as_str()),
        };
        let glob =
            Glob::new(cleaned).map_err(|reason| IgnoreError::BadPattern { pattern: pattern.to_owned(), reason })?;
        Ok(Self { glob, effect })
    }

    /// Whether the pattern matches `path` or a directory above it.
    fn matches(&self, path: &str) -> bool {
        self.glob.matches(path)
            || path.match_indices('/').any(|(at, _)| path.get(..at).is_some_and(|parent| self.glob.matches(parent)))
    }
}

/// A pattern of an ignore file, relative to the context.
fn relative(pattern: &str) -> String {
    let (mark, path) = match pattern.strip_prefix('!') {
        Some(path) => ("!", path.trim()),
        None => ("", pattern),
    };
    if path.is_empty() {
        return mark.to_owned();
    }
    let cleaned = clean(path);
    let path = cleaned.strip_prefix('/').filter(|path| !path.is_empty()).unwrap_or(&cleaned);
    format!("{mark}{path}")
}

/// The shortest path that means the same, by its text alone: no `//`, `.`, `..` after a name, or `/` at the end.
fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_rooted => {}
            part => parts.push(part),
        }
    }
    match (is_rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests;
