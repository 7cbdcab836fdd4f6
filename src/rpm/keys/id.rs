//! Names of OpenPGP keys: the full fingerprint and its 64-bit excerpt.
//!
//! Both print as lower-case hexadecimal digits, as `rpm` prints key ids, and parse from either case.

use std::fmt;
use std::str::FromStr;

use pgp::types::KeyDetails;
use serde::{Deserialize, Serialize};

use crate::header::hex;

/// Text that is no key id or fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a key id (16 hexadecimal digits) or a fingerprint (32, 40 or 64)")]
pub struct ParseIdError {
    /// The text.
    text: String,
}

/// The 64-bit key id of a primary key or subkey (RFC 9580, 5.5.4): a hint, not an identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The key id of a fingerprint: the end of version 4's, the beginning of version 6's.
    pub(crate) fn of_fingerprint(fingerprint: &pgp::types::Fingerprint) -> Option<Self> {
        let bytes = fingerprint.as_bytes();
        let excerpt = if bytes.len() == 20 { bytes.last_chunk() } else { bytes.first_chunk() };
        excerpt.copied().map(Self)
    }
}

impl From<pgp::types::KeyId> for KeyId {
    fn from(id: pgp::types::KeyId) -> Self {
        let mut bytes = [0; 8];
        // A key id always has eight bytes.
        bytes.iter_mut().zip(id.as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }
}

/// The fingerprint of a certificate's primary key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint(Box<[u8]>);

impl Fingerprint {
    pub(crate) fn of(key: &impl KeyDetails) -> Self {
        Self(key.fingerprint().as_bytes().into())
    }
}

impl FromStr for KeyId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = unhex(text).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| ParseIdError { text: text.to_owned() })
    }
}

impl FromStr for Fingerprint {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = unhex(text).filter(|bytes| matches!(bytes.len(), 16 | 20 | 32));
        bytes.map(|bytes| Self(bytes.into())).ok_or_else(|| ParseIdError { text: text.to_owned() })
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks();
    let byte = |&[high, low]: &[u8; 2]| Some(digit(high)? << 4 | digit(low)?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

// Four traits of the standard library for two types that differ only in length.
macro_rules! hexadecimal {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    };
}

hexadecimal!(KeyId);
hexadecimal!(Fingerprint);
