//! What a content generator asks of a Koji hub.
//!
//! Comes in: names. Goes out: what the hub knows of builds, targets, tags and repositories, or a [`HubError`]. Whoever
//! asks sees one trait, [`Hub`], and knows neither wire nor session.

pub mod client;
pub mod component;
mod nvr;
pub mod odcs;
pub mod wire;

use std::fmt::Debug;

pub use nvr::{Nvr, NvrError};

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

    /// The build of a number, if there is one (`getBuild`).
    ///
    /// # Errors
    /// [`HubError`].
    fn build_by_id(&self, id: u64) -> Result<Option<BuildInfo>, HubError> {
        Err(HubError::missing("getBuild", &id.to_string()))
    }

    /// The archives of a build (`listArchives`).
    ///
    /// # Errors
    /// [`HubError`].
    fn archives(&self, build: u64) -> Result<Vec<Archive>, HubError> {
        Err(HubError::missing("listArchives", &build.to_string()))
    }

    /// The number of the newest build whose N-V-R fits a regular expression, if one does (`search`).
    ///
    /// # Errors
    /// [`HubError`].
    fn newest_build(&self, regexp: &str) -> Result<Option<u64>, HubError> {
        Err(HubError::missing("search", regexp))
    }

    /// Reserves an N-V-R for a content generator (`CGInitBuild`).
    ///
    /// # Errors
    /// [`HubError`]; a fault where it is taken.
    fn reserve(&self, generator: &str, nvr: &Nvr) -> Result<Reservation, HubError> {
        Err(HubError::missing("CGInitBuild", &format!("{generator} {nvr}")))
    }

    /// Gives a reservation back, while its build is still building (`CGRefundBuild`).
    ///
    /// # Errors
    /// [`HubError`].
    fn refund(&self, generator: &str, reservation: &Reservation, because: Refund) -> Result<(), HubError> {
        Err(HubError::missing("CGRefundBuild", &format!("{generator} {} {because:?}", reservation.build_id)))
    }

    /// A task, if there is one (`getTaskInfo`).
    ///
    /// # Errors
    /// [`HubError`].
    fn task(&self, id: u64) -> Result<Option<TaskInfo>, HubError> {
        Err(HubError::missing("getTaskInfo", &id.to_string()))
    }

    /// The names of the files a task has left (`listTaskOutput`).
    ///
    /// # Errors
    /// [`HubError`].
    fn task_output(&self, id: u64) -> Result<Vec<String>, HubError> {
        Err(HubError::missing("listTaskOutput", &id.to_string()))
    }

    /// The tasks that a task has started (`getTaskChildren`).
    ///
    /// # Errors
    /// [`HubError`].
    fn task_children(&self, id: u64) -> Result<Vec<u64>, HubError> {
        Err(HubError::missing("getTaskChildren", &id.to_string()))
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
    /// A call that needs a login, and there is none.
    #[error("{call} needs a login at the hub: {text}")]
    NoLogin {
        /// What was to be called.
        call: &'static str,
        /// Why there is none.
        text: String,
    },
}

/// The fault of a build that is not as the hub needs it, such as a release it cannot count (koji, `BuildError`).
pub const BUILD_FAULT: i64 = 1005;

impl HubError {
    fn missing(call: &'static str, subject: &str) -> Self {
        Self::Remote { call, text: format!("this hub is not asked that ({subject})") }
    }

    /// The code of a fault.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        match self {
            Self::Fault { code, .. } => Some(*code),
            Self::Remote { .. } | Self::NoLogin { .. } => None,
        }
    }
}

/// A file of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    /// Its number.
    pub id: u64,
    /// The kind of output it is, such as `image`.
    pub kind: String,
    /// `extra`, as JSON text; none where the hub has none.
    pub extra: Option<String>,
}

/// An N-V-R that is kept for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The number of the build.
    pub build_id: u64,
    /// What proves that it is ours.
    pub token: http::Secret,
}

/// Why a reservation is given back: what becomes of its build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refund {
    /// The build failed.
    Failed,
    /// The build was stopped.
    Canceled,
}

/// A task as the hub knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskInfo {
    /// Its number.
    pub id: u64,
    /// What it does, such as `image` or `buildContainer`.
    pub method: String,
    /// Where it stands.
    pub state: TaskState,
}

/// Where a task stands (koji, `TASK_STATES`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Nobody has taken it.
    Free,
    /// It is going on.
    Open,
    /// Done.
    Closed,
    /// Stopped.
    Canceled,
    /// Given to somebody.
    Assigned,
    /// Failed.
    Failed,
}
