//! Work under the identity the program was started with.
//!
//! In rung `range` the main identity is an id that owns nothing of the user's. A few threads are
//! made before the switch and keep the outer one: they read the user's 0600 files and write files
//! that belong to the user. Identity is a matter of threads to the kernel; nothing here changes it.

use std::io;
use std::sync::Arc;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads for one context, one output, and no more.
const THREADS: usize = 2;

/// Threads with the outer identity, in the inner namespaces.
#[derive(Debug)]
pub struct Outside(Arc<ThreadPool>);

impl Outside {
    /// Starts the threads; they keep the caller's identity of this moment.
    pub(crate) fn start() -> io::Result<Self> {
        ThreadPoolBuilder::new()
            .num_threads(THREADS)
            .thread_name(|index| format!("outside-{index}"))
            .build()
            .map(|pool| Self(Arc::new(pool)))
            .map_err(io::Error::other)
    }

    /// Runs `work` on such a thread and waits for it. A panic in it goes on here.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.0.install(work)
    }

    /// The threads themselves, for who cannot know about sandboxes.
    #[must_use]
    pub fn pool(&self) -> Arc<ThreadPool> {
        Arc::clone(&self.0)
    }
}
