//! Asking upstream servers on behalf of repositories: redirects, credentials, addresses, retries.
//!
//! Redirects are followed here and not by the HTTP client, because each hop's address is judged, and because the
//! proxy must hand them to the step instead.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HttpError, Method, Request, Response, Secret, Url, is_same_origin, shown};
use tracing::debug;

use crate::exchange::Refusal;
use crate::rules::Reach;
use crate::sources::Upstream;
use crate::{Shared, address};

/// Redirects followed for one file.
const MAX_HOPS: usize = 10;

/// Whether another server may have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempts {
    /// Try one server as often as the options say.
    Patient,
    /// Once: another mirror is next.
    Once,
}

impl Shared {
    /// The answer to GET `url`, which belongs to a repository at `upstream`, if its status is 200.
    ///
    /// # Errors
    /// A refusal for an address out of reach, another status, or no answer.
    pub(crate) fn get(&self, upstream: &Upstream, url: &Url, attempts: Attempts) -> Result<Response, Refusal> {
        let mut url = url.clone();
        for _ in 0..=MAX_HOPS {
            self.check_address(upstream, &url)?;
            let response = self.get_retrying(upstream, &url, attempts)?;
            match next_hop(&url, &response)? {
                Some(next) => url = next,
                None if response.status() == 200 => return Ok(response),
                None => {
                    let (status, url) = (response.status().as_u16(), shown(&url));
                    response.finish();
                    let why = format!("{url}: the server answered {status}");
                    return Err(if status == 404 { Refusal::missing(why) } else { Refusal::failed(why) });
                }
            }
            debug!(url = shown(&url), "following a redirect");
        }
        Err(Refusal::failed(format!("{}: more than {MAX_HOPS} redirects", shown(&url))))
    }

    fn get_retrying(&self, upstream: &Upstream, url: &Url, attempts: Attempts) -> Result<Response, HttpError> {
        let mut tried = 1;
        loop {
            let outcome = get_once(upstream, url);
            let wait = upstream.client.retry().wait(tried, &outcome).filter(|_| attempts == Attempts::Patient);
            let Some(wait) = wait else { return outcome };
            debug!(url = shown(url), wait_ms = wait.as_millis(), "trying again");
            upstream.client.pause(wait);
            tried += 1;
        }
    }

    /// Judges where `url` leads: the repository's own server as its file was judged, mirrors and redirects like those
    /// an image names.
    fn check_address(&self, upstream: &Upstream, url: &Url) -> Result<(), Refusal> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let reach = if is_same_origin(url, &upstream.hidden.base) {
            upstream.hidden.reach
        } else {
            let delegated = match upstream.hidden.reach {
                Reach::Everywhere | Reach::NotLocal => Reach::NotLocal,
                Reach::Public => Reach::Public,
            };
            self.options.rules.reach(host, port).unwrap_or(delegated)
        };
        address::check(host, port, reach, upstream.route(url))
    }
}

/// One request without following redirects, which only [`http::Client::upload`] leaves alone.
fn get_once(upstream: &Upstream, url: &Url) -> Result<Response, HttpError> {
    let mut request = Request::new(Method::GET, url.clone());
    if is_same_origin(url, &upstream.hidden.base)
        && let Some((user, password)) = &upstream.hidden.credentials
    {
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.reveal()));
        request = request.secret_header(AUTHORIZATION, &Secret::new(format!("Basic {pair}")))?;
    }
    let (body, answer) = upstream.client.upload(request, Some(0))?;
    // Whatever broke the empty body is what the answer tells.
    drop(body.finish());
    answer.wait()
}

/// Where a redirect leads, `None` for other answers.
fn next_hop(url: &Url, response: &Response) -> Result<Option<Url>, Refusal> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = response.header(&LOCATION) else { return Ok(None) };
    let refused = |why| Refusal::failed(format!("{}: refusing its redirect: {why}", shown(url)));
    let next = url.join(location).map_err(|_| refused("it leads to no URL"))?;
    match (url.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(Some(next)),
        (_, _) => Err(refused("it leads from https to something else")),
    }
}
