//! What belongs to an image: signatures, records and other artifacts whose manifest names it as its `subject`.
//!
//! Registries that know `subject` keep the list themselves (distribution-spec 1.1, "Listing Referrers"). For the
//! others the client keeps it, as an index under a tag made of the image's digest ("Referrers Tag Schema").

use std::collections::BTreeMap;

use http::header::{ACCEPT, HeaderName, LINK};
use http::{Method, Request, Response, StatusCode, Url, is_same_origin};
use oci::manifest::{MAX_MANIFEST, canonical, media_type};
use oci::{Descriptor, Digest, Document, Index, Reference};
use serde::Deserialize;
use serde_json::{Map, Value};
use tracing::{debug, warn};

use crate::answer::{named, refusal};
use crate::endpoint::{Access, Endpoint};
use crate::places::Tried;
use crate::pull::{resolve, too_large};
use crate::{Registries, RegistryError};

/// Pages read of one list.
const MAX_PAGES: usize = 100;

/// Artifacts read of one list.
const MAX_REFERRERS: usize = 10_000;

/// How often a list that others change at the same time is written again.
const ATTEMPTS: usize = 3;

const OCI_FILTERS: HeaderName = HeaderName::from_static("oci-filters-applied");

/// What is read of an artifact's manifest.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Artifact {
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Config>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    media_type: String,
}

impl Registries {
    /// The artifacts that belong to the manifest `digest` in `image`'s repository, in the registry's order; none
    /// where there is no such image.
    ///
    /// Mirrors are not asked, as they seldom have them. Nothing was checked against the descriptors yet.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] for a list without an end; what can go wrong on the way.
    pub fn referrers(&self, image: &Reference, digest: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        let mut tried = Tried::new(image);
        for place in self.places(image)?.iter().filter(|place| !place.is_mirror) {
            let access = Access::pull(place);
            let listed = self.endpoint(&access).and_then(|endpoint| list(&endpoint, &access, digest));
            match listed {
                Ok(listed) => return Ok(listed),
                Err(error) => tried.add(place, error)?,
            }
        }
        Err(tried.into_error())
    }

    /// Puts the manifest `artifact`, whose `subject` is a manifest in `image`'s repository, there under its digest,
    /// and sees to it that [`Registries::referrers`] finds it. Everything it names must be there before.
    ///
    /// Where the client keeps the list, two that write it in one moment may lose an entry in spite of a second look.
    ///
    /// # Errors
    /// [`RegistryError::NotAnArtifact`] without a `subject`; as for [`Registries::put_manifest`].
    pub fn attach(&self, image: &Reference, artifact: &[u8]) -> Result<Descriptor, RegistryError> {
        let refused = |why| RegistryError::NotAnArtifact { image: image.to_string(), why };
        let parsed: Artifact =
            serde_json::from_slice(artifact).map_err(|_| refused("the artifact's manifest is no manifest"))?;
        let subject = parsed.subject.clone().ok_or_else(|| refused("the artifact's manifest names no subject"))?;
        let descriptor = parsed.descriptor(artifact);
        let name = image.pinned(descriptor.digest.clone());
        if !self.put(&name, &descriptor.media_type, artifact)?.knows_subject {
            self.list_by_tag(image, &subject.digest, &descriptor)?;
        }
        Ok(descriptor)
    }

    /// Adds `artifact` to the list under the tag of `subject`.
    fn list_by_tag(&self, image: &Reference, subject: &Digest, artifact: &Descriptor) -> Result<(), RegistryError> {
        let tag = tagged(image, subject)?;
        let mut access = Access::push(&self.target(image)?);
        access.image = tagged(&access.image, subject)?;
        let endpoint = self.endpoint(&access)?;
        for _ in 0..ATTEMPTS {
            let mut index = listed_by_tag(&endpoint, &access)?.unwrap_or_else(empty);
            if index.manifests.iter().any(|known| known.digest == artifact.digest) {
                return Ok(());
            }
            debug!(%tag, artifact = %artifact.digest, "listing an artifact by tag");
            index.manifests.push(artifact.clone());
            let why = "the list of artifacts cannot be written";
            let bytes = canonical(&index).map_err(|_| RegistryError::NotAnArtifact { image: tag.to_string(), why })?;
            self.put(&tag, media_type::OCI_INDEX, &bytes)?;
        }
        // The last write may well be there; only a look says so.
        let index = listed_by_tag(&endpoint, &access)?.unwrap_or_else(empty);
        if !index.manifests.iter().any(|known| known.digest == artifact.digest) {
            warn!(%tag, artifact = %artifact.digest, "others keep changing the list of artifacts; it lacks this one");
        }
        Ok(())
    }
}

impl Artifact {
    /// The entry for a list ("Pushing Manifests with Subject": type and annotations come from the manifest).
    fn descriptor(&self, bytes: &[u8]) -> Descriptor {
        let media_type = self.media_type.as_deref().unwrap_or(media_type::OCI_MANIFEST);
        let mut descriptor = Descriptor::new(media_type, Digest::of(bytes), bytes.len() as u64);
        descriptor.annotations.clone_from(&self.annotations);
        let config = self.config.as_ref().map(|config| &config.media_type);
        if let Some(kind) = self.artifact_type.as_ref().filter(|kind| !kind.is_empty()).or(config) {
            descriptor.other.insert("artifactType".to_owned(), Value::String(kind.clone()));
        }
        descriptor
    }
}

fn empty() -> Index {
    Index {
        schema_version: 2,
        media_type: Some(media_type::OCI_INDEX.to_owned()),
        manifests: Vec::new(),
        annotations: BTreeMap::new(),
        other: Map::new(),
    }
}

/// `image`'s repository at the tag for `digest`: algorithm and hexadecimal digits, at most 32 and 64 of them.
fn tagged(image: &Reference, digest: &Digest) -> Result<Reference, RegistryError> {
    let (algorithm, hex) = digest.as_str().split_once(':').unwrap_or_default();
    let cut = |text: &str, length| text.chars().take(length).collect::<String>();
    let why = "the tag for its artifacts is malformed";
    format!("{}:{}-{}", image.name(), cut(algorithm, 32), cut(hex, 64))
        .parse()
        .map_err(|_| RegistryError::NotAnArtifact { image: image.to_string(), why })
}

fn list(endpoint: &Endpoint, access: &Access, digest: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
    let mut url = endpoint.url(access, &format!("referrers/{digest}"))?;
    let mut found = Vec::new();
    for _ in 0..MAX_PAGES {
        let request = Request::new(Method::GET, url).header(ACCEPT, media_type::OCI_INDEX);
        let request = request.map_err(|error| access.unreachable(error))?;
        let response = endpoint.send(&request, access)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND if found.is_empty() => {
                response.finish();
                let access = Access { image: tagged(&access.image, digest)?, ..access.clone() };
                return Ok(listed_by_tag(endpoint, &access)?.map(|index| index.manifests).unwrap_or_default());
            }
            _ => return Err(refusal(access.image.to_string(), &named(&request), response)),
        }
        debug!(filters = response.header(&OCI_FILTERS), "a page of artifacts");
        let next = next_page(&response);
        let bytes = response.bytes(MAX_MANIFEST).map_err(|error| too_large(error, access, "the list of artifacts"))?;
        let why = "it is no index";
        let unusable = || RegistryError::BadAnswer { image: access.image.to_string(), request: named(&request), why };
        let index: Index = serde_json::from_slice(&bytes).map_err(|_| unusable())?;
        found.extend(index.manifests);
        match next {
            Some(next) if found.len() <= MAX_REFERRERS => url = next,
            Some(_) => break,
            None => return Ok(found),
        }
    }
    let image = access.image.to_string();
    Err(RegistryError::TooLarge { image, what: "the list of artifacts", limit: MAX_REFERRERS })
}

/// The index under the tag that is `access`'s image, if there is one.
fn listed_by_tag(endpoint: &Endpoint, access: &Access) -> Result<Option<Index>, RegistryError> {
    match resolve(endpoint, access) {
        Ok(pulled) => match pulled.document {
            Document::Index(index) => Ok(Some(index)),
            Document::Manifest(_) => {
                let why = "the tag for an image's artifacts is an image";
                let request = format!("GET {}", access.image.manifest_name());
                Err(RegistryError::BadAnswer { image: access.image.to_string(), request, why })
            }
        },
        Err(RegistryError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// `Link: <…>; rel="next"` (RFC 8288), within the registry.
fn next_page(response: &Response) -> Option<Url> {
    let link = response.header(&LINK)?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    let url = response.url().join(target).ok()?;
    let is_next = parameters.contains(r#"rel="next""#) || parameters.contains("rel=next");
    (is_next && is_same_origin(&url, response.url())).then_some(url)
}
