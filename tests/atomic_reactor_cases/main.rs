//! What atomic-reactor does with given inputs, and whether the code that our pipeline runs does the same.
//!
//! Reads the cases of the file that `STRATUM_CASES` names, else of `../shared/cases/atomic-reactor.json`; skips aloud
//! where there is none. Prints a line for each case and a total. The areas of [`HELD`] must hold: what `expected` says
//! for the verdict `match`, what `recommended` says for `improve`; in other areas a case that fails is only printed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test prints, reads the environment and stops at the first surprise"
)]

mod files;
mod injected;
mod koji;
mod publish;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use plugins::decisions;
use serde_json::{Value, json};

/// The areas that must hold; the others are those of plugins that are not complete yet.
const HELD: &[&str] = &[
    "from_rewrite",
    "image_reference",
    "build_args",
    "yum_repos",
    "yum_repo_filename",
    "yum_repo_proxy",
    "hide_files",
    "embed_dockerfile",
    "labels",
    "label_format",
    "tags",
    "additional_tags",
    "registry_uri",
    "distribution_scope",
    "platforms",
    "user_config_validation",
    "fetch_artifacts",
    "release_bump",
    "signing_intent",
    "compare_components",
    "rpm_components",
    "base_filesystem",
];

/// What came of a case: the values that its area compares, or the kind of error.
type Outcome = Result<Value, String>;

fn cases() -> Option<Value> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/cases/atomic-reactor.json");
    let named = std::env::var_os("STRATUM_CASES").map(PathBuf::from);
    let path = named.clone().unwrap_or(beside);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        // A file that somebody names must be there.
        Err(error) if named.is_some() => panic!("{}: {error}", path.display()),
        Err(_) => return None,
    };
    Some(serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

#[test]
fn the_cases_of_atomic_reactor_hold() {
    let Some(file) = cases() else {
        println!("skipped: no cases of atomic-reactor; name their file with STRATUM_CASES");
        return;
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut broken = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let (id, area) = (case["id"].as_str().unwrap(), case["area"].as_str().unwrap());
        let verdict = case["verdict"].as_str().unwrap();
        let (word, why) = match unharmed(area, verdict, case, &file["about"]["context"]) {
            None => ("SKIP", format!("{area}, {verdict}")),
            Some(Ok(())) => ("PASS", area.to_owned()),
            Some(Err(why)) => ("FAIL", format!("{area}: {why}")),
        };
        println!("{word} {id} ({why})");
        *counts.entry(word).or_default() += 1;
        if word == "FAIL" && HELD.contains(&area) {
            broken.push(format!("{id}: {why}"));
        }
    }
    let count = |word| counts.get(word).copied().unwrap_or_default();
    println!("{} pass, {} fail, {} skipped", count("PASS"), count("FAIL"), count("SKIP"));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// The same as [`judged`] where an input that is of no shape known here fails its own case and no other.
fn unharmed(area: &str, verdict: &str, case: &Value, context: &Value) -> Option<Result<(), String>> {
    let judge = || judged(area, verdict, case, context);
    std::panic::catch_unwind(judge).unwrap_or_else(|_| Some(Err("its input is of no known shape".to_owned())))
}

/// Whether a case holds; none for one that nothing here can judge.
fn judged(area: &str, verdict: &str, case: &Value, context: &Value) -> Option<Result<(), String>> {
    let wanted = match verdict {
        "match" => &case["expected"],
        "improve" if case["recommended"].is_object() => &case["recommended"],
        // Nobody has to do the same, so only what is the same counts.
        "optional" => return unharmed(area, "match", case, context).filter(Result::is_ok),
        _ => return None,
    };
    if let Some((found, wanted)) = injected::outcome(area, case, wanted) {
        return Some(compare(&found, &Value::Null, &wanted));
    }
    let found = outcome(area, &case["input"], context)?;
    Some(compare(&found, &case["expected"], wanted))
}

/// Every value that is wanted and that the outcome has is equal, and at least one is there.
fn compare(found: &Outcome, expected: &Value, wanted: &Value) -> Result<(), String> {
    let fits_error = |kind: &str| {
        text(wanted, "error").is_some_and(|wanted| is_same_kind(kind, wanted))
            || wanted["or_error"].as_str().is_some_and(|text| text.split(' ').next() == Some(kind))
    };
    let found = match found {
        Err(kind) if fits_error(kind) => return Ok(()),
        Err(kind) => return Err(format!("error {kind}, wanted {wanted}")),
        Ok(found) if found.get("error").is_some() && wanted.get("error").is_none() => {
            return Err(format!("error {}, wanted {wanted}", found["error"]));
        }
        Ok(found) if wanted.get("error").is_some() && found.get("error").is_none() => {
            return Err(format!("no error, wanted {wanted}"));
        }
        Ok(found) => found.as_object().unwrap(),
    };
    // A recommendation may name only what differs from what is done today.
    let is_other = |key: &String| wanted.get(key).is_some() || expected.get(key).is_none();
    let compared: Vec<&String> = found.keys().filter(|key| wanted.get(key.as_str()).is_some()).collect();
    if compared.is_empty() {
        return Err(format!("nothing of {wanted} is known here"));
    }
    for key in compared.into_iter().filter(|key| is_other(key)) {
        let same = match key.as_str() {
            "dockerfile" | "dockerfile_instructions" => {
                lines(&publish::zoned(&found[key])) == lines(&publish::zoned(&wanted[key]))
            }
            // What Koji is to make is in no registry.
            "parents_to_resolve" => {
                let mut wanted = set(&wanted[key]);
                wanted.retain(|name| !name.starts_with("koji/image-build"));
                set(&found[key]) == wanted
            }
            "effective_labels" => publish::same_labels(&found[key], &wanted[key]),
            _ => found[key] == wanted[key],
        };
        if !same {
            return Err(format!("{key} is {}, wanted {}", found[key], wanted[key]));
        }
    }
    Ok(())
}

/// Whether our kind of error is the one that is wanted, or says more exactly what it says.
fn is_same_kind(found: &str, wanted: &str) -> bool {
    match wanted {
        // Registries may be checked before images are looked for.
        "unresolved_parent" => matches!(found, "unresolved_parent" | "registry_not_allowed"),
        // Steps may copy from an image here, where the site allows its registry.
        "copy_from_external_image" => matches!(found, "copy_from_external_image" | "registry_not_allowed"),
        "no_from" => matches!(found, "no_from" | "empty_dockerfile"),
        _ => found == wanted,
    }
}

/// A Dockerfile as a list of instructions.
fn lines(dockerfile: &Value) -> Vec<String> {
    let list = |text: &str| decisions::instructions(text).unwrap_or_else(|_| vec![text.to_owned()]);
    match dockerfile.as_array() {
        Some(lines) => lines.iter().flat_map(|line| list(line.as_str().unwrap())).collect(),
        None => list(dockerfile.as_str().unwrap_or_default()),
    }
}

fn set(values: &Value) -> BTreeSet<&str> {
    values.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn outcome(area: &str, input: &Value, context: &Value) -> Option<Outcome> {
    Some(match area {
        "from_rewrite" => from_rewrite(input, context),
        "image_reference" => image_reference(input),
        "build_args" => build_args(input),
        "labels" => publish::labels(input, context),
        "distribution_scope" => distribution_scope(input),
        "label_format" => label_format(input),
        "additional_tags" => additional_tags(input),
        "tags" => publish::tags(input, context),
        "registry_uri" => registry_uri(input),
        "yum_repo_filename" => yum_repo_filename(input),
        "platforms" => files::platforms(input, context),
        "user_config_validation" => files::user_config_validation(input)?,
        "fetch_artifacts" => files::fetch_artifacts(input, context),
        "base_filesystem" => files::base_filesystem(input),
        "release_bump" => koji::release_bump(input, context),
        "signing_intent" => koji::signing_intent(input),
        "compare_components" => koji::compare_components(input, context),
        "rpm_components" => koji::rpm_components(input),
        _ => return None,
    })
}

/// Our errors under the names that the cases have for them.
fn kind(text: &str) -> String {
    let kinds = [
        ("base images may not come from", "registry_not_allowed"),
        ("which is wider than its parent's", "scope_wider_than_parent"),
        ("the image has no label", "missing_label"),
        ("it is named by the labels name, version and release", "missing_nvr_labels"),
        ("expected host[:port]", "bad_registry_url"),
        ("a registry of version 1", "bad_registry_api_version"),
        ("repository files may not come from", "domain_not_allowed"),
        ("at the end of a repository file's URL is no file name", "repo_url_without_filename"),
        ("no instructions", "empty_dockerfile"),
        ("no FROM", "no_from"),
        ("FROM takes an image", "no_from"),
        ("expands to nothing", "no_from"),
        ("there is no such image", "unresolved_parent"),
        ("is used before it is complete", "copy_from_external_image"),
        ("there is no stage", "copy_from_external_image"),
        ("there is no platform to build for", "no_platforms"),
        ("all hosts of the site for", "builder_disabled"),
        ("artifacts may not come from", "domain_not_allowed"),
        ("one image has one file for Koji's image-build", "conflicting_image_build_conf"),
        ("is in Koji already", "nvr_already_built"),
        ("no signing intent of the site has the keys", "unknown_signing_keys"),
        ("it differs between platforms", "component_mismatch"),
    ];
    let found = kinds.iter().find(|(part, _)| text.contains(part));
    found.map_or_else(|| text.to_owned(), |(_, kind)| (*kind).to_owned())
}

fn failed(error: impl std::fmt::Display) -> String {
    kind(&error.to_string())
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value[key].as_str()
}

fn map(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// A site as the case has it, between the registries of all cases. JSON is YAML too.
fn site(config: &Value, context: &Value, pull: &BTreeSet<String>) -> String {
    let mut site = json!({
        "version": 1,
        "source_registry": { "url": context["source_registry"] },
        "registry": { "url": context["registry"] },
        "pull_registries": pull.iter().map(|host| json!({ "url": host })).collect::<Vec<_>>(),
    });
    let mut more = config.as_object().cloned().unwrap_or_default();
    // A case that never asks the hub may call it anything; a configuration must have a URL there.
    if let Some(hub) = more.get_mut("koji").and_then(|koji| koji.get_mut("hub_url"))
        && !hub.as_str().unwrap_or_default().contains("://")
    {
        *hub = format!("https://{}", hub.as_str().unwrap_or_default()).into();
    }
    site.as_object_mut().unwrap().extend(more);
    site.to_string()
}

/// The host that an image's name begins with.
fn host(name: &str) -> Option<String> {
    Some(decisions::image_name(name).ok()?.registry()?.to_owned())
}

fn from_rewrite(input: &Value, context: &Value) -> Outcome {
    let dockerfile = text(input, "dockerfile").unwrap();
    let pins = map(&input["pins"]);
    // Images that the case can pull are in registries that it allows.
    let pull = pins.values().filter_map(|pin| host(pin)).collect();
    let site = decisions::site(&site(&input["config"], context, &pull)).map_err(failed)?;
    let parents = decisions::parents(dockerfile, &site).map_err(failed)?;
    let copied = decisions::copied(dockerfile, &site).map_err(failed)?;
    let parents = parents.iter().map(|parent| parent.image.to_string());
    let parents: Vec<String> = parents.chain(copied.iter().map(ToString::to_string)).collect();
    let pinned = decisions::pinned(dockerfile, &site, &|parent| {
        let whole = parent.image.to_string();
        let of = |pin: &String| pin.strip_prefix(&format!("{}@", parent.image.name())).map(str::to_owned);
        // By what FROM says, or by what that means; else by the repository.
        let pin = pins.get(&parent.name).or_else(|| pins.get(&whole)).and_then(of);
        let digest = pin.or_else(|| pins.values().find_map(of))?;
        Some(parent.image.pinned(digest.parse().ok()?))
    });
    Ok(json!({ "parents_to_resolve": parents, "dockerfile": pinned.map_err(failed)? }))
}

fn image_reference(input: &Value) -> Outcome {
    let mut name = decisions::image_name(text(input, "pullspec").unwrap()).map_err(failed)?;
    if let Some(organization) = text(input, "enclose") {
        name = decisions::enclosed(&name, organization);
    }
    let repository = name.repository();
    let digest = name.digest().map(ToString::to_string);
    Ok(json!({
        "registry": name.registry(),
        "namespace": name.namespace(),
        "repo": repository.split_once('/').map_or(repository, |(_, rest)| rest),
        // The incumbent has one place for both.
        "tag": name.tag().map(str::to_owned).or_else(|| digest.clone()),
        "digest": digest,
        "string": name.to_string(),
    }))
}

fn build_args(input: &Value) -> Outcome {
    let names: Vec<&str> = input["build_args"].as_object().unwrap().keys().map(String::as_str).collect();
    let made = decisions::with_arguments(text(input, "dockerfile").unwrap(), &names);
    Ok(json!({ "dockerfile": made.map_err(failed)? }))
}

fn distribution_scope(input: &Value) -> Outcome {
    // An image on nothing has no parent, and none yet that Koji is to make.
    let has_none = |from: &str| from == "scratch" || from.split(':').next() == Some("koji/image-build");
    let parent = text(input, "parent").filter(|_| !text(input, "from").is_some_and(has_none));
    decisions::scope(text(input, "child"), parent).map(|()| json!({ "ok": true })).map_err(failed)
}

fn label_format(input: &Value) -> Outcome {
    let filled = decisions::filled(text(input, "format").unwrap(), &map(&input["labels"]));
    filled.map(|text| json!({ "text": text })).map_err(failed)
}

fn additional_tags(input: &Value) -> Outcome {
    let yaml = input["container_yaml_tags"].as_array();
    let yaml = yaml.map(|tags| tags.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    let (mut tags, is_yaml) = decisions::additional_tags(text(input, "file"), yaml);
    if let Some(labels) = input.get("labels") {
        // The oldest generation answers with names, in the order of the file.
        let name = text(labels, "name").or(text(labels, "Name")).ok_or("missing_label")?;
        let names: Vec<String> = tags.iter().map(|tag| format!("{name}:{tag}")).collect();
        return Ok(json!({ "tags": names }));
    }
    tags.sort();
    Ok(json!({ "tags": tags, "from_container_yaml": is_yaml }))
}

fn registry_uri(input: &Value) -> Outcome {
    let url = text(input, "url").unwrap();
    let yaml = json!({ "version": 1, "source_registry": { "url": url } }).to_string();
    let site = decisions::site(&yaml).map_err(failed)?;
    let url = &site.source_registry.as_ref().unwrap().url;
    // Only this version is spoken.
    Ok(json!({ "uri": url.to_string(), "docker_uri": url.host(), "version": "v2" }))
}

fn yum_repo_filename(input: &Value) -> Outcome {
    let name = decisions::repository_file_name(text(input, "url").unwrap()).map_err(failed)?;
    Ok(json!({ "path": format!("/etc/yum.repos.d/{name}") }))
}
