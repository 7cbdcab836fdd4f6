//! Which redirects are followed, and what may travel along.

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, LOCATION, PROXY_AUTHORIZATION};
use reqwest::{Method, StatusCode, Url};

use crate::{HttpError, Request, shown};

/// Redirects followed for one request.
pub(crate) const MAX_HOPS: usize = 10;

/// The request that a redirect asks for, `None` when the answer is to be delivered as it is.
///
/// GET and HEAD follow 301, 302, 303, 307 and 308; other methods only 307 and 308, which keep method and body
/// (RFC 9110, section 15.4), and only within their origin, because a body may hold a secret. Credentials stay behind
/// when scheme, host or port change.
pub(crate) fn next(request: &Request, status: StatusCode, headers: &HeaderMap) -> Result<Option<Request>, HttpError> {
    let is_read = matches!(request.method, Method::GET | Method::HEAD);
    let is_followed = match status.as_u16() {
        301..=303 => is_read,
        307 | 308 => true,
        _ => false,
    };
    let Some(location) = headers.get(LOCATION).filter(|_| is_followed) else { return Ok(None) };
    let url = target(&request.url, location.as_bytes())?;
    let stays = is_same_origin(&request.url, &url);
    if !stays && !is_read {
        return Ok(None);
    }
    let mut next = Request { url, ..request.clone() };
    if !stays {
        for secret in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
            next.headers.remove(secret);
        }
    }
    Ok(Some(next))
}

/// Where `location` leads from `base`.
fn target(base: &Url, location: &[u8]) -> Result<Url, HttpError> {
    let text = String::from_utf8_lossy(location);
    let refused = |to: String, why| HttpError::Redirect { url: shown(base), to, why };
    let url = base.join(&text).map_err(|_| refused("a malformed address".to_owned(), "it is not a URL"))?;
    match (base.scheme(), url.scheme()) {
        (_, "https") | ("http", "http") => Ok(url),
        ("https", "http") => Err(refused(shown(&url), "it leads from https to http")),
        (_, _) => Err(refused(shown(&url), "it is neither http nor https")),
    }
}

/// Whether both have the same scheme, host and port.
pub fn is_same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme() && a.host_str() == b.host_str() && a.port_or_known_default() == b.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(method: Method, status: u16, location: &str) -> Result<Option<Request>, HttpError> {
        let url = Url::parse("https://a.example/v2/x/y").unwrap();
        let request = Request::new(method, url).header(AUTHORIZATION, "Basic x").unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().unwrap());
        next(&request, StatusCode::from_u16(status).unwrap(), &headers)
    }

    #[track_caller]
    fn check(location: &str, url: &str, has_credentials: bool) {
        let request = follow(Method::GET, 302, location).unwrap().unwrap();
        assert_eq!((request.url.as_str(), request.headers.contains_key(AUTHORIZATION)), (url, has_credentials));
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        check("../z", "https://a.example/v2/z", true);
        check("/../../z", "https://a.example/z", true);
        check("https://a.example:443/z", "https://a.example/z", true);
        check("https://a.example:444/z", "https://a.example:444/z", false);
        check("//b.example/z", "https://b.example/z", false);
    }

    #[test]
    fn a_redirect_from_https_to_http_is_refused() {
        let error = follow(Method::GET, 307, "http://a.example/z?token=1").unwrap_err().to_string();
        let expected =
            "https://a.example/v2/x/y: refusing the redirect to http://a.example/z: it leads from https to http";
        assert_eq!(error, expected);
        assert!(follow(Method::GET, 307, "file:///etc/passwd").is_err());
    }

    #[test]
    fn a_post_is_not_turned_into_something_else() {
        assert!(follow(Method::POST, 302, "/z").unwrap().is_none());
        assert_eq!(follow(Method::PUT, 308, "/z").unwrap().unwrap().method, Method::PUT);
        assert!(follow(Method::PUT, 308, "https://b.example/z").unwrap().is_none());
        assert!(follow(Method::GET, 304, "/z").unwrap().is_none());
    }
}
