//! A bounded queue from a blocking writer to an asynchronous request body.
//!
//! tokio's channels will not do: here the reading side must be able to close the pipe with a cause while the writer is
//! blocked, also when hyper never polls the body again, and must tell who keeps whom waiting.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;

use crate::HttpError;

/// Chunks that wait for the network.
const CHUNKS_AHEAD: usize = 3;

#[derive(Debug)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Bytes>,
    end: End,
    waker: Option<Waker>,
    /// Whether the answer's body is through too, so that the connection may break.
    is_over: bool,
    /// Since when the network has had something to do, `None` while it waits for the writer.
    busy_since: Option<Instant>,
}

#[derive(Debug)]
enum End {
    Open,
    /// The writer wrote everything.
    Finished,
    /// The writer gave up: the request must not look complete.
    Aborted,
    /// There is an answer, or there will be none: nothing more is taken.
    Closed(HttpError),
}

/// The reading side: a stream for `reqwest::Body`.
#[derive(Debug)]
pub(crate) struct PipeStream(pub(crate) Arc<Pipe>);

/// Why the body of a request ends in the middle.
#[derive(Debug, thiserror::Error)]
#[error("the upload was given up")]
pub(crate) struct GivenUp;

impl Default for Pipe {
    fn default() -> Self {
        let (queue, busy_since) = (VecDeque::new(), Some(Instant::now()));
        let state = State { queue, end: End::Open, waker: None, is_over: false, busy_since };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }
}

impl Pipe {
    /// Queues `chunk`, waiting for room.
    pub(crate) fn push(&self, chunk: Bytes) -> Result<(), HttpError> {
        let mut state = self.lock();
        loop {
            match &state.end {
                End::Closed(error) => return Err(error.clone()),
                End::Open | End::Finished | End::Aborted if state.queue.len() < CHUNKS_AHEAD => break,
                End::Open | End::Finished | End::Aborted => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        state.queue.push_back(chunk);
        state.wake();
        Ok(())
    }

    /// The writer's last word: everything is written.
    pub(crate) fn finish(&self) {
        self.end(End::Finished);
    }

    /// The writer's last word: the rest will not come.
    pub(crate) fn abort(&self) {
        self.end(End::Aborted);
    }

    /// Nothing more is taken, because of `error`.
    pub(crate) fn close(&self, error: HttpError) {
        let mut state = self.lock();
        state.end = End::Closed(error);
        state.queue.clear();
        state.wake();
        self.changed.notify_all();
    }

    /// The request is over: lets an unfinished body break off. Before, it would take the answer's body with it.
    pub(crate) fn over(&self) {
        let mut state = self.lock();
        state.is_over = true;
        state.wake();
    }

    /// Whether the network has not taken anything for `limit` although there is something to take.
    pub(crate) fn is_stalled(&self, limit: Duration) -> bool {
        self.lock().busy_since.is_some_and(|since| since.elapsed() >= limit)
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        if matches!(state.end, End::Open) {
            state.end = end;
            state.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            self.busy_since = Some(Instant::now());
            waker.wake();
        }
    }
}

impl Stream for PipeStream {
    type Item = Result<Bytes, GivenUp>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.lock();
        if let Some(chunk) = state.queue.pop_front() {
            state.busy_since = Some(Instant::now());
            self.0.changed.notify_all();
            return Poll::Ready(Some(Ok(chunk)));
        }
        match state.end {
            End::Finished => Poll::Ready(None),
            End::Aborted => Poll::Ready(Some(Err(GivenUp))),
            End::Open | End::Closed(_) if state.is_over => Poll::Ready(Some(Err(GivenUp))),
            End::Open | End::Closed(_) => {
                state.busy_since = None;
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
