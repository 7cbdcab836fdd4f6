//! The checksums a `sources` file may declare.

use std::fmt::{self, Display, Formatter};

use md5::{Digest as _, Md5};
use oci::digest::{self, Digest, Hasher};
use sha1::Sha1;

/// A hash function of a `sources` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5, of old dist-git. Anyone can make two files with one MD5.
    Md5,
    /// SHA-1, broken in the same way.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512, of today's dist-git.
    Sha512,
}

impl Algorithm {
    /// By its name as `sources` writes it, in upper or lower case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(name))
    }

    /// The name in lower case, as addresses of lookaside caches hold it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Hex digits in a checksum.
    #[must_use]
    pub fn hex_digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    /// Whether somebody could make another file with the same checksum.
    #[must_use]
    pub fn is_weak(self) -> bool {
        match self {
            Self::Md5 | Self::Sha1 => true,
            Self::Sha256 | Self::Sha512 => false,
        }
    }
}

impl Display for Algorithm {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The declared checksum and SHA-256 of the same bytes.
pub(crate) struct Sums {
    declared: Option<Declared>,
    sha256: Hasher,
}

/// Where it is not SHA-256 itself.
enum Declared {
    Md5(Md5),
    Sha1(Sha1),
    Sha512(Hasher),
}

impl Sums {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let declared = match algorithm {
            Algorithm::Md5 => Some(Declared::Md5(Md5::new())),
            Algorithm::Sha1 => Some(Declared::Sha1(Sha1::new())),
            Algorithm::Sha256 => None,
            Algorithm::Sha512 => Some(Declared::Sha512(Hasher::new(digest::Algorithm::Sha512))),
        };
        Self { declared, sha256: Hasher::default() }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        match &mut self.declared {
            Some(Declared::Md5(state)) => state.update(bytes),
            Some(Declared::Sha1(state)) => state.update(bytes),
            Some(Declared::Sha512(state)) => state.update(bytes),
            None => {}
        }
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.sha256.length()
    }

    /// The declared algorithm's checksum in hex, and the digest.
    pub(crate) fn finish(self) -> (String, Digest) {
        let sha256 = self.sha256.finish();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let declared = match self.declared {
            Some(Declared::Md5(state)) => hex(&state.finalize()),
            Some(Declared::Sha1(state)) => hex(&state.finalize()),
            Some(Declared::Sha512(state)) => state.finish().hex().to_owned(),
            None => sha256.hex().to_owned(),
        };
        (declared, sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(algorithm: Algorithm, start: &str) {
        let mut sums = Sums::new(algorithm);
        sums.update(b"a");
        sums.update(b"bc");
        assert_eq!(sums.length(), 3);
        let (hex, digest) = sums.finish();
        assert_eq!((hex.len(), hex.starts_with(start)), (algorithm.hex_digits(), true), "{hex}");
        assert_eq!(digest, Digest::of(b"abc"));
    }

    #[test]
    fn the_published_checksums_of_abc_come_out() {
        check(Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72");
        check(Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d");
        check(Algorithm::Sha256, "ba7816bf8f01cfea");
        check(Algorithm::Sha512, "ddaf35a193617aba");
    }
}
