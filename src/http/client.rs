//! The client: options in, answers out.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{CONTENT_LENGTH, HeaderValue};
use reqwest::{Method, NoProxy, Proxy};
use tokio::sync::oneshot;
use tracing::{debug, info};

use crate::cancel::Cancel;
use crate::error::{Phase, classify};
use crate::options::{ClientOptions, Proxies};
use crate::response::Patience;
use crate::runtime::Runtime;
use crate::tunnel::{self, Target};
use crate::upload::{self, BodyWriter, ResponseHandle};
use crate::{HttpError, Judge, Request, Response, Retry, redirect, response, shown, tls};

/// Bytes a second that a body in memory is given for its way to the server, besides the idle time.
const SLOWEST_UPLOAD: u64 = 32 << 10;

/// A wait worth telling the user about.
const LONG: Duration = Duration::from_secs(5);

/// Connections to servers, kept and shared: clone it, and use it from several threads.
#[derive(Clone, Debug)]
pub struct Client {
    client: reqwest::Client,
    runtime: Arc<Runtime>,
    matcher: Arc<Matcher>,
    connect: Duration,
    patience: Patience,
    retry: Retry,
    judge: Option<Judge>,
}

impl Client {
    /// A client with `options`. No thread starts and nothing is sent before the first request.
    ///
    /// # Errors
    /// [`HttpError::BadCertificates`], [`HttpError::BadIdentity`], [`HttpError::BadProxy`] or [`HttpError::Setup`].
    pub fn new(options: &ClientOptions) -> Result<Self, HttpError> {
        Self::on(Arc::default(), options)
    }

    /// A client with other options on the thread of this one.
    ///
    /// # Errors
    /// As for [`Client::new`].
    pub fn sibling(&self, options: &ClientOptions) -> Result<Self, HttpError> {
        Self::on(Arc::clone(&self.runtime), options)
    }

    fn on(runtime: Arc<Runtime>, options: &ClientOptions) -> Result<Self, HttpError> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(options)?)
            .user_agent(concat!("stratum/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            .referer(false)
            .http1_only()
            // Without this, reqwest reads the environment.
            .no_proxy();
        for proxy in proxies(&options.proxies)? {
            builder = builder.proxy(proxy);
        }
        Ok(Self {
            client: builder.build().map_err(HttpError::setup)?,
            runtime,
            matcher: Arc::new(tunnel::matcher(&options.proxies)),
            connect: options.connect_timeout,
            patience: Patience {
                idle: options.idle_timeout,
                floor: options.floor,
                cancel: Cancel(options.cancelled.clone()),
            },
            retry: options.retry.clone(),
            judge: None,
        })
    }

    /// Sends `request` once and follows redirects, ten at most: GET and HEAD any, other methods 307 and 308 within
    /// their origin. Credentials do not follow to another scheme, host or port.
    ///
    /// Every status is an answer, not an error.
    ///
    /// # Errors
    /// [`HttpError`] when there is no answer.
    pub fn send(&self, request: &Request) -> Result<Response, HttpError> {
        self.judge(request)?;
        let mut response = self.send_once(request)?;
        let mut hop = request.clone();
        for _ in 0..redirect::MAX_HOPS {
            match redirect::next(&hop, response.status(), response.headers())? {
                Some(next) => hop = next,
                None => return Ok(response),
            }
            self.judge(&hop)?;
            debug!(url = shown(&hop.url), "following a redirect");
            response.finish();
            response = self.send_once(&hop)?;
        }
        let why = "there were ten redirects before it";
        Err(HttpError::Redirect { url: shown(&request.url), to: shown(&hop.url), why })
    }

    fn judge(&self, request: &Request) -> Result<(), HttpError> {
        let decided = self.judge.as_ref().map_or(Ok(()), |judge| judge.decide(&request.url));
        decided.map_err(|why| HttpError::Forbidden { url: shown(&request.url), why })
    }

    /// The same client, which from now on asks `judge` about every URL that [`Client::send`] and
    /// [`Client::send_retrying`] go to.
    #[must_use]
    pub fn judged_by(mut self, judge: Judge) -> Self {
        self.judge = Some(judge);
        self
    }

    /// Sends `request` like [`Client::send`], again after connections that failed and after the statuses 429, 500,
    /// 502, 503 and 504, as the options' [`Retry`] says. Only for requests that may be repeated.
    ///
    /// A `Retry-After` beyond [`Retry::longest`] is not waited for: the answer is delivered, and
    /// [`Response::retry_after`] says when to come again.
    ///
    /// # Errors
    /// The last attempt's [`HttpError`]; the last attempt's answer is an answer even when it is one of those statuses.
    pub fn send_retrying(&self, request: &Request) -> Result<Response, HttpError> {
        let mut tried = 1;
        loop {
            let outcome = self.send(request);
            let Some(wait) = self.retry.wait(tried, &outcome) else { return outcome };
            let status = outcome.as_ref().ok().map(|response| response.status().as_u16());
            let (url, error) = (shown(&request.url), outcome.err().map(|error| error.to_string()));
            if wait >= LONG {
                info!(url, status, error, wait_s = wait.as_secs(), "waiting before trying again");
            } else {
                debug!(url, status, error, wait_ms = wait.as_millis(), "trying again");
            }
            self.pause(wait);
            tried += 1;
        }
    }

    /// Starts `request` with a body that the caller writes afterwards; `request.body` is not sent.
    ///
    /// `length` is the body's length in bytes if it is known; the body goes out chunked otherwise. At most
    /// about 1 MiB waits in memory. No redirect is followed. When the server answers or hangs up before
    /// the end, the writer's next write fails with the cause, and the handle has the answer.
    ///
    /// # Errors
    /// [`HttpError::Setup`] or [`HttpError::BadUrl`]; what happens later is told by writer and handle.
    pub fn upload(&self, request: Request, length: Option<u64>) -> Result<(BodyWriter, ResponseHandle), HttpError> {
        let prepared = prepare(&request)?;
        upload::start(&self.client, &self.runtime, prepared, upload::Limits { length, patience: self.patience.clone() })
    }

    /// A plain TCP connection to `host` (a name or address) and `port`: by CONNECT through the proxy for https, unless
    /// the exceptions name the host. Nothing was sent over it but that CONNECT; it blocks and has no time-outs.
    ///
    /// The proxy itself is spoken to without TLS, with the user and password of its URL.
    ///
    /// # Errors
    /// [`HttpError::TunnelProxy`] for a proxy with TLS, [`HttpError::ProxyRefused`], or what kept the connection from
    /// coming about within the connect time-out.
    pub fn tunnel(&self, host: &str, port: u16) -> Result<TcpStream, HttpError> {
        let target = Target::new(host, port)?;
        let url = target.shown().to_owned();
        let (cancel, matcher, after) = (self.patience.cancel.clone(), Arc::clone(&self.matcher), self.connect);
        let (sender, opened) = oneshot::channel();
        self.runtime.spawn(async move {
            let outcome = match cancel.or(tokio::time::timeout(after, tunnel::open(&target, &matcher))).await {
                Some(Ok(outcome)) => outcome,
                Some(Err(_)) => {
                    Err(HttpError::TimedOut { url: target.shown().to_owned(), phase: Phase::Connecting, after })
                }
                None => Err(HttpError::Cancelled { url: target.shown().to_owned() }),
            };
            // The receiver waits for nothing else.
            drop(sender.send(outcome));
        })?;
        opened.blocking_recv().unwrap_or(Err(HttpError::Stopped { url }))
    }

    /// Blocks for `wait`, or until the options' flag says that everything is to stop.
    pub fn pause(&self, wait: Duration) {
        self.patience.cancel.sleep(wait);
    }

    /// Whether the options' flag says that everything is to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.patience.cancel.is_set()
    }

    /// The same connections for tidying up: one attempt that gets `limit` for its answer, and gets it also when
    /// everything else is cancelled.
    #[must_use]
    pub fn for_last_words(mut self, limit: Duration) -> Self {
        (self.connect, self.patience.idle, self.patience.cancel) = (Duration::ZERO, limit, Cancel::default());
        self.with_retry(Retry::never())
    }

    /// The same connections with other retries.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The options' waits between attempts.
    #[must_use]
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    fn send_once(&self, request: &Request) -> Result<Response, HttpError> {
        if self.is_cancelled() {
            return Err(HttpError::Cancelled { url: shown(&request.url) });
        }
        let mut prepared = prepare(request)?;
        if !request.body.is_empty() {
            *prepared.body_mut() = Some(request.body.clone().into());
        } else if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
            // RFC 9110, section 8.6; hyper says nothing then, and some proxies answer that with 411.
            prepared.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let (url, client, connect) = (request.url.clone(), self.client.clone(), self.connect);
        let (patience, runtime) = (self.patience.clone(), Arc::clone(&self.runtime));
        // The head may take as long as the connection, the body in memory and the idle time; the answer's body then
        // sets its own pace.
        let limit = connect + patience.idle + Duration::from_secs(request.body.len() as u64 / SLOWEST_UPLOAD);
        let (sender, head) = oneshot::channel();
        self.runtime.spawn(async move {
            let exchange = tokio::time::timeout(limit, client.execute(prepared));
            let outcome = match patience.cancel.or(exchange).await {
                Some(Ok(outcome)) => outcome.map_err(|error| classify(&url, Phase::Requesting, connect, error)),
                Some(Err(_)) => Err(HttpError::TimedOut { url: shown(&url), phase: Phase::Requesting, after: limit }),
                None => Err(HttpError::Cancelled { url: shown(&url) }),
            };
            response::deliver(outcome, sender, runtime, patience).await;
        })?;
        head.blocking_recv().unwrap_or_else(|_| Err(HttpError::Stopped { url: shown(&request.url) }))
    }
}

fn prepare(request: &Request) -> Result<reqwest::Request, HttpError> {
    if !matches!(request.url.scheme(), "http" | "https") {
        let why = "only these two schemes are requested".to_owned();
        return Err(HttpError::BadUrl { url: shown(&request.url), why });
    }
    let mut prepared = reqwest::Request::new(request.method.clone(), request.url.clone());
    *prepared.headers_mut() = request.headers.clone();
    Ok(prepared)
}

fn proxies(proxies: &Proxies) -> Result<Vec<Proxy>, HttpError> {
    let except = proxies.exceptions();
    let make = |variable, value: &Option<String>, make: fn(String) -> reqwest::Result<Proxy>| {
        let Some(value) = value.clone().filter(|value| !value.is_empty()) else { return Ok(None) };
        // The value may hold a password: neither it nor the parser's message is shown.
        let proxy = make(value).map_err(|_| HttpError::BadProxy { variable })?;
        Ok(Some(proxy.no_proxy(NoProxy::from_string(&except))))
    };
    let http = make("http_proxy", &proxies.http, Proxy::http)?;
    let https = make("https_proxy", &proxies.https, Proxy::https)?;
    Ok(http.into_iter().chain(https).collect())
}
