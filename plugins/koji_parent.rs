//! `koji_parent`: the builds in Koji that parents are.
//!
//! Reads the parents that check_base_image found, their labels component, version and release, and the hub. Waits until
//! each parent's build is there and complete (`poll_interval` and `poll_timeout`, seconds; 10 and 180), compares the
//! digest it was pulled by with that of the build, and, where these differ and the site's
//! `deep_manifest_list_inspection` says so, the digest for the platform with that of the build's archive. Returns the
//! builds. Fails the build when a parent's build failed, when it is missing unless `skip_koji_check_for_base_image`
//! allows that, and when digests differ unless `fail_on_digest_mismatch` is off. A build that is thrown away asks for
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use koji::{Archive, BuildInfo, BuildState, Hub};
use pipeline::{Changes, Class, Fact, Made, Parent, ParentBuilds, Plugin, PluginError, PreBuild, PreBuildView, Setup};
use serde_json::Value;

use crate::bump_release::Pause;
use crate::koji_rules::{failed, seconds};
use crate::{check_base_image, labels};

/// How often, and how long, a build is waited for.
const POLL: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(180));
/// What Koji calls the files of an image's build.
const IMAGE: &str = "image";

#[derive(Debug)]
struct KojiParent {
    hub: Arc<dyn Hub>,
    rules: Rules,
}

/// What is asked of parents.
#[derive(Clone, Copy, Debug)]
struct Rules {
    interval: Duration,
    timeout: Duration,
    may_be_missing: bool,
    looks_deeper: bool,
    refuses_mismatch: bool,
}

/// A parent as its build should have it.
#[derive(Clone, Copy, Debug)]
struct Pulled<'p> {
    /// As the Dockerfile names it.
    name: &'p str,
    /// What the name stood for: that of the index where there is one.
    digest: Option<&'p str>,
    /// Of the manifest for the platform.
    manifest: &'p str,
    /// What images call the platform's architecture.
    architecture: &'p str,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let site = setup.site;
    let acts = check_base_image::acts(site) && !setup.wanted.task.is_scratch;
    let Some(hub) = setup.wanted.hub.as_ref().filter(|_| acts) else { return Ok(None) };
    let rules = Rules {
        interval: seconds(setup, "poll_interval", POLL.0)?,
        timeout: seconds(setup, "poll_timeout", POLL.1)?,
        may_be_missing: site.skip_koji_check_for_base_image,
        looks_deeper: site.deep_manifest_list_inspection,
        refuses_mismatch: site.fail_on_digest_mismatch,
    };
    Ok(Some(Box::new(KojiParent { hub: Arc::clone(hub), rules })))
}

impl Plugin<PreBuild> for KojiParent {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let parents = view.facts.parents().ok_or_else(|| {
            PluginError::new(Class::Configuration, "nobody looked at the parents; let check_base_image run before")
        })?;
        let pause = |wait| {
            view.http.pause(wait);
            !view.http.is_cancelled()
        };
        let (mut found, mut warnings) = (ParentBuilds::default(), Vec::new());
        let mut mismatches: Vec<(usize, String)> = Vec::new();
        let root = view.plan.root_stage();
        for parent in parents {
            let build = match found.builds.get(&parent.name) {
                Some(build) => build.clone(),
                None => self
                    .build_of(parent, &pause, (&mut warnings, &mut mismatches))
                    .map_err(|error| placed(error, view, parent.stage))?,
            };
            if root == Some(parent.stage) {
                found.base.clone_from(&build);
            }
            found.builds.insert(parent.name.clone(), build);
        }
        if let Some((stage, _)) = mismatches.first().filter(|_| self.rules.refuses_mismatch) {
            let text = mismatches.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("; ");
            let help = "rebuild the parent, or have the site set fail_on_digest_mismatch to false";
            return Err(placed(PluginError::new(Class::Refused, text).help(help), view, *stage));
        }
        warnings.extend(mismatches.into_iter().map(|(_, text)| text));
        Ok(Changes { facts: vec![Fact::ParentBuilds(found)], warnings, ..Changes::default() })
    }
}

impl KojiParent {
    /// The build that a parent is, compared with it; none where there is none and that is allowed.
    fn build_of(
        &self,
        parent: &Parent,
        pause: Pause<'_>,
        (warnings, mismatches): (&mut Vec<String>, &mut Vec<(usize, String)>),
    ) -> Result<Option<BuildInfo>, PluginError> {
        let config = &parent.image.config;
        let name = parent.name.as_str();
        let nvr = nvr_of(&config.config.labels);
        let build = match &nvr {
            Ok(nvr) => wait_for(self.hub.as_ref(), (name, nvr), (&self.rules, pause))?,
            Err(_) => None,
        };
        let Some(build) = build else {
            let why = nvr.map_or_else(|label| format!("it has no label {label}"), |nvr| format!("there is no {nvr}"));
            let text = format!("{name}: it is no build in Koji: {why}");
            if self.rules.may_be_missing {
                warnings.push(text);
                return Ok(None);
            }
            return Err(PluginError::new(Class::Refused, text).help(
                "take a parent that was built with Koji, or have the site allow it with skip_koji_check_for_base_image",
            ));
        };
        let (digest, manifest) =
            (parent.pinned.digest().map(ToString::to_string), parent.image.descriptor.digest.to_string());
        let architecture = config.architecture.to_string();
        let pulled = Pulled { name, digest: digest.as_deref(), manifest: &manifest, architecture: &architecture };
        mismatches.extend(self.compare(pulled, &build)?.map(|text| (parent.stage, text)));
        Ok(Some(build))
    }

    /// How a parent differs from its build; none where it does not.
    fn compare(&self, pulled: Pulled<'_>, build: &BuildInfo) -> Result<Option<String>, PluginError> {
        let digests = index_digests(build);
        if pulled.digest.is_some_and(|digest| digests.contains(&digest.to_owned())) {
            return Ok(None);
        }
        // A build for one platform may have no index at all.
        if !digests.is_empty() && !self.rules.looks_deeper {
            return Ok(Some(mismatch(pulled, build, &digests)));
        }
        let archives = self.hub.archives(build.id).map_err(|error| failed(&error))?;
        let of_platform = archive_digests(&archives, pulled.architecture);
        if of_platform.iter().any(|digest| digest == pulled.manifest) {
            return Ok(None);
        }
        let all = digests.into_iter().chain(of_platform).collect::<Vec<_>>();
        Ok(Some(mismatch(pulled, build, &all)))
    }
}

fn mismatch(pulled: Pulled<'_>, build: &BuildInfo, known: &[String]) -> String {
    let known = if known.is_empty() { "no digest".to_owned() } else { known.join(", ") };
    let digest = pulled.digest.unwrap_or(pulled.manifest);
    format!("{}: its digest is {digest}, but its build in Koji {} has {known}", pulled.name, build.nvr)
}

/// With the place of the FROM of a stage.
fn placed(error: PluginError, view: &PreBuildView<'_>, stage: usize) -> PluginError {
    let mut stages = view.plan.needed.iter().chain(&view.plan.others);
    match stages.find(|one| one.index == stage) {
        Some(stage) => error.at(stage.base_span),
        None => error,
    }
}

/// The name of the build by an image's labels; else the label that is missing.
fn nvr_of(labels: &BTreeMap<String, String>) -> Result<String, &'static str> {
    let value = |name: &'static str| labels::value(labels, name).ok_or(name);
    Ok(format!("{}-{}-{}", value("com.redhat.component")?, value("version")?, value("release")?))
}

/// The build of this name, which is that of `parent`, once it is complete; none where it does not come in time.
fn wait_for(
    hub: &dyn Hub,
    (parent, nvr): (&str, &str),
    (rules, pause): (&Rules, Pause<'_>),
) -> Result<Option<BuildInfo>, PluginError> {
    let mut waited = Duration::ZERO;
    loop {
        let build = hub.build(nvr).map_err(|error| failed(&error))?;
        let came_to = match build {
            Some(build) => match build.state {
                BuildState::Complete => return Ok(Some(build)),
                BuildState::Building => None,
                BuildState::Deleted => Some("was deleted"),
                BuildState::Failed => Some("failed"),
                BuildState::Canceled => Some("was cancelled"),
            },
            None => None,
        };
        if let Some(came_to) = came_to {
            return Err(PluginError::new(Class::Refused, format!("{parent}: its build {nvr} in Koji {came_to}")));
        }
        // Without an interval nothing would ever be waited for.
        let wait = rules.interval.max(Duration::from_secs(1));
        waited += wait;
        if waited > rules.timeout {
            return Ok(None);
        }
        if !pause(wait) {
            return Err(PluginError::new(Class::Cancelled, format!("cancelled while waiting for {nvr} in Koji")));
        }
    }
}

/// What `extra.image.index.digests` has.
fn index_digests(build: &BuildInfo) -> Vec<String> {
    let extra = json(build.extra.as_deref());
    texts(&extra["image"]["index"]["digests"])
}

/// The digests of the archives for an architecture.
fn archive_digests(archives: &[Archive], architecture: &str) -> Vec<String> {
    let images = archives.iter().filter(|archive| archive.kind == IMAGE).map(|archive| json(archive.extra.as_deref()));
    let ours = images.filter(|extra| extra["docker"]["config"]["architecture"].as_str() == Some(architecture));
    ours.flat_map(|extra| texts(&extra["docker"]["digests"])).collect()
}

fn json(text: Option<&str>) -> Value {
    // What is no JSON says nothing.
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn texts(map: &Value) -> Vec<String> {
    map.as_object().into_iter().flatten().filter_map(|(_, value)| value.as_str()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use koji::HubError;
    use serde_json::json;

    use super::*;
    use crate::decisions::koji::Scripted;

    const RULES: Rules = Rules {
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(30),
        may_be_missing: false,
        looks_deeper: true,
        refuses_mismatch: true,
    };

    fn build(state: BuildState, extra: &Value) -> BuildInfo {
        BuildInfo { id: 5, nvr: "p-1-2".to_owned(), state, extra: Some(extra.to_string()) }
    }

    #[test]
    fn a_build_that_is_not_there_is_waited_for_and_given_up() {
        let (hub, waits) = (Scripted::default(), Cell::new(0));
        let pause = |_| {
            waits.set(waits.get() + 1);
            true
        };
        assert_eq!(wait_for(&hub, ("p:1", "p-1-2"), (&RULES, &pause)).unwrap(), None);
        assert_eq!((waits.get(), hub.calls().len()), (3, 4));
        let error = wait_for(&hub, ("p:1", "p-1-2"), (&RULES, &|_| false)).unwrap_err();
        assert_eq!(error.class, Class::Cancelled);
    }

    #[test]
    fn a_build_that_came_to_nothing_ends_the_wait() {
        let hub = Scripted { builds: vec![build(BuildState::Failed, &json!({}))], ..Scripted::default() };
        let error = wait_for(&hub, ("p:1", "p-1-2"), (&RULES, &|_| true)).unwrap_err();
        assert_eq!((error.class, error.text.as_str()), (Class::Refused, "p:1: its build p-1-2 in Koji failed"));
    }

    #[test]
    fn the_label_that_a_parent_lacks_is_named() {
        let labels = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), "1".to_owned())).collect();
        assert_eq!(nvr_of(&labels(&["com.redhat.component", "version", "release"])), Ok("1-1-1".to_owned()));
        assert_eq!(nvr_of(&labels(&["com.redhat.component", "release"])), Err("version"));
    }

    #[track_caller]
    fn compared(rules: Rules, extra: &Value, archives: Vec<Archive>, expected: Option<&str>) {
        let hub = Arc::new(Scripted { archives, ..Scripted::default() });
        let plugin = KojiParent { hub, rules };
        let pulled = Pulled { name: "p", digest: Some("sha256:index"), manifest: "sha256:own", architecture: "amd64" };
        let found = plugin.compare(pulled, &build(BuildState::Complete, extra)).unwrap();
        assert_eq!(found.as_deref(), expected);
    }

    fn archive(architecture: &str, digest: &str) -> Vec<Archive> {
        let extra = json!({ "docker": { "config": { "architecture": architecture }, "digests": { "m": digest } } });
        vec![Archive { id: 1, kind: IMAGE.to_owned(), extra: Some(extra.to_string()) }]
    }

    #[test]
    fn the_digest_is_that_of_the_build_or_of_its_archive_for_the_platform() {
        let index = |digest: &str| json!({ "image": { "index": { "digests": { "list": digest } } } });
        compared(RULES, &index("sha256:index"), Vec::new(), None);
        compared(RULES, &index("sha256:other"), archive("amd64", "sha256:own"), None);
        compared(RULES, &json!({ "image": {} }), archive("amd64", "sha256:own"), None);
        let text = "p: its digest is sha256:index, but its build in Koji p-1-2 has sha256:other";
        compared(RULES, &index("sha256:other"), archive("arm64", "sha256:own"), Some(text));
        let shallow = Rules { looks_deeper: false, ..RULES };
        compared(shallow, &index("sha256:other"), archive("amd64", "sha256:own"), Some(text));
        let text = "p: its digest is sha256:index, but its build in Koji p-1-2 has no digest";
        compared(RULES, &json!(null), Vec::new(), Some(text));
    }

    #[test]
    fn a_hub_that_does_not_answer_is_said() {
        let error = HubError::Remote { call: "getBuild", text: "away".to_owned() };
        assert_eq!(failed(&error), PluginError::new(Class::Remote, "getBuild: away"));
    }
}
