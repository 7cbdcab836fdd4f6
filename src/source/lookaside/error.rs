//! Why a file did not come from a lookaside cache.

use std::io;
use std::path::PathBuf;

use http::HttpError;

use super::{Algorithm, TemplateError};
use crate::Class;

/// Why files are missing. URLs are shown without a query.
#[derive(Debug, thiserror::Error)]
pub enum LookasideError {
    /// The address of the cache does not fit the package.
    #[error("{name}: no address in the lookaside cache")]
    Address {
        /// The file.
        name: String,
        /// Why not.
        #[source]
        source: TemplateError,
    },
    /// The site wants a checksum nobody can forge.
    #[error("{name}: line {line} of sources declares it by {algorithm} only, which this site does not accept")]
    Weak {
        /// The file.
        name: String,
        /// The line of the `sources` file.
        line: usize,
        /// The hash function.
        algorithm: Algorithm,
    },
    /// There was no answer, or it broke off.
    #[error("{name}: cannot download it")]
    Http {
        /// The file.
        name: String,
        /// Why not.
        #[source]
        source: HttpError,
    },
    /// The cache does not have the file, or does not give it out.
    #[error("{name}: {url} answered {status}")]
    Status {
        /// The file.
        name: String,
        /// The address.
        url: String,
        /// The status.
        status: u16,
    },
    /// One file, or all together, are more than allowed.
    #[error("{name}: {url} is larger than the {limit} bytes still allowed")]
    TooLarge {
        /// The file.
        name: String,
        /// The address.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The bytes are not the declared ones.
    #[error("{name}: {from} has {algorithm} {found}, but sources declares {expected}")]
    Checksum {
        /// The file.
        name: String,
        /// The address, or the path of the file that was there before.
        from: String,
        /// The hash function.
        algorithm: Algorithm,
        /// The declared checksum.
        expected: String,
        /// That of the bytes.
        found: String,
    },
    /// Something of that name is there and is not a file.
    #[error("{path}: it is in the way of a file of that name in sources")]
    InTheWay {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("{path}: cannot {action}")]
    Io {
        /// The path.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("{name}: cancelled before it was there")]
    Cancelled {
        /// The file.
        name: String,
    },
}

impl LookasideError {
    /// Whose turn it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Status { status: 404 | 410, .. } | Self::Address { .. } | Self::InTheWay { .. } => Class::Source,
            Self::Status { .. } | Self::Http { .. } => Class::Service,
            Self::Weak { .. } | Self::Checksum { .. } | Self::TooLarge { .. } => Class::Refused,
            Self::Io { .. } => Class::Environment,
            Self::Cancelled { .. } => Class::Cancelled,
        }
    }
}
