//! Heredocs: which a line announces, and their bodies.
//!
//! RUN, COPY and ADD can have them, also below ONBUILD. The lines after the instruction are the bodies, one heredoc
//! after the other, and nothing in them is parsed.

use std::borrow::Cow;

use crate::error::ParseError;
use crate::expand::{self, Rules};
use crate::lines::{Lines, Slice};
use crate::span::Span;

/// A heredoc of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter without quotes; for COPY and ADD also the name of the file.
    pub name: String,
    /// The number before `<<`; 0 where there is none. Only a shell uses it.
    pub descriptor: u32,
    /// Whether variables in the body are expanded: no part of the delimiter is quoted.
    pub expand: bool,
    /// Whether it is a `<<-`, which drops the tabs at the start of each line.
    pub strip_tabs: bool,
    /// The body as it stands in the file, with its line endings and tabs, without the delimiter's line.
    pub content: String,
    /// Where the body stands.
    pub span: Span,
}

impl Heredoc {
    /// The body as a file or program gets it: without leading tabs if it is a `<<-`.
    pub fn body(&self) -> Cow<'_, str> {
        if !self.strip_tabs {
            return Cow::Borrowed(&self.content);
        }
        Cow::Owned(self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect())
    }
}

/// The heredocs that `line` announces, with empty bodies.
pub(crate) fn announced(line: Slice<'_>) -> Result<Vec<Heredoc>, ParseError> {
    if !line.text().contains("<<") {
        return Ok(Vec::new());
    }
    // A line that a shell could not lex has no heredocs: the shell shall say what is wrong with it.
    let words = expand::lex_words(line.text(), Rules::HEREDOC_LINE, &|_| None).unwrap_or_default();
    let mut heredocs = Vec::new();
    for word in words {
        match parse(&word) {
            Ok(heredoc) => heredocs.extend(heredoc),
            Err(OpenQuote) => return Err(ParseError::BadHeredoc { word, span: line.span() }),
        }
    }
    Ok(heredocs)
}

/// `line` with the bodies that it announces behind it, as a shell or a Dockerfile has them.
pub(crate) fn appended(line: &str, heredocs: &[Heredoc]) -> String {
    let mut text = line.to_owned();
    for heredoc in heredocs {
        text.push('\n');
        text.push_str(&heredoc.content);
        text.push_str(&heredoc.name);
    }
    text
}

/// A delimiter whose quotes do not end.
#[derive(Debug)]
pub(crate) struct OpenQuote;

/// The heredoc that `word` announces, if it is of the form `[n]<<[-]delimiter`.
pub(crate) fn parse(word: &str) -> Result<Option<Heredoc>, OpenQuote> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = word.split_at_checked(digits).unwrap_or((word, ""));
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (strip_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let delimiter = rest.trim_start_matches(['\t', '\n', '\x0c', '\r', ' ']);
    if delimiter.is_empty() || delimiter.contains('<') {
        return Ok(None);
    }
    let Some(name) = single_word(delimiter, Rules::HEREDOC_NAME)? else { return Ok(None) };
    let quoted = single_word(delimiter, Rules::HEREDOC_NAME_QUOTED)?.unwrap_or_default();
    Ok(Some(Heredoc {
        expand: quotes(&name) == quotes(&quoted),
        name,
        descriptor: number.parse().unwrap_or_default(),
        strip_tabs,
        content: String::new(),
        span: Span::default(),
    }))
}

fn single_word(text: &str, rules: Rules) -> Result<Option<String>, OpenQuote> {
    let mut words = expand::lex_words(text, rules, &|_| None).map_err(|_| OpenQuote)?;
    Ok(if words.len() == 1 { words.pop() } else { None })
}

fn quotes(text: &str) -> usize {
    text.chars().filter(|c| matches!(c, '\'' | '"')).count()
}

/// Reads the body of `heredoc` from `lines` up to its delimiter.
pub(crate) fn read_body(heredoc: &mut Heredoc, lines: &mut Lines<'_>, at: Span) -> Result<(), ParseError> {
    let mut span = None;
    while let Some(line) = lines.read()? {
        let span = span.get_or_insert(Span::at(line.start));
        let text = line.without_ending();
        let text = if heredoc.strip_tabs { text.trim_start_matches('\t') } else { text };
        if text == heredoc.name {
            heredoc.span = *span;
            return Ok(());
        }
        heredoc.content.push_str(line.text);
        span.end = line.start + line.text.len();
    }
    Err(ParseError::UnterminatedHeredoc { name: heredoc.name.clone(), span: at })
}
