//! Reading from a registry: manifests, and blobs that are checked while they pass.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use http::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE, HeaderName, RANGE};
use http::{BodyReader, Bytes, HttpError, Method, Request, Response, StatusCode, with_causes};
use oci::manifest::{MAX_MANIFEST, media_type};
use oci::{Descriptor, Digest, Document, Hasher, Reference};
use tracing::debug;

use crate::answer::{named, refusal};
use crate::endpoint::{Access, Endpoint};
use crate::places::Tried;
use crate::{Candidate, Kind, Registries, RegistryError};

const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// A resumed transfer may be resumed as often again once this many bytes have come.
pub(crate) const PROGRESS: u64 = 16 << 20;

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
        self.first(image, |endpoint, access| resolve(endpoint, access))
    }

    /// The descriptor of `image`'s manifest or index, `None` when there is none. Nothing was checked against it yet.
    ///
    /// # Errors
    /// What can go wrong on the way.
    pub fn head(&self, image: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        match self.first(image, |endpoint, access| head(endpoint, access)) {
            Ok(descriptor) => Ok(Some(descriptor)),
            Err(error) if error.kind() == Kind::NoSuchImage => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The blob `blob` of `image`'s repository, checked while it is read: from the place that gave the manifest, else
    /// from another.
    ///
    /// # Errors
    /// [`RegistryError::BlobNotFound`]; [`RegistryError::SizeMismatch`] when another length is announced.
    pub fn blob(&self, image: &Reference, blob: &Descriptor) -> Result<BlobReader, RegistryError> {
        let mut source = Source {
            registries: self.clone(),
            places: self.places(image)?.into(),
            place: None,
            tried: Tried::new(image),
            blob: blob.clone(),
        };
        let (body, skip) = source.open_somewhere(0)?;
        Ok(BlobReader {
            body: Body::Open(body),
            hasher: Some(Hasher::new(blob.digest.algorithm())),
            received: 0,
            skip,
            resumed_at: 0,
            retries: source.retries(),
            source,
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

    /// Whether the repository that `image` is pushed to has the blob `digest`.
    ///
    /// # Errors
    /// What can go wrong on the way.
    pub fn has_blob(&self, image: &Reference, digest: &Digest) -> Result<bool, RegistryError> {
        let access = Access::pull(&self.target(image)?);
        let endpoint = self.endpoint(&access)?;
        has_blob(&endpoint, &access, digest)
    }
}

/// The manifest or index that `access` is about.
pub(crate) fn resolve(endpoint: &Endpoint, access: &Access) -> Result<Pulled, RegistryError> {
    let image = &access.image;
    let response = manifest(endpoint, Method::GET, access)?;
    let content_type = response.header(&CONTENT_TYPE).map(str::to_owned);
    let promised = promised_digest(&response);
    let bytes = response.bytes(MAX_MANIFEST).map_err(|error| too_large(error, access, "the manifest"))?;
    let digest = match image.digest() {
        Some(asked) => check(image, asked, &bytes)?,
        None => Digest::of(&bytes),
    };
    if let Some(promised) = promised.as_ref().filter(|promised| **promised != digest) {
        check(image, promised, &bytes)?;
    }
    let not_a_manifest = |source| RegistryError::NotAManifest { image: image.to_string(), source: Box::new(source) };
    let document = Document::parse(&bytes, content_type.as_deref()).map_err(not_a_manifest)?;
    let media_type = own_media_type(&document).or(content_type).unwrap_or_default();
    let descriptor = Descriptor::new(&media_type, digest, bytes.len() as u64);
    Ok(Pulled { bytes, descriptor, document })
}

fn head(endpoint: &Endpoint, access: &Access) -> Result<Descriptor, RegistryError> {
    let response = manifest(endpoint, Method::HEAD, access)?;
    let digest = promised_digest(&response).or_else(|| access.image.digest().cloned());
    let (Some(digest), Some(size)) = (digest, response.content_length()) else {
        // The specification asks for neither header; the manifest itself has all of it.
        return resolve(endpoint, access).map(|pulled| pulled.descriptor);
    };
    let media_type = response.header(&CONTENT_TYPE).unwrap_or_default();
    Ok(Descriptor::new(media_type, digest, size))
}

fn manifest(endpoint: &Endpoint, method: Method, access: &Access) -> Result<Response, RegistryError> {
    let url = endpoint.url(access, &format!("manifests/{}", access.image.manifest_name()))?;
    let request = Request::new(method, url).header(ACCEPT, &media_type::MANIFESTS.join(", "));
    let request = request.map_err(|error| access.unreachable(error))?;
    let response = endpoint.send(&request, access)?;
    match response.status() {
        StatusCode::OK => Ok(response),
        StatusCode::NOT_FOUND => Err(RegistryError::NotFound { image: access.image.to_string() }),
        _ => Err(refusal(access.image.to_string(), &named(&request), response)),
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

pub(crate) fn too_large(error: HttpError, access: &Access, what: &'static str) -> RegistryError {
    if let HttpError::TooLarge { limit, .. } = error {
        return RegistryError::TooLarge { image: access.image.to_string(), what, limit };
    }
    access.unreachable(error)
}

/// A place that is spoken to.
#[derive(Debug)]
struct Place {
    endpoint: Arc<Endpoint>,
    access: Access,
    candidate: Candidate,
}

/// Where a blob comes from.
#[derive(Debug)]
struct Source {
    registries: Registries,
    /// The places that were not tried yet.
    places: VecDeque<Candidate>,
    /// The one that is read from.
    place: Option<Place>,
    tried: Tried,
    blob: Descriptor,
}

impl Source {
    /// The blob's bytes from `start` on, from the next place that gives them; how many to skip before they come.
    fn open_somewhere(&mut self, start: u64) -> Result<(BodyReader, u64), RegistryError> {
        while let Some(candidate) = self.places.pop_front() {
            self.tried.warn();
            let access = Access { has_others: !self.places.is_empty(), ..Access::pull(&candidate) };
            let opened = self.registries.endpoint(&access).and_then(|endpoint| {
                let opened = open(&endpoint, &access, &self.blob, start);
                self.place = Some(Place { endpoint, access, candidate: candidate.clone() });
                opened
            });
            match opened {
                Ok(opened) => return Ok(opened),
                Err(error) => self.tried.add(&candidate, error)?,
            }
        }
        let image = self.image();
        Err(std::mem::replace(&mut self.tried, Tried::new(&image)).into_error())
    }

    /// As often as a place may break before it is left.
    fn retries(&self) -> usize {
        self.place.as_ref().map_or(0, |place| place.endpoint.client().retry().delays.len())
    }

    /// Where it comes from at the moment.
    fn image(&self) -> Reference {
        self.place.as_ref().map_or_else(|| self.tried.image().clone(), |place| place.access.image.clone())
    }

    fn failed_before(&self) -> RegistryError {
        let request = format!("GET {}", self.blob.digest);
        RegistryError::BadAnswer { image: self.image().to_string(), request, why: "reading it failed before" }
    }

    fn wrong_size(&self, got: u64) -> RegistryError {
        wrong_size(&self.image(), &self.blob, got)
    }
}

fn wrong_size(image: &Reference, blob: &Descriptor, got: u64) -> RegistryError {
    let (image, expected) = (image.to_string(), blob.size);
    RegistryError::SizeMismatch { image, blob: blob.digest.clone(), expected, got }
}

/// The bytes of `blob` from `start` on; how many others come before them, where the server knows no ranges.
fn open(
    endpoint: &Endpoint,
    access: &Access,
    blob: &Descriptor,
    start: u64,
) -> Result<(BodyReader, u64), RegistryError> {
    let mut request = Request::new(Method::GET, endpoint.url(access, &format!("blobs/{}", blob.digest))?);
    if start > 0 {
        let range = request.header(RANGE, &format!("bytes={start}-"));
        request = range.map_err(|error| access.unreachable(error))?;
    }
    let response = endpoint.send(&request, access)?;
    let skipped = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if start > 0 && starts_at(&response, start) => start,
        StatusCode::NOT_FOUND => {
            let image = access.image.to_string();
            return Err(RegistryError::BlobNotFound { image, digest: blob.digest.clone() });
        }
        _ => return Err(refusal(access.image.to_string(), &named(&request), response)),
    };
    match response.content_length().map(|length| skipped.saturating_add(length)) {
        Some(got) if got != blob.size => Err(wrong_size(&access.image, blob, got)),
        Some(_) | None => Ok((response.into_body(), start - skipped)),
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
/// A connection that breaks is resumed where it broke, as often as the options' retries allow, and after that at the
/// next place of the image.
#[derive(Debug)]
pub struct BlobReader {
    source: Source,
    body: Body,
    hasher: Option<Hasher>,
    received: u64,
    /// Bytes that came before and are sent once more.
    skip: u64,
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
                Ok(Some(mut piece)) => {
                    let again = usize::try_from(self.skip).unwrap_or(usize::MAX).min(piece.len());
                    self.skip -= again as u64;
                    drop(piece.split_to(again));
                    if piece.is_empty() {
                        continue;
                    }
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
                image: self.source.image().to_string(),
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
        let Some(Place { endpoint, access, candidate }) = &self.source.place else {
            return Err(self.source.failed_before());
        };
        if self.received - self.resumed_at >= PROGRESS {
            self.retries = self.source.retries();
        }
        let mut broken = access.unreachable(error);
        while self.retries > 0 && broken.is_transient() {
            self.retries -= 1;
            self.resumed_at = self.received;
            debug!(blob = %self.source.blob.digest, at = self.received, error = with_causes(&broken), "resuming a blob");
            match open(endpoint, access, &self.source.blob, self.received) {
                Ok((body, skip)) => {
                    self.skip = skip;
                    return Ok(body);
                }
                // What broke first says more than that the server cannot resume.
                Err(RegistryError::Server { status, .. }) if status.is_client_error() => break,
                Err(error) => broken = error,
            }
        }
        self.source.tried.add(candidate, broken)?;
        let (body, skip) = self.source.open_somewhere(self.received)?;
        (self.skip, self.retries) = (skip, self.source.retries());
        Ok(body)
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
