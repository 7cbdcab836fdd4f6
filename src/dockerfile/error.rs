//! Why a text is no Dockerfile.

use crate::span::{Diagnostic, Span};
use crate::{Keyword, MAX_FILE_BYTES, MAX_INSTRUCTIONS, MAX_LINE_BYTES};

/// A Dockerfile that cannot be read, with the place.
///
/// What is accepted is BuildKit's rule (`frontend/dockerfile/parser`, `frontend/dockerfile/instructions`) unless a
/// variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are those of the message; every span is the place in the file")]
pub enum ParseError {
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("the Dockerfile has {bytes} bytes, the limit is {MAX_FILE_BYTES}")]
    TooLarge { bytes: usize },
    /// The file is not UTF-8.
    #[error("byte {} of the Dockerfile is not UTF-8", span.start)]
    NotUtf8 { span: Span },
    /// A line is longer than [`MAX_LINE_BYTES`].
    #[error("line {line} is longer than {MAX_LINE_BYTES} bytes")]
    LineTooLong { line: usize, span: Span },
    /// There are more than [`MAX_INSTRUCTIONS`].
    #[error("more than {MAX_INSTRUCTIONS} instructions")]
    TooManyInstructions { span: Span },
    /// Nothing but comments and blank lines.
    #[error("the Dockerfile has no instructions")]
    NoInstructions,
    /// A parser directive stands twice.
    #[error("parser directive `{name}` is given twice")]
    RepeatedDirective { name: String, span: Span },
    /// `# escape=` with something else than a backslash or a backtick.
    #[error("escape `{value}` is neither ` nor \\")]
    BadEscape { value: String, span: Span },
    /// The file ends within a heredoc.
    #[error("heredoc `{name}` is not terminated")]
    UnterminatedHeredoc { name: String, span: Span },
    /// A heredoc's delimiter does not end its quotes.
    #[error("heredoc delimiter `{word}` has an open quote")]
    BadHeredoc { word: String, span: Span },
    /// A heredoc where COPY and ADD expect their destination.
    #[error("{instruction} cannot take a heredoc as a destination")]
    HeredocDestination { instruction: Keyword, span: Span },
    /// A JSON form with something else than strings in it.
    #[error("{instruction} in JSON form takes strings only")]
    NotStrings { instruction: Keyword, span: Span },
    /// SHELL without a JSON array.
    #[error("SHELL takes a JSON array of strings")]
    ShellNotJson { span: Span },
    /// ENV and LABEL: a key without a value.
    #[error("{instruction} {name} has no value")]
    NoValue { instruction: Keyword, name: String, span: Span },
    /// ENV and LABEL: one of several pairs without `=`.
    #[error("{instruction}: `{word}` has no `=`")]
    NoEquals { instruction: Keyword, word: String, span: Span },
    /// ENV, LABEL and ARG: a pair that begins with `=`.
    #[error("{instruction}: a name is missing before `=`")]
    BlankName { instruction: Keyword, span: Span },
    /// No such instruction.
    #[error("unknown instruction {name}{}", did_you_mean(*suggestion, ""))]
    UnknownInstruction { name: String, suggestion: Option<&'static str>, span: Span },
    /// No such flag.
    #[error("{instruction} has no flag --{flag}{}", did_you_mean(*suggestion, "--"))]
    UnknownFlag { instruction: Keyword, flag: String, suggestion: Option<&'static str>, span: Span },
    /// A flag that can stand only once.
    #[error("{instruction}: flag --{flag} is given twice")]
    RepeatedFlag { instruction: Keyword, flag: String, span: Span },
    /// A flag without its value.
    #[error("{instruction}: flag --{flag} needs a value")]
    FlagWithoutValue { instruction: Keyword, flag: String, span: Span },
    /// A flag that is true or false.
    #[error("{instruction}: flag --{flag} is true or false, not `{value}`")]
    FlagNotBoolean { instruction: Keyword, flag: String, value: String, span: Span },
    /// A flag value that is none of the known ones.
    #[error("{instruction}: --{flag} cannot be `{value}`, only {allowed}")]
    BadFlagValue { instruction: Keyword, flag: &'static str, value: String, allowed: &'static str, span: Span },
    /// Too few or too many arguments.
    #[error("{instruction} takes {expected}")]
    Arguments { instruction: Keyword, expected: &'static str, span: Span },
    /// A stage name with characters that it cannot have.
    #[error("`{name}` cannot name a stage")]
    BadStageName { name: String, span: Span },
    /// ONBUILD of an instruction that cannot be a trigger.
    #[error("ONBUILD cannot trigger {trigger}")]
    BadTrigger { trigger: Keyword, span: Span },
    /// VOLUME with an empty path.
    #[error("VOLUME has an empty path")]
    EmptyVolume { span: Span },
    /// HEALTHCHECK of another kind than CMD and NONE.
    #[error("HEALTHCHECK {kind}: the kind is CMD or NONE")]
    BadHealthcheck { kind: String, span: Span },
    /// `--mount` or `--device` whose quotes do not balance.
    #[error("{instruction}: --{flag} is not a comma-separated list: a quote is open or stands inside a field")]
    BadList { instruction: Keyword, flag: &'static str, span: Span },
    /// A `--device` field that is neither a name nor `required`.
    #[error("RUN: --device does not know the field `{field}`")]
    BadDevice { field: String, span: Span },
}

impl ParseError {
    /// The error as a renderer shows it beside the source.
    pub fn diagnostic(&self) -> Diagnostic {
        Diagnostic { message: self.to_string(), span: self.span(), help: self.help() }
    }

    /// The place of the error; the start of the file where it is about the whole file.
    pub fn span(&self) -> Span {
        match self {
            Self::TooLarge { .. } | Self::NoInstructions => Span::at(0),
            Self::NotUtf8 { span }
            | Self::LineTooLong { span, .. }
            | Self::TooManyInstructions { span }
            | Self::RepeatedDirective { span, .. }
            | Self::BadEscape { span, .. }
            | Self::UnterminatedHeredoc { span, .. }
            | Self::BadHeredoc { span, .. }
            | Self::HeredocDestination { span, .. }
            | Self::NotStrings { span, .. }
            | Self::ShellNotJson { span }
            | Self::NoValue { span, .. }
            | Self::NoEquals { span, .. }
            | Self::BlankName { span, .. }
            | Self::UnknownInstruction { span, .. }
            | Self::UnknownFlag { span, .. }
            | Self::RepeatedFlag { span, .. }
            | Self::FlagWithoutValue { span, .. }
            | Self::FlagNotBoolean { span, .. }
            | Self::BadFlagValue { span, .. }
            | Self::Arguments { span, .. }
            | Self::BadStageName { span, .. }
            | Self::BadTrigger { span, .. }
            | Self::EmptyVolume { span }
            | Self::BadHealthcheck { span, .. }
            | Self::BadList { span, .. }
            | Self::BadDevice { span, .. } => *span,
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most messages say it all; new ones need no help text")]
    fn help(&self) -> Option<String> {
        let help = match self {
            Self::UnterminatedHeredoc { name, .. } => {
                return Some(format!("end it with a line that holds only `{name}`"));
            }
            Self::NoInstructions => "begin with FROM and the base image",
            Self::NoValue { .. } | Self::NoEquals { .. } => "write name=value, and quote a value that has blanks",
            Self::ShellNotJson { .. } => "for instance SHELL [\"/bin/bash\", \"-c\"]",
            Self::BadStageName { .. } => "a name starts with a letter and has only letters, digits, `-`, `_` and `.`",
            Self::UnknownFlag { instruction: Keyword::Cmd | Keyword::Entrypoint | Keyword::Run, .. } => {
                "if it belongs to the command, put the command in front of it or write `--` first"
            }
            _ => return None,
        };
        Some(help.to_owned())
    }
}

fn did_you_mean(suggestion: Option<&str>, prefix: &str) -> String {
    suggestion.map_or_else(String::new, |name| format!(", did you mean {prefix}{name}?"))
}
