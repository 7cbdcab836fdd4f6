//! An SSH agent as a step sees it: a socket of ours that passes on what only uses keys.
//!
//! Comes in: the socket of the user's agent. Goes out: a socket with the owner and mode that the mount asks for. The
//! step may list the keys and have data signed with them; whatever would add, remove or lock keys is answered with a
//! failure (draft-ietf-sshm-ssh-agent, section 3). It never keeps what passes.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Opens a connection to the user's agent.
pub(crate) type Connect = Arc<dyn Fn() -> io::Result<UnixStream> + Send + Sync>;

/// Bytes of the largest message (OpenSSH's limit).
const MAX_MESSAGE: usize = 256 * 1024;
/// Connections at once.
const MAX_CONNECTIONS: usize = 64;
/// `SSH_AGENTC_REQUEST_IDENTITIES` and `SSH_AGENTC_SIGN_REQUEST`.
const ALLOWED: [u8; 2] = [11, 13];
/// A message that is `SSH_AGENT_FAILURE`.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

/// A socket that is served until this is dropped.
pub(crate) struct Agent {
    socket: PathBuf,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    is_over: AtomicBool,
    /// Both ends of each connection, to be cut at the end.
    open: Mutex<Vec<Arc<[UnixStream; 2]>>>,
}

impl Agent {
    /// Serves a new socket at `socket`, whose name must be free.
    pub(crate) fn serve(socket: &Path, connect: Connect) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let shared = Arc::new(Shared::default());
        let known = Arc::clone(&shared);
        let accepting =
            thread::Builder::new().name("ssh-agent".to_owned()).spawn(move || accept(&listener, &connect, &known))?;
        Ok(Self { socket: socket.to_owned(), shared, accepting: Some(accepting) })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for ends in self.shared.connections().iter() {
            cut(ends);
        }
        // Wakes the accepting thread, which then sees that all is over. Without a socket it cannot be woken, and
        // ends with the process.
        if UnixStream::connect(&self.socket).is_ok()
            && let Some(accepting) = self.accepting.take()
            && accepting.join().is_err()
        {
            tracing::debug!("the agent's thread panicked");
        }
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, Vec<Arc<[UnixStream; 2]>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cut(ends: &[UnixStream; 2]) {
    for end in ends {
        // One that is gone already needs no cutting.
        drop(end.shutdown(std::net::Shutdown::Both));
    }
}

fn accept(listener: &UnixListener, connect: &Connect, shared: &Arc<Shared>) {
    for step in listener.incoming() {
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(step) = step else { continue };
        if shared.connections().len() >= MAX_CONNECTIONS {
            continue;
        }
        let agent = match connect() {
            Ok(agent) => agent,
            Err(error) => {
                tracing::warn!(%error, "the SSH agent cannot be reached");
                continue;
            }
        };
        let ends = Arc::new([step, agent]);
        shared.connections().push(Arc::clone(&ends));
        let known = Arc::clone(shared);
        let passing = thread::Builder::new().name("ssh-agent".to_owned()).spawn(move || {
            if let Err(error) = pass(&ends[0], &ends[1]) {
                tracing::debug!(%error, "connection to the SSH agent ended");
            }
            cut(&ends);
            known.connections().retain(|other| !Arc::ptr_eq(other, &ends));
        });
        if let Err(error) = passing {
            tracing::warn!(%error, "no thread for a connection to the SSH agent");
        }
    }
}

/// Passes requests and answers on, one after the other, until the step ends the connection.
fn pass(mut step: &UnixStream, mut agent: &UnixStream) -> io::Result<()> {
    while let Some(request) = message(&mut step)? {
        if !request.first().is_some_and(|kind| ALLOWED.contains(kind)) {
            step.write_all(&FAILURE)?;
            continue;
        }
        send(&mut agent, &request)?;
        let Some(answer) = message(&mut agent)? else { return Ok(()) };
        send(&mut step, &answer)?;
    }
    Ok(())
}

/// One message without its length; none at the end of the stream.
fn message(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message of more than 256 KiB"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

fn send(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    stream.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An agent that answers every request with 12 and the request's own kind.
    fn user_agent(directory: &Path) -> Connect {
        let path = directory.join("user");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                while let Ok(Some(request)) = message(&mut stream) {
                    send(&mut stream, &[12, request[0]]).unwrap();
                }
            }
        });
        Arc::new(move || UnixStream::connect(&path))
    }

    #[test]
    fn keys_can_be_used_and_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("step");
        let agent = Agent::serve(&socket, user_agent(directory.path())).unwrap();
        let mut step = UnixStream::connect(&socket).unwrap();
        for (kind, answer) in [(11, vec![12, 11]), (19, vec![5]), (13, vec![12, 13]), (22, vec![5])] {
            send(&mut step, &[kind, 1, 2]).unwrap();
            assert_eq!(message(&mut step).unwrap(), Some(answer), "{kind}");
        }
        drop(agent);
        assert_eq!(message(&mut step).unwrap(), None);
    }

    #[test]
    fn a_message_too_long_ends_the_connection() {
        let bytes = [0xff, 0xff, 0xff, 0xff, 1];
        assert!(message(&mut bytes.as_slice()).is_err());
        assert!(message(&mut [0, 0, 0, 9, 1].as_slice()).is_err());
        assert_eq!(message(&mut [0, 0].as_slice()).unwrap(), None);
    }
}
