//! Places in a text: spans, positions, words with their place, and what a renderer needs to show an error.
//!
//! Offsets are bytes into the text as it was read, including a byte order mark and the carriage returns.

/// A range of bytes of the original text, `start` inclusive, `end` exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte; equal to `start` for an empty span.
    pub end: usize,
}

impl Span {
    /// The span from `start` to before `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The empty span at `offset`.
    pub fn at(offset: usize) -> Self {
        Self::new(offset, offset)
    }

    /// The bytes of `text` that this span covers; empty where the span is not of this text.
    pub fn of(self, text: &str) -> &str {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// A piece of the Dockerfile before any expansion, with its place.
///
/// `raw` is what the instruction parser saw: continuations are joined, quotes and `$` are still there (except in the
/// elements of a JSON form and in flag values, where quotes are already resolved).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Word {
    /// The text before expansion.
    pub raw: String,
    /// Where it stands. For a flag value this is the whole flag.
    pub span: Span,
}

/// A place as people name it: both numbers count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// The position of the byte at `offset` of `text`.
///
/// An offset past the end gives the position after the last character; one inside a character gives that character.
/// The cost is linear in `offset`: meant for errors, not for every instruction.
pub fn position(text: &str, offset: usize) -> Position {
    let bytes = text.as_bytes();
    let before = bytes.get(..offset.min(bytes.len())).unwrap_or_default();
    let line_start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let on_line = before.get(line_start..).unwrap_or_default();
    let inside = bytes.get(before.len()).is_some_and(|&b| is_continuation_byte(b));
    let characters = on_line.iter().filter(|&&b| !is_continuation_byte(b)).count();
    Position {
        line: 1 + before.iter().filter(|&&b| b == b'\n').count(),
        column: (characters + 1).saturating_sub(usize::from(inside)),
    }
}

fn is_continuation_byte(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// What a renderer needs to show an error of this crate beside the source line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, offset: usize, line: usize, column: usize) {
        assert_eq!(position(text, offset), Position { line, column });
    }

    #[test]
    fn positions_count_from_one_and_in_characters() {
        check("ab\ncd", 0, 1, 1);
        check("ab\ncd", 4, 2, 2);
        check("é=\n", 2, 1, 2);
    }

    #[test]
    fn an_offset_inside_a_character_is_that_character() {
        check("aé", 2, 1, 2);
    }

    #[test]
    fn an_offset_past_the_end_is_the_end() {
        check("ab\n", 99, 2, 1);
        check("", 5, 1, 1);
    }

    #[test]
    fn a_span_of_another_text_is_empty() {
        assert_eq!(Span::new(2, 9).of("abc"), "");
        assert_eq!(Span::new(1, 2).of("abc"), "b");
    }
}
