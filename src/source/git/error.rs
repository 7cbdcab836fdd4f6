//! Why a repository could not be had.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Class, TreeError};

/// Why there is no check-out. Repositories and what git said are shown without credentials.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The program is not there, or not for us.
    #[error("{repository}: cannot start the program git; install it")]
    Program {
        /// The repository.
        repository: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A directory of ours could not be made or looked at.
    #[error("{path}: cannot {action}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The files that were checked out could not be listed.
    #[error("{repository}: cannot read what was checked out")]
    Tree {
        /// The repository.
        repository: String,
        /// Why not.
        #[source]
        source: TreeError,
    },
    /// The server is not there, has no such repository, or lets us not see it.
    #[error("{repository}: cannot fetch from it: {output}; check the address, the network and the credentials")]
    Fetch {
        /// The repository.
        repository: String,
        /// The last lines git wrote.
        output: String,
    },
    /// The repository is there, the commit, tag or branch is not.
    #[error("{repository}: `{reference}` is neither a tag, a branch nor a commit that its tags and branches lead to")]
    NoReference {
        /// The repository.
        repository: String,
        /// What was asked for.
        reference: String,
    },
    /// There is no branch of the name that the commit has to be on.
    #[error("{repository}: there is no branch `{branch}`, which commit {commit} is to be built from")]
    NoBranch {
        /// The repository.
        repository: String,
        /// The commit.
        commit: String,
        /// The branch.
        branch: String,
    },
    /// The commit is there, but not in the history of the branch that it has to be on.
    #[error("{repository}: commit {commit} is not on the branch `{branch}` that it is to be built from")]
    NotOnBranch {
        /// The repository.
        repository: String,
        /// The commit.
        commit: String,
        /// The branch.
        branch: String,
    },
    /// A tag of a file, or something as odd.
    #[error("{repository}: `{reference}` does not lead to a commit")]
    NoCommit {
        /// The repository.
        repository: String,
        /// What was asked for.
        reference: String,
    },
    /// The server sent another commit than the one asked for by its id.
    #[error("{repository}: commit {wanted} was asked for, but {found} came")]
    WrongCommit {
        /// The repository.
        repository: String,
        /// What was asked for.
        wanted: String,
        /// What came.
        found: String,
    },
    /// The folder is missing, no folder, or a symbolic link that leads out.
    #[error("{repository}: `{subdirectory}` is not a folder inside it at commit {commit}")]
    NoSubdirectory {
        /// The repository.
        repository: String,
        /// What was asked for.
        subdirectory: PathBuf,
        /// The commit.
        commit: String,
    },
    /// The commit holds more than is checked out.
    #[error(
        "{repository}: commit {commit} has more than {limit} {what}, which is not checked out: build a smaller tree"
    )]
    TooMuch {
        /// The repository.
        repository: String,
        /// The commit.
        commit: String,
        /// The most of it.
        limit: String,
        /// Of what.
        what: &'static str,
    },
    /// A submodule comes neither over http, https, ssh nor git.
    #[error("{repository}: a submodule is not on a network: {output}")]
    ForbiddenSubmodule {
        /// The repository.
        repository: String,
        /// The last lines git wrote.
        output: String,
    },
    /// A submodule could not be fetched.
    #[error("{repository}: cannot get its submodules: {output}")]
    Submodules {
        /// The repository.
        repository: String,
        /// The last lines git wrote.
        output: String,
    },
    /// git failed at something that needs no server.
    #[error("{repository}: git cannot {action}: {output}")]
    Local {
        /// The repository.
        repository: String,
        /// What was tried.
        action: &'static str,
        /// The last lines git wrote.
        output: String,
    },
    /// The caller asked to stop.
    #[error("{repository}: cancelled while git was to {action}")]
    Cancelled {
        /// The repository.
        repository: String,
        /// What was going on.
        action: &'static str,
    },
    /// The deadline is over.
    #[error("{repository}: not there after {} s, while git was to {action}", after.as_secs())]
    TimedOut {
        /// The repository.
        repository: String,
        /// What was going on.
        action: &'static str,
        /// The time that was allowed.
        after: Duration,
    },
}

impl GitError {
    /// Whose turn it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Program { .. } | Self::Directory { .. } | Self::Tree { .. } | Self::Local { .. } => {
                Class::Environment
            }
            Self::Fetch { .. } | Self::WrongCommit { .. } | Self::Submodules { .. } => Class::Service,
            Self::NoReference { .. }
            | Self::NoBranch { .. }
            | Self::NotOnBranch { .. }
            | Self::NoCommit { .. }
            | Self::NoSubdirectory { .. }
            | Self::TooMuch { .. }
            | Self::ForbiddenSubmodule { .. } => Class::Source,
            Self::Cancelled { .. } => Class::Cancelled,
            Self::TimedOut { .. } => Class::TimedOut,
        }
    }
}
