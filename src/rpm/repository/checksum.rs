//! Checksums as metadata writes them: an algorithm's name and digits.
//!
//! What comes in: the two texts. What goes out: a checksum whose digits are checked to be as many as the
//! algorithm has. Nothing is hashed here.

use std::fmt;

use super::RepositoryProblem;

/// A checksum that metadata gives for a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum {
    /// What it is made with.
    pub algorithm: ChecksumAlgorithm,
    /// Hexadecimal digits in lower case, as many as the algorithm has.
    pub hex: String,
}

/// What a checksum is made with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
    /// By its name in lower case: one that proves nothing (`md5`, `sha`, `sha1`), or one that is not used here.
    Weak(String),
}

impl Checksum {
    /// As a digest, `sha256:…` or `sha512:…`; `None` if the algorithm is not one to trust.
    #[must_use]
    pub fn digest_text(&self) -> Option<String> {
        match self.algorithm {
            ChecksumAlgorithm::Sha256 | ChecksumAlgorithm::Sha512 => Some(self.to_string()),
            ChecksumAlgorithm::Weak(_) => None,
        }
    }

    pub(super) fn parse(algorithm: &str, digits: &str) -> Result<Self, RepositoryProblem> {
        let algorithm = ChecksumAlgorithm::parse(algorithm)?;
        let digits = digits.trim();
        let is_right = match algorithm.digits() {
            Some(count) => digits.len() == count,
            None => (8..=256).contains(&digits.len()) && digits.len().is_multiple_of(2),
        };
        if is_right && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self { algorithm, hex: digits.to_ascii_lowercase() })
        } else {
            Err(RepositoryProblem::value("checksum", digits, "the hexadecimal digits of its type"))
        }
    }
}

impl ChecksumAlgorithm {
    fn parse(name: &str) -> Result<Self, RepositoryProblem> {
        let plain = name.trim().to_ascii_lowercase();
        match plain.as_str() {
            "sha256" | "sha-256" => Ok(Self::Sha256),
            "sha512" | "sha-512" => Ok(Self::Sha512),
            other if is_name(other) => Ok(Self::Weak(plain)),
            other => Err(RepositoryProblem::value("checksum type", other, "the name of an algorithm")),
        }
    }

    /// How many digits it has, where that is known.
    fn digits(&self) -> Option<usize> {
        match self {
            Self::Sha256 => Some(64),
            Self::Sha512 => Some(128),
            Self::Weak(name) => match name.as_str() {
                "md5" => Some(32),
                "sha" | "sha1" => Some(40),
                "sha224" => Some(56),
                "sha384" => Some(96),
                _ => None,
            },
        }
    }
}

fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

impl fmt::Display for ChecksumAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Weak(name) => name,
        })
    }
}

/// `algorithm:digits`.
impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}
