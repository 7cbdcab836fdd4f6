//! What can go wrong on the way to a server and back, told so that a user knows whose turn it is.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

/// The underlying error, shared because writer and reader of one upload both report it.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a request failed. URLs are shown without credentials and query.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpError {
    /// A CA bundle holds no certificate that can be used.
    #[error("{label}: no usable CA certificate in it: {why}")]
    BadCertificates {
        /// Where the bundle came from, as the caller named it.
        label: String,
        /// What is wrong.
        why: String,
    },
    /// A client certificate or its key cannot be used.
    #[error("{label}: not usable as a client certificate: {why}")]
    BadIdentity {
        /// Where they came from, as the caller named it.
        label: String,
        /// What is wrong.
        why: String,
    },
    /// The value of a proxy variable is not a proxy.
    #[error("{variable}: not a proxy URL such as http://proxy.example:3128")]
    BadProxy {
        /// `http_proxy` or `https_proxy`.
        variable: &'static str,
    },
    /// A text is not a URL that can be requested.
    #[error("`{url}` is not an http or https URL: {why}")]
    BadUrl {
        /// The text, shortened to what may be shown.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// Whoever uses the client does not want it to go there, see [`crate::Judge`].
    #[error("{url}: {why}")]
    Forbidden {
        /// The URL, perhaps that of a redirect.
        url: String,
        /// Why not.
        why: String,
    },
    /// A header value holds characters that header values cannot.
    #[error("{url}: the value for the header {name} holds control characters")]
    BadHeader {
        /// The URL.
        url: String,
        /// The header.
        name: String,
    },
    /// The client could not be set up.
    #[error("cannot set up the HTTP client")]
    Setup {
        /// Why.
        #[source]
        source: Cause,
    },
    /// The private thread is gone, as the process is ending.
    #[error("{url}: the HTTP client was stopped during the request")]
    Stopped {
        /// The URL.
        url: String,
    },
    /// The host has no address.
    #[error("{url}: the host name cannot be resolved; check its spelling, the resolver and the proxy settings")]
    Unresolved {
        /// The URL.
        url: String,
        /// What the resolver said.
        #[source]
        source: Cause,
    },
    /// No connection came about.
    #[error("{url}: cannot connect")]
    Connect {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The server's certificate is not trusted.
    #[error(
        "{url}: the server's certificate is not trusted ({why}); give its CA certificate, or use --tls-verify=false"
    )]
    Certificate {
        /// The URL.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// An https URL, but the server speaks something else.
    #[error("{url}: the server does not speak TLS; if plain http is meant, use --tls-verify=false")]
    NotTls {
        /// The URL.
        url: String,
    },
    /// The TLS handshake failed for another reason.
    #[error("{url}: the TLS handshake failed")]
    Handshake {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Nothing moved for too long.
    #[error("{url}: no progress for {} s while {phase}", after.as_secs())]
    TimedOut {
        /// The URL.
        url: String,
        /// What was going on.
        phase: Phase,
        /// The limit.
        after: Duration,
    },
    /// Something arrives, but so slowly that it would never end.
    #[error("{url}: only {got} bytes arrived within {} s; the server or the way to it is too slow", within.as_secs())]
    TooSlow {
        /// The URL.
        url: String,
        /// Bytes that arrived.
        got: u64,
        /// The time they took, which [`Floor`](crate::Floor) gives for more of them.
        within: Duration,
    },
    /// Everything is to stop, as the options' flag says.
    #[error("{url}: cancelled")]
    Cancelled {
        /// The URL.
        url: String,
    },
    /// The proxy does not open a tunnel.
    #[error("{url}: the proxy {proxy} answered {status} to CONNECT{}", match status {
        407 => ": put user and password into its URL",
        _ => ": it may not allow this host or port; the exceptions in no_proxy are reached without it",
    })]
    ProxyRefused {
        /// Host and port that the tunnel was to lead to.
        url: String,
        /// The proxy, without its password.
        proxy: String,
        /// Its answer.
        status: u16,
    },
    /// Tunnels go through proxies that are spoken to without TLS only.
    #[error("{url}: no tunnel through {proxy}: give a proxy whose URL starts with http://")]
    TunnelProxy {
        /// Host and port that the tunnel was to lead to.
        url: String,
        /// The proxy, without its password.
        proxy: String,
    },
    /// The connection broke, or the answer is no HTTP.
    #[error("{url}: the connection broke while {phase}")]
    Broken {
        /// The URL.
        url: String,
        /// What was going on.
        phase: Phase,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The server answered before it had the whole body; the answer is with the response handle.
    #[error("{url}: the server answered {status} before the upload was complete")]
    AnsweredEarly {
        /// The URL.
        url: String,
        /// The status of its answer.
        status: u16,
    },
    /// A redirect that is not followed.
    #[error("{url}: refusing the redirect to {to}: {why}")]
    Redirect {
        /// The URL that redirected.
        url: String,
        /// Where to.
        to: String,
        /// Why not.
        why: &'static str,
    },
    /// The body of an answer is larger than it may be.
    #[error("{url}: the answer is larger than the {limit} bytes allowed")]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
}

/// What a connection was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Opening the connection.
    Connecting,
    /// Sending the request and waiting for the answer's head.
    Requesting,
    /// Sending a streamed body.
    Sending,
    /// Receiving a body.
    Receiving,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Connecting => "connecting",
            Self::Requesting => "waiting for the answer",
            Self::Sending => "sending the body",
            Self::Receiving => "receiving the body",
        })
    }
}

/// The URL as errors and logs show it: without user, password, query and fragment.
#[must_use]
pub fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

impl HttpError {
    /// Whether trying the same again may help: the network was at fault, not the request or the set-up.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::TooSlow { .. }
            | Self::Broken { .. }
            | Self::Unresolved { .. } => true,
            Self::ProxyRefused { status, .. } => *status >= 500,
            Self::BadCertificates { .. }
            | Self::BadIdentity { .. }
            | Self::Cancelled { .. }
            | Self::TunnelProxy { .. }
            | Self::BadProxy { .. }
            | Self::BadUrl { .. }
            | Self::Forbidden { .. }
            | Self::BadHeader { .. }
            | Self::Setup { .. }
            | Self::Stopped { .. }
            | Self::Certificate { .. }
            | Self::NotTls { .. }
            | Self::Handshake { .. }
            | Self::AnsweredEarly { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. } => false,
        }
    }

    /// As an I/O error, from which [`io::Error::downcast`] gives this error back.
    #[must_use]
    pub fn into_io(self) -> io::Error {
        io::Error::other(self)
    }

    pub(crate) fn setup(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Setup { source: Arc::new(error) }
    }
}

/// Gives a failure of `reqwest` its name.
pub(crate) fn classify(url: &Url, phase: Phase, limit: Duration, error: reqwest::Error) -> HttpError {
    // `reqwest` puts the whole URL, query included, into its message.
    let error = error.without_url();
    let url = shown(url);
    if let Some(tls) = find::<rustls::Error>(&error) {
        return classify_tls(url, tls);
    }
    let (is_connect, is_timeout, is_dns) = (error.is_connect(), error.is_timeout(), error.is_dns());
    let source = root_cause(error);
    match (is_dns, is_timeout, is_connect) {
        (true, _, _) => HttpError::Unresolved { url, source },
        (_, true, true) => HttpError::TimedOut { url, phase: Phase::Connecting, after: limit },
        (_, true, false) => HttpError::TimedOut { url, phase, after: limit },
        (_, _, true) => HttpError::Connect { url, source },
        (_, _, false) => HttpError::Broken { url, phase, source },
    }
}

fn classify_tls(url: String, error: &rustls::Error) -> HttpError {
    use rustls::{Error as Tls, InvalidMessage};
    if let Tls::InvalidCertificate(why) = error {
        return HttpError::Certificate { url, why: why.to_string() };
    }
    if matches!(error, Tls::InvalidMessage(InvalidMessage::InvalidContentType)) {
        return HttpError::NotTls { url };
    }
    HttpError::Handshake { url, source: Arc::new(error.clone()) }
}

/// The first error of type `E` among `error` and its causes, also inside I/O errors, which hide theirs.
fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| find::<E>(inner)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// What is at the bottom, as text: the layers above only say "error sending request" and the like.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct RootCause(String);

fn root_cause(error: reqwest::Error) -> Cause {
    let mut bottom: &dyn Error = &error;
    while let Some(source) = bottom.source() {
        bottom = source;
    }
    Arc::new(RootCause(bottom.to_string()))
}

/// An error and its causes on one line, each cause once.
#[must_use]
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = deeper.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_has_neither_password_nor_query() {
        let url = Url::parse("https://user:pass@registry.example:5000/v2/a?token=x#y").unwrap();
        assert_eq!(shown(&url), "https://registry.example:5000/v2/a");
    }

    #[test]
    fn each_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{0}")]
        struct Layer(&'static str, #[source] Option<Box<Layer>>);
        let bottom = Layer("no route", None);
        let middle = Layer("tcp: no route", Some(Box::new(bottom)));
        let top = Layer("cannot connect", Some(Box::new(middle)));
        assert_eq!(with_causes(&top), "cannot connect: tcp: no route");
    }

    #[test]
    fn a_tls_error_is_found_inside_an_io_error() {
        let inner = io::Error::other(rustls::Error::DecryptError);
        let outer = io::Error::other(inner);
        assert_eq!(find::<rustls::Error>(&outer), Some(&rustls::Error::DecryptError));
    }
}
