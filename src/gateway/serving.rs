//! One step's listener and connections: threads that start with the step and end with it.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http::{Method, Url};
use tracing::{debug, info};

use crate::answer::Answer;
use crate::exchange::{Exchange, Log, Refusal, What};
use crate::proxy::{Proxied, is_own};
use crate::wire::{Connection, Head, NoHead};
use crate::{GatewayError, Shared};

/// Most connections of a step at a time: dnf makes 20 at most, and each costs a thread or two.
const MOST_CONNECTIONS: usize = 128;
/// How long the end of a step waits for its threads.
const END_TIME: Duration = Duration::from_secs(5);
/// The wait after a failed accept, which is for want of file descriptors.
const BREATH: Duration = Duration::from_millis(50);

/// A step being served. Dropping it ends that as [`Serving::finish`] does, without waiting.
#[derive(Debug)]
pub struct Serving {
    open: Arc<Open>,
    listener: TcpListener,
    accepting: Option<JoinHandle<()>>,
}

/// What the threads of one step share.
#[derive(Debug)]
pub(crate) struct Open {
    step: String,
    pub(crate) log: Log,
    pub(crate) is_stopped: AtomicBool,
    /// Both ends of all connections, to be shut down when the step is over.
    sockets: Mutex<HashMap<u64, TcpStream>>,
    next: AtomicU64,
    threads: Mutex<usize>,
    ended: Condvar,
}

/// A socket that is shut down when the step is over.
#[derive(Debug)]
pub(crate) struct Guard<'a> {
    open: &'a Open,
    number: u64,
}

/// Starts serving `listener`.
pub(crate) fn serve(shared: Arc<Shared>, listener: TcpListener, step: &str) -> Result<Serving, GatewayError> {
    let failed = |source| GatewayError::Serve { step: step.to_owned(), source };
    listener.set_nonblocking(false).map_err(failed)?;
    let open = Arc::new(Open {
        step: step.to_owned(),
        log: Log::default(),
        is_stopped: AtomicBool::new(false),
        sockets: Mutex::default(),
        next: AtomicU64::new(0),
        threads: Mutex::new(0),
        ended: Condvar::new(),
    });
    let (accepted, state) = (listener.try_clone().map_err(failed)?, Arc::clone(&open));
    let run = move || accept(&shared, &accepted, &state);
    let accepting = std::thread::Builder::new().name("stratum-gateway".to_owned()).spawn(run).map_err(failed)?;
    Ok(Serving { open, listener, accepting: Some(accepting) })
}

impl Serving {
    /// Ends the step's network: closes the listener and all connections, waits a few seconds for their threads, and
    /// returns what happened in the order it began. What was going on has the status it got to, 0 for none.
    #[must_use]
    pub fn finish(mut self) -> Vec<Exchange> {
        self.stop();
        if let Some(accepting) = self.accepting.take() {
            // It cannot panic, and there is nothing to do if it did.
            drop(accepting.join());
        }
        // Again, for a connection that was accepted in between.
        self.open.shut_down();
        self.open.wait(END_TIME);
        self.open.log.take()
    }

    fn stop(&self) {
        self.open.is_stopped.store(true, Ordering::Relaxed);
        // The only way to wake a thread that accepts: nobody here can connect to that network.
        if let Err(error) = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both) {
            debug!(step = self.open.step, %error, "the step's listener was closed before");
        }
        self.open.shut_down();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.accepting.is_some() {
            self.stop();
        }
    }
}

impl Open {
    /// Has `socket` shut down at the end of the step.
    pub(crate) fn guard(&self, socket: &TcpStream) -> io::Result<Guard<'_>> {
        let socket = socket.try_clone()?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut sockets = lock(&self.sockets);
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        sockets.insert(number, socket);
        Ok(Guard { open: self, number })
    }

    fn shut_down(&self) {
        for socket in lock(&self.sockets).values() {
            // One that is gone already is what is wanted.
            drop(socket.shutdown(Shutdown::Both));
        }
    }

    fn wait(&self, most: Duration) {
        let deadline = Instant::now() + most;
        let mut threads = lock(&self.threads);
        while *threads > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                debug!(step = self.step, threads = *threads, "connections of the step still wait for a server");
                return;
            }
            threads = self.ended.wait_timeout(threads, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        lock(&self.open.sockets).remove(&self.number);
    }
}

fn accept(shared: &Arc<Shared>, listener: &TcpListener, open: &Arc<Open>) {
    while !open.is_stopped.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => start(shared, stream, open),
            Err(_) if open.is_stopped.load(Ordering::Relaxed) => return,
            Err(error) => {
                debug!(step = open.step, %error, "cannot accept a connection of the step");
                std::thread::sleep(BREATH);
            }
        }
    }
}

/// Gives a connection its thread, if the step does not have too many.
fn start(shared: &Arc<Shared>, stream: TcpStream, open: &Arc<Open>) {
    {
        let mut threads = lock(&open.threads);
        if *threads >= MOST_CONNECTIONS {
            drop(threads);
            return turn_away(&stream);
        }
        *threads += 1;
    }
    let (shared, state) = (Arc::clone(shared), Arc::clone(open));
    let run = move || {
        let _counted = Counted(&state);
        connection(&shared, stream, &state);
    };
    let started = std::thread::Builder::new().name("stratum-step".to_owned()).spawn(run);
    if let Err(error) = started {
        debug!(step = open.step, %error, "no thread for a connection of the step");
        drop(Counted(open));
    }
}

/// One of the step's threads, until it is dropped.
struct Counted<'a>(&'a Open);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        *lock(&self.0.threads) -= 1;
        self.0.ended.notify_all();
    }
}

fn turn_away(mut stream: &TcpStream) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    // Fits into the socket's buffer; who does not listen need not know.
    drop(stream.write_all(BUSY));
}

fn connection(shared: &Shared, stream: TcpStream, open: &Open) {
    // Without a guard the end of the step could not end it.
    let Ok(_guard) = open.guard(&stream) else { return };
    let Ok(mut connection) = Connection::new(stream) else { return };
    loop {
        match connection.head() {
            Ok(head) => match answer(shared, &head, &mut connection, open) {
                Then::Next => {}
                Then::Linger => return connection.linger(),
                Then::End => return,
            },
            Err(NoHead::End) => return,
            Err(NoHead::Bad(refusal)) => {
                refuse_unread(&connection, &refusal, open);
                return connection.linger();
            }
        }
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Next,
    Linger,
    End,
}

/// What a request is for.
enum Errand {
    Mirror(String),
    Proxy(Url),
    Tunnel,
    Nothing(Refusal),
}

fn answer(shared: &Shared, head: &Head, connection: &mut Connection, open: &Open) -> Then {
    let errand = errand(head);
    if matches!(errand, Errand::Tunnel) {
        shared.tunnel(head, connection, open);
        return Then::Linger;
    }
    let Ok(stream) = connection.stream.try_clone() else { return Then::End };
    let mut answer = Answer::new(&stream, head, &open.is_stopped);
    let Ok(mut body) = connection.body(head) else { return Then::End };
    match errand {
        Errand::Mirror(path) => shared.mirror(&path, head, &mut answer, &open.log),
        Errand::Proxy(url) => shared.proxy(Proxied { url, head, body: &mut body }, &mut answer, &open.log),
        Errand::Nothing(refusal) => note_refusal(head.target.clone(), &refusal, &mut answer, open),
        Errand::Tunnel => {}
    }
    debug!(step = open.step, method = %head.method, status = answer.status, bytes = answer.bytes, "answered");
    match (answer.is_reusable(), body.is_done()) {
        (true, true) => Then::Next,
        (_, false) if answer.status != 0 => Then::Linger,
        (_, _) => Then::End,
    }
}

/// What `head` asks for, by the form of its target (RFC 9112, section 3.2).
fn errand(head: &Head) -> Errand {
    if head.method == Method::CONNECT {
        return Errand::Tunnel;
    }
    if head.target.starts_with('/') {
        return Errand::Mirror(head.target.clone());
    }
    match Url::parse(&head.target) {
        // Clients with `proxy=` set ask for the mirror's URLs this way. The path is taken as it was sent.
        Ok(url) if is_own(&url) => {
            match head.target.split_once("://").and_then(|(_, rest)| rest.find('/').and_then(|at| rest.get(at..))) {
                Some(path) => Errand::Mirror(path.to_owned()),
                None => Errand::Mirror("/".to_owned()),
            }
        }
        Ok(url) if url.scheme() == "http" && url.has_host() => Errand::Proxy(url),
        Ok(_) | Err(_) => Errand::Nothing(Refusal::malformed(
            "a proxy request is for an http URL or CONNECT; https goes through CONNECT",
        )),
    }
}

fn note_refusal(url: String, refusal: &Refusal, answer: &mut Answer<'_>, open: &Open) {
    answer.refuse(refusal);
    match open.log.begin(What::Refused { why: refusal.why.clone() }, url) {
        Ok(mut entry) => entry.exchange.status = refusal.status,
        Err(full) => info!(step = open.step, why = full.why, "not recorded"),
    }
}

/// Answers what was not understood as a request.
fn refuse_unread(connection: &Connection, refusal: &Refusal, open: &Open) {
    let mut stream = &connection.stream;
    let body = format!("{}\n", refusal.why);
    let head =
        format!("HTTP/1.1 {} Refused\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", refusal.status, body.len());
    // Who sent that need not understand the answer.
    drop(stream.write_all(format!("{head}{body}").as_bytes()));
    debug!(step = open.step, why = refusal.why, "refused what is no request");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
