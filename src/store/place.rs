//! Finding a place for the store: the first candidate that exists or can be made, is writable and can carry
//! an overlay's upper directory.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use rustix::fs::{FsWord, statfs};

/// A place that may do, and where the suggestion comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The directory the store would be in.
    pub path: PathBuf,
    /// Who suggests it, such as `--store` or `TMPDIR`.
    pub origin: &'static str,
    /// Whether it was asked for by name, so that nothing else may be taken instead.
    pub is_demanded: bool,
}

/// A candidate passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The candidate.
    pub candidate: Candidate,
    /// Why it does not do.
    pub why: String,
}

impl Display for Skipped {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}): {}", self.candidate.path.display(), self.candidate.origin, self.why)
    }
}

/// No candidate does.
#[derive(Debug, thiserror::Error)]
#[error("no place for the store: {}; mount an emptyDir volume, or name a writable directory with --store", list(.skipped))]
pub struct NoPlace {
    /// All candidates with their faults.
    pub skipped: Vec<Skipped>,
}

fn list(skipped: &[Skipped]) -> String {
    skipped.iter().map(Skipped::to_string).collect::<Vec<_>>().join("; ")
}

/// `OVERLAYFS_SUPER_MAGIC` (linux/magic.h).
const OVERLAY: FsWord = 0x794c_7630;
/// `NFS_SUPER_MAGIC`: no whiteouts, no user extended attributes.
const NFS: FsWord = 0x6969;

/// The first candidate that does, and those passed over before it.
///
/// # Errors
/// [`NoPlace`]; a demanded candidate that does not do ends the search.
pub fn choose(candidates: &[Candidate]) -> Result<(Candidate, Vec<Skipped>), NoPlace> {
    let mut skipped = Vec::new();
    for candidate in candidates {
        match fault(&candidate.path) {
            None => return Ok((candidate.clone(), skipped)),
            Some(why) => skipped.push(Skipped { candidate: candidate.clone(), why }),
        }
        if candidate.is_demanded {
            break;
        }
    }
    Err(NoPlace { skipped })
}

fn fault(path: &Path) -> Option<String> {
    if let Err(error) = std::fs::create_dir_all(path) {
        return Some(format!("cannot be made: {error}"));
    }
    match statfs(path) {
        Ok(found) if found.f_type == OVERLAY => {
            return Some("lies on an overlay, which cannot carry another one's upper directory".to_owned());
        }
        Ok(found) if found.f_type == NFS => {
            return Some("lies on NFS, which cannot carry an overlay's upper directory".to_owned());
        }
        Ok(_) => {}
        Err(error) => return Some(format!("cannot be examined: {error}")),
    }
    let is_writable = rustix::fs::access(path, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK);
    // A store made by a build in a root pod belongs to the id that was root there: whoever could make it its
    // own then can again, which only trying shows.
    is_writable.err().filter(|_| !rustix::process::geteuid().is_root()).map(|error| format!("not writable: {error}"))
}
