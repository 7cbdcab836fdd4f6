//! HTTP/1.1 as a hostile step may speak it: heads and bodies in, answers out.
//!
//! Requests that two readers could understand differently are refused: two lengths, a length and chunks, any other
//! transfer coding, folded lines, several hosts. A head has a size and a deadline, bodies have idle limits.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::str::FromStr;
use std::time::{Duration, Instant};

use http::Method;
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};

use crate::exchange::Refusal;

/// Largest head of a request, and largest trailer of a body, in bytes.
const MAX_HEAD: usize = 32 << 10;
/// Most header fields.
const MAX_FIELDS: usize = 100;
/// How long a head may take, and how long a connection may wait for one.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// How long nothing may move in a body, either way.
pub(crate) const IDLE: Duration = Duration::from_secs(120);
/// How much of a body nobody wants is read, lest the answer be lost to a reset.
const LINGER_BYTES: usize = 256 << 10;
const LINGER_TIME: Duration = Duration::from_secs(1);

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Bytes, 0 for no body.
    Length(u64),
    /// In chunks.
    Chunked,
}

/// The head of a request.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: Method,
    /// As it was sent.
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    /// Whether the step's side speaks HTTP/1.1, so understands chunks.
    pub(crate) is_modern: bool,
    /// Whether it wants to go on using the connection.
    pub(crate) keeps: bool,
}

/// A step's side of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// What was read and is not used yet.
    buffer: Vec<u8>,
}

/// What came instead of a head.
#[derive(Debug)]
pub(crate) enum NoHead {
    /// The end of the connection, or silence.
    End,
    /// Something to be refused.
    Bad(Refusal),
}

impl From<io::Error> for NoHead {
    fn from(_: io::Error) -> Self {
        // Whatever it is, the step's side of the connection is gone.
        Self::End
    }
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(IDLE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// The next request.
    pub(crate) fn head(&mut self) -> Result<Head, NoHead> {
        let deadline = Instant::now() + HEAD_TIME;
        loop {
            if let Some((head, length)) = parse(&self.buffer).map_err(NoHead::Bad)? {
                self.buffer.drain(..length);
                return Ok(head);
            }
            if self.buffer.len() >= MAX_HEAD {
                return Err(too_large());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NoHead::End);
            }
            self.stream.set_read_timeout(Some(left))?;
            let room = MAX_HEAD - self.buffer.len();
            let mut piece = [0; 4096];
            let length = self.stream.read(piece.get_mut(..room.min(4096)).unwrap_or_default())?;
            if length == 0 {
                return Err(NoHead::End);
            }
            self.buffer.extend_from_slice(piece.get(..length).unwrap_or_default());
        }
    }

    /// Bytes that were read beyond the head, for a tunnel.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// The body of `head`.
    pub(crate) fn body(&mut self, head: &Head) -> io::Result<Body<'_>> {
        self.stream.set_read_timeout(Some(IDLE))?;
        if head.headers.contains_key(EXPECT) {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let state = match head.framing {
            Framing::Length(length) => State::Bytes { left: length, next: Next::End },
            Framing::Chunked => State::Size,
        };
        Ok(Body { connection: self, state })
    }

    /// Ends the connection so that the answer arrives although the rest of the request was not read.
    pub(crate) fn linger(&mut self) {
        let deadline = Instant::now() + LINGER_TIME;
        let mut left = LINGER_BYTES;
        let mut piece = [0; 8192];
        // It is over in any case.
        if self.stream.shutdown(Shutdown::Write).is_err() || self.stream.set_read_timeout(Some(LINGER_TIME)).is_err() {
            return;
        }
        while left > 0 && Instant::now() < deadline {
            match self.stream.read(&mut piece) {
                Ok(length) if length > 0 => left = left.saturating_sub(length),
                Ok(_) | Err(_) => return,
            }
        }
    }
}

fn too_large() -> NoHead {
    NoHead::Bad(Refusal { status: 431, why: format!("the request's head is larger than {MAX_HEAD} bytes") })
}

/// The head at the beginning of `bytes` and its length, `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Refusal::malformed(format!("not an HTTP request: {error}"))),
    };
    let method = Method::from_str(request.method.unwrap_or_default());
    let method = method.map_err(|_| Refusal::malformed("not an HTTP method"))?;
    let mut headers = HeaderMap::new();
    for field in request.headers.iter() {
        let name = HeaderName::from_str(field.name).map_err(|_| Refusal::malformed("not a header field"))?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| Refusal::malformed("not a header field"))?;
        headers.append(name, value);
    }
    let is_modern = request.version == Some(1);
    let framing = framing(&headers, is_modern)?;
    let says = |word| tokens(&headers, &CONNECTION).any(|token| token == word);
    let keeps = if is_modern { !says("close") } else { says("keep-alive") };
    let target = request.path.unwrap_or_default().to_owned();
    Ok(Some((Head { method, target, headers, framing, is_modern, keeps }, length)))
}

/// How long the body is, if there is but one answer (RFC 9112, section 6.3).
fn framing(headers: &HeaderMap, is_modern: bool) -> Result<Framing, Refusal> {
    let refuse = |why| Err(Refusal::malformed(why));
    if headers.get_all(HOST).iter().count() > 1 {
        return refuse("the request names several hosts");
    }
    let lengths: Vec<&HeaderValue> = headers.get_all(CONTENT_LENGTH).iter().collect();
    let codings: Vec<&HeaderValue> = headers.get_all(TRANSFER_ENCODING).iter().collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Framing::Length(0)),
        ([], [coding]) if is_modern && coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        ([length], []) => match length.to_str() {
            Ok(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map(Framing::Length).or_else(|_| refuse("the length of the body is not a number"))
            }
            Ok(_) | Err(_) => refuse("the length of the body is not a number"),
        },
        (_, _) => refuse("the request says in several ways how long its body is, or in an unknown one"),
    }
}

/// The words of a list-valued field, in lower case.
pub(crate) fn tokens<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = String> + 'a {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|token| token.trim().to_ascii_lowercase())
}

/// A request's body as it arrives; chunks are taken apart and trailers dropped.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    connection: &'a mut Connection,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A chunk's size comes.
    Size,
    Bytes {
        left: u64,
        next: Next,
    },
    Done,
}

/// What follows the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    End,
    /// The end of a chunk's line, and another chunk.
    Chunk,
}

impl Body<'_> {
    /// Whether all of it was read.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.state, State::Done | State::Bytes { left: 0, next: Next::End })
    }

    /// Reads the next line, without its end.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let buffer = &mut self.connection.buffer;
            if let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = buffer.drain(..=end).collect();
                line.pop();
                // A bare line feed is where readers disagree.
                return if line.pop() == Some(b'\r') { Ok(line) } else { Err(malformed()) };
            }
            if buffer.len() > MAX_HEAD {
                return Err(malformed());
            }
            let mut piece = [0; 4096];
            let length = self.connection.stream.read(&mut piece)?;
            if length == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.connection.buffer.extend_from_slice(piece.get(..length).unwrap_or_default());
        }
    }

    fn size(&mut self) -> io::Result<()> {
        let line = self.line()?;
        let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
        let is_size = (1..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
        let size = std::str::from_utf8(digits).ok().filter(|_| is_size);
        let size = size.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or_else(malformed)?;
        if size > 0 {
            self.state = State::Bytes { left: size, next: Next::Chunk };
            return Ok(());
        }
        let mut trailer = 0;
        loop {
            let line = self.line()?;
            trailer += line.len() + 2;
            if trailer > MAX_HEAD {
                return Err(malformed());
            }
            if line.is_empty() {
                self.state = State::Done;
                return Ok(());
            }
        }
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the chunks of the body are malformed")
}

impl Read for Body<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.state {
                State::Done | State::Bytes { left: 0, next: Next::End } => return Ok(0),
                State::Size => self.size()?,
                State::Bytes { left: 0, next: Next::Chunk } => {
                    if !self.line()?.is_empty() {
                        return Err(malformed());
                    }
                    self.state = State::Size;
                }
                State::Bytes { left, next } => {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(target.len());
                    let room = target.get_mut(..most).unwrap_or_default();
                    if room.is_empty() {
                        return Ok(0);
                    }
                    let length = if self.connection.buffer.is_empty() {
                        self.connection.stream.read(room)?
                    } else {
                        let length = self.connection.buffer.as_slice().read(room)?;
                        self.connection.buffer.drain(..length);
                        length
                    };
                    if length == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.state = State::Bytes { left: left - length as u64, next };
                    return Ok(length);
                }
            }
        }
    }
}
