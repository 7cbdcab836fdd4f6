//! What rewritten URLs stand for: upstream servers, and the paths below them that may be asked for.
//!
//! Comes in: what [`rewrite`](crate::rewrite) found, and the paths of requests. Goes out: which repository, list or
//! key a path belongs to, and how to reach it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use http::{ClientOptions, Proxies, Secret, Tls, Url};

use crate::address::Route;
use crate::pattern::{Pattern, unescape};
use crate::rules::Reach;
use crate::{GatewayError, Options, Origin};

/// What kind of URL was rewritten. The letter is the first segment of the gateway's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// A base URL: everything below it may be asked for.
    Base,
    /// A metalink.
    Metalink,
    /// A list of mirrors.
    Mirrorlist,
    /// A public key.
    Key,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Base, Self::Metalink, Self::Mirrorlist, Self::Key];

    pub(crate) fn letter(self) -> char {
        match self {
            Self::Base => 'r',
            Self::Metalink => 'm',
            Self::Mirrorlist => 'l',
            Self::Key => 'k',
        }
    }

    pub(crate) fn of(letter: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| letter.chars().eq([kind.letter()]))
    }
}

/// One URL of a repository file, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// Names what is hidden, in the rewritten URL.
    pub(crate) id: String,
    /// What the id is a hash of.
    pub(crate) identity: String,
    /// What is hidden.
    pub(crate) hidden: Hidden,
    pub(crate) kind: Kind,
    /// Path of a base URL, else path and query, with variables.
    pub(crate) text: String,
    /// The section it is in.
    pub(crate) repository: String,
}

/// What a step does not see of a URL.
#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    /// Scheme, host and port.
    pub(crate) base: Url,
    /// Scheme, authority and, for an image's file, credentials, as they were written.
    pub(crate) written: String,
    pub(crate) origin: Origin,
    pub(crate) reach: Reach,
    pub(crate) credentials: Option<(String, Secret)>,
    /// The query of a base URL.
    pub(crate) query: Option<Secret>,
    pub(crate) tls: Tls,
    /// The proxy of the repository's own; empty for none.
    pub(crate) proxy: Option<Secret>,
}

/// A server and how to talk to it.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    pub(crate) hidden: Hidden,
    pub(crate) client: http::Client,
    pub(crate) proxies: Proxies,
}

impl Upstream {
    /// Whether the builder's own proxy resolves the host of `url`.
    pub(crate) fn route(&self, url: &Url) -> Route {
        Route::of(url, &self.proxies)
    }
}

/// What a path of the gateway leads to.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// The section of the repository file.
    pub(crate) repository: String,
    /// Path of a repository without the slash at its end, or path and query of a list or key; variables have values.
    pub(crate) root: String,
    /// What is asked for inside it.
    pub(crate) inside: String,
}

#[derive(Debug)]
struct Source {
    identity: String,
    upstream: Arc<Upstream>,
    patterns: BTreeMap<Kind, BTreeSet<(Pattern, String)>>,
}

/// All sources of one build, by id.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    sources: RwLock<BTreeMap<String, Source>>,
}

impl Sources {
    /// Remembers what a rewritten URL stands for.
    ///
    /// # Errors
    /// [`GatewayError::Http`] for a proxy that is none; [`GatewayError::Clash`] for two servers with one id.
    pub(crate) fn learn(&self, found: Found, options: &Options, usual: &http::Client) -> Result<(), GatewayError> {
        let upstream = connect(found.hidden, options, usual)?;
        let mut sources = self.sources.write().unwrap_or_else(PoisonError::into_inner);
        let source = sources.entry(found.id).or_insert_with(|| Source {
            identity: found.identity.clone(),
            upstream: Arc::new(upstream),
            patterns: BTreeMap::new(),
        });
        if source.identity != found.identity {
            return Err(GatewayError::Clash { repository: found.repository });
        }
        source.patterns.entry(found.kind).or_default().insert((Pattern::new(&found.text), found.repository));
        Ok(())
    }

    /// What the path `<letter>/<id>/<rest>` (without the slash before it) leads to.
    pub(crate) fn find(&self, path: &str) -> Option<Place> {
        let mut parts = path.splitn(3, '/');
        let (letter, id, rest) = (parts.next()?, parts.next()?, parts.next()?);
        let kind = Kind::of(letter)?;
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        let source = sources.get(id)?;
        let patterns = source.patterns.get(&kind)?;
        let (repository, root, inside) = match kind {
            Kind::Base => {
                let path = format!("/{rest}");
                let below = |(pattern, repository): &(Pattern, String)| {
                    Some((pattern.depth(), pattern.below(&path)?, repository.clone()))
                };
                let (_, at, repository) = patterns.iter().filter_map(below).max_by_key(|(depth, ..)| *depth)?;
                let (root, inside) = path.split_at_checked(at)?;
                (repository, root.trim_end_matches('/').to_owned(), inside.to_owned())
            }
            Kind::Metalink | Kind::Mirrorlist | Kind::Key => {
                let (escaped, inside) = rest.split_once('/').unwrap_or((rest, ""));
                let text = unescape(escaped)?;
                let (_, repository) = patterns.iter().find(|(pattern, _)| pattern.matches(&text))?;
                (repository.clone(), text, inside.to_owned())
            }
        };
        Some(Place { upstream: Arc::clone(&source.upstream), kind, id: id.to_owned(), repository, root, inside })
    }

    /// Scheme and authority behind `id`, as they were written.
    pub(crate) fn written(&self, id: &str) -> Option<String> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        let hidden = &sources.get(id)?.upstream.hidden;
        Some(hidden.written.clone())
    }

    /// The query of the base URLs behind `id` that an image wrote.
    pub(crate) fn written_query(&self, id: &str) -> Option<String> {
        let sources = self.sources.read().unwrap_or_else(PoisonError::into_inner);
        let hidden = &sources.get(id)?.upstream.hidden;
        hidden.query.as_ref().filter(|_| hidden.origin == Origin::Image).map(|query| query.reveal().to_owned())
    }
}

/// The way to a server, with the site's credentials and the repository's own settings.
///
/// Only a site's file has settings of its own, so an image cannot make many clients.
fn connect(mut hidden: Hidden, options: &Options, usual: &http::Client) -> Result<Upstream, GatewayError> {
    let host = hidden.base.host_str().unwrap_or_default();
    let port = hidden.base.port_or_known_default().unwrap_or_default();
    if hidden.origin == Origin::Site && hidden.credentials.is_none() {
        let known = options.credentials.iter().find(|known| known.host.matches(host, port));
        hidden.credentials = known.map(|known| (known.user.clone(), known.password.clone()));
    }
    if hidden.tls == Tls::Verify && hidden.proxy.is_none() {
        return Ok(Upstream { hidden, client: usual.clone(), proxies: options.http.proxies.clone() });
    }
    let mut http: ClientOptions = options.http.clone();
    if hidden.tls == Tls::NoVerify {
        http.tls = Tls::NoVerify;
    }
    if let Some(proxy) = &hidden.proxy {
        let proxy = Some(proxy.reveal().to_owned()).filter(|proxy| !proxy.is_empty());
        http.proxies = Proxies { http: proxy.clone(), https: proxy, except: None };
    }
    let client = usual.sibling(&http).map_err(|source| GatewayError::Http { source })?;
    Ok(Upstream { hidden, client, proxies: http.proxies })
}
