//! One registry: its address, what it wants to be shown, and requests to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::header::AUTHORIZATION;
use http::{BodyWriter, Client, HttpError, Request, Response, ResponseHandle, Retry, StatusCode, Url, is_same_origin};
use oci::Reference;

use crate::auth::{Auth, Proof};
use crate::{Credentials, RegistryError};

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
    pub(crate) image: Reference,
    pub(crate) scopes: Vec<String>,
}

impl Access {
    pub(crate) fn pull(image: &Reference) -> Self {
        Self { image: image.clone(), scopes: vec![format!("repository:{}:pull", image.repository())] }
    }

    pub(crate) fn push(image: &Reference) -> Self {
        Self { image: image.clone(), scopes: vec![format!("repository:{}:pull,push", image.repository())] }
    }

    /// A mount needs both rights in one token.
    pub(crate) fn mount(to: &Reference, from: &Reference) -> Self {
        let mut access = Self::push(to);
        access.scopes.push(format!("repository:{}:pull", from.repository()));
        access
    }

    pub(crate) fn unreachable(&self, source: HttpError) -> RegistryError {
        RegistryError::Unreachable { image: self.image.to_string(), source }
    }
}

impl Endpoint {
    /// The registry `registry` at `base`, a URL that ends in `/v2/`.
    pub(crate) fn new(client: Client, registry: &str, base: Url, credentials: Arc<Credentials>) -> Self {
        let auth = Auth::new(client.clone(), registry, base.clone(), credentials);
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
        self.send_by(&self.client, request, access)
    }

    /// As [`Endpoint::send`], without retries.
    pub(crate) fn send_once(&self, request: &Request, access: &Access) -> Result<Response, RegistryError> {
        self.send_by(&self.client.clone().with_retry(Retry::never()), request, access)
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
    pub(crate) fn upload(
        &self,
        request: &Request,
        access: &Access,
    ) -> Result<(BodyWriter, ResponseHandle), RegistryError> {
        let request = self.authorised(request, access)?;
        self.client.upload(request, None).map_err(|error| access.unreachable(error))
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
