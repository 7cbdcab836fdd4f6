//! A failure as its user sees it, and the exit code it has.

use std::error::Error;

use build::{BuildError, Class};
use dockerfile::Diagnostic;
use pipeline::PluginError;
use source::git::GitError;
use transport::TransportError;

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

impl Status {
    /// What it means, in a few words.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Bug => "a bug of this program",
            Self::Usage => "usage or configuration",
            Self::Source => "the source is wrong",
            Self::Step => "a RUN step failed",
            Self::Refused => "a check refused the image; nothing was published",
            Self::Environment => "this environment cannot do it",
            Self::Remote => "a remote service failed or denied access",
            Self::Cancelled => "cancelled or out of time",
        }
    }
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
        Self::new(status, http::with_causes(error))
    }

    /// Whose turn it is, as plugins say it.
    pub(crate) fn class(&self) -> Class {
        match self.status {
            Status::Done | Status::Bug => Class::Bug,
            Status::Usage => Class::Configuration,
            Status::Source => Class::Source,
            Status::Step => Class::Step,
            Status::Refused => Class::Refused,
            Status::Environment => Class::Environment,
            Status::Remote => Class::Remote,
            Status::Cancelled => Class::Cancelled,
        }
    }

    /// The same once everything was told to stop: it failed of that. What only noticed it has no more to say.
    pub(crate) fn of_stopping(self) -> Self {
        if self.status == Status::Cancelled {
            return self;
        }
        let has_noticed = self.text == "cancelled" || self.text.ends_with(": cancelled");
        let what = self.text.trim_start_matches("error: ");
        let text = if has_noticed { "cancelled".to_owned() } else { format!("cancelled: {what}") };
        Self::new(Status::Cancelled, text)
    }

    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

pub(crate) fn of_class(class: Class) -> Status {
    match class {
        Class::Bug => Status::Bug,
        Class::Configuration => Status::Usage,
        Class::Source => Status::Source,
        Class::Step => Status::Step,
        Class::Refused => Status::Refused,
        Class::Environment => Status::Environment,
        Class::Remote => Status::Remote,
        Class::Cancelled => Status::Cancelled,
    }
}

pub(crate) fn of_transport(error: &TransportError) -> Failure {
    Failure::of(of_class(error.kind().into()), error)
}

/// A plugin that failed, drawn into the Dockerfile (its path and text) where it has a place there.
pub(crate) fn of_plugin(error: &PluginError, dockerfile: Option<(&str, &str)>) -> Failure {
    let status = of_class(error.class);
    if let (Some(span), Some((path, text))) = (error.span, dockerfile) {
        let diagnostic = Diagnostic { message: error.text.clone(), span, help: error.help.clone() };
        return crate::diagnostic::failure(status, &diagnostic, path, text);
    }
    Failure { help: error.help.clone(), ..Failure::new(status, error.text.clone()) }
}

/// A source that could not be had.
pub(crate) fn of_git(error: &GitError) -> Failure {
    Failure::of(of_class(error.class().into()), error)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_because_it_is_to_stop_says_no_more_than_that() {
        let text = |status, text: &str| Failure::new(status, text).of_stopping().text;
        assert_eq!(text(Status::Environment, "docker://r/a:1: cannot be written: cancelled"), "cancelled");
        assert_eq!(text(Status::Remote, "r: no answer"), "cancelled: r: no answer");
        assert_eq!(text(Status::Source, "error: no such file"), "cancelled: no such file");
        assert_eq!(text(Status::Cancelled, "git: out of time"), "git: out of time");
    }
}
