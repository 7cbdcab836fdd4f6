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
        parse(text).map_err(|why| ReferenceError { text: text.to_owned(), why })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
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
    check_registry(&registry)?;
    check_repository(&repository)?;
    let tag = match (tag, &digest) {
        (Some(tag), _) => Some(check_tag(tag)?.to_owned()),
        (None, None) => Some("latest".to_owned()),
        (None, Some(_)) => None,
    };
    Ok(Reference { registry, repository, tag, digest })
}

/// The first component is a registry if it looks like a host: a dot, a colon, or `localhost`.
fn split_registry(name: &str) -> (String, String) {
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            let is_docker_hub = matches!(first, "docker.io" | "index.docker.io");
            let repository = if is_docker_hub && !rest.contains('/') { format!("library/{rest}") } else { rest.into() };
            (if is_docker_hub { DEFAULT_REGISTRY.to_owned() } else { first.to_owned() }, repository)
        }
        Some(_) => (DEFAULT_REGISTRY.to_owned(), name.to_owned()),
        None => (DEFAULT_REGISTRY.to_owned(), format!("library/{name}")),
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
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(formatter, "@{digest}"))
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
