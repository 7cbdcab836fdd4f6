//! Build contexts: the trees COPY and ADD may read, and how they get here.
//!
//! Comes in: a directory and ignore patterns. Goes out: entries in a fixed order, and open files. Nothing is read
//! that was not asked for, nothing outside the directory is reached (a symbolic link that leads out ends inside),
//! and nothing is written.
//!
//! A context that is elsewhere is brought here first: [`git`] checks out one commit, [`lookaside`] adds the large
//! files that dist-git keeps beside it, [`artifact`] files that a repository names by URL, [`download`] gets one file,
//! [`archive`] unpacks a tar. These write, and only below the directory or into the file they are given.

pub mod archive;
pub mod artifact;
mod class;
pub mod download;
mod epoch;
pub mod git;
pub mod glob;
pub mod lookaside;
mod opener;
mod tree;

pub use class::Class;
pub use epoch::{ContextTime, context_time, newest_time};
pub use opener::{Attribute, Opened, Opener};
pub use tree::{Entry, Kind, Place, Tree, TreeError};

/// Names of ignore files, the first that exists counts (buildah's order).
pub const IGNORE_FILES: [&str; 2] = [".containerignore", ".dockerignore"];

/// Names a Dockerfile has when `-f` is not given, in order (buildah's).
pub const DOCKERFILES: [&str; 2] = ["Containerfile", "Dockerfile"];

#[cfg(test)]
#[path = "../http/tests/all/server.rs"]
#[expect(dead_code, reason = "the tests of `http` need more of it")]
mod server;
#[cfg(test)]
mod tests;
