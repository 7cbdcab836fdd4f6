//! Signals: raise an [`EventFd`] when one arrives, and send one.
//!
//! What comes in: signal numbers. What goes out: a raised event descriptor. The handler does
//! nothing but one write, which is async-signal-safe.

use std::io;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::event::EventFd;
use crate::process::Pid;

/// The descriptor the handler raises; -1 before [`on_signals`].
static RAISED: AtomicI32 = AtomicI32::new(-1);

extern "C" fn raise(_signal: libc::c_int) {
    // The interrupted code may be about to read errno.
    let fd = RAISED.load(Ordering::Relaxed);
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight bytes; write(2) and errno's address are async-signal-safe.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        libc::write(fd, one.as_ptr().cast(), one.len());
        *errno = before;
    }
}

/// Raises `flag` whenever one of `signals` arrives, for the rest of the process's life. A later
/// call replaces the flag.
///
/// # Errors
/// EINVAL for a signal that cannot be handled.
pub fn on_signals(signals: &[i32], flag: &'static EventFd) -> io::Result<()> {
    RAISED.store(flag.number(), Ordering::Relaxed);
    for signal in signals {
        // SAFETY: the structure is whole, and the handler is async-signal-safe.
        let set = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = raise as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(*signal, &raw const action, std::ptr::null_mut())
        };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Sends a signal to a child that has not been waited for.
///
/// # Errors
/// ESRCH where it has been waited for.
pub fn send(child: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: integers.
    match unsafe { libc::kill(child.number(), signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
