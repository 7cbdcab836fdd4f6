//! A step's only way out: a repository mirror and a filtering proxy on one port.
//!
//! A step's network namespace has a loopback interface and nothing else. The sandbox listens on [`ADDRESS`] inside it
//! and hands the socket out; [`Gateway::serve`] answers it from outside with threads of the builder. So a step has no
//! name service and no route, and what it gets is what this crate decides.
//!
//! ```text
//! step: dnf ── GET /r/<id>/path ──► mirror ── repomd.xml ► primary ► checksum ──► store ──► verified bytes
//!       curl ─ GET http://host/ ──► proxy ─── rules ► addresses ──────────────► upstream, streamed both ways
//!       git ── CONNECT host:443 ──► tunnel ── rules ► addresses ──────────────► upstream, opaque
//! ```
//!
//! * **Mirror.** [`Gateway::rewrite`] makes every URL of a repository file lead here and remembers what it hid: scheme,
//!   host, port, credentials. The rewritten text is a function of the file alone (`<id>` is a hash of what is hidden),
//!   because dnf names its cache folders after URLs. Only paths below rewritten URLs are served. `repomd.xml` is
//!   fetched once a gateway, so that one build sees one state of a repository; every other file must be listed, with
//!   a SHA-256 or SHA-512 checksum, in it or in the primary metadata it names. Verified files are blobs of the store,
//!   so that the next build downloads none of them. Of a file that comes from the network, the last piece is held
//!   back until the checksum is right: a step never has a whole file that is wrong.
//! * **Proxy.** Absolute-form requests and CONNECT reach hosts that [`Rules`] name, and nothing else.
//! * **Record.** [`Serving::finish`] returns an [`Exchange`] for every request, refused ones too.
//!
//! Comes in: repository files, listeners, what hostile steps and upstream servers send. Goes out: rewritten files,
//! answers, exchanges, blobs. It never sends the builder's credentials to another origin or shows them to a step,
//! never connects to loopback or link-local addresses for a step unless a rule names them, never follows a redirect
//! for the proxy, and starts no thread before the first [`Gateway::serve`].
//!
//! A name is resolved here to judge its addresses and again by the HTTP client to connect, so a name server that
//! changes its mind in between is believed. Rules that name hosts whose names others control are as good as those.

mod address;
mod answer;
mod blob;
mod error;
mod exchange;
mod mirror;
mod path;
mod pattern;
mod proxy;
mod repository;
mod restore;
mod rewrite;
mod rules;
mod serving;
mod sources;
mod tunnel;
mod upstream;
mod url;
mod wire;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::sync::Arc;

use sources::Sources;
use store::Store;

pub use error::{GatewayError, Problem};
pub use exchange::{Exchange, What};
pub use rules::{HostRule, RepositoryHosts, RuleError, Rules};
pub use serving::Serving;

/// Where the gateway listens inside a step's network.
pub const ADDRESS: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 3128));

/// What a gateway needs to know.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How the builder reaches the world: TLS roots, proxies, time limits.
    pub http: http::ClientOptions,
    /// Which hosts steps may reach by proxy.
    pub rules: Rules,
    /// Which hosts repository files of images may name.
    pub repository_hosts: RepositoryHosts,
    /// Credentials for hosts of the site's repositories; never sent for a repository that an image names.
    pub credentials: Vec<HostCredentials>,
}

/// Who the builder is to a host, for repositories of [`Origin::Site`].
#[derive(Clone, Debug)]
pub struct HostCredentials {
    /// The hosts; the first match counts.
    pub host: HostRule,
    /// The user's name, for Basic authentication (RFC 7617).
    pub user: String,
    /// The password or token.
    pub password: http::Secret,
}

/// Who wrote a repository file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// The site: it may name any host, and mistakes in it are errors.
    Site,
    /// The image, so anybody: hosts are judged, `sslverify` and `proxy` are not obeyed, and what cannot be led
    /// through the gateway stays as it is, unreachable.
    Image,
}

/// The way out of all steps of one build. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

/// What all connections of all steps share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    /// For the proxy, with the builder's set-up.
    pub(crate) client: http::Client,
    pub(crate) store: Arc<Store>,
    pub(crate) sources: Sources,
    pub(crate) repositories: repository::Repositories,
    pub(crate) flights: blob::Flights,
}

impl Gateway {
    /// A gateway with `options` that keeps what it fetched in `store`. No thread starts and nothing is sent.
    ///
    /// # Errors
    /// [`GatewayError::Http`] for certificates or proxies that cannot be used.
    pub fn new(options: Options, store: Arc<Store>) -> Result<Self, GatewayError> {
        let client = http::Client::new(&options.http).map_err(|source| GatewayError::Http { source })?;
        let shared = Shared {
            options,
            client,
            store,
            sources: Sources::default(),
            repositories: repository::Repositories::default(),
            flights: blob::Flights::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The repository file `content` as a step may see it; `file` names it in errors.
    ///
    /// Every http and https URL in `baseurl`, `metalink`, `mirrorlist` and `gpgkey` leads through the gateway;
    /// `metalink` and `mirrorlist` become `baseurl`. Variables of dnf stay for dnf to expand, `file:` URLs stay as
    /// they are. Keys that are the builder's (`proxy*`, `ssl*`, `username`, `password`) are taken out and remembered.
    /// `variables` are dnf's own of the image (`/etc/dnf/vars`); only in schemes and hosts their values are needed.
    /// Everything else stays byte for byte. The same file always gives the same text.
    ///
    /// # Errors
    /// [`GatewayError::File`] with file and line. For [`Origin::Image`] only what cannot be a text is one; URLs that
    /// may not be reached are left alone and logged.
    pub fn rewrite(
        &self,
        file: &str,
        content: &[u8],
        origin: Origin,
        variables: &BTreeMap<String, String>,
    ) -> Result<Vec<u8>, GatewayError> {
        let rewritten = rewrite::rewrite(file, content, &self.shared.options, (origin, variables))?;
        for found in rewritten.found {
            self.shared.sources.learn(found, &self.shared.options, &self.shared.client)?;
        }
        Ok(rewritten.content)
    }

    /// Undoes what [`Gateway::rewrite`] did to URLs, for repository files that a step changed and that stay in the
    /// image.
    ///
    /// Keys taken out of a file of [`Origin::Image`] come back too. A site's credentials do not.
    #[must_use]
    pub fn restore(&self, content: &[u8]) -> Vec<u8> {
        restore::restore(content, &self.shared.sources)
    }

    /// The variables that tell a step's programs about the proxy.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let proxy = format!("http://{ADDRESS}");
        let except = "localhost,127.0.0.1,::1";
        let named = |name: &str| {
            let value = if name == "no_proxy" { except } else { proxy.as_str() };
            [(name.to_owned(), value.to_owned()), (name.to_uppercase(), value.to_owned())]
        };
        ["http_proxy", "https_proxy", "no_proxy"].into_iter().flat_map(named).collect()
    }

    /// Whether the builder may go to `port` of `host` for an instruction: as a step may by the proxy.
    ///
    /// # Errors
    /// Why not, as the proxy would say it.
    pub fn allows(&self, host: &str, port: u16) -> Result<(), String> {
        let url = http::Url::parse(&format!("https://{host}:{port}/")).map_err(|_| format!("{host} is no host"))?;
        self.shared.allows(&url)
    }

    /// Has the same said of every URL a client goes to.
    #[must_use]
    pub fn judge(&self) -> http::Judge {
        let shared = Arc::clone(&self.shared);
        http::Judge::new(move |url| shared.allows(url))
    }

    /// Serves one step until [`Serving::finish`]. `step` is a label for logs.
    ///
    /// # Errors
    /// [`GatewayError::Serve`] when the listener or a thread cannot be set up.
    pub fn serve(&self, listener: TcpListener, step: &str) -> Result<Serving, GatewayError> {
        serving::serve(Arc::clone(&self.shared), listener, step)
    }
}

impl Debug for Gateway {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Gateway").field("options", &self.shared.options).finish_non_exhaustive()
    }
}

impl Shared {
    fn allows(&self, url: &http::Url) -> Result<(), String> {
        let route = address::Route::of(url, &self.options.http.proxies);
        self.permit(url, route).map_err(|refusal| refusal.why)
    }
}

impl Debug for Shared {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shared").finish_non_exhaustive()
    }
}
