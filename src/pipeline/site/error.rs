//! What is wrong with a site configuration, and what is merely of no use here.
//!
//! Both carry the place in the text, so that the caller can draw the line. A value is never repeated where it may
//! hold a password.

use std::ops::Range;

use serde::Serialize;

/// Why a text is no site configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct SiteError {
    /// The file as it was named by the caller.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes of the text that are wrong, within bounds and on character boundaries. Empty where there is nothing
    /// to point at, or where the line holds a secret and must not be drawn.
    pub span: Range<usize>,
    /// What is wrong: the path of the key, what was expected, and what is there.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Something in the file that has no effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The line, from 1.
    pub line: usize,
    /// The path of the key.
    pub key: String,
    /// Why it has no effect, or what was probably meant.
    pub text: String,
}

/// A place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) span: Range<usize>,
}

impl Place {
    /// The start of the file.
    pub(super) fn first() -> Self {
        Self { line: 1, column: 1, span: 0..0 }
    }
}

/// A [`SiteError`] that does not know its file yet.
#[derive(Debug)]
pub struct Fault {
    place: Place,
    message: String,
    help: Option<String>,
    /// The path of the key it is about, where there is one.
    key: String,
}

impl Fault {
    pub(super) fn new(place: &Place, message: impl Into<String>) -> Self {
        Self { place: place.clone(), message: message.into(), help: None, key: String::new() }
    }

    /// The path of the key this is about.
    pub(super) fn about(self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self }
    }

    /// The same with what the key means, from a list of paths (`a.b`, whatever the position in a list) and meanings.
    #[must_use]
    pub(crate) fn meaning(self, meanings: &[(&str, &str)]) -> Self {
        let path: String =
            self.key.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest)).collect();
        let path = path.trim_start_matches('.');
        let Some((_, meaning)) = meanings.iter().find(|(known, _)| *known == path) else { return self };
        let help = match &self.help {
            Some(help) => format!("{help} ({path}: {meaning})"),
            None => format!("{path}: {meaning}"),
        };
        Self { help: Some(help), ..self }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// Keeps the caller from drawing a line that holds a secret.
    pub(super) fn undrawn(mut self) -> Self {
        self.place.span.end = self.place.span.start;
        self
    }

    /// The error for `text` of the file `file`.
    pub(crate) fn of(self, file: &str, text: &[u8]) -> SiteError {
        let Place { line, column, span } = self.place;
        let span = boundary(text, span.start)..boundary(text, span.end.max(span.start));
        SiteError { file: file.to_owned(), line, column, span, message: self.message, help: self.help }
    }
}

/// The last place at or before `at` where a character of `text` may start.
fn boundary(text: &[u8], at: usize) -> usize {
    let is_inside = |at: &usize| text.get(*at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    let mut at = at.min(text.len());
    while at > 0 && is_inside(&at) {
        at -= 1;
    }
    at
}
