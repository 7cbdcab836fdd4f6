//! A compose service on a free loopback port, as ODCS documents its REST interface.
//!
//! A compose that is asked for waits, is generated, and is done, a step each time somebody looks. Changing anything
//! wants the bearer token [`TOKEN`]. Composes that are removed can be renewed, under another number, as others are when
//! other keys are asked for; what is being generated cannot be given up. A story adds composes and looks at requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::web::{Asked, answer_with};

/// The token it wants.
pub(crate) const TOKEN: &str = "token-of-a-story";
/// Where a compose stands (ODCS, `COMPOSE_STATES`).
const STATES: [&str; 5] = ["wait", "generating", "done", "removed", "failed"];
/// What it is made of (ODCS, `PUNGI_SOURCE_TYPE_NAMES`), from 1.
const SOURCES: [&str; 4] = ["tag", "module", "repo", "pulp"];
/// When a new compose will be gone.
const LATER: &str = "2099-01-01T00:00:00Z";

/// A running service. Its thread ends with the process.
pub(crate) struct Odcs {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    address: String,
    composes: Vec<Value>,
    asked: Vec<(String, Value)>,
    /// The repository file of every compose.
    repository: String,
    /// Why composes that are asked for fail; none where they do not.
    failure: Option<(u64, String)>,
    /// Composes never get beyond this state.
    last: Option<&'static str>,
}

impl Odcs {
    /// A service whose composes have this repository file.
    pub(crate) fn start(repository: &str) -> Self {
        let state = Arc::new(Mutex::new(State { repository: repository.to_owned(), ..State::default() }));
        let shared = Arc::clone(&state);
        let address = answer_with(move |asked| lock(&shared).answer(asked));
        lock(&state).address.clone_from(&address);
        Self { address, state }
    }

    /// `odcs.api_url` of a site.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/api/1", self.address)
    }

    /// Adds a compose; its number.
    pub(crate) fn add(&self, state: &str, keys: &str, expires: &str) -> u64 {
        let wanted = json!({"source": {"type": "tag", "source": "f43-build", "sigkeys": words(keys)}});
        let mut held = lock(&self.state);
        let id = held.new_compose(&wanted);
        held.set(id, "time_to_expire", json!(expires));
        held.stand(id, state);
        id
    }

    /// Lets this compose fail as soon as it is generated.
    pub(crate) fn fail(&self, id: u64, reason: &str) {
        lock(&self.state).failure = Some((id, reason.to_owned()));
    }

    /// Lets composes stay in a state for ever.
    pub(crate) fn stay(&self, state: &'static str) {
        lock(&self.state).last = Some(state);
    }

    /// What was asked: `METHOD PATH` below the API, and the body.
    pub(crate) fn asked(&self) -> Vec<(String, Value)> {
        lock(&self.state).asked.clone()
    }

    /// The requests that were to change something.
    pub(crate) fn changes(&self) -> Vec<(String, Value)> {
        self.asked().into_iter().filter(|(line, _)| !line.starts_with("GET ")).collect()
    }

    /// A compose as it stands.
    pub(crate) fn state_of(&self, id: u64) -> String {
        lock(&self.state).find(id).unwrap()["state_name"].as_str().unwrap().to_owned()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

impl State {
    fn answer(&mut self, asked: &Asked) -> (u16, Vec<u8>) {
        if asked.path.ends_with(".repo") {
            return (200, self.repository.clone().into_bytes());
        }
        let path = asked.path.strip_prefix("/api/1/").unwrap_or_default().to_owned();
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        self.asked.push((format!("{} {path}", asked.method), body.clone()));
        let may_change = asked.header("authorization") == Some(&format!("Bearer {TOKEN}"));
        let (status, answer) = match (asked.method.as_str(), path.strip_prefix("composes/")) {
            ("GET", Some(id)) => self.look(id),
            _ if !may_change => said(401, "No 'Authorization: Bearer ...' header provided"),
            ("POST", Some("")) => {
                let id = self.new_compose(&body);
                (200, self.find(id).unwrap())
            }
            ("PATCH", Some(id)) => self.renew(id, &body),
            ("DELETE", Some(id)) => self.delete(id),
            _ => said(404, "The requested URL was not found on the server"),
        };
        (status, answer.to_string().into_bytes())
    }

    fn find(&self, id: u64) -> Option<Value> {
        self.composes.iter().find(|compose| compose["id"] == id).cloned()
    }

    fn known(&self, id: &str) -> Option<(u64, Value)> {
        let id = id.parse().ok()?;
        Some((id, self.find(id)?))
    }

    fn set(&mut self, id: u64, key: &str, value: Value) {
        let compose = self.composes.iter_mut().find(|compose| compose["id"] == id).unwrap();
        compose[key] = value;
    }

    fn stand(&mut self, id: u64, state: &str) {
        let number = STATES.iter().position(|known| *known == state).unwrap();
        self.set(id, "state", json!(number));
        self.set(id, "state_name", json!(state));
    }

    fn new_compose(&mut self, wanted: &Value) -> u64 {
        let id = self.composes.len() as u64 + 1;
        let source = &wanted["source"];
        let listed = |value: &Value| {
            let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            words.collect::<Vec<_>>().join(" ")
        };
        let kind = SOURCES.iter().position(|kind| source["type"] == *kind).unwrap() + 1;
        let arches = if wanted["arches"].is_array() { listed(&wanted["arches"]) } else { "x86_64".to_owned() };
        let root = format!("http://{}/composes/odcs-{id}/compose/Temporary", self.address);
        self.composes.push(json!({
            "id": id, "owner": "osbs", "source_type": kind, "source": source["source"], "arches": arches,
            "sigkeys": listed(&source["sigkeys"]), "packages": listed(&source["packages"]), "flags": [], "results": [],
            "modular_koji_tags": listed(&source["modular_koji_tags"]), "koji_event": null, "koji_task_id": null,
            "state": 0, "state_name": "wait", "state_reason": null, "time_submitted": "2026-01-01T00:00:00Z",
            "time_done": null, "time_removed": null, "time_to_expire": LATER, "removed_by": null,
            "result_repo": root, "result_repofile": format!("{root}/odcs-{id}.repo"),
        }));
        id
    }

    /// The compose as it stands; it gets on afterwards.
    fn look(&mut self, id: &str) -> (u16, Value) {
        let Some((id, compose)) = self.known(id) else { return said(404, "No such compose found.") };
        let state = compose["state_name"].as_str().unwrap();
        if self.last != Some(STATES.iter().find(|known| **known == state).unwrap()) {
            match (state, self.failure.clone().filter(|(failing, _)| *failing == id)) {
                ("wait", _) => self.stand(id, "generating"),
                ("generating", Some((_, reason))) => {
                    self.stand(id, "failed");
                    self.set(id, "state_reason", json!(reason));
                }
                ("generating", None) => self.stand(id, "done"),
                _ => {}
            }
        }
        (200, compose)
    }

    fn renew(&mut self, id: &str, body: &Value) -> (u16, Value) {
        let Some((id, compose)) = self.known(id) else { return said(404, "No such compose found.") };
        let (state, keys) = (compose["state_name"].as_str().unwrap(), compose["sigkeys"].as_str().unwrap());
        let wanted: Vec<&str> = body["sigkeys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if state == "done" && wanted == words(keys) {
            self.set(id, "time_to_expire", json!(LATER));
            return (200, self.find(id).unwrap());
        }
        let source = json!({"type": SOURCES[compose["source_type"].as_u64().unwrap() as usize - 1],
            "source": compose["source"], "sigkeys": wanted, "packages": words(compose["packages"].as_str().unwrap())});
        let arches = words(compose["arches"].as_str().unwrap());
        let id = self.new_compose(&json!({"source": source, "arches": arches}));
        (200, self.find(id).unwrap())
    }

    fn delete(&mut self, id: &str) -> (u16, Value) {
        let Some((id, compose)) = self.known(id) else { return said(404, "No such compose found.") };
        match compose["state_name"].as_str().unwrap() {
            "wait" => {
                self.stand(id, "failed");
                self.set(id, "state_reason", json!("Canceled by osbs"));
                (202, json!({"message": "The compose was canceled"}))
            }
            "done" | "failed" => (202, json!({"message": "The delete request has been accepted"})),
            state => said(400, &format!("Compose (id={id}) can not be canceled or removed, its state is {state}.")),
        }
    }
}

/// An error as ODCS words it.
fn said(status: u16, message: &str) -> (u16, Value) {
    (status, json!({"error": "Error", "message": message, "status": status}))
}
