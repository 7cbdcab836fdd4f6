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

    /// The files of a build that Maven knows (`listArchives` of type maven).
    ///
    /// # Errors
    /// [`HubError`].
    fn maven_archives(&self, build: u64) -> Result<Vec<MavenArchive>, HubError> {
        let text = format!("this hub is not asked for the archives of build {build}");
        Err(HubError::Remote { call: "listArchives", text })
    }

    /// Where the files of builds are served (`koji.root_url`), without a slash at its end; none where nobody says.
    fn root_url(&self) -> Option<&str> {
        None
    }
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

/// A file of a build that Maven knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MavenArchive {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub filename: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its checksum in hex.
    pub checksum: String,
    /// The number of the hash function (koji, `CHECKSUM_TYPES`): 0 is MD5, 1 is SHA-1, 2 is SHA-256.
    pub checksum_type: u64,
    /// `group_id`, with dots.
    pub group_id: String,
    /// `artifact_id`.
    pub artifact_id: String,
    /// `version`.
    pub version: String,
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
