//! JSON from elsewhere, read with the path of every value, so that a complaint names it.
//!
//! Comes in: a value. Goes out: texts, flags and maps, or a [`WrongField`]. It never shows a value: it may be a secret.

use std::collections::BTreeMap;

use serde_json::Value;

/// A value of another kind than it must be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}, found {found}")]
pub struct WrongField {
    /// Where it is: keys with dots between, items with their number in brackets.
    pub path: String,
    /// What it must be.
    pub expected: &'static str,
    /// What kind of thing it is.
    pub found: &'static str,
}

/// A value and its path. What is absent and what is null are the same: nothing.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    path: String,
    value: Option<&'a Value>,
}

impl<'a> Field<'a> {
    /// The whole of it.
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { path: String::new(), value: Some(value).filter(|value| !value.is_null()) }
    }

    /// The value of `key`; of nothing it is nothing.
    pub(crate) fn at(&self, key: &str) -> Result<Self, WrongField> {
        let path = if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let value = match self.value {
            None => None,
            Some(Value::Object(map)) => map.get(key).filter(|value| !value.is_null()),
            Some(_) => return Err(self.wrong("an object")),
        };
        Ok(Self { path, value })
    }

    /// Down several keys.
    pub(crate) fn down(&self, keys: &[&str]) -> Result<Self, WrongField> {
        keys.iter().try_fold(self.clone(), |field, key| field.at(key))
    }

    /// A text; one that is empty is none, as Kubernetes has it.
    pub(crate) fn text(&self) -> Result<Option<String>, WrongField> {
        match self.value {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.wrong("a text")),
        }
    }

    /// A text that must be there.
    pub(crate) fn needed_text(&self) -> Result<String, WrongField> {
        self.text()?.ok_or_else(|| self.wrong("a text"))
    }

    /// Whether it says true.
    pub(crate) fn flag(&self) -> Result<bool, WrongField> {
        match self.value {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong("true or false")),
        }
    }

    /// The items of a list; nothing is an empty one.
    pub(crate) fn items(&self) -> Result<Vec<Self>, WrongField> {
        let items = match self.value {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.wrong("a list")),
        };
        let item = |(index, value)| Self { path: format!("{}[{index}]", self.path), ..Self::root(value) };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// An object whose values are texts.
    pub(crate) fn texts(&self) -> Result<BTreeMap<String, String>, WrongField> {
        let map = match self.value {
            None => return Ok(BTreeMap::new()),
            Some(Value::Object(map)) => map,
            Some(_) => return Err(self.wrong("an object")),
        };
        map.keys().map(|key| Ok((key.clone(), self.at(key)?.text()?.unwrap_or_default()))).collect()
    }

    /// Whether there is something.
    pub(crate) fn is_there(&self) -> bool {
        self.value.is_some()
    }

    pub(crate) fn wrong(&self, expected: &'static str) -> WrongField {
        let found = match self.value {
            None => "nothing",
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "true or false",
            Some(Value::Number(_)) => "a number",
            Some(Value::String(text)) if text.is_empty() => "an empty text",
            Some(Value::String(_)) => "a text",
            Some(Value::Array(_)) => "a list",
            Some(Value::Object(_)) => "an object",
        };
        let path = if self.path.is_empty() { "the object".to_owned() } else { self.path.clone() };
        WrongField { path, expected, found }
    }
}
