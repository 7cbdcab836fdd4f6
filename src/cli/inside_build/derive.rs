//! What plugins' arguments say that a site's configuration says today.
//!
//! The first atomic-reactors had no configuration map: a list of plugins carried registries, labels and the hub as
//! arguments. Comes in: the lists. Goes out: the keys of the map that they stand for, and what they demand of the
//! build. It decides nothing: a key that the configuration has itself counts before these.

use pipeline::Task;
use serde_json::{Map, Value, json};

use super::lists::Lists;

/// Keys of the configuration, and what is demanded.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Derived {
    pub(super) keys: Map<String, Value>,
    pub(super) koji_target: Option<String>,
    pub(super) koji_parent_build: Option<String>,
}

/// Arguments that have one key of the map with the same value.
const SAME: [(&str, &str, &str); 8] = [
    ("add_labels_in_dockerfile", "labels", "image_labels"),
    ("add_labels_in_dockerfile", "info_url_format", "image_label_info_url_format"),
    ("add_labels_in_dockerfile", "equal_labels", "image_equal_labels"),
    ("add_yum_repo_by_url", "inject_proxy", "yum_proxy"),
    ("koji", "proxy", "yum_proxy"),
    ("fetch_maven_artifacts", "allowed_domains", "artifacts_allowed_domains"),
    ("distgit_fetch_artefacts", "command", "sources_command"),
    ("tag_and_push", "registries_organization", "registries_organization"),
];
/// Plugins that know the hub, and what they call it.
const HUBS: [(&str, &str); 8] = [
    ("koji", "hub"),
    ("koji_promote", "kojihub"),
    ("koji_import", "kojihub"),
    ("koji_tag_build", "kojihub"),
    ("bump_release", "hub"),
    ("koji_parent", "koji_hub"),
    ("add_filesystem", "koji_hub"),
    ("fetch_maven_artifacts", "koji_hub"),
];
/// Plugins that know the target.
const TARGETS: [&str; 3] = ["koji", "koji_tag_build", "koji_promote"];

/// Arguments that no plugin takes today, and the key that has what they say.
const TAKEN: [(&str, &str, &str); 11] = [
    ("koji", "koji_ssl_certs_dir", "koji"),
    ("koji", "proxy", "yum_proxy"),
    ("fetch_maven_artifacts", "koji_root", "koji"),
    ("fetch_maven_artifacts", "allowed_domains", "artifacts_allowed_domains"),
    ("pull_base_image", "parent_registry", "source_registry"),
    ("pull_base_image", "parent_registry_insecure", "source_registry"),
    ("change_source_registry", "registry_uri", "source_registry"),
    ("change_source_registry", "insecure_registry", "source_registry"),
    ("distgit_fetch_artefacts", "command", "sources_command"),
    ("tag_and_push", "registries", "registries"),
    ("tag_and_push", "registries_organization", "registries_organization"),
];

pub(super) fn derive(lists: &Lists) -> Derived {
    let text = |plugin: &str, argument: &str| {
        let text = lists.args(plugin)?.get(argument)?.as_str()?;
        Some(text).filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let mut keys = Map::new();
    for (plugin, argument, key) in SAME {
        if let Some(value) =
            lists.args(plugin).and_then(|args| args.get(argument)).filter(|value| says_something(value))
        {
            keys.entry(key.to_owned()).or_insert_with(|| value.clone());
        }
    }
    let mut add = |key: &str, value: Option<Value>| keys.extend(value.map(|value| (key.to_owned(), value)));
    let pulled = lists.args("pull_base_image");
    let pulled = pulled.and_then(|args| source_registry(args, "parent_registry", "parent_registry_insecure"));
    let changed = lists.args("change_source_registry");
    let changed = changed.and_then(|args| source_registry(args, "registry_uri", "insecure_registry"));
    add("source_registry", pulled.or(changed));
    add("registries", lists.args("tag_and_push").and_then(|args| registries(args.get("registries")?)));
    let hub = HUBS.iter().find_map(|(plugin, argument)| text(plugin, argument));
    let root = text("koji", "root").or_else(|| text("fetch_maven_artifacts", "koji_root"));
    add("koji", koji(hub, root, lists));
    let server = text("store_metadata_in_osv3", "url");
    let is_insecure =
        lists.args("store_metadata_in_osv3").and_then(|args| args.get("verify_ssl")) == Some(&false.into());
    add("openshift", server.map(|url| json!({ "url": url, "insecure": is_insecure })));
    Derived {
        keys,
        koji_target: TARGETS.iter().find_map(|plugin| text(plugin, "target")),
        koji_parent_build: text("inject_parent_image", "koji_parent_build"),
    }
}

impl Derived {
    /// Takes arguments out that are keys now, so that nobody is told of them twice.
    pub(super) fn take(&self, lists: &mut Lists) {
        let hubs = HUBS.iter().map(|(plugin, argument)| (*plugin, *argument, "koji"));
        for (plugin, argument, _) in TAKEN.into_iter().chain(hubs).filter(|(_, _, key)| self.keys.contains_key(*key)) {
            lists.take_argument(plugin, argument);
        }
    }

    /// What the user parameters do not say already.
    pub(super) fn complete(&self, task: &mut Task) {
        task.koji_target = task.koji_target.take().or_else(|| self.koji_target.clone());
        task.koji_parent_build = task.koji_parent_build.take().or_else(|| self.koji_parent_build.clone());
    }
}

/// Whether a value is more than a place that nobody filled in.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn source_registry(args: &Map<String, Value>, url: &str, insecure: &str) -> Option<Value> {
    let url = args.get(url)?.as_str().filter(|url| !url.is_empty())?;
    let is_insecure = args.get(insecure).and_then(Value::as_bool).unwrap_or(false);
    Some(json!({ "url": url, "insecure": is_insecure }))
}

/// `{host: {insecure, secret, version}}` as the list that later atomic-reactors have.
fn registries(value: &Value) -> Option<Value> {
    let one = |(host, options): (&String, &Value)| {
        let text = |key: &str| options.get(key).and_then(Value::as_str);
        let insecure = options.get("insecure").and_then(Value::as_bool).unwrap_or(false);
        let url =
            if text("version") == Some("v1") { format!("{}/v1", host.trim_end_matches('/')) } else { host.clone() };
        match text("secret") {
            Some(path) => json!({ "url": url, "insecure": insecure, "auth": { "cfg_path": path } }),
            None => json!({ "url": url, "insecure": insecure }),
        }
    };
    let list: Vec<Value> = value.as_object()?.iter().map(one).collect();
    (!list.is_empty()).then(|| list.into())
}

/// The hub, where its two addresses are known.
fn koji(hub: Option<String>, root: Option<String>, lists: &Lists) -> Option<Value> {
    let text = |names: [(&str, &str); 2]| {
        names.iter().find_map(|(plugin, argument)| {
            lists.args(plugin)?.get(*argument)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
        })
    };
    let mut auth = Map::new();
    let mut add = |key: &str, value: Option<String>| auth.extend(value.map(|value| (key.to_owned(), value.into())));
    add("ssl_certs_dir", text([("koji", "koji_ssl_certs_dir"), ("koji_promote", "koji_ssl_certs")]));
    add("proxyuser", text([("koji_promote", "koji_proxy_user"), ("koji_tag_build", "koji_proxy_user")]));
    add("krb_principal", text([("koji_promote", "koji_principal"), ("koji_tag_build", "koji_principal")]));
    add("krb_keytab_path", text([("koji_promote", "koji_keytab"), ("koji_tag_build", "koji_keytab")]));
    Some(json!({ "hub_url": hub?, "root_url": root?, "auth": auth }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: Value) -> Derived {
        derive(&Lists::new("build.json", json.as_object().unwrap().clone()))
    }

    #[test]
    fn arguments_become_keys_of_the_configuration() {
        let derived = of(json!({
            "prebuild_plugins": [
                {"name": "pull_base_image", "args": {"parent_registry": "in.example", "parent_registry_insecure": true}},
                {"name": "add_labels_in_dockerfile", "args": {"labels": {"vendor": "v"}, "equal_labels": []}},
                {"name": "koji", "args": {"target": "f42", "hub": "http://h", "root": "http://r", "proxy": "http://p:1"}},
            ],
            "postbuild_plugins": [{"name": "tag_and_push", "args": {"registries": {
                "out.example:5000": {"insecure": true, "secret": "/run/secret", "version": "v2"},
            }}}],
            "exit_plugins": [{"name": "store_metadata_in_osv3", "args": {"url": "https://c.example", "verify_ssl": false}}],
        }));
        let keys = json!({
            "source_registry": {"url": "in.example", "insecure": true},
            "image_labels": {"vendor": "v"},
            "yum_proxy": "http://p:1",
            "koji": {"hub_url": "http://h", "root_url": "http://r", "auth": {}},
            "registries": [{"url": "out.example:5000", "insecure": true, "auth": {"cfg_path": "/run/secret"}}],
            "openshift": {"url": "https://c.example", "insecure": true},
        });
        assert_eq!((Value::Object(derived.keys), derived.koji_target.as_deref()), (keys, Some("f42")));
    }

    #[test]
    fn arguments_that_became_keys_are_none_any_more() {
        let json = json!({
            "prebuild_plugins": [
                {"name": "pull_base_image", "args": {"parent_registry": "in.example", "odd": 1}},
                {"name": "distgit_fetch_artefacts", "args": {"command": "fedpkg sources"}},
            ],
            "postbuild_plugins": [{"name": "tag_and_push", "args": {"registries": {}}}],
        });
        let mut lists = Lists::new("build.json", json.as_object().unwrap().clone());
        derive(&lists).take(&mut lists);
        let left = |plugin: &str| Value::Object(lists.args(plugin).unwrap().clone());
        assert_eq!(left("pull_base_image"), json!({"odd": 1}));
        assert_eq!((left("distgit_fetch_artefacts"), left("tag_and_push")), (json!({}), json!({"registries": {}})));
    }

    #[test]
    fn nothing_is_made_of_nothing() {
        assert_eq!(of(json!({})), Derived::default());
        let empty = json!({"prebuild_plugins": [
            {"name": "pull_base_image", "args": {"parent_registry": ""}}, {"name": "koji", "args": {"hub": "http://h"}},
            {"name": "add_labels_in_dockerfile"},
        ]});
        assert_eq!(of(empty), Derived::default());
    }

    #[test]
    fn a_registry_of_version_one_stays_one() {
        let registries = registries(&json!({"a.example": {"version": "v1"}, "b.example": {}})).unwrap();
        let expected = json!([{"url": "a.example/v1", "insecure": false}, {"url": "b.example", "insecure": false}]);
        assert_eq!(registries, expected);
    }
}
