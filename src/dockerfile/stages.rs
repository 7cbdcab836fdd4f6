//! The stages of a Dockerfile: where each begins, what it is called, and which one a reference means.
//!
//! Names are compared without regard to case. A name that is used twice is legal; a reference then means the last
//! one before it. What the stages need of each other is in [`crate::graph`].

use crate::expand::ExpandError;
use crate::instruction::{ArgDecl, Dockerfile, Instruction, Kind};
use crate::span::{Diagnostic, Span, Word};
use crate::suggest::nearest;
use crate::{Escape, Keyword};

/// The largest number of stages in one Dockerfile.
pub const MAX_STAGES: usize = 1024;

/// A Dockerfile cut into stages.
#[derive(Clone, Debug)]
pub struct Stages<'a> {
    /// The arguments declared before the first FROM, in order.
    pub globals: Vec<&'a ArgDecl>,
    /// The stages in order; never empty.
    pub stages: Vec<Stage<'a>>,
    pub(crate) escape: Escape,
}

/// A FROM and the instructions up to the next one.
#[derive(Clone, Debug)]
pub struct Stage<'a> {
    /// Its number, from 0.
    pub index: usize,
    /// Its name in lower case, if it has one.
    pub name: Option<String>,
    /// What it is built on, before expansion.
    pub base: &'a Word,
    /// `--platform`, before expansion.
    pub platform: Option<&'a Word>,
    /// The FROM itself.
    pub from: &'a Instruction,
    /// The instructions after FROM.
    pub instructions: &'a [Instruction],
}

impl Stage<'_> {
    /// The name, or else the number: what messages call it.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.index.to_string())
    }
}

/// Stages that cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are those of the message; every span is the place in the file")]
pub enum StageError {
    /// There is no FROM at all.
    #[error("no FROM: the Dockerfile has no stage")]
    NoFrom { span: Span },
    /// Something else than ARG stands before the first FROM.
    #[error("no FROM: {instruction} stands before the first FROM")]
    BeforeFrom { instruction: Keyword, span: Span },
    /// There are more than [`MAX_STAGES`].
    #[error("more than {MAX_STAGES} stages")]
    TooManyStages { span: Span },
    /// `--target` of a stage that does not exist.
    #[error("no stage is called `{target}`{}", listed(suggestion.as_deref(), known))]
    UnknownTarget { target: String, suggestion: Option<String>, known: Vec<String> },
    /// A stage by a number that no stage has.
    #[error("there is no stage {number}")]
    UnknownNumber { number: String, span: Span },
    /// A stage that is used before it is built, or within itself.
    #[error("stage `{name}` is used before it is complete")]
    NotYetBuilt { name: String, span: Span },
    /// A base, platform or `--from` that expands to nothing.
    #[error("`{expression}` expands to nothing")]
    Blank { expression: String, span: Span },
    /// Bases, arguments and variables are larger than [`crate::graph::MAX_RESOLVED_BYTES`] together.
    #[error("arguments and variables expand to more than {} bytes", crate::graph::MAX_RESOLVED_BYTES)]
    TooLarge { span: Span },
    /// A base, platform, `--from` or argument that cannot be expanded.
    #[error("cannot expand `{expression}`: {source}")]
    Expand { expression: String, source: ExpandError, span: Span },
}

impl StageError {
    /// The error as a renderer shows it beside the source.
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic { message: self.to_string(), span: self.span(), help: self.help() }
    }

    /// The place of the error; the start of the file for a target, which stands on the command line.
    pub fn span(&self) -> Span {
        match self {
            Self::UnknownTarget { .. } => Span::at(0),
            Self::NoFrom { span }
            | Self::BeforeFrom { span, .. }
            | Self::TooManyStages { span }
            | Self::UnknownNumber { span, .. }
            | Self::NotYetBuilt { span, .. }
            | Self::Blank { span, .. }
            | Self::TooLarge { span }
            | Self::Expand { span, .. } => *span,
        }
    }

    fn help(&self) -> Option<String> {
        let help = match self {
            Self::NoFrom { .. } | Self::BeforeFrom { .. } => {
                "begin with FROM and the base image, or FROM scratch; only ARG may stand before it"
            }
            Self::NotYetBuilt { .. } => "move that stage in front of this one",
            Self::Blank { .. } => "give the argument a default with ARG before the first FROM, or pass --build-arg",
            Self::TooManyStages { .. }
            | Self::TooLarge { .. }
            | Self::UnknownTarget { .. }
            | Self::UnknownNumber { .. }
            | Self::Expand { .. } => return None,
        };
        Some(help.to_owned())
    }
}

fn listed(suggestion: Option<&str>, known: &[String]) -> String {
    match suggestion {
        Some(name) => format!(", did you mean `{name}`?"),
        None if known.is_empty() => ", and the stages have numbers only".to_owned(),
        None => format!(", only {}", known.join(", ")),
    }
}

/// Cuts `file` into stages.
///
/// # Errors
/// [`StageError::NoFrom`], [`StageError::BeforeFrom`], [`StageError::TooManyStages`].
pub fn stages(file: &Dockerfile) -> Result<Stages<'_>, StageError> {
    let is_from = |instruction: &&Instruction| instruction.keyword == Keyword::From;
    let before = file.instructions.iter().take_while(|instruction| !is_from(instruction)).count();
    let (head, tail) = file.instructions.split_at_checked(before).unwrap_or((&file.instructions, &[]));
    let mut stages = Vec::new();
    let mut rest = tail;
    while let Some((from, after)) = rest.split_first() {
        let length = after.iter().take_while(|instruction| !is_from(instruction)).count();
        let (instructions, next) = after.split_at_checked(length).unwrap_or((after, &[]));
        stages.extend(stage(stages.len(), from, instructions));
        if stages.len() > MAX_STAGES {
            return Err(StageError::TooManyStages { span: from.span });
        }
        rest = next;
    }
    let globals = globals(head)?;
    if stages.is_empty() {
        return Err(StageError::NoFrom { span: head.first().map_or(Span::at(0), |first| first.span) });
    }
    Ok(Stages { globals, stages, escape: file.escape() })
}

fn stage<'a>(index: usize, from: &'a Instruction, instructions: &'a [Instruction]) -> Option<Stage<'a>> {
    let Kind::From { platform, image, name } = &from.kind else { return None };
    Some(Stage {
        index,
        name: name.as_ref().map(|name| name.raw.to_lowercase()),
        base: image,
        platform: platform.as_ref(),
        from,
        instructions,
    })
}

fn globals(head: &[Instruction]) -> Result<Vec<&ArgDecl>, StageError> {
    let mut globals = Vec::new();
    for instruction in head {
        let Kind::Arg(declarations) = &instruction.kind else {
            return Err(StageError::BeforeFrom { instruction: instruction.keyword, span: instruction.span });
        };
        globals.extend(declarations);
    }
    Ok(globals)
}

impl Stages<'_> {
    /// The stage that `--target` means, by name or by number; the last stage where there is no target.
    ///
    /// # Errors
    /// [`StageError::UnknownTarget`].
    pub fn target(&self, target: Option<&str>) -> Result<usize, StageError> {
        let last = self.stages.len().saturating_sub(1);
        let Some(target) = target.filter(|target| !target.is_empty()) else { return Ok(last) };
        let numbered = || number(target).filter(|&number| number <= last);
        self.named(target, self.stages.len()).or_else(numbered).ok_or_else(|| {
            let known: Vec<String> = self.stages.iter().filter_map(|stage| stage.name.clone()).collect();
            let suggestion = nearest(target, known.iter().map(String::as_str)).map(str::to_owned);
            StageError::UnknownTarget { target: target.to_owned(), suggestion, known }
        })
    }

    /// The last stage called `name` among the first `before` ones.
    pub fn named(&self, name: &str, before: usize) -> Option<usize> {
        let name = name.to_lowercase();
        self.stages.iter().take(before).rposition(|stage| stage.name.as_deref() == Some(name.as_str()))
    }

    /// The stage that `--from=reference` in stage `user` means; `None` if it means an image or a context.
    ///
    /// # Errors
    /// [`StageError::NotYetBuilt`] for the stage itself and later ones, [`StageError::UnknownNumber`].
    pub fn referenced(&self, reference: &str, user: usize, span: Span) -> Result<Option<usize>, StageError> {
        let name = || reference.to_owned();
        if let Some(index) = self.named(reference, user) {
            return Ok(Some(index));
        }
        if self.named(reference, self.stages.len()).is_some() {
            return Err(StageError::NotYetBuilt { name: name(), span });
        }
        if reference.is_empty() || !reference.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        match number(reference) {
            Some(index) if index < user => Ok(Some(index)),
            Some(index) if index < self.stages.len() => Err(StageError::NotYetBuilt { name: name(), span }),
            _ => Err(StageError::UnknownNumber { number: name(), span }),
        }
    }

    /// The stage that a FROM of stage `user` means; `None` if it means an image.
    ///
    /// A name or number of a later stage is an image's here, as in BuildKit: a stage can be named like the image
    /// that an earlier stage is built on.
    pub fn base_stage(&self, base: &str, user: usize) -> Option<usize> {
        self.named(base, user).or_else(|| number(base).filter(|&index| index < user))
    }

    /// What may have been meant by the `base` of stage `user` that is no image: a later stage, or a name like it.
    pub fn advice(&self, base: &str, user: usize) -> Option<String> {
        let first = base.rsplit_once('/').map_or(base, |(_, last)| last);
        if self.named(base, self.stages.len()).is_some_and(|index| index >= user) {
            return Some(format!("stage `{base}` comes later in the file: move it in front of this one"));
        }
        let known = self.stages.iter().take(user).filter_map(|stage| stage.name.as_deref());
        nearest(first, known).map(|name| format!("did you mean the stage `{name}`?"))
    }

    /// The stages whose name an earlier stage already has.
    pub fn duplicates(&self) -> Vec<usize> {
        let is_duplicate =
            |stage: &&Stage<'_>| stage.name.as_ref().is_some_and(|name| self.named(name, stage.index).is_some());
        self.stages.iter().filter(is_duplicate).map(|stage| stage.index).collect()
    }
}

fn number(text: &str) -> Option<usize> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests;
