//! HTTP for stories, both ways: a request, and a server of one folder. Loopback only, one request a connection.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// What a server answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header called `name`.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A request to `address` (`127.0.0.1:PORT`), spoken as HTTP/1.0 so that the answer comes in one piece.
#[track_caller]
pub(crate) fn request(method: &str, address: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let extra: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{extra}Content-Length: {length}\r\n\r\n").unwrap();
    stream.write_all(body).unwrap();
    read_answer(BufReader::new(stream), method)
}

fn read_answer(mut reader: impl BufRead, method: &str) -> Answer {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no status in {line:?}"));
    let headers = read_headers(&mut reader);
    let mut body = Vec::new();
    if method != "HEAD" {
        reader.read_to_end(&mut body).unwrap();
    }
    Answer { status, headers, body }
}

fn read_headers(reader: &mut impl BufRead) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
            None => return headers,
        }
    }
}

/// A request as a server sees it.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    /// The first header called `name`, in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Answers requests with a status and a body until this process ends; the address.
pub(crate) fn answer_with(answer: impl Fn(&Asked) -> (u16, Vec<u8>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let headers = read_headers(&mut reader);
            let length = headers.iter().find(|(name, _)| name == "content-length");
            let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
            let mut words = line.split(' ').map(str::to_owned);
            // A connection that is opened and not used is no request.
            let (Some(method), Some(path), Ok(())) = (words.next(), words.next(), reader.read_exact(&mut body)) else {
                continue;
            };
            let (status, content) = answer(&Asked { method, path, headers, body });
            let length = content.len();
            let head = format!("HTTP/1.1 {status} Answer\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            // A client that has gone away is no matter of the server's.
            let _answered = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&content));
        }
    });
    address
}

/// A port of the loopback interface that nobody listens on and no other caller gets. It lies below those that the kernel
/// gives away, or a server or a client of another story could have it before it is used.
pub(crate) fn free_port() -> u16 {
    const PORTS: Range<u16> = 20_000..32_000;
    static TRIED: AtomicU32 = AtomicU32::new(0);
    let mut ports = std::iter::repeat_with(|| {
        // Processes that run beside this one begin elsewhere.
        let tried = TRIED.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id().wrapping_mul(101));
        PORTS.start + u16::try_from(tried % PORTS.len() as u32).unwrap()
    });
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

/// Serves the files of `root` on `address` until this process ends; the address in use otherwise, as the error says.
pub(crate) fn serve(root: PathBuf, address: &str) -> std::io::Result<String> {
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            thread::spawn(move || {
                // A client that goes away in the middle is no matter of the server's.
                let _answered = answer(&root, stream);
            });
        }
    });
    Ok(address)
}

fn answer(root: &Path, mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    read_headers(&mut reader);
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    match file_at(root, path) {
        Some(content) => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len())?;
            if method != "HEAD" {
                stream.write_all(&content)?;
            }
        }
        None => write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?,
    }
    // The client may still be sending; closing at once could reset the connection under the answer.
    stream.shutdown(std::net::Shutdown::Write)?;
    reader.read_to_end(&mut Vec::new()).map(|_| ())
}

fn file_at(root: &Path, path: &str) -> Option<Vec<u8>> {
    let relative = Path::new(path.split('?').next()?.trim_start_matches('/'));
    let climbs = relative.components().any(|part| !matches!(part, Component::Normal(_)));
    if climbs { None } else { fs::read(root.join(relative)).ok() }
}
