//! The plugin's arguments, as lists of all generations have them.

use pipeline::{Class, PluginError};
use serde_json::{Map, Value};

use super::AUTOMATIC;
use crate::labels::{ALIASES, Labels};

/// Labels with which a Dockerfile has the last word where nobody says otherwise.
const OF_THE_DOCKERFILE: [&str; 2] = ["distribution-scope", "com.redhat.license_terms"];

/// What the plugin's arguments say.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// `labels`, and the release that is demanded.
    pub(super) labels: Labels,
    /// `auto_labels`: the labels known of a build that are wanted.
    pub(super) automatic: Vec<String>,
    /// `aliases`: old name and new name.
    pub(super) aliases: Vec<(String, String)>,
    /// `equal_labels`, for a site that says nothing.
    pub(super) equal: Vec<Vec<String>>,
    /// `info_url_format` likewise.
    pub(super) url_format: Option<String>,
    /// `dont_overwrite_if_in_dockerfile`.
    pub(super) of_the_dockerfile: Vec<String>,
    /// `dont_overwrite`.
    pub(super) of_the_parent: Vec<String>,
}

impl Options {
    /// Reads the arguments; `release` is the one that the build system demands.
    pub(crate) fn read(args: Option<&Map<String, Value>>, release: Option<&str>) -> Result<Self, PluginError> {
        let given = |name: &str| args.and_then(|args| args.get(name)).filter(|value| !value.is_null());
        // An argument that is said to be nothing is not one that is not said.
        let is_none = |name: &str| args.is_some_and(|args| args.get(name).is_some_and(Value::is_null));
        let mut labels: Labels =
            release.map(|release| ("release".to_owned(), release.to_owned())).into_iter().collect();
        if let Some(value) = given("labels") {
            labels.extend(texts_by_name("labels", value)?);
        }
        let list = |name: &'static str, usual: &[&str]| match given(name) {
            None => Ok(usual.iter().map(|text| (*text).to_owned()).collect()),
            Some(value) => list(value).ok_or_else(|| wrong(name, value, "a list of texts")),
        };
        let aliases: Vec<_> = match given("aliases") {
            Some(value) => texts_by_name("aliases", value)?.into_iter().collect(),
            None => Vec::new(),
        };
        // The reference takes an empty map for none.
        let aliases = if aliases.is_empty() { usual_aliases() } else { aliases };
        let equal = given("equal_labels").map_or(Ok(Vec::new()), |value| {
            let groups = value.as_array().and_then(|groups| groups.iter().map(self::list).collect());
            groups.ok_or_else(|| wrong("equal_labels", value, "a list of lists of texts"))
        });
        let url_format = given("info_url_format")
            .map(|value| value.as_str().map(str::to_owned).ok_or_else(|| wrong("info_url_format", value, "a text")));
        Ok(Self {
            labels,
            automatic: if is_none("auto_labels") { Vec::new() } else { list("auto_labels", &AUTOMATIC)? },
            aliases,
            equal: equal?,
            url_format: url_format.transpose()?,
            of_the_dockerfile: list("dont_overwrite_if_in_dockerfile", &OF_THE_DOCKERFILE)?,
            of_the_parent: list("dont_overwrite", &[])?,
        })
    }
}

fn usual_aliases() -> Vec<(String, String)> {
    ALIASES.map(|(new, old)| (old.to_owned(), new.to_owned())).to_vec()
}

fn wrong(name: &str, found: &Value, expected: &str) -> PluginError {
    PluginError::new(Class::Configuration, format!("argument {name} is {found}; it must be {expected}"))
}

fn list(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A map of texts, or the JSON of one.
fn texts_by_name(argument: &str, value: &Value) -> Result<Labels, PluginError> {
    let parsed = match value {
        Value::String(text) => serde_json::from_str(text).ok(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(value.clone()),
    };
    let Some(Value::Object(map)) = parsed else { return Err(wrong(argument, value, "a map of texts, or its JSON")) };
    let text = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        Value::Number(_) | Value::Bool(_) => Ok((name, value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            let text = format!("argument {argument} has {value} for {name}; it must be a text");
            Err(PluginError::new(Class::Configuration, text))
        }
    };
    map.into_iter().map(text).collect()
}
