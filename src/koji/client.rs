//! A hub reached over HTTP: one call after the other, anonymous until a call needs a login.
//!
//! Comes in: the hub's URL, connections, a way to log in. Goes out: what the hub answered, as [`Hub`] has it. Calls
//! that only read are repeated as the connections' options say; a call of a session is repeated under its own number,
//! so that the hub does it once. While the hub says that it is offline it is asked again after a wait. An answer has at
//! most 16 MiB. It reads no file and no environment, and shows no password, session or token.

mod read;
mod session;

use std::sync::Mutex;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Client, HttpError, Method, Request, Secret, StatusCode, Url};
use serde_json::{Value, json};

use crate::wire::{self, Fault};
use crate::{Archive, BuildInfo, BuildTarget, Hub, HubError, MavenArchive, Nvr, Refund, Reservation, TaskInfo};
use session::Session;

/// The most that is read of an answer, in bytes.
const MAX_ANSWER: usize = 16 << 20;
/// The most that is shown of an answer that is none.
const SHOWN: usize = 200;
/// How long a hub that says it is offline is waited for, in all two minutes.
const OFFLINE: [Duration; 12] = [Duration::from_secs(10); 12];
/// How long a reservation may take to be given back when everything else was cancelled.
const LAST_WORDS: Duration = Duration::from_secs(30);
/// The hub has no database, or is down for maintenance.
const SERVER_OFFLINE: i64 = 1014;
/// The session is over.
const AUTH_EXPIRED: i64 = 1007;

/// How to log in where a call needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// By name and password, which a hub seldom has outside of tests.
    Password {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// There is none, and why.
    Missing(String),
}

/// A hub.
#[derive(Debug)]
pub struct HubClient {
    url: Url,
    http: Client,
    login: Login,
    offline: Vec<Duration>,
    root_url: Option<String>,
    session: Mutex<Option<Session>>,
}

impl HubClient {
    /// The hub at `url`, such as `https://koji.example/kojihub`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`HttpError::BadUrl`].
    pub fn new(url: &str, http: Client, login: Login) -> Result<Self, HttpError> {
        let url = Url::parse(url).map_err(|error| HttpError::BadUrl { url: url.to_owned(), why: error.to_string() })?;
        Ok(Self { url, http, login, offline: OFFLINE.to_vec(), root_url: None, session: Mutex::default() })
    }

    /// The same hub, whose files are served at `url`, without a slash at its end.
    #[must_use]
    pub fn with_root_url(mut self, url: &str) -> Self {
        self.root_url = Some(url.to_owned());
        self
    }

    /// The same hub, with other waits while it is offline.
    #[must_use]
    pub fn with_offline_waits(mut self, waits: Vec<Duration>) -> Self {
        self.offline = waits;
        self
    }

    /// The version of the hub's API (`getAPIVersion`).
    ///
    /// # Errors
    /// [`HubError`].
    pub fn api_version(&self) -> Result<i64, HubError> {
        let answer = self.ask("getAPIVersion", &[])?;
        answer.as_i64().ok_or_else(|| read::odd("getAPIVersion", "a number", &answer))
    }

    /// A call that only reads.
    fn ask(&self, call: &'static str, parameters: &[Value]) -> Result<Value, HubError> {
        let request = Request::new(Method::POST, self.url.clone());
        self.until_online(call, &|| self.send(&self.http, call, request.clone(), parameters))
    }

    /// Tries again while the hub says that it is offline.
    fn until_online(
        &self,
        call: &'static str,
        send: &dyn Fn() -> Result<Result<Value, Fault>, HubError>,
    ) -> Result<Value, HubError> {
        let mut waits = self.offline.iter();
        loop {
            let fault = match send()? {
                Ok(value) => return Ok(value),
                Err(fault) => fault,
            };
            if let (SERVER_OFFLINE, Some(wait), false) = (fault.code, waits.next(), self.http.is_cancelled()) {
                tracing::info!(call, text = fault.text, wait_s = wait.as_secs(), "the hub is offline, waiting");
                self.http.pause(*wait);
                continue;
            }
            return Err(HubError::Fault { call, code: fault.code, text: fault.text });
        }
    }

    /// Sends a call and reads the answer.
    fn send(
        &self,
        http: &Client,
        call: &'static str,
        request: Request,
        parameters: &[Value],
    ) -> Result<Result<Value, Fault>, HubError> {
        let remote = |text: String| HubError::Remote { call, text };
        let failed = |error: HttpError| remote(http::with_causes(&error));
        let request = request.header(CONTENT_TYPE, "text/xml").map_err(failed)?.body(wire::call(call, parameters));
        let response = http.send_retrying(&request).map_err(failed)?;
        let status = response.status();
        let bytes = response.bytes(MAX_ANSWER).map_err(failed)?;
        let url = http::shown(&self.url);
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&bytes);
            let text: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
            let more = if text.is_empty() || text.contains('<') { String::new() } else { format!(": {text}") };
            return Err(remote(format!("{url}: the hub answered HTTP {status}{more}")));
        }
        let answer = wire::answer(&bytes).map_err(|error| remote(format!("{url}: {error}")))?;
        tracing::debug!(call, fault = answer.as_ref().err().map(|fault| fault.code), "asked the hub");
        Ok(answer)
    }
}

impl Hub for HubClient {
    fn build(&self, nvr: &str) -> Result<Option<BuildInfo>, HubError> {
        read::build("getBuild", &self.ask("getBuild", &[json!(nvr)])?)
    }

    fn build_target(&self, name: &str) -> Result<Option<BuildTarget>, HubError> {
        read::build_target("getBuildTarget", &self.ask("getBuildTarget", &[json!(name)])?)
    }

    fn architectures(&self, tag: &str) -> Result<Vec<String>, HubError> {
        let answer = self.ask("getBuildConfig", &[json!(tag)])?;
        // A tag without architectures has null there.
        Ok(answer["arches"].as_str().unwrap_or_default().split_whitespace().map(str::to_owned).collect())
    }

    fn repository(&self, tag: &str) -> Result<Option<u64>, HubError> {
        Ok(self.ask("getRepo", &[json!(tag)])?["id"].as_u64())
    }

    fn next_release(&self, name: &str, version: &str) -> Result<String, HubError> {
        let answer = self.ask("getNextRelease", &[json!({ "name": name, "version": version })])?;
        answer.as_str().map(str::to_owned).ok_or_else(|| read::odd("getNextRelease", "a text", &answer))
    }

    fn build_by_id(&self, id: u64) -> Result<Option<BuildInfo>, HubError> {
        read::build("getBuild", &self.ask("getBuild", &[json!(id)])?)
    }

    fn archives(&self, build: u64) -> Result<Vec<Archive>, HubError> {
        read::archives("listArchives", &self.ask("listArchives", &[json!(build)])?)
    }

    fn maven_archives(&self, build: u64) -> Result<Vec<MavenArchive>, HubError> {
        let named = json!({ "__starstar": true, "type": "maven" });
        read::maven_archives("listArchives", &self.ask("listArchives", &[json!(build), named])?)
    }

    fn root_url(&self) -> Option<&str> {
        self.root_url.as_deref()
    }

    fn newest_build(&self, regexp: &str) -> Result<Option<u64>, HubError> {
        let options = json!({ "__starstar": true, "queryOpts": { "order": "-build.id", "limit": 1 } });
        let answer = self.ask("search", &[json!(regexp), json!("build"), json!("regexp"), options])?;
        Ok(answer[0]["id"].as_u64())
    }

    fn reserve(&self, generator: &str, nvr: &Nvr) -> Result<Reservation, HubError> {
        let wanted = json!({ "name": nvr.name(), "version": nvr.version(), "release": nvr.release() });
        let answer = self.tell("CGInitBuild", &[json!(generator), wanted])?;
        read::reservation("CGInitBuild", &answer)
    }

    fn refund(&self, generator: &str, reservation: &Reservation, because: Refund) -> Result<(), HubError> {
        let state = match because {
            Refund::Failed => 3,
            Refund::Canceled => 4,
        };
        let token = reservation.token.reveal();
        let parameters = [json!(generator), json!(reservation.build_id), json!(token), json!(state)];
        let last = self.http.clone().for_last_words(LAST_WORDS);
        let http = if self.http.is_cancelled() { &last } else { &self.http };
        self.tell_over(http, "CGRefundBuild", &parameters).map(drop)
    }

    fn task(&self, id: u64) -> Result<Option<TaskInfo>, HubError> {
        read::task("getTaskInfo", &self.ask("getTaskInfo", &[json!(id)])?)
    }

    fn task_output(&self, id: u64) -> Result<Vec<String>, HubError> {
        let answer = self.ask("listTaskOutput", &[json!(id)])?;
        let names = answer.as_array().ok_or_else(|| read::odd("listTaskOutput", "a list", &answer))?;
        Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    fn task_children(&self, id: u64) -> Result<Vec<u64>, HubError> {
        let answer = self.ask("getTaskChildren", &[json!(id)])?;
        let tasks = answer.as_array().ok_or_else(|| read::odd("getTaskChildren", "a list", &answer))?;
        Ok(tasks.iter().filter_map(|task| task["id"].as_u64()).collect())
    }
}

#[cfg(test)]
pub(crate) mod tests;
