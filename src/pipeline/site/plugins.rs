//! Which plugins take part, and with what arguments.
//!
//! Our spelling is one map (`plugins: {prebuild: […]}`), atomic-reactor's one key a phase (`prebuild_plugins`). A phase
//! has one list: both spellings of it at once are an error.

use std::fmt::{self, Debug, Formatter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::error::{Fault, Note};
use super::fields::{Fields, Item};
use super::scalar::{self, without_login};

/// The plugins of each phase. No list: the phase's usual plugins. An empty list: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plugins {
    /// Before there is a plan.
    pub source: Option<Vec<PluginRequest>>,
    /// `prebuild_plugins`.
    pub prebuild: Option<Vec<PluginRequest>>,
    /// `buildstep_plugins`.
    pub build: Option<Vec<PluginRequest>>,
    /// `prepublish_plugins`.
    pub prepublish: Option<Vec<PluginRequest>>,
    /// `postbuild_plugins`.
    pub postbuild: Option<Vec<PluginRequest>>,
    /// After the gate.
    pub publish: Option<Vec<PluginRequest>>,
    /// `exit_plugins`.
    pub exit: Option<Vec<PluginRequest>>,
    /// The directory with programs that are plugins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// How long one of these programs may take; none leaves it to its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// One plugin that is to act.
#[derive(Clone, PartialEq)]
pub struct PluginRequest {
    /// Its key.
    pub name: String,
    /// Its arguments. `Debug` and JSON show `***` for what is named like a secret.
    pub args: Map<String, Value>,
    /// Whether it is an error that no such plugin exists.
    pub required: bool,
    /// Whether the build goes on when it fails; none leaves it to the plugin.
    pub is_allowed_to_fail: Option<bool>,
    /// How long it may take, if it is a program of the site's.
    pub timeout: Option<Duration>,
    /// Where it stands in the file, from 1.
    pub line: usize,
}

impl Plugins {
    /// Every plugin that a list names, in the order of the phases.
    pub fn listed(&self) -> impl Iterator<Item = &PluginRequest> {
        let lists =
            [&self.source, &self.prebuild, &self.build, &self.prepublish, &self.postbuild, &self.publish, &self.exit];
        lists.into_iter().flatten().flatten()
    }

    pub(super) fn read(top: &mut Fields<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<Self, Fault> {
        let mut plugins = Self::default();
        if let Some(item) = top.take("plugins") {
            let mut fields = item.fields()?;
            for (key, list) in plugins.ours() {
                *list = fields.read(key, |item| item.each(|one| PluginRequest::read(one, None)))?;
            }
            plugins.directory = fields.read("directory", |item| scalar::path(item, base))?;
            plugins.timeout = fields.read("timeout", scalar::duration)?;
            fields.refuse_rest()?;
        }
        for (key, list) in plugins.theirs() {
            let Some(item) = top.take(key) else { continue };
            if list.is_some() {
                return Err(item.fault("this phase has a list below plugins already"));
            }
            let mut requests = Vec::new();
            for one in item.list()? {
                requests.push(PluginRequest::read(&one, Some(notes))?);
            }
            *list = Some(requests);
        }
        Ok(plugins)
    }

    fn ours(&mut self) -> [(&'static str, &mut Option<Vec<PluginRequest>>); 7] {
        [
            ("source", &mut self.source),
            ("prebuild", &mut self.prebuild),
            ("build", &mut self.build),
            ("prepublish", &mut self.prepublish),
            ("postbuild", &mut self.postbuild),
            ("publish", &mut self.publish),
            ("exit", &mut self.exit),
        ]
    }

    fn theirs(&mut self) -> [(&'static str, &mut Option<Vec<PluginRequest>>); 5] {
        [
            ("prebuild_plugins", &mut self.prebuild),
            ("buildstep_plugins", &mut self.build),
            ("prepublish_plugins", &mut self.prepublish),
            ("postbuild_plugins", &mut self.postbuild),
            ("exit_plugins", &mut self.exit),
        ]
    }
}

impl PluginRequest {
    /// Unknown keys go to `notes` where the list is the reference's, and are errors where it is ours.
    fn read(item: &Item<'_>, notes: Option<&mut Vec<Note>>) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let name = fields.need("name")?.text()?.to_owned();
        let args = fields.read("args", arguments)?.unwrap_or_default();
        let required = fields.read("required", Item::boolean)?.unwrap_or(true);
        let is_allowed_to_fail = fields.read("is_allowed_to_fail", Item::boolean)?;
        let timeout = fields.read("timeout", scalar::duration)?;
        match notes {
            Some(notes) => fields.note_rest(notes),
            None => fields.refuse_rest()?,
        }
        Ok(Self { name, args, required, is_allowed_to_fail, timeout, line: item.place.line })
    }

    pub(crate) fn shown_args(&self) -> Value {
        redacted(&Value::Object(self.args.clone()))
    }
}

fn arguments(item: &Item<'_>) -> Result<Map<String, Value>, Fault> {
    if let Value::Object(args) = item.json()? { Ok(args) } else { Err(item.expected("a map of arguments")) }
}

/// `value` with `***` for whatever is named like a secret, and for logins in URLs. A path to a secret is none.
fn redacted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let shown = |(key, value): (&String, &Value)| {
                let value = if is_secret(key) { "***".into() } else { redacted(value) };
                (key.clone(), value)
            };
            Value::Object(map.iter().map(shown).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(redacted).collect()),
        Value::String(text) => without_login(text).into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let words = ["password", "passwd", "passphrase", "token", "secret", "credential"];
    words.iter().any(|word| key.contains(word)) && !["_path", "_file", "_dir"].iter().any(|end| key.ends_with(end))
}

impl Debug for PluginRequest {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PluginRequest")
            .field("name", &self.name)
            .field("args", &self.shown_args())
            .field("required", &self.required)
            .field("is_allowed_to_fail", &self.is_allowed_to_fail)
            .field("timeout", &self.timeout)
            .field("line", &self.line)
            .finish()
    }
}

impl Serialize for PluginRequest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut shown = serde_json::json!({
            "name": self.name,
            "args": self.shown_args(),
            "required": self.required,
            "is_allowed_to_fail": self.is_allowed_to_fail,
        });
        if let (Some(timeout), Some(shown)) = (self.timeout, shown.as_object_mut()) {
            shown.insert("timeout".to_owned(), timeout.as_secs().into());
        }
        shown.serialize(serializer)
    }
}
