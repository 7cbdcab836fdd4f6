//! Build contexts: the trees COPY and ADD may read, and how they get here.
//!
//! Comes in: a directory and ignore patterns. Goes out: entries in a fixed order, and open files. Nothing is read
//! that was not asked for, nothing outside the directory is reached (a symbolic link that leads out ends inside),
//! and nothing is written.
//!
//! A context that is elsewhere is brought here first: [`git`] checks out one commit, [`lookaside`] adds the large
//! files that dist-git keeps beside it. These two write, and only below the directory they are given.

mod class;
mod epoch;
pub mod git;
pub mod glob;
pub mod lookaside;
mod tree;

pub use class::Class;
pub use epoch::{ContextTime, context_time};
pub use tree::{Entry, Kind, Place, Tree, TreeError};

use std::path::{Path, PathBuf};

/// Names of ignore files, the first that exists counts (buildah's order).
pub const IGNORE_FILES: [&str; 2] = [".containerignore", ".dockerignore"];

/// Names a Dockerfile has when `-f` is not given, in order (buildah's).
pub const DOCKERFILES: [&str; 2] = ["Containerfile", "Dockerfile"];

/// Where to look for the ignore file of `dockerfile` in `context`, most specific first: one beside the Dockerfile
/// that carries its name, then the context's own.
#[must_use]
pub fn ignore_candidates(context: &Path, dockerfile: &Path) -> Vec<PathBuf> {
    let beside = |suffix: &str| {
        let mut name = dockerfile.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let own = IGNORE_FILES.iter().map(|name| beside(name));
    own.chain(IGNORE_FILES.iter().map(|name| context.join(name))).collect()
}

#[cfg(test)]
mod tests;
