//! What happened on a step's way out, for the record, and what a step is told when it may not.
//!
//! A request gets its place in the order when it is understood, and its result when it is over: one that was cut off
//! by the end of the step stays in the list with the status 0.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HttpError, Url};
use oci::Digest;
use store::StoreError;

/// The most requests of one step that are answered, because each is recorded.
const MOST: usize = 100_000;

/// The longest query value that is shown.
const LONGEST_VALUE: usize = 32;

/// One request of a step and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What it was.
    pub what: What,
    /// The upstream URL, without credentials; values of its query that could be secrets are `***`. `host:port` for a
    /// tunnel.
    pub url: String,
    /// The status the step was answered with, 0 when the end of the step cut it off before.
    pub status: u16,
    /// Bytes of content sent to the step; for a tunnel, from upstream to the step.
    pub bytes: u64,
    /// Bytes of content that came from the network for it; 0 means that it came from the store.
    pub fetched: u64,
    /// SHA-256 of the whole content, where the gateway saw all of it.
    pub digest: Option<Digest>,
    /// What vouches for the content, such as `sha256:… in repodata/repomd.xml`.
    pub verified_by: Option<String>,
}

/// What a request was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A file of a repository's metadata.
    Metadata {
        /// The repository's id in its file.
        repository: String,
    },
    /// A package.
    Package {
        /// The repository's id in its file.
        repository: String,
    },
    /// A public key named by a repository file.
    Key {
        /// The repository's id in its file.
        repository: String,
    },
    /// A request through the proxy.
    Proxied {
        /// Its method.
        method: String,
    },
    /// A connection through the proxy whose content nobody sees.
    Tunnel,
    /// Something that was not done, or not to its end.
    Refused {
        /// Why, as the step was told.
        why: String,
    },
}

/// Why a step does not get what it asked for: the answer instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The status of the answer.
    pub(crate) status: u16,
    /// Its body: one line.
    pub(crate) why: String,
}

impl Refusal {
    /// A policy says no.
    pub(crate) fn forbidden(why: impl Into<String>) -> Self {
        Self { status: 403, why: why.into() }
    }

    /// There is no such thing.
    pub(crate) fn missing(why: impl Into<String>) -> Self {
        Self { status: 404, why: why.into() }
    }

    /// The request makes no sense.
    pub(crate) fn malformed(why: impl Into<String>) -> Self {
        Self { status: 400, why: why.into() }
    }

    /// Upstream failed, or sent what it must not.
    pub(crate) fn failed(why: impl Into<String>) -> Self {
        Self { status: 502, why: why.into() }
    }
}

impl From<HttpError> for Refusal {
    fn from(error: HttpError) -> Self {
        Self::failed(causes(&error))
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self { status: 500, why: causes(&error) }
    }
}

/// An error with its causes, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    http::with_causes(error).replace(['\r', '\n'], " ")
}

/// The exchanges of one step, shared by its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    exchanges: Arc<Mutex<Vec<Exchange>>>,
}

/// One exchange being carried out.
#[derive(Debug)]
pub(crate) struct Entry {
    log: Log,
    at: usize,
    /// What is known so far.
    pub(crate) exchange: Exchange,
}

impl Log {
    /// Notes that a request is being answered.
    ///
    /// # Errors
    /// A refusal when the step has made too many.
    pub(crate) fn begin(&self, what: What, url: String) -> Result<Entry, Refusal> {
        let exchange = Exchange { what, url, status: 0, bytes: 0, fetched: 0, digest: None, verified_by: None };
        let mut exchanges = self.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        if exchanges.len() >= MOST {
            return Err(Refusal {
                status: 429,
                why: format!("this step has made {MOST} requests, which is the limit"),
            });
        }
        exchanges.push(exchange.clone());
        Ok(Entry { log: self.clone(), at: exchanges.len() - 1, exchange })
    }

    /// All exchanges, in the order they began.
    pub(crate) fn take(&self) -> Vec<Exchange> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut exchanges = self.log.exchanges.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(noted) = exchanges.get_mut(self.at) {
            noted.clone_from(&self.exchange);
        }
    }
}

/// A URL as the record may show it.
pub(crate) fn masked(url: &Url) -> String {
    let shown = http::shown(url);
    let Some(query) = url.query().filter(|query| !query.is_empty()) else { return shown };
    let pairs: Vec<String> = query.split('&').map(masked_pair).collect();
    format!("{shown}?{}", pairs.join("&"))
}

fn masked_pair(pair: &str) -> String {
    const SECRET: [&str; 9] = ["token", "key", "sig", "pass", "pwd", "secret", "auth", "cred", "session"];
    let is_plain = |text: &str| {
        text.len() <= LONGEST_VALUE && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._,-:/+".contains(&b))
    };
    match pair.split_once('=') {
        Some((name, value)) => {
            let lower = name.to_ascii_lowercase();
            let shown = is_plain(value) && !SECRET.iter().any(|word| lower.contains(word));
            format!("{name}={}", if shown { value } else { "***" })
        }
        None if is_plain(pair) => pair.to_owned(),
        None => "***".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, shown: &str) {
        assert_eq!(masked(&Url::parse(url).unwrap()), shown);
    }

    #[test]
    fn a_query_is_shown_as_far_as_it_is_plain() {
        check(
            "https://u:p@m.example/metalink?repo=fedora-42&arch=x86_64#f",
            "https://m.example/metalink?repo=fedora-42&arch=x86_64",
        );
        check("https://m.example/a?token=abc&Signature=x&ok", "https://m.example/a?token=***&Signature=***&ok");
        check(
            "https://m.example/a?q=%41&z=0123456789012345678901234567890123456789",
            "https://m.example/a?q=***&z=***",
        );
        check("https://m.example/a?", "https://m.example/a");
    }

    #[test]
    fn an_exchange_that_was_cut_off_stays_in_its_place() {
        let log = Log::default();
        let first = log.begin(What::Tunnel, "a:1".to_owned()).unwrap();
        let mut second = log.begin(What::Tunnel, "b:2".to_owned()).unwrap();
        second.exchange.status = 200;
        drop(second);
        let found: Vec<(String, u16)> = log.take().into_iter().map(|e| (e.url, e.status)).collect();
        assert_eq!(found, [("a:1".to_owned(), 0), ("b:2".to_owned(), 200)]);
        drop(first);
    }
}
