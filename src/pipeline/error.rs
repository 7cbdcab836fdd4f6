//! What a plugin says when it cannot do its work.

use dockerfile::Span;

/// Whose turn it is when something failed; the exit code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A mistake of this program.
    Bug,
    /// Arguments or configuration.
    Configuration,
    /// The source: Dockerfile, context, base.
    Source,
    /// A step failed.
    Step,
    /// A check or policy said no.
    Refused,
    /// This environment cannot do it.
    Environment,
    /// A service failed or denied us.
    Remote,
    /// Told to stop.
    Cancelled,
}

impl From<build::Class> for Class {
    fn from(class: build::Class) -> Self {
        match class {
            build::Class::Bug => Self::Bug,
            build::Class::Configuration => Self::Configuration,
            build::Class::Source => Self::Source,
            build::Class::Step => Self::Step,
            build::Class::Refused => Self::Refused,
            build::Class::Environment => Self::Environment,
            build::Class::Remote => Self::Remote,
            build::Class::Cancelled => Self::Cancelled,
        }
    }
}

/// Why a plugin failed, in words for whoever reads the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PluginError {
    /// Whose turn it is.
    pub class: Class,
    /// What was tried, on what, and why it failed: lower case, no full stop.
    pub text: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The place in the Dockerfile, if it has one there.
    pub span: Option<Span>,
}

impl PluginError {
    /// A failure in words.
    #[must_use]
    pub fn new(class: Class, text: impl Into<String>) -> Self {
        Self { class, text: text.into(), help: None, span: None }
    }

    /// A failure from an error and its causes, each said once.
    #[must_use]
    pub fn of(class: Class, error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause {
            let more = deeper.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = deeper.source();
        }
        Self::new(class, text)
    }

    /// With what to do about it.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// With its place in the Dockerfile.
    #[must_use]
    pub fn at(self, span: Span) -> Self {
        Self { span: Some(span), ..self }
    }
}

impl From<build::BuildError> for PluginError {
    fn from(error: build::BuildError) -> Self {
        let class = error.class().into();
        let span = error.diagnostic().map(|diagnostic| diagnostic.span);
        Self { span, ..Self::of(class, &error) }
    }
}

impl From<transport::TransportError> for PluginError {
    fn from(error: transport::TransportError) -> Self {
        let class = match error.kind() {
            transport::Kind::Image => Class::Source,
            transport::Kind::Configuration => Class::Configuration,
            transport::Kind::Environment => Class::Environment,
            transport::Kind::Remote => Class::Remote,
        };
        Self::of(class, &error)
    }
}
