//! The image that a bill of materials is of.
//!
//! Comes in: where the image is, its digest, manifest and config. Goes out: the names it is called by, as far as they
//! are known, and what it is built on, as its manifest says. It looks at nothing and fetches nothing.

use std::path::Path;

use oci::{Digest, ImageConfig, Manifest, Reference};
use transport::{ArchiveImage, Location};

use super::purl::Purl;

/// Annotations about the base (OCI image-spec, annotations.md).
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// The longest name, tag or architecture that is repeated, in bytes.
const MAX_NAME: usize = 1024;

/// What an image is called, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Registry and repository, or the last part of a path.
    pub name: String,
    /// The tag, else the digest; none where an archive has neither.
    pub version: Option<String>,
    /// Of its manifest; none in a `docker-archive:`, which has no manifest.
    pub digest: Option<Digest>,
    /// `GOARCH`.
    pub architecture: String,
    /// Registry and repository, for an image that is in one.
    pub repository: Option<String>,
    /// When the image was made, RFC 3339: SOURCE_DATE_EPOCH of its build.
    pub created: Option<String>,
    /// The image it is built on, where its manifest says so.
    pub base: Option<Base>,
}

/// The image another one is built on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// As FROM has it; none where FROM does not say which registry it is in.
    pub name: Option<Reference>,
    /// Of its manifest.
    pub digest: Digest,
}

impl Subject {
    /// The image at `location`, whose manifest has this digest.
    #[must_use]
    pub fn of(location: &Location, digest: &Digest, manifest: &Manifest, config: &ImageConfig) -> Self {
        let digest = match location {
            Location::DockerArchive { .. } => None,
            Location::Registry(_)
            | Location::Layout { .. }
            | Location::Store(_)
            | Location::OciArchive { .. }
            | Location::Directory(_) => Some(digest.clone()),
        };
        let (name, tag) = called(location);
        Self {
            name,
            version: tag.or_else(|| digest.as_ref().map(ToString::to_string)),
            digest,
            architecture: config.architecture.clone(),
            repository: location.in_registry().map(Reference::name),
            created: config.created.clone().filter(|time| is_date_time(time)),
            base: base(manifest),
        }
    }

    /// Its package URL: type `oci`, by digest.
    #[must_use]
    pub fn purl(&self) -> String {
        let architecture = Some(self.architecture.clone()).filter(|name| name.len() <= MAX_NAME);
        let qualifiers = [("arch", architecture), ("repository_url", self.repository.clone())];
        oci_purl(&self.name, self.digest.as_ref(), &qualifiers)
    }
}

impl Base {
    /// Its package URL, where it has a name.
    #[must_use]
    pub fn purl(&self) -> Option<String> {
        let name = self.name.as_ref()?.name();
        Some(oci_purl(&name, Some(&self.digest), &[("repository_url", Some(name.clone()))]))
    }
}

/// The name of a package URL is the last part of the repository, in lower case (purl-types/oci-definition.json).
fn oci_purl(name: &str, digest: Option<&Digest>, qualifiers: &[(&str, Option<String>)]) -> String {
    let last = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let version = digest.map(Digest::as_str);
    Purl { kind: "oci", name: &last, version, qualifiers, ..Purl::default() }.text()
}

/// Name and tag of the image at a location.
fn called(location: &Location) -> (String, Option<String>) {
    let of = |reference: &Reference| (reference.name(), reference.tag().map(str::to_owned));
    let at = |path: &Path, name: Option<&String>| match name.map(|name| (name, name.parse::<Reference>())) {
        // A name with a slash is that of a repository, a name without one is a tag.
        Some((name, Ok(reference))) if name.contains('/') => of(&reference),
        Some((name, _)) => (last_part(path), Some(name.clone()).filter(|name| name.parse::<Digest>().is_err())),
        None => (last_part(path), None),
    };
    match location {
        Location::Registry(reference) => of(reference),
        Location::Store(name) => match name.parse::<Reference>() {
            Ok(reference) => of(&reference),
            Err(_) => (NAMELESS.to_owned(), None),
        },
        Location::Layout { path, name } | Location::OciArchive { path, name } => at(path, name.as_ref()),
        Location::DockerArchive { path, image: ArchiveImage::Only | ArchiveImage::Position(_) } => at(path, None),
        Location::DockerArchive { image: ArchiveImage::Tag(reference), .. } => of(reference),
        Location::Directory(path) => at(path, None),
    }
}

/// What an image is called that has no name.
const NAMELESS: &str = "image";

/// The name of a file or directory: whole paths are the machine's business.
fn last_part(path: &Path) -> String {
    path.file_name().map_or_else(|| NAMELESS.to_owned(), |name| name.to_string_lossy().into_owned())
}

fn base(manifest: &Manifest) -> Option<Base> {
    let digest = manifest.annotations.get(BASE_DIGEST)?.parse().ok()?;
    let name = manifest.annotations.get(BASE_NAME).filter(|name| name.len() <= MAX_NAME);
    Some(Base { name: name.and_then(|name| name.parse().ok()), digest })
}

/// Whether a text is a `date-time` of RFC 3339; others are none in any format.
fn is_date_time(text: &str) -> bool {
    let number = |range: std::ops::Range<usize>| {
        let digits = text.get(range).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        digits.parse::<u32>().ok()
    };
    let within = |range, least: u32, most: u32| number(range).is_some_and(|value| (least..=most).contains(&value));
    let marks = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
    let is_time = within(0..4, 0, 9999)
        && within(5..7, 1, 12)
        && within(8..10, 1, 31)
        && within(11..13, 0, 23)
        && within(14..16, 0, 59)
        && within(17..19, 0, 59)
        && marks.iter().all(|(at, mark)| text.get(*at..at + 1) == Some(mark));
    let rest = text.get(19..).unwrap_or_default();
    is_time
        && is_zone(
            rest.strip_prefix('.').map_or(rest, |fraction| fraction.trim_start_matches(|c: char| c.is_ascii_digit())),
        )
}

fn is_zone(text: &str) -> bool {
    let is_offset = |rest: &str| {
        let digits = rest.split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2);
        digits.is_some_and(|(hours, minutes)| {
            hours.parse::<u8>().is_ok_and(|hours| hours < 24) && minutes.parse::<u8>().is_ok_and(|minutes| minutes < 60)
        })
    };
    text == "Z" || text.strip_prefix(['+', '-']).is_some_and(is_offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_rfc_3339() {
        for text in ["2024-02-29T23:59:59Z", "2024-01-01T00:00:00.123456789Z", "2024-01-01T00:00:00+01:00"] {
            assert!(is_date_time(text), "{text}");
        }
        for text in [
            "",
            "now",
            "2024-01-01",
            "2024-01-01T00:00:00",
            "2024-13-01T00:00:00Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T24:00:00Z",
            "+024-01-01T00:00:00Z",
            "2024-01-01T00:00:00+1:0",
            "é024-01-01T00:00:00Z",
        ] {
            assert!(!is_date_time(text), "{text}");
        }
    }

    #[track_caller]
    fn check(location: &str, name: &str, tag: Option<&str>) {
        let location: Location = location.parse().unwrap();
        assert_eq!(called(&location), (name.to_owned(), tag.map(str::to_owned)));
    }

    #[test]
    fn an_image_is_called_by_its_repository_else_by_the_last_part_of_its_path() {
        check("docker://r.example:5000/a/b:1", "r.example:5000/a/b", Some("1"));
        check("store:r.example/a/b:1", "r.example/a/b", Some("1"));
        check("oci:/tmp/secret/hello:1.0", "hello", Some("1.0"));
        check("oci:hello", "hello", None);
        check("oci-archive:/tmp/b.tar:r.example/a:2", "r.example/a", Some("2"));
        check("docker-archive:/tmp/b.tar:r.example/a:2", "r.example/a", Some("2"));
        check("dir:/tmp/x", "x", None);
        let digest = Digest::of(b"x");
        check(&format!("docker://r.example/a@{digest}"), "r.example/a", None);
        check(&format!("oci:hello@{digest}"), "hello", None);
    }
}
