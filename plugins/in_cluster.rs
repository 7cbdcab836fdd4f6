//! What plugins that talk to the cluster's API have in common: their arguments, and what they say when it fails.

use cluster::{ClusterError, Kind};
use pipeline::{Class, PluginError, Setup};

/// Arguments of older lists that are given and have no effect: the API is the pod's, or that of the site's `openshift`.
///
/// # Errors
/// An argument that is neither `known` nor `obsolete`.
pub(crate) fn obsolete(
    setup: &Setup<'_>,
    known: &[&'static str],
    obsolete: &[&'static str],
) -> Result<Vec<&'static str>, PluginError> {
    let Some(args) = setup.args else { return Ok(Vec::new()) };
    let is_known = |key: &String| known.contains(&key.as_str()) || obsolete.contains(&key.as_str());
    if let Some(unknown) = args.keys().find(|key| !is_known(key)) {
        let help = match known {
            [] => "it has no arguments".to_owned(),
            known => format!("its arguments are {}", known.join(", ")),
        };
        let text = format!("argument {unknown}: there is none of that name");
        return Err(PluginError::new(Class::Configuration, text).help(help));
    }
    Ok(obsolete.iter().copied().filter(|name| args.contains_key(*name)).collect())
}

/// Says which arguments have no effect.
pub(crate) fn warn_of(arguments: &[&'static str]) {
    if !arguments.is_empty() {
        let arguments = arguments.join(", ");
        tracing::warn!(arguments, "arguments without effect: the API is that of the pod or of the site's `openshift`");
    }
}

/// The failure of `what`, with what to do about it.
pub(crate) fn failed(what: &str, error: &ClusterError) -> PluginError {
    let class = match error.kind() {
        Kind::Configuration => Class::Configuration,
        Kind::Service => Class::Remote,
        Kind::Cancelled => Class::Cancelled,
    };
    let said = PluginError::of(class, error);
    let text = format!("{what}: {}", said.text);
    PluginError { text, help: error.help(), ..said }
}
