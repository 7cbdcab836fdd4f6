//! All registries of one build, behind one door.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Client, ClientOptions, HttpError, Method, Request, Retry, Tls, Url};
use oci::Reference;
use oci::reference::DEFAULT_REGISTRY;
use tracing::debug;

use crate::endpoint::{Access, Endpoint, bad_url};
use crate::{Credentials, RegistryError};

/// Where docker.io really is.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// What [`Registries`] need to know.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether registries must prove who they are. With [`Tls::NoVerify`] https with any certificate is tried first,
    /// then plain http. It replaces `http.tls`.
    pub tls: Tls,
    /// Who we are.
    pub credentials: Credentials,
    /// Certificates, proxies, time-outs and retries.
    pub http: ClientOptions,
}

/// Connections to registries, with what was learned about each; clones share them, and so do threads.
///
/// Nothing is sent and no thread starts before the first operation.
#[derive(Clone, Debug)]
pub struct Registries {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    tls: Tls,
    client: Client,
    /// Without retries: a refused connection is an answer here.
    prober: Client,
    credentials: Arc<Credentials>,
    endpoints: Mutex<HashMap<String, Slot>>,
}

/// Locked while the registry is probed, so that threads probe it once.
type Slot = Arc<Mutex<Option<Arc<Endpoint>>>>;

impl Registries {
    /// Registries for one build.
    ///
    /// # Errors
    /// [`HttpError`] for certificates and proxies that cannot be used.
    pub fn new(options: Options) -> Result<Self, HttpError> {
        let http = ClientOptions { tls: options.tls, ..options.http };
        let client = Client::new(&http)?;
        let inner = Inner {
            tls: options.tls,
            prober: client.clone().with_retry(Retry::never()),
            client,
            credentials: Arc::new(options.credentials),
            endpoints: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The registry of `access`'s image.
    pub(crate) fn endpoint(&self, access: &Access) -> Result<Arc<Endpoint>, RegistryError> {
        let registry = access.image.registry();
        let slot = {
            let mut endpoints = self.inner.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(endpoints.entry(registry.to_owned()).or_default())
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = &*slot {
            return Ok(Arc::clone(endpoint));
        }
        let base = self.inner.base(registry).map_err(|error| access.unreachable(error))?;
        let credentials = Arc::clone(&self.inner.credentials);
        let endpoint = Arc::new(Endpoint::new(self.inner.client.clone(), registry, base, credentials));
        *slot = Some(Arc::clone(&endpoint));
        Ok(endpoint)
    }

    /// Whether blobs of `a` can be mounted at `b`.
    pub(crate) fn is_same_registry(a: &Reference, b: &Reference) -> bool {
        a.registry() == b.registry()
    }
}

impl Inner {
    /// The URL of the registry's API, which ends in `/v2/`.
    fn base(&self, registry: &str) -> Result<Url, HttpError> {
        let host = if registry == DEFAULT_REGISTRY { DOCKER_HUB } else { registry };
        let url = |scheme| {
            let text = format!("{scheme}://{host}/v2/");
            Url::parse(&text).map_err(|error| bad_url(text, &error))
        };
        let (https, http) = (url("https")?, url("http")?);
        match self.tls {
            Tls::Verify => Ok(https),
            Tls::NoVerify => self.probe(https, http),
        }
    }

    /// https if it is spoken, else http, else the error of https.
    fn probe(&self, https: Url, http: Url) -> Result<Url, HttpError> {
        let error = match self.ask(&https) {
            Ok(()) => return Ok(https),
            Err(error) => error,
        };
        let is_worth_asking = error.is_transient() || matches!(error, HttpError::Handshake { .. });
        let is_http = matches!(error, HttpError::NotTls { .. }) || (is_worth_asking && self.ask(&http).is_ok());
        if is_http {
            debug!(url = http::shown(&http), "the registry speaks plain http");
            return Ok(http);
        }
        Err(error)
    }

    /// Whether somebody answers at `url`; what, does not matter.
    fn ask(&self, url: &Url) -> Result<(), HttpError> {
        self.prober.send(&Request::new(Method::GET, url.clone())).map(http::Response::finish)
    }
}
