//! Calls that change something: a session, whose calls are numbered.
//!
//! The hub does what a number stands for once: a request that is repeated because its answer was lost has its number
//! still, and fault 1009 then says that it was done.

use std::sync::{MutexGuard, PoisonError};

use http::header::HeaderName;
use http::{Client, Method, Request, Secret, Url, with_causes};
use serde_json::{Value, json};

use super::{AUTH_EXPIRED, HubClient, Login};
use crate::HubError;

/// A login that stands.
#[derive(Debug)]
pub(super) struct Session {
    id: i64,
    key: Secret,
    /// Whether the hub takes the session in headers; it takes it in the query else.
    by_header: bool,
    /// The number of the next call.
    next: u64,
}

impl HubClient {
    /// A call that changes something.
    pub(super) fn tell(&self, call: &'static str, parameters: &[Value]) -> Result<Value, HubError> {
        self.tell_over(&self.http, call, parameters)
    }

    /// The same over other connections; logs in where that has not been done, or has been long ago.
    pub(super) fn tell_over(&self, http: &Client, call: &'static str, parameters: &[Value]) -> Result<Value, HubError> {
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.numbered(&mut held, http, (call, parameters));
        if !matches!(&answer, Err(HubError::Fault { code: AUTH_EXPIRED, .. })) {
            return answer;
        }
        *held = None;
        self.numbered(&mut held, http, (call, parameters))
    }

    fn numbered(
        &self,
        held: &mut MutexGuard<'_, Option<Session>>,
        http: &Client,
        (call, parameters): (&'static str, &[Value]),
    ) -> Result<Value, HubError> {
        let mut session = match held.take() {
            Some(session) => session,
            None => self.log_in(call, http)?,
        };
        let request = session.request(&self.url);
        session.next += 1;
        **held = Some(session);
        let request = request.map_err(|error| HubError::Remote { call, text: with_causes(&error) })?;
        self.until_online(call, &|| self.send(http, call, request.clone(), parameters))
    }

    fn log_in(&self, call: &'static str, http: &Client) -> Result<Session, HubError> {
        let (user, password) = match &self.login {
            Login::Password { user, password } => (user, password),
            Login::Missing(why) => return Err(HubError::NoLogin { call, text: why.clone() }),
        };
        let request = Request::new(Method::POST, self.url.clone());
        let parameters = [json!(user), json!(password.reveal())];
        let answer = self.until_online("login", &|| self.send(http, "login", request.clone(), &parameters))?;
        let (Some(id), Some(key)) = (answer["session-id"].as_i64(), answer["session-key"].as_str()) else {
            return Err(HubError::Remote { call: "login", text: "the answer is no session".to_owned() });
        };
        let by_header = answer["header-auth"].as_bool().unwrap_or(false);
        Ok(Session { id, key: Secret::new(key), by_header, next: 0 })
    }
}

impl Session {
    /// A request of this session with its next number.
    fn request(&self, url: &Url) -> Result<Request, http::HttpError> {
        if !self.by_header {
            let mut url = url.clone();
            let pairs = [("session-id", self.id.to_string()), ("session-key", self.key.reveal().to_owned())];
            url.query_pairs_mut().extend_pairs(pairs).append_pair("callnum", &self.next.to_string());
            return Ok(Request::new(Method::POST, url));
        }
        let name = HeaderName::from_static;
        Request::new(Method::POST, url.clone())
            .header(name("koji-session-id"), &self.id.to_string())?
            .secret_header(name("koji-session-key"), &self.key)?
            .header(name("koji-session-callnum"), &self.next.to_string())
    }
}
