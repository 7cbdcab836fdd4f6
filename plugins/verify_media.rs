//! `verify_media`: whether the registry has the media types that the site expects.
//!
//! Reads `registry.expected_media_types` and what the registry gives for the unique name, one media type after the other.
//! Returns the types that are there. Fails the build when one that is expected is missing; that happens before the
//! floating names are moved. An index without an image for amd64 is expected alone: a registry makes nothing else of it.

use std::collections::BTreeSet;

use oci::Reference;
use oci::manifest::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use pipeline::{Class, Fact, Made, Orders, Plugin, PluginError, Publish, PublishView, Setup, Tags};
use transport::TransportError;

/// Docker's manifests of version 1, which some registries still make of newer ones.
const DOCKER_FIRST: &str = "application/vnd.docker.distribution.manifest.v1+json";
/// All types that are asked for.
const TYPES: [&str; 5] = [DOCKER_FIRST, DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX];

#[derive(Debug)]
struct VerifyMedia {
    expected: Vec<String>,
}

#[expect(clippy::unnecessary_wraps, reason = "all plugins are made the same way")]
pub(crate) fn make(setup: &Setup<'_>) -> Made<Publish> {
    let registry = setup.site.registry.as_ref();
    let expected = registry.map(|registry| registry.expected_media_types.clone()).unwrap_or_default();
    let acts = registry.is_some() && (!expected.is_empty() || setup.args.is_some());
    Ok(if acts { Some(Box::new(VerifyMedia { expected })) } else { None })
}

impl Plugin<Publish> for VerifyMedia {
    fn run(&self, view: &PublishView<'_>) -> Result<Orders, PluginError> {
        let Some(name) = name(view) else { return Ok(Orders::default()) };
        let found = view.transports.registries().media_types(&name, &TYPES).map_err(TransportError::from)?;
        let index = view.facts.index().map(|index| (index.descriptor.media_type.as_str(), &index.architectures[..]));
        let found = decide(&name, &self.expected, &found, index)?;
        Ok(Orders { facts: vec![Fact::MediaTypes(found)], ..Orders::default() })
    }
}

/// The name to ask for: the index's, or the image's; none for an image that is in no registry, or whose index is missing.
fn name(view: &PublishView<'_>) -> Option<Reference> {
    let of_index = |tags: &Tags| {
        view.facts.index()?;
        tags.unique.first().cloned()
    };
    match view.facts.tags() {
        Some(tags) if tags.group.is_some() => of_index(tags),
        // Floating names are not there yet.
        Some(tags) => {
            let pushed = |name: &&Reference| view.outputs.iter().any(|output| output.in_registry() == Some(name));
            tags.unique.iter().chain(&tags.primary).find(pushed).cloned()
        }
        None => view.outputs.iter().find_map(|output| output.in_registry()).cloned(),
    }
}

/// The types that are there, sorted; `index` is the type of the index and its architectures.
fn decide(
    name: &Reference,
    expected: &[String],
    found: &[&str],
    index: Option<(&str, &[String])>,
) -> Result<Vec<String>, PluginError> {
    let found: BTreeSet<&str> = found.iter().copied().collect();
    let alone = index.filter(|(_, architectures)| !architectures.iter().any(|one| one == "amd64"));
    let expected: BTreeSet<&str> = match alone {
        Some((media_type, _)) if !expected.is_empty() => BTreeSet::from([media_type]),
        Some(_) | None => expected.iter().map(String::as_str).collect(),
    };
    let list = |types: &mut dyn Iterator<Item = &&str>| types.copied().collect::<Vec<_>>().join(", ");
    let missing = list(&mut expected.difference(&found));
    if missing.is_empty() {
        return Ok(found.into_iter().map(str::to_owned).collect());
    }
    let text = format!("{name}: the registry does not have it as {missing}, only as {}", list(&mut found.iter()));
    let help = "registry.expected_media_types has what is expected; --format decides between Docker's types and OCI's";
    Err(PluginError::new(Class::Refused, text).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expected: &[&str], found: &[&str], index: Option<(&str, &[String])>) -> Result<Vec<String>, String> {
        let expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
        decide(&"r.example/a:1".parse().unwrap(), &expected, found, index).map_err(|error| error.text)
    }

    #[test]
    fn what_is_expected_must_be_there_and_more_may_be() {
        let all = vec![DOCKER_FIRST.to_owned(), DOCKER_MANIFEST.to_owned()];
        assert_eq!(check(&[DOCKER_MANIFEST], &[DOCKER_MANIFEST, DOCKER_FIRST], None), Ok(all));
        assert_eq!(check(&[], &[], None), Ok(Vec::new()));
        let text = "r.example/a:1: the registry does not have it as \
            application/vnd.docker.distribution.manifest.v2+json, only as application/vnd.oci.image.manifest.v1+json";
        assert_eq!(check(&[DOCKER_MANIFEST], &[OCI_MANIFEST], None), Err(text.to_owned()));
    }

    #[test]
    fn an_index_without_the_usual_platform_is_expected_alone() {
        let (with, without) = (["amd64".to_owned()], ["s390x".to_owned()]);
        let list = vec![DOCKER_LIST.to_owned()];
        let expected = [DOCKER_LIST, DOCKER_MANIFEST];
        assert_eq!(check(&expected, &[DOCKER_LIST], Some((DOCKER_LIST, &without))), Ok(list));
        check(&expected, &[DOCKER_LIST], Some((DOCKER_LIST, &with))).unwrap_err();
    }
}
