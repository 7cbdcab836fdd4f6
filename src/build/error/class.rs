//! Whose turn it is after a failure, which decides the exit code.

use store::StoreError;

use super::UnpackError;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Ours: a bug.
    Bug,
    /// Whoever configured this program.
    Configuration,
    /// The author's of the Dockerfile, the context or the base image.
    Source,
    /// A RUN step failed.
    Step,
    /// A policy says no.
    Refused,
    /// Whoever gives us a place to run.
    Environment,
    /// A remote service's, or that of whoever has credentials for it.
    Remote,
    /// Nobody's: the build was told to stop.
    Cancelled,
}

impl From<transport::Kind> for Class {
    fn from(kind: transport::Kind) -> Self {
        match kind {
            transport::Kind::Image => Self::Source,
            transport::Kind::Configuration => Self::Configuration,
            transport::Kind::Environment => Self::Environment,
            transport::Kind::Remote => Self::Remote,
        }
    }
}

impl From<source::Class> for Class {
    fn from(class: source::Class) -> Self {
        match class {
            source::Class::Source => Self::Source,
            source::Class::Refused => Self::Refused,
            source::Class::Environment => Self::Environment,
            source::Class::Service => Self::Remote,
            source::Class::Cancelled | source::Class::TimedOut => Self::Cancelled,
        }
    }
}

impl UnpackError {
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Transport(error) => error.kind().into(),
            Self::Apply(error) => of_layer(error),
            Self::Store(error) => of_store(error),
            Self::DiffId { .. } | Self::OpaqueRoot => Class::Source,
            Self::Read { .. } => Class::Remote,
            Self::Io { .. } => Class::Environment,
        }
    }
}

pub(super) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

pub(super) fn of_store(_: &StoreError) -> Class {
    Class::Environment
}

/// A layer that cannot be unpacked or written is its maker's fault, unless there is no room.
pub(crate) fn of_layer(error: &(dyn std::error::Error + 'static)) -> Class {
    if is_full_within(error) { Class::Environment } else { Class::Source }
}

pub(super) fn is_full_within(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(is_full) {
            return true;
        }
        cause = error.source();
    }
    false
}

pub(super) fn is_forbidden(error: &source::download::DownloadError) -> bool {
    matches!(error, source::download::DownloadError::Http(http::HttpError::Forbidden { .. }))
}
