//! What container.yaml asks of the compose service (osbs-client, "compose"), as requests. Pure: texts in, requests out.

use std::collections::BTreeMap;

use koji::odcs::Wanted;
use pipeline::{Class, PluginError};
use serde::Deserialize;

use crate::container_yaml;

/// The file of content sets, beside the Dockerfile.
pub(crate) const CONTENT_SETS: &str = "content_sets.yml";

/// `compose` of container.yaml.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Compose {
    /// Packages of the target's tag; empty is the whole tag, none is no such compose.
    #[serde(deserialize_with = "there")]
    packages: Option<Vec<String>>,
    pulp_repos: bool,
    modules: Option<Vec<String>>,
    /// What packages must be signed with.
    pub(crate) signing_intent: Option<String>,
    /// Whether the parent's composes and repositories are used too.
    pub(crate) inherit: bool,
    ignore_absent_pulp_repos: bool,
    include_unpublished_pulp_repos: bool,
    multilib_method: Option<Vec<String>>,
    multilib_arches: Option<Vec<String>>,
    modular_koji_tags: Option<Tags>,
    module_resolve_tags: Option<Tags>,
    build_only_content_sets: Option<BTreeMap<String, Vec<String>>>,
}

/// Tags, or true for that of the target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Tags {
    OfTarget(bool),
    These(Vec<String>),
}

/// A key without a value is there all the same.
fn there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    compose: Option<Compose>,
}

/// What a request is made of besides container.yaml.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around<'a> {
    /// The tag that the Koji target builds with.
    pub(crate) tag: Option<&'a str>,
    /// The platforms, as Koji calls them.
    pub(crate) platforms: &'a [String],
    /// Content sets by platform.
    pub(crate) content_sets: BTreeMap<String, Vec<String>>,
    /// The keys of the signing intent.
    pub(crate) keys: &'a [String],
}

/// Reads `compose` of container.yaml; none where it asks for nothing.
pub(crate) fn parse(text: &str) -> Result<Option<Compose>, PluginError> {
    let file: Option<File> = yaml(text, container_yaml::NAME)?;
    Ok(file.unwrap_or_default().compose)
}

/// Reads content sets: lists by platform.
pub(crate) fn parse_content_sets(text: &str) -> Result<BTreeMap<String, Vec<String>>, PluginError> {
    let sets: Option<BTreeMap<String, Vec<String>>> = yaml(text, CONTENT_SETS)?;
    Ok(sets.unwrap_or_default())
}

fn yaml<T: serde::de::DeserializeOwned>(text: &str, name: &str) -> Result<T, PluginError> {
    let mut options = serde_saphyr::Options::default();
    options.with_snippet = false;
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let place = error.location().map_or_else(String::new, |at| format!(":{}:{}", at.line(), at.column()));
        let full = error.to_string();
        let what = full.rsplit_once(" at line ").map_or(full.as_str(), |(what, _)| what);
        PluginError::new(Class::Source, format!("{name}{place}: {what}"))
    })
}

/// The requests, in the order of the reference: packages, modules, modular tags, content sets by platform.
pub(crate) fn decide(compose: &Compose, around: &Around<'_>) -> Result<Vec<Wanted>, PluginError> {
    let mut requests = Vec::new();
    if let Some(packages) = &compose.packages {
        let source = need(around.tag, "packages")?.to_owned();
        requests.push(Wanted { source, packages: Some(packages.clone()), ..of_tag(compose, around) });
    }
    let modules = compose.modules.as_deref().unwrap_or_default();
    if !modules.is_empty() {
        // A profile says what is installed, not what is composed.
        let names: Vec<&str> = modules.iter().map(|name| name.split('/').next().unwrap_or_default()).collect();
        requests.push(Wanted {
            kind: "module",
            source: names.join(" "),
            keys: around.keys.to_vec(),
            architectures: around.platforms.to_vec(),
            modular_tags: tags(compose.module_resolve_tags.as_ref(), around, "module_resolve_tags")?,
            ..Wanted::default()
        });
    }
    let modular_tags = tags(compose.modular_koji_tags.as_ref(), around, "modular_koji_tags")?;
    if !modular_tags.is_empty() {
        let source = need(around.tag, "modular_koji_tags")?.to_owned();
        requests.push(Wanted { source, modular_tags, ..of_tag(compose, around) });
    }
    requests.extend(pulp(compose, around));
    if requests.is_empty() {
        let text = format!("{}: `compose` names no packages, modules, tags or content sets", container_yaml::NAME);
        return Err(PluginError::new(Class::Source, text).help("say what is to be composed, or take `compose` out"));
    }
    Ok(requests)
}

/// What requests of the target's tag have in common.
fn of_tag(compose: &Compose, around: &Around<'_>) -> Wanted {
    Wanted {
        kind: "tag",
        keys: around.keys.to_vec(),
        architectures: around.platforms.to_vec(),
        multilib: multilib(compose, around.platforms),
        multilib_method: compose.multilib_method.clone().unwrap_or_default(),
        ..Wanted::default()
    }
}

fn multilib(compose: &Compose, platforms: &[String]) -> Vec<String> {
    let wanted = compose.multilib_arches.iter().flatten();
    wanted.filter(|platform| platforms.contains(platform)).cloned().collect()
}

fn tags(tags: Option<&Tags>, around: &Around<'_>, key: &str) -> Result<Vec<String>, PluginError> {
    match tags {
        None | Some(Tags::OfTarget(false)) => Ok(Vec::new()),
        Some(Tags::OfTarget(true)) => Ok(vec![need(around.tag, key)?.to_owned()]),
        Some(Tags::These(tags)) => Ok(tags.clone()),
    }
}

fn need<'t>(tag: Option<&'t str>, key: &str) -> Result<&'t str, PluginError> {
    tag.ok_or_else(|| {
        let text = format!("{}: compose.{key} needs the tag of a Koji target, and there is none", container_yaml::NAME);
        PluginError::new(Class::Source, text).help("build for a Koji target")
    })
}

/// A request for each platform's content sets.
fn pulp(compose: &Compose, around: &Around<'_>) -> Vec<Wanted> {
    if !compose.pulp_repos {
        return Vec::new();
    }
    let mut sets = around.content_sets.clone();
    sets.retain(|platform, _| around.platforms.contains(platform));
    for (platform, more) in compose.build_only_content_sets.iter().flatten() {
        let known = sets.entry(platform.clone()).or_default();
        more.iter().for_each(|set| {
            if !known.contains(set) {
                known.push(set.clone())
            }
        });
    }
    let flags = [
        ("include_unpublished_pulp_repos", compose.include_unpublished_pulp_repos),
        ("ignore_absent_pulp_repos", compose.ignore_absent_pulp_repos),
    ];
    let flags: Vec<String> = flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name.to_owned()).collect();
    let request = |(platform, sets): (String, Vec<String>)| Wanted {
        kind: "pulp",
        source: sets.join(" "),
        flags: Some(flags.clone()),
        multilib: multilib(compose, std::slice::from_ref(&platform)),
        multilib_method: compose.multilib_method.clone().unwrap_or_default(),
        architectures: vec![platform],
        ..Wanted::default()
    };
    sets.into_iter().map(request).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(yaml: &str, tag: Option<&str>) -> Result<Vec<Wanted>, PluginError> {
        let (platforms, keys) = (["x86_64".to_owned()], ["R1".to_owned()]);
        let content_sets =
            BTreeMap::from([("x86_64".to_owned(), vec!["a-rpms".to_owned()]), ("s390x".to_owned(), vec![])]);
        let around = Around { tag, platforms: &platforms, content_sets, keys: &keys };
        decide(&parse(yaml)?.unwrap(), &around)
    }

    #[test]
    fn each_kind_is_a_request() {
        let yaml = "compose:\n  packages: []\n  modules: ['nodejs:18/minimal']\n  pulp_repos: true\n  multilib_arches: [x86_64, s390x]\n  build_only_content_sets: {x86_64: [b-rpms]}\n";
        let all = requests(yaml, Some("f43-build")).unwrap();
        let shown: Vec<(&str, &str, usize)> =
            all.iter().map(|one| (one.kind, one.source.as_str(), one.keys.len())).collect();
        assert_eq!(shown, [("tag", "f43-build", 1), ("module", "nodejs:18", 1), ("pulp", "a-rpms b-rpms", 0)]);
        assert!(all.iter().all(|one| one.architectures == ["x86_64"]));
        assert_eq!(all.first().unwrap().multilib, ["x86_64"]);
        assert_eq!(requests("compose: {packages: }\n", Some("t")).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_asked_for_is_refused() {
        let text = |yaml: &str| requests(yaml, None).unwrap_err().text;
        let needs = "needs the tag of a Koji target, and there is none";
        assert_eq!(text("compose: {packages: [bash]}\n"), format!("container.yaml: compose.packages {needs}"));
        assert_eq!(
            text("compose: {modular_koji_tags: true}\n"),
            format!("container.yaml: compose.modular_koji_tags {needs}")
        );
        let text_of_none = "container.yaml: `compose` names no packages, modules, tags or content sets";
        assert_eq!(text("compose: {inherit: true}\n"), text_of_none);
        assert!(parse("compose: {pakages: []}\n").unwrap_err().text.starts_with("container.yaml:1:"));
        assert_eq!(parse("tags: [a]\n").unwrap(), None);
    }
}
