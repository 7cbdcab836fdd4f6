//! A failure as its user sees it, and the exit code it has.

use std::error::Error;

use build::{BuildError, Class};
use transport::{Kind, TransportError};

/// Exit codes; `EXIT_CODES` in the help says them in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Done = 0,
    Bug = 1,
    Usage = 2,
    Source = 3,
    Step = 4,
    Refused = 5,
    Environment = 6,
    Remote = 7,
    Cancelled = 8,
}

/// What went wrong, ready to be shown.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: Status,
    /// The text after `error: `, or a whole drawing of the place.
    pub(crate) text: String,
    /// Whether `text` is a drawing and has its own `error: `.
    pub(crate) is_drawn: bool,
    /// What to do about it.
    pub(crate) help: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: Status, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), is_drawn: false, help: None }
    }

    /// A failure from an error and its causes.
    pub(crate) fn of(status: Status, error: &dyn Error) -> Self {
        Self::new(status, chain(error))
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// An error and its causes on one line, each cause once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = deeper.source();
    }
    text
}

pub(crate) fn of_class(class: Class) -> Status {
    match class {
        Class::Bug => Status::Bug,
        Class::Configuration => Status::Usage,
        Class::Source => Status::Source,
        Class::Step => Status::Step,
        Class::Environment => Status::Environment,
        Class::Remote => Status::Remote,
        Class::Cancelled => Status::Cancelled,
    }
}

pub(crate) fn of_transport(error: &TransportError) -> Failure {
    let status = match error.kind() {
        Kind::Image => Status::Source,
        Kind::Configuration => Status::Usage,
        Kind::Environment => Status::Environment,
        Kind::Remote => Status::Remote,
    };
    Failure::of(status, error)
}

/// A failed build, drawn into the Dockerfile where it has a place there.
pub(crate) fn of_build(error: &BuildError, path: &str, text: &str) -> Failure {
    let status = of_class(error.class());
    let mut failure = match error.diagnostic() {
        Some(diagnostic) => crate::diagnostic::failure(status, &diagnostic, path, text),
        None => Failure::of(status, error),
    };
    if let Some(tail) = error.tail().filter(|tail| !tail.is_empty()) {
        let lines: Vec<String> = tail.lines().map(|line| format!("  | {line}")).collect();
        failure.text = format!("{}\nits last lines were:\n{}", failure.text, lines.join("\n"));
    }
    failure
}
