//! Byte-exact edits of a text: what no edit covers stays as it is, line endings and odd spacing included.

use crate::Dockerfile;
use crate::span::{Diagnostic, Span};
use crate::stages::{StageError, stages};

/// A replacement of one range of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What is replaced; an empty span inserts.
    pub span: Span,
    /// What stands there afterwards.
    pub replacement: String,
}

/// Edits that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are those of the message")]
pub enum EditError {
    /// Two edits cover the same byte.
    #[error("edits of bytes {}..{} and {}..{} overlap", first.start, first.end, second.start, second.end)]
    Overlap { first: Span, second: Span },
    /// An edit is outside the text or cuts a character in two.
    #[error("bytes {}..{} are not a piece of the text", span.start, span.end)]
    BadSpan { span: Span },
    /// There is no such stage.
    #[error("there is no stage {stage}, the Dockerfile has {count}")]
    NoStage { stage: usize, count: usize },
    /// The Dockerfile has no stages.
    #[error(transparent)]
    Stages(#[from] StageError),
    /// A reference that would not be read back as it is.
    #[error("`{reference}` cannot stand after FROM: it is empty or has a blank, a quote, an escape or a `$` in it")]
    BadReference { reference: String },
}

impl EditError {
    /// The error as a renderer shows it beside the source.
    pub fn diagnostic(&self) -> Diagnostic {
        let span = match self {
            Self::Overlap { second: span, .. } | Self::BadSpan { span } => *span,
            Self::Stages(error) => return error.diagnostic(),
            Self::NoStage { .. } | Self::BadReference { .. } => Span::at(0),
        };
        Diagnostic { message: self.to_string(), span, help: None }
    }
}

/// `text` with all `edits` made; their spans all mean the text as it was.
///
/// The order of the edits does not matter, but several insertions at one place are made in their order.
///
/// # Errors
/// [`EditError::Overlap`], [`EditError::BadSpan`].
pub fn apply(text: &str, edits: &[Edit]) -> Result<String, EditError> {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    sorted.sort_by_key(|edit| edit.span);
    let mut result = String::with_capacity(text.len());
    let mut previous = Span::default();
    for edit in sorted {
        let bad_span = EditError::BadSpan { span: edit.span };
        if edit.span.start < previous.end {
            return Err(EditError::Overlap { first: previous, second: edit.span });
        }
        let Some(kept) = text.get(previous.end..edit.span.start) else { return Err(bad_span) };
        if text.get(edit.span.start..edit.span.end).is_none() {
            return Err(bad_span);
        }
        result.push_str(kept);
        result.push_str(&edit.replacement);
        previous = edit.span;
    }
    result.push_str(text.get(previous.end..).unwrap_or_default());
    Ok(result)
}

/// The edit that makes the FROM of stage `stage` (from 0) name `reference`.
///
/// Only the bytes of the image are replaced: flags, AS, comments, spacing and line endings stay.
///
/// # Errors
/// [`EditError::NoStage`], [`EditError::Stages`], [`EditError::BadReference`].
pub fn pin_from(file: &Dockerfile, stage: usize, reference: &str) -> Result<Edit, EditError> {
    let is_bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '$' | '"' | '\'' | '\\' | '`' | '<');
    if reference.is_empty() || reference.starts_with("--") || reference.contains(is_bad) {
        return Err(EditError::BadReference { reference: reference.to_owned() });
    }
    let stages = stages(file)?.stages;
    let count = stages.len();
    let found = stages.get(stage).ok_or(EditError::NoStage { stage, count })?;
    Ok(Edit { span: found.base.span, replacement: reference.to_owned() })
}

#[cfg(test)]
mod tests;
