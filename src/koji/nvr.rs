//! Names of builds: name, version and release.

use std::fmt::{self, Display, Formatter};

/// A build's name. Version and release have no dash, as the hub demands, so that the three can be told apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nvr {
    name: String,
    version: String,
    release: String,
}

/// A text that is no part of a build's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NvrError {
    /// A part is empty.
    #[error("the {part} of a build is empty")]
    Empty {
        /// Which.
        part: &'static str,
    },
    /// A dash where the hub has none.
    #[error("`{text}` cannot be the {part} of a build in Koji: it has a dash")]
    Dash {
        /// Which part.
        part: &'static str,
        /// What it is.
        text: String,
    },
    /// Not of three parts.
    #[error("`{text}` is not name-version-release")]
    Parts {
        /// The text.
        text: String,
    },
}

impl Nvr {
    /// The name of a build.
    ///
    /// # Errors
    /// [`NvrError`] for an empty part, and for a dash in version or release.
    pub fn new(name: &str, version: &str, release: &str) -> Result<Self, NvrError> {
        for (part, text) in [("name", name), ("version", version), ("release", release)] {
            if text.is_empty() {
                return Err(NvrError::Empty { part });
            }
            if part != "name" && text.contains('-') {
                return Err(NvrError::Dash { part, text: text.to_owned() });
            }
        }
        Ok(Self { name: name.to_owned(), version: version.to_owned(), release: release.to_owned() })
    }

    /// Reads `name-version-release`; only the name may have dashes.
    ///
    /// # Errors
    /// [`NvrError`].
    pub fn parse(text: &str) -> Result<Self, NvrError> {
        let mut parts = text.rsplitn(3, '-');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(release), Some(version), Some(name)) => Self::new(name, version, release),
            _ => Err(NvrError::Parts { text: text.to_owned() }),
        }
    }

    /// The package.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The release.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.release
    }
}

impl Display for Nvr {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}-{}", self.name, self.version, self.release)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_has_dashes() {
        let nvr = Nvr::parse("web-server-container-1.2-3.fc43").unwrap();
        assert_eq!((nvr.name(), nvr.version(), nvr.release()), ("web-server-container", "1.2", "3.fc43"));
        assert_eq!(nvr.to_string(), "web-server-container-1.2-3.fc43");
        let error = Nvr::new("a", "1-2", "3").unwrap_err();
        assert_eq!(error.to_string(), "`1-2` cannot be the version of a build in Koji: it has a dash");
        assert_eq!(Nvr::parse("a-1").unwrap_err().to_string(), "`a-1` is not name-version-release");
        assert_eq!(Nvr::new("a", "", "3").unwrap_err(), NvrError::Empty { part: "version" });
    }
}
