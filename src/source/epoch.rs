//! The time that stands for "now" in an image made from a context, so that the clock does not.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::git::QUIET;
use crate::{Kind, Tree, TreeError};

/// The time of a context, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContextTime {
    /// The commit's, of a git work tree without changes: all its files count as that old.
    Commit(u64),
    /// The newest file's.
    Newest(u64),
}

impl ContextTime {
    /// Seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            Self::Commit(seconds) | Self::Newest(seconds) => seconds,
        }
    }
}

/// The time of the context in `directory`, whose files are `tree`: its commit's if it is a clean git work tree, else
/// the newest modification time of a file that is not ignored, 0 where there is no file.
///
/// # Errors
/// [`TreeError`] for a tree that cannot be listed.
pub fn context_time(directory: &Path, tree: &Tree) -> Result<ContextTime, TreeError> {
    if directory.join(".git").exists()
        && let Some(seconds) = clean_commit_time(directory)
    {
        return Ok(ContextTime::Commit(seconds));
    }
    newest_time(tree)
}

/// The newest modification time of a file in `tree` that is not ignored, 0 where there is no file. It asks nothing
/// but the files, whoever they are of.
///
/// # Errors
/// [`TreeError`] for a tree that cannot be listed.
pub fn newest_time(tree: &Tree) -> Result<ContextTime, TreeError> {
    let files = tree.walk(Path::new(""))?.into_iter().filter(|entry| entry.kind != Kind::Directory);
    let newest = files.map(|entry| entry.mtime.0).max().unwrap_or(0);
    Ok(ContextTime::Newest(u64::try_from(newest).unwrap_or(0)))
}

/// `None` where git is not installed, there is no commit, or anything differs from it.
fn clean_commit_time(directory: &Path) -> Option<u64> {
    let status = git(directory, &["status", "--porcelain", "--untracked-files=normal"])?;
    if !status.is_empty() {
        return None;
    }
    git(directory, &["log", "-1", "--format=%ct"])?.trim().parse().ok()
}

fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    // What a repository's own configuration would start is not started.
    let quiet = QUIET.iter().flat_map(|(key, value)| ["-c".to_owned(), format!("{key}={value}")]);
    let output = Command::new("git")
        .args(quiet)
        .arg("-C")
        .arg(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok()).flatten()
}
