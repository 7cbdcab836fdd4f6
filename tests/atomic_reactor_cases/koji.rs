//! The areas that ask Koji, or speak of what Koji knows: releases, signing intents, components.

use std::collections::BTreeMap;

use plugins::decisions;
use plugins::decisions::koji::{self as decided, BuildInfo, BuildObject, BuildState, Scripted, Task};
use serde_json::{Value, json};

use super::{Outcome, failed, text};

/// The number that the cases' hub gives to a reservation, and the build that its search finds.
const RESERVED: u64 = 9;
const NEWEST: u64 = 5;

/// The builds of the cases' hub: releases with their states, or releases alone.
fn builds(input: &Value) -> Vec<BuildInfo> {
    let dockerfile = text(input, "dockerfile").unwrap();
    let none = BTreeMap::new();
    let (_, labels) = decisions::publish::labels(dockerfile, &none, &none).unwrap();
    let label = |new: &str, old: &str| labels.get(new).or_else(|| labels.get(old)).cloned().unwrap_or_default();
    let (name, version) = (label("com.redhat.component", "BZComponent"), label("version", "Version"));
    let build = |id: u64, release: &str, state: BuildState| BuildInfo {
        id,
        nvr: format!("{name}-{version}-{release}"),
        state,
        extra: None,
    };
    let with_states = input["koji_builds"].as_object().into_iter().flatten();
    let state = |state: &Value| match state.as_str() {
        Some("BUILDING") => BuildState::Building,
        Some("DELETED") => BuildState::Deleted,
        Some("FAILED") => BuildState::Failed,
        Some("CANCELED") => BuildState::Canceled,
        _ => BuildState::Complete,
    };
    let mut builds: Vec<BuildInfo> = with_states.map(|(release, word)| build(100, release, state(word))).collect();
    let alone = input["existing_releases"].as_array().into_iter().flatten().filter_map(Value::as_str);
    builds.extend(alone.map(|release| build(100, release, BuildState::Complete)));
    // The build that the search finds, which is asked for by its number alone.
    if input["getNextRelease"].is_null() {
        builds.push(build(NEWEST, "8", BuildState::Complete));
    }
    builds
}

fn task(input: &Value, context: &Value) -> Task {
    let parameters = &input["user_params"];
    let build =
        text(context, "pipeline_run").map(|name| BuildObject { name: name.to_owned(), ..BuildObject::default() });
    Task {
        is_scratch: parameters["scratch"] == true,
        is_isolated: parameters["isolated"] == true,
        release: text(parameters, "release").map(str::to_owned),
        build,
        ..Task::default()
    }
}

pub(super) fn release_bump(input: &Value, context: &Value) -> Outcome {
    let hub = Scripted {
        builds: builds(input),
        next_release: text(input, "getNextRelease").map(str::to_owned),
        newest: Some(NEWEST),
        reserves: RESERVED,
        ..Scripted::default()
    };
    let generator = (input["reserve_build"] == true).then_some("atomic-reactor");
    let rules = (input["append"] == true, generator);
    let made = decided::bumped(text(input, "dockerfile").unwrap(), &task(input, context), rules, &hub);
    let made = match made.map_err(failed) {
        Ok(made) => made,
        // What was asked before it failed is compared too.
        Err(kind) => return Ok(json!({ "error": kind, "hub_calls": hub.calls() })),
    };
    let reserved = made.reserved_build_id;
    Ok(json!({ "hub_calls": hub.calls(), "dockerfile": made.dockerfile, "reserved_build_id": reserved }))
}

/// A site with intents written as `name[KEY,…; deprecated KEY,…] > …`, the most restrictive first.
fn intents(text: &str) -> String {
    let list = |text: &str| text.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect();
    let intent = |text: &str| {
        let (name, keys) = text.trim().trim_end_matches(']').split_once('[').unwrap();
        let (keys, deprecated) = keys.split_once(';').unwrap_or((keys, ""));
        let (keys, deprecated): (Vec<String>, Vec<String>) =
            (list(keys), list(deprecated.trim().strip_prefix("deprecated").unwrap_or_default()));
        json!({ "name": name, "keys": keys, "deprecated_keys": deprecated })
    };
    let intents: Vec<Value> = text.split('>').map(intent).collect();
    let usual = intents.first().unwrap()["name"].clone();
    json!({ "odcs": {
        "api_url": "https://odcs.example/odcs/1",
        "auth": {},
        "signing_intents": intents,
        "default_signing_intent": usual,
    } })
    .to_string()
}

pub(super) fn signing_intent(input: &Value) -> Outcome {
    let site = decisions::site(&intents(text(input, "intents").unwrap())).map_err(failed)?;
    // A list, or a text with spaces between the keys, as ODCS has it.
    let listed = || input["keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let keys: Vec<&str> = text(input, "keys").map_or_else(listed, |keys| keys.split_whitespace().collect());
    let keys: Vec<String> = keys.into_iter().map(str::to_owned).collect();
    decided::signing_intent(&site, &keys).map(|name| json!({ "intent": name })).map_err(failed)
}

pub(super) fn compare_components(input: &Value, context: &Value) -> Outcome {
    let site = decisions::site(&input["config"].to_string()).map_err(failed)?;
    let lists: Vec<Value> = input["components"].as_object().unwrap().values().cloned().collect();
    decided::compared(&lists, &task(input, context), &site).map(|()| json!({ "ok": true })).map_err(failed)
}

pub(super) fn rpm_components(input: &Value) -> Outcome {
    if input["query_format"] == true {
        let (tags, separator) = decided::query();
        return Ok(json!({ "query_tags_in_order": tags, "separator": separator }));
    }
    let rows: Vec<&str> = input["rpm_qf_lines"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    decided::components(&rows).map(|components| json!({ "components": components })).map_err(failed)
}
