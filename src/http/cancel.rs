//! Waits that end when the program is told to stop.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// How often the flag is looked at. Signal handlers can set a flag, but wake nobody.
const POLL: Duration = Duration::from_millis(150);

/// The options' flag, if there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel(pub(crate) Option<Arc<AtomicBool>>);

impl Cancel {
    pub(crate) fn is_set(&self) -> bool {
        self.0.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// What `future` gives, `None` when the flag is set before.
    pub(crate) async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let (mut future, mut set) = (pin!(future), pin!(self.set()));
        poll_fn(|context| {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(Some(value));
            }
            set.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    /// Blocks for `wait`, or until the flag is set.
    pub(crate) fn sleep(&self, wait: Duration) {
        let started = Instant::now();
        while !self.is_set() {
            let left = wait.saturating_sub(started.elapsed());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(POLL));
        }
    }

    async fn set(&self) {
        if self.0.is_none() {
            return pending().await;
        }
        while !self.is_set() {
            tokio::time::sleep(POLL).await;
        }
    }
}
