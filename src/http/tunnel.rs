//! Plain connections to a host and port, for those who speak something else than our HTTP over them.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::net;

use crate::HttpError;
use crate::error::Phase;
use crate::options::Proxies;

/// Bytes in the largest head that a proxy may answer with.
const MAX_HEAD: usize = 16 << 10;

/// Where a tunnel leads to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    host: String,
    port: u16,
    /// `host:port`, with brackets where the host is an IPv6 address.
    authority: String,
}

impl Target {
    pub(crate) fn new(host: &str, port: u16) -> Result<Self, HttpError> {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host_byte) {
            let why = "it holds characters that host names and addresses do not".to_owned();
            return Err(HttpError::BadUrl { url: host.escape_default().to_string(), why });
        }
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(Self { host: host.to_owned(), port, authority })
    }

    /// As errors name it.
    pub(crate) fn shown(&self) -> &str {
        &self.authority
    }
}

/// The rules by which `reqwest` chooses a proxy for https, which are these very ones.
pub(crate) fn matcher(proxies: &Proxies) -> Matcher {
    let value = |value: &Option<String>| value.clone().unwrap_or_default();
    Matcher::builder().https(value(&proxies.https)).no(proxies.exceptions()).build()
}

/// A connection to `target`, by CONNECT through the proxy that `matcher` finds for it.
pub(crate) async fn open(target: &Target, matcher: &Matcher) -> Result<TcpStream, HttpError> {
    let bad =
        |error: &dyn std::fmt::Display| HttpError::BadUrl { url: target.authority.clone(), why: error.to_string() };
    let uri =
        format!("https://{}/", target.authority).parse().map_err(|error: hyper::http::uri::InvalidUri| bad(&error))?;
    let Some(proxy) = matcher.intercept(&uri) else {
        let stream = connect(&target.host, target.port, &target.authority).await?;
        return blocking(stream, &target.authority);
    };
    let shown = shown(&proxy);
    if proxy.uri().scheme_str() != Some("http") {
        return Err(HttpError::TunnelProxy { url: target.authority.clone(), proxy: shown });
    }
    let host = proxy.uri().host().unwrap_or_default().trim_matches(['[', ']']);
    let through = format!("{} through the proxy {shown}", target.authority);
    let stream = connect(host, proxy.uri().port_u16().unwrap_or(80), &through).await?;
    let broken = |error| HttpError::Broken { url: through.clone(), phase: Phase::Connecting, source: Arc::new(error) };
    let status = ask(&stream, target, &proxy).await.map_err(broken)?;
    if !(200..300).contains(&status) {
        return Err(HttpError::ProxyRefused { url: target.authority.clone(), proxy: shown, status });
    }
    blocking(stream, &through)
}

/// The proxy without its password.
fn shown(proxy: &Intercept) -> String {
    let uri = proxy.uri();
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}", uri.scheme_str().unwrap_or_default(), uri.host().unwrap_or_default())
}

/// The first address of `host` that takes a connection.
async fn connect(host: &str, port: u16, url: &str) -> Result<net::TcpStream, HttpError> {
    let unresolved = |error| HttpError::Unresolved { url: url.to_owned(), source: Arc::new(error) };
    let addresses = net::lookup_host((host, port)).await.map_err(unresolved)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match net::TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(HttpError::Connect { url: url.to_owned(), source: Arc::new(last) })
}

/// Sends a CONNECT (RFC 9110, section 9.3.6) and returns the status of the answer.
async fn ask(stream: &net::TcpStream, target: &Target, proxy: &Intercept) -> io::Result<u16> {
    let authority = &target.authority;
    let mut head = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
    if let Some(value) = proxy.basic_auth() {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    write_all(stream, &head).await?;
    status(&read_head(stream).await?)
}

async fn write_all(stream: &net::TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        stream.writable().await?;
        match stream.try_write(rest) {
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The head of the proxy's answer, and not a byte more: what follows belongs to whoever gets the connection.
async fn read_head(stream: &net::TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.readable().await?;
        match stream.try_read(&mut byte) {
            Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the proxy hung up")),
            Ok(_) => head.extend_from_slice(&byte),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if head.len() > MAX_HEAD {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the proxy's answer has no end"));
        }
    }
    Ok(head)
}

/// `HTTP/1.1 200 Connection established`.
fn status(head: &[u8]) -> io::Result<u16> {
    let not_http = || io::Error::new(io::ErrorKind::InvalidData, "the proxy's answer is not HTTP");
    let text = String::from_utf8_lossy(head);
    let rest = text.strip_prefix("HTTP/1.").ok_or_else(not_http)?;
    rest.split_whitespace().nth(1).and_then(|status| status.parse().ok()).ok_or_else(not_http)
}

fn blocking(stream: net::TcpStream, url: &str) -> Result<TcpStream, HttpError> {
    let convert = || {
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    convert().map_err(|error: io::Error| HttpError::Connect { url: url.to_owned(), source: Arc::new(error) })
}
