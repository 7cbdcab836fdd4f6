//! The compose service (ODCS): composes are asked for, waited for, renewed and given up.
//!
//! Comes in: the service's URL, connections, a token. Goes out: [`Compose`]s. It asks no clock: how long it has waited
//! is the sum of its waits. What is to be composed, and what follows from a compose, is for whoever asks.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Client, HttpError, Method, Request, Secret, Url, with_causes};
use serde_json::{Map, Value, json};

use crate::wire::one_line;

/// The most that is read of an answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;
/// How often is asked at first, and for how long that is.
const QUICK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How long the service has for an answer when everything else is told to stop.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How often is asked later.
const SLOW: Duration = Duration::from_secs(10);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Nobody, or whom the certificate of the connection names.
    Connection,
    /// The owner of a token (`Authorization: Bearer`).
    Token(Secret),
    /// Somebody who cannot log in, and why: composes can be looked at only.
    Missing(String),
}

/// A compose service.
#[derive(Clone, Debug)]
pub struct ComposeService {
    url: Url,
    http: Client,
    login: Login,
    timeout: Duration,
}

/// What is to be composed. Empty lists are left out of the request but for `packages` and `keys`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// `tag`, `module` or `pulp`.
    pub kind: &'static str,
    /// The tag, the modules or the content sets, blanks between them.
    pub source: String,
    /// Packages of a tag; empty is all of them, none is not to be said.
    pub packages: Option<Vec<String>>,
    /// The keys that must have signed packages.
    pub keys: Vec<String>,
    /// The architectures.
    pub architectures: Vec<String>,
    /// Flags of a compose of content sets.
    pub flags: Option<Vec<String>>,
    /// Architectures whose other libraries are wanted too.
    pub multilib: Vec<String>,
    /// How those are chosen.
    pub multilib_method: Vec<String>,
    /// Tags of modular builds.
    pub modular_tags: Vec<String>,
}

/// A compose as the service knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compose {
    /// Its number.
    pub id: u64,
    /// Where it stands: `wait`, `generating`, `done`, `removed` or `failed`.
    pub state: String,
    /// Why it failed.
    pub reason: Option<String>,
    /// What it was made of: 2 is modules.
    pub source_type: u64,
    /// The keys that signed its packages.
    pub keys: Vec<String>,
    /// The URL of its repository file.
    pub repository_file: String,
    /// The architectures it is for; none where it does not say.
    pub architectures: Option<Vec<String>>,
    /// When it will be gone, seconds since 1970; none where it does not say.
    pub expires: Option<u64>,
}

/// Why there is no compose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// The service did not answer, or refused.
    #[error("{url}: {text}")]
    Remote {
        /// What was asked.
        url: String,
        /// Why.
        text: String,
    },
    /// The compose failed.
    #[error("compose {id} failed: {reason}")]
    Failed {
        /// Its number.
        id: u64,
        /// Why.
        reason: String,
    },
    /// It took too long.
    #[error("compose {id} was not done within {} s", after.as_secs())]
    TimedOut {
        /// Its number.
        id: u64,
        /// The limit.
        after: Duration,
    },
    /// Told to stop.
    #[error("waiting for compose {id} was cancelled")]
    Cancelled {
        /// Its number.
        id: u64,
    },
    /// The request needs a login.
    #[error("asking for composes needs a login: {why}")]
    NoLogin {
        /// Why there is none.
        why: String,
    },
}

impl ComposeService {
    /// The service at `url`, the version of its API included, such as `https://odcs.example/odcs/1`.
    ///
    /// # Errors
    /// [`HttpError::BadUrl`].
    pub fn new(url: &str, http: Client, login: Login, timeout: Duration) -> Result<Self, HttpError> {
        let parsed = Url::parse(&format!("{}/", url.trim_end_matches('/')));
        let url = parsed.map_err(|error| HttpError::BadUrl { url: url.to_owned(), why: error.to_string() })?;
        Ok(Self { url, http, login, timeout })
    }

    /// Asks for a compose.
    ///
    /// # Errors
    /// [`ComposeError::NoLogin`], [`ComposeError::Remote`].
    pub fn start(&self, wanted: &Wanted) -> Result<Compose, ComposeError> {
        self.change(Method::POST, "composes/", Some(&body(wanted)))
    }

    /// Makes a compose last longer; it may get another number. With keys it is made of what they have signed.
    ///
    /// # Errors
    /// [`ComposeError::NoLogin`], [`ComposeError::Remote`].
    pub fn renew(&self, id: u64, keys: &[String]) -> Result<Compose, ComposeError> {
        self.change(Method::PATCH, &format!("composes/{id}"), Some(&json!({ "sigkeys": keys })))
    }

    /// Gives up a compose that is not done.
    ///
    /// # Errors
    /// [`ComposeError::NoLogin`], [`ComposeError::Remote`].
    pub fn cancel(&self, id: u64) -> Result<(), ComposeError> {
        self.send(Method::DELETE, &format!("composes/{id}"), None).map(drop)
    }

    /// The same service for tidying up, which goes on when everything else was told to stop.
    #[must_use]
    pub fn for_last_words(&self) -> Self {
        if !self.http.is_cancelled() {
            return self.clone();
        }
        Self { http: self.http.clone().for_last_words(LAST_WORDS), ..self.clone() }
    }

    /// A compose that is asked about until it is done.
    ///
    /// # Errors
    /// [`ComposeError`]; what has been waited for is not given up.
    pub fn wait(&self, id: u64) -> Result<Compose, ComposeError> {
        let mut waited = Duration::ZERO;
        loop {
            let compose = self.status(id)?;
            match compose.state.as_str() {
                "wait" | "generating" => {}
                "failed" => {
                    let reason = compose.reason.unwrap_or_else(|| "the service does not say why".to_owned());
                    return Err(ComposeError::Failed { id, reason });
                }
                _ => return Ok(compose),
            }
            if waited >= self.timeout {
                return Err(ComposeError::TimedOut { id, after: self.timeout });
            }
            let wait = if waited < QUICK.1 { QUICK.0 } else { SLOW };
            self.http.pause(wait);
            if self.http.is_cancelled() {
                return Err(ComposeError::Cancelled { id });
            }
            waited += wait;
        }
    }

    /// A compose as it stands.
    ///
    /// # Errors
    /// [`ComposeError::Remote`].
    pub fn status(&self, id: u64) -> Result<Compose, ComposeError> {
        let path = format!("composes/{id}");
        let answer = self.send(Method::GET, &path, None)?;
        read(&answer).ok_or_else(|| self.odd(&path))
    }

    fn change(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Compose, ComposeError> {
        let answer = self.send(method, path, body)?;
        read(&answer).ok_or_else(|| self.odd(path))
    }

    fn odd(&self, path: &str) -> ComposeError {
        ComposeError::Remote { url: self.shown(path), text: "the answer is no compose".to_owned() }
    }

    fn shown(&self, path: &str) -> String {
        format!("{}{path}", http::shown(&self.url))
    }

    fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ComposeError> {
        let remote = |text: String| ComposeError::Remote { url: self.shown(path), text };
        let failed = |error: HttpError| {
            let (text, url) = (with_causes(&error), format!("{}: ", self.shown(path)));
            // Most of these errors name the URL themselves.
            remote(text.strip_prefix(&url).unwrap_or(&text).to_owned())
        };
        let url = self.url.join(path).map_err(|error| remote(error.to_string()))?;
        let is_change = method != Method::GET;
        let mut request = Request::new(method, url);
        match &self.login {
            Login::Token(token) => {
                let value = Secret::new(format!("Bearer {}", token.reveal()));
                request = request.secret_header(AUTHORIZATION, &value).map_err(failed)?;
            }
            Login::Missing(why) if is_change => return Err(ComposeError::NoLogin { why: why.clone() }),
            Login::Connection | Login::Missing(_) => {}
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").map_err(failed)?.body(body.to_string());
        }
        // A compose that is asked for twice is made once: the service finds that it has it.
        let response = self.http.send_retrying(&request).map_err(failed)?;
        let status = response.status();
        let bytes = response.bytes(MAX_ANSWER).map_err(failed)?;
        let answer = serde_json::from_slice(&bytes);
        if !status.is_success() {
            let said: Value = answer.unwrap_or_default();
            let said: String = said["message"].as_str().unwrap_or_default().chars().take(200).collect();
            let more = if said.is_empty() { said } else { format!(": {}", said.replace(['\n', '\r'], " ")) };
            return Err(remote(format!("the service answered HTTP {status}{more}")));
        }
        answer.map_err(|error| remote(format!("the answer is no JSON: {error}")))
    }
}

/// The request for a compose (ODCS, `POST /composes/`).
fn body(wanted: &Wanted) -> Value {
    let mut source = Map::new();
    source.insert("type".to_owned(), json!(wanted.kind));
    source.insert("source".to_owned(), json!(wanted.source));
    source.insert("sigkeys".to_owned(), json!(wanted.keys));
    if let Some(packages) = &wanted.packages {
        source.insert("packages".to_owned(), json!(packages));
    }
    if !wanted.modular_tags.is_empty() {
        source.insert("modular_koji_tags".to_owned(), json!(wanted.modular_tags));
    }
    let mut body = Map::new();
    body.insert("source".to_owned(), Value::Object(source));
    if let Some(flags) = &wanted.flags {
        body.insert("flags".to_owned(), json!(flags));
    }
    if !wanted.architectures.is_empty() {
        body.insert("arches".to_owned(), json!(wanted.architectures));
    }
    if !wanted.multilib.is_empty() {
        let usual = || vec!["devel".to_owned(), "runtime".to_owned()];
        let method = if wanted.multilib_method.is_empty() { usual() } else { wanted.multilib_method.clone() };
        body.insert("multilib_arches".to_owned(), json!(wanted.multilib));
        body.insert("multilib_method".to_owned(), json!(method));
    }
    Value::Object(body)
}

/// A compose out of an answer of the service; none where it is none.
#[must_use]
pub fn read(answer: &Value) -> Option<Compose> {
    let words = |value: &Value| match value {
        Value::String(text) => Some(text.split_whitespace().map(str::to_owned).collect()),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    };
    Some(Compose {
        id: answer["id"].as_u64()?,
        state: one_line(answer["state_name"].as_str()?),
        reason: answer["state_reason"].as_str().map(one_line),
        source_type: answer["source_type"].as_u64().unwrap_or_default(),
        keys: words(&answer["sigkeys"]).unwrap_or_default(),
        repository_file: answer["result_repofile"].as_str().unwrap_or_default().to_owned(),
        architectures: words(&answer["arches"]),
        expires: answer["time_to_expire"].as_str().and_then(seconds),
    })
}

/// `2026-11-21T14:00:00Z` in seconds since 1970.
fn seconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers =
        |text: &str, by: char| text.split(by).map(|part| part.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), time.as_slice()) else { return None };
    let is_date = (1970..10_000).contains(year) && (1..=12).contains(month) && (1..=31).contains(day);
    if !is_date || *hour > 23 || *minute > 59 || *second > 60 {
        return None;
    }
    // Days since 1970 by the civil calendar, years beginning in March.
    let year = if *month <= 2 { year - 1 } else { *year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some(days.checked_sub(719_468)? * 86_400 + hour * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;

    use http::{ClientOptions, Retry};

    use super::*;
    use crate::client::tests::{http_answer, hub};

    #[test]
    fn a_request_says_what_is_wanted_and_no_more() {
        let wanted = Wanted {
            kind: "tag",
            source: "f43-build".to_owned(),
            packages: Some(vec!["bash".to_owned()]),
            keys: vec!["R1".to_owned()],
            architectures: vec!["x86_64".to_owned()],
            multilib: vec!["x86_64".to_owned()],
            ..Wanted::default()
        };
        let expected = json!({
            "source": { "type": "tag", "source": "f43-build", "packages": ["bash"], "sigkeys": ["R1"] },
            "arches": ["x86_64"],
            "multilib_arches": ["x86_64"],
            "multilib_method": ["devel", "runtime"],
        });
        assert_eq!(body(&wanted), expected);
        let modules = Wanted { kind: "module", source: "nodejs:18".to_owned(), ..Wanted::default() };
        assert_eq!(body(&modules), json!({ "source": { "type": "module", "source": "nodejs:18", "sigkeys": [] } }));
    }

    #[test]
    fn a_compose_is_read_as_the_service_writes_it() {
        let answer = json!({
            "id": 7, "state_name": "done", "source_type": 1, "sigkeys": "R1 R2", "arches": "x86_64 s390x",
            "result_repofile": "https://odcs.example/7.repo", "time_to_expire": "2026-11-21T14:00:00Z",
        });
        let expected = Compose {
            id: 7,
            state: "done".to_owned(),
            reason: None,
            source_type: 1,
            keys: vec!["R1".to_owned(), "R2".to_owned()],
            repository_file: "https://odcs.example/7.repo".to_owned(),
            architectures: Some(vec!["x86_64".to_owned(), "s390x".to_owned()]),
            expires: Some(1_795_269_600),
        };
        assert_eq!(read(&answer), Some(expected));
        assert_eq!(read(&json!({ "id": 7 })), None);
    }

    fn service(answers: &[(&str, &str)], login: Login) -> (ComposeService, Receiver<(String, String)>) {
        let (url, asked) = hub(answers.iter().map(|(status, body)| http_answer(status, body)).collect());
        let options = ClientOptions { retry: Retry::never(), ..ClientOptions::default() };
        let http = Client::new(&options).unwrap();
        (ComposeService::new(&url, http, login, Duration::ZERO).unwrap(), asked)
    }

    const DONE: &str = r#"{"id": 7, "state_name": "done"}"#;
    const OPEN: &str = r#"{"id": 7, "state_name": "generating"}"#;

    #[test]
    fn composes_are_asked_for_renewed_and_given_up_with_the_token() {
        let answers = [("200 OK", OPEN), ("200 OK", DONE), ("200 OK", DONE), ("202 Accepted", "{}")];
        let (service, asked) = service(&answers, Login::Token(Secret::new("t0ken")));
        assert_eq!(service.start(&Wanted { kind: "tag", ..Wanted::default() }).unwrap().state, "generating");
        assert_eq!(service.wait(7).unwrap().state, "done");
        service.renew(7, &["R1".to_owned()]).unwrap();
        service.cancel(7).unwrap();
        let asked: Vec<(String, String)> = asked.iter().collect();
        let lines: Vec<&str> = asked.iter().map(|(head, _)| head.lines().next().unwrap()).collect();
        let one = |method: &str| format!("{method} /kojihub/composes/7 http/1.1");
        assert_eq!(lines, ["post /kojihub/composes/ http/1.1".to_owned(), one("get"), one("patch"), one("delete")]);
        assert!(asked.iter().all(|(head, _)| head.contains("authorization: bearer t0ken")));
        assert_eq!(asked.get(2).unwrap().1, r#"{"sigkeys":["R1"]}"#);
    }

    #[test]
    fn composes_can_be_given_up_after_everything_was_told_to_stop() {
        let (url, asked) = hub(vec![http_answer("202 Accepted", "{}")]);
        let cancelled = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
        let options = ClientOptions { retry: Retry::never(), cancelled: Some(cancelled), ..ClientOptions::default() };
        let http = Client::new(&options).unwrap();
        let service = ComposeService::new(&url, http, Login::Connection, Duration::ZERO).unwrap();
        service.cancel(7).unwrap_err();
        service.for_last_words().cancel(7).unwrap();
        assert_eq!(asked.iter().count(), 1);
    }

    #[test]
    fn a_service_that_is_away_is_named_once() {
        let (service, _asked) = service(&[], Login::Connection);
        let options = ClientOptions { retry: Retry::never(), ..ClientOptions::default() };
        let url = "http://127.0.0.1:1/api/1";
        let away = ComposeService {
            url: Url::parse(&format!("{url}/")).unwrap(),
            http: Client::new(&options).unwrap(),
            ..service
        };
        let told = away.status(7).unwrap_err().to_string();
        assert!(told.starts_with(&format!("{url}/composes/7: cannot connect")), "{told}");
    }

    #[test]
    fn what_becomes_of_no_compose_is_told() {
        let failed = r#"{"id": 7, "state_name": "failed", "state_reason": "no such package"}"#;
        let refused = ("403 Forbidden", r#"{"message": "not allowed"}"#);
        let answers = [("200 OK", failed), ("200 OK", OPEN), refused, ("200 OK", "<html>")];
        let (service, _asked) = service(&answers, Login::Missing("no token".to_owned()));
        let told = || service.wait(7).unwrap_err().to_string();
        assert_eq!(told(), "compose 7 failed: no such package");
        assert_eq!(told(), "compose 7 was not done within 0 s");
        assert!(told().ends_with("/composes/7: the service answered HTTP 403 Forbidden: not allowed"));
        assert!(told().contains("the answer is no JSON"));
        assert_eq!(service.cancel(7).unwrap_err(), ComposeError::NoLogin { why: "no token".to_owned() });
    }

    #[test]
    fn times_are_counted_through_leap_years() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2024-02-29T23:59:59Z"), Some(1_709_251_199));
        assert_eq!(seconds("2024-03-01T00:00:00Z"), Some(1_709_251_200));
        for nonsense in
            ["", "2024-03-01", "2024-13-01T00:00:00Z", "99999999999999999999-01-01T00:00:00Z", "2024-01-01T25:00:00Z"]
        {
            assert_eq!(seconds(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn an_answer_without_an_end_is_given_up() {
        let options = ClientOptions { retry: Retry::never(), ..ClientOptions::default() };
        let url = crate::client::tests::endless();
        let http = Client::new(&options).unwrap();
        let service = ComposeService::new(&url, http, Login::Connection, Duration::ZERO).unwrap();
        let error = service.status(1).unwrap_err().to_string();
        assert!(error.contains("the answer is larger than the 1048576 bytes allowed"), "{error}");
    }

    #[test]
    fn what_a_service_says_is_one_short_line() {
        let answer =
            json!({ "id": 1, "state_name": "failed", "state_reason": format!("a\u{1b}[31m\nb{}", "x".repeat(5000)) });
        let reason = read(&answer).unwrap().reason.unwrap();
        assert!(reason.starts_with("a [31m b") && reason.chars().count() == 300, "{reason:?}");
    }
}
