//! The client: options in, answers out.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, HeaderValue};
use reqwest::{Method, NoProxy, Proxy};
use tokio::sync::oneshot;
use tracing::debug;

use crate::error::{Phase, classify};
use crate::runtime::Runtime;
use crate::upload::{self, BodyWriter, ResponseHandle};
use crate::{HttpError, Request, Response, Retry, redirect, response, shown, tls};

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

/// What a [`Client`] needs to know.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Whether servers must prove who they are.
    pub tls: Tls,
    /// The system's CA bundle; `None` where there is none: then Mozilla's roots, compiled in, are used.
    pub roots: Option<CaBundle>,
    /// Certificates trusted besides `roots`.
    pub extra_roots: Vec<CaBundle>,
    /// The proxies.
    pub proxies: Proxies,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long nothing may move while a request waits for the other side. There is no deadline for whole bodies.
    pub idle_timeout: Duration,
    /// How [`Client::send_retrying`] retries.
    pub retry: Retry,
}

impl Default for ClientOptions {
    /// Verified TLS with the embedded roots, no proxies, 15 s to connect, 60 s of idleness.
    fn default() -> Self {
        Self {
            tls: Tls::Verify,
            roots: None,
            extra_roots: Vec::new(),
            proxies: Proxies::default(),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            retry: Retry::default(),
        }
    }
}

/// Connections to servers, kept and shared: clone it, and use it from several threads.
#[derive(Clone, Debug)]
pub struct Client {
    client: reqwest::Client,
    runtime: Arc<Runtime>,
    connect: Duration,
    idle: Duration,
    retry: Retry,
}

impl Client {
    /// A client with `options`. No thread starts and nothing is sent before the first request.
    ///
    /// # Errors
    /// [`HttpError::BadCertificates`], [`HttpError::BadProxy`] or [`HttpError::Setup`].
    pub fn new(options: &ClientOptions) -> Result<Self, HttpError> {
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
            runtime: Arc::default(),
            connect: options.connect_timeout,
            idle: options.idle_timeout,
            retry: options.retry.clone(),
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
        let mut response = self.send_once(request)?;
        let mut hop = request.clone();
        for _ in 0..redirect::MAX_HOPS {
            match redirect::next(&hop, response.status(), response.headers())? {
                Some(next) => hop = next,
                None => return Ok(response),
            }
            debug!(url = shown(&hop.url), "following a redirect");
            response.finish();
            response = self.send_once(&hop)?;
        }
        let why = "there were ten redirects before it";
        Err(HttpError::Redirect { url: shown(&request.url), to: shown(&hop.url), why })
    }

    /// Sends `request` like [`Client::send`], again after connections that failed and after the statuses 429, 500,
    /// 502, 503 and 504, as the options' [`Retry`] says. Only for requests that may be repeated.
    ///
    /// # Errors
    /// The last attempt's [`HttpError`]; the last attempt's answer is an answer even when it is one of those statuses.
    pub fn send_retrying(&self, request: &Request) -> Result<Response, HttpError> {
        let mut tried = 1;
        loop {
            let outcome = self.send(request);
            let Some(wait) = self.retry.wait(tried, &outcome) else { return outcome };
            let status = outcome.as_ref().ok().map(|response| response.status().as_u16());
            let error = outcome.err().map(|error| error.to_string());
            debug!(url = shown(&request.url), status, error, wait_ms = wait.as_millis(), "trying again");
            std::thread::sleep(wait);
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
        upload::start(&self.client, &self.runtime, prepared, upload::Limits { length, idle: self.idle })
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
        let mut prepared = prepare(request)?;
        if !request.body.is_empty() {
            *prepared.body_mut() = Some(request.body.clone().into());
        } else if matches!(request.method, Method::POST | Method::PUT | Method::PATCH) {
            // RFC 9110, section 8.6; hyper says nothing then, and some proxies answer that with 411.
            prepared.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let (url, client, connect, idle) = (request.url.clone(), self.client.clone(), self.connect, self.idle);
        let runtime = Arc::clone(&self.runtime);
        let (sender, head) = oneshot::channel();
        self.runtime.spawn(async move {
            // The head may take as long as the connection plus the idle time; the body then sets its own pace.
            let outcome = match tokio::time::timeout(connect + idle, client.execute(prepared)).await {
                Ok(outcome) => outcome.map_err(|error| classify(&url, Phase::Requesting, connect, error)),
                Err(_) => Err(HttpError::TimedOut { url: shown(&url), phase: Phase::Requesting, after: idle }),
            };
            response::deliver(outcome, sender, runtime, idle).await;
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
    let except = format!("localhost,127.0.0.0/8,::1,{}", proxies.except.as_deref().unwrap_or_default());
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
