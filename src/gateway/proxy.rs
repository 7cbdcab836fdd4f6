//! The forward proxy: requests for whole URLs, passed on to hosts the rules name.
//!
//! Bodies stream both ways. Redirects go to the step, which has to ask again. Nothing of the builder is added: no
//! credentials and no cookies.

use std::io::Read;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::header::{EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use http::{Method, Request, Response, Url};
use oci::Hasher;

use crate::address::{self, Route};
use crate::answer::Answer;
use crate::exchange::{Exchange, Log, Refusal, What, masked};
use crate::rules::normal;
use crate::wire::{Body, Framing, Head, tokens};
use crate::{ADDRESS, Shared};

/// Fields that belong to one connection (RFC 9110, section 7.6.1), and those the proxy answers itself.
const HOP_BY_HOP: [HeaderName; 8] =
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, EXPECT];
/// The same, without constants.
const HOP_BY_HOP_NAMES: [&str; 2] = ["keep-alive", "proxy-connection"];

/// A request to be passed on.
#[derive(Debug)]
pub(crate) struct Proxied<'a, 'b> {
    pub(crate) url: Url,
    pub(crate) head: &'a Head,
    pub(crate) body: &'a mut Body<'b>,
}

impl Shared {
    /// Passes a request on.
    pub(crate) fn proxy(&self, request: Proxied<'_, '_>, answer: &mut Answer<'_>, log: &Log) {
        let what = What::Proxied { method: request.head.method.to_string() };
        let mut entry = match log.begin(what, masked(&request.url)) {
            Ok(entry) => entry,
            Err(refusal) => return answer.refuse(&refusal),
        };
        let outcome = self.pass_on(request, answer, &mut entry.exchange);
        if let Err(refusal) = outcome {
            answer.refuse(&refusal);
            entry.refuse(refusal);
        }
        (entry.exchange.status, entry.exchange.bytes) = (answer.status, answer.bytes);
    }

    /// Whether a step may have a connection to `url`'s host.
    pub(crate) fn permit(&self, url: &Url, route: Route) -> Result<(), Refusal> {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        let reach = self.options.rules.reach(host, port).ok_or_else(|| {
            Refusal::forbidden(format!(
                "{host}:{port} may not be reached by a build step; the site's network.allow decides"
            ))
        })?;
        if is_own(url) {
            return Err(Refusal::forbidden(format!("{host}:{port} is the gateway itself")));
        }
        address::check(host, port, reach, route)
    }

    fn pass_on(
        &self,
        proxied: Proxied<'_, '_>,
        answer: &mut Answer<'_>,
        exchange: &mut Exchange,
    ) -> Result<(), Refusal> {
        let Proxied { url, head, body } = proxied;
        self.permit(&url, Route::of(&url, &self.options.http.proxies))?;
        let mut request = Request::new(head.method.clone(), without_user(&url));
        request.headers = end_to_end(&head.headers);
        let length = match head.framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        };
        let (mut writer, handle) = self.client.upload(request, length)?;
        let whole = send_body(body, &mut writer)?;
        if whole == Whole::No {
            // The server answered before it had everything; the rest of the body is never read.
            answer.close();
            drop(writer);
        } else {
            // Whatever broke it is what the answer tells.
            drop(writer.finish());
        }
        receive(handle.wait()?, head, answer, exchange)
    }
}

/// Whether a body was sent to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

fn send_body(body: &mut Body<'_>, writer: &mut http::BodyWriter) -> Result<Whole, Refusal> {
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = body.read(&mut piece);
        let length = length.map_err(|error| Refusal::malformed(format!("the request's body broke off: {error}")))?;
        if length == 0 {
            return Ok(Whole::Yes);
        }
        let mut rest = piece.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            match writer.accept(rest) {
                Ok(taken) => rest = rest.get(taken..).unwrap_or_default(),
                Err(http::HttpError::AnsweredEarly { .. }) => return Ok(Whole::No),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn receive(response: Response, head: &Head, answer: &mut Answer<'_>, exchange: &mut Exchange) -> Result<(), Refusal> {
    let status = response.status().as_u16();
    let length = response.content_length();
    let headers = end_to_end(response.headers());
    let hung_up = |_| Refusal { status: 0, why: "the step hung up".to_owned() };
    answer.start(status, &headers, length).map_err(hung_up)?;
    if head.method == Method::HEAD {
        return answer.finish().map_err(hung_up);
    }
    let mut hasher = Hasher::default();
    let mut body = response.into_body();
    while let Some(piece) = body.next_piece()? {
        exchange.fetched += piece.len() as u64;
        hasher.update(&piece);
        answer.write(&piece).map_err(hung_up)?;
    }
    exchange.digest = Some(hasher.finish());
    answer.finish().map_err(hung_up)
}

/// Header fields without those of one connection.
fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = tokens(headers, &CONNECTION).collect();
    let is_hop = |name: &HeaderName| {
        HOP_BY_HOP.contains(name)
            || HOP_BY_HOP_NAMES.contains(&name.as_str())
            || named.iter().any(|token| token == name.as_str())
            // Made anew by whoever sends the message on.
            || *name == HOST
            || *name == CONTENT_LENGTH
    };
    let kept = headers.iter().filter(|(name, _)| !is_hop(name));
    let mut copied = HeaderMap::new();
    kept.for_each(|(name, value)| {
        copied.append(name.clone(), value.clone());
    });
    copied
}

/// Whether `url` leads to the gateway: it would ask itself for ever, or something of the builder's on its port.
pub(crate) fn is_own(url: &Url) -> bool {
    let host = normal(url.host_str().unwrap_or_default());
    let is_here = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_here && url.port_or_known_default() == Some(ADDRESS.port())
}

/// Credentials in a URL are the step's own: as in a browser they become no header here, and are not recorded.
fn without_user(url: &Url) -> Url {
    let mut url = url.clone();
    // Only URLs without a host cannot have one.
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return url;
    }
    url.set_fragment(None);
    url
}
