//! A package's identity: name, epoch, version, release, architecture.
//!
//! What comes in: the signed part of a header. What goes out: a value that prints the way rpm does.
//! Orders by bytes, which is stable; it is not rpm's version comparison and never decides which of two
//! packages is newer.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::header::{HeaderError, Section, tag};

/// Name, epoch, version, release, architecture.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Nevra {
    /// Package name.
    pub name: String,
    /// Epoch; absent is not the same as zero in print.
    pub epoch: Option<u32>,
    /// Upstream version, without `-`.
    pub version: String,
    /// Release, without `-`.
    pub release: String,
    /// Architecture; imported keys have none.
    pub arch: Option<String>,
}

impl Nevra {
    pub(crate) fn of(region: Section<'_>) -> Result<Self, HeaderError> {
        Ok(Self {
            name: part(region, tag::NAME, "/")?,
            epoch: region.u32(tag::EPOCH),
            version: part(region, tag::VERSION, "-/")?,
            release: part(region, tag::RELEASE, "-/")?,
            arch: match region.has(tag::ARCH) {
                true => Some(part(region, tag::ARCH, "-/.")?),
                false => None,
            },
        })
    }
}

/// A non-empty string without spaces, control characters and `forbidden`.
fn part(region: Section<'_>, tag: u32, forbidden: &str) -> Result<String, HeaderError> {
    let text = region.raw_string(tag).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !forbidden.contains(c);
    match text {
        Some(text) if !text.is_empty() && text.chars().all(plain) => Ok(text.to_owned()),
        Some(_) | None => Err(HeaderError::Name { tag }),
    }
}

impl fmt::Display for Nevra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-", self.name)?;
        if let Some(epoch) = self.epoch {
            write!(f, "{epoch}:")?;
        }
        write!(f, "{}-{}", self.version, self.release)?;
        self.arch.as_ref().map_or(Ok(()), |arch| write!(f, ".{arch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(epoch: Option<u32>, arch: Option<&str>, shown: &str) {
        let (name, version, release) = ("foo".into(), "1.0".into(), "2.fc42".into());
        let nevra = Nevra { name, epoch, version, release, arch: arch.map(Into::into) };
        assert_eq!(nevra.to_string(), shown);
    }

    #[test]
    fn a_nevra_prints_as_rpm_does() {
        check(None, Some("noarch"), "foo-1.0-2.fc42.noarch");
        check(Some(0), Some("x86_64"), "foo-0:1.0-2.fc42.x86_64");
        check(Some(7), None, "foo-7:1.0-2.fc42");
    }
}
