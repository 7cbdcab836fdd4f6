//! How a program fails as a plugin, and whose turn it is then.

use std::path::PathBuf;
use std::time::Duration;

use sandbox::{ToolError, ToolExit};

use crate::{Class, PhaseName, PluginError};

/// What a program did wrong, or what was done to it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ExternalError {
    #[error("it had {} s and was killed", .0.as_secs_f64())]
    TimedOut(Duration),
    #[error("it was killed because the build is to stop")]
    Cancelled,
    #[error("it cannot be started")]
    Start(#[source] ToolError),
    #[error("{path}: cannot make a folder for it")]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} before it said done", ended(*.0))]
    Ended(ToolExit),
    #[error("it said done and then {}", ended(*.0).trim_start_matches("it "))]
    EndedBadly(ToolExit),
    #[error("it closed its standard output before it said done")]
    Silent,
    #[error("it said done, but did not end within {} s", .0.as_secs_f64())]
    Lingers(Duration),
    #[error("it wrote something after it had said done: `{0}`")]
    AfterDone(String),
    #[error("it wrote a line longer than 8 MiB, beginning with `{0}`")]
    LongLine(String),
    #[error("it wrote more than {limit} {what}")]
    TooMuch { limit: usize, what: &'static str },
    #[error("it wrote a line that is not UTF-8: `{0}`")]
    NotText(String),
    #[error("it wrote a line that is no message: {why}: `{line}`")]
    NoMessage { line: String, why: String },
    #[error("there is no message {message}")]
    WrongPhase { message: &'static str },
    #[error("{0}")]
    Wrong(String),
}

fn ended(exit: ToolExit) -> String {
    match exit {
        ToolExit::Code(code) => format!("it ended with status {code}"),
        ToolExit::Signal(signal) => format!("it was killed by signal {signal}"),
    }
}

impl ExternalError {
    /// For whoever reads the log: what went wrong in `phase`. `last` are the last lines on its standard error.
    pub(super) fn said(&self, phase: PhaseName, last: &[String]) -> PluginError {
        let (class, help) = self.answered();
        let mut error = PluginError::of(class, self);
        error.text = format!("in phase {}, {}", phase.as_str(), error.text);
        if !last.is_empty() {
            error.text =
                format!("{}\n  its last lines on standard error were:\n  | {}", error.text, last.join("\n  | "));
        }
        PluginError { help: help.map(str::to_owned), ..error }
    }

    /// Whose turn it is, and what to do about it.
    fn answered(&self) -> (Class, Option<&'static str>) {
        match self {
            Self::TimedOut(_) => (
                Class::Cancelled,
                Some("give it more time with `timeout` beside its name, or find out what it waits for"),
            ),
            Self::Cancelled => (Class::Cancelled, None),
            Self::Folder { .. } | Self::Start(ToolError::Start(_)) => (Class::Environment, None),
            // The program is the site's.
            Self::Start(ToolError::Setup { .. }) => (
                Class::Configuration,
                Some(
                    "it must be executable, and so must the interpreter that its first line names; see docs/plugins.md",
                ),
            ),
            Self::Start(_) => (Class::Configuration, None),
            Self::Ended(_)
            | Self::EndedBadly(_)
            | Self::Silent
            | Self::Lingers(_)
            | Self::AfterDone(_)
            | Self::LongLine(_)
            | Self::TooMuch { .. }
            | Self::NotText(_)
            | Self::NoMessage { .. }
            | Self::WrongPhase { .. }
            | Self::Wrong(_) => (
                Class::Configuration,
                Some("the plugin is a program of the site's; docs/plugins.md says what it may write"),
            ),
        }
    }
}
