//! From physical to logical lines: line endings, continuations, and the way back from a joined line to the source.

use crate::error::ParseError;
use crate::span::{Span, Word};
use crate::{Escape, MAX_LINE_BYTES};

const BYTE_ORDER_MARK: char = '\u{feff}';

/// One line of the file as it stands there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// The text with its line ending.
    pub(crate) text: &'a str,
    /// The offset of its first byte in the file.
    pub(crate) start: usize,
    /// Its number, from 1.
    pub(crate) number: usize,
}

impl<'a> Line<'a> {
    /// The text without any carriage returns and line feeds at its end.
    pub(crate) fn without_ending(self) -> &'a str {
        self.text.trim_end_matches(['\r', '\n'])
    }

    pub(crate) fn is_comment(self) -> bool {
        self.text.trim_start().starts_with('#')
    }

    pub(crate) fn is_blank(self) -> bool {
        self.text.trim_start().is_empty()
    }

    pub(crate) fn span(self) -> Span {
        Span::new(self.start, self.start + self.without_ending().len())
    }
}

/// The lines of a file, one after the other.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    at: usize,
    number: usize,
}

impl<'a> Lines<'a> {
    /// Starts at the first line; a byte order mark is skipped.
    pub(crate) fn new(text: &'a str) -> Self {
        let at = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
        Self { text, at, number: 0 }
    }

    /// The number of the last line that was read.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// The next line, or `None` at the end.
    pub(crate) fn read(&mut self) -> Result<Option<Line<'a>>, ParseError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(text) = rest.split_inclusive('\n').next() else { return Ok(None) };
        self.number += 1;
        let line = Line { text, start: self.at, number: self.number };
        if text.len() > MAX_LINE_BYTES {
            return Err(ParseError::LineTooLong { line: line.number, span: Span::at(line.start) });
        }
        self.at += text.len();
        Ok(Some(line))
    }
}

/// The part of `text` before a continuation at its end, if it ends in one.
///
/// The escape must stand last but for blanks, and must not follow another escape.
pub(crate) fn continued(text: &str, escape: Escape) -> Option<&str> {
    let kept = text.trim_end_matches([' ', '\t']).strip_suffix(escape.as_char())?;
    (!kept.ends_with(escape.as_char())).then_some(kept)
}

/// Lines joined at their continuations, which remembers where each byte came from.
#[derive(Debug, Default)]
pub(crate) struct Logical {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    at: usize,
    source: usize,
}

impl Logical {
    /// Adds `text`, which stands at `source` in the file.
    pub(crate) fn push(&mut self, text: &str, source: usize) {
        self.pieces.push(Piece { at: self.text.len(), source });
        self.text.push_str(text);
    }

    pub(crate) fn slice(&self) -> Slice<'_> {
        Slice { line: self, text: &self.text, start: 0 }
    }

    fn source(&self, at: usize) -> usize {
        let index = self.pieces.partition_point(|piece| piece.at <= at).saturating_sub(1);
        self.pieces.get(index).map_or(at, |piece| piece.source + (at - piece.at))
    }
}

/// A part of a logical line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice<'a> {
    line: &'a Logical,
    text: &'a str,
    start: usize,
}

impl<'a> Slice<'a> {
    pub(crate) fn text(self) -> &'a str {
        self.text
    }

    /// The bytes from `start` to `end` of this slice; empty where these are no character boundaries.
    pub(crate) fn range(self, start: usize, end: usize) -> Self {
        Self { text: self.text.get(start..end).unwrap_or_default(), start: self.start + start, ..self }
    }

    pub(crate) fn after(self, at: usize) -> Self {
        self.range(at, self.text.len())
    }

    pub(crate) fn until(self, at: usize) -> Self {
        self.range(0, at)
    }

    pub(crate) fn trim(self) -> Self {
        self.trim_start().trim_end_of(char::is_whitespace)
    }

    pub(crate) fn trim_start(self) -> Self {
        self.trim_start_of(char::is_whitespace)
    }

    pub(crate) fn trim_start_of(self, is_cut: fn(char) -> bool) -> Self {
        self.after(self.text.len() - self.text.trim_start_matches(is_cut).len())
    }

    pub(crate) fn trim_end_of(self, is_cut: fn(char) -> bool) -> Self {
        self.until(self.text.trim_end_matches(is_cut).len())
    }

    /// Where this slice stands in the file, continuations within it included.
    pub(crate) fn span(self) -> Span {
        let start = self.line.source(self.start);
        if self.text.is_empty() {
            return Span::at(start);
        }
        Span::new(start, self.line.source(self.start + self.text.len() - 1) + 1)
    }

    pub(crate) fn word(self) -> Word {
        self.word_with(self.text.to_owned())
    }

    /// A word that stands here but reads `raw`, for instance without its quotes.
    pub(crate) fn word_with(self, raw: String) -> Word {
        Word { raw, span: self.span() }
    }
}
