//! The header of an installed package, as a row of its database holds it.
//!
//! What comes in: the blob of one row (rpm's header format 3 without the eight magic bytes; rpm,
//! `docs/manual/format_header.md` and `lib/header.cc`). What goes out: a checked view of it in two
//! parts that are never mixed: the immutable *region*, which the package's signature covers, and the
//! *dribbles*, which rpm, or anyone who can write the database, added afterwards.
//!
//! Never reads outside the blob, never answers a question about the package from a dribble, and never
//! repairs: a header with any entry out of place is refused whole.

mod parse;
mod section;
pub mod tag;
#[cfg(test)]
mod tests;

pub use section::Section;

use pgp::crypto::hash::HashAlgorithm;
use section::Entry;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::nevra::Nevra;

/// Largest blob that is read, in bytes.
pub const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Largest number of index entries (rpm: 65535).
pub const MAX_ENTRIES: usize = 0xffff;

/// The header magic, version 1 and four reserved zero bytes: not stored in a row, but signed.
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 0x01, 0, 0, 0, 0];

/// Why a blob is no header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The blob is longer than [`MAX_BYTES`].
    #[error("header of {bytes} bytes is larger than the limit of {MAX_BYTES}")]
    TooLarge {
        /// Length of the blob.
        bytes: usize,
    },
    /// The lengths in the first eight bytes do not add up to the blob's length.
    #[error("header of {bytes} bytes declares {entries} entries and {data} data bytes, which do not add up")]
    Length {
        /// Length of the blob.
        bytes: usize,
        /// Declared index entries.
        entries: u32,
        /// Declared data bytes.
        data: u32,
    },
    /// The header does not begin with an immutable region.
    #[error("header has no immutable region, so nothing in it can be verified")]
    NoRegion,
    /// The region's trailer is missing or contradicts the index.
    #[error("trailer of the immutable region is inconsistent")]
    Trailer,
    /// A tag number below 100 stands among the ordinary entries.
    #[error("tag {tag} is not allowed at index entry {index}")]
    ReservedTag {
        /// The tag.
        tag: u32,
        /// Position in the index.
        index: usize,
    },
    /// The type is unknown, or the count is zero or wrong for the type.
    #[error("tag {tag} has type {kind} with {count} values")]
    Type {
        /// The tag.
        tag: u32,
        /// Type number.
        kind: u32,
        /// Declared number of values.
        count: u32,
    },
    /// The values do not lie inside the part of the data they must lie in, or are not aligned.
    #[error("values of tag {tag} at offset {offset} are out of place")]
    Extent {
        /// The tag.
        tag: u32,
        /// Offset into the data.
        offset: u32,
    },
    /// The values of two tags share bytes.
    #[error("values of tag {tag} overlap those of another tag")]
    Overlap {
        /// The second of the two tags, in order of offset.
        tag: u32,
    },
    /// A tag occurs twice inside the region.
    #[error("tag {tag} occurs twice in the immutable region")]
    Duplicate {
        /// The tag.
        tag: u32,
    },
    /// A tag every package has is absent from the region or not usable as a name.
    #[error("tag {tag} does not hold a usable part of a package's name")]
    Name {
        /// The tag.
        tag: u32,
    },
}

/// Something in a well-formed header that honest software does not put there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "anomaly", rename_all = "kebab-case")]
pub enum HeaderAnomaly {
    /// A dribble repeats a tag of the region: rpm would show the unsigned value (seen as an attack).
    Shadow {
        /// The tag.
        tag: u32,
    },
    /// A dribble is none of those rpm adds ([`tag::DRIBBLES`]).
    UnknownDribble {
        /// The tag.
        tag: u32,
    },
    /// A tag occurs twice among the dribbles.
    DuplicateDribble {
        /// The tag.
        tag: u32,
    },
    /// A digest stored beside the header is not the digest of the signed bytes.
    DigestMismatch {
        /// The tag of the digest.
        tag: u32,
    },
    /// A signature of a known key beside a good one does not verify.
    BadSignature {
        /// The key it names.
        key: crate::keys::KeyId,
    },
}

/// A checked header that borrows the blob it was read from.
#[derive(Clone, Debug)]
pub struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
    /// Length of the region's data, trailer included.
    region_bytes: usize,
    region: Vec<Entry<'a>>,
    dribbles: Vec<Entry<'a>>,
}

impl<'a> Header<'a> {
    /// Checks a row's blob and indexes its entries.
    ///
    /// # Errors
    /// [`HeaderError`] for anything that is not a whole, consistent header with an immutable region.
    pub fn parse(blob: &'a [u8]) -> Result<Self, HeaderError> {
        parse::header(blob)
    }

    /// What the signature covers. Facts about the package come from here alone.
    #[must_use]
    pub fn region(&self) -> Section<'_> {
        Section::new(&self.region)
    }

    /// What was added to the header after signing: install time, file states, the signatures themselves.
    #[must_use]
    pub fn dribbles(&self) -> Section<'_> {
        Section::new(&self.dribbles)
    }

    /// The bytes that header signatures and header digests are made over.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        let index = self.index.get(..(1 + self.region.len()) * 16).unwrap_or_default();
        let data = self.data.get(..self.region_bytes).unwrap_or_default();
        let mut signed = Vec::with_capacity(16 + index.len() + data.len());
        signed.extend_from_slice(&MAGIC);
        for length in [index.len() / 16, data.len()] {
            // Both are below MAX_BYTES, which fits 32 bits.
            signed.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
        signed.extend_from_slice(index);
        signed.extend_from_slice(data);
        signed
    }

    /// Lower-case hexadecimal SHA-256 of `signed`, by which rpm knows a header (tag 273).
    ///
    /// `signed` is what [`Header::signed_bytes`] returned.
    #[must_use]
    pub fn sha256(signed: &[u8]) -> String {
        hex(&Sha256::digest(signed))
    }

    /// Name, epoch, version, release and architecture, from the region.
    ///
    /// # Errors
    /// [`HeaderError::Name`] where name, version or release is missing, not UTF-8, or holds a character
    /// that would make the printed form ambiguous.
    pub fn nevra(&self) -> Result<Nevra, HeaderError> {
        Nevra::of(self.region())
    }

    /// Whether this row is a key that rpm imported, not a package.
    ///
    /// The name alone does not say so: a header of that name with a file, a payload, a scriptlet or a
    /// signature is treated like any other package.
    #[must_use]
    pub fn is_gpg_pubkey(&self) -> bool {
        let real = |tag: &u32| self.region().has(*tag) || self.dribbles().has(*tag);
        self.region().raw_string(tag::NAME) == Some(b"gpg-pubkey") && !tag::OF_REAL_PACKAGES.iter().any(real)
    }

    /// Dribbles that do not belong, and digests that are not those of `signed`.
    ///
    /// `signed` is what [`Header::signed_bytes`] returned. Sorted, without repetition.
    #[must_use]
    pub fn anomalies(&self, signed: &[u8]) -> Vec<HeaderAnomaly> {
        let mut found = self.dribble_anomalies();
        found.extend(self.digest_anomalies(signed));
        found.sort();
        found.dedup();
        found
    }

    fn dribble_anomalies(&self) -> Vec<HeaderAnomaly> {
        let mut found = Vec::new();
        let mut before = None;
        // Sorted by tag, so equal tags are neighbours.
        for tag in self.dribbles.iter().map(|entry| entry.tag) {
            if self.region().has(tag) {
                found.push(HeaderAnomaly::Shadow { tag });
            } else if !tag::DRIBBLES.contains(&tag) {
                found.push(HeaderAnomaly::UnknownDribble { tag });
            }
            if before == Some(tag) {
                found.push(HeaderAnomaly::DuplicateDribble { tag });
            }
            before = Some(tag);
        }
        found
    }

    fn digest_anomalies(&self, signed: &[u8]) -> Vec<HeaderAnomaly> {
        const DIGESTS: [(u32, HashAlgorithm); 3] = [
            (tag::SHA1_HEADER, HashAlgorithm::Sha1),
            (tag::SHA256_HEADER, HashAlgorithm::Sha256),
            (tag::SHA3_256_HEADER, HashAlgorithm::Sha3_256),
        ];
        let wrong = |&(tag, algorithm): &(u32, HashAlgorithm)| {
            self.dribbles().has(tag) && self.dribbles().raw_string(tag) != hex_digest(algorithm, signed).as_deref()
        };
        let mismatch = |(tag, _)| HeaderAnomaly::DigestMismatch { tag };
        DIGESTS.into_iter().filter(wrong).map(mismatch).collect()
    }
}

/// Lower-case hexadecimal digest; `None` where SHA-1 input was made to collide.
fn hex_digest(algorithm: HashAlgorithm, bytes: &[u8]) -> Option<Vec<u8>> {
    let digest = if algorithm == HashAlgorithm::Sha256 {
        Sha256::digest(bytes).to_vec()
    } else {
        // A refused (colliding) input counts as a mismatch.
        algorithm.digest(bytes).ok()?
    };
    Some(hex(&digest).into_bytes())
}

/// Lower-case hexadecimal form of `bytes`.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
