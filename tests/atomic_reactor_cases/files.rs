//! The files of a dist-git repository: cases, and the schemas that atomic-reactor published for them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use plugins::decisions::files::{self, Platforms};
use plugins::decisions::{self};
use serde_json::{Map, Value, json};

use super::{Outcome, failed, site, text};

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

pub(super) fn platforms(input: &Value, context: &Value) -> Outcome {
    let hosts = input["hosts_enabled"].as_object().into_iter().flatten();
    let pools: Map<String, Value> =
        hosts.map(|(name, enabled)| (name.clone(), json!({ "host": { "enabled": enabled } }))).collect();
    let config = json!({ "remote_hosts": { "pools": pools } });
    let site = decisions::site(&site(&config, context, &BTreeSet::new())).map_err(failed)?;
    let user = &input["user_params"];
    let asked = Platforms {
        koji: text(input, "koji_tag_arches").map(|arches| arches.split_whitespace().map(str::to_owned).collect()),
        user: texts(&user["platforms"]),
        is_for_few: user["scratch"] == true || user["isolated"] == true,
    };
    let found = files::platforms(&asked, text(input, "container_yaml"), &site).map_err(failed)?;
    Ok(json!({ "platforms": found }))
}

pub(super) fn user_config_validation(input: &Value) -> Option<Outcome> {
    let schema = text(input, "schema")?.rsplit('/').next()?;
    // YAML as a text, or a value that is YAML as it stands.
    let yaml = text(input, "yaml").map_or_else(|| input["yaml"].to_string(), str::to_owned);
    let found = files::is_valid(schema, &yaml)?;
    Some(Ok(json!({ "valid": found.is_ok() })))
}

pub(super) fn fetch_artifacts(input: &Value, context: &Value) -> Outcome {
    let config = json!({ "artifacts_allowed_domains": input["artifacts_allowed_domains"].as_array().cloned().unwrap_or_default() });
    let site = decisions::site(&site(&config, context, &BTreeSet::new())).map_err(failed)?;
    let found = files::downloads(&input["requests"].to_string(), &site).map_err(failed)?;
    let one = |one: &files::Download| {
        let sums: Map<String, Value> =
            one.checksums.iter().map(|(kind, sum)| (kind.clone(), sum.as_str().into())).collect();
        json!({ "url": one.url, "dest": one.path, "checksums": sums })
    };
    Ok(json!({ "downloads": found.iter().map(one).collect::<Vec<_>>() }))
}

pub(super) fn base_filesystem(input: &Value) -> Outcome {
    let archive = text(input, "filesystem").unwrap_or("filesystem.tar.xz");
    let made = files::with_filesystem(text(input, "dockerfile").unwrap(), archive);
    Ok(json!({ "dockerfile": made.map_err(failed)? }))
}

/// The schemas beside the repository, if they are there.
fn schemas() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/schemas/osbs");
    folder.is_dir().then_some(folder)
}

/// Every document is valid for us exactly where it is for the schema.
fn agree(name: &str, documents: &[Value]) {
    let Some(folder) = schemas() else {
        println!("skipped: the schemas of atomic-reactor are not there");
        return;
    };
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let index = compiler.compile(folder.join(name).to_str().unwrap(), &mut schemas).unwrap();
    let mut valid = 0;
    for document in documents {
        let theirs = schemas.validate(document, index).is_ok();
        let ours = files::is_valid(name, &document.to_string()).unwrap();
        let complaint = ours.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert_eq!(ours.is_ok(), theirs, "{name}: {document}: {complaint}");
        valid += usize::from(theirs);
    }
    assert!(valid > 0 && valid < documents.len(), "{name}: {valid} of {} are valid", documents.len());
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Values of all kinds, one of which nearly every key refuses.
fn probes() -> Vec<Value> {
    let commit = json!({ "repo": "r", "ref": COMMIT });
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(3),
        json!(-1),
        json!(1.0),
        json!(1.5),
        json!(""),
        json!("a"),
        json!("/a"),
        json!("a-rpms"),
        json!("none"),
        json!("imagebuilder"),
        json!([]),
        json!(["a"]),
        json!(["all"]),
        json!([1]),
        json!([null]),
        json!({}),
        json!({ "a": ["a-rpms"] }),
        json!({ "a": [] }),
        json!({ "A": 1 }),
        json!({ "a": ["a"] }),
        json!({ "only": "a", "not": ["b"] }),
        json!({ "only": null }),
        json!({ "other": 1 }),
        json!({ "modules": null }),
        json!({ "modules": [{ "module": "m", "path": "p" }] }),
        json!({ "modules": [{ "path": "p" }] }),
        json!({ "manifests_dir": "m", "skip_all": true }),
        json!({ "manifests_dir": "/m" }),
        json!({ "manifests_dir": "m", "repo_replacements": [{ "registry": "r", "package_mappings": { "a": "b" } }] }),
        json!({ "manifests_dir": "m", "repo_replacements": [{ "registry": "r" }] }),
        json!({ "from_latest": true }),
        json!({ "from_latest": 1 }),
        commit.clone(),
        json!({ "repo": "r", "ref": "main" }),
        json!({ "repo": "r", "ref": COMMIT, "pkg_managers": ["npm"], "flags": null, "packages": { "npm": [{ "path": "c" }] } }),
        json!({ "repo": "r", "ref": COMMIT, "pkg_managers": ["cargo"] }),
        json!({ "repo": "r", "ref": COMMIT, "packages": { "npm": [{}] } }),
        json!([{ "name": "a", "remote_source": commit }]),
        json!([{ "name": "a b", "remote_source": commit }]),
        json!([{ "name": "", "remote_source": commit }]),
        json!([{ "name": "a", "remote_source": null }]),
        json!([{ "name": "a" }]),
    ]
}

#[test]
fn container_yaml_is_what_the_schema_accepts() {
    let keys = [
        "platforms",
        "autorebuild",
        "buildtime_limit",
        "compose",
        "flatpak",
        "operator_manifests",
        "image_build_method",
        "tags",
        "set_release_env",
        "version",
        "remote_sources_version",
        "go",
        "remote_source",
        "remote_sources",
        "other",
    ];
    let compose = [
        "packages",
        "pulp_repos",
        "modules",
        "signing_intent",
        "inherit",
        "ignore_absent_pulp_repos",
        "include_unpublished_pulp_repos",
        "multilib_method",
        "multilib_arches",
        "modular_koji_tags",
        "module_resolve_tags",
        "build_only_content_sets",
        "other",
    ];
    let mut documents = probes();
    for probe in probes() {
        documents.extend(keys.iter().map(|key| json!({ *key: probe })));
        documents.extend(compose.iter().map(|key| json!({ "compose": { *key: probe } })));
        documents.extend(["only", "not"].iter().map(|key| json!({ "platforms": { *key: probe } })));
    }
    let (one, many) = (json!({ "repo": "r", "ref": COMMIT }), json!([{ "name": "a", "remote_source": null }]));
    documents.push(json!({ "go": {}, "remote_source": one }));
    documents.push(json!({ "go": {}, "remote_sources": many }));
    documents.push(json!({ "remote_source": null, "remote_sources": many }));
    agree("container.json", &documents);
}

#[test]
fn content_sets_are_what_the_schema_accepts() {
    let mut documents = probes();
    for name in ["a-rpms", "-rpms", "a-rpms__x", "a-rpms__", "a-rpms__x-rpms", "a-debs", "a-rpms_x", "", "a-rpms__é"] {
        documents.push(json!({ "x86_64": [name] }));
        documents.push(json!({ "x86_64": ["b-rpms", name], "s390x": ["c-rpms"] }));
    }
    agree("content_sets.json", &documents);
}

#[test]
fn fetch_artifacts_are_what_the_schemas_accept() {
    let (md5, sha1, sha256) = ("0".repeat(32), "a".repeat(40), "f".repeat(64));
    let mut documents = probes();
    for (key, value) in [("md5", &md5), ("sha1", &sha1), ("sha256", &sha256), ("sha256", &md5), ("sha512", &sha256)] {
        documents.push(json!([{ "url": "u", key: value }]));
        documents.push(json!([{ "url": "u", key: value.to_uppercase() }]));
        documents.push(json!([{ "url": "u", "md5": md5, "source-url": "s", format!("source-{key}"): value }]));
    }
    documents.push(json!([{ "url": "u", "md5": md5, "source-url": "s" }]));
    documents.push(json!([{ "url": "u", "md5": md5, "source-md5": md5, "target": "../a" }]));
    documents.push(json!([{ "url": 1, "md5": md5 }]));
    documents.push(json!([{ "md5": md5 }]));
    agree("fetch-artifacts-url.json", &documents);
    let mut documents = probes();
    documents.push(json!([{ "nvr": "a-1-1" }]));
    for probe in probes() {
        documents.push(json!([{ "nvr": probe }]));
        documents.push(json!([{ "nvr": "a-1-1", "archives": probe }]));
        documents.push(json!([{ "nvr": "a-1-1", "archives": [{ "filename": probe }] }]));
        documents.push(json!([{ "nvr": "a-1-1", "archives": [{ "group_id": probe, "filename": "*" }] }]));
    }
    agree("fetch-artifacts-nvr.json", &documents);
}
