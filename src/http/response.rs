//! What comes back: status, header fields and a body that is read as it arrives.

use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName};
use reqwest::{StatusCode, Url};
use tokio::sync::{mpsc, oneshot};

use crate::cancel::Cancel;
use crate::error::{Phase, classify};
use crate::options::Floor;
use crate::runtime::Runtime;
use crate::{HttpError, retry, shown};

/// Pieces of a body that wait for the reader; hyper's are at most 408 KiB each.
const PIECES_AHEAD: usize = 3;

/// The most that is read of a body nobody wants, so that its connection can be used again.
const WORTH_FINISHING: usize = 64 << 10;

/// An answer whose body has not been read yet.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    url: Url,
    body: BodyReader,
}

/// A body as it arrives. Errors hold an [`HttpError`]; a body that is shorter than announced is one.
///
/// Dropping it before the end closes the connection.
#[derive(Debug)]
pub struct BodyReader {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    /// How it ended, when it has: errors are repeated, lest somebody take a broken body for a whole one.
    end: Option<Result<(), HttpError>>,
    url: Url,
    /// Keeps the thread alive that fills `pieces`.
    _runtime: Arc<Runtime>,
}

/// `Ok(None)` is the end: a closed channel alone could also be a stopped runtime.
type Piece = Result<Option<Bytes>, HttpError>;

impl Response {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The first field called `name`, if it is there and visible ASCII.
    #[must_use]
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The announced length of the body in bytes.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.header(&CONTENT_LENGTH)?.parse().ok()
    }

    /// How long the server asks us to stay away (`Retry-After`, in seconds or as a date).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        retry::asked(&self.headers)
    }

    /// Where the answer came from, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The body, as it arrives.
    #[must_use]
    pub fn into_body(self) -> BodyReader {
        self.body
    }

    /// The whole body, `limit` bytes at most.
    ///
    /// # Errors
    /// [`HttpError::TooLarge`], or what broke the connection.
    pub fn bytes(self, limit: usize) -> Result<Vec<u8>, HttpError> {
        let mut body = self.body;
        let mut bytes = Vec::new();
        while let Some(piece) = body.next_piece()? {
            if bytes.len() + piece.len() > limit {
                return Err(HttpError::TooLarge { url: shown(&self.url), limit });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    /// Reads a short body to its end without keeping it, so that the connection can be used again.
    pub fn finish(self) {
        // Nothing depends on it: a long or broken body only costs the connection.
        drop(self.bytes(WORTH_FINISHING));
    }
}

impl BodyReader {
    /// The next piece as it came from the network, `None` at the end.
    ///
    /// # Errors
    /// What broke the connection.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        if !self.current.is_empty() {
            return Ok(Some(std::mem::take(&mut self.current)));
        }
        if let Some(end) = &self.end {
            return end.clone().map(|()| None);
        }
        let piece = self.pieces.blocking_recv().unwrap_or_else(|| Err(HttpError::Stopped { url: shown(&self.url) }));
        match &piece {
            Ok(Some(_)) => {}
            Ok(None) => self.end = Some(Ok(())),
            Err(error) => self.end = Some(Err(error.clone())),
        }
        piece
    }
}

impl BufRead for BodyReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.next_piece().map_err(HttpError::into_io)? {
                Some(piece) => self.current = piece,
                None => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        drop(self.current.split_to(amount.min(self.current.len())));
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}

/// How long the other side is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    pub(crate) idle: Duration,
    pub(crate) floor: Floor,
    pub(crate) cancel: Cancel,
}

/// Hands the head of an answer to `sender` and then, piece by piece, its body to the reader.
pub(crate) async fn deliver(
    outcome: Result<reqwest::Response, HttpError>,
    sender: oneshot::Sender<Result<Response, HttpError>>,
    runtime: Arc<Runtime>,
    patience: Patience,
) {
    // When a send fails below, the receiver is gone and nobody wants to know.
    let mut answer = match outcome {
        Ok(answer) => answer,
        Err(error) => return drop(sender.send(Err(error))),
    };
    let (status, headers, url) = (answer.status(), std::mem::take(answer.headers_mut()), answer.url().clone());
    let (pieces_in, pieces) = mpsc::channel(PIECES_AHEAD);
    let body = BodyReader { pieces, current: Bytes::new(), end: None, url: url.clone(), _runtime: runtime };
    if sender.send(Ok(Response { status, headers, url: url.clone(), body })).is_err() {
        return;
    }
    let mut pace = Pace::default();
    loop {
        let piece = next(&mut answer, &url, &patience, &mut pace).await;
        let is_last = !matches!(piece, Ok(Some(_)));
        if pieces_in.send(piece).await.is_err() || is_last {
            return;
        }
    }
}

async fn next(answer: &mut reqwest::Response, url: &Url, patience: &Patience, pace: &mut Pace) -> Piece {
    let idle = patience.idle;
    let started = Instant::now();
    let piece = match patience.cancel.or(tokio::time::timeout(idle, answer.chunk())).await {
        Some(Ok(piece)) => piece.map_err(|error| classify(url, Phase::Receiving, idle, error))?,
        Some(Err(_)) => return Err(HttpError::TimedOut { url: shown(url), phase: Phase::Receiving, after: idle }),
        None => return Err(HttpError::Cancelled { url: shown(url) }),
    };
    let Some(bytes) = &piece else { return Ok(None) };
    match pace.count(started.elapsed(), bytes.len() as u64, patience.floor) {
        Ok(()) => Ok(piece),
        Err(got) => Err(HttpError::TooSlow { url: shown(url), got, within: patience.floor.window }),
    }
}

/// What arrived in the running window, and how long that was waited for.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// Counts `bytes` that came after `waited`; the bytes of a window that ends with too few of them are the error.
    fn count(&mut self, waited: Duration, bytes: u64, floor: Floor) -> Result<(), u64> {
        self.waited += waited;
        self.bytes += bytes;
        if self.waited < floor.window {
            return Ok(());
        }
        let got = std::mem::take(self).bytes;
        if got < floor.bytes { Err(got) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_with_too_few_bytes_is_an_error_and_the_next_one_counts_anew() {
        let floor = Floor { bytes: 100, window: Duration::from_secs(10) };
        let mut pace = Pace::default();
        let mut count = |seconds, bytes| pace.count(Duration::from_secs(seconds), bytes, floor);
        assert_eq!(
            [count(9, 1), count(9, 99), count(9, 99), count(1, 0), count(0, 500)],
            [Ok(()), Ok(()), Ok(()), Err(99), Ok(())]
        );
    }
}
