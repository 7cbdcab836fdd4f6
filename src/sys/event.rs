//! Event descriptors and waiting for descriptors.
//!
//! What comes in: descriptors and a time limit. What goes out: which of them can be read. It never
//! reads from a descriptor it waits for.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd as Inner};

/// A flag that can be waited for: once raised it stays readable.
#[derive(Debug)]
pub struct EventFd(Inner);

impl EventFd {
    /// A flag that is not raised.
    ///
    /// # Errors
    /// EMFILE and the like.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(Inner::from_value_and_flags(0, flags)?))
    }

    /// Raises it.
    ///
    /// # Errors
    /// None but a counter at its limit, which is raised already.
    pub fn raise(&self) -> io::Result<()> {
        self.0.write(1)?;
        Ok(())
    }

    pub(crate) fn number(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What [`wait_readable`] found, in the order of the descriptors given.
pub type Readiness = Vec<bool>;

/// Waits until one of the descriptors can be read or is at its end; all false after `limit`, or
/// after a signal.
///
/// # Errors
/// What poll(2) says.
pub fn wait_readable(fds: &[BorrowedFd<'_>], limit: Option<Duration>) -> io::Result<Readiness> {
    let mut polled: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let timeout = match limit {
        None => PollTimeout::NONE,
        // Rounded up, so that a caller who waits for a moment does not spin just before it.
        Some(limit) => PollTimeout::try_from(limit.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX),
    };
    match nix::poll::poll(&mut polled, timeout) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    Ok(polled.iter().map(|fd| fd.any().unwrap_or(false)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_flag_is_readable_and_stays_so() {
        let flag = EventFd::new().unwrap();
        let now = Some(Duration::ZERO);
        assert_eq!(wait_readable(&[flag.as_fd()], now).unwrap(), [false]);
        flag.raise().unwrap();
        assert_eq!(wait_readable(&[flag.as_fd()], now).unwrap(), [true]);
        assert_eq!(wait_readable(&[flag.as_fd()], now).unwrap(), [true]);
    }
}
