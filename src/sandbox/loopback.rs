//! A network with loopback only, in which the builder listens and steps can ask.
//!
//! What comes in: an address of that loopback. What goes out: the network, for [`crate::Step::network`], and a
//! socket that listens in it and is served from outside. No packet of a step leaves it, and none comes in.
//!
//! A thread lives in the network and starts the steps that shall have it: a child is born where its parent is.
//! The kernel's other way in, setns(2), is one that the default filter of podman both allows and refuses, so
//! that it hangs on the container runtime whether it works.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use sys::{Program, Spawned};
use thiserror::Error;

/// A network namespace with loopback only.
///
/// Any number of steps may have it, one after another or at once. It ends when this, the sockets that
/// were made in it and its steps have ended; its name is nowhere in the file system.
#[derive(Debug)]
pub struct Loopback {
    // None only in `drop`: the thread ends when nobody can ask it any more.
    requests: Option<Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

/// A step to start.
#[derive(Debug)]
struct Request {
    program: Arc<Program>,
    answer: Sender<io::Result<Spawned>>,
}

/// Why there is no such network.
#[derive(Debug, Error)]
pub enum LoopbackError {
    /// The kernel or a filter refused.
    #[error("cannot {action} for steps: {hint}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// What it means and what to do.
        hint: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The socket could not be made.
    #[error("{address}: cannot listen there in the network of steps")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl Loopback {
    /// Makes the network and a socket that listens in it, on an address of 127.0.0.0/8 or `::1`; port 0 is
    /// one that the kernel chooses. To be called after [`crate::enter`], by a thread that is root inside.
    ///
    /// # Errors
    /// [`LoopbackError`]; nothing is left then.
    pub fn listen(address: SocketAddr) -> Result<(Self, TcpListener), LoopbackError> {
        let (requests, received) = mpsc::channel();
        let (made, opened) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("loopback".to_owned())
            .spawn(move || live(address, &made, &received))
            .map_err(refused("start a thread"))?;
        // Built first, so that its thread is waited for whatever comes.
        let network = Self { requests: Some(requests), thread: Some(thread) };
        let listener = opened.recv().map_err(|_| refused("start a thread")(thread_is_gone()))??;
        Ok((network, listener))
    }

    /// Starts a program in this network. It is the network's thread that a program which asks to die with
    /// its parent dies with; that thread lives as long as this.
    pub(crate) fn spawn(&self, program: &Arc<Program>) -> io::Result<Spawned> {
        let (answer, answered) = mpsc::channel();
        let request = Request { program: Arc::clone(program), answer };
        let requests = self.requests.as_ref().ok_or_else(thread_is_gone)?;
        requests.send(request).map_err(|_| thread_is_gone())?;
        answered.recv().map_err(|_| thread_is_gone())?
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        drop(self.requests.take());
        // It panics nowhere; and if it did, its network is gone all the same.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn thread_is_gone() -> io::Error {
    io::Error::other("the thread of the network is gone")
}

/// The life of the network's thread.
fn live(address: SocketAddr, made: &Sender<Result<TcpListener, LoopbackError>>, requests: &Receiver<Request>) {
    // Who asked waits for every answer, so that none can fail to arrive.
    let _ = made.send(open(address));
    for request in requests {
        let _ = request.answer.send(sys::spawn(&request.program));
    }
}

/// Moves the calling thread into a new network, for good.
fn open(address: SocketAddr) -> Result<TcpListener, LoopbackError> {
    sys::unshare(libc::CLONE_NEWNET).map_err(refused("make a network"))?;
    sys::loopback_up().map_err(refused("take the loopback interface up"))?;
    TcpListener::bind(address).map_err(|source| LoopbackError::Listen { address, source })
}

fn refused(action: &'static str) -> impl Fn(io::Error) -> LoopbackError {
    move |source| LoopbackError::Refused { action, hint: hint(&source), source }
}

fn hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EUSERS) => {
            "all network namespaces that user.max_net_namespaces allows are in use; raise that sysctl, or use \
             --network host"
        }
        Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => {
            "a seccomp filter or security policy of this pod forbids network namespaces; allow unshare(2), see \
             stratum doctor, or use --network host"
        }
        Some(libc::EINVAL) => "this kernel has no network namespaces (CONFIG_NET_NS); use --network host",
        Some(libc::EAGAIN | libc::ENOMEM) => "this machine or pod is short of processes or memory; raise its limits",
        _ => "see stratum doctor, or use --network host",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(errno: i32) -> String {
        refused("make a network")(io::Error::from_raw_os_error(errno)).to_string()
    }

    #[test]
    fn a_refusal_names_what_was_tried_and_what_to_do() {
        assert_eq!(
            message(libc::ENOSPC),
            "cannot make a network for steps: all network namespaces that user.max_net_namespaces allows are in use; \
             raise that sysctl, or use --network host"
        );
        for errno in [libc::EPERM, libc::ENOSYS] {
            assert!(message(errno).contains("--network host"), "{errno}");
        }
    }

    #[test]
    fn a_network_can_be_handed_between_threads() {
        fn check<T: Send + Sync>() {}
        check::<Loopback>();
    }
}
