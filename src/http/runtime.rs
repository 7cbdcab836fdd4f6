//! The private thread on which everything asynchronous happens.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::HttpError;

/// A single-threaded runtime that starts when it is first needed and stops with its last owner.
#[derive(Debug, Default)]
pub(crate) struct Runtime {
    started: Mutex<Option<Started>>,
}

#[derive(Debug)]
struct Started {
    handle: Handle,
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Runtime {
    /// Runs `future` on the private thread, which this starts if it is not there yet.
    pub(crate) fn spawn(self: &Arc<Self>, future: impl Future<Output = ()> + Send + 'static) -> Result<(), HttpError> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        let running = match started.take() {
            Some(running) => running,
            None => start()?,
        };
        running.handle.spawn(future);
        *started = Some(running);
        Ok(())
    }
}

fn start() -> Result<Started, HttpError> {
    let runtime = Builder::new_current_thread().enable_io().enable_time().build().map_err(HttpError::setup)?;
    let (stop, stopped) = oneshot::channel::<()>();
    let handle = runtime.handle().clone();
    let run = move || {
        // An error here means that the sender is gone, which is the signal itself.
        drop(runtime.block_on(stopped));
        // A name look-up may still hang in its own thread; do not wait for it.
        runtime.shutdown_background();
    };
    std::thread::Builder::new().name("stratum-http".to_owned()).spawn(run).map_err(HttpError::setup)?;
    Ok(Started { handle, _stop: stop })
}
