//! Repository files from servers.

use http::{Method, Request, StatusCode, Url};

use crate::{Class, PluginError};

/// Bytes of the largest repository file.
const MAX_FILE: usize = 1 << 20;
/// Hexadecimal digits of the URL's digest in a file's name.
const DIGITS: usize = 5;

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

fn file_name(url: &str) -> Result<String, PluginError> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    let stem = last.strip_suffix(".repo").unwrap_or(last);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if stem.is_empty() || !stem.chars().all(is_plain) {
        let text = format!("`{last}` at the end of a repository file's URL is no file name");
        return Err(PluginError::new(Class::Configuration, text));
    }
    let digest = oci::Digest::of(url.as_bytes());
    Ok(format!("{stem}-{}.repo", digest.hex().get(..DIGITS).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_by_its_url_and_a_few_digits() {
        assert_eq!(file_name("http://r.example/my.repo").unwrap(), "my-f0ca2.repo");
        let error = file_name("http://r.example/").unwrap_err();
        assert_eq!(error.text, "`` at the end of a repository file's URL is no file name");
    }
}
