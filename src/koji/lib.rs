//! What a content generator asks of a Koji hub.
//!
//! Comes in: names. Goes out: what the hub knows of builds, targets, tags and repositories, or a [`HubError`]. Whoever
//! asks sees one trait, [`Hub`], and knows neither wire nor session.

use std::fmt::Debug;

/// Calls of a hub. Each asks once; retries and sessions are the implementation's.
pub trait Hub: Debug + Send + Sync {
    /// The build of an N-V-R, if there is one (`getBuild`).
    ///
    /// # Errors
    /// [`HubError`].
    fn build(&self, nvr: &str) -> Result<Option<BuildInfo>, HubError>;

    /// A target, if there is one (`getBuildTarget`).
    ///
    /// # Errors
    /// [`HubError`].
    fn build_target(&self, name: &str) -> Result<Option<BuildTarget>, HubError>;

    /// The architectures a tag builds for (`getBuildConfig`), such as `x86_64`.
    ///
    /// # Errors
    /// [`HubError`]; a tag that does not exist is a fault.
    fn architectures(&self, tag: &str) -> Result<Vec<String>, HubError>;

    /// The newest repository of a tag that can be used, if there is one (`getRepo`).
    ///
    /// # Errors
    /// [`HubError`].
    fn repository(&self, tag: &str) -> Result<Option<u64>, HubError>;

    /// The release after the newest of a name and version (`getNextRelease`).
    ///
    /// # Errors
    /// [`HubError`]; a fault where the hub cannot count its release.
    fn next_release(&self, name: &str, version: &str) -> Result<String, HubError>;
}

/// A build as the hub knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildInfo {
    /// Its number.
    pub id: u64,
    /// Its name-version-release.
    pub nvr: String,
    /// Where it stands.
    pub state: BuildState,
    /// `extra`, as JSON text; none where the hub has none.
    pub extra: Option<String>,
}

/// Where a build stands (koji, `BUILD_STATES`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BuildState {
    /// Not done.
    #[default]
    Building,
    /// Done.
    Complete,
    /// Removed.
    Deleted,
    /// Failed.
    Failed,
    /// Stopped.
    Canceled,
}

/// A target: where packages come from, and where what is built goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildTarget {
    /// Its name.
    pub name: String,
    /// The tag that is built with.
    pub build_tag: String,
    /// The tag that builds get.
    pub destination_tag: String,
}

/// Why the hub did not answer as hoped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// It answered with a fault.
    #[error("{call}: the hub answered fault {code}: {text}")]
    Fault {
        /// What was called.
        call: &'static str,
        /// Its code.
        code: i64,
        /// Its text, one line.
        text: String,
    },
    /// It did not answer, or with something that is no answer.
    #[error("{call}: {text}")]
    Remote {
        /// What was called.
        call: &'static str,
        /// Why.
        text: String,
    },
}
