//! Writing to a registry: mounts, small blobs and manifests. Large blobs go through an [`Upload`].

use http::header::{CONTENT_TYPE, HeaderName};
use http::{Method, Request, StatusCode};
use oci::{Digest, Hasher, Reference};
use tracing::debug;

use crate::answer::{named, refusal};
use crate::endpoint::Access;
use crate::{Registries, RegistryError, Upload};

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Whether a mount worked.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one value a blob, taken apart at once")]
pub enum Mounted {
    /// The blob is in the target repository now.
    Yes,
    /// It is not, and must be written to this upload, which the registry opened instead.
    No(Upload),
}

impl Registries {
    /// Makes the blob `digest` of `from`'s repository one of `to`'s too, without moving it.
    ///
    /// An upload is opened instead where the registry does not mount, and where the images are in two registries.
    ///
    /// # Errors
    /// As for [`Registries::open_upload`].
    pub fn mount(&self, to: &Reference, from: &Reference, digest: &Digest) -> Result<Mounted, RegistryError> {
        if !Self::is_same_registry(to, from) {
            return self.open_upload(to).map(Mounted::No);
        }
        let access = Access::mount(to, from);
        let endpoint = self.endpoint(&access)?;
        let mut url = endpoint.url(&access, "blobs/uploads/")?;
        url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", from.repository());
        let request = Request::new(Method::POST, url);
        let response = match endpoint.send(&request, &access) {
            // Who may not read the source repository may still write to the target.
            Err(RegistryError::Unauthorized { .. } | RegistryError::Denied { .. }) => {
                return self.open_upload(to).map(Mounted::No);
            }
            response => response?,
        };
        match response.status() {
            StatusCode::CREATED => {
                response.finish();
                Ok(Mounted::Yes)
            }
            StatusCode::ACCEPTED => {
                let access = Access::push(to);
                Upload::opened(endpoint, access, &request, response).map(Mounted::No)
            }
            status => {
                debug!(%digest, %status, "the registry does not mount");
                response.finish();
                self.open_upload(to).map(Mounted::No)
            }
        }
    }

    /// Opens an upload to `image`'s repository.
    ///
    /// # Errors
    /// [`RegistryError::Unauthorized`], [`RegistryError::Denied`], what else can go wrong on the way.
    pub fn open_upload(&self, image: &Reference) -> Result<Upload, RegistryError> {
        let access = Access::push(image);
        let endpoint = self.endpoint(&access)?;
        let request = Request::new(Method::POST, endpoint.url(&access, "blobs/uploads/")?);
        let response = endpoint.send(&request, &access)?;
        match response.status() {
            StatusCode::ACCEPTED => Upload::opened(endpoint, access, &request, response),
            _ => Err(refusal(image.to_string(), &named(&request), response)),
        }
    }

    /// Puts `bytes`, such as a config, into `image`'s repository, unless it is there already.
    ///
    /// # Errors
    /// As for [`Registries::open_upload`] and [`Upload::commit`].
    pub fn put_blob(&self, image: &Reference, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let digest = Digest::of(bytes);
        if !self.has_blob(image, &digest)? {
            let mut upload = self.open_upload(image)?;
            upload.send(bytes)?;
            upload.commit(&digest)?;
        }
        Ok(digest)
    }

    /// Puts a manifest or index under `image`'s digest, else its tag. Everything it names must be there before.
    ///
    /// # Errors
    /// [`RegistryError::DigestMismatch`] when `bytes` are not what the digest in `image` stands for, or the registry
    /// understood them otherwise; [`RegistryError::Server`] when it does not take them.
    pub fn put_manifest(&self, image: &Reference, media_type: &str, bytes: &[u8]) -> Result<Digest, RegistryError> {
        let mismatch = |expected: &Digest, got: &Digest| RegistryError::DigestMismatch {
            image: image.to_string(),
            expected: expected.clone(),
            got: got.clone(),
        };
        let mut hasher = image.digest().map_or_else(Hasher::default, |asked| Hasher::new(asked.algorithm()));
        hasher.update(bytes);
        let digest = hasher.finish();
        if let Some(asked) = image.digest().filter(|asked| **asked != digest) {
            return Err(mismatch(asked, &digest));
        }
        let access = Access::push(image);
        let endpoint = self.endpoint(&access)?;
        let url = endpoint.url(&access, &format!("manifests/{}", image.manifest_name()))?;
        let request = Request::new(Method::PUT, url).body(bytes.to_vec()).header(CONTENT_TYPE, media_type);
        let request = request.map_err(|error| access.unreachable(error))?;
        let response = endpoint.send(&request, &access)?;
        if !response.status().is_success() {
            return Err(refusal(image.to_string(), &named(&request), response));
        }
        let told: Option<Digest> = response.header(&DOCKER_CONTENT_DIGEST).and_then(|text| text.parse().ok());
        response.finish();
        match told.filter(|told| told.algorithm() == digest.algorithm() && *told != digest) {
            Some(told) => Err(mismatch(&digest, &told)),
            None => Ok(digest),
        }
    }
}
