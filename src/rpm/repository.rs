//! Metadata of package repositories, as createrepo_c writes it and dnf reads it.
//!
//! What comes in: the bytes of `repomd.xml`, of a primary file in any of the compressions in use, of a
//! metalink or a mirror list. What goes out: which files the repository has, which packages with size and
//! checksum, and where its mirrors are; or what is wrong and at which byte. The formats are those of
//! createrepo_c and librepo, and Metalink 3.0 as MirrorManager writes it.
//!
//! All of it is foreign. XML is read as a stream without document types, and with no entities but the five
//! predefined and character references; sizes, depth and counts are bounded; a path that leaves the
//! repository is refused. Nothing is fetched here, and no checksum is compared: the caller has the bytes.

mod checksum;
mod compression;
mod href;
mod metalink;
mod primary;
mod repomd;
#[cfg(test)]
mod tests;
mod xml;

use std::sync::Arc;

pub use checksum::{Checksum, ChecksumAlgorithm};
pub use compression::Compression;
pub use metalink::{Metalink, parse_mirrorlist};
pub use primary::{PackageLocation, read_primary};
pub use repomd::{MetadataFile, Repomd};

/// Largest document once decompressed, in bytes.
pub const MAX_OPEN_BYTES: u64 = 4 * 1024 * 1024 * 1024;
/// Most packages of one primary file.
pub const MAX_PACKAGES: u64 = 2_000_000;
/// Most files of one `repomd.xml`.
pub const MAX_FILES: u64 = 1_000;
/// Most mirrors of a metalink, and of a mirror list.
pub const MAX_MIRRORS: u64 = 10_000;
/// Largest `repomd.xml`, metalink or mirror list, in bytes.
pub const MAX_SMALL_BYTES: u64 = 16 * 1024 * 1024;

/// What is wrong with a metadata file, and where.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{file}: {problem}, at byte {offset}")]
pub struct RepositoryError {
    /// The file, as the caller named it; `repomd.xml` and `metalink` where there is but one.
    pub file: String,
    /// How many bytes before the place, decompressed.
    pub offset: u64,
    /// What is wrong there.
    pub problem: RepositoryProblem,
}

/// What can be wrong with a metadata file. Texts out of the file are cut to 200 characters.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RepositoryProblem {
    /// The caller's reader failed, or the bytes are not what their beginning promised.
    #[error("cannot read metadata as {compression}: {source}")]
    Read {
        /// What its first bytes say it is.
        compression: Compression,
        /// Why not.
        source: Arc<std::io::Error>,
    },
    /// The file is empty, or begins like nothing known.
    #[error("metadata is neither XML nor XML in gzip, zstd, xz or bzip2")]
    Format,
    /// The file is zchunk.
    #[error("metadata in zchunk is not read; use the file of the same kind without _zck")]
    Zchunk,
    /// More of something than is allowed.
    #[error("metadata has more than {limit} {what}")]
    TooLarge {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The XML is not well-formed, or not in UTF-8.
    #[error("metadata is not well-formed XML in UTF-8: {reason}")]
    Malformed {
        /// Why not.
        reason: String,
    },
    /// `<!DOCTYPE`, which nothing needs and which can define entities.
    #[error("metadata has a document type declaration, which is never read")]
    DocumentType,
    /// `&name;` other than the five that XML predefines.
    #[error("metadata uses the entity {name:?}, which XML does not predefine")]
    Entity {
        /// Its name.
        name: String,
    },
    /// It is another kind of document.
    #[error("metadata begins with <{found}> where <{expected}> is expected")]
    Root {
        /// The element that makes the kind.
        expected: &'static str,
        /// The one that is there.
        found: String,
    },
    /// An element lacks a part.
    #[error("<{element}> has no {part}")]
    Missing {
        /// The element.
        element: &'static str,
        /// The attribute or the element inside.
        part: &'static str,
    },
    /// Something is said twice, so that readers may differ on what holds.
    #[error("{part} {value:?} occurs twice")]
    Twice {
        /// The element or attribute.
        part: &'static str,
        /// What tells it from others, or nothing.
        value: String,
    },
    /// A value that is not of its kind.
    #[error("{part} is {value:?}; it must be {wanted}")]
    Value {
        /// The element or attribute.
        part: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        wanted: &'static str,
    },
}

impl RepositoryProblem {
    fn value(part: &'static str, value: &str, wanted: &'static str) -> Self {
        Self::Value { part, value: clipped(value), wanted }
    }
}

/// The beginning of a text out of a file, for a message.
fn clipped(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Whether a text has neither spaces nor control characters, and something at all.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| !c.is_control() && !c.is_whitespace())
}
