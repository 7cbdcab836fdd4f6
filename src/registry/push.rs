//! Writing to a registry: mounts, small blobs and manifests. Large blobs go through an [`Upload`].

use std::io::{self, Read};

use http::header::{CONTENT_TYPE, HeaderName};
use http::{CHUNK, Method, Request, StatusCode, with_causes};
use oci::{Digest, Hasher, Reference};
use tracing::{debug, warn};

use crate::answer::{named, refusal};
use crate::endpoint::Access;
use crate::{Registries, RegistryError, Upload};

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

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
        let (target, source) = (self.target(to)?, self.target(from));
        // Where the source lives elsewhere, or may not be touched, there is nothing to mount.
        let Some(source) = source.ok().filter(|source| source.image.registry() == target.image.registry()) else {
            return self.open_upload(to).map(Mounted::No);
        };
        let access = Access::mount(&target, &source.image);
        let endpoint = self.endpoint(&access)?;
        let mut url = endpoint.url(&access, "blobs/uploads/")?;
        url.query_pairs_mut().append_pair("mount", digest.as_str()).append_pair("from", source.image.repository());
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
                let access = Access::push(&target);
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
        let access = Access::push(&self.target(image)?);
        let endpoint = self.endpoint(&access)?;
        let (request, response) = endpoint.open_upload(&access)?;
        Upload::opened(endpoint, access, &request, response)
    }

    /// Puts the blob `digest` into `image`'s repository, unless it is there already: for blobs that can be read again.
    ///
    /// `open` gives its bytes from the start; it is called again when the upload broke off and the registry could not
    /// go on with it, as often as the options' retries allow.
    ///
    /// # Errors
    /// [`RegistryError::Unreadable`] for what `open` gives; as for [`Registries::open_upload`] and [`Upload::commit`].
    pub fn put_blob_from(
        &self,
        image: &Reference,
        digest: &Digest,
        open: &mut dyn FnMut() -> io::Result<Box<dyn Read + Send>>,
    ) -> Result<(), RegistryError> {
        let delays = self.inner.client.retry().delays.clone();
        let mut delays = delays.into_iter();
        loop {
            let error = match self.put_blob_once(image, digest, open) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let Some(delay) = delays.next().filter(|_| error.is_transient()) else { return Err(error) };
            warn!(%image, %digest, error = with_causes(&error), "pushing the blob again");
            self.inner.client.pause(delay);
        }
    }

    fn put_blob_once(
        &self,
        image: &Reference,
        digest: &Digest,
        open: &mut dyn FnMut() -> io::Result<Box<dyn Read + Send>>,
    ) -> Result<(), RegistryError> {
        if self.has_blob(image, digest)? {
            return Ok(());
        }
        let unreadable = |source: io::Error| {
            let (image, blob) = (image.to_string(), digest.clone());
            RegistryError::from_io(source).unwrap_or_else(|source| RegistryError::Unreadable { image, blob, source })
        };
        let mut upload = self.open_upload(image)?;
        let mut bytes = open().map_err(unreadable)?;
        let mut buffer = vec![0; CHUNK];
        loop {
            match bytes.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => upload.send(buffer.get(..read).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        upload.commit(digest)
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
        self.put(image, media_type, bytes).map(|put| put.digest)
    }

    pub(crate) fn put(&self, image: &Reference, media_type: &str, bytes: &[u8]) -> Result<Put, RegistryError> {
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
        let access = Access::push(&self.target(image)?);
        let endpoint = self.endpoint(&access)?;
        let url = endpoint.url(&access, &format!("manifests/{}", access.image.manifest_name()))?;
        let request = Request::new(Method::PUT, url).body(bytes.to_vec()).header(CONTENT_TYPE, media_type);
        let request = request.map_err(|error| access.unreachable(error))?;
        let response = endpoint.send(&request, &access)?;
        if !response.status().is_success() {
            return Err(refusal(image.to_string(), &named(&request), response));
        }
        let told: Option<Digest> = response.header(&DOCKER_CONTENT_DIGEST).and_then(|text| text.parse().ok());
        let knows_subject = response.header(&OCI_SUBJECT).is_some();
        response.finish();
        match told.filter(|told| told.algorithm() == digest.algorithm() && *told != digest) {
            Some(told) => Err(mismatch(&digest, &told)),
            None => Ok(Put { digest, knows_subject }),
        }
    }
}

/// What a registry said about a manifest that it took.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) digest: Digest,
    /// Whether it understood the manifest's `subject` (distribution-spec, "Pushing Manifests with Subject").
    pub(crate) knows_subject: bool,
}
