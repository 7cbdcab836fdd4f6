//! The site's configuration of a build pod: `REACTOR_CONFIG`, a mounted file, or what lists of plugins say.
//!
//! Comes in: the option, the environment, the user parameters, the lists. Goes out: a [`Configuration`] with the lists
//! in it. The option counts before `reactor_config_override`, that before `REACTOR_CONFIG`, that before the argument
//! of the plugin `reactor_config`.

use std::path::{Path, PathBuf};

use pipeline::UserParams;
use pipeline::site::Site;
use serde_json::{Map, Value};

use super::derive::Derived;
use super::lists::{self, Lists};
use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::inputs;
use crate::site::{self, Configuration};

/// The file in a directory with a configuration.
pub(super) const FILE: &str = "config.yaml";
const VARIABLE: &str = "REACTOR_CONFIG";
/// Bytes of the largest configuration that anything is added to; a larger one is refused as it is.
const MAX_MERGED: usize = 1 << 20;

/// A configuration as it was found.
struct Text {
    name: PathBuf,
    bytes: Vec<u8>,
}

/// Reads the configuration, completes it with what the lists say, and puts the lists in.
pub(super) fn read(
    file: Option<&Path>,
    (environment, user): (&Environment, &UserParams),
    lists: &mut Lists,
    derived: &Derived,
) -> Result<Configuration, Failure> {
    let named = lists.take_config();
    let found = find(file, environment, user, named)?;
    let mut configuration = match found {
        Some(text) => completed(text, &derived.keys)?,
        None if lists.is_empty() => Configuration::default(),
        None => alone(lists, derived)?,
    };
    derived.take(lists);
    let (plugins, notes) = lists.parse()?;
    configuration.site.plugins = lists::merge(configuration.site.plugins, plugins);
    configuration.notes.extend(notes);
    Ok(configuration)
}

/// What the lists say where there is nothing else: the keys their arguments stand for.
fn alone(lists: &Lists, derived: &Derived) -> Result<Configuration, Failure> {
    let keys = Value::Object(derived.keys.clone()).to_string();
    // A mistake is shown in these keys, which nobody wrote.
    let place = format!("arguments in {} as keys", lists.name());
    let configuration = site::parse(Path::new(&place), keys.into_bytes())?;
    // Whoever compares two builds by the configuration's digest compares the lists.
    Ok(Configuration { bytes: lists.text().into_bytes(), path: Some(lists.name().to_owned()), ..configuration })
}

fn find(
    file: Option<&Path>,
    environment: &Environment,
    user: &UserParams,
    named: Option<PathBuf>,
) -> Result<Option<Text>, Failure> {
    if let Some(path) = file {
        return file_at(path).map(Some);
    }
    if let Some(map) = &user.config_override {
        let bytes = Value::Object(map.clone()).to_string().into_bytes();
        return Ok(Some(Text { name: "reactor_config_override".into(), bytes }));
    }
    match (environment.get(VARIABLE), named, &user.config_map) {
        (Some(text), _, _) if is_path(text) => file_at(Path::new(text)).map(Some),
        (Some(text), _, _) => Ok(Some(Text { name: VARIABLE.into(), bytes: text.as_bytes().to_vec() })),
        (None, Some(path), _) => file_at(&path).map(Some),
        (None, None, Some(name)) => {
            let text = format!(
                "USER_PARAMS: reactor_config_map is {name}, and {VARIABLE} is not set: reading a ConfigMap needs the \
                 cluster's API"
            );
            Err(Failure::new(Status::Usage, text).help("set REACTOR_CONFIG from the map's key, as osbs-client does"))
        }
        (None, None, None) => Ok(None),
    }
}

/// Whether a text is the path of a configuration: a YAML map has a colon or a second line.
fn is_path(text: &str) -> bool {
    let text = text.trim();
    !text.contains('\n') && !text.starts_with('{') && (text.starts_with('/') || !text.contains(':'))
}

/// A file, or the one in a directory.
fn file_at(path: &Path) -> Result<Text, Failure> {
    let name = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
    Ok(Text { bytes: inputs::read(&name, "the site's configuration")?, name })
}

/// The configuration with those of `keys` that it does not have.
fn completed(text: Text, keys: &Map<String, Value>) -> Result<Configuration, Failure> {
    if keys.is_empty() || text.bytes.len() > MAX_MERGED {
        return site::parse(&text.name, text.bytes);
    }
    let written = String::from_utf8_lossy(&text.bytes).into_owned();
    let (said, new): (Vec<_>, Vec<_>) = keys.iter().partition(|(key, _)| is_said_in(&written, key));
    let not_used = |key: &str, why: &str| format!("arguments of plugins that stand for {key} are not used: {why}");
    let mut notes: Vec<String> = said.iter().map(|(key, _)| not_used(key, "the configuration says it")).collect();
    let merged = with_more(&written, &new).into_bytes();
    let mut configuration = if new.is_empty() || Site::parse(&text.name, &merged).is_err() {
        notes.extend(new.iter().map(|(key, _)| not_used(key, "the configuration cannot be added to")));
        site::parse(&text.name, text.bytes)?
    } else {
        site::parse(&text.name, merged)?
    };
    configuration.notes.append(&mut notes);
    Ok(configuration)
}

/// A YAML map, or a JSON object, with more keys at its end.
fn with_more(text: &str, new: &[(&String, &Value)]) -> String {
    if let Ok(Value::Object(mut map)) = serde_json::from_str(text) {
        map.extend(new.iter().map(|(key, value)| ((*key).clone(), (*value).clone())));
        return Value::Object(map).to_string();
    }
    let mut merged = text.to_owned();
    if !merged.is_empty() && !merged.ends_with('\n') {
        merged.push('\n');
    }
    for (key, value) in new {
        merged.push_str(&format!("{key}: {value}\n"));
    }
    merged
}

/// Whether the text of a configuration has `key` as one of its own.
fn is_said_in(text: &str, key: &str) -> bool {
    if let Ok(Value::Object(map)) = serde_json::from_str(text) {
        return is_said(key, &|name| map.contains_key(name));
    }
    is_said(key, &|name| {
        text.lines().any(|line| {
            let line = line.strip_prefix(['"', '\'']).unwrap_or(line);
            let rest = line.strip_prefix(name).map(|rest| rest.trim_start_matches(['"', '\'']).trim_start());
            rest.is_some_and(|rest| rest.starts_with(':'))
        })
    })
}

/// Whether the configuration says what `key` says, under that name or another.
fn is_said(key: &str, has: &dyn Fn(&str) -> bool) -> bool {
    let other = match key {
        "registries" => "registry",
        "source_registry" => "source_registries",
        _ => key,
    };
    has(key) || has(other)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::derive;
    use super::*;

    fn read_of(variables: &[(&str, &str)], lists: Value) -> Result<Configuration, Failure> {
        let mut lists = Lists::new("ATOMIC_REACTOR_PLUGINS", lists.as_object().unwrap().clone());
        let derived = derive::derive(&lists);
        read(None, (&Environment::of(variables), &UserParams::default()), &mut lists, &derived)
    }

    #[test]
    fn a_text_a_file_and_a_directory_are_configurations() {
        let text = "version: 1\nimage_labels: {vendor: v}\n";
        let vendor = |value: &str| {
            let configuration = read_of(&[("REACTOR_CONFIG", value)], json!({})).unwrap();
            (configuration.site.image_labels.get("vendor").cloned(), configuration.path)
        };
        let labelled = Some("v".to_owned());
        assert_eq!(vendor(text), (labelled.clone(), Some("REACTOR_CONFIG".to_owned())));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, text).unwrap();
        let shown = file.display().to_string();
        assert_eq!(vendor(&shown), (labelled.clone(), Some(shown.clone())));
        assert_eq!(vendor(folder.path().to_str().unwrap()), (labelled.clone(), Some(shown)));
        let args = json!({"config_path": folder.path()});
        let lists = json!({"prebuild_plugins": [{"name": "reactor_config", "args": args}]});
        assert_eq!(read_of(&[], lists.clone()).unwrap().site.image_labels.get("vendor").cloned(), labelled);
        let other = [("REACTOR_CONFIG", "image_labels: {vendor: w}")];
        assert_eq!(read_of(&other, lists).unwrap().site.image_labels["vendor"], "w");
        assert_eq!(read_of(&[], json!({})).unwrap().path, None);
    }

    #[test]
    fn lists_of_the_request_replace_those_of_the_site() {
        let config = [("REACTOR_CONFIG", "plugins: {exit: [{name: a}], publish: [{name: b}]}")];
        let plugins = read_of(&config, json!({"exit_plugins": [{"name": "c"}]})).unwrap().site.plugins;
        let names = |list: Option<Vec<pipeline::site::PluginRequest>>| {
            list.unwrap().into_iter().map(|one| one.name).collect::<Vec<_>>()
        };
        assert_eq!((names(plugins.exit), names(plugins.publish)), (vec!["c".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn arguments_say_what_the_configuration_does_not() {
        let lists = json!({"prebuild_plugins": [
            {"name": "pull_base_image", "args": {"parent_registry": "in.example"}},
            {"name": "add_labels_in_dockerfile", "args": {"labels": {"vendor": "args"}}},
        ]});
        for config in
            ["version: 1\nimage_labels:\n  vendor: map", r#"{"version": 1, "image_labels": {"vendor": "map"}}"#]
        {
            let Configuration { site, notes, .. } = read_of(&[("REACTOR_CONFIG", config)], lists.clone()).unwrap();
            let said = "arguments of plugins that stand for image_labels are not used: the configuration says it";
            assert_eq!(notes, [said], "{config}");
            assert_eq!(site.image_labels["vendor"], "map", "{config}");
            assert_eq!(site.source_registry.unwrap().url.host(), "in.example", "{config}");
        }
        let alone = read_of(&[], lists.clone()).unwrap();
        assert_eq!(alone.path.as_deref(), Some("ATOMIC_REACTOR_PLUGINS"));
        assert_eq!(alone.site.image_labels["vendor"], "args");
        let flow = read_of(&[("REACTOR_CONFIG", "{version: 1, image_labels: {vendor: flow}}")], lists).unwrap();
        assert_eq!(flow.site.image_labels["vendor"], "flow");
        assert!(
            flow.notes.iter().any(|note| note.contains("stand for source_registry are not used")),
            "{:?}",
            flow.notes
        );
    }

    #[test]
    fn a_config_map_that_nobody_mounted_is_refused_by_name() {
        let user = UserParams { config_map: Some("reactor-config".to_owned()), ..UserParams::default() };
        let mut lists = Lists::new("x", Map::new());
        let failure = read(None, (&Environment::of(&[]), &user), &mut lists, &Derived::default()).unwrap_err();
        assert!(failure.text.contains("reactor_config_map is reactor-config"), "{}", failure.text);
    }
}
