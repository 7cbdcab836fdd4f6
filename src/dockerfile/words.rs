//! The ways in which instructions cut their line into words.
//!
//! Which instruction uses which is decided in `tree`. Every cut is one pass over the line.

use crate::error::ParseError;
use crate::instruction::{Pair, Separator};
use crate::lines::Slice;
use crate::span::Word;
use crate::tree::Flag;
use crate::{Escape, Keyword};

/// White space between the words of FROM, COPY, EXPOSE and after an instruction's name. No Unicode blanks here.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\x0b' | '\x0c' | '\r' | ' ')
}

/// Splits at the first run of blanks: what is before and, if there is such a run, what is after.
pub(crate) fn split_first(line: Slice<'_>) -> (Slice<'_>, Option<Slice<'_>>) {
    match line.text().find(is_blank) {
        Some(at) => (line.until(at), Some(line.after(at).trim_start_of(is_blank))),
        None => (line, None),
    }
}

/// All words between blanks; quotes mean nothing here.
pub(crate) fn list(line: Slice<'_>) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = line.trim_start_of(is_blank);
    while !rest.text().is_empty() {
        let (word, after) = split_first(rest);
        words.push(word.word());
        let Some(after) = after else { break };
        rest = after;
    }
    words
}

/// Takes the leading `--flags` off a line and returns them with the rest.
///
/// Quotes and escapes in them are resolved. A `--` alone ends them.
pub(crate) fn flags(line: Slice<'_>, escape: Escape) -> (Vec<Flag>, Slice<'_>) {
    let mut flags = Vec::new();
    let mut rest = line.trim_start();
    while rest.text().starts_with("--") {
        let (text, length) = unquote(rest.text(), escape);
        let flag = rest.until(length);
        rest = rest.after(length).trim_start();
        if text == "--" {
            break;
        }
        flags.push(Flag { text, span: flag.span() });
    }
    (flags, rest)
}

/// The first word of `text` without its quotes and escapes, and how many bytes it took.
fn unquote(text: &str, escape: Escape) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == escape.as_char() {
            // An escape at the very end is dropped.
            word.extend(chars.next().map(|(_, escaped)| escaped));
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_some() {
            word.push(c);
        } else if c.is_whitespace() {
            return (word, at);
        } else if matches!(c, '\'' | '"') {
            quote = Some(c);
        } else {
            word.push(c);
        }
    }
    (word, text.len())
}

/// Words between white space, where quotes hold a word together and stay in it.
///
/// Used by ARG, ENV and LABEL. An escape at the very end of the line is dropped.
pub(crate) fn quoted(line: Slice<'_>, escape: Escape) -> Vec<Slice<'_>> {
    let text = line.text();
    let mut words = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut end = text.len();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(start.take().map(|from| line.range(from, at)));
            continue;
        }
        start.get_or_insert(at);
        if c == escape.as_char() && quote != Some('\'') {
            if chars.next().is_none() {
                end = at;
            }
        } else if quote == Some(c) {
            quote = None;
        } else if quote.is_none() && matches!(c, '\'' | '"') {
            quote = Some(c);
        }
    }
    words.extend(start.map(|from| line.range(from, end)).filter(|word| !word.text().is_empty()));
    words
}

/// The pairs of ENV and LABEL: `name=value …`, or the old `name value` for the rest of the line.
pub(crate) fn pairs(line: Slice<'_>, instruction: Keyword, escape: Escape) -> Result<Vec<Pair>, ParseError> {
    let words = quoted(line, escape);
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if !first.text().contains('=') {
        return old_pair(line, instruction).map(|pair| vec![pair]);
    }
    words.into_iter().map(|word| pair(word, instruction)).collect()
}

fn old_pair(line: Slice<'_>, instruction: Keyword) -> Result<Pair, ParseError> {
    let (key, value) = split_first(line);
    let Some(value) = value else {
        return Err(ParseError::NoValue { instruction, name: key.text().to_owned(), span: key.span() });
    };
    Ok(Pair { key: key.word(), value: value.word(), separator: Separator::Blank })
}

fn pair(word: Slice<'_>, instruction: Keyword) -> Result<Pair, ParseError> {
    let Some(at) = word.text().find('=') else {
        return Err(ParseError::NoEquals { instruction, word: word.text().to_owned(), span: word.span() });
    };
    Ok(Pair { key: word.until(at).word(), value: word.after(at + 1).word(), separator: Separator::Equals })
}
