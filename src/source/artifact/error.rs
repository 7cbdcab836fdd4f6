//! Why an artifact is not there.

use std::io;

use crate::Class;
use crate::download::DownloadError;
use crate::lookaside::Algorithm;

/// Why an artifact is not there. URLs are shown without user, password and query.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It did not come.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// The bytes are others.
    #[error("{path}: {url} has {algorithm} {found}, but {expected} was asked for")]
    Checksum {
        /// Where it should go.
        path: String,
        /// The address.
        url: String,
        /// The hash function.
        algorithm: Algorithm,
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// Something is there already.
    #[error("{path}: in the repository there is already {what}")]
    InTheWay {
        /// Where it should go.
        path: String,
        /// What is there.
        what: String,
    },
    /// The kernel refused.
    #[error("{path}: cannot {action} it")]
    Io {
        /// Where it should go.
        path: String,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl ArtifactError {
    /// Whose turn it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Download(error) => error.class(),
            Self::Checksum { .. } => Class::Refused,
            Self::InTheWay { .. } => Class::Source,
            Self::Io { .. } => Class::Environment,
        }
    }
}
