//! Tunnels through the proxy: CONNECT to hosts the rules name. What goes through is the step's and the server's.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Url;

use crate::Shared;
use crate::address::Route;
use crate::answer::Answer;
use crate::exchange::{Entry, Log, Refusal, What};
use crate::serving::Open;
use crate::wire::{Connection, Head};

/// How long nothing may move in one direction before a tunnel ends: longer than a server thinks about a big push.
const IDLE: Duration = Duration::from_secs(15 * 60);

impl Shared {
    /// Answers `CONNECT host:port` and, if it is allowed, is the tunnel until it ends.
    pub(crate) fn tunnel(&self, head: &Head, connection: &mut Connection, open: &Open) {
        let mut entry = match open.log.begin(What::Tunnel, head.target.clone()) {
            Ok(entry) => entry,
            Err(refusal) => return refuse(connection, head, open, &refusal),
        };
        let outcome = self.dial(head, &open.log, &mut entry).and_then(|upstream| {
            let guard = open.guard(&upstream).map_err(|error| Refusal::failed(error.to_string()))?;
            entry.exchange.status = 200;
            let counts = relay(connection, &upstream);
            drop(guard);
            Ok(counts)
        });
        match outcome {
            Ok(received) => (entry.exchange.bytes, entry.exchange.fetched) = (received, received),
            Err(refusal) => {
                entry.exchange.status = refusal.status;
                refuse(connection, head, open, &refusal);
                entry.refuse(refusal);
            }
        }
    }

    fn dial(&self, head: &Head, _log: &Log, entry: &mut Entry) -> Result<TcpStream, Refusal> {
        let malformed = || Refusal::malformed(format!("{} is not host:port", head.target));
        // Read as the host of a URL, so that odd spellings of addresses are judged as what they are.
        let port = head.target.rsplit_once(':').map(|(_, port)| port).ok_or_else(malformed)?;
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = !head.target.contains(['/', '?', '#', '@', '\\']);
        let url = Url::parse(&format!("https://{}/", head.target)).ok().filter(|_| is_port && is_plain);
        let url = url.ok_or_else(malformed)?;
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        entry.exchange.url = format!("{host}:{port}");
        self.permit(&url, Route::of(&url, &self.options.http.proxies))?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        Ok(self.client.tunnel(bare, port)?)
    }
}

fn refuse(connection: &Connection, head: &Head, open: &Open, refusal: &Refusal) {
    let mut answer = Answer::new(&connection.stream, head, &open.is_stopped);
    answer.close();
    answer.refuse(refusal);
}

/// Says yes and carries bytes both ways until both sides are done; how many went to the step.
fn relay(connection: &mut Connection, upstream: &TcpStream) -> u64 {
    let early = connection.take_buffer();
    let step = &connection.stream;
    let ready = step.set_read_timeout(Some(IDLE)).is_ok()
        && step.set_write_timeout(Some(IDLE)).is_ok()
        && upstream.set_read_timeout(Some(IDLE)).is_ok()
        && upstream.set_write_timeout(Some(IDLE)).is_ok();
    let mut to_step = step;
    if !ready || to_step.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").is_err() {
        return 0;
    }
    let received = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, || pump(upstream, step, &received));
        let mut to_upstream = upstream;
        if other.is_err() || to_upstream.write_all(&early).is_err() {
            end(step, upstream);
            return;
        }
        pump(step, upstream, &AtomicU64::new(0));
    });
    received.into_inner()
}

/// Carries bytes one way until their end; an end is passed on, a failure ends both ways.
fn pump(mut from: &TcpStream, mut to: &TcpStream, count: &AtomicU64) {
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.read(&mut piece) {
            Ok(0) => {
                // The other way may go on; if this fails it is over as well.
                drop(to.shutdown(Shutdown::Write));
                return;
            }
            Ok(length) if to.write_all(piece.get(..length).unwrap_or_default()).is_ok() => {
                count.fetch_add(length as u64, Ordering::Relaxed);
            }
            Ok(_) | Err(_) => return end(from, to),
        }
    }
}

fn end(one: &TcpStream, other: &TcpStream) {
    // What is closed already is what is wanted.
    drop(one.shutdown(Shutdown::Both));
    drop(other.shutdown(Shutdown::Both));
}
