//! Shell patterns of `${x#p}`, `${x%p}` and `${x/p/r}`: `*`, `?`, escapes; no brackets.
//!
//! As in BuildKit, which makes regular expressions of them, neither wildcard crosses a line feed. The work is
//! counted: a pattern that would take more than [`MAX_STEPS`] comparisons is refused.

use crate::expand::MAX_EXPANDED_BYTES;

/// The most comparisons for one substitution.
const MAX_STEPS: u64 = 10_000_000;

/// Why a pattern cannot be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PatternError {
    BadEscape,
    TooCostly,
    TooLarge,
}

/// How many matches are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    First,
    All,
}

/// Which end of a value is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Prefix,
    Suffix,
}

/// How much `*` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Shortest,
    Longest,
}

/// `value` without its prefix or suffix that `pattern` matches.
pub(crate) fn trim(value: &str, pattern: &str, end: End, length: Length) -> Result<String, PatternError> {
    let mut tokens = tokens(pattern)?;
    let mut chars: Vec<char> = value.chars().collect();
    if end == End::Suffix {
        tokens.reverse();
        chars.reverse();
    }
    let matched = Matcher::new(&tokens, &chars, length).at(0)?.unwrap_or(0);
    let kept = chars.into_iter().skip(matched);
    Ok(match end {
        End::Prefix => kept.collect(),
        End::Suffix => kept.rev().collect(),
    })
}

/// `value` with what `pattern` matches replaced.
///
/// An empty match right after another match is not replaced, as in Go's `ReplaceAllString`.
pub(crate) fn replace(value: &str, pattern: &str, replacement: &str, scope: Scope) -> Result<String, PatternError> {
    let tokens = tokens(pattern)?;
    let chars: Vec<char> = value.chars().collect();
    let mut matcher = Matcher::new(&tokens, &chars, Length::Longest);
    let mut result = String::new();
    let mut copied = 0;
    let mut search = 0;
    while search <= chars.len() {
        let Some((start, end)) = matcher.find(search)? else { break };
        result.extend(chars.get(copied..start).unwrap_or_default());
        if end > copied || start == 0 {
            result.push_str(replacement);
        }
        if result.len() > MAX_EXPANDED_BYTES {
            return Err(PatternError::TooLarge);
        }
        copied = end;
        search = end.max(search + 1);
        if scope == Scope::First {
            break;
        }
    }
    result.extend(chars.get(copied..).unwrap_or_default());
    Ok(result)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    AnyCharacter,
    AnyString,
}

fn tokens(pattern: &str) -> Result<Vec<Token>, PatternError> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::AnyString,
            '?' => Token::AnyCharacter,
            '\\' => match chars.next() {
                Some(c @ ('*' | '?' | '\\' | '}' | '/')) => Token::Literal(c),
                _ => return Err(PatternError::BadEscape),
            },
            c => Token::Literal(c),
        });
    }
    Ok(tokens)
}

/// Matches tokens against a text, in segments between the `*`.
///
/// Each segment but the last is taken where it first fits, which leaves the most room for the others; so no choice
/// is ever taken back.
struct Matcher<'a> {
    segments: Vec<&'a [Token]>,
    text: &'a [char],
    length: Length,
    steps: u64,
}

impl<'a> Matcher<'a> {
    fn new(tokens: &'a [Token], text: &'a [char], length: Length) -> Self {
        let segments = tokens.split(|token| *token == Token::AnyString).collect();
        Self { segments, text, length, steps: 0 }
    }

    /// The first match that starts at `from` or later.
    fn find(&mut self, from: usize) -> Result<Option<(usize, usize)>, PatternError> {
        for start in from..=self.text.len() {
            if let Some(end) = self.at(start)? {
                return Ok(Some((start, end)));
            }
        }
        Ok(None)
    }

    /// Where the match that starts at `start` ends.
    fn at(&mut self, start: usize) -> Result<Option<usize>, PatternError> {
        let Some(first) = self.segments.first().copied() else { return Ok(None) };
        if !self.fits(first, start)? {
            return Ok(None);
        }
        let mut end = start + first.len();
        for index in 1..self.segments.len() {
            let Some(segment) = self.segments.get(index).copied() else { break };
            let is_last = index + 1 == self.segments.len();
            let Some(at) = self.after_gap(segment, end, is_last && self.length == Length::Longest)? else {
                return Ok(None);
            };
            end = at + segment.len();
        }
        Ok(Some(end))
    }

    /// Where `segment` fits at `from` or after characters of the same line: the first place, or the last.
    fn after_gap(&mut self, segment: &[Token], from: usize, takes_last: bool) -> Result<Option<usize>, PatternError> {
        let mut found = None;
        for at in from..=self.text.len() {
            if self.fits(segment, at)? {
                found = Some(at);
                if !takes_last {
                    break;
                }
            }
            if self.text.get(at) == Some(&'\n') {
                break;
            }
        }
        Ok(found)
    }

    fn fits(&mut self, segment: &[Token], at: usize) -> Result<bool, PatternError> {
        self.steps += 1;
        for (token, position) in segment.iter().zip(at..) {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(PatternError::TooCostly);
            }
            let is_match = match (token, self.text.get(position)) {
                (Token::Literal(expected), Some(c)) => expected == c,
                (Token::AnyCharacter, Some(c)) => *c != '\n',
                (Token::AnyString, _) | (_, None) => false,
            };
            if !is_match {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
