//! Expansion of variables, quotes and escapes in the words of a Dockerfile.
//!
//! In come a word and a look-up of variables, out comes a string or a list of strings. The forms are BuildKit's
//! (`frontend/dockerfile/shell`): `$x ${x}`, `${x-w} ${x:-w} ${x+w} ${x:+w} ${x?m} ${x:?m}`, `${x#p} ${x##p} ${x%p}
//! ${x%%p}`, `${x/p/r} ${x//p/r}`. Nothing is run, and the output has a limit: [`MAX_EXPANDED_BYTES`].

use std::iter::Peekable;
use std::str::Chars;

use crate::pattern::{self, PatternError};
use crate::{Diagnostic, Escape, Span};

/// The most bytes that variables may add to one word.
pub const MAX_EXPANDED_BYTES: usize = 8 << 20;
/// How deep `${…}` may stand within one another.
pub const MAX_DEPTH: usize = 64;

/// Gives the value of a variable, `None` where it is not set.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A word that cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are those of the message; `name` is the variable's name")]
pub enum ExpandError {
    /// A quote is not closed.
    #[error("a {quote} is not closed")]
    OpenQuote { quote: char },
    /// `${` without its `}`, or `${x/` without the second `/`.
    #[error("${{{name}: a `{expected}` is missing")]
    Unclosed { name: String, expected: char },
    /// `${}`, `${{`, `${:`.
    #[error("bad substitution: ${{{found} has no variable name")]
    NoName { found: char },
    /// An operator that does not exist.
    #[error("${{{name}{operator}…}} is not a substitution that Dockerfiles have")]
    UnknownOperator { name: String, operator: String },
    /// `${x?message}` of a variable that is not set, `${x:?message}` of one that is not set or empty.
    #[error("{name}: {message}")]
    Required { name: String, message: String },
    /// A pattern with an escape that patterns do not have.
    #[error("${{{name}…}}: pattern `{pattern}` has a bad escape, only \\* \\? \\\\ \\/ and \\}} exist")]
    BadPattern { name: String, pattern: String },
    /// A pattern that takes too long on this value.
    #[error("${{{name}…}}: pattern `{pattern}` takes too long on this value")]
    PatternTooCostly { name: String, pattern: String },
    /// The result is larger than [`MAX_EXPANDED_BYTES`].
    #[error("${name} makes the word larger than {MAX_EXPANDED_BYTES} bytes")]
    TooLarge { name: String },
    /// Substitutions stand deeper than [`MAX_DEPTH`] within one another.
    #[error("${{{name}…}}: substitutions stand deeper than {MAX_DEPTH} within one another")]
    TooDeep { name: String },
}

impl ExpandError {
    /// The error as a renderer shows it; `span` is the place of the word that was expanded.
    pub fn diagnostic(&self, span: Span) -> Diagnostic {
        Diagnostic { message: self.to_string(), span, help: None }
    }
}

/// Expands `text` to one string: what most instructions do with their words.
///
/// # Errors
/// [`ExpandError`] for quotes and braces that do not close, unknown operators, `?` of a missing variable, limits.
pub fn word(text: &str, escape: Escape, lookup: Lookup<'_>) -> Result<String, ExpandError> {
    lex_text(text, Rules::plain(escape), lookup)
}

/// Expands `text` and splits the result at white space that is not quoted: what EXPOSE does.
///
/// # Errors
/// As [`word`].
pub fn words(text: &str, escape: Escape, lookup: Lookup<'_>) -> Result<Vec<String>, ExpandError> {
    lex_words(text, Rules::plain(escape), lookup)
}

/// Expands the body of a heredoc: quotes are ordinary characters, and `\` is the escape whatever `# escape=` says.
///
/// # Errors
/// As [`word`].
pub fn body(text: &str, lookup: Lookup<'_>) -> Result<String, ExpandError> {
    let rules = Rules { quotes: Quotes::Ordinary, ..Rules::plain(Escape::Backslash) };
    lex_text(text, rules, lookup)
}

/// What quote characters do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    /// They quote, and are removed.
    Removed,
    /// They quote, and stay.
    Kept,
    /// They do nothing.
    Ordinary,
}

/// How a text is lexed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    escape: char,
    quotes: Quotes,
    /// Escape characters stay in the result.
    keeps_escapes: bool,
    /// `$x` of an unset variable stays as it is.
    keeps_unset: bool,
}

impl Rules {
    /// Finds the heredocs of a line without changing its words.
    pub(crate) const HEREDOC_LINE: Self =
        Self { escape: '\\', quotes: Quotes::Kept, keeps_escapes: true, keeps_unset: true };
    /// The delimiter of a heredoc.
    pub(crate) const HEREDOC_NAME: Self =
        Self { escape: '\\', quotes: Quotes::Removed, keeps_escapes: false, keeps_unset: true };
    /// The delimiter of a heredoc with its quotes.
    pub(crate) const HEREDOC_NAME_QUOTED: Self = Self { quotes: Quotes::Kept, ..Self::HEREDOC_NAME };

    fn plain(escape: Escape) -> Self {
        Self { escape: escape.as_char(), quotes: Quotes::Removed, keeps_escapes: false, keeps_unset: false }
    }
}

/// The words of a text, cut at white space that is not quoted.
#[derive(Debug, Default)]
struct Splitter {
    words: Vec<String>,
    word: String,
}

impl Splitter {
    /// A character that ends a word if it is white space.
    fn push(&mut self, c: char) {
        if c.is_whitespace() { self.end_word() } else { self.word.push(c) }
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }
}

/// A lexed text: as one string, and as words where they are asked for.
#[derive(Debug, Default)]
struct Lexed {
    text: String,
    splitter: Option<Splitter>,
}

impl Lexed {
    /// A character that ends a word if it is white space.
    fn push(&mut self, c: char) {
        self.text.push(c);
        if let Some(splitter) = &mut self.splitter {
            splitter.push(c);
        }
    }

    fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
        if let Some(splitter) = &mut self.splitter {
            text.chars().for_each(|c| splitter.push(c));
        }
    }

    /// A character that belongs to a word whatever it is.
    fn push_quoted(&mut self, c: char) {
        self.text.push(c);
        if let Some(splitter) = &mut self.splitter {
            splitter.word.push(c);
        }
    }

    fn push_quoted_str(&mut self, text: &str) {
        self.text.push_str(text);
        if let Some(splitter) = &mut self.splitter {
            splitter.word.push_str(text);
        }
    }
}

/// Lexes the whole of `text` as one string.
fn lex_text(text: &str, rules: Rules, lookup: Lookup<'_>) -> Result<String, ExpandError> {
    Ok(Lexer::new(text, rules, lookup).until(None, rules.keeps_escapes, Lexed::default())?.text)
}

/// Lexes the whole of `text` as words.
pub(crate) fn lex_words(text: &str, rules: Rules, lookup: Lookup<'_>) -> Result<Vec<String>, ExpandError> {
    let into = Lexed { splitter: Some(Splitter::default()), ..Lexed::default() };
    let mut splitter = Lexer::new(text, rules, lookup).until(None, rules.keeps_escapes, into)?.splitter;
    splitter.iter_mut().for_each(Splitter::end_word);
    Ok(splitter.map(|splitter| splitter.words).unwrap_or_default())
}

/// The end that a part of a substitution must have.
#[derive(Clone, Copy)]
struct Stop<'a> {
    at: char,
    name: &'a str,
}

struct Lexer<'a> {
    chars: Peekable<Chars<'a>>,
    rules: Rules,
    /// As `rules.keeps_escapes`, but patterns and replacements keep theirs too.
    keeps_escapes: bool,
    lookup: Lookup<'a>,
    added: usize,
    depth: usize,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, rules: Rules, lookup: Lookup<'a>) -> Self {
        let keeps_escapes = rules.keeps_escapes;
        Self { chars: text.chars().peekable(), rules, keeps_escapes, lookup, added: 0, depth: 0 }
    }

    /// One part of a substitution, up to and including `stop`.
    fn part(&mut self, stop: Stop<'_>, keeps_escapes: bool) -> Result<String, ExpandError> {
        Ok(self.until(Some(stop), keeps_escapes, Lexed::default())?.text)
    }

    /// Adds to `lexed` what is up to and including `stop`, or up to the end where there is none.
    fn until(&mut self, stop: Option<Stop<'_>>, keeps_escapes: bool, lexed: Lexed) -> Result<Lexed, ExpandError> {
        let outer = std::mem::replace(&mut self.keeps_escapes, keeps_escapes);
        let mut lexed = lexed;
        while let Some(c) = self.chars.next() {
            if stop.is_some_and(|stop| stop.at == c) {
                self.keeps_escapes = outer;
                return Ok(lexed);
            }
            match c {
                '$' => {
                    let value = self.dollar()?;
                    lexed.push_str(&value);
                }
                '<' => lexed.push_quoted_str(&self.heredoc_mark()),
                '\'' if self.rules.quotes != Quotes::Ordinary => lexed.push_quoted_str(&self.single_quoted()?),
                '"' if self.rules.quotes != Quotes::Ordinary => lexed.push_quoted_str(&self.double_quoted()?),
                c if c == self.rules.escape => self.escaped(&mut lexed),
                c => lexed.push(c),
            }
        }
        if let Some(Stop { at: expected, name }) = stop {
            return Err(ExpandError::Unclosed { name: name.to_owned(), expected });
        }
        self.keeps_escapes = outer;
        Ok(lexed)
    }

    /// The character after an escape; an escape at the very end is dropped.
    fn escaped(&mut self, lexed: &mut Lexed) {
        if self.keeps_escapes {
            lexed.push_quoted(self.rules.escape);
        }
        if let Some(c) = self.chars.next() {
            lexed.push_quoted(c);
        }
    }

    /// `<<` keeps the blanks after it, so that `<< EOF` is one word.
    fn heredoc_mark(&mut self) -> String {
        let mut mark = String::from("<");
        if self.chars.next_if_eq(&'<').is_some() {
            mark.push('<');
            while let Some(c) = self.chars.next_if(|c| matches!(c, '\t' | '\r' | ' ')) {
                mark.push(c);
            }
        }
        mark
    }

    fn quote_mark(&self, quote: char) -> Option<char> {
        (self.rules.quotes == Quotes::Kept).then_some(quote)
    }

    fn single_quoted(&mut self) -> Result<String, ExpandError> {
        let mut text = String::from_iter(self.quote_mark('\''));
        loop {
            match self.chars.next() {
                None => return Err(ExpandError::OpenQuote { quote: '\'' }),
                Some('\'') => break,
                Some(c) => text.push(c),
            }
        }
        text.extend(self.quote_mark('\''));
        Ok(text)
    }

    /// Within double quotes an escape only escapes `"`, `$` and itself; else it stays.
    fn double_quoted(&mut self) -> Result<String, ExpandError> {
        let mut text = String::from_iter(self.quote_mark('"'));
        loop {
            match self.chars.next() {
                None => return Err(ExpandError::OpenQuote { quote: '"' }),
                Some('"') => break,
                Some('$') => text.push_str(&self.dollar()?),
                Some(c) if c == self.rules.escape => {
                    text.extend(self.keeps_escapes.then_some(c));
                    let escape = self.rules.escape;
                    let escaped = self.chars.next_if(|c| matches!(c, '"' | '$') || *c == escape);
                    if self.chars.peek().is_some() || escaped.is_some() {
                        text.push(escaped.unwrap_or(c));
                    }
                }
                Some(c) => text.push(c),
            }
        }
        text.extend(self.quote_mark('"'));
        Ok(text)
    }

    /// The value of the substitution after a `$`.
    fn dollar(&mut self) -> Result<String, ExpandError> {
        if self.chars.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Ok("$".to_owned());
        }
        match (self.lookup)(&name) {
            Some(value) => self.added(&name, value),
            None if self.rules.keeps_unset => Ok(format!("${name}")),
            None => Ok(String::new()),
        }
    }

    /// Counts `value` against the limit of the whole word.
    fn added(&mut self, name: &str, value: String) -> Result<String, ExpandError> {
        self.added += value.len();
        if self.added > MAX_EXPANDED_BYTES {
            return Err(ExpandError::TooLarge { name: name.to_owned() });
        }
        Ok(value)
    }

    /// A variable's name: letters, digits and `_`, or digits alone, or one special character.
    fn name(&mut self) -> String {
        if let Some(special) = self.chars.next_if(|c| matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!')) {
            return special.to_string();
        }
        let is_positional = self.chars.peek().is_some_and(|c| c.is_numeric());
        let mut name = String::new();
        while let Some(c) = self.chars.next_if(|&c| c.is_numeric() || !is_positional && (c.is_alphabetic() || c == '_'))
        {
            name.push(c);
        }
        name
    }

    /// The value of what is after `${`.
    fn braced(&mut self) -> Result<String, ExpandError> {
        if let Some(found) = self.chars.next_if(|c| matches!(c, '{' | '}' | ':')) {
            return Err(ExpandError::NoName { found });
        }
        let name = self.name();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ExpandError::TooDeep { name });
        }
        let unclosed = || ExpandError::Unclosed { name: name.clone(), expected: '}' };
        let value = match self.chars.next().ok_or_else(unclosed)? {
            '}' => self.plain(&name),
            '/' => self.replaced(&name)?,
            ':' => {
                let operator = self.chars.next().ok_or_else(unclosed)?;
                self.operated(&name, operator, Empty::IsUnset)?
            }
            operator => self.operated(&name, operator, Empty::IsSet)?,
        };
        self.depth -= 1;
        self.added(&name, value)
    }

    fn plain(&self, name: &str) -> String {
        match (self.lookup)(name) {
            Some(value) => value,
            None if self.rules.keeps_unset => format!("${{{name}}}"),
            None => String::new(),
        }
    }

    /// `${name-word}` and the like, where the operator was just read.
    fn operated(&mut self, name: &str, operator: char, empty: Empty) -> Result<String, ExpandError> {
        let is_trim = matches!(operator, '#' | '%');
        let colon = if empty == Empty::IsUnset { ":" } else { "" };
        if !matches!(operator, '-' | '+' | '?' | '#' | '%') || is_trim && empty == Empty::IsUnset {
            return Err(ExpandError::UnknownOperator { name: name.to_owned(), operator: format!("{colon}{operator}") });
        }
        let word = self.part(Stop { at: '}', name }, is_trim)?;
        let value = (self.lookup)(name);
        if value.is_none() && self.rules.keeps_unset {
            return Ok(format!("${{{name}{colon}{operator}{word}}}"));
        }
        if is_trim {
            return trimmed(name, operator, &word, &value.unwrap_or_default());
        }
        let is_missing = value.as_ref().is_none_or(|value| value.is_empty() && empty == Empty::IsUnset);
        match operator {
            '-' if is_missing => Ok(word),
            '+' => Ok(if is_missing { String::new() } else { word }),
            '?' if is_missing => Err(required(name, word, value.is_some())),
            _ => Ok(value.unwrap_or_default()),
        }
    }

    /// `${name/pattern/replacement}`, where the first `/` was just read.
    fn replaced(&mut self, name: &str) -> Result<String, ExpandError> {
        let scope = match self.chars.next_if_eq(&'/') {
            Some(_) => pattern::Scope::All,
            None => pattern::Scope::First,
        };
        let pattern = self.part(Stop { at: '/', name }, true)?;
        let replacement = self.part(Stop { at: '}', name }, true)?;
        match (self.lookup)(name) {
            None if self.rules.keeps_unset => Ok(format!("${{{name}/{pattern}/{replacement}}}")),
            value => pattern::replace(&value.unwrap_or_default(), &pattern, &replacement, scope)
                .map_err(|error| bad_pattern(name, pattern, error)),
        }
    }
}

/// What an empty value counts as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    IsSet,
    IsUnset,
}

fn required(name: &str, word: String, is_set: bool) -> ExpandError {
    let default = if is_set { "is not allowed to be empty" } else { "is not allowed to be unset" };
    let message = if word.is_empty() { default.to_owned() } else { word };
    ExpandError::Required { name: name.to_owned(), message }
}

/// `${name#word}`, `##`, `%`, `%%`: `word` starts with a second operator character where the longest match is meant.
fn trimmed(name: &str, operator: char, word: &str, value: &str) -> Result<String, ExpandError> {
    let (length, pattern) = match word.strip_prefix(operator) {
        Some(rest) => (pattern::Length::Longest, rest),
        None => (pattern::Length::Shortest, word),
    };
    let end = if operator == '%' { pattern::End::Suffix } else { pattern::End::Prefix };
    pattern::trim(value, pattern, end, length).map_err(|error| bad_pattern(name, pattern.to_owned(), error))
}

fn bad_pattern(name: &str, pattern: String, error: PatternError) -> ExpandError {
    let name = name.to_owned();
    match error {
        PatternError::BadEscape => ExpandError::BadPattern { name, pattern },
        PatternError::TooCostly => ExpandError::PatternTooCostly { name, pattern },
        PatternError::TooLarge => ExpandError::TooLarge { name },
    }
}

#[cfg(test)]
mod tests;
