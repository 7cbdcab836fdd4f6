//! A blob on its way into a registry, uncommitted until its digest is given.
//!
//! The bytes go out as one PATCH with `Transfer-Encoding: chunked`, while they are made. That is how docker and podman
//! push, so it is what every registry is tried with (distribution, Harbor, Quay, the public ones), and it needs no
//! round trip per piece. A registry, or a proxy before it, that wants to know lengths refuses it with 400, 411, 413 or
//! 416: from then on every upload to that registry is sent as PATCHes of 16 MiB with `Content-Range`
//! (distribution-spec, "Pushing a blob in chunks"), each of which is held in memory.
//!
//! The last 16 MiB stay at hand. When the connection breaks, or the registry answers 401 or 5xx in the middle, it is
//! asked how much it has (distribution-spec, "Getting the status"), and the upload goes on from there; where it lost
//! the upload, a new one begins if all of it is still at hand. Else the error says that it is worth pushing again:
//! the caller makes the bytes once more; nothing is spooled. Whatever happens on the way, the registry compares the
//! whole with its digest before the blob exists.
//!
//! What is shorter than one chunk is not sent before the commit, and travels in the closing PUT.

mod recovery;
mod tail;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{Bytes, CHUNK, HttpError, Method, Request, Response, StatusCode, Url};
use oci::Digest;
use tracing::debug;

use crate::RegistryError;
use crate::answer::named;
use crate::endpoint::{Access, Endpoint, Stream};
use crate::pull::has_blob;
use tail::Tail;

/// Bytes in one sized piece, where the registry does not ask for more.
const PIECE: usize = 16 << 20;

/// The largest minimum that a registry may set for pieces.
const MAX_PIECE: usize = 64 << 20;

/// Bytes of a stream that stay at hand: more than sockets and proxies usually have on the way.
const WINDOW: u64 = 16 << 20;

/// Bytes from which on copying costs more than a chunk of its own.
const WORTH_A_CHUNK: usize = 32 << 10;

/// How long a registry may take to delete an upload before it is left to its own cleaning.
const LAST_WORDS: Duration = Duration::from_secs(10);

const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// One open upload. Write the blob to it, then [`Upload::commit`] it; dropped before, it is deleted in the registry.
#[derive(Debug)]
pub struct Upload {
    endpoint: Arc<Endpoint>,
    access: Access,
    location: Url,
    piece: usize,
    /// What was written and is too little to be sent.
    chunk: Vec<u8>,
    /// What is to be sent, or was sent not long ago.
    tail: Tail,
    /// How far `tail` was handed to the running PATCH, or taken by those before.
    sent: u64,
    retries: usize,
    resumed_at: u64,
    /// Whether the registry refused the token of the request before.
    was_refused: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No PATCH is running.
    Idle,
    /// A PATCH is.
    Streaming(Box<Stream>),
    /// Everything is written and nothing is running.
    Closed,
    /// Something failed and was reported.
    Failed,
    /// The registry has the blob.
    Committed,
}

/// Why a request of an upload did not do what it should.
enum Failure {
    /// The answer to it.
    Answered(Box<Answered>),
    /// There was none.
    Lost(RegistryError),
}

/// An answer that was not hoped for.
struct Answered {
    request: Request,
    response: Response,
    kind: Body,
}

/// How the body of a request travelled.
enum Body {
    /// In memory; a 401 was answered already.
    Whole,
    /// While it was made, behind these credentials.
    Stream(Option<HeaderValue>),
}

impl Failure {
    fn answered(request: Request, response: Response, kind: Body) -> Self {
        Self::Answered(Box::new(Answered { request, response, kind }))
    }
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
        Ok(Self {
            retries: endpoint.client().retry().delays.len(),
            endpoint,
            access,
            location,
            piece,
            chunk: Vec::new(),
            tail: Tail::default(),
            sent: 0,
            resumed_at: 0,
            was_refused: false,
            state: State::Idle,
        })
    }

    /// Writes all of `bytes`, as [`Write`] does, with this crate's error.
    ///
    /// # Errors
    /// [`RegistryError::StreamRefused`], [`RegistryError::UploadLost`], [`RegistryError::Unreachable`] or what the
    /// registry answered in the middle. The upload is lost then.
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
        if !matches!(self.state, State::Streaming(_)) || piece.len() < WORTH_A_CHUNK {
            return self.send(&piece);
        }
        self.flush_chunk()?;
        self.tail.push(piece);
        self.transmit()
    }

    /// Ends the body. The blob stays uncommitted.
    ///
    /// # Errors
    /// As for [`Upload::send`].
    pub fn close_stream(&mut self) -> Result<(), RegistryError> {
        match self.state {
            State::Closed => return Ok(()),
            State::Failed | State::Committed => return Err(self.closed_before("PATCH")),
            State::Idle | State::Streaming(_) => {}
        }
        if self.tail.end() > 0 || self.chunk.len() > CHUNK {
            self.flush_chunk()?;
            self.drain()?;
        }
        self.state = State::Closed;
        Ok(())
    }

    /// Closes the upload as the blob `digest`, which the registry checks.
    ///
    /// # Errors
    /// [`RegistryError::Server`] when the registry got other bytes (code `DIGEST_INVALID`); as for [`Upload::send`].
    pub fn commit(mut self, digest: &Digest) -> Result<(), RegistryError> {
        self.close_stream()?;
        loop {
            let rest = std::mem::take(&mut self.chunk);
            self.tail.push(Bytes::from(rest));
            if self.tail.end() - self.sent > CHUNK as u64 {
                self.state = State::Idle;
                self.drain()?;
            }
            let failure = match self.put(digest) {
                Ok(()) => {
                    self.state = State::Committed;
                    return Ok(());
                }
                Err(failure) => failure,
            };
            // A PUT whose answer was lost may have done its work, and then the upload is gone.
            if is_doubtful(&failure) && matches!(has_blob(&self.endpoint, &self.access, digest), Ok(true)) {
                self.state = State::Committed;
                return Ok(());
            }
            self.recover(failure)?;
        }
    }

    /// Gives the upload up and deletes what the registry has of it, as dropping does.
    pub fn cancel(self) {
        drop(self);
    }

    /// Takes some of `bytes`, at least one.
    fn accept(&mut self, bytes: &[u8]) -> Result<usize, RegistryError> {
        match self.state {
            State::Closed | State::Failed | State::Committed => return Err(self.closed_before("PATCH")),
            State::Idle | State::Streaming(_) => {}
        }
        if self.chunk.len() >= self.full() {
            self.flush_chunk()?;
        }
        // Another thread may have learned meanwhile that streams are refused: then there is more room.
        let room = self.full().saturating_sub(self.chunk.len()).max(1);
        let taken = bytes.get(..room).unwrap_or(bytes);
        if self.chunk.capacity() == 0 && self.tail.end() > 0 {
            self.chunk.reserve_exact(self.full());
        }
        self.chunk.extend_from_slice(taken);
        Ok(taken.len())
    }

    /// Bytes that go out together.
    fn full(&self) -> usize {
        match self.state {
            State::Streaming(_) => CHUNK,
            State::Idle | State::Closed | State::Failed | State::Committed => {
                if self.endpoint.takes_streams() {
                    CHUNK
                } else {
                    self.piece
                }
            }
        }
    }

    fn flush_chunk(&mut self) -> Result<(), RegistryError> {
        self.tail.push(Bytes::from(std::mem::take(&mut self.chunk)));
        self.transmit()
    }

    /// Sends what was not sent.
    fn transmit(&mut self) -> Result<(), RegistryError> {
        while let Some(piece) = self.tail.at(self.sent) {
            let length = piece.len() as u64;
            let (transmitted, window) = match self.state {
                // What the registry said it has need not be kept.
                State::Idle if !self.endpoint.takes_streams() => (self.send_sized(piece), 0),
                State::Idle | State::Streaming(_) => (self.stream(piece), WINDOW),
                State::Closed | State::Failed | State::Committed => return Err(self.closed_before("PATCH")),
            };
            match transmitted {
                Ok(()) => {
                    self.sent += length;
                    self.tail.forget(self.sent, window);
                }
                Err(failure) => self.recover(failure)?,
            }
        }
        Ok(())
    }

    /// Sends everything and waits until the registry has it.
    fn drain(&mut self) -> Result<(), RegistryError> {
        loop {
            self.transmit()?;
            if !self.chunk.is_empty() && self.tail.end() == self.sent {
                // Only after a refused stream: what was sent is to be sent again, in pieces.
                self.flush_chunk()?;
            }
            match self.end_patch() {
                Ok(()) if self.chunk.is_empty() && self.tail.end() == self.sent => return Ok(()),
                Ok(()) => {}
                Err(failure) => self.recover(failure)?,
            }
        }
    }

    /// Writes `piece` to the running PATCH, or starts one.
    fn stream(&mut self, piece: Bytes) -> Result<(), Failure> {
        let mut stream = match std::mem::replace(&mut self.state, State::Failed) {
            State::Streaming(stream) => stream,
            State::Idle | State::Closed | State::Failed | State::Committed => {
                Box::new(self.endpoint.upload(&self.patch(), &self.access).map_err(Failure::Lost)?)
            }
        };
        match stream.writer.write_bytes(piece) {
            Ok(()) => {
                self.state = State::Streaming(stream);
                Ok(())
            }
            Err(error) => Err(self.cut(*stream, error)),
        }
    }

    /// Ends the running PATCH, if there is one.
    fn end_patch(&mut self) -> Result<(), Failure> {
        let stream = match std::mem::replace(&mut self.state, State::Failed) {
            State::Streaming(stream) => stream,
            state @ (State::Idle | State::Closed | State::Failed | State::Committed) => {
                self.state = state;
                return Ok(());
            }
        };
        let stream = *stream;
        let lost = |error| Failure::Lost(self.access.unreachable(error));
        stream.writer.finish().map_err(lost)?;
        let response = stream.answer.wait().map_err(lost)?;
        self.taken(self.patch(), response, Body::Stream(stream.shown))?;
        self.state = State::Idle;
        Ok(())
    }

    /// Sends a piece behind the bytes that are there.
    fn send_sized(&mut self, piece: Bytes) -> Result<(), Failure> {
        let range = format!("{}-{}", self.sent, self.sent + piece.len() as u64 - 1);
        let lost = |error| Failure::Lost(self.access.unreachable(error));
        let request = self.patch().header(CONTENT_RANGE, &range).map_err(lost)?.body(piece);
        let response = self.endpoint.attempt(&request, &self.access).map_err(Failure::Lost)?;
        self.taken(request, response, Body::Whole)
    }

    fn put(&mut self, digest: &Digest) -> Result<(), Failure> {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let mut rest = Vec::new();
        while let Some(piece) = self.tail.at(self.sent + rest.len() as u64) {
            rest.extend_from_slice(&piece);
        }
        let request = self.octets(Method::PUT, url).body(rest);
        let response = self.endpoint.attempt(&request, &self.access).map_err(Failure::Lost)?;
        if response.status().is_success() {
            response.finish();
            return Ok(());
        }
        Err(Failure::answered(request, response, Body::Whole))
    }

    /// Looks at the answer to a PATCH and follows the upload to its new place.
    fn taken(&mut self, request: Request, response: Response, kind: Body) -> Result<(), Failure> {
        if !response.status().is_success() {
            return Err(Failure::answered(request, response, kind));
        }
        self.location = location(&self.access, &request, &response).map_err(Failure::Lost)?;
        self.was_refused = false;
        response.finish();
        Ok(())
    }

    /// Why a write to `stream` failed: what the registry answered, else what broke.
    fn cut(&self, stream: Stream, error: HttpError) -> Failure {
        drop(stream.writer);
        match stream.answer.wait() {
            Ok(response) => Failure::answered(self.patch(), response, Body::Stream(stream.shown)),
            Err(_) => Failure::Lost(self.access.unreachable(error)),
        }
    }

    fn patch(&self) -> Request {
        self.octets(Method::PATCH, self.location.clone())
    }

    fn octets(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(method, url);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        request
    }

    fn closed_before(&self, method: &str) -> RegistryError {
        let (image, request) = (self.access.image.to_string(), method.to_owned());
        let why = match self.state {
            State::Failed => "the upload has failed before",
            State::Idle | State::Streaming(_) | State::Closed | State::Committed => "the upload is closed",
        };
        RegistryError::BadAnswer { image, request, why }
    }

    fn delete(&mut self) {
        // A PATCH that ends well says where the upload is now. If it broke off, the registry would keep what it has
        // until it notices, and would not know the address that we do. Nothing is committed either way.
        if self.end_patch().is_err() {
            debug!(image = %self.access.image, "upload not ended");
        }
        let request = Request::new(Method::DELETE, self.location.clone());
        match self.endpoint.say_at_last(&request, &self.access, LAST_WORDS) {
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

/// Whether the request may have done its work although it failed.
fn is_doubtful(failure: &Failure) -> bool {
    match failure {
        Failure::Answered(answered) => {
            let status = answered.response.status();
            status.is_server_error() || status == StatusCode::NOT_FOUND
        }
        Failure::Lost(error) => matches!(error, RegistryError::Unreachable { .. }),
    }
}
