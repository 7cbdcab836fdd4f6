//! Answers to a step, whole or as they come.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};

use crate::exchange::Refusal;
use crate::wire::Head;

/// One answer being written.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    stream: &'a TcpStream,
    is_stopped: &'a AtomicBool,
    is_head_request: bool,
    is_modern: bool,
    keeps: bool,
    progress: Progress,
    /// The status sent, 0 before.
    pub(crate) status: u16,
    /// Bytes of the body sent.
    pub(crate) bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Nothing,
    Length(u64),
    Chunks,
    UntilClose,
    Done,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(stream: &'a TcpStream, head: &Head, is_stopped: &'a AtomicBool) -> Self {
        Self {
            stream,
            is_stopped,
            is_head_request: head.method == Method::HEAD,
            is_modern: head.is_modern,
            keeps: head.keeps,
            progress: Progress::Nothing,
            status: 0,
            bytes: 0,
        }
    }

    /// Whether the step is over, so that nothing is worth going on with.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// What is set when the step is over.
    pub(crate) fn stop(&self) -> &'a AtomicBool {
        self.is_stopped
    }

    /// Whether the head is out, so that no other answer is possible.
    pub(crate) fn is_started(&self) -> bool {
        self.progress != Progress::Nothing
    }

    /// Whether the connection can carry another answer after this one.
    pub(crate) fn is_reusable(&self) -> bool {
        self.keeps && self.progress == Progress::Done
    }

    /// The connection ends after this answer.
    pub(crate) fn close(&mut self) {
        self.keeps = false;
    }

    /// How long a write may wait for the step from now on.
    pub(crate) fn set_patience(&self, patience: Duration) -> io::Result<()> {
        self.stream.set_write_timeout(Some(patience))
    }

    /// Sends the head. `length` is the body's in bytes if it is known.
    pub(crate) fn start(&mut self, status: u16, headers: &HeaderMap, length: Option<u64>) -> io::Result<()> {
        let mut headers = headers.clone();
        let is_bodiless = matches!(status, 100..=199 | 204 | 304);
        self.progress = match length {
            _ if is_bodiless => Progress::Length(0),
            Some(length) => Progress::Length(length),
            None if self.is_modern => Progress::Chunks,
            None => Progress::UntilClose,
        };
        match self.progress {
            Progress::Length(length) if !is_bodiless => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
            Progress::Chunks if !self.is_head_request => {
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
            }
            Progress::UntilClose => self.keeps = false,
            Progress::Nothing | Progress::Length(_) | Progress::Chunks | Progress::Done => {}
        }
        if self.is_head_request {
            self.progress = Progress::Length(0);
        }
        headers.insert(CONNECTION, HeaderValue::from_static(if self.keeps { "keep-alive" } else { "close" }));
        self.status = status;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status)).into_bytes();
        for (name, value) in &headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        self.send(&head)
    }

    /// Sends some of the body. Bytes beyond the announced length are an error.
    pub(crate) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        if piece.is_empty() || self.is_head_request {
            return Ok(());
        }
        match self.progress {
            Progress::Length(left) => {
                let left = left.checked_sub(piece.len() as u64).ok_or(io::ErrorKind::InvalidData)?;
                self.send(piece)?;
                self.progress = Progress::Length(left);
            }
            Progress::Chunks => {
                self.send(format!("{:x}\r\n", piece.len()).as_bytes())?;
                self.send(piece)?;
                self.send(b"\r\n")?;
            }
            Progress::UntilClose => self.send(piece)?,
            Progress::Nothing | Progress::Done => return Err(io::ErrorKind::InvalidData.into()),
        }
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Ends the body. One that is shorter than announced leaves the connection to be cut.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        match self.progress {
            Progress::Chunks => self.send(b"0\r\n\r\n")?,
            Progress::Length(left) if left > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Progress::Nothing | Progress::Length(_) | Progress::UntilClose | Progress::Done => {}
        }
        self.progress = Progress::Done;
        Ok(())
    }

    /// Sends a whole body.
    pub(crate) fn whole(&mut self, status: u16, headers: &HeaderMap, body: &[u8]) -> io::Result<()> {
        self.start(status, headers, Some(body.len() as u64))?;
        self.write(body)?;
        self.finish()
    }

    /// Says no, if something else was not said already.
    pub(crate) fn refuse(&mut self, refusal: &Refusal) {
        if self.is_started() {
            // Half an answer is out: only cutting the connection says that it is not good.
            self.close();
            return;
        }
        let headers = fields(&[(CONTENT_TYPE, "text/plain; charset=utf-8")]);
        // A step that hangs up need not know.
        drop(self.whole(refusal.status, &headers, format!("{}\n", refusal.why).as_bytes()));
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_stopped() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.stream.write_all(bytes)
    }
}

/// Header fields with fixed values.
pub(crate) fn fields(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
    fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Answer")
}
