//! Where an image is, as users write it.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr;

use oci::docker_archive::Wanted;
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
    /// `oci-archive:FILE[:NAME]`: a layout in a tar.
    OciArchive {
        /// The tar.
        path: PathBuf,
        /// The name in the index.
        name: Option<String>,
    },
    /// `docker-archive:FILE[:REF]`, or to read `docker-archive:FILE:@POSITION`.
    DockerArchive {
        /// The tar.
        path: PathBuf,
        /// Which of the images in it.
        image: Wanted,
    },
    /// `dir:DIR`: one image as plain files.
    Directory(PathBuf),
}

/// Why a text is not a location.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// A transport that does not exist, or not yet.
    #[error(
        "`{text}`: transport `{transport}` is not supported; there are docker://, oci:, oci-archive:, docker-archive:, \
         dir: and store:"
    )]
    Transport {
        /// The text.
        text: String,
        /// What stands before the colon.
        transport: String,
    },
    /// A `docker-archive:` whose image is no name with a tag and no position.
    #[error("`{text}`: `{image}` names no image of an archive; say REPOSITORY[:TAG], or @POSITION to read")]
    ArchiveImage {
        /// The text.
        text: String,
        /// What follows the file.
        image: String,
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
const FOREIGN: [&str; 5] = ["docker-daemon", "containers-storage", "sif", "ostree", "tarball"];

/// What the locations of this program begin with.
const PREFIXES: [&str; 7] = ["docker://", "oci:", "oci-layout:", "oci-archive:", "docker-archive:", "dir:", "store:"];

impl Location {
    /// Whether a text begins as only a location does: with a transport of ours, or one of another tool.
    #[must_use]
    pub fn is_named_by(text: &str) -> bool {
        let is_foreign = |name: &str| text.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
        PREFIXES.iter().any(|prefix| text.starts_with(prefix)) || FOREIGN.iter().any(|name| is_foreign(name))
    }

    /// The image's name, if it is in a registry.
    #[must_use]
    pub fn in_registry(&self) -> Option<&Reference> {
        match self {
            Self::Registry(reference) => Some(reference),
            Self::Layout { .. }
            | Self::Store(_)
            | Self::OciArchive { .. }
            | Self::DockerArchive { .. }
            | Self::Directory(_) => None,
        }
    }

    /// Whether an image can be written to both at once, as one image of two names.
    #[must_use]
    pub fn shares_place_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Registry(one), Self::Registry(other)) => one.name() == other.name(),
            (Self::OciArchive { path: one, .. }, Self::OciArchive { path: other, .. })
            | (Self::DockerArchive { path: one, .. }, Self::DockerArchive { path: other, .. }) => one == other,
            (
                Self::Registry(_)
                | Self::Layout { .. }
                | Self::Store(_)
                | Self::OciArchive { .. }
                | Self::DockerArchive { .. }
                | Self::Directory(_),
                _,
            ) => false,
        }
    }
}

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
            Some(("oci-archive", rest)) => Ok(oci_archive(&not_empty(rest)?)),
            Some(("docker-archive", rest)) => docker_archive(text, &not_empty(rest)?),
            Some(("dir", rest)) => Ok(Self::Directory(not_empty(rest)?.into())),
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

/// `FILE` or `FILE:NAME`, where the file has no colon.
fn oci_archive(text: &str) -> Location {
    let (path, name) = text.split_once(':').unwrap_or((text, ""));
    Location::OciArchive { path: path.into(), name: Some(name.to_owned()).filter(|name| !name.is_empty()) }
}

/// `FILE`, `FILE:REF` or `FILE:@POSITION`, where the file has no colon.
fn docker_archive(text: &str, rest: &str) -> Result<Location, LocationError> {
    let (path, image) = rest.split_once(':').unwrap_or((rest, ""));
    let bad = || LocationError::ArchiveImage { text: text.to_owned(), image: image.to_owned() };
    let image = match image.strip_prefix('@') {
        None if image.is_empty() => Wanted::Only,
        Some(position) => Wanted::Position(position.parse().map_err(|_| bad())?),
        None => Wanted::Tag(image.parse::<Reference>().ok().filter(|name| name.digest().is_none()).ok_or_else(bad)?),
    };
    Ok(Location::DockerArchive { path: path.into(), image })
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
            Self::OciArchive { path, name: None } => write!(formatter, "oci-archive:{}", path.display()),
            Self::OciArchive { path, name: Some(name) } => {
                write!(formatter, "oci-archive:{}:{name}", path.display())
            }
            Self::DockerArchive { path, image } => {
                write!(formatter, "docker-archive:{}", path.display())?;
                match image {
                    Wanted::Only => Ok(()),
                    Wanted::Tag(name) => write!(formatter, ":{name}"),
                    Wanted::Position(position) => write!(formatter, ":@{position}"),
                }
            }
            Self::Directory(path) => write!(formatter, "dir:{}", path.display()),
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
        check("oci-archive:a.tar", "oci-archive:a.tar");
        check("oci-archive:/a.tar:quay.io:5000/b:1", "oci-archive:/a.tar:quay.io:5000/b:1");
        check("docker-archive:a.tar", "docker-archive:a.tar");
        check("docker-archive:a.tar:hello", "docker-archive:a.tar:docker.io/library/hello:latest");
        check("docker-archive:a.tar:@2", "docker-archive:a.tar:@2");
        check("dir:a:b", "dir:a:b");
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
        for text in ["oci:", "dir:", "oci-archive:", "docker-archive:", "docker-archive:a:@x", "docker-archive:a:A/B"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
        let pinned = format!("docker-archive:a:b@{}", oci::Digest::of(b""));
        assert!(matches!(pinned.parse::<Location>(), Err(LocationError::ArchiveImage { .. })));
    }
}
