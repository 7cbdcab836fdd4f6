//! `resolve_composes`: repositories that the compose service makes for the build.
//!
//! Reads `compose` of container.yaml, content sets, what the build system demands (`compose_ids`, `signing_intent`,
//! `koji_target`, `yum_repourls`), the site's `odcs`, and the parent's build as koji_parent found it. Asks for composes
//! or takes those demanded, waits for them, renews those that are gone or end within two hours. Returns them with the
//! URLs of their repository files by platform, the signing intent they have all in all, and whether the Koji target's
//! repository is needed too. Fails the build when a compose fails or takes too long, in which case those it asked for
//! are given up, and when a compose has keys that no intent knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use koji::Hub;
use koji::odcs::{Compose, ComposeError, ComposeService};
use pipeline::site::SigningIntent;
use pipeline::{Changes, Class, Composes, Fact, Made, Plugin, PluginError, PreBuild, PreBuildView, Setup, Task};
use serde_json::Value;

use crate::compose_requests::{self, Around};
use crate::koji_rules::{failed, number};
use crate::signing_intents::Intents;
use crate::{container_yaml, content_sets};

/// How long a compose must last, in seconds.
const LASTS: u64 = 2 * 60 * 60;
/// A compose of modules alone, which needs packages from elsewhere.
const OF_MODULES: u64 = 2;

#[derive(Debug)]
struct ResolveComposes {
    odcs: Option<Arc<ComposeService>>,
    hub: Option<Arc<dyn Hub>>,
    task: Task,
    lasts: u64,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let (odcs, hub, task) = (setup.wanted.odcs.clone(), setup.wanted.hub.clone(), setup.wanted.task.clone());
    let lasts = number(setup, "minimum_time_to_expire")?.unwrap_or(LASTS);
    if odcs.is_none() && hub.is_none() && task.compose_ids.is_empty() {
        return Ok(None);
    }
    let refused = |text: &str| Err(PluginError::new(Class::Configuration, text));
    if odcs.is_none() && !task.compose_ids.is_empty() {
        return refused("compose_ids are demanded, but the site has no `odcs`");
    }
    if !task.compose_ids.is_empty() && task.signing_intent.is_some() {
        return refused("signing_intent and compose_ids exclude each other");
    }
    Ok(Some(Box::new(ResolveComposes { odcs, hub, task, lasts })))
}

/// What the parent's build says of its own composes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Inherited {
    compose_ids: Vec<u64>,
    repositories: Vec<String>,
    signing_intent: Option<String>,
}

impl Inherited {
    fn of(extra: Option<&str>) -> Self {
        let extra: Value = extra.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let image = &extra["image"];
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        Self {
            compose_ids: list(&image["odcs"]["compose_ids"]).iter().filter_map(Value::as_u64).collect(),
            repositories: list(&image["yum_repourls"]).iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            signing_intent: image["odcs"]["signing_intent"].as_str().map(str::to_owned),
        }
    }
}

impl Plugin<PreBuild> for ResolveComposes {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let wanted = container_yaml::of(view)?.compose;
        let parent = view.facts.parent_builds().and_then(|builds| builds.base.as_ref());
        let parent = parent.map(|build| Inherited::of(build.extra.as_deref())).unwrap_or_default();
        let mut warnings = Vec::new();
        let inherits = wanted.as_ref().is_some_and(|wanted| wanted.inherit) && self.may_inherit(&mut warnings);
        let of_parent = if inherits { parent.clone() } else { Inherited::default() };
        let has_repositories = !self.task.yum_repourls.is_empty() || !of_parent.repositories.is_empty();
        let mut found = Found { repositories: of_parent.repositories, has_repositories, ..Found::default() };
        let ids: Vec<u64> = self.task.compose_ids.iter().chain(&of_parent.compose_ids).copied().collect();
        match (&self.odcs, &view.site.odcs) {
            (Some(odcs), Some(site)) if wanted.is_some() || !ids.is_empty() => {
                let intents = Intents(&site.signing_intents);
                let resolve = Resolve { plugin: self, odcs, intents, usual: &site.default_signing_intent, view };
                resolve.run((wanted.as_ref(), parent.signing_intent.as_deref()), ids, &mut found)?;
            }
            _ if wanted.is_some() => {
                warnings.push(format!("{}: `compose` has no effect, for the site has no `odcs`", container_yaml::NAME));
            }
            _ => {}
        }
        Ok(Changes { facts: vec![Fact::Composes(found.fact())], warnings, ..Changes::default() })
    }
}

impl ResolveComposes {
    fn may_inherit(&self, warnings: &mut Vec<String>) -> bool {
        let is_for_few = self.task.is_scratch || self.task.is_isolated;
        if is_for_few {
            let text = "compose.inherit has no effect for scratch and isolated builds";
            warnings.push(format!("{}: {text}", container_yaml::NAME));
        }
        !is_for_few
    }

    /// The tag that the target builds with.
    fn tag(&self) -> Result<Option<String>, PluginError> {
        let (Some(hub), Some(target)) = (&self.hub, &self.task.koji_target) else { return Ok(None) };
        let found = hub.build_target(target).map_err(|error| failed(&error))?;
        let missing = || PluginError::new(Class::Configuration, format!("there is no target {target} in Koji"));
        found.ok_or_else(missing).map(|target| Some(target.build_tag))
    }
}

/// What is known in the end.
#[derive(Debug, Default)]
struct Found {
    composes: Vec<Compose>,
    /// URLs for every platform, besides those of composes.
    repositories: Vec<String>,
    has_repositories: bool,
    signing_intent: Option<String>,
    is_overridden: bool,
}

impl Found {
    fn fact(self) -> Composes {
        // Composes of packages may hold all that is needed; those of modules never do.
        let is_complete = self.has_repositories || self.composes.iter().any(|one| one.source_type != OF_MODULES);
        Composes {
            repositories: forwarded(&self.composes, &self.repositories),
            composes: self.composes,
            include_koji_repo: !is_complete,
            signing_intent: self.signing_intent,
            is_overridden: self.is_overridden,
        }
    }
}

/// URLs of repository files by platform. What is for every platform is in every list, and in one of its own.
fn forwarded(composes: &[Compose], more: &[String]) -> BTreeMap<String, Vec<String>> {
    let mut by_platform: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut any = Vec::new();
    for compose in composes {
        match &compose.architectures {
            None => any.push(compose.repository_file.clone()),
            Some(platforms) => {
                for platform in platforms {
                    by_platform.entry(platform.clone()).or_default().push(compose.repository_file.clone());
                }
            }
        }
    }
    any.extend_from_slice(more);
    by_platform.values_mut().for_each(|urls| urls.extend_from_slice(&any));
    if !any.is_empty() {
        by_platform.insert(Composes::ANY.to_owned(), any);
    }
    by_platform
}

/// One resolution at work.
struct Resolve<'a> {
    plugin: &'a ResolveComposes,
    odcs: &'a ComposeService,
    intents: Intents<'a>,
    usual: &'a str,
    view: &'a PreBuildView<'a>,
}

impl Resolve<'_> {
    fn run(
        &self,
        (wanted, of_parent): (Option<&container_yaml::Compose>, Option<&str>),
        mut ids: Vec<u64>,
        found: &mut Found,
    ) -> Result<(), PluginError> {
        ids.sort_unstable();
        ids.dedup();
        let of_parent = of_parent.map(|name| self.intents.named(name)).transpose()?;
        let asked = wanted.and_then(|wanted| wanted.signing_intent.as_deref()).unwrap_or(self.usual);
        let demanded = self.plugin.task.signing_intent.as_deref().unwrap_or(asked);
        let intent = intended(self.intents, (asked, demanded), of_parent)?;
        let mut new = Vec::new();
        if let Some(wanted) = wanted.filter(|_| self.plugin.task.compose_ids.is_empty()) {
            self.request(wanted, intent, &mut new)?;
            ids.extend(&new);
        }
        let composes = self.wait_for_all(&ids, &mut new);
        if composes.is_err() {
            self.give_up(&new);
        }
        found.composes = composes?;
        let all =
            found.composes.iter().map(|compose| self.intents.of_keys(&compose.keys)).collect::<Result<Vec<_>, _>>();
        let last = self.intents.least(all?.into_iter().chain(of_parent)).unwrap_or(intent);
        found.signing_intent = Some(last.name.clone());
        found.is_overridden = last.name != asked;
        Ok(())
    }

    fn request(
        &self,
        wanted: &container_yaml::Compose,
        intent: &SigningIntent,
        new: &mut Vec<u64>,
    ) -> Result<(), PluginError> {
        let own = self.view.site.platform(&self.view.request.platform.architecture).to_owned();
        // What check_and_set_platforms decided beats what was demanded of it.
        let decided = self.view.facts.platforms().map(<[String]>::to_vec);
        let mut platforms = decided.unwrap_or_else(|| self.plugin.task.platforms.clone());
        if platforms.is_empty() {
            platforms.push(own);
        }
        platforms.sort();
        let sets = self.view.context_file(content_sets::NAME)?;
        let (content_sets, _) = sets.as_deref().map(content_sets::read).transpose()?.unwrap_or_default();
        let tag = self.plugin.tag()?;
        let around = Around { tag: tag.as_deref(), platforms: &platforms, content_sets, keys: &intent.keys };
        for request in compose_requests::decide(wanted, &around)? {
            match self.odcs.start(&request) {
                Ok(compose) => new.push(compose.id),
                Err(error) => {
                    self.give_up(new);
                    return Err(of(&error));
                }
            }
        }
        Ok(())
    }

    fn wait_for_all(&self, ids: &[u64], new: &mut Vec<u64>) -> Result<Vec<Compose>, PluginError> {
        let mut composes = Vec::new();
        for id in ids {
            let mut compose = self.odcs.wait(*id).map_err(|error| of(&error))?;
            if needs_renewal(&compose, self.view.request.started, self.plugin.lasts) {
                let keys = renewed(self.intents, &compose)?;
                let renewed = self.odcs.renew(*id, &keys).map_err(|error| of(&error))?;
                new.push(renewed.id);
                compose = self.odcs.wait(renewed.id).map_err(|error| of(&error))?;
            }
            composes.push(compose);
        }
        Ok(composes)
    }

    /// Gives up what is not done of the composes asked for. What cannot be given up ends by itself.
    fn give_up(&self, new: &[u64]) {
        let odcs = self.odcs.for_last_words();
        for id in new {
            let is_open = |compose: &Compose| matches!(compose.state.as_str(), "wait" | "generating");
            let given_up = match odcs.status(*id) {
                Ok(compose) if is_open(&compose) => odcs.cancel(*id),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = given_up {
                tracing::warn!(id, %error, "a compose could not be given up");
            }
        }
    }
}

fn of(error: &ComposeError) -> PluginError {
    let class = match error {
        ComposeError::Remote { .. } | ComposeError::TimedOut { .. } | ComposeError::Failed { .. } => Class::Remote,
        ComposeError::Cancelled { .. } => Class::Cancelled,
        ComposeError::NoLogin { .. } => Class::Configuration,
    };
    PluginError::of(class, error)
}

/// The intent of new composes: the demanded one, but not more restrictive than the parent's.
fn intended<'i>(
    intents: Intents<'i>,
    (asked, demanded): (&str, &str),
    of_parent: Option<&'i SigningIntent>,
) -> Result<&'i SigningIntent, PluginError> {
    intents.named(asked)?;
    let demanded = intents.named(demanded)?;
    Ok(intents.least([demanded].into_iter().chain(of_parent)).unwrap_or(demanded))
}

/// Whether a compose is gone, or will be too soon.
fn needs_renewal(compose: &Compose, now: u64, lasts: u64) -> bool {
    compose.state == "removed" || compose.expires.is_some_and(|expires| expires.saturating_sub(now) <= lasts)
}

/// The keys of a compose that is made again: without those its intent no longer has.
fn renewed(intents: Intents<'_>, compose: &Compose) -> Result<Vec<String>, PluginError> {
    Ok(intents.of_keys(&compose.keys)?.keys.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intents() -> Vec<SigningIntent> {
        let intent = |name: &str, keys: &[&str]| SigningIntent {
            name: name.to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            deprecated_keys: vec!["old".to_owned()],
        };
        vec![intent("release", &["R1"]), intent("unsigned", &[])]
    }

    #[test]
    fn an_intent_is_that_of_the_user_but_not_stricter_than_the_parents() {
        let all = intents();
        let intents = Intents(&all);
        let name = |asked, demanded, parent: Option<&str>| {
            let parent = parent.map(|name| intents.named(name).unwrap());
            intended(intents, (asked, demanded), parent).map(|intent| intent.name.clone()).map_err(|error| error.text)
        };
        assert_eq!(name("release", "release", None), Ok("release".to_owned()));
        assert_eq!(name("release", "unsigned", None), Ok("unsigned".to_owned()));
        assert_eq!(name("release", "release", Some("unsigned")), Ok("unsigned".to_owned()));
        assert_eq!(name("release", "beta", None), Err("there is no signing intent beta".to_owned()));
    }

    #[test]
    fn composes_that_end_soon_are_renewed_with_the_keys_of_today() {
        let compose = |state: &str, expires| Compose { state: state.to_owned(), expires, ..Compose::default() };
        assert!(needs_renewal(&compose("removed", None), 0, LASTS));
        assert!(needs_renewal(&compose("done", Some(7200)), 0, LASTS));
        assert!(
            !needs_renewal(&compose("done", Some(7201)), 0, LASTS) && !needs_renewal(&compose("done", None), 0, LASTS)
        );
        let old = Compose { keys: vec!["old".to_owned()], ..Compose::default() };
        assert_eq!(renewed(Intents(&intents()), &old).unwrap(), ["R1"]);
    }

    #[test]
    fn repositories_are_forwarded_by_platform() {
        let compose = |url: &str, platforms: Option<&str>| Compose {
            repository_file: url.to_owned(),
            architectures: platforms.map(|text| text.split(' ').map(str::to_owned).collect()),
            source_type: OF_MODULES,
            ..Compose::default()
        };
        let composes = vec![compose("a", Some("x86_64 s390x")), compose("b", None)];
        let found = Found { composes, repositories: vec!["c".to_owned()], ..Found::default() };
        let fact = found.fact();
        assert_eq!(fact.repositories_for("x86_64"), ["a", "b", "c"]);
        assert_eq!(fact.repositories_for("aarch64"), ["b", "c"]);
        assert!(fact.include_koji_repo, "modules alone are not enough");
    }

    #[test]
    fn a_parent_says_what_it_was_made_with() {
        let extra =
            r#"{"image": {"odcs": {"compose_ids": [1, 2], "signing_intent": "release"}, "yum_repourls": ["u"]}}"#;
        let expected = Inherited {
            compose_ids: vec![1, 2],
            repositories: vec!["u".to_owned()],
            signing_intent: Some("release".to_owned()),
        };
        assert_eq!(Inherited::of(Some(extra)), expected);
        assert_eq!(Inherited::of(Some("null")), Inherited::default());
    }
}
