//! Repository files from servers.

use http::{Method, Request, StatusCode, Url};

use crate::{Class, PluginError};

/// Bytes of the largest repository file.
const MAX_FILE: usize = 1 << 20;
/// Hexadecimal digits of the URL's digest in a file's name.
const DIGITS: usize = 5;
/// Bytes of the longest name at the end of a URL; there is room for digits and ending in a file's name.
const MAX_NAME: usize = 240;

/// Downloads a repository file; returns its name for `/etc/yum.repos.d` and its bytes.
///
/// The name is that of the URL with a few digits of the URL's SHA-256, so that two of one name do not collide.
///
/// # Errors
/// [`Class::Configuration`] for what is no URL of a file, [`Class::Remote`] when there is no answer, or another than 200.
pub fn fetch_repository_file(url: &str, http: &http::Client) -> Result<(String, Vec<u8>), PluginError> {
    let name = file_name(url)?;
    let parsed = Url::parse(url)
        .map_err(|error| PluginError::new(Class::Configuration, format!("a repository file's URL: {error}")))?;
    let remote = |error: http::HttpError| PluginError::of(Class::Remote, &error);
    let response = http.send_retrying(&Request::new(Method::GET, parsed.clone())).map_err(remote)?;
    if response.status() != StatusCode::OK {
        let text = format!("{}: the server answered {}", http::shown(&parsed), response.status());
        return Err(PluginError::new(Class::Remote, text));
    }
    Ok((name, response.bytes(MAX_FILE).map_err(remote)?))
}

/// A URL without what may be a secret in it: user, password, query.
#[must_use]
pub fn shown_url(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "a malformed URL".to_owned(), |url| http::shown(&url))
}

/// The name that a repository file of this URL gets in `/etc/yum.repos.d`.
///
/// # Errors
/// [`Class::Configuration`] for a URL that ends in no file name.
pub fn file_name(url: &str) -> Result<String, PluginError> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    // A server alone is no path.
    let path =
        path.split_once("://").map_or(path, |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(""));
    let path = decoded(path);
    // As the reference has it, `p/` is named by `p`.
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let stem = last.strip_suffix(".repo").unwrap_or(last);
    if stem.is_empty() || matches!(last, "." | "..") || last.len() > MAX_NAME || last.chars().any(char::is_control) {
        let text = format!("`{last}` at the end of a repository file's URL is no file name");
        return Err(PluginError::new(Class::Configuration, text));
    }
    let digest = oci::Digest::of(url.as_bytes());
    Ok(format!("{stem}-{}.repo", digest.hex().get(..DIGITS).unwrap_or_default()))
}

/// `text` with each `%XX` as the byte that it means; where that gives no text it stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let is_hex = |hex: &&str| first == b'%' && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = hex.filter(is_hex).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = byte.and_then(|_| after.get(2..)).unwrap_or(after);
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_url_and_a_few_digits() {
        assert_eq!(file_name("http://r.example/my.repo").unwrap(), "my-f0ca2.repo");
        assert_eq!(file_name("http://h.example/p/a%20b.repo").unwrap(), "a b-50515.repo");
        assert_eq!(file_name("http://h.example/a~b+c.repo?x=/y").unwrap(), "a~b+c-53e7c.repo");
        assert_eq!(file_name("/etc/yum.repos.d/f40-container").unwrap(), "f40-container-c914c.repo");
        assert_eq!(file_name("http://h/p/").unwrap(), "p-7cd3c.repo");
        assert_eq!(file_name("http://h/p/my.repo/").unwrap(), "my-e0b73.repo");
        assert!(file_name("http://h/p/my////?some=extra///").unwrap().starts_with("my-"));
        assert!(file_name("http://h.example/..%2fetc%2fx.repo").unwrap().starts_with("x-"));
        for url in [
            "http://h.example",
            "http://h.example///?some=extra",
            "http://h.example/..",
            "http://h.example/.repo",
            "http://h.example/a%0a.repo",
        ] {
            assert!(file_name(url).is_err(), "{url}");
        }
        assert_eq!(decoded("%4%zz%41%ff"), "%4%zz%41%ff");
        let error = file_name("http://r.example/").unwrap_err();
        assert_eq!(error.text, "`` at the end of a repository file's URL is no file name");
    }
}
