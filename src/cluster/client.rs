//! The API: one request for each question, its answer read leniently.

use std::collections::BTreeMap;
use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HttpError, Method, Request, Response, Secret, Url, shown};
use serde_json::{Value, json};
use tracing::debug;

use crate::build_object::{self, Build};
use crate::error::{ClusterError, Denied};
use crate::token::TokenFile;

/// Largest answer that is read, in bytes.
const LIMIT: usize = 4 << 20;

/// Longest part of the server's own words that is repeated, in characters.
const SAID: usize = 300;

/// Waits before a change is sent again that somebody else's got in the way of.
const CONFLICT_WAITS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(900), Duration::from_millis(2700)];

const BUILDS: (&str, &str) = ("build.openshift.io", "builds");

/// The API of a cluster, as a service account sees it. It may be used from several threads.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) http: http::Client,
    pub(crate) base: Url,
    pub(crate) token: Option<TokenFile>,
    pub(crate) namespace: Option<String>,
}

/// The name of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its namespace; empty for that of the client.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What is to be written to an object's metadata; other annotations and labels stay as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What is asked of which kind of object.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Group of the API and resource.
    pub(crate) resource: (&'static str, &'static str),
    pub(crate) namespace: &'a str,
    /// None for all of them, which is where new ones are posted to.
    pub(crate) name: Option<&'a str>,
    /// Content type and body.
    pub(crate) body: Option<(&'static str, Value)>,
}

impl Client {
    /// The namespace of objects that name none.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Where the API is, for logs.
    #[must_use]
    pub fn url(&self) -> String {
        shown(&self.base)
    }

    /// Reads a Build.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn build(&self, build: &Object) -> Result<Build, ClusterError> {
        let ask = Ask {
            method: Method::GET,
            resource: BUILDS,
            namespace: &build.namespace,
            name: Some(&build.name),
            body: None,
        };
        let (url, bytes) = self.ask(&ask)?;
        let text = String::from_utf8_lossy(&bytes);
        build_object::parse(&text).map_err(|source| ClusterError::Build { url, source })
    }

    /// Writes annotations and labels of a Build, as one JSON merge patch (RFC 7396) that names them and nothing else.
    /// Where others change the object at the same time, it is sent again, five times in all.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn mark_build(&self, build: &Object, marks: &Marks) -> Result<(), ClusterError> {
        let mut metadata = serde_json::Map::new();
        for (key, texts) in [("annotations", &marks.annotations), ("labels", &marks.labels)] {
            if !texts.is_empty() {
                metadata.insert(key.to_owned(), json!(texts));
            }
        }
        if metadata.is_empty() {
            return Ok(());
        }
        let ask = Ask {
            method: Method::PATCH,
            resource: BUILDS,
            namespace: &build.namespace,
            name: Some(&build.name),
            body: Some(("application/merge-patch+json", json!({ "metadata": metadata }))),
        };
        for wait in CONFLICT_WAITS {
            match self.ask(&ask) {
                Err(ClusterError::Conflict { url, said }) => {
                    debug!(url, said, "somebody else changed the object; trying again");
                    self.http.pause(wait);
                }
                other => return other.map(drop),
            }
        }
        self.ask(&ask).map(drop)
    }

    /// Sends `ask` and returns its URL, as it may be shown, and the answer's body.
    pub(crate) fn ask(&self, ask: &Ask<'_>) -> Result<(String, Vec<u8>), ClusterError> {
        let namespace = match ask.namespace {
            "" => self.namespace.as_deref().unwrap_or_default(),
            namespace => namespace,
        };
        let url = self.locate(ask, namespace)?;
        let (answer, token) = self.send(ask, &url)?;
        let url = shown(&url);
        let status = answer.status();
        let bytes = answer.bytes(LIMIT);
        if status.is_success() {
            return Ok((url, bytes?));
        }
        // What it said is of use, and no more than that.
        let said = said(&bytes.unwrap_or_default(), token.as_ref());
        let (group, resource) = ask.resource;
        Err(match status.as_u16() {
            401 => ClusterError::Unauthorized { url, said },
            403 => {
                let denied = Denied { verb: verb(&ask.method), group, resource, namespace: namespace.to_owned() };
                ClusterError::Forbidden { url, denied, said }
            }
            404 => ClusterError::NotFound { url, said },
            409 => ClusterError::Conflict { url, said },
            status => ClusterError::Status { url, status, said },
        })
    }

    /// Sends it with the token of this moment. One that is not accepted may have been exchanged meanwhile.
    fn send(&self, ask: &Ask<'_>, url: &Url) -> Result<(Response, Option<Secret>), ClusterError> {
        let mut request = Request::new(ask.method.clone(), url.clone()).header(ACCEPT, "application/json")?;
        if let Some((content_type, body)) = &ask.body {
            request = request.header(CONTENT_TYPE, content_type)?.body(body.to_string());
        }
        let token = self.token.as_ref().map(TokenFile::token).transpose()?;
        let answer = self.http.send_retrying(&authorized(&request, token.as_ref())?)?;
        if answer.status().as_u16() != 401 {
            return Ok((answer, token));
        }
        let newer = self.token.as_ref().map(TokenFile::token).transpose()?;
        if newer == token {
            return Ok((answer, token));
        }
        answer.finish();
        Ok((self.http.send_retrying(&authorized(&request, newer.as_ref())?)?, newer))
    }

    fn locate(&self, ask: &Ask<'_>, namespace: &str) -> Result<Url, ClusterError> {
        check_name("the namespace", namespace)?;
        ask.name.map_or(Ok(()), |name| check_name("the object", name))?;
        let (group, resource) = ask.resource;
        let parts = ["apis", group, "v1", "namespaces", namespace, resource];
        let mut url = self.base.clone();
        let bad = || ClusterError::BadUrl { url: shown(&self.base), why: "nothing can come after it".to_owned() };
        url.path_segments_mut().map_err(|()| bad())?.pop_if_empty().extend(parts).extend(ask.name);
        Ok(url)
    }
}

fn authorized(request: &Request, token: Option<&Secret>) -> Result<Request, HttpError> {
    let Some(token) = token else { return Ok(request.clone()) };
    let bearer = Secret::new(format!("Bearer {}", token.reveal()));
    request.clone().secret_header(AUTHORIZATION, &bearer)
}

/// The verb a rule has for a method.
fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "PATCH" => "patch",
        "PUT" => "update",
        "DELETE" => "delete",
        _ => "get",
    }
}

/// A name goes into the path of a URL: nothing in it may lead elsewhere.
fn check_name(what: &'static str, name: &str) -> Result<(), ClusterError> {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@".contains(&byte);
    let is_dots = name.bytes().all(|byte| byte == b'.');
    if !is_dots && name.len() <= 253 + 129 && name.bytes().all(is_name_byte) {
        return Ok(());
    }
    Err(ClusterError::BadName { what, name: name.chars().take(80).collect() })
}

/// The message of a Status, else the beginning of the text: one line, without our token.
fn said(bytes: &[u8], token: Option<&Secret>) -> String {
    let status: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let text = match status.get("message").and_then(Value::as_str) {
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(bytes.get(..4 * SAID).unwrap_or(bytes)).into_owned(),
    };
    let text = match token {
        Some(token) => text.replace(token.reveal(), "***"),
        None => text,
    };
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line: String = line.collect::<Vec<_>>().join(" ").chars().take(SAID).collect();
    if line.is_empty() { "it said nothing".to_owned() } else { line }
}
