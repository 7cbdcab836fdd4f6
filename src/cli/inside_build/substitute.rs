//! `--substitute A.B.C=VALUE`: other values in a build.json, as atomic-reactor has it.
//!
//! Comes in: the build.json and the options. Goes out: the changed build.json and what was not to be changed. A path
//! that begins with a list of plugins names the plugin and its argument; any other is a path of keys, made where it is
//! not there.

use serde_json::{Map, Value};

use crate::failure::{Failure, Status};

/// Most keys of a path.
const MAX_KEYS: usize = 16;

/// Makes the changes; what is said of those that change nothing comes back.
pub(super) fn substitute(json: &mut Map<String, Value>, options: &[String]) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    for option in options {
        // The value may be a secret.
        let shown = option.split_once('=').map_or(option.as_str(), |(path, _)| path);
        let usage = |why: &str| Failure::new(Status::Usage, format!("--substitute {shown}: {why}"));
        let (path, value) = option.split_once('=').ok_or_else(|| usage("expected KEY.KEY…=VALUE"))?;
        let keys: Vec<&str> = path.split('.').collect();
        if keys.contains(&"") {
            return Err(usage("a part of the path is empty"));
        }
        if keys.len() > MAX_KEYS {
            return Err(usage("the path has too many parts"));
        }
        match keys.as_slice() {
            [list, rest @ ..] if list.ends_with("_plugins") => {
                let [name, argument] = rest else { return Err(usage("expected LIST.PLUGIN.ARGUMENT=VALUE")) };
                let note = in_list(json, (list, name, argument), parsed(value)).map_err(|why| usage(&why))?;
                notes.extend(note.map(|why| format!("--substitute {shown}: {why}")));
            }
            keys => put(json, keys, parsed(value)),
        }
    }
    Ok(notes)
}

/// As atomic-reactor reads values.
fn parsed(text: &str) -> Value {
    match text.to_ascii_lowercase().as_str() {
        "true" => true.into(),
        "false" => false.into(),
        "none" => Value::Null,
        _ => text.into(),
    }
}

fn put(json: &mut Map<String, Value>, keys: &[&str], value: Value) {
    let [first, rest @ ..] = keys else { return };
    if rest.is_empty() {
        json.insert((*first).to_owned(), value);
        return;
    }
    let below = json.entry((*first).to_owned()).or_insert_with(|| Value::Object(Map::new()));
    if !below.is_object() {
        *below = Value::Object(Map::new());
    }
    if let Some(map) = below.as_object_mut() {
        put(map, rest, value);
    }
}

/// Changes an argument of a plugin that is listed once; says so where there is none.
fn in_list(
    json: &mut Map<String, Value>,
    (list, name, argument): (&str, &str, &str),
    value: Value,
) -> Result<Option<String>, String> {
    let Some(requests) = json.get_mut(list).and_then(Value::as_array_mut) else {
        return Ok(Some(format!("there is no list {list}, so nothing is changed")));
    };
    let is_it = |request: &&mut Value| request.get("name").and_then(Value::as_str) == Some(name);
    let mut found = requests.iter_mut().filter(is_it);
    let Some(request) = found.next() else {
        return Ok(Some(format!("{list} has no plugin {name}, so nothing is changed")));
    };
    if found.next().is_some() {
        return Err(format!("{list} has the plugin {name} more than once"));
    }
    let Some(request) = request.as_object_mut() else { return Ok(None) };
    put(request, &["args", argument], value);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(options: &[&str], json: Value) -> (Value, Vec<String>) {
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let mut map = json.as_object().unwrap().clone();
        let notes = substitute(&mut map, &options).unwrap();
        (Value::Object(map), notes)
    }

    #[test]
    fn a_path_of_keys_is_followed_and_made() {
        let json = json!({"image": "a", "source": {"uri": "b"}});
        let options = ["image=c=d", "source.uri=e", "source.provider_params.git_commit=f", "image_is.new=True"];
        let expected = json!({
            "image": "c=d",
            "source": {"uri": "e", "provider_params": {"git_commit": "f"}},
            "image_is": {"new": true},
        });
        assert_eq!(check(&options, json), (expected, vec![]));
    }

    #[test]
    fn an_argument_of_a_plugin_is_found_by_the_plugins_name() {
        let json = json!({"prebuild_plugins": [{"name": "a"}, {"name": "koji", "args": {"target": "x", "hub": "h"}}]});
        let expected =
            json!({"prebuild_plugins": [{"name": "a"}, {"name": "koji", "args": {"target": "y", "hub": "h"}}]});
        assert_eq!(check(&["prebuild_plugins.koji.target=y"], json.clone()), (expected, vec![]));
        let (same, notes) = check(&["prebuild_plugins.b.c=1", "exit_plugins.b.c=1"], json.clone());
        assert_eq!(same, json);
        let expected = [
            "--substitute prebuild_plugins.b.c: prebuild_plugins has no plugin b, so nothing is changed",
            "--substitute exit_plugins.b.c: there is no list exit_plugins, so nothing is changed",
        ];
        assert_eq!(notes, expected);
    }

    #[test]
    fn what_is_no_substitution_is_refused() {
        for (option, why) in [
            ("image", "expected KEY.KEY…=VALUE"),
            ("a..b=c", "a part of the path is empty"),
            ("prebuild_plugins.koji=1", "expected LIST.PLUGIN.ARGUMENT=VALUE"),
            ("exit_plugins.a.b=1", "exit_plugins has the plugin a more than once"),
        ] {
            let mut json = json!({"exit_plugins": [{"name": "a"}, {"name": "a"}]}).as_object().unwrap().clone();
            let failure = substitute(&mut json, &[option.to_owned()]).unwrap_err();
            let path = option.split('=').next().unwrap();
            assert_eq!(failure.text, format!("--substitute {path}: {why}"));
        }
    }
}
