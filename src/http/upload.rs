//! Requests whose body the caller writes while it travels.

use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::{CONTENT_LENGTH, HeaderValue};
use tokio::sync::oneshot;

use crate::error::{Phase, classify};
use crate::pipe::{Pipe, PipeStream};
use crate::response::Patience;
use crate::runtime::Runtime;
use crate::{HttpError, Response, response, shown};

/// Bytes gathered before a chunk goes out.
pub const CHUNK: usize = 256 << 10;

/// Bytes from which on copying costs more than a chunk more.
const WORTH_A_CHUNK: usize = 32 << 10;

/// The body of a running request. Dropping it without [`BodyWriter::finish`] breaks the request off.
#[derive(Debug)]
pub struct BodyWriter {
    pipe: Arc<Pipe>,
    chunk: Vec<u8>,
    is_finished: bool,
}

/// The answer to an upload, when it comes.
#[derive(Debug)]
pub struct ResponseHandle {
    head: oneshot::Receiver<Result<Response, HttpError>>,
    url: Url,
    /// Keeps the thread alive that sends the body.
    _runtime: Arc<Runtime>,
}

pub(crate) struct Limits {
    pub(crate) length: Option<u64>,
    pub(crate) patience: Patience,
}

pub(crate) fn start(
    client: &reqwest::Client,
    runtime: &Arc<Runtime>,
    mut request: reqwest::Request,
    limits: Limits,
) -> Result<(BodyWriter, ResponseHandle), HttpError> {
    let pipe = Arc::new(Pipe::default());
    if let Some(length) = limits.length {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    *request.body_mut() = Some(reqwest::Body::wrap_stream(PipeStream(Arc::clone(&pipe))));
    let url = request.url().clone();
    let (sender, head) = oneshot::channel();
    let task = run(client.clone(), request, Arc::clone(&pipe), limits.patience.clone());
    let kept = Arc::clone(runtime);
    let body = Arc::clone(&pipe);
    runtime.spawn(async move {
        response::deliver(task.await, sender, kept, limits.patience).await;
        body.over();
    })?;
    let writer = BodyWriter { pipe, chunk: Vec::with_capacity(CHUNK), is_finished: false };
    Ok((writer, ResponseHandle { head, url, _runtime: Arc::clone(runtime) }))
}

/// Waits for the answer, and closes the pipe when it is there or will never come.
async fn run(
    client: reqwest::Client,
    request: reqwest::Request,
    pipe: Arc<Pipe>,
    patience: Patience,
) -> Result<reqwest::Response, HttpError> {
    let (url, idle) = (request.url().clone(), patience.idle);
    let mut exchange = pin!(client.execute(request));
    let mut stall = pin!(stall(&pipe, idle));
    let exchanged = poll_fn(|context| {
        if let Poll::Ready(outcome) = exchange.as_mut().poll(context) {
            return Poll::Ready(outcome.map_err(|error| classify(&url, Phase::Sending, idle, error)));
        }
        let timed_out = || HttpError::TimedOut { url: shown(&url), phase: Phase::Sending, after: idle };
        stall.as_mut().poll(context).map(|()| Err(timed_out()))
    });
    let outcome = patience.cancel.or(exchanged).await;
    let outcome = outcome.unwrap_or_else(|| Err(HttpError::Cancelled { url: shown(&url) }));
    pipe.close(match &outcome {
        Ok(answer) => HttpError::AnsweredEarly { url: shown(&url), status: answer.status().as_u16() },
        Err(error) => error.clone(),
    });
    outcome
}

/// Ends when the server has not taken anything for `idle`. A slow writer is no stall.
async fn stall(pipe: &Pipe, idle: std::time::Duration) {
    while !pipe.is_stalled(idle) {
        tokio::time::sleep(idle / 8).await;
    }
}

impl BodyWriter {
    /// Writes `piece` without copying it, if it is worth a chunk of its own.
    ///
    /// # Errors
    /// As for [`BodyWriter::accept`].
    pub fn write_bytes(&mut self, piece: Bytes) -> Result<(), HttpError> {
        if piece.len() >= WORTH_A_CHUNK {
            self.push()?;
            return self.pipe.push(piece);
        }
        let mut rest = piece.as_ref();
        while !rest.is_empty() {
            let taken = self.accept(rest)?;
            rest = rest.get(taken..).unwrap_or_default();
        }
        Ok(())
    }

    /// Takes some of `bytes`, at least one if there is one, and returns how many: [`Write::write`] with this crate's
    /// error.
    ///
    /// # Errors
    /// What broke the request, or [`HttpError::AnsweredEarly`].
    pub fn accept(&mut self, bytes: &[u8]) -> Result<usize, HttpError> {
        let length = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(bytes.get(..length).unwrap_or_default());
        if self.chunk.len() == CHUNK {
            self.push()?;
        }
        Ok(length)
    }

    /// Ends the body. Whether the server liked it is told by [`ResponseHandle::wait`].
    ///
    /// # Errors
    /// What broke the request before its end; a server that merely answered early is no error here.
    pub fn finish(mut self) -> Result<(), HttpError> {
        self.is_finished = true;
        match self.push() {
            Ok(()) => self.pipe.finish(),
            Err(HttpError::AnsweredEarly { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn push(&mut self) -> Result<(), HttpError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let room = if self.is_finished { 0 } else { CHUNK };
        self.pipe.push(Bytes::from(std::mem::replace(&mut self.chunk, Vec::with_capacity(room))))
    }
}

impl Write for BodyWriter {
    /// Errors hold an [`HttpError`].
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.accept(bytes).map_err(HttpError::into_io)
    }

    /// Hands over what was gathered, as a chunk of its own.
    fn flush(&mut self) -> io::Result<()> {
        self.push().map_err(HttpError::into_io)
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            self.pipe.abort();
        }
    }
}

impl ResponseHandle {
    /// Waits for the answer. Call it when the body is finished or a write has failed; before that it may wait for ever.
    ///
    /// # Errors
    /// What broke the request.
    pub fn wait(self) -> Result<Response, HttpError> {
        self.head.blocking_recv().unwrap_or_else(|_| Err(HttpError::Stopped { url: shown(&self.url) }))
    }
}
