//! Why the API did not do what was asked.

use std::path::PathBuf;

use http::HttpError;

use crate::build_object::BuildObjectError;

/// Why the API did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClusterError {
    /// A URL is not one of an API.
    #[error("{url}: not the URL of an API server: {why}")]
    BadUrl {
        /// The URL, without credentials.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// A name is not one that objects have.
    #[error("{what} {name:?}: not a name of an object: letters, digits, `-`, `.` and `_` only, 253 at most")]
    BadName {
        /// What it is to name.
        what: &'static str,
        /// The name, shortened.
        name: String,
    },
    /// The token cannot be read.
    #[error("{path}: cannot read the service account's token: {why}")]
    Token {
        /// Its file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The API does not know us.
    #[error("{url}: the API server does not accept the token ({said})")]
    Unauthorized {
        /// Where.
        url: String,
        /// What it said.
        said: String,
    },
    /// The API knows us and does not allow it.
    #[error("{url}: the service account may not {denied}: {said}")]
    Forbidden {
        /// Where.
        url: String,
        /// What is not allowed.
        denied: Denied,
        /// What it said.
        said: String,
    },
    /// There is no such object.
    #[error("{url}: there is no such object: {said}")]
    NotFound {
        /// Where.
        url: String,
        /// What it said.
        said: String,
    },
    /// Others change the object all the time, or it exists already.
    #[error("{url}: conflict: {said}")]
    Conflict {
        /// Where.
        url: String,
        /// What it said.
        said: String,
    },
    /// It answered with another failure.
    #[error("{url}: the API server answered {status}: {said}")]
    Status {
        /// Where.
        url: String,
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// Its answer is not what it must be.
    #[error("{url}: the API server's answer is of no use: {why}")]
    Answer {
        /// Where.
        url: String,
        /// Why.
        why: String,
    },
    /// A Build it sent is none.
    #[error("{url}")]
    Build {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: BuildObjectError,
    },
    /// There was no answer.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// What a service account would have to be allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// As rules have it: `get`, `patch`, `create`.
    pub verb: &'static str,
    /// The group of the API.
    pub group: &'static str,
    /// As rules have it: `builds`.
    pub resource: &'static str,
    /// Where.
    pub namespace: String,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { verb, group, resource, namespace } = self;
        write!(formatter, "{verb} {resource}.{group} in namespace {namespace}")
    }
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Who configured it.
    Configuration,
    /// Who runs the cluster, or time.
    Service,
    /// Nobody: everything is to stop.
    Cancelled,
}

impl ClusterError {
    /// Whose turn it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::BadUrl { .. } | Self::BadName { .. } | Self::Token { .. } => Kind::Configuration,
            Self::Http(HttpError::Cancelled { .. }) => Kind::Cancelled,
            Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::Status { .. }
            | Self::Answer { .. }
            | Self::Build { .. }
            | Self::Http(_) => Kind::Service,
        }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Forbidden { denied, .. } => {
                let Denied { verb, group, resource, namespace } = denied;
                Some(format!(
                    "add the rule {{apiGroups: [{group}], resources: [{resource}], verbs: [{verb}]}} to a Role in \
                     namespace {namespace}, and bind it to the service account of the build's pod"
                ))
            }
            Self::Unauthorized { .. } => {
                Some("the token may have expired, or be one of another cluster; see `openshift.url`".to_owned())
            }
            Self::Token { .. } => Some(
                "a pod has it below /var/run/secrets/kubernetes.io/serviceaccount unless \
                 automountServiceAccountToken is false; `openshift.auth.enable: false` does without"
                    .to_owned(),
            ),
            Self::Http(HttpError::Certificate { .. }) => {
                Some("the service account's ca.crt and `builder_ca_bundle` are trusted".to_owned())
            }
            Self::BadUrl { .. }
            | Self::BadName { .. }
            | Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::Status { .. }
            | Self::Answer { .. }
            | Self::Build { .. }
            | Self::Http(_) => None,
        }
    }
}
