//! Sources in git: a repository's files at one commit.
//!
//! Comes in: a URL as people write it for `build`, and what the caller knows about this machine ([`GitOptions`]).
//! Goes out: a work tree, without any `.git` in it unless that is asked for, and which commit it is and how old
//! ([`Checkout`]).
//!
//! The `git` program does the work. Repositories are not trusted: nothing they hold is executed here (no hooks, no
//! templates, no file-system monitor, no filters beyond those this machine's own configuration defines), only the
//! protocols that the URL needs are spoken, and credentials are neither shown nor on any command line. The machine's
//! own git configuration counts, because credential helpers, proxies and CA certificates are kept there. Nothing
//! reads this process's environment, and nothing ever asks a person.

mod checkout;
mod error;
mod fetch;
mod mask;
mod measure;
mod reference;
mod run;
mod url;

pub use checkout::{Checkout, check_out};
pub use error::GitError;
pub use reference::BadReference;
pub use run::GitOptions;
pub(crate) use url::decode;
pub use url::{GitUrl, GitUrlError};

/// Configuration that keeps git from starting programs that a repository names.
///
/// On the command line or in `GIT_CONFIG_*` it wins over every file.
pub(crate) const QUIET: [(&str, &str); 4] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("safe.directory", "*"),
    ("log.showSignature", "false"),
];

#[cfg(test)]
mod tests;
