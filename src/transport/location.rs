//! Where an image is, as users write it.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr;

use oci::{Reference, ReferenceError};

/// A place an image is read from or written to (containers-transports(5) has the names).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// `docker://REF`, or a bare reference.
    Registry(Reference),
    /// `oci:DIR[:NAME]`, where the name may also be a digest.
    Layout {
        /// The directory.
        path: PathBuf,
        /// The name in the index.
        name: Option<String>,
    },
    /// `store:NAME`.
    Store(String),
}

/// Why a text is not a location.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// A transport that does not exist, or not yet.
    #[error("`{text}`: transport `{transport}` is not supported; there are docker://, oci: and store:")]
    Transport {
        /// The text.
        text: String,
        /// What stands before the colon.
        transport: String,
    },
    /// Nothing after the transport.
    #[error("`{text}`: nothing follows the transport")]
    Empty {
        /// The text.
        text: String,
    },
    /// No image reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A name that stands for no image, or for several.
    #[error(transparent)]
    Name(#[from] registry::NameError),
}

/// Transports other tools have; to take them for registries would only confuse.
const FOREIGN: [&str; 7] =
    ["oci-archive", "docker-archive", "docker-daemon", "containers-storage", "dir", "sif", "ostree"];

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let empty = || LocationError::Empty { text: text.to_owned() };
        let not_empty = |rest: &str| if rest.is_empty() { Err(empty()) } else { Ok(rest.to_owned()) };
        if let Some(reference) = text.strip_prefix("docker://") {
            return Ok(Self::Registry(reference.parse()?));
        }
        if let Some(rest) = text.strip_prefix("oci-layout://").or_else(|| text.strip_prefix("oci-layout:")) {
            return layout(&not_empty(rest)?);
        }
        match text.split_once(':') {
            Some(("oci", rest)) => layout(&not_empty(rest)?),
            Some(("store", rest)) => Ok(Self::Store(not_empty(rest)?)),
            Some((transport, _)) if FOREIGN.contains(&transport) => {
                Err(LocationError::Transport { text: text.to_owned(), transport: transport.to_owned() })
            }
            Some(_) | None => Ok(Self::Registry(text.parse()?)),
        }
    }
}

/// `DIR`, `DIR:NAME` or `DIR@DIGEST`.
fn layout(text: &str) -> Result<Location, LocationError> {
    if let Some((path, digest)) = text.split_once("@sha256:") {
        return Ok(Location::Layout { path: path.into(), name: Some(format!("sha256:{digest}")) });
    }
    let (path, name) = match text.rsplit_once(':') {
        Some((path, name)) if !name.contains('/') && !path.is_empty() => (path, Some(name.to_owned())),
        Some(_) | None => (text, None),
    };
    Ok(Location::Layout { path: path.into(), name: name.filter(|name| !name.is_empty()) })
}

impl Display for Location {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry(reference) => write!(formatter, "docker://{reference}"),
            Self::Layout { path, name: None } => write!(formatter, "oci:{}", path.display()),
            Self::Layout { path, name: Some(name) } if name.starts_with("sha256:") => {
                write!(formatter, "oci:{}@{name}", path.display())
            }
            Self::Layout { path, name: Some(name) } => write!(formatter, "oci:{}:{name}", path.display()),
            Self::Store(name) => write!(formatter, "store:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(text.parse::<Location>().unwrap().to_string(), shown);
    }

    #[test]
    fn locations_are_read_as_the_field_writes_them() {
        check("fedora:42", "docker://docker.io/library/fedora:42");
        check("docker://127.0.0.1:5000/a/b:1", "docker://127.0.0.1:5000/a/b:1");
        check("oci:out", "oci:out");
        check("oci:/a/b:1.0", "oci:/a/b:1.0");
        check("oci-layout://testdata/base:42", "oci:testdata/base:42");
        check("store:localhost/a:1", "store:localhost/a:1");
        let digest = oci::Digest::of(b"");
        check(&format!("oci:out@{digest}"), &format!("oci:out@{digest}"));
    }

    #[test]
    fn transports_of_other_tools_are_named() {
        let error = "containers-storage:x".parse::<Location>().unwrap_err().to_string();
        assert!(
            error.starts_with("`containers-storage:x`: transport `containers-storage` is not supported"),
            "{error}"
        );
        assert!("oci:".parse::<Location>().is_err());
    }
}
