//! `check_base_image`: where base images come from, and whether they are there.
//!
//! Reads the FROM of every stage, also of those that are not built, as the reference does; moves names without a registry to the source registry; opens each
//! image. Returns the parents, pinned by digest (that of the index where there is one). Fails the build when a registry
//! is not allowed, an image does not exist, or it lacks a platform. Of what `--build-context` puts in an image's place
//! only the registry is checked. Images that are only copied from are not looked at; where their registry would not be
//! allowed, there is a warning.

use std::sync::Arc;

use build::{NamedContext, Request, StagePlan};
use dockerfile::{Base, Origin};
use oci::{ImageName, Platform, Reference};
use pipeline::site::Site;
use pipeline::{Changes, Class, Fact, Made, Parent, Plugin, PluginError, PreBuild, PreBuildView, Setup};
use transport::Location;

use crate::check_and_set_platforms;

/// What Koji would make a base image of.
pub(crate) const BY_KOJI: &str = "koji/image-build";

#[derive(Debug)]
struct CheckBaseImage {
    rules: Rules,
}

/// Where base images may come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The registry of names that have none.
    source: Option<String>,
    /// All that are allowed.
    allowed: Vec<String>,
    organization: Option<String>,
}

/// Whether the site says anything about base images.
pub(crate) fn acts(site: &Site) -> bool {
    site.source_registry.is_some() || !site.pull_registries.is_empty()
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let acts = acts(setup.site);
    Ok(if acts { Some(Box::new(CheckBaseImage { rules: Rules::of(setup.site) })) } else { None })
}

impl Plugin<PreBuild> for CheckBaseImage {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let platforms = check_and_set_platforms::of_images(view)?;
        let mut parents = Vec::new();
        for stage in view.plan.needed.iter().chain(&view.plan.others) {
            let parent = self.parent(view, stage, &platforms).map_err(|error| error.at(stage.base_span))?;
            parents.extend(parent);
            for (origin, span) in &stage.origins {
                if let Origin::Image(name) = origin
                    && context(view.request, name).is_none()
                {
                    self.rules.copied(name).map_err(|error| error.at(*span))?;
                }
            }
        }
        Ok(Changes { facts: vec![Fact::Parents(parents)], ..Changes::default() })
    }
}

impl CheckBaseImage {
    /// The image a stage is built on; none for a stage, for scratch, and for what `--build-context` puts in its place.
    fn parent(
        &self,
        view: &PreBuildView<'_>,
        stage: &StagePlan,
        platforms: &[String],
    ) -> Result<Option<Parent>, PluginError> {
        let Base::Image(name) = &stage.base else { return Ok(None) };
        if let Some(context) = context(view.request, name) {
            return match context {
                NamedContext::Image(location) => match location.in_registry() {
                    Some(image) => self.rules.check(name, image.registry()).map(|()| None),
                    None => Ok(None),
                },
                NamedContext::Tree(_) => Ok(None),
            };
        }
        let reference = decide(name, &self.rules)?;
        let image = view.transports.open(&Location::Registry(reference.clone()), &stage.platform)?;
        // FROM --platform means this one, whatever the build is for.
        if stage.platform == view.request.platform {
            check_platforms(name, &image.platforms, platforms)?;
        }
        let pinned = image.location.in_registry().cloned().unwrap_or(reference);
        let platforms = image.platforms.iter().map(ToString::to_string).collect();
        Ok(Some(Parent { stage: stage.index, name: name.clone(), pinned, image: Arc::new(image), platforms }))
    }
}

impl Rules {
    /// What the site says.
    pub(crate) fn of(site: &Site) -> Self {
        let source = site.source_registry.as_ref().map(|registry| registry.url.host().to_owned());
        let pull = site.pull_registries.iter().map(|registry| registry.url.host().to_owned());
        let allowed = source.iter().cloned().chain(pull).collect();
        Self { source, allowed, organization: site.registries_organization.clone() }
    }

    fn allows(&self, registry: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed == registry)
    }

    /// Refuses `name` where it is in a registry that is not allowed.
    fn check(&self, name: &str, registry: &str) -> Result<(), PluginError> {
        if self.allows(registry) {
            return Ok(());
        }
        let text = format!("{name}: base images may not come from {registry} here");
        let allowed = self.allowed.join(", ");
        let help = format!("take it from {allowed}, or have the site add {registry} to pull_registries");
        Err(PluginError::new(Class::Refused, text).help(help))
    }

    /// Refuses an image that a stage copies from where its registry is not allowed. It is pinned like a base, but not
    /// moved to the source registry, so its name must be whole.
    pub(crate) fn copied(&self, name: &str) -> Result<(), PluginError> {
        let registry = registry_of(name).unwrap_or(oci::reference::DEFAULT_REGISTRY);
        self.check(name, registry)
    }

    /// The keys of the site's configuration because of which `name` is `image`.
    pub(crate) fn why(&self, name: &str, image: &Reference) -> String {
        if self.source.as_deref() != Some(image.registry()) {
            return "pull_registries".to_owned();
        }
        let given = registry_of(name).map_or(name, |registry| without(name, registry));
        let is_enclosed = self.organization.is_some() && !given.starts_with(image.repository());
        if is_enclosed { "source_registry, registries_organization".to_owned() } else { "source_registry".to_owned() }
    }
}

/// The image that `name` of a Dockerfile means at this site.
pub(crate) fn decide(name: &str, rules: &Rules) -> Result<Reference, PluginError> {
    if is_by_koji(name) {
        let text = format!("{name}: base images that Koji makes (image-build) are not built by this program");
        return Err(PluginError::new(Class::Source, text).help("build the base image first, and name it after FROM"));
    }
    let wrong = |error: oci::ReferenceError| PluginError::of(Class::Source, &error);
    // What the registry is counts before anything that is wrong with the rest of the name.
    let registry = registry_of(name).or(rules.source.as_deref()).unwrap_or(oci::reference::DEFAULT_REGISTRY);
    rules.check(name, registry)?;
    let named: ImageName = name.parse().map_err(wrong)?;
    let named = match &rules.organization {
        Some(organization) if rules.source.as_deref() == Some(registry) => {
            named.with_repository(&enclose(named.repository(), organization)).map_err(wrong)?
        }
        Some(_) | None => named,
    };
    named.or_in(registry).map_err(wrong)
}

/// Whether Koji is to make this base image (`koji/image-build`, with the name of a file behind a colon or without).
pub(crate) fn is_by_koji(name: &str) -> bool {
    name == BY_KOJI || name.strip_prefix(BY_KOJI).is_some_and(|rest| rest.starts_with(':'))
}

/// The registry a name begins with: its first part, if that can be a host's name.
fn registry_of(name: &str) -> Option<&str> {
    let (first, _) = name.split_once('/')?;
    (first.contains(['.', ':']) || first == "localhost").then_some(first)
}

/// `name` without the registry it begins with.
fn without<'n>(name: &'n str, registry: &str) -> &'n str {
    name.strip_prefix(registry).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
}

/// `namespace/name` inside an organization: `organization/namespace-name`.
pub(crate) fn enclose(repository: &str, organization: &str) -> String {
    match repository.split_once('/') {
        Some((first, _)) if first == organization => repository.to_owned(),
        // Only the namespace is joined: what is below it stays below it.
        Some((namespace, rest)) => format!("{organization}/{namespace}-{rest}"),
        None => format!("{organization}/{repository}"),
    }
}

/// The `--build-context` that `name` means: literally, or as an image reference that says the same.
pub(crate) fn context<'r>(request: &'r Request, name: &str) -> Option<&'r NamedContext> {
    let is_same = |known: &str| {
        let parse = |text: &str| text.parse::<Reference>().ok();
        parse(known).is_some_and(|known| Some(known) == parse(name))
    };
    let similar = || request.contexts.iter().find(|(known, _)| is_same(known)).map(|(_, context)| context);
    request.contexts.get(name).or_else(similar)
}

fn check_platforms(name: &str, present: &[Platform], wanted: &[String]) -> Result<(), PluginError> {
    if present.is_empty() && wanted.len() < 2 {
        return Ok(());
    }
    let has = |architecture: &&String| present.iter().any(|platform| platform.architecture == **architecture);
    let missing: Vec<&str> = wanted.iter().filter(|wanted| !has(wanted)).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    // Indexes list attestations too, as for nobody's platform.
    let real = present.iter().filter(|platform| platform.architecture != "unknown");
    let real: Vec<String> = real.map(ToString::to_string).collect();
    let is =
        if real.is_empty() { "is for one platform only".to_owned() } else { format!("is for {}", real.join(", ")) };
    let text = format!("{name}: the image {is}; the build needs {} too", missing.join(", "));
    Err(PluginError::new(Class::Source, text)
        .help("take a base image that is there for all platforms of container.yaml"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The rules of a site with a source registry and another one.
    pub(crate) fn rules(organization: Option<&str>) -> Rules {
        Rules {
            source: Some("src.example".to_owned()),
            allowed: vec!["src.example".to_owned(), "other.example".to_owned()],
            organization: organization.map(str::to_owned),
        }
    }

    #[track_caller]
    fn check(name: &str, organization: Option<&str>, expected: &str) {
        assert_eq!(decide(name, &rules(organization)).unwrap().to_string(), expected);
    }

    #[test]
    fn names_without_a_registry_come_from_the_source_registry() {
        check("fedora", None, "src.example/fedora:latest");
        check("fedora:40", None, "src.example/fedora:40");
        check("rhel7/etcd:1", None, "src.example/rhel7/etcd:1");
        check("other.example/ns/img:2", None, "other.example/ns/img:2");
        let digest = oci::Digest::of(b"");
        check(&format!("fedora@{digest}"), None, &format!("src.example/fedora@{digest}"));
    }

    #[test]
    fn without_a_source_registry_names_mean_docker_hub() {
        let rules = Rules { source: None, allowed: vec!["docker.io".to_owned()], organization: None };
        assert_eq!(decide("fedora:40", &rules).unwrap().to_string(), "docker.io/library/fedora:40");
        let error = decide("fedora:40", &Rules { allowed: vec!["r.example".to_owned()], ..rules }).unwrap_err();
        assert_eq!(error.text, "fedora:40: base images may not come from docker.io here");
    }

    #[test]
    fn an_organization_encloses_what_comes_from_the_source_registry() {
        check("rhel7/etcd:1", Some("org"), "src.example/org/rhel7-etcd:1");
        check("fedora", Some("org"), "src.example/org/fedora:latest");
        check("a/b/c:1", Some("org"), "src.example/org/a-b/c:1");
        check("org/x", Some("org"), "src.example/org/x:latest");
        check("src.example/x:1", Some("org"), "src.example/org/x:1");
        check("other.example/ns/img:2", Some("org"), "other.example/ns/img:2");
    }

    #[test]
    fn other_registries_are_refused_with_those_that_are_allowed() {
        let error = decide("third.example/x:1", &rules(None)).unwrap_err();
        let text = "third.example/x:1: base images may not come from third.example here";
        let help = "take it from src.example, other.example, or have the site add third.example to pull_registries";
        assert_eq!(error, PluginError::new(Class::Refused, text).help(help));
    }

    #[test]
    fn an_image_that_is_only_copied_from_must_be_allowed_too() {
        let error = rules(None).copied("third.example/x/y:1").unwrap_err();
        assert_eq!(error.text, "third.example/x/y:1: base images may not come from third.example here");
        rules(None).copied("other.example/x/y:1").unwrap();
        // It is not moved, so it would come from docker.io.
        rules(None).copied("busybox").unwrap_err();
    }

    #[test]
    fn images_that_koji_makes_are_refused_by_name() {
        for name in ["koji/image-build", "koji/image-build:my.conf"] {
            let text = format!("{name}: base images that Koji makes (image-build) are not built by this program");
            assert_eq!(decide(name, &rules(None)).unwrap_err().text, text);
        }
        check("koji/image-builder", None, "src.example/koji/image-builder:latest");
    }

    #[track_caller]
    fn index(present: &[&str], wanted: &[&str], expected: Result<(), &str>) {
        let present: Vec<Platform> = present.iter().map(|platform| platform.parse().unwrap()).collect();
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let found = check_platforms("a:1", &present, &wanted).map_err(|error| error.text);
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_base_image_has_all_platforms_that_are_wanted() {
        index(&["linux/amd64", "linux/arm64"], &["amd64", "arm64"], Ok(()));
        index(&[], &["amd64"], Ok(()));
        let text = "a:1: the image is for linux/amd64; the build needs arm64, s390x too";
        index(&["linux/amd64", "unknown/unknown"], &["amd64", "arm64", "s390x"], Err(text));
        let text = "a:1: the image is for one platform only; the build needs amd64, arm64 too";
        index(&[], &["amd64", "arm64"], Err(text));
    }
}
