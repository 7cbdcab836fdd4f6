//! A blob on its way into a registry, uncommitted until its digest is given.
//!
//! The bytes go out as one PATCH with `Transfer-Encoding: chunked`, while they are made. That is how docker and podman
//! push, so it is what every registry is tried with (distribution, Harbor, Quay, the public ones), and it needs no
//! memory and no round trip per piece. A registry, or a proxy before it, that wants to know lengths refuses it with 400,
//! 411, 413 or 416: the write then fails with [`RegistryError::StreamRefused`], and every later upload to that registry
//! is sent as PATCHes of 16 MiB with `Content-Range` (distribution-spec, "Pushing a blob in chunks"), each of which is
//! held in memory. The caller makes the bytes again; nothing is spooled.
//!
//! What is shorter than one chunk is not sent before the commit, and travels in the closing PUT.

use std::io::{self, Write};
use std::sync::Arc;

use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, LOCATION};
use http::{BodyWriter, Bytes, CHUNK, HttpError, Method, Request, Response, ResponseHandle, StatusCode, Url};
use oci::Digest;
use tracing::debug;

use crate::RegistryError;
use crate::answer::{named, refusal};
use crate::endpoint::{Access, Endpoint};
use crate::pull::has_blob;

/// Bytes in one sized piece, where the registry does not ask for more.
const PIECE: usize = 16 << 20;

/// The largest minimum that a registry may set for pieces.
const MAX_PIECE: usize = 64 << 20;

const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// One open upload. Write the blob to it, then [`Upload::commit`] it; dropped before, it is deleted in the registry.
#[derive(Debug)]
pub struct Upload {
    endpoint: Arc<Endpoint>,
    access: Access,
    location: Url,
    piece: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Less than a chunk was written, and it is here.
    Gathering(Vec<u8>),
    /// On the way.
    Streaming { writer: BodyWriter, answer: ResponseHandle },
    /// Pieces of known length: what is not sent yet, and how much is.
    Sized { piece: Vec<u8>, sent: u64 },
    /// Everything is written; what is here goes with the closing PUT.
    Written(Vec<u8>),
    /// Something failed and was reported.
    Failed,
    /// The registry has the blob.
    Committed,
}

impl Upload {
    /// The upload that `response` (202 to `request`) opened.
    pub(crate) fn opened(
        endpoint: Arc<Endpoint>,
        access: Access,
        request: &Request,
        response: Response,
    ) -> Result<Self, RegistryError> {
        let least = response.header(&CHUNK_MIN_LENGTH).and_then(|text| text.parse().ok()).unwrap_or(0);
        let location = location(&access, request, &response)?;
        response.finish();
        let piece = PIECE.max(least);
        if piece > MAX_PIECE {
            let why = "it wants pieces larger than 64 MiB";
            return Err(RegistryError::BadAnswer { image: access.image.to_string(), request: named(request), why });
        }
        Ok(Self { endpoint, access, location, piece, state: State::Gathering(Vec::new()) })
    }

    /// Writes all of `bytes`, as [`Write`] does, with this crate's error.
    ///
    /// # Errors
    /// [`RegistryError::StreamRefused`], [`RegistryError::Unreachable`] or what the registry answered in the middle. The
    /// upload is lost then.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), RegistryError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let length = self.accept(rest)?;
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes `piece` like [`Upload::send`], but without copying it when it is large: for blobs that pass through.
    ///
    /// # Errors
    /// As for [`Upload::send`].
    pub fn send_piece(&mut self, piece: Bytes) -> Result<(), RegistryError> {
        if let State::Streaming { writer, .. } = &mut self.state {
            return writer.write_bytes(piece).map_err(|error| self.cut(error));
        }
        self.send(&piece)
    }

    /// Ends the body. The blob stays uncommitted.
    ///
    /// # Errors
    /// As for [`Upload::send`].
    pub fn close_stream(&mut self) -> Result<(), RegistryError> {
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Gathering(rest) => self.state = State::Written(rest),
            State::Sized { piece, sent } => {
                self.send_sized(piece, sent)?;
                self.state = State::Written(Vec::new());
            }
            state @ (State::Streaming { .. } | State::Written(_) | State::Failed | State::Committed) => {
                self.state = state;
                self.end_patch()?;
            }
        }
        Ok(())
    }

    /// Closes the upload as the blob `digest`, which the registry checks.
    ///
    /// # Errors
    /// [`RegistryError::Server`] when the registry got other bytes (code `DIGEST_INVALID`) or lost the upload; as for
    /// [`Upload::send`].
    pub fn commit(mut self, digest: &Digest) -> Result<(), RegistryError> {
        self.close_stream()?;
        let State::Written(rest) = std::mem::replace(&mut self.state, State::Failed) else {
            let (image, request) = (self.access.image.to_string(), "PUT".to_owned());
            return Err(RegistryError::BadAnswer { image, request, why: "the upload has failed before" });
        };
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let request = self.octets(Method::PUT, url).body(rest);
        let error = match self.endpoint.send(&request, &self.access) {
            Ok(response) if response.status().is_success() => {
                response.finish();
                self.state = State::Committed;
                return Ok(());
            }
            Ok(response) => refusal(self.access.image.to_string(), &named(&request), response),
            Err(error) => error,
        };
        // A PUT whose answer was lost is tried again, and then the upload is gone because the blob is there.
        if is_doubtful(&error) && matches!(has_blob(&self.endpoint, &self.access, digest), Ok(true)) {
            self.state = State::Committed;
            return Ok(());
        }
        Err(error)
    }

    /// Gives the upload up and deletes what the registry has of it, as dropping does.
    pub fn cancel(self) {
        drop(self);
    }

    /// Takes some of `bytes`, at least one.
    fn accept(&mut self, bytes: &[u8]) -> Result<usize, RegistryError> {
        let outcome = match &mut self.state {
            State::Gathering(_) => return self.gather(bytes),
            State::Streaming { writer, .. } => writer.accept(bytes),
            State::Sized { piece, .. } => {
                let taken = bytes.get(..self.piece - piece.len()).unwrap_or(bytes);
                piece.extend_from_slice(taken);
                let (length, is_full) = (taken.len(), piece.len() == self.piece);
                return if is_full { self.flush_piece().map(|()| length) } else { Ok(length) };
            }
            State::Written(_) | State::Failed | State::Committed => {
                let (image, request) = (self.access.image.to_string(), "PATCH".to_owned());
                return Err(RegistryError::BadAnswer { image, request, why: "the upload is closed" });
            }
        };
        outcome.map_err(|error| self.cut(error))
    }

    /// Ends the running PATCH, if there is one.
    fn end_patch(&mut self) -> Result<(), RegistryError> {
        let (writer, answer) = match std::mem::replace(&mut self.state, State::Failed) {
            State::Streaming { writer, answer } => (writer, answer),
            state @ (State::Gathering(_)
            | State::Sized { .. }
            | State::Written(_)
            | State::Failed
            | State::Committed) => {
                self.state = state;
                return Ok(());
            }
        };
        writer.finish().map_err(|error| self.access.unreachable(error))?;
        let response = answer.wait().map_err(|error| self.access.unreachable(error))?;
        self.taken(&self.patch(), response)?;
        self.state = State::Written(Vec::new());
        Ok(())
    }

    fn gather(&mut self, bytes: &[u8]) -> Result<usize, RegistryError> {
        let State::Gathering(gathered) = &mut self.state else { return Ok(0) };
        if gathered.len() + bytes.len() <= CHUNK {
            gathered.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let gathered = std::mem::take(gathered);
        self.state = if self.endpoint.takes_streams() {
            let (writer, answer) = self.endpoint.upload(&self.patch(), &self.access)?;
            State::Streaming { writer, answer }
        } else {
            State::Sized { piece: Vec::with_capacity(self.piece), sent: 0 }
        };
        self.send(&gathered)?;
        self.accept(bytes)
    }

    fn flush_piece(&mut self) -> Result<(), RegistryError> {
        if let State::Sized { piece, sent } = std::mem::replace(&mut self.state, State::Failed) {
            let sent = self.send_sized(piece, sent)?;
            self.state = State::Sized { piece: Vec::with_capacity(self.piece), sent };
        }
        Ok(())
    }

    /// Sends a piece behind the `sent` bytes that are there, and returns how many are there now.
    fn send_sized(&mut self, piece: Vec<u8>, sent: u64) -> Result<u64, RegistryError> {
        if piece.is_empty() {
            return Ok(sent);
        }
        let end = sent + piece.len() as u64;
        let range = format!("{sent}-{}", end - 1);
        let request = self.patch().header(CONTENT_RANGE, &range).map_err(|error| self.access.unreachable(error))?;
        let request = request.body(piece);
        let response = self.endpoint.send(&request, &self.access)?;
        self.taken(&request, response)?;
        Ok(end)
    }

    /// Looks at the answer to a PATCH and follows the upload to its new place.
    fn taken(&mut self, request: &Request, response: Response) -> Result<(), RegistryError> {
        let status = response.status();
        if !status.is_success() {
            return Err(self.refused(request, response));
        }
        self.location = location(&self.access, request, &response)?;
        response.finish();
        Ok(())
    }

    /// Why a write to the running PATCH failed: what the registry answered, else what broke.
    fn cut(&mut self, error: HttpError) -> RegistryError {
        let State::Streaming { answer, .. } = std::mem::replace(&mut self.state, State::Failed) else {
            let source = HttpError::Stopped { url: http::shown(&self.location) };
            return self.access.unreachable(source);
        };
        match answer.wait() {
            Ok(response) => self.refused(&self.patch(), response),
            Err(_) => self.access.unreachable(error),
        }
    }

    fn refused(&self, request: &Request, response: Response) -> RegistryError {
        let (image, status) = (self.access.image.to_string(), response.status());
        let is_about_length = matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::LENGTH_REQUIRED
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::RANGE_NOT_SATISFIABLE
        );
        if is_about_length && request.body.is_empty() && self.endpoint.takes_streams() {
            self.endpoint.refuses_streams();
            return RegistryError::StreamRefused { image, status };
        }
        refusal(image, &named(request), response)
    }

    fn patch(&self) -> Request {
        self.octets(Method::PATCH, self.location.clone())
    }

    fn octets(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(method, url);
        request.headers.insert(CONTENT_TYPE, http::header::HeaderValue::from_static("application/octet-stream"));
        request
    }

    fn delete(&mut self) {
        // A PATCH that ends well says where the upload is now. If it broke off, the registry would keep what it has
        // until it notices, and would not know the address that we do. Nothing is committed either way.
        if let Err(error) = self.end_patch() {
            debug!(image = %self.access.image, %error, "upload not ended");
        }
        let request = Request::new(Method::DELETE, self.location.clone());
        match self.endpoint.send_once(&request, &self.access) {
            Ok(response) if response.status().is_success() => response.finish(),
            Ok(response) => debug!(image = %self.access.image, status = %response.status(), "upload not deleted"),
            Err(error) => debug!(image = %self.access.image, %error, "upload not deleted"),
        }
    }
}

impl Write for Upload {
    /// Errors hold a [`RegistryError`], which [`RegistryError::from_io`] gives back.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.accept(bytes).map_err(RegistryError::into_io)
    }

    /// Does nothing: chunks go out when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    /// Deletes the upload unless it was committed; a registry that cannot be reached keeps it until it cleans up.
    fn drop(&mut self) {
        if !matches!(self.state, State::Committed) {
            self.delete();
        }
    }
}

/// Where the upload goes on: relative and absolute addresses, on any host, but not from https to http.
fn location(access: &Access, request: &Request, response: &Response) -> Result<Url, RegistryError> {
    let unusable = |why| RegistryError::BadAnswer { image: access.image.to_string(), request: named(request), why };
    let text = response.header(&LOCATION).ok_or_else(|| unusable("it does not say where the upload goes on"))?;
    let url = response.url().join(text).map_err(|_| unusable("the place of the upload is not a URL"))?;
    match (response.url().scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => Ok(url),
        (_, _) => Err(unusable("the upload would go on without TLS")),
    }
}

fn is_doubtful(error: &RegistryError) -> bool {
    match error {
        RegistryError::Unreachable { .. } => true,
        RegistryError::Server { status, .. } => status.is_server_error() || *status == StatusCode::NOT_FOUND,
        RegistryError::NotFound { .. }
        | RegistryError::BlobNotFound { .. }
        | RegistryError::Unauthorized { .. }
        | RegistryError::Denied { .. }
        | RegistryError::Credentials { .. }
        | RegistryError::DigestMismatch { .. }
        | RegistryError::SizeMismatch { .. }
        | RegistryError::NotAManifest { .. }
        | RegistryError::TooLarge { .. }
        | RegistryError::StreamRefused { .. }
        | RegistryError::BadAnswer { .. } => false,
    }
}
