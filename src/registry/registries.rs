//! All registries of one build, behind one door.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Client, ClientOptions, HttpError, Method, Request, Retry, Tls, Url};
use oci::Reference;
use oci::reference::{DEFAULT_REGISTRY, ReferenceError};
use tracing::debug;

use crate::auth::Auth;
use crate::endpoint::{Access, Endpoint, bad_url};
use crate::places::Remembered;
use crate::{Ambiguous, Credentials, RegistriesConf, RegistryError, host_certificates};

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
    /// Certificates, proxies, time-outs, retries, and the flag that cancels.
    pub http: ClientOptions,
    /// Mirrors, and registries that are blocked or need no TLS; by default every image has one place, its own.
    pub conf: RegistriesConf,
    /// Directories with certificates by registry, the first that has something for a registry counts
    /// (containers-certs.d(5)).
    pub certs_d: Vec<PathBuf>,
}

/// Why a name stands for no image.
#[derive(Debug, thiserror::Error)]
pub enum NameError {
    /// It is malformed.
    #[error(transparent)]
    Malformed(#[from] ReferenceError),
    /// It may stand for several.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
}

/// Connections to registries, with what was learned about each; clones share them, and so do threads.
///
/// Nothing is sent and no thread starts before the first operation.
#[derive(Clone, Debug)]
pub struct Registries {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) conf: RegistriesConf,
    pub(crate) remembered: Remembered,
    http: ClientOptions,
    certs_d: Vec<PathBuf>,
    pub(crate) client: Client,
    credentials: Arc<Credentials>,
    endpoints: Mutex<HashMap<Key, Slot>>,
}

/// A registry, and whether it need not prove who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    registry: String,
    is_insecure: bool,
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
        let inner = Inner {
            client: Client::new(&http)?,
            http,
            conf: options.conf,
            certs_d: options.certs_d,
            remembered: Remembered::default(),
            credentials: Arc::new(options.credentials),
            endpoints: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The image that `name` stands for, which may lack a registry.
    ///
    /// # Errors
    /// [`NameError`].
    pub fn reference(&self, name: &str) -> Result<Reference, NameError> {
        Ok(self.inner.conf.full_name(name)?.parse()?)
    }

    /// The registry of `access`'s image.
    pub(crate) fn endpoint(&self, access: &Access) -> Result<Arc<Endpoint>, RegistryError> {
        let key = Key { registry: access.image.registry().to_owned(), is_insecure: access.is_insecure };
        let slot = {
            let mut endpoints = self.inner.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(endpoints.entry(key.clone()).or_default())
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = &*slot {
            return Ok(Arc::clone(endpoint));
        }
        let client = self.inner.client(&key, access)?;
        let base = self.inner.base(&key, &client).map_err(|error| access.unreachable(error))?;
        let auth = Auth::new(client.clone(), &key.registry, base.clone(), Arc::clone(&self.inner.credentials));
        let endpoint = Arc::new(Endpoint::new(client, base, auth));
        *slot = Some(Arc::clone(&endpoint));
        Ok(endpoint)
    }
}

impl Inner {
    /// The client for a registry: the usual one, unless it has certificates of its own or needs none.
    fn client(&self, key: &Key, access: &Access) -> Result<Client, RegistryError> {
        let mut http = self.http.clone();
        let has_certificates = host_certificates::add(&self.certs_d, &key.registry, &mut http)
            .map_err(|source| RegistryError::Certificates { image: access.image.to_string(), source })?;
        if key.is_insecure {
            http.unverified_hosts.push(host(&key.registry).to_owned());
        }
        if !has_certificates && !key.is_insecure {
            return Ok(self.client.clone());
        }
        self.client.sibling(&http).map_err(|error| access.unreachable(error))
    }

    /// The URL of the registry's API, which ends in `/v2/`.
    fn base(&self, key: &Key, client: &Client) -> Result<Url, HttpError> {
        let host = if key.registry == DEFAULT_REGISTRY { DOCKER_HUB } else { &key.registry };
        let url = |scheme| {
            let text = format!("{scheme}://{host}/v2/");
            Url::parse(&text).map_err(|error| bad_url(text, &error))
        };
        let (https, http) = (url("https")?, url("http")?);
        match (self.http.tls, key.is_insecure) {
            (Tls::Verify, false) => Ok(https),
            // Without retries: a refused connection is an answer here.
            (Tls::NoVerify, _) | (_, true) => probe(&client.clone().with_retry(Retry::never()), https, http),
        }
    }
}

/// The registry without its port.
fn host(registry: &str) -> &str {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match registry.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        Some(_) | None => registry,
    }
}

/// https if it is spoken, else http, else the error of https.
fn probe(client: &Client, https: Url, http: Url) -> Result<Url, HttpError> {
    let error = match ask(client, &https) {
        Ok(()) => return Ok(https),
        Err(error) => error,
    };
    let is_worth_asking = error.is_transient() || matches!(error, HttpError::Handshake { .. });
    let is_http = matches!(error, HttpError::NotTls { .. }) || (is_worth_asking && ask(client, &http).is_ok());
    if is_http {
        debug!(url = http::shown(&http), "the registry speaks plain http");
        return Ok(http);
    }
    Err(error)
}

/// Whether somebody answers at `url`; what, does not matter.
fn ask(client: &Client, url: &Url) -> Result<(), HttpError> {
    client.send(&Request::new(Method::GET, url.clone())).map(http::Response::finish)
}
