//! Image references: `registry/repository[:tag][@digest]`.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::Digest;

/// An image in a registry (distribution-spec, "Pulling manifests"; the grammar is distribution/reference's).
///
/// With neither tag nor digest the tag is `latest`. Both may be there; the digest then decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an image reference.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not an image reference: {why}")]
pub struct ReferenceError {
    /// The text refused.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The registry that names without one have always meant (docker.io).
pub const DEFAULT_REGISTRY: &str = "docker.io";

const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

impl Reference {
    /// The registry: host, with a port if there is one.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository, without registry, tag and digest.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, `None` when only a digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What to put behind `/manifests/`: the digest, else the tag.
    #[must_use]
    pub fn manifest_name(&self) -> &str {
        self.digest.as_ref().map_or_else(|| self.tag.as_deref().unwrap_or("latest"), Digest::as_str)
    }

    /// The same repository at `digest`, without a tag: what a pinned FROM says.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// `registry/repository`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        text.parse::<ImageName>()?.or_in(DEFAULT_REGISTRY)
    }
}

/// An image as it is named, before a registry is chosen for a name that has none.
///
/// Displayed with a tag or a digest; with neither the tag is `latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageName {
    registry: Option<String>,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageName {
    /// The registry the name begins with: its first component, if that looks like a host (a dot, a colon, or
    /// `localhost`).
    #[must_use]
    pub fn registry(&self) -> Option<&str> {
        self.registry.as_deref()
    }

    /// The repository with its namespace.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The first component of a repository that has several.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.repository.split_once('/').map(|(namespace, _)| namespace)
    }

    /// The tag, `None` when only a digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same tag and digest of another repository.
    ///
    /// # Errors
    /// [`ReferenceError`] if that is no name of a repository.
    pub fn with_repository(&self, repository: &str) -> Result<Self, ReferenceError> {
        let named = Self { repository: repository.to_owned(), ..self.clone() };
        check_repository(repository).map_err(|why| ReferenceError { text: named.to_string(), why })?;
        Ok(named)
    }

    /// The image in `registry`, where the name says none.
    ///
    /// # Errors
    /// [`ReferenceError`] if `registry` is no host name.
    pub fn or_in(&self, registry: &str) -> Result<Reference, ReferenceError> {
        let registry = self.registry.as_deref().unwrap_or(registry);
        let is_docker_hub = matches!(registry, DEFAULT_REGISTRY | "index.docker.io");
        let repository = if is_docker_hub && self.namespace().is_none() {
            format!("library/{}", self.repository)
        } else {
            self.repository.clone()
        };
        let registry = if is_docker_hub { DEFAULT_REGISTRY } else { registry }.to_owned();
        check_registry(&registry).map_err(|why| ReferenceError { text: format!("{registry}/{self}"), why })?;
        Ok(Reference { registry, repository, tag: self.tag.clone(), digest: self.digest.clone() })
    }
}

impl FromStr for ImageName {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse(text).map_err(|why| ReferenceError { text: text.to_owned(), why })
    }
}

impl Display for ImageName {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(formatter, "{registry}/")?;
        }
        suffixed(formatter, (&self.repository, self.tag.as_deref(), self.digest.as_ref()))
    }
}

fn suffixed(
    formatter: &mut Formatter<'_>,
    (repository, tag, digest): (&str, Option<&str>, Option<&Digest>),
) -> fmt::Result {
    formatter.write_str(repository)?;
    if let Some(tag) = tag {
        write!(formatter, ":{tag}")?;
    }
    digest.map_or(Ok(()), |digest| write!(formatter, "@{digest}"))
}

fn parse(text: &str) -> Result<ImageName, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| "what follows @ is not a digest")?)),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        // A colon before the last slash belongs to the registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        Some(_) | None => (rest, None),
    };
    let (registry, repository) = split_registry(name);
    registry.map_or(Ok(()), check_registry)?;
    check_repository(repository)?;
    let tag = match (tag, &digest) {
        (Some(tag), _) => Some(check_tag(tag)?.to_owned()),
        (None, None) => Some("latest".to_owned()),
        (None, Some(_)) => None,
    };
    Ok(ImageName { registry: registry.map(str::to_owned), repository: repository.to_owned(), tag, digest })
}

/// The first component is a registry if it looks like a host.
fn split_registry(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        Some(_) | None => (None, name),
    }
}

fn check_registry(registry: &str) -> Result<(), &'static str> {
    let (host, port) = match registry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => registry.split_once(':').map_or((registry, None), |(host, port)| (host, Some(port))),
    };
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    if host.is_empty() || host.starts_with('-') || !host.bytes().all(is_host_byte) {
        return Err("the registry is not a host name");
    }
    match port.map(str::parse::<u16>) {
        Some(Err(_)) => Err("the registry's port is not a number below 65536"),
        Some(Ok(_)) | None => Ok(()),
    }
}

fn check_repository(repository: &str) -> Result<(), &'static str> {
    if repository.len() > MAX_NAME {
        return Err("the repository name is longer than 255 characters");
    }
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("repository names are lower case");
    }
    if repository.split('/').all(is_path_component) { Ok(()) } else { Err("the repository name is malformed") }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_path_component(component: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends_well =
        component.bytes().next().is_some_and(is_letter) && component.bytes().next_back().is_some_and(is_letter);
    let separators: Vec<&str> = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).collect();
    let is_separator = |text: &str| matches!(text, "" | "." | "_" | "__") || text.bytes().all(|byte| byte == b'-');
    ends_well && separators.into_iter().all(is_separator)
}

fn check_tag(tag: &str) -> Result<&str, &'static str> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts_well = tag.bytes().next().is_some_and(is_word);
    if starts_well && tag.len() <= MAX_TAG && tag.bytes().all(|byte| is_word(byte) || b".-".contains(&byte)) {
        Ok(tag)
    } else {
        Err("the tag is malformed: at most 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`")
    }
}

impl Display for Reference {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/", self.registry)?;
        suffixed(formatter, (&self.repository, self.tag.as_deref(), self.digest.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(text.parse::<Reference>().unwrap().to_string(), shown);
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        assert_eq!(text.parse::<Reference>().unwrap_err().why, why);
    }

    #[test]
    fn a_reference_without_a_tag_means_latest() {
        check("registry.example/a/b", "registry.example/a/b:latest");
    }

    #[test]
    fn a_name_without_a_registry_is_on_docker_hub() {
        check("fedora:42", "docker.io/library/fedora:42");
        check("tundra/webd", "docker.io/tundra/webd:latest");
        check("index.docker.io/fedora", "docker.io/library/fedora:latest");
    }

    #[test]
    fn a_colon_before_the_last_slash_is_a_port() {
        check("localhost:5000/a", "localhost:5000/a:latest");
        check("[::1]:5000/a:b", "[::1]:5000/a:b");
    }

    #[test]
    fn a_digest_needs_no_tag_and_may_have_one() {
        let digest = Digest::of(b"");
        check(&format!("r.example/a@{digest}"), &format!("r.example/a@{digest}"));
        check(&format!("r.example/a:1@{digest}"), &format!("r.example/a:1@{digest}"));
        let both: Reference = format!("r.example/a:1@{digest}").parse().unwrap();
        assert_eq!(both.manifest_name(), digest.as_str());
    }

    #[test]
    fn a_name_keeps_what_it_says_and_gets_a_registry_where_it_says_none() {
        let name: ImageName = "fedora".parse().unwrap();
        assert_eq!((name.registry(), name.namespace(), name.to_string().as_str()), (None, None, "fedora:latest"));
        assert_eq!(name.or_in("r.example:5000").unwrap().to_string(), "r.example:5000/fedora:latest");
        let name: ImageName = "R.example:443/a/b/c:1".parse().unwrap();
        assert_eq!((name.registry(), name.namespace(), name.repository()), (Some("R.example:443"), Some("a"), "a/b/c"));
        assert_eq!(name.or_in("other.example").unwrap().to_string(), "R.example:443/a/b/c:1");
        let moved = name.with_repository("org/x").unwrap();
        assert_eq!(moved.to_string(), "R.example:443/org/x:1");
        assert_eq!(moved.with_repository("X").unwrap_err().why, "repository names are lower case");
        assert_eq!(name.or_in("-").unwrap().registry(), "R.example:443");
        assert_eq!("a".parse::<ImageName>().unwrap().or_in("-x").unwrap_err().why, "the registry is not a host name");
    }

    #[test]
    fn what_is_wrong_is_said() {
        refused("Fedora", "repository names are lower case");
        refused("a//b", "the repository name is malformed");
        refused("r.example/../b", "the repository name is malformed");
        refused("r.example:99999/b", "the registry's port is not a number below 65536");
        refused("a@sha256:12", "what follows @ is not a digest");
        refused("a___b", "the repository name is malformed");
        check("a__b-----c.d", "docker.io/library/a__b-----c.d:latest");
    }
}
