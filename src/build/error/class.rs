//! Whose turn it is after a failure, which decides the exit code.

use store::StoreError;
use transport::TransportError;

use super::UnpackError;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl UnpackError {
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Transport(error) => of_transport(error),
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

pub(super) fn of_transport(error: &TransportError) -> Class {
    match error.kind() {
        transport::Kind::Image => Class::Source,
        transport::Kind::Configuration => Class::Configuration,
        transport::Kind::Environment => Class::Environment,
        transport::Kind::Remote => Class::Remote,
    }
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

pub(super) fn of_source(class: source::Class) -> Class {
    match class {
        source::Class::Source => Class::Source,
        source::Class::Refused => Class::Refused,
        source::Class::Environment => Class::Environment,
        source::Class::Service | source::Class::TimedOut => Class::Remote,
        source::Class::Cancelled => Class::Cancelled,
    }
}
