//! What a caller of the gateway can be told. What a step is told is a refusal (`exchange`), not an error.

use std::io;

use http::HttpError;

/// Why the gateway could not do something for the builder.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// A repository file cannot be led through the gateway.
    #[error("{file}:{line}: {problem}")]
    File {
        /// The file, as the caller named it.
        file: String,
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        problem: Problem,
    },
    /// A site's repository file is not one.
    #[error(transparent)]
    Malformed(#[from] rpm::repofile::RepoFileError),
    /// Certificates or proxies cannot be used.
    #[error("cannot set up the way out of steps")]
    Http {
        /// Why.
        #[source]
        source: HttpError,
    },
    /// Two servers would have the same id in rewritten URLs, which only happens on purpose.
    #[error("repository [{repository}]: the id of its server is already another server's; refusing its file")]
    Clash {
        /// The section.
        repository: String,
    },
    /// A step cannot be served.
    #[error("{step}: cannot serve the step's network")]
    Serve {
        /// The step, as the caller named it.
        step: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// What can be wrong with a URL or a key in a repository file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A variable where scheme, host or port is.
    #[error(
        "repository [{repository}]: {url} has a variable in its scheme or host, which the gateway must know; write them out"
    )]
    VariableInHost {
        /// The section.
        repository: String,
        /// The URL without credentials and query.
        url: String,
    },
    /// A variable in a base URL's query.
    #[error("repository [{repository}]: {url} has a variable in its query, which the gateway keeps to itself")]
    VariableInQuery {
        /// The section.
        repository: String,
        /// The URL without credentials and query.
        url: String,
    },
    /// A scheme the gateway does not speak.
    #[error("repository [{repository}]: {url} is neither an http nor an https nor a file URL")]
    Scheme {
        /// The section.
        repository: String,
        /// The URL without credentials and query.
        url: String,
    },
    /// A text that is no URL, or one with dot segments or characters a request cannot carry.
    #[error("repository [{repository}]: {url} is not a URL the gateway can serve: {why}")]
    BadUrl {
        /// The section.
        repository: String,
        /// The URL without credentials and query.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A host that a repository of an image may not name.
    #[error(
        "repository [{repository}]: {host} may not be reached for a repository of an image; the site's network.allow can name it"
    )]
    Host {
        /// The section.
        repository: String,
        /// The host.
        host: String,
    },
    /// A switch that is neither on nor off.
    #[error("repository [{repository}]: sslverify is {value:?}; it must be 1 or 0")]
    Switch {
        /// The section.
        repository: String,
        /// Its value.
        value: String,
    },
    /// Larger than a repository file may be.
    #[error("repository file is larger than {} bytes", rpm::repofile::MAX_BYTES)]
    TooLarge,
}
