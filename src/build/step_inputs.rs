//! What somebody hands to RUN steps beside the Dockerfile: secrets, SSH agents, volumes of this machine.
//!
//! Data only, read by who parses the command line. Nothing of it gets into a layer or the record.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rayon::ThreadPool;

/// Bytes of the largest secret (BuildKit's limit).
pub const MAX_SECRET: usize = 500 * 1024;

/// Everything handed to RUN steps.
#[derive(Debug, Default)]
pub struct StepInputs {
    /// `--secret`, by id.
    pub secrets: BTreeMap<String, Secret>,
    /// `--ssh`, by id: the socket of an agent.
    pub agents: BTreeMap<String, PathBuf>,
    /// `--volume`, in order.
    pub volumes: Vec<Volume>,
    /// Files that steps of stages on images see, and no layer has.
    pub files: Vec<StepFile>,
    /// Absolute paths of files of bases that steps do not see, and images keep.
    pub hidden: Vec<PathBuf>,
    /// URLs that ADD fetches whatever steps may reach: the site's own.
    pub reached: BTreeSet<String>,
    /// Threads that may do what the user may, where this one may not.
    pub threads: OnceLock<Arc<ThreadPool>>,
}

impl StepInputs {
    /// Runs `work` as the user, on whose behalf sockets are connected to and files of this machine opened.
    pub(crate) fn as_user<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match self.threads.get() {
            Some(threads) => threads.install(work),
            None => work(),
        }
    }
}

/// A file that every RUN step sees, over whatever the image has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFile {
    /// Its absolute path in the step.
    pub target: PathBuf,
    /// What it holds.
    pub contents: Vec<u8>,
}

/// A secret's bytes. They are shown to the steps that mount them and to nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A secret of these bytes; none where there are more than [`MAX_SECRET`].
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() <= MAX_SECRET).then_some(Self(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

/// A file or directory of this machine that every RUN step sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The absolute path on this machine.
    pub source: PathBuf,
    /// The absolute path in the step.
    pub target: PathBuf,
    /// What becomes of what a step writes.
    pub access: VolumeAccess,
}

/// What becomes of what a step writes to a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeAccess {
    /// It cannot write.
    ReadOnly,
    /// It stays on this machine.
    Writable,
    /// It is thrown away after the step.
    Discarded,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show() {
        let inputs = StepInputs {
            secrets: BTreeMap::from([("id".to_owned(), Secret::new(b"hunter2".to_vec()).unwrap())]),
            ..StepInputs::default()
        };
        let shown = format!("{inputs:?}");
        assert!(shown.contains("***") && !shown.contains("hunter"), "{shown}");
        assert_eq!(Secret::new(vec![0; MAX_SECRET + 1]), None);
    }
}
