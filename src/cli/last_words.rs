//! The time that is left for plugins of the exit phase once everything was told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use sandbox::Cancel;

/// What all of them have together to speak to servers. Clusters kill a pod thirty seconds after they told it to stop.
const LIMIT: Duration = Duration::from_secs(10);

/// The flag that stops the connections of the exit phase: not the signal, which stops all others, but this time after it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastWords(Arc<AtomicBool>);

impl LastWords {
    /// For `http::ClientOptions::cancelled`.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// The exit phase begins. The time counts from here, or from a signal that comes later; without one there is no
    /// limit.
    pub(crate) fn begin(&self, cancel: &Cancel) -> std::io::Result<()> {
        let (flag, cancel) = (self.flag(), cancel.clone());
        let wait = move || {
            // Without descriptors to wait for there is nothing to tell either.
            if cancel.wait_for(&cancel).is_ok() {
                thread::sleep(LIMIT);
                flag.store(true, Ordering::Relaxed);
            }
        };
        thread::Builder::new().name("last-words".to_owned()).spawn(wait).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_alone_does_not_stop_the_last_words() {
        let (words, cancel) = (LastWords::default(), Cancel::new().unwrap());
        cancel.set().unwrap();
        words.begin(&cancel).unwrap();
        assert!(!words.flag().load(Ordering::Relaxed));
    }
}
