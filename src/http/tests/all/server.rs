//! A server on loopback whose every answer is scripted, for faults that real servers do not make on demand.
//!
//! `serve` takes a function from the request's head to an [`Answer`], `serve_after` one that also sees the requests
//! before, with their bodies. Requests are recorded, connections are kept
//! alive, and a TLS hello is answered as Go's servers do: with a plain 400.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What to do about a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    /// Answer after this many bytes of the request's body, and hang up.
    pub(crate) early: Option<usize>,
}

/// What to send behind the head.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "two crates' tests share it, and neither needs every fault")]
pub(crate) enum Body {
    Whole(Vec<u8>),
    /// Announces a length, sends this, and hangs up.
    Cut(u64, Vec<u8>),
    /// Sends this chunked, with the closing chunk.
    Chunked(Vec<u8>),
    /// Sends zero bytes for ever.
    Endless,
    /// Sends a zero byte each so often for ever.
    Drip(Duration),
    /// Sends nothing, not even a head, and keeps the connection.
    Silence,
    /// Hangs up without a head.
    HangUp,
}

/// A running server; its threads end with the test process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `METHOD target`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: Body::Whole(body.into()), early: None }
    }

    pub(crate) fn with(status: u16, body: Body) -> Self {
        Self { body, ..Self::new(status, "") }
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn early(mut self, bytes: usize) -> Self {
        self.early = Some(bytes);
        self
    }
}

impl Server {
    /// The requests so far, oldest first.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The requests so far as `METHOD target`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

/// Starts a server on a free port.
pub(crate) fn serve(mut script: impl FnMut(&Seen) -> Answer + Send + 'static) -> Server {
    serve_after(move |request, _| script(request))
}

/// Starts a server on a free port whose answers depend on the requests before.
pub(crate) fn serve_after(script: impl FnMut(&Seen, &[Seen]) -> Answer + Send + 'static) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server { address: listener.local_addr().unwrap(), seen: Arc::default() };
    let (seen, script) = (Arc::clone(&server.seen), Arc::new(Mutex::new(script)));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
            let answer = {
                let seen = Arc::clone(&seen);
                move |request: &Seen| (script.lock().unwrap())(request, &seen.lock().unwrap())
            };
            // Clients that hang up are part of the tests.
            thread::spawn(move || connection(stream, &seen, answer));
        }
    });
    server
}

fn connection(
    stream: TcpStream,
    seen: &Mutex<Vec<Seen>>,
    mut script: impl FnMut(&Seen) -> Answer,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        if reader.fill_buf()?.first() == Some(&0x16) {
            return stream
                .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTPS request to an HTTP server.");
        }
        let Some(mut request) = head(&mut reader)? else { return Ok(()) };
        let answer = script(&request);
        request.body = body(&request, &mut reader, answer.early)?;
        seen.lock().unwrap().push(request.clone());
        let is_early = answer.early.is_some();
        let is_last = send(&mut stream, &request, answer)?;
        if is_early && !is_last {
            // Closing with unread bytes would reset the connection and might take the answer along.
            stream.shutdown(Shutdown::Write)?;
            return std::io::copy(&mut reader, &mut std::io::sink()).map(|_| ());
        }
        if is_last {
            return Ok(());
        }
    }
}

fn head(reader: &mut impl BufRead) -> std::io::Result<Option<Seen>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let first = lines.remove(0);
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let headers = lines.iter().filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    Ok(Some(Seen { method, target, headers, body: Vec::new() }))
}

fn body(request: &Seen, reader: &mut impl BufRead, early: Option<usize>) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let limit = early.unwrap_or(usize::MAX);
    if request.header("transfer-encoding") == Some("chunked") {
        while body.len() < limit {
            let mut size = String::new();
            reader.read_line(&mut size)?;
            let size = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
            reader.take(size + 2).read_to_end(&mut body)?;
            body.truncate(body.len().saturating_sub(2));
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = request.header("content-length").and_then(|text| text.parse().ok()) {
        reader.take(length).take(limit as u64).read_to_end(&mut body)?;
    }
    Ok(body)
}

/// Sends the answer; whether the connection is over then.
fn send(stream: &mut TcpStream, request: &Seen, answer: Answer) -> std::io::Result<bool> {
    let framing = match &answer.body {
        Body::Whole(bytes) => format!("Content-Length: {}", bytes.len()),
        Body::Cut(length, _) => format!("Content-Length: {length}"),
        Body::Chunked(_) | Body::Endless | Body::Drip(_) => "Transfer-Encoding: chunked".to_owned(),
        Body::Silence => loop {
            thread::park();
        },
        Body::HangUp => return Ok(true),
    };
    let mut head = format!("HTTP/1.1 {} Scripted\r\n{framing}\r\n", answer.status);
    answer.headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        return Ok(false);
    }
    match answer.body {
        Body::Whole(bytes) => stream.write_all(&bytes).map(|()| false),
        Body::Cut(_, bytes) => stream.write_all(&bytes).map(|()| true),
        Body::Chunked(bytes) => {
            write!(stream, "{:x}\r\n", bytes.len())?;
            stream.write_all(&bytes)?;
            stream.write_all(b"\r\n0\r\n\r\n").map(|()| false)
        }
        Body::Endless => loop {
            write!(stream, "{:x}\r\n", 65536)?;
            stream.write_all(&[0; 65536])?;
            stream.write_all(b"\r\n")?;
        },
        Body::Drip(pause) => loop {
            stream.write_all(b"1\r\n\0\r\n")?;
            thread::sleep(pause);
        },
        Body::Silence | Body::HangUp => Ok(true),
    }
}
