//! Labels and names.

use std::collections::{BTreeMap, BTreeSet};

use plugins::decisions;
use plugins::decisions::publish::{self, Before, Known, Task, Texts};
use serde_json::{Map, Value, json};

use super::{Outcome, failed, map, site, text};

/// Texts by name: a map, or a list of `NAME=VALUE`.
pub(super) fn texts(value: &Value) -> Texts {
    let Some(list) = value.as_array() else { return map(value) };
    let pairs = list.iter().filter_map(|one| one.as_str()?.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(super) fn labels(input: &Value, context: &Value) -> Outcome {
    let dockerfile = text(input, "dockerfile").unwrap();
    let site = decisions::site(&site(&input["config"], context, &BTreeSet::new())).map_err(failed)?;
    let uri = text(context, "vcs").and_then(|vcs| vcs.split(' ').nth(1)).map(str::to_owned);
    let known = Known {
        platform: text(input, "arch").unwrap().to_owned(),
        epoch: text(input, "build_start").map_or(0, seconds),
        commit: text(input, "vcs_ref").map(str::to_owned),
        uri,
    };
    let mut args = input["plugin_args"].as_object().cloned().unwrap_or_default();
    let explicit = &input["explicit_labels"];
    if explicit.is_string() || explicit.as_object().is_some_and(|explicit| !explicit.is_empty()) {
        args.insert("labels".to_owned(), explicit.clone());
    }
    let (parent, written) =
        publish::labels(dockerfile, &texts(&input["base_labels"]), &texts(&input["base_env"])).map_err(failed)?;
    let before = Before { parent: parent.clone(), written: written.clone(), ..Before::default() };
    let (added, made) = publish::with_labels(dockerfile, &site, (&known, &args), before).map_err(failed)?;
    let mut effective = parent;
    effective.extend(written);
    effective.extend(added);
    let made = match release_env(input) {
        Some(variable) => publish::with_release_env(&made, variable, &effective).map_err(failed)?,
        None => made,
    };
    Ok(json!({ "dockerfile": made, "effective_labels": effective }))
}

/// The variable that gets the release, as container.yaml names it, or a case itself.
fn release_env(input: &Value) -> Option<&str> {
    let yaml = ["container_yaml", "container_config", "source_config", "config"].map(|name| &input[name]);
    let names = ["set_release_env", "release_env_var", "release_env"];
    let places = yaml.into_iter().chain([input, &input["plugin_args"]]);
    places.flat_map(|place| names.map(|name| text(place, name))).flatten().next()
}

/// A time of the cases, which is in UTC, in seconds since 1970.
fn seconds(text: &str) -> u64 {
    let numbers: Vec<u64> = text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = |year, month| match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let years: u64 = (1970..numbers[0]).map(|year| 365 + u64::from(is_leap(year))).sum();
    let months: u64 = (1..numbers[1]).map(|month| length(numbers[0], month)).sum();
    let days = years + months + numbers[2] - 1;
    ((days * 24 + numbers[3]) * 60 + numbers[4]) * 60 + numbers[5]
}

/// The same with the time zone that the reference leaves out of `build-date`, where ours has it.
pub(super) fn zoned(dockerfile: &Value) -> Value {
    const KEY: &str = "\"build-date\"=\"";
    let zoned = |text: &str| {
        let Some(start) = text.find(KEY).map(|start| start + KEY.len()) else { return text.to_owned() };
        let (before, rest) = text.split_at(start);
        let Some((date, after)) = rest.split_once('"') else { return text.to_owned() };
        format!("{before}{}\"{after}", with_zone(date))
    };
    match dockerfile {
        Value::String(text) => zoned(text).into(),
        Value::Array(lines) => lines.iter().map(|line| zoned(line.as_str().unwrap())).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => dockerfile.clone(),
    }
}

fn with_zone(date: &str) -> String {
    let date = date.split('.').next().unwrap_or_default().trim_end_matches('Z');
    format!("{date}Z")
}

/// Whether labels are the same but for the time zone, and for backslashes: the parser of the reference reads the two
/// that stand for one in a Dockerfile as two.
pub(super) fn same_labels(found: &Value, wanted: &Value) -> bool {
    let zoned = |labels: &Value| {
        let mut labels = labels.as_object().cloned().unwrap_or_default();
        for value in labels.values_mut() {
            *value = value.as_str().unwrap_or_default().replace(r"\\", r"\").into();
        }
        if let Some(Value::String(date)) = labels.get_mut("build-date") {
            *date = with_zone(date);
        }
        labels
    };
    zoned(found) == zoned(wanted)
}

pub(super) fn tags(input: &Value, context: &Value) -> Outcome {
    let params = &input["user_params"];
    let site = decisions::site(&site(&input["config"], context, &BTreeSet::new())).map_err(failed)?;
    let tag = text(params, "image_tag").or(text(input, "image_tag"));
    let more = params["additional_tags"].as_array().into_iter().flatten();
    let task = Task {
        image_tag: tag.map(str::to_owned),
        additional_tags: more.filter_map(Value::as_str).map(str::to_owned).collect(),
        tags_from_yaml: params["tags_from_yaml"] == true,
        is_scratch: params["scratch"] == true,
        is_isolated: params["isolated"] == true,
        ..Task::default()
    };
    let mut args = Map::new();
    for name in ["tag_suffixes", "unique_tag_only"] {
        let given = [input, &input["plugin_args"], params].into_iter().find_map(|place| place.get(name));
        args.extend(given.map(|value| (name.to_owned(), value.clone())));
    }
    let labels: BTreeMap<String, String> = map(&input["labels"]);
    let made = publish::tags(&site, &labels, &task, Some(&args)).map_err(failed)?;
    let list = |list: &[_]| list.iter().map(ToString::to_string).collect::<Vec<String>>();
    if input.get("user_params").is_none() {
        return Ok(older(&list(&made.unique), list(&made.primary).into_iter().chain(list(&made.floating))));
    }
    Ok(json!({ "unique": list(&made.unique), "primary": list(&made.primary), "floating": list(&made.floating) }))
}

/// The names as the oldest generation has them: without a registry, and all but the unique ones are primary, `latest` last.
fn older(unique: &[String], others: impl Iterator<Item = String>) -> Value {
    let short = |name: &str| name.split_once('/').map_or(name, |(_, rest)| rest).to_owned();
    let mut primary: Vec<String> = others.map(|name| short(&name)).collect();
    primary.sort_by_key(|name| (name.ends_with(":latest"), std::cmp::Reverse(name.len())));
    json!({ "unique": unique.iter().map(|name| short(name)).collect::<Vec<_>>(), "primary": primary })
}
