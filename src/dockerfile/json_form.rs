//! The JSON form of an instruction's arguments: an array of strings.
//!
//! What is not valid JSON is no error: the text is then the shell form. Only valid JSON that holds something else
//! than strings is refused. The scanner is our own because it must give each element's place, and because a lone
//! surrogate is a replacement character here, as in Go's decoder, not an error.

use serde::de::IgnoredAny;

use crate::lines::Slice;
use crate::span::Word;

/// What a text is, seen as a JSON form.
#[derive(Debug)]
pub(crate) enum Form {
    /// An array of strings.
    Strings(Vec<Word>),
    /// Valid JSON, but not only strings.
    NotStrings,
    /// No JSON array.
    Shell,
}

/// Reads the whole of `text` as an array of strings.
pub(crate) fn read(text: Slice<'_>) -> Form {
    let text = text.trim_start();
    if !text.text().starts_with('[') {
        return Form::Shell;
    }
    match strings(text) {
        Some(words) => Form::Strings(words),
        None if serde_json::from_str::<Vec<IgnoredAny>>(text.text()).is_ok() => Form::NotStrings,
        None => Form::Shell,
    }
}

/// The elements, or `None` at the first thing that does not belong into an array of strings.
fn strings(text: Slice<'_>) -> Option<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = skip(text.after(1));
    if let Some(after) = eat(rest, ']') {
        return after.text().is_empty().then_some(words);
    }
    loop {
        let (raw, length) = string(rest.text())?;
        words.push(rest.until(length).word_with(raw));
        rest = skip(rest.after(length));
        if let Some(after) = eat(rest, ']') {
            return after.text().is_empty().then_some(words);
        }
        rest = eat(rest, ',')?;
    }
}

fn skip(text: Slice<'_>) -> Slice<'_> {
    text.trim_start_of(|c| matches!(c, ' ' | '\t' | '\r' | '\n'))
}

fn eat(text: Slice<'_>, expected: char) -> Option<Slice<'_>> {
    text.text().starts_with(expected).then(|| skip(text.after(expected.len_utf8())))
}

/// The string at the start of `text` and how many bytes it took with its quotes.
fn string(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut rest = text.strip_prefix('"')?;
    loop {
        let mut chars = rest.chars();
        match chars.next()? {
            '"' => return Some((value, text.len() - chars.as_str().len())),
            '\\' => {
                let (c, after) = escaped(chars.as_str())?;
                value.push(c);
                rest = after;
            }
            c if c < ' ' => return None,
            c => {
                value.push(c);
                rest = chars.as_str();
            }
        }
    }
}

/// The character that the escape at the start of `text` (after its backslash) stands for, and what follows.
fn escaped(text: &str) -> Option<(char, &str)> {
    let mut chars = text.chars();
    let c = match chars.next()? {
        c @ ('"' | '\\' | '/') => c,
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return unicode(chars.as_str()),
        _ => return None,
    };
    Some((c, chars.as_str()))
}

fn unicode(text: &str) -> Option<(char, &str)> {
    let (first, rest) = hex(text)?;
    if let Some(c) = char::from_u32(first) {
        return Some((c, rest));
    }
    let second = rest.strip_prefix("\\u").and_then(hex);
    match second {
        Some((low @ 0xdc00..=0xdfff, after)) if first < 0xdc00 => {
            let c = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00))?;
            Some((c, after))
        }
        _ => Some((char::REPLACEMENT_CHARACTER, rest)),
    }
}

fn hex(text: &str) -> Option<(u32, &str)> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some((u32::from_str_radix(digits, 16).ok()?, text.get(4..)?))
}
