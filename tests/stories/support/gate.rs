//! A gate in front of a server: it notes what is asked, and lets nothing more through once a certain request comes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A running gate. Its threads end with the process.
pub(crate) struct Gate {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// The first lines of requests.
    asked: Vec<String>,
    /// What the request line begins with that shuts it.
    shuts_at: Option<String>,
    is_shut: bool,
}

impl Gate {
    /// A gate before the server at `server` (`127.0.0.1:PORT`).
    pub(crate) fn before(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, server) = (Arc::clone(&state), server.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (state, server) = (Arc::clone(&shared), TcpStream::connect(&server).unwrap());
                let (mut back, mut out) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                // Whoever goes away first, the other's half ends too.
                thread::spawn(move || std::io::copy(&mut back, &mut out));
                thread::spawn(move || pass(client, server, &state));
            }
        });
        Self { address, state }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// From now on a request line that begins so is let through no more, nor anything after it.
    pub(crate) fn shut_at(&self, line: &str) {
        self.state.lock().unwrap().shuts_at = Some(line.to_owned());
    }

    /// Opens it again, and forgets what was asked.
    pub(crate) fn open(&self) {
        *self.state.lock().unwrap() = State::default();
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.state.lock().unwrap().is_shut
    }

    /// The first lines of the requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

/// Passes on what a client says. A request's head comes in one piece from the program under test.
fn pass(mut client: TcpStream, mut server: TcpStream, state: &Mutex<State>) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count) = client.read(&mut bytes) {
        let piece = bytes.get(..count).unwrap();
        let line = String::from_utf8_lossy(piece.split(|byte| *byte == b'\r').next().unwrap()).into_owned();
        {
            let mut state = state.lock().unwrap();
            if line.ends_with(" HTTP/1.1") {
                state.asked.push(line.clone());
                state.is_shut |= state.shuts_at.as_ref().is_some_and(|start| line.starts_with(start));
            }
            if state.is_shut {
                continue;
            }
        }
        if count == 0 || server.write_all(piece).is_err() {
            // The server hears that its client has gone.
            let _shut = server.shutdown(std::net::Shutdown::Write);
            return;
        }
    }
}
