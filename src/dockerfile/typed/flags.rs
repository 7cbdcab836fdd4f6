//! The flags of an instruction: which it has, and that each is given as it must be.

use crate::error::ParseError;
use crate::span::Word;
use crate::suggest::nearest;
use crate::{Flag, Keyword};

/// How a flag is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `--flag`, `--flag=true`, `--flag=false`; once.
    Switch,
    /// `--flag=text`; once.
    Text,
    /// `--flag=text`; any number of times.
    Texts,
}

/// Flags as written, not yet checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags<'a> {
    instruction: Keyword,
    flags: &'a [Flag],
}

impl<'a> Flags<'a> {
    pub(super) fn new(instruction: Keyword, flags: &'a [Flag]) -> Self {
        Self { instruction, flags }
    }

    /// Checks that all flags are among `known` and shaped like them.
    pub(super) fn accept(self, known: &[(&'static str, Shape)]) -> Result<Accepted, ParseError> {
        let mut accepted = Accepted { values: Vec::new() };
        for flag in self.flags {
            let Some((name, shape)) = known.iter().copied().find(|(name, _)| *name == flag.name()) else {
                return Err(self.unknown(flag, known));
            };
            if shape != Shape::Texts && accepted.values.iter().any(|(other, _)| *other == name) {
                let (instruction, span) = (self.instruction, flag.span);
                return Err(ParseError::RepeatedFlag { instruction, flag: name.to_owned(), span });
            }
            accepted.values.push((name, self.value(flag, shape)?));
        }
        Ok(accepted)
    }

    fn unknown(self, flag: &Flag, known: &[(&'static str, Shape)]) -> ParseError {
        ParseError::UnknownFlag {
            instruction: self.instruction,
            flag: flag.name().to_owned(),
            suggestion: nearest(flag.name(), known.iter().map(|(name, _)| *name)),
            span: flag.span,
        }
    }

    fn value(self, flag: &Flag, shape: Shape) -> Result<Word, ParseError> {
        let (instruction, span) = (self.instruction, flag.span);
        let name = || flag.name().to_owned();
        match (shape, flag.value()) {
            (Shape::Switch, None) => Ok(Word { raw: "true".to_owned(), span }),
            (Shape::Switch, Some(value)) => match value.raw.to_lowercase().as_str() {
                raw @ ("true" | "false") => Ok(Word { raw: raw.to_owned(), span }),
                "" => Err(ParseError::FlagWithoutValue { instruction, flag: name(), span }),
                _ => Err(ParseError::FlagNotBoolean { instruction, flag: name(), value: value.raw, span }),
            },
            (Shape::Text | Shape::Texts, Some(value)) => Ok(value),
            (Shape::Text | Shape::Texts, None) => Err(ParseError::FlagWithoutValue { instruction, flag: name(), span }),
        }
    }
}

/// Flags that the instruction has.
#[derive(Debug)]
pub(super) struct Accepted {
    values: Vec<(&'static str, Word)>,
}

impl Accepted {
    /// The value of `--name`; an empty one counts as not given.
    pub(super) fn text(&mut self, name: &str) -> Option<Word> {
        self.texts(name).pop().filter(|word| !word.raw.is_empty())
    }

    /// All values of `--name`, in order.
    pub(super) fn texts(&mut self, name: &str) -> Vec<Word> {
        self.values.extract_if(.., |(other, _)| *other == name).map(|(_, word)| word).collect()
    }

    /// Whether `--name` is on, `None` where it is not given.
    pub(super) fn switch(&mut self, name: &str) -> Option<bool> {
        self.texts(name).pop().map(|word| word.raw == "true")
    }
}
