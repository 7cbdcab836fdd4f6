//! Reading from a registry: manifests, and blobs that are checked while they pass.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HeaderName, RANGE};
use http::{BodyReader, Bytes, HttpError, Method, Request, Response, StatusCode};
use oci::manifest::{MAX_MANIFEST, media_type};
use oci::{Descriptor, Digest, Document, Hasher, Reference};
use tracing::debug;

use crate::answer::{named, refusal};
use crate::endpoint::{Access, Endpoint};
use crate::{Registries, RegistryError};

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A resumed blob may be resumed as often again once this many bytes have come.
const PROGRESS: u64 = 16 << 20;

/// A manifest or index as the registry holds it.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// The bytes, exactly.
    pub bytes: Vec<u8>,
    /// Its media type, digest and size; the digest was computed from the bytes.
    pub descriptor: Descriptor,
    /// What the bytes say.
    pub document: Document,
}

impl Registries {
    /// The manifest or index of `image`, by digest if it has one, else by tag.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::DigestMismatch`] when the bytes are not those asked for, or not
    /// those the registry says they are; [`RegistryError::NotAManifest`]; what else can go wrong on the way.
    pub fn resolve(&self, image: &Reference) -> Result<Pulled, RegistryError> {
        let access = Access::pull(image);
        let response = self.manifest(Method::GET, &access)?;
        let response = response.ok_or_else(|| RegistryError::NotFound { image: image.to_string() })?;
        let content_type = response.header(&CONTENT_TYPE).map(str::to_owned);
        let promised = promised_digest(&response);
        let bytes = response.bytes(MAX_MANIFEST).map_err(|error| too_large(error, &access, "the manifest"))?;
        let digest = match image.digest() {
            Some(asked) => check(image, asked, &bytes)?,
            None => Digest::of(&bytes),
        };
        if let Some(promised) = promised.as_ref().filter(|promised| **promised != digest) {
            check(image, promised, &bytes)?;
        }
        let not_a_manifest =
            |source| RegistryError::NotAManifest { image: image.to_string(), source: Box::new(source) };
        let document = Document::parse(&bytes, content_type.as_deref()).map_err(not_a_manifest)?;
        let media_type = own_media_type(&document).or(content_type).unwrap_or_default();
        let descriptor = Descriptor::new(&media_type, digest, bytes.len() as u64);
        Ok(Pulled { bytes, descriptor, document })
    }

    /// The descriptor of `image`'s manifest or index, `None` when there is none. Nothing was checked against it yet.
    ///
    /// # Errors
    /// What can go wrong on the way.
    pub fn head(&self, image: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        let Some(response) = self.manifest(Method::HEAD, &Access::pull(image))? else { return Ok(None) };
        let digest = promised_digest(&response).or_else(|| image.digest().cloned());
        let (Some(digest), Some(size)) = (digest, response.content_length()) else {
            // The specification asks for neither header; the manifest itself has all of it.
            return self.resolve(image).map(|pulled| Some(pulled.descriptor));
        };
        let media_type = response.header(&CONTENT_TYPE).unwrap_or_default();
        Ok(Some(Descriptor::new(media_type, digest, size)))
    }

    /// The blob `blob` of `image`'s repository, checked while it is read.
    ///
    /// # Errors
    /// [`RegistryError::BlobNotFound`]; [`RegistryError::SizeMismatch`] when another length is announced.
    pub fn blob(&self, image: &Reference, blob: &Descriptor) -> Result<BlobReader, RegistryError> {
        let access = Access::pull(image);
        let endpoint = self.endpoint(&access)?;
        let source = Source { endpoint, access, blob: blob.clone() };
        let body = source.open(0)?;
        let retries = source.endpoint.client().retry().delays.len();
        let hasher = Some(Hasher::new(blob.digest.algorithm()));
        Ok(BlobReader {
            source,
            body: Body::Open(body),
            hasher,
            received: 0,
            resumed_at: 0,
            retries,
            current: Bytes::new(),
        })
    }

    /// The whole blob `blob`, such as a config, checked.
    ///
    /// # Errors
    /// [`RegistryError::TooLarge`] when its descriptor says more than `limit` bytes; what [`Registries::blob`] and
    /// reading can meet.
    pub fn small_blob(&self, image: &Reference, blob: &Descriptor, limit: usize) -> Result<Vec<u8>, RegistryError> {
        if blob.size > limit as u64 {
            return Err(RegistryError::TooLarge { image: image.to_string(), what: "the blob", limit });
        }
        let mut reader = self.blob(image, blob)?;
        let mut bytes = Vec::new();
        while let Some(piece) = reader.next_piece()? {
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Whether `image`'s repository has the blob `digest`.
    ///
    /// # Errors
    /// What can go wrong on the way.
    pub fn has_blob(&self, image: &Reference, digest: &Digest) -> Result<bool, RegistryError> {
        let access = Access::pull(image);
        let endpoint = self.endpoint(&access)?;
        has_blob(&endpoint, &access, digest)
    }

    fn manifest(&self, method: Method, access: &Access) -> Result<Option<Response>, RegistryError> {
        let endpoint = self.endpoint(access)?;
        let url = endpoint.url(access, &format!("manifests/{}", access.image.manifest_name()))?;
        let request = Request::new(method, url).header(ACCEPT, &media_type::MANIFESTS.join(", "));
        let request = request.map_err(|error| access.unreachable(error))?;
        let response = endpoint.send(&request, access)?;
        match response.status() {
            StatusCode::OK => Ok(Some(response)),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(refusal(access.image.to_string(), &named(&request), response)),
        }
    }
}

/// Whether the repository of `access` has `digest`.
pub(crate) fn has_blob(endpoint: &Endpoint, access: &Access, digest: &Digest) -> Result<bool, RegistryError> {
    let request = Request::new(Method::HEAD, endpoint.url(access, &format!("blobs/{digest}"))?);
    let response = endpoint.send(&request, access)?;
    match response.status() {
        StatusCode::OK => Ok(true),
        StatusCode::NOT_FOUND => Ok(false),
        _ => Err(refusal(access.image.to_string(), &named(&request), response)),
    }
}

/// The digest that the registry itself names; one in an algorithm we do not know is as good as none.
fn promised_digest(response: &Response) -> Option<Digest> {
    response.header(&DOCKER_CONTENT_DIGEST)?.parse().ok()
}

fn check(image: &Reference, expected: &Digest, bytes: &[u8]) -> Result<Digest, RegistryError> {
    let mut hasher = Hasher::new(expected.algorithm());
    hasher.update(bytes);
    let got = hasher.finish();
    if got == *expected {
        return Ok(got);
    }
    Err(RegistryError::DigestMismatch { image: image.to_string(), expected: expected.clone(), got })
}

fn own_media_type(document: &Document) -> Option<String> {
    match document {
        Document::Manifest(manifest) => manifest.media_type.clone(),
        Document::Index(index) => index.media_type.clone(),
    }
}

fn too_large(error: HttpError, access: &Access, what: &'static str) -> RegistryError {
    if let HttpError::TooLarge { limit, .. } = error {
        return RegistryError::TooLarge { image: access.image.to_string(), what, limit };
    }
    access.unreachable(error)
}

#[derive(Debug)]
struct Source {
    endpoint: Arc<Endpoint>,
    access: Access,
    blob: Descriptor,
}

impl Source {
    /// The blob's bytes from `start` on.
    fn open(&self, start: u64) -> Result<BodyReader, RegistryError> {
        let url = self.endpoint.url(&self.access, &format!("blobs/{}", self.blob.digest))?;
        let mut request = Request::new(Method::GET, url);
        if start > 0 {
            let range = request.header(RANGE, &format!("bytes={start}-"));
            request = range.map_err(|error| self.access.unreachable(error))?;
        }
        let response = self.endpoint.send(&request, &self.access)?;
        let is_wanted = match response.status() {
            StatusCode::OK => start == 0,
            StatusCode::PARTIAL_CONTENT => start > 0 && starts_at(&response, start),
            StatusCode::NOT_FOUND => {
                let digest = self.blob.digest.clone();
                return Err(RegistryError::BlobNotFound { image: self.access.image.to_string(), digest });
            }
            _ => false,
        };
        if !is_wanted {
            return Err(refusal(self.access.image.to_string(), &named(&request), response));
        }
        match response.content_length().map(|length| start.saturating_add(length)) {
            Some(got) if got != self.blob.size => Err(self.wrong_size(got)),
            Some(_) | None => Ok(response.into_body()),
        }
    }

    fn failed_before(&self) -> RegistryError {
        let request = format!("GET {}", self.blob.digest);
        RegistryError::BadAnswer { image: self.access.image.to_string(), request, why: "reading it failed before" }
    }

    fn wrong_size(&self, got: u64) -> RegistryError {
        let (image, blob) = (self.access.image.to_string(), self.blob.digest.clone());
        RegistryError::SizeMismatch { image, blob, expected: self.blob.size, got }
    }
}

/// `Content-Range: bytes start-end/size`.
fn starts_at(response: &Response, start: u64) -> bool {
    let range = response.header(&CONTENT_RANGE).and_then(|range| range.strip_prefix("bytes "));
    range.and_then(|range| range.split_once('-')).and_then(|(first, _)| first.parse().ok()) == Some(start)
}

/// A blob as it arrives.
///
/// Its last bytes are handed out only if digest and size are right; else reading fails with
/// [`RegistryError::DigestMismatch`] or [`RegistryError::SizeMismatch`], which [`RegistryError::from_io`] gives back.
/// A connection that breaks is resumed where it broke, as often as the options' retries allow, if the server can.
#[derive(Debug)]
pub struct BlobReader {
    source: Source,
    body: Body,
    hasher: Option<Hasher>,
    received: u64,
    resumed_at: u64,
    retries: usize,
    current: Bytes,
}

#[derive(Debug)]
enum Body {
    Open(BodyReader),
    Ended,
    /// Said again when it is read again, lest somebody take a broken blob for a whole one.
    Failed,
}

impl BlobReader {
    /// The next piece as it came from the network, without copying it; `None` at the end.
    ///
    /// # Errors
    /// As for reading.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, RegistryError> {
        if !self.current.is_empty() {
            return Ok(Some(std::mem::take(&mut self.current)));
        }
        let mut body = match std::mem::replace(&mut self.body, Body::Failed) {
            Body::Open(body) => body,
            Body::Ended => {
                self.body = Body::Ended;
                return Ok(None);
            }
            Body::Failed => return Err(self.source.failed_before()),
        };
        loop {
            match body.next_piece() {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(Some(piece)) => {
                    let piece = self.pass(piece)?;
                    self.body = Body::Open(body);
                    return Ok(Some(piece));
                }
                Ok(None) => {
                    self.end()?;
                    self.body = Body::Ended;
                    return Ok(None);
                }
                Err(error) => body = self.resume(error)?,
            }
        }
    }

    fn pass(&mut self, piece: Bytes) -> Result<Bytes, RegistryError> {
        self.received += piece.len() as u64;
        if self.received > self.source.blob.size {
            return Err(self.source.wrong_size(self.received));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&piece);
        }
        if self.received == self.source.blob.size {
            self.verify()?;
        }
        Ok(piece)
    }

    /// Compares the digest, once.
    fn verify(&mut self) -> Result<(), RegistryError> {
        let expected = &self.source.blob.digest;
        match self.hasher.take().map(Hasher::finish) {
            Some(got) if got != *expected => Err(RegistryError::DigestMismatch {
                image: self.source.access.image.to_string(),
                expected: expected.clone(),
                got,
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn end(&mut self) -> Result<(), RegistryError> {
        if self.received < self.source.blob.size {
            return Err(self.source.wrong_size(self.received));
        }
        // A blob of no bytes has no last piece that would have been checked.
        self.verify()
    }

    /// A new body that goes on where the broken one ended.
    fn resume(&mut self, error: HttpError) -> Result<BodyReader, RegistryError> {
        if self.received - self.resumed_at >= PROGRESS {
            self.retries = self.source.endpoint.client().retry().delays.len();
        }
        if self.retries == 0 || !error.is_transient() {
            return Err(self.source.access.unreachable(error));
        }
        self.retries -= 1;
        self.resumed_at = self.received;
        debug!(blob = %self.source.blob.digest, at = self.received, %error, "resuming a blob");
        match self.source.open(self.received) {
            // What broke first says more than that the server cannot resume.
            Err(RegistryError::Server { .. }) => Err(self.source.access.unreachable(error)),
            opened => opened,
        }
    }
}

impl BufRead for BlobReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() {
            self.current = self.next_piece().map_err(RegistryError::into_io)?.unwrap_or_default();
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        drop(self.current.split_to(amount.min(self.current.len())));
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}
