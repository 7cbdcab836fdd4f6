//! What registries refuse, get wrong, or fail at.

use std::io;
use std::time::Duration;

use http::{HttpError, StatusCode};
use oci::{Digest, ManifestError};

use crate::{Blocked, CertificatesError, CredentialsError};

/// Why a registry operation failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no such image.
    #[error("{image}: there is no such image in the registry, or it is private: check the name, or log in")]
    NotFound {
        /// The image.
        image: String,
    },
    /// The image's manifest names a blob that the registry does not have.
    #[error("{image}: the registry has no blob {digest}; the image is damaged there")]
    BlobNotFound {
        /// The image.
        image: String,
        /// The blob.
        digest: Digest,
    },
    /// The registry or its token server did not accept who we are.
    #[error("{image}: {}", if *had_credentials {
        "the registry refused the credentials: check user and password, and that they may do this"
    } else {
        "the registry wants credentials and there are none for it: log in, or check that the image exists"
    })]
    Unauthorized {
        /// The image.
        image: String,
        /// Whether credentials were sent.
        had_credentials: bool,
    },
    /// The registry knows us and says no.
    #[error("{image}: the registry denied access: {message}")]
    Denied {
        /// The image.
        image: String,
        /// What it said.
        message: String,
    },
    /// The credentials for the registry cannot be used.
    #[error("{image}: cannot log in")]
    Credentials {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: CredentialsError,
    },
    /// The bytes are not those that the digest stands for.
    #[error("{image}: the registry sent other content than {expected}: its digest is {got}")]
    DigestMismatch {
        /// The image.
        image: String,
        /// What was asked for or promised.
        expected: Digest,
        /// What the bytes give.
        got: Digest,
    },
    /// A blob is shorter or longer than its descriptor says.
    #[error("{image}: the blob {blob} has {got} bytes or more where its descriptor says {expected}")]
    SizeMismatch {
        /// The image.
        image: String,
        /// The blob.
        blob: Digest,
        /// Bytes according to the descriptor.
        expected: u64,
        /// Bytes received or announced.
        got: u64,
    },
    /// What the registry has under the name is no image.
    #[error("{image}: what the registry sent is not an image manifest")]
    NotAManifest {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: Box<ManifestError>,
    },
    /// An answer or blob is larger than it may be.
    #[error("{image}: {what} is larger than the {limit} bytes allowed")]
    TooLarge {
        /// The image.
        image: String,
        /// What is too large.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// No answer.
    #[error("{image}: cannot talk to the registry")]
    Unreachable {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// The registry answered with an error.
    #[error("{image}: the registry answered {status} to {request}{}", told(message))]
    Server {
        /// The image.
        image: String,
        /// The method and path.
        request: String,
        /// The status.
        status: StatusCode,
        /// The first error code of the answer, such as `TOOMANYREQUESTS`, if there is one.
        code: Option<String>,
        /// Code and text of the answer, short and without control characters.
        message: Option<String>,
    },
    /// The registry has too much to do, and said when to come back.
    #[error("{image}: the registry answered {status} and asks to come back in {} s{}", again_in.as_secs(), told(message))]
    Busy {
        /// The image.
        image: String,
        /// The status: 429 or 503.
        status: StatusCode,
        /// How long it asks to be left alone; short waits were tried.
        again_in: Duration,
        /// Code and text of the answer, short and without control characters.
        message: Option<String>,
    },
    /// An upload broke off and cannot be continued.
    #[error("{image}: the upload broke off after {sent} bytes and the registry cannot go on with it; push again")]
    UploadLost {
        /// The image.
        image: String,
        /// Bytes that were sent.
        sent: u64,
    },
    /// What is to be pushed cannot be read.
    #[error("{image}: the blob {blob} to be pushed cannot be read")]
    Unreadable {
        /// The image.
        image: String,
        /// The blob.
        blob: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The configuration forbids the image's registry.
    #[error("{image}: its registry may not be used")]
    Blocked {
        /// The image.
        image: String,
        /// By what.
        #[source]
        source: Blocked,
    },
    /// The certificates for the registry cannot be read.
    #[error("{image}: cannot connect as configured")]
    Certificates {
        /// The image.
        image: String,
        /// Why.
        #[source]
        source: CertificatesError,
    },
    /// No place that has the image according to the configuration could give it.
    #[error("{image}: none of its places could give it: {}", shown(tried))]
    NoPlace {
        /// The image, as it was asked for.
        image: String,
        /// What went wrong at each place, in the order in which they were tried; the last is the image's own.
        tried: Vec<Self>,
    },
    /// An artifact to be attached says of no image that it belongs to it.
    #[error("{image}: {why}")]
    NotAnArtifact {
        /// The image.
        image: String,
        /// What is wrong with the artifact.
        why: &'static str,
    },
    /// Everything is to stop.
    #[error("{image}: cancelled")]
    Cancelled {
        /// The image.
        image: String,
    },
    /// The registry does not take a body of unknown length; the next upload to it is sent in pieces of known length.
    #[error(
        "{image}: the registry refused a chunked upload with status {status}; repeat it, in sized pieces this time"
    )]
    StreamRefused {
        /// The image.
        image: String,
        /// The status.
        status: StatusCode,
    },
    /// The answer breaks the protocol.
    #[error("{image}: the registry's answer to {request} is not usable: {why}")]
    BadAnswer {
        /// The image.
        image: String,
        /// The method and path.
        request: String,
        /// What is wrong.
        why: &'static str,
    },
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The user's source: it names an image that does not exist (exit code 3).
    NoSuchImage,
    /// A service failed or denied us; a retry or credentials may help (exit code 7).
    Service,
    /// The configuration given to this program (exit code 2).
    Configuration,
}

impl RegistryError {
    /// Whose turn it is, from which the exit code follows.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } => Kind::NoSuchImage,
            Self::Credentials { .. } | Self::Blocked { .. } | Self::Certificates { .. } => Kind::Configuration,
            Self::NoPlace { tried, .. } => tried.last().map_or(Kind::Service, Self::kind),
            Self::BlobNotFound { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::NotAManifest { .. }
            | Self::TooLarge { .. }
            | Self::Unreachable { .. }
            | Self::Server { .. }
            | Self::Busy { .. }
            | Self::UploadLost { .. }
            | Self::Unreadable { .. }
            | Self::NotAnArtifact { .. }
            | Self::Cancelled { .. }
            | Self::StreamRefused { .. }
            | Self::BadAnswer { .. } => Kind::Service,
        }
    }

    /// Whether an upload that failed with this may succeed when the caller sends the same bytes again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::StreamRefused { .. } | Self::UploadLost { .. } => true,
            Self::NoPlace { tried, .. } => tried.iter().any(Self::is_transient),
            Self::Unreachable { source, .. } => source.is_transient(),
            Self::Server { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::NotFound { .. }
            | Self::BlobNotFound { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::Credentials { .. }
            | Self::DigestMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::NotAManifest { .. }
            | Self::TooLarge { .. }
            // It was waited for already, or would take longer than anybody wants to wait.
            | Self::Busy { .. }
            | Self::Unreadable { .. }
            | Self::Blocked { .. }
            | Self::Certificates { .. }
            | Self::NotAnArtifact { .. }
            | Self::Cancelled { .. }
            | Self::BadAnswer { .. } => false,
        }
    }

    /// As an I/O error, from which [`std::io::Error::downcast`] gives this error back.
    #[must_use]
    pub fn into_io(self) -> std::io::Error {
        std::io::Error::other(self)
    }

    /// The registry error inside an I/O error that a reader or writer of this crate gave.
    ///
    /// # Errors
    /// The I/O error, where it is another one's.
    pub fn from_io(error: std::io::Error) -> Result<Self, std::io::Error> {
        error.downcast()
    }
}

/// What an answer said, behind our own words.
fn told(message: &Option<String>) -> String {
    message.as_deref().map(|text| format!(": {text}")).unwrap_or_default()
}

/// Errors with their causes, on one line.
fn shown(errors: &[RegistryError]) -> String {
    errors.iter().map(|error| http::with_causes(error)).collect::<Vec<_>>().join("; ")
}
