//! What the plugins that ask Koji have in common: how its errors are told, and arguments that are no texts.

use std::time::Duration;

use koji::HubError;
use pipeline::{Class, PluginError, Setup};
use serde_json::Value;

/// An error of the hub as a plugin's.
pub(crate) fn failed(error: &HubError) -> PluginError {
    let class = match error {
        HubError::NoLogin { .. } => Class::Configuration,
        HubError::Fault { .. } | HubError::Remote { .. } => Class::Remote,
    };
    PluginError::of(class, error)
}

/// An argument that is true or false; false where it is not given.
pub(crate) fn flag(setup: &Setup<'_>, name: &str) -> Result<bool, PluginError> {
    match setup.args.and_then(|args| args.get(name)) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(is)) => Ok(*is),
        Some(other) => Err(wrong(name, other, "true or false")),
    }
}

/// An argument that is a number from 0.
pub(crate) fn number(setup: &Setup<'_>, name: &str) -> Result<Option<u64>, PluginError> {
    match setup.args.and_then(|args| args.get(name)) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value.as_u64().map(Some).ok_or_else(|| wrong(name, value, "a whole number from 0")),
    }
}

/// An argument that is a number of seconds.
pub(crate) fn seconds(setup: &Setup<'_>, name: &str, usual: Duration) -> Result<Duration, PluginError> {
    Ok(number(setup, name)?.map_or(usual, Duration::from_secs))
}

fn wrong(name: &str, found: &Value, expected: &str) -> PluginError {
    PluginError::new(Class::Configuration, format!("argument {name} is {found}; it must be {expected}"))
}
