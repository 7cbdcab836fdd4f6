//! Parser directives: `# syntax=`, `# escape=`, `# check=` at the very top of a Dockerfile.
//!
//! The search ends at the first line that is not a known directive; from there on such a line is a comment.

use crate::error::ParseError;
use crate::lines::Slice;
use crate::span::Word;

/// The character that continues lines and escapes characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// `\`, the default.
    #[default]
    Backslash,
    /// `` ` ``, chosen with `# escape=`.
    Backtick,
}

impl Escape {
    /// The character itself.
    pub fn as_char(self) -> char {
        match self {
            Self::Backslash => '\\',
            Self::Backtick => '`',
        }
    }

    /// The escape that `text` names, if it names one.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "\\" => Some(Self::Backslash),
            "`" => Some(Self::Backtick),
            _ => None,
        }
    }
}

/// The parser directives of a Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: the frontend image the author asks for.
    pub syntax: Option<Word>,
    /// `# check=`: which lint rules to skip or to make errors.
    pub check: Option<Word>,
    /// `# escape=` as it was written.
    pub escape: Option<Word>,
}

impl Directives {
    /// The escape character in force.
    pub fn escape(&self) -> Escape {
        self.escape.as_ref().and_then(|word| Escape::parse(&word.raw)).unwrap_or_default()
    }
}

/// Reads directives line by line until the first line that is none.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    directives: Directives,
    is_done: bool,
}

/// Whether a line was taken as a directive.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Directive,
    Other,
}

impl Reader {
    pub(crate) fn directives(&self) -> &Directives {
        &self.directives
    }

    pub(crate) fn into_directives(self) -> Directives {
        self.directives
    }

    /// Looks at one line without its ending and leading white space.
    pub(crate) fn read(&mut self, line: Slice<'_>) -> Result<Taken, ParseError> {
        if self.is_done {
            return Ok(Taken::Other);
        }
        let Some((name, value)) = split(line) else {
            self.is_done = true;
            return Ok(Taken::Other);
        };
        let slot = match name.text().to_ascii_lowercase().as_str() {
            "syntax" => &mut self.directives.syntax,
            "check" => &mut self.directives.check,
            "escape" => &mut self.directives.escape,
            _ => {
                self.is_done = true;
                return Ok(Taken::Other);
            }
        };
        let value = value.word();
        if slot.is_some() {
            return Err(ParseError::RepeatedDirective { name: name.text().to_owned(), span: line.span() });
        }
        if name.text().eq_ignore_ascii_case("escape") && Escape::parse(&value.raw).is_none() {
            return Err(ParseError::BadEscape { value: value.raw, span: value.span });
        }
        *slot = Some(value);
        Ok(Taken::Directive)
    }
}

/// `# name = value` as name and value; the value is never empty.
fn split<'a>(line: Slice<'a>) -> Option<(Slice<'a>, Slice<'a>)> {
    if !line.text().starts_with('#') {
        return None;
    }
    let body = line.after(1).trim_start();
    let equals = body.text().find('=')?;
    let name = body.until(equals).trim_end_of(is_space);
    let is_name = name.text().starts_with(|c: char| c.is_ascii_alphabetic())
        && name.text().chars().all(|c| c.is_ascii_alphanumeric());
    let rest = body.after(equals + 1);
    if !is_name || rest.text().is_empty() {
        return None;
    }
    let value = rest.trim_end_of(is_space).trim_start_of(is_space);
    // Nothing but white space: BuildKit takes the last blank for the value, which only matters as a bad escape.
    let blank = rest.after(rest.text().len() - 1);
    Some((name, if value.text().is_empty() { blank } else { value }))
}

fn is_space(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\x0c' | '\r' | ' ')
}
