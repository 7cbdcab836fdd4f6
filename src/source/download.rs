//! One file from a web server: a context as a tar, what ADD names by URL.
//!
//! Comes in: a URL as people write it, and an open file. Goes out: the bytes in the file, and what the server said
//! about them. Retries, redirects, deadlines and proxies are [`http`]'s; what breaks in the middle is asked for once
//! more. User and password in the URL are sent to its own server only, and are in no error.

use std::fs::File;
use std::io::{self, Seek, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Client, HttpError, Method, Request, Response, Secret, Url, header};
use oci::{Digest, Hasher};
use tracing::info;

use crate::Class;
use crate::git::decode;

/// Bytes in the longest URL taken.
const MAX_URL: usize = 8192;
/// Bytes in the longest name of a file.
const NAME_MAX: usize = 255;

/// What came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Of the bytes: with the algorithm of the checksum, SHA-256 without one.
    pub digest: Digest,
    /// How many there are.
    pub bytes: u64,
    /// `Last-Modified`, seconds since 1970; `None` where the server does not say, or not legibly.
    pub modified: Option<i64>,
    /// The file's name by `Content-Disposition`, else the last part of the URL that was asked for, without
    /// percent-encoding. A single component of a path, never `.` or `..`.
    pub name: Option<String>,
}

/// Why a file did not come. URLs are shown without user, password and query.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The text is no URL, or one of another kind.
    #[error("`{url}` is not an http or https URL: {why}")]
    Url {
        /// The text as far as it may be shown.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// There was no answer, or it broke off.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The server does not have the file, or does not give it out.
    #[error("{url}: the server answered {status}{}", advice(*status))]
    Status {
        /// The address, after redirects.
        url: String,
        /// The status.
        status: u16,
    },
    /// More than allowed.
    #[error("{url}: the file is larger than the {limit} bytes allowed")]
    TooLarge {
        /// The address.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Other bytes than those asked for.
    #[error("{url}: the file has the digest {found}, but {expected} was asked for")]
    Checksum {
        /// The address.
        url: String,
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The file on this side could not be written.
    #[error("{url}: cannot keep what is downloaded")]
    Write {
        /// The address.
        url: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

fn advice(status: u16) -> &'static str {
    match status {
        401 | 403 => "; it wants credentials, or does not give the file to these",
        404 | 410 => "; check the address",
        _ => "",
    }
}

impl DownloadError {
    /// Whose turn it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Url { .. } | Self::Status { status: 404 | 410, .. } => Class::Source,
            Self::Http(HttpError::Cancelled { .. }) => Class::Cancelled,
            Self::Http(_) | Self::Status { .. } => Class::Service,
            Self::TooLarge { .. } | Self::Checksum { .. } => Class::Refused,
            Self::Write { .. } => Class::Environment,
        }
    }
}

/// Downloads `url` into `into`, from its current position on; the position is then behind the last byte.
///
/// # Errors
/// [`DownloadError`]; what came before stays in the file.
pub fn fetch(
    client: &Client,
    url: &str,
    into: &mut File,
    limit: u64,
    checksum: Option<&Digest>,
) -> Result<Downloaded, DownloadError> {
    let request = request(url)?;
    let transfer = Transfer { client, request: &request, limit, checksum };
    let start = into.stream_position().map_err(|source| transfer.write(source))?;
    let mut result = transfer.receive(into);
    // Requests are repeated by the client; what breaks in the middle is not.
    if matches!(&result, Err(DownloadError::Http(error)) if error.is_transient()) {
        into.set_len(start).and_then(|()| into.seek(io::SeekFrom::Start(start))).map_err(|e| transfer.write(e))?;
        result = transfer.receive(into);
    }
    let downloaded = result?;
    if let Some(expected) = checksum.filter(|expected| **expected != downloaded.digest) {
        let (url, found) = (http::shown(&request.url), downloaded.digest);
        return Err(DownloadError::Checksum { url, expected: expected.clone(), found });
    }
    info!(url = http::shown(&request.url), bytes = downloaded.bytes, digest = %downloaded.digest, "downloaded");
    Ok(downloaded)
}

/// The request for a URL, its user and password moved to where no log shows them.
fn request(text: &str) -> Result<Request, DownloadError> {
    let bad = |url: String, why| DownloadError::Url { url, why };
    if text.len() > MAX_URL {
        return Err(bad(text.chars().take(80).collect(), "it is too long"));
    }
    let mut url = Url::parse(text).map_err(|_| bad(masked(text), "it cannot be parsed"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad(http::shown(&url), "its scheme is another"));
    }
    let user = decode(url.username());
    let password = url.password().map_or_else(|| Some(String::new()), decode);
    let (Some(user), Some(password)) = (user, password) else {
        return Err(bad(http::shown(&url), "its user or password is not text"));
    };
    // Only URLs without a host refuse this, and those of these schemes have one.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.set_fragment(None);
    let request = Request::new(Method::GET, url);
    if user.is_empty() && password.is_empty() {
        return Ok(request);
    }
    let basic = Secret::new(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))));
    Ok(request.secret_header(header::AUTHORIZATION, &basic)?)
}

/// The scheme, and nothing of a text that we could not take apart.
fn masked(text: &str) -> String {
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    format!("{}://…", scheme.chars().filter(char::is_ascii_alphanumeric).take(16).collect::<String>())
}

/// One file on its way.
struct Transfer<'a> {
    client: &'a Client,
    request: &'a Request,
    limit: u64,
    checksum: Option<&'a Digest>,
}

impl Transfer<'_> {
    fn receive(&self, into: &mut File) -> Result<Downloaded, DownloadError> {
        let response = self.client.send_retrying(self.request)?;
        let status = response.status().as_u16();
        if status != 200 {
            let url = http::shown(response.url());
            response.finish();
            return Err(DownloadError::Status { url, status });
        }
        let modified = response.header(&header::LAST_MODIFIED).and_then(http::unix_time);
        let modified = modified.and_then(|seconds| i64::try_from(seconds).ok());
        let name = response.headers().get(header::CONTENT_DISPOSITION).and_then(|value| disposed(value.as_bytes()));
        let name = name.or_else(|| last_component(&self.request.url));
        let hasher = self.copy(response, into)?;
        Ok(Downloaded { bytes: hasher.length(), digest: hasher.finish(), modified, name })
    }

    fn copy(&self, response: Response, into: &mut File) -> Result<Hasher, DownloadError> {
        let too_large = || DownloadError::TooLarge { url: http::shown(&self.request.url), limit: self.limit };
        if response.content_length().is_some_and(|announced| announced > self.limit) {
            return Err(too_large());
        }
        let mut hasher = self.checksum.map_or_else(Hasher::default, |digest| Hasher::new(digest.algorithm()));
        let mut body = response.into_body();
        while let Some(piece) = body.next_piece()? {
            hasher.update(&piece);
            if hasher.length() > self.limit {
                return Err(too_large());
            }
            into.write_all(&piece).map_err(|source| self.write(source))?;
        }
        Ok(hasher)
    }

    fn write(&self, source: io::Error) -> DownloadError {
        DownloadError::Write { url: http::shown(&self.request.url), source }
    }
}

/// The file name in a `Content-Disposition` (RFC 6266): `filename*` in UTF-8 before `filename`.
fn disposed(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let (mut plain, mut extended) = (None, None);
    for parameter in parameters(text) {
        let Some((key, value)) = parameter.split_once('=') else { continue };
        let value = value.trim();
        match key.trim().to_ascii_lowercase().as_str() {
            "filename" => plain = Some(unquoted(value)),
            "filename*" => {
                let encoded = value.get(..7).filter(|start| start.eq_ignore_ascii_case("utf-8''"));
                extended = encoded.and_then(|_| decode(value.get(7..)?));
            }
            _ => {}
        }
    }
    // Some servers send a path of theirs; only its last component is a name.
    let name = extended.or(plain)?;
    as_name(name.rsplit(['/', '\\']).next()?)
}

/// What stands between semicolons, those in quotes left alone.
fn parameters(text: &str) -> Vec<String> {
    let (mut parameters, mut is_quoted, mut is_escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        if c == ';' && !is_quoted {
            parameters.push(String::new());
            continue;
        }
        is_quoted ^= c == '"' && !is_escaped;
        is_escaped = c == '\\' && is_quoted && !is_escaped;
        if let Some(last) = parameters.last_mut() {
            last.push(c);
        }
    }
    parameters
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return value.to_owned() };
    let mut is_escaped = false;
    let is_kept = |c: &char| {
        is_escaped = *c == '\\' && !is_escaped;
        !is_escaped
    };
    inner.chars().filter(is_kept).collect()
}

fn last_component(url: &Url) -> Option<String> {
    let last = url.path_segments()?.rfind(|part| !part.is_empty())?;
    as_name(decode(last)?.rsplit('/').next()?)
}

fn as_name(text: &str) -> Option<String> {
    let is_name = !matches!(text, "" | "." | "..") && text.len() <= NAME_MAX && !text.chars().any(char::is_control);
    is_name.then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
