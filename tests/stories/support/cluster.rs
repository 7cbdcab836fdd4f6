//! An API server of OpenShift on a free loopback port: just enough of it for a build, and strict.
//!
//! It speaks plain HTTP/1.1, one request a connection. It wants the bearer token [`TOKEN`]; it knows the paths of
//! Builds, ImageStreams, ImageStreamTags and ImageStreamImports and nothing else; it checks every body against the
//! published OpenAPI of `build.openshift.io/v1` where that is given, unknown fields included, as a server with strict
//! field validation does; it applies merge patches, so that a test can read the object back. It says 403, 409 or 500
//! on demand. What a client did wrong is in [`Cluster::complaints`].
//!
//! The file stands alone: unit tests of other crates include it by its path.
#![allow(dead_code, reason = "each user needs its own part")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

/// The token it wants.
pub(crate) const TOKEN: &str = "sha256~stand-in-token";

/// Where the definition of a Build is in the OpenAPI.
const BUILD: &str = "com.github.openshift.api.build.v1.Build";

/// A running server. Its thread ends with the process.
pub(crate) struct Cluster {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// A request it got.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) content_type: String,
    /// None where there was no body.
    pub(crate) body: Value,
    /// The status it was answered with.
    pub(crate) status: u16,
}

#[derive(Default)]
struct State {
    /// Objects by their path.
    objects: BTreeMap<String, Value>,
    asked: Vec<Asked>,
    complaints: Vec<String>,
    /// Method, a part of the path, status, how many times.
    refusals: Vec<(String, String, u16, usize)>,
    definitions: Map<String, Value>,
    token: String,
    /// Tags whose import fails, with the message.
    broken: BTreeMap<String, String>,
}

impl Cluster {
    /// A server without objects. `openapi` is the path of `openshift-build-v1.openapi.json`; without it bodies are
    /// only looked at for their shape.
    pub(crate) fn start(openapi: Option<&Path>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let definitions = openapi.map(definitions).unwrap_or_default();
        let state = State { definitions, token: TOKEN.to_owned(), ..State::default() };
        let cluster = Self { address: listener.local_addr().unwrap(), state: Arc::new(Mutex::new(state)) };
        let state = Arc::clone(&cluster.state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&state);
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        cluster
    }

    /// Its URL, for `openshift.url` of a site.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a Build as a BuildConfig would make it, and returns it as the variable `BUILD` has it. `spec` may be
    /// empty.
    pub(crate) fn add_build(&self, namespace: &str, name: &str, spec: Value) -> Value {
        let path = build_path(namespace, name);
        let build = json!({
            "kind": "Build", "apiVersion": "build.openshift.io/v1",
            "metadata": {
                "name": name, "namespace": namespace, "selfLink": path, "resourceVersion": "1",
                "annotations": {"openshift.io/build.number": "7"}, "labels": {"buildconfig": "webd"},
            },
            "spec": spec,
        });
        self.lock().objects.insert(path, build.clone());
        build
    }

    /// Adds any object at its path, such as an ImageStreamTag.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.lock().objects.insert(path.to_owned(), object);
    }

    /// The object at a path, as it is now.
    pub(crate) fn object(&self, path: &str) -> Option<Value> {
        self.lock().objects.get(path).cloned()
    }

    /// A Build as it is now.
    pub(crate) fn build(&self, namespace: &str, name: &str) -> Value {
        self.object(&build_path(namespace, name)).unwrap()
    }

    /// The annotations of a Build as they are now.
    pub(crate) fn annotations(&self, namespace: &str, name: &str) -> BTreeMap<String, String> {
        let build = self.build(namespace, name);
        let annotations = build["metadata"]["annotations"].as_object().unwrap();
        annotations.iter().map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
    }

    /// Answers the next `times` requests with `method` whose path contains `part` with `status`.
    pub(crate) fn refuse(&self, method: &str, part: &str, status: u16, times: usize) {
        self.lock().refusals.push((method.to_owned(), part.to_owned(), status, times));
    }

    /// From now on only this token is accepted.
    pub(crate) fn exchange_token(&self, token: &str) {
        token.clone_into(&mut self.lock().token);
    }

    /// Lets the import of a tag fail, with this message.
    pub(crate) fn break_import(&self, tag: &str, message: &str) {
        self.lock().broken.insert(tag.to_owned(), message.to_owned());
    }

    /// What it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// What clients did wrong: paths nobody has, bodies that do not fit, no token. A test that passes has none.
    pub(crate) fn complaints(&self) -> Vec<String> {
        self.lock().complaints.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path of a Build.
pub(crate) fn build_path(namespace: &str, name: &str) -> String {
    format!("/apis/build.openshift.io/v1/namespaces/{namespace}/builds/{name}")
}

fn definitions(openapi: &Path) -> Map<String, Value> {
    let text = std::fs::read_to_string(openapi).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["definitions"].as_object().unwrap().clone()
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some(request) = read(&mut reader) else { return };
    let (status, body) = state.lock().unwrap_or_else(PoisonError::into_inner).answer(request);
    let text = body.to_string();
    let head = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        text.len()
    );
    let mut stream = stream;
    // A client that went away has its reasons.
    let _sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
}

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

impl State {
    fn answer(&mut self, request: Request) -> (u16, Value) {
        let body = if request.body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&request.body) };
        let body = body.unwrap_or_else(|error| Value::String(format!("no JSON: {error}")));
        let content_type = request.headers.get("content-type").cloned().unwrap_or_default();
        let (status, answer) = self.decide(&request, &content_type, &body);
        let (method, path) = (request.method, request.path);
        self.asked.push(Asked { method, path, content_type, body, status });
        (status, answer)
    }

    fn decide(&mut self, request: &Request, content_type: &str, body: &Value) -> (u16, Value) {
        let (method, path) = (request.method.as_str(), request.path.as_str());
        if request.headers.get("authorization") != Some(&format!("Bearer {}", self.token)) {
            return failure(401, "Unauthorized");
        }
        let refusal =
            self.refusals.iter_mut().find(|(m, part, _, times)| m == method && path.contains(part) && *times > 0);
        if let Some((_, _, status, times)) = refusal {
            *times -= 1;
            let user = "system:serviceaccount:osbs:builder";
            return failure(*status, &format!("User \"{user}\" cannot {} this", method.to_ascii_lowercase()));
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["apis", "build.openshift.io", "v1", "namespaces", _, "builds", _])
            | (
                "GET",
                [
                    "apis",
                    "image.openshift.io",
                    "v1",
                    "namespaces",
                    _,
                    "imagestreams" | "imagestreamtags" | "imagestreamimages",
                    _,
                ],
            ) => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => failure(404, &format!("{} not found", parts.last().unwrap())),
            },
            ("PATCH", ["apis", "build.openshift.io", "v1", "namespaces", _, "builds", _]) => {
                self.patch(path, content_type, body)
            }
            ("POST", ["apis", "image.openshift.io", "v1", "namespaces", namespace, "imagestreams"]) => {
                self.create_stream(path, namespace, body)
            }
            ("POST", ["apis", "image.openshift.io", "v1", "namespaces", namespace, "imagestreamimports"]) => {
                self.import(namespace, body)
            }
            _ => self.complain(404, format!("{method} {path}: there is no such thing")),
        }
    }

    fn complain(&mut self, status: u16, text: String) -> (u16, Value) {
        self.complaints.push(text.clone());
        failure(status, &text)
    }

    fn patch(&mut self, path: &str, content_type: &str, body: &Value) -> (u16, Value) {
        if content_type != "application/merge-patch+json" {
            return self.complain(415, format!("PATCH {path}: content type {content_type}"));
        }
        let Some(mut object) = self.objects.get(path).cloned() else { return failure(404, "no such Build") };
        merge(&mut object, body);
        let mut wrong = Vec::new();
        if !self.definitions.is_empty() {
            // The patch and what comes of it: a patch with a slip adds a field nobody knows.
            self.check(BUILD, &object, "", &mut wrong);
        }
        let spec = body.get("spec").is_some() || body.get("status").is_some();
        if spec {
            wrong.push("only metadata may be patched here".to_owned());
        }
        if !wrong.is_empty() {
            return self.complain(422, format!("PATCH {path}: {}", wrong.join("; ")));
        }
        let metadata = object["metadata"].as_object_mut().unwrap();
        let size: usize =
            metadata["annotations"].as_object().unwrap().iter().map(|(k, v)| k.len() + v.as_str().unwrap().len()).sum();
        if size > 256 << 10 {
            return self.complain(422, format!("PATCH {path}: annotations of {size} bytes; at most 262144 are taken"));
        }
        self.objects.insert(path.to_owned(), object.clone());
        (200, object)
    }

    fn create_stream(&mut self, path: &str, namespace: &str, body: &Value) -> (u16, Value) {
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if body["kind"] != "ImageStream" || body["apiVersion"] != "image.openshift.io/v1" || name.is_empty() {
            return self.complain(422, format!("POST {path}: not an ImageStream: {body}"));
        }
        let path = format!("/apis/image.openshift.io/v1/namespaces/{namespace}/imagestreams/{name}");
        if self.objects.contains_key(&path) {
            return failure(409, "already exists");
        }
        self.objects.insert(path, body.clone());
        (201, body.clone())
    }

    fn import(&mut self, namespace: &str, body: &Value) -> (u16, Value) {
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let images = body["spec"]["images"].as_array().cloned().unwrap_or_default();
        let is_one = |image: &Value| image["from"]["kind"] == "DockerImage" && image["to"]["name"].is_string();
        let is_shaped = body["kind"] == "ImageStreamImport"
            && body["apiVersion"] == "image.openshift.io/v1"
            && body["spec"]["import"].is_boolean()
            && body["status"].is_object();
        if !is_shaped || name.is_empty() || !images.iter().all(is_one) {
            return self.complain(422, format!("not an ImageStreamImport: {body}"));
        }
        let mut outcomes = Vec::new();
        for image in &images {
            let tag = image["to"]["name"].as_str().unwrap();
            if let Some(message) = self.broken.get(tag) {
                outcomes.push(json!({"tag": tag, "status": {"status": "Failure", "message": message}}));
                continue;
            }
            outcomes.push(json!({"tag": tag, "status": {"status": "Success"}}));
            let path = format!("/apis/image.openshift.io/v1/namespaces/{namespace}/imagestreamtags/{name}:{tag}");
            let tag = json!({"kind": "ImageStreamTag", "image": {"dockerImageReference": image["from"]["name"]}});
            self.objects.insert(path, tag);
        }
        let mut answer = body.clone();
        answer["status"] = json!({ "images": outcomes });
        (201, answer)
    }

    /// Checks a value against a definition of the OpenAPI; fields that the definition has not are wrong.
    fn check(&self, definition: &str, value: &Value, path: &str, wrong: &mut Vec<String>) {
        match self.definitions.get(definition) {
            Some(schema) => self.fits(schema, value, path, wrong),
            None => wrong.push(format!("{path}: {definition} is not in the OpenAPI")),
        }
    }

    fn fits(&self, schema: &Value, value: &Value, path: &str, wrong: &mut Vec<String>) {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.check(reference.trim_start_matches("#/definitions/"), value, path, wrong);
        }
        let is_right = match schema["type"].as_str() {
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            Some("string") => value.is_string(),
            Some("boolean") => value.is_boolean(),
            Some("integer") => value.is_i64(),
            Some("number") => value.is_number(),
            _ => true,
        };
        if !is_right {
            // Null is as good as nothing.
            if !value.is_null() {
                wrong.push(format!("{path}: not of type {}", schema["type"]));
            }
            return;
        }
        for (key, item) in value.as_object().into_iter().flatten() {
            let at = format!("{path}.{key}");
            match (schema["properties"].get(key), schema.get("additionalProperties")) {
                (Some(schema), _) | (None, Some(schema)) => self.fits(schema, item, &at, wrong),
                (None, None) if schema["properties"].is_object() => wrong.push(format!("{at}: unknown field")),
                (None, None) => {}
            }
        }
        for needed in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if value.get(needed).is_none() && needed != "strategy" && needed != "spec" {
                wrong.push(format!("{path}.{needed}: missing"));
            }
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            self.fits(&schema["items"], item, &format!("{path}[{index}]"), wrong);
        }
    }
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// A Status, as Kubernetes says it.
fn failure(code: u16, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}))
}
