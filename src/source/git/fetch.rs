//! Getting one commit with as little else as the server allows.

use std::path::Path;

use super::GitError;
use super::reference::{self, Wanted};
use super::run::{Git, Output, REMOTE};

const FETCH: &str = "fetch";
/// How deep the history is looked through for a commit that cannot be asked for; then comes all of it.
const DEPTHS: [u32; 3] = [1, 64, 1024];
/// All branches and tags, away from the names that they have on the server.
const EVERYTHING: [&str; 2] = ["+refs/heads/*:refs/remotes/stratum-source/*", "+refs/tags/*:refs/tags/*"];

/// Messages after which asking the same server for something else is of no use.
const UNREACHABLE: [&str; 6] = [
    "unable to access",
    "Authentication failed",
    "could not read Username",
    "Could not read from remote repository",
    "unable to connect",
    "unable to look up",
];

/// Fetches what `wanted` stands for into git's `directory`; the id of the commit.
///
/// # Errors
/// [`GitError`]
pub(super) fn fetch(git: &Git<'_>, directory: &Path, wanted: &Wanted) -> Result<String, GitError> {
    match wanted {
        Wanted::Commit(id) => by_id(git, directory, id),
        Wanted::Name(name) => match by_name(git, name)? {
            Some(commit) => Ok(commit),
            None => Err(missing(git, name)),
        },
        Wanted::NameOrShortId(text) => match by_name(git, text)? {
            Some(commit) => Ok(commit),
            None => search(git, directory, text),
        },
    }
}

/// Whether a fetch failed because the repository counts in the other hash function than the one set up here.
pub(super) fn is_other_format(error: &GitError) -> bool {
    matches!(error, GitError::Fetch { output, .. } if output.contains("mismatched algorithms"))
}

fn by_id(git: &Git<'_>, directory: &Path, id: &str) -> Result<String, GitError> {
    let output = git.run(FETCH, &["fetch", "--quiet", "--no-tags", "--depth=1", "--", REMOTE, id])?;
    let found = if output.is_success {
        commit(git, "FETCH_HEAD")?.ok_or_else(|| no_commit(git, id))?
    } else if UNREACHABLE.iter().any(|message| output.messages.contains(message)) {
        return Err(failed(git, output));
    } else {
        // Servers need not give out commits that no name leads to directly (uploadpack.allowReachableSHA1InWant).
        search(git, directory, id)?
    };
    if found != id {
        return Err(GitError::WrongCommit { repository: git.repository(), wanted: id.to_owned(), found });
    }
    Ok(found)
}

/// `None` if the server has no reference of this name.
fn by_name(git: &Git<'_>, name: &str) -> Result<Option<String>, GitError> {
    let mut output = git.run(FETCH, &["fetch", "--quiet", "--no-tags", "--depth=1", "--", REMOTE, name])?;
    if is_never_shallow(&output) {
        output = git.run(FETCH, &["fetch", "--quiet", "--no-tags", "--", REMOTE, name])?;
    }
    if output.is_success {
        return commit(git, "FETCH_HEAD")?.ok_or_else(|| no_commit(git, name)).map(Some);
    }
    if output.messages.contains("couldn't find remote ref") {
        return Ok(None);
    }
    Err(failed(git, output))
}

/// Looks for a commit in the history of all branches and tags, ever deeper.
fn search(git: &Git<'_>, directory: &Path, id: &str) -> Result<String, GitError> {
    let [branches, tags] = EVERYTHING;
    let is_shallow = || directory.join("shallow").exists();
    for depth in DEPTHS {
        let depth = format!("--depth={depth}");
        let output = git.run(FETCH, &["fetch", "--quiet", "--no-tags", &depth, "--", REMOTE, branches, tags])?;
        if is_never_shallow(&output) {
            break;
        }
        if !output.is_success {
            return Err(failed(git, output));
        }
        if let Some(found) = commit(git, id)? {
            return Ok(found);
        }
        if !is_shallow() {
            return Err(missing(git, id));
        }
    }
    let depth = if is_shallow() { "--unshallow" } else { "--force" };
    let output = git.run(FETCH, &["fetch", "--quiet", "--no-tags", depth, "--", REMOTE, branches, tags])?;
    if !output.is_success {
        return Err(failed(git, output));
    }
    commit(git, id)?.ok_or_else(|| missing(git, id))
}

/// Whether the history of `branch` has the commit, which is here; looked at ever deeper, for it is near the end as a rule.
///
/// # Errors
/// [`GitError::NotOnBranch`]; [`GitError::NoBranch`].
pub(super) fn check_branch(git: &Git<'_>, directory: &Path, commit: &str, branch: &str) -> Result<(), GitError> {
    const HERE: &str = "refs/remotes/stratum-source/branch";
    let unknown =
        || GitError::NoBranch { repository: git.repository(), commit: commit.to_owned(), branch: branch.to_owned() };
    reference::check(branch).map_err(|_| unknown())?;
    let names = format!("+refs/heads/{branch}:{HERE}");
    let has = || -> Result<bool, GitError> {
        let arguments = ["merge-base", "--is-ancestor", commit, HERE];
        Ok(git.run("look through a branch", &arguments)?.is_success)
    };
    let depths = DEPTHS.map(|depth| format!("--depth={depth}"));
    for depth in &depths {
        let output = git.run(FETCH, &["fetch", "--quiet", "--no-tags", depth, "--", REMOTE, &names])?;
        if output.messages.contains("couldn't find remote ref") {
            return Err(unknown());
        }
        if is_never_shallow(&output) {
            break;
        }
        if !output.is_success {
            return Err(failed(git, output));
        }
        if has()? {
            return Ok(());
        }
    }
    let depth = if directory.join("shallow").exists() { "--unshallow" } else { "--force" };
    let output = git.run(FETCH, &["fetch", "--quiet", "--no-tags", depth, "--", REMOTE, &names])?;
    if !output.is_success {
        return Err(failed(git, output));
    }
    if has()? {
        return Ok(());
    }
    let (commit, branch) = (commit.to_owned(), branch.to_owned());
    Err(GitError::NotOnBranch { repository: git.repository(), commit, branch })
}

/// Plain file servers ("dumb http") and very old ones only give everything.
fn is_never_shallow(output: &Output) -> bool {
    !output.is_success && output.messages.contains("does not support shallow")
}

/// The id of the commit that `name` leads to here.
fn commit(git: &Git<'_>, name: &str) -> Result<Option<String>, GitError> {
    let output = git.run("look up a commit", &["rev-parse", "--verify", "--quiet", &format!("{name}^{{commit}}")])?;
    let id = output.stdout.trim();
    let is_id = matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    Ok((output.is_success && is_id).then(|| id.to_owned()))
}

fn missing(git: &Git<'_>, reference: &str) -> GitError {
    GitError::NoReference { repository: git.repository(), reference: reference.to_owned() }
}

fn no_commit(git: &Git<'_>, reference: &str) -> GitError {
    GitError::NoCommit { repository: git.repository(), reference: reference.to_owned() }
}

fn failed(git: &Git<'_>, output: Output) -> GitError {
    GitError::Fetch { repository: git.repository(), output: output.messages }
}
