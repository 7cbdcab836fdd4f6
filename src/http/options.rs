//! What a client is told: trust, proxies, patience.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::{Retry, Secret};

/// Whether servers must prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Their certificates must lead to a trusted root.
    #[default]
    Verify,
    /// Any certificate will do (`--tls-verify=false`).
    NoVerify,
}

/// Trusted certificates, as PEM.
#[derive(Clone, Debug)]
pub struct CaBundle {
    /// Where they come from, for errors: usually the path.
    pub label: String,
    /// PEM text; anything but certificates in it is skipped.
    pub pem: Vec<u8>,
}

/// Proxies as the usual variables give them; empty texts mean none. Loopback addresses never go through a proxy.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// The value of `http_proxy`: the proxy for http URLs.
    pub http: Option<String>,
    /// The value of `https_proxy`: the proxy for https URLs.
    pub https: Option<String>,
    /// The value of `no_proxy`: hosts, domains, addresses and networks, separated by commas; `*` for all.
    pub except: Option<String>,
}

impl Proxies {
    /// Everything that is reached directly, in the notation of `no_proxy`.
    pub(crate) fn exceptions(&self) -> String {
        format!("localhost,127.0.0.0/8,::1,{}", self.except.as_deref().unwrap_or_default())
    }
}

/// A TLS client certificate with its key, as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Where they come from, for errors: usually the paths.
    pub label: String,
    /// The certificate and what leads from it to a root, the former first.
    pub certificates: Vec<u8>,
    /// The private key: PKCS#8, PKCS#1 or SEC1, without a passphrase.
    pub key: Secret,
}

/// The least that must move: a server that sends a byte now and then must not hold a build for ever.
///
/// Only the time spent waiting for the network counts, not that in which the reader of the body does something else.
/// Bodies on their way to a server need no floor: it must take a chunk of them within each idle time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floor {
    /// Bytes that must arrive within `window`; 0 for no floor.
    pub bytes: u64,
    /// The time they have.
    pub window: Duration,
}

impl Default for Floor {
    /// 64 KiB within two minutes.
    fn default() -> Self {
        Self { bytes: 64 << 10, window: Duration::from_secs(120) }
    }
}

/// What a [`Client`](crate::Client) needs to know.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Whether servers must prove who they are.
    pub tls: Tls,
    /// Hosts whose certificates are not checked even with [`Tls::Verify`]: names or addresses without a port.
    pub unverified_hosts: Vec<String>,
    /// Who we are to servers that ask for a client certificate.
    pub identity: Option<Identity>,
    /// The system's CA bundle; `None` where there is none: then Mozilla's roots, compiled in, are used.
    pub roots: Option<CaBundle>,
    /// Certificates trusted besides `roots`.
    pub extra_roots: Vec<CaBundle>,
    /// The proxies.
    pub proxies: Proxies,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long nothing may move while a request waits for the other side.
    pub idle_timeout: Duration,
    /// The least that must arrive of a body that is waited for. It takes the place of a deadline, which no number fits
    /// for bodies between a manifest and a layer of gigabytes.
    pub floor: Floor,
    /// How [`Client::send_retrying`](crate::Client::send_retrying) retries.
    pub retry: Retry,
    /// Set when everything is to stop: every wait, for a server or between attempts, then ends within half a second
    /// with [`HttpError::Cancelled`](crate::HttpError::Cancelled). `None`: nothing is ever cancelled.
    pub cancelled: Option<Arc<AtomicBool>>,
}

impl Default for ClientOptions {
    /// Verified TLS with the embedded roots, no client certificate, no proxies, 15 s to connect, 60 s of idleness.
    fn default() -> Self {
        Self {
            tls: Tls::Verify,
            unverified_hosts: Vec::new(),
            identity: None,
            roots: None,
            extra_roots: Vec::new(),
            proxies: Proxies::default(),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            floor: Floor::default(),
            retry: Retry::default(),
            cancelled: None,
        }
    }
}
