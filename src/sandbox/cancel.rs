//! A flag that stops running steps.
//!
//! What comes in: a signal, or [`Cancel::set`]. What goes out: a descriptor that [`crate::run`]
//! waits for beside the step's output. It is never lowered again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use sys::EventFd;

/// The flag of [`Cancel::on_signals`]: a signal handler may use it until the process ends.
static SIGNALLED: OnceLock<EventFd> = OnceLock::new();

/// A flag that stops running steps once it is set; clones are the same flag.
#[derive(Debug, Clone)]
pub struct Cancel(Flag);

#[derive(Debug, Clone)]
enum Flag {
    Shared(Arc<EventFd>),
    Signalled(&'static EventFd),
}

impl Cancel {
    /// A flag that only [`Cancel::set`] sets.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Flag::Shared(Arc::new(EventFd::new()?))))
    }

    /// The process's flag that SIGTERM and SIGINT set from now on, instead of ending the process.
    ///
    /// # Errors
    /// The process has no descriptor left.
    pub fn on_signals() -> io::Result<Self> {
        let flag = match SIGNALLED.get() {
            Some(flag) => flag,
            None => {
                let fresh = EventFd::new()?;
                SIGNALLED.get_or_init(|| fresh)
            }
        };
        sys::on_signals(&[libc::SIGTERM, libc::SIGINT], flag)?;
        Ok(Self(Flag::Signalled(flag)))
    }

    /// Sets the flag.
    ///
    /// # Errors
    /// None in practice: only a counter at its limit, which is set.
    pub fn set(&self) -> io::Result<()> {
        self.event().raise()
    }

    /// Whether it is set.
    #[must_use]
    pub fn is_set(&self) -> bool {
        // A flag that cannot be read is not set; the step's own waiting reports such an error.
        sys::wait_readable(&[self.as_fd()], Some(Duration::ZERO))
            .is_ok_and(|ready| ready.first().copied().unwrap_or(false))
    }

    /// Waits until `other` can be read or has ended, or the flag is set.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn wait_for(&self, other: impl AsFd) -> io::Result<()> {
        while !sys::wait_readable(&[self.as_fd(), other.as_fd()], None)?.contains(&true) {}
        Ok(())
    }

    /// A flag in memory that follows this one, for code that can only look. A thread waits for it until the process
    /// ends, so it is to be called after [`crate::enter`].
    ///
    /// # Errors
    /// No thread can be started.
    pub fn mirrored(&self) -> io::Result<Arc<AtomicBool>> {
        self.mirrored_in(Arc::default())
    }

    /// The same in a flag that others hold already.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn mirrored_in(&self, flag: Arc<AtomicBool>) -> io::Result<Arc<AtomicBool>> {
        let cancel = self.clone();
        let seen = Arc::clone(&flag);
        let wait = move || {
            // Without descriptors to wait for there is nothing to tell either.
            if sys::wait_readable(&[cancel.as_fd()], None).is_ok() {
                seen.store(true, Ordering::Relaxed);
            }
        };
        thread::Builder::new().name("cancel".to_owned()).spawn(wait)?;
        Ok(flag)
    }

    fn event(&self) -> &EventFd {
        match &self.0 {
            Flag::Shared(flag) => flag,
            Flag::Signalled(flag) => flag,
        }
    }
}

impl AsFd for Cancel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event().as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_is_the_same_flag() {
        let cancel = Cancel::new().unwrap();
        let other = cancel.clone();
        assert!(!other.is_set());
        cancel.set().unwrap();
        assert!(other.is_set() && cancel.is_set());
    }

    #[test]
    fn waiting_for_input_ends_with_the_flag_too() {
        let (cancel, never) = (Cancel::new().unwrap(), EventFd::new().unwrap());
        cancel.wait_for(std::fs::File::open("/dev/null").unwrap()).unwrap();
        cancel.set().unwrap();
        cancel.wait_for(&never).unwrap();
    }
}
