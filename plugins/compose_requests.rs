//! What container.yaml asks of the compose service (osbs-client, "compose"), as requests. Pure: what the file says in, requests out.

use std::collections::BTreeMap;

use koji::odcs::Wanted;
use pipeline::{Class, PluginError};

use crate::container_yaml::{self, Compose, KojiTags};

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

/// The requests, in the order of the reference: packages, modules, modular tags, content sets by platform.
pub(crate) fn decide(compose: &Compose, around: &Around<'_>) -> Result<Vec<Wanted>, PluginError> {
    let mut requests = Vec::new();
    if let Some(packages) = &compose.packages {
        let source = need(around.tag, "packages")?.to_owned();
        requests.push(Wanted { source, packages: Some(packages.clone()), ..of_tag(compose, around) });
    }
    if !compose.modules.is_empty() {
        // A profile says what is installed, not what is composed.
        let names: Vec<&str> = compose.modules.iter().map(|name| name.split('/').next().unwrap_or_default()).collect();
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
        multilib_method: compose.multilib_method.clone(),
        ..Wanted::default()
    }
}

fn multilib(compose: &Compose, platforms: &[String]) -> Vec<String> {
    compose.multilib_arches.iter().filter(|platform| platforms.contains(platform)).cloned().collect()
}

fn tags(tags: Option<&KojiTags>, around: &Around<'_>, key: &str) -> Result<Vec<String>, PluginError> {
    match tags {
        None => Ok(Vec::new()),
        Some(KojiTags::OfTarget) => Ok(vec![need(around.tag, key)?.to_owned()]),
        Some(KojiTags::Named(tags)) => Ok(tags.clone()),
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
    for (platform, more) in &compose.build_only_content_sets {
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
        multilib_method: compose.multilib_method.clone(),
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
        decide(&container_yaml::parse(yaml)?.compose.unwrap(), &around)
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
    }
}
