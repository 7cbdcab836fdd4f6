//! One registry: its address, what it wants to be shown, and requests to it.

use std::sync::atomic::{AtomicBool, Ordering};

use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderValue};
use http::{
    BodyWriter, Client, HttpError, Method, Request, Response, ResponseHandle, Retry, StatusCode, Url, is_same_origin,
};
use oci::Reference;

use crate::answer::{named, refusal};
use crate::auth::{Auth, Proof};
use crate::{Candidate, RegistryError};

/// How long a place may ask us to wait when there are others.
const LONGEST_WITH_OTHERS: Duration = Duration::from_secs(5);

/// How long a registry may take for an answer when everything is to stop.
const LAST_WORDS_OF_ALL: Duration = Duration::from_secs(1);

/// A registry that requests can be sent to; shared by threads.
#[derive(Debug)]
pub(crate) struct Endpoint {
    client: Client,
    base: Url,
    auth: Auth,
    takes_streams: AtomicBool,
}

/// What a request is for: the image, for errors and credentials, and the scopes its token must have.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Where the image really is: at a mirror, for example.
    pub(crate) image: Reference,
    pub(crate) scopes: Vec<String>,
    /// Whether its registry need not prove who it is.
    pub(crate) is_insecure: bool,
    /// Whether another place may have the image, so that this one is not tried for long.
    pub(crate) has_others: bool,
}

/// A request whose body is being written.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) writer: BodyWriter,
    pub(crate) answer: ResponseHandle,
    /// The credentials it shows, to tell them from newer ones when they are refused.
    pub(crate) shown: Option<HeaderValue>,
}

impl Access {
    pub(crate) fn pull(place: &Candidate) -> Self {
        Self::to(place, "pull")
    }

    pub(crate) fn push(place: &Candidate) -> Self {
        Self::to(place, "pull,push")
    }

    fn to(place: &Candidate, actions: &str) -> Self {
        let scopes = vec![format!("repository:{}:{actions}", place.image.repository())];
        Self { image: place.image.clone(), scopes, is_insecure: place.is_insecure, has_others: false }
    }

    /// A mount needs both rights in one token.
    pub(crate) fn mount(to: &Candidate, from: &Reference) -> Self {
        let mut access = Self::push(to);
        access.scopes.push(format!("repository:{}:pull", from.repository()));
        access
    }

    pub(crate) fn unreachable(&self, source: HttpError) -> RegistryError {
        let image = self.image.to_string();
        if matches!(source, HttpError::Cancelled { .. }) {
            return RegistryError::Cancelled { image };
        }
        RegistryError::Unreachable { image, source }
    }
}

impl Endpoint {
    /// The registry at `base`, a URL that ends in `/v2/`, spoken to through `client`.
    pub(crate) fn new(client: Client, base: Url, auth: Auth) -> Self {
        Self { client, base, auth, takes_streams: AtomicBool::new(true) }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The URL of `rest` below the repository of `access`.
    pub(crate) fn url(&self, access: &Access, rest: &str) -> Result<Url, RegistryError> {
        let path = format!("{}/{rest}", access.image.repository());
        self.base.join(&path).map_err(|error| access.unreachable(bad_url(path, &error)))
    }

    /// Sends `request`, with bounded retries; answers one challenge of the registry. Every status except 401 to a
    /// registry that was shown credentials is an answer.
    pub(crate) fn send(&self, request: &Request, access: &Access) -> Result<Response, RegistryError> {
        if !access.has_others {
            return self.send_by(&self.client, request, access);
        }
        let mut retry = self.client.retry().clone();
        retry.delays.truncate(1);
        retry.longest = retry.longest.min(LONGEST_WITH_OTHERS);
        self.send_by(&self.client.clone().with_retry(retry), request, access)
    }

    /// As [`Endpoint::send`], without retries: for requests that must not be repeated blindly.
    pub(crate) fn attempt(&self, request: &Request, access: &Access) -> Result<Response, RegistryError> {
        self.send_by(&self.client.clone().with_retry(Retry::never()), request, access)
    }

    /// As [`Endpoint::attempt`], also when everything is to stop, but without much patience: `limit` at most.
    pub(crate) fn say_at_last(
        &self,
        request: &Request,
        access: &Access,
        limit: Duration,
    ) -> Result<Response, RegistryError> {
        let limit = if self.client.is_cancelled() { limit.min(LAST_WORDS_OF_ALL) } else { limit };
        self.send_by(&self.client.clone().for_last_words(limit), request, access)
    }

    /// The answer to a request for an upload, 202, and that request.
    pub(crate) fn open_upload(&self, access: &Access) -> Result<(Request, Response), RegistryError> {
        let request = Request::new(Method::POST, self.url(access, "blobs/uploads/")?);
        let response = self.send(&request, access)?;
        match response.status() {
            StatusCode::ACCEPTED => Ok((request, response)),
            _ => Err(refusal(access.image.to_string(), &named(&request), response)),
        }
    }

    fn send_by(&self, client: &Client, request: &Request, access: &Access) -> Result<Response, RegistryError> {
        let exchange = |request: &Request| client.send_retrying(request).map_err(|error| access.unreachable(error));
        let first = self.authorised(request, access)?;
        let response = exchange(&first)?;
        // Only the registry itself may ask who we are: not a storage server behind a redirect.
        let is_asked = response.status() == StatusCode::UNAUTHORIZED && is_same_origin(response.url(), &self.base);
        if !is_asked {
            return Ok(response);
        }
        let proof = self.auth.answer(&response, first.headers.get(AUTHORIZATION), access)?;
        response.finish();
        let response = exchange(&with(request, &proof, access)?)?;
        if response.status() == StatusCode::UNAUTHORIZED {
            return Err(self.auth.refused(&response, access));
        }
        Ok(response)
    }

    /// Starts `request` with a body to be written, of unknown length. A challenge cannot be answered here, so send
    /// something with the same `access` before.
    pub(crate) fn upload(&self, request: &Request, access: &Access) -> Result<Stream, RegistryError> {
        let request = self.authorised(request, access)?;
        let shown = request.headers.get(AUTHORIZATION).cloned();
        let (writer, answer) = self.client.upload(request, None).map_err(|error| access.unreachable(error))?;
        Ok(Stream { writer, answer, shown })
    }

    /// Gets new credentials after `response`, a 401 to a request that had shown `shown`; later requests show them.
    pub(crate) fn renew(
        &self,
        response: Response,
        shown: Option<&HeaderValue>,
        access: &Access,
    ) -> Result<(), RegistryError> {
        if !is_same_origin(response.url(), &self.base) {
            return Err(refusal(access.image.to_string(), "the upload", response));
        }
        self.auth.answer(&response, shown, access)?;
        response.finish();
        Ok(())
    }

    /// The error for `response`, a 401 to new credentials.
    pub(crate) fn refused(&self, response: &Response, access: &Access) -> RegistryError {
        self.auth.refused(response, access)
    }

    /// Whether the registry takes bodies of unknown length, as far as we know.
    pub(crate) fn takes_streams(&self) -> bool {
        self.takes_streams.load(Ordering::Relaxed)
    }

    /// Remembers that the registry wants to know lengths.
    pub(crate) fn refuses_streams(&self) {
        self.takes_streams.store(false, Ordering::Relaxed);
    }

    /// `request` with what the registry is known to want to see; other hosts are shown nothing.
    fn authorised(&self, request: &Request, access: &Access) -> Result<Request, RegistryError> {
        if !is_same_origin(&request.url, &self.base) {
            return Ok(request.clone());
        }
        match self.auth.known(access)? {
            Some(proof) => with(request, &proof, access),
            None => Ok(request.clone()),
        }
    }
}

fn with(request: &Request, proof: &Proof, access: &Access) -> Result<Request, RegistryError> {
    request.clone().secret_header(AUTHORIZATION, &proof.header).map_err(|error| access.unreachable(error))
}

pub(crate) fn bad_url(url: String, error: &impl std::fmt::Display) -> HttpError {
    HttpError::BadUrl { url, why: error.to_string() }
}
