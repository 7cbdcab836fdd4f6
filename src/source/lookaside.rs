//! The files that dist-git keeps beside a repository: the `sources` file names them, a lookaside cache has them.
//!
//! Comes in: the text of a `sources` file and the cache's address. Goes out: the files in the context, each with the
//! checksum that `sources` declares, or an error. A file gets its name only when its checksum is right; no other name
//! is written, and nothing that is there is replaced.

mod error;
mod fetch;
mod hash;
mod sources;
mod template;

pub use error::LookasideError;
pub use fetch::{FetchLimits, FetchOptions, FetchedSource, Weak, fetch};
pub use hash::Algorithm;
pub(crate) use hash::Sums;
pub use sources::{BadSource, SourceFile, SourcesError, parse_sources};
pub use template::{Lookaside, TemplateError};

#[cfg(test)]
mod tests;
