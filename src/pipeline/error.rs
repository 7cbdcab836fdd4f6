//! What a plugin says when it cannot do its work.

pub use build::Class;
use dockerfile::Span;

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
        Self::new(class, http::with_causes(error))
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
        let class = error.class();
        let span = error.diagnostic().map(|diagnostic| diagnostic.span);
        Self { span, ..Self::of(class, &error) }
    }
}

impl From<transport::TransportError> for PluginError {
    fn from(error: transport::TransportError) -> Self {
        Self::of(error.kind().into(), &error)
    }
}
