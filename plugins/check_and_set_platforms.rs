//! `check_and_set_platforms`: which platforms an image is built for.
//!
//! Reads the architectures of the Koji target's tag, the platforms a user asks for, `platforms` of container.yaml, and
//! for which of those asked for the site has hosts (`clusters`, `remote_hosts`). Returns the platforms, sorted. Koji's come
//! first; a user's count only where there is no target, or where the image is scratch or isolated. Without either,
//! container.yaml's `only` count, and this build's own. Fails the build where none is left, where all hosts of one are
//! disabled, and where this build's own is not among them.

use std::collections::BTreeSet;
use std::sync::Arc;

use pipeline::site::Site;
use pipeline::{Changes, Class, Fact, Made, Plugin, PluginError, PreBuild, PreBuildView, Setup};

use crate::container_yaml::{self, ContainerYaml};

#[derive(Debug)]
struct CheckAndSetPlatforms {
    asked: Asked,
    target: Option<String>,
    hub: Option<Arc<dyn koji::Hub>>,
}

/// What is asked for besides container.yaml.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// By the Koji target; none where there is no target.
    pub(crate) koji: Option<Vec<String>>,
    /// By the user.
    pub(crate) user: Vec<String>,
    /// Whether the image is scratch or isolated.
    pub(crate) is_for_few: bool,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let task = &setup.wanted.task;
    let hub = setup.wanted.hub.clone();
    let target = setup.text("koji_target")?.or_else(|| task.koji_target.clone());
    let is_asked = (hub.is_some() && target.is_some()) || !task.platforms.is_empty();
    if setup.args.is_none() && !is_asked {
        return Ok(None);
    }
    let asked = Asked { koji: None, user: task.platforms.clone(), is_for_few: task.is_scratch || task.is_isolated };
    Ok(Some(Box::new(CheckAndSetPlatforms { asked, target, hub })))
}

impl Plugin<PreBuild> for CheckAndSetPlatforms {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let mut warnings = Vec::new();
        let koji = match (&self.target, &self.hub) {
            (Some(target), Some(hub)) => Some(of_target(hub.as_ref(), target)?),
            (Some(target), None) => {
                warnings.push(format!("no hub is known, so the platforms of the target {target} are not either"));
                None
            }
            (None, _) => None,
        };
        let asked = Asked { koji, ..self.asked.clone() };
        let own = view.site.platform(&view.request.platform.architecture);
        let yaml = container_yaml::of(view)?;
        let (platforms, more) = decide(Some(own), &asked, &yaml, view.site)?;
        warnings.extend(more);
        Ok(Changes { facts: vec![Fact::Platforms(platforms)], warnings, ..Changes::default() })
    }
}

/// The architectures of the tag that a target builds with.
fn of_target(hub: &dyn koji::Hub, target: &str) -> Result<Vec<String>, PluginError> {
    let failed = |error: koji::HubError| PluginError::of(Class::Remote, &error);
    let Some(known) = hub.build_target(target).map_err(failed)? else {
        let text = format!("{target}: there is no such target in Koji");
        return Err(PluginError::new(Class::Source, text));
    };
    hub.architectures(&known.build_tag).map_err(failed)
}

/// The architectures that base images must have, as images call them: of the platforms a plugin has decided, else of
/// those that container.yaml alone says.
pub(crate) fn of_images(view: &PreBuildView<'_>) -> Result<Vec<String>, PluginError> {
    let site = view.site;
    let platforms = match view.facts.platforms() {
        Some(platforms) => platforms.to_vec(),
        None => {
            let own = site.platform(&view.request.platform.architecture);
            decide(Some(own), &Asked::default(), &container_yaml::of(view)?, site)?.0
        }
    };
    let names: BTreeSet<String> = platforms.iter().map(|name| site.goarch(name).to_owned()).collect();
    Ok(names.into_iter().collect())
}

/// The platforms, and what is to be said of those that are left out. `own` is the one that this build is for.
pub(crate) fn decide(
    own: Option<&str>,
    asked: &Asked,
    yaml: &ContainerYaml,
    site: &Site,
) -> Result<(Vec<String>, Vec<String>), PluginError> {
    let (platforms, warnings) = all(own, asked, yaml, site)?;
    let Some(own) = own else { return Ok((platforms, warnings)) };
    let is_own = |name: &String| site.goarch(name) == site.goarch(own);
    if platforms.iter().any(is_own) {
        return Ok((platforms, warnings));
    }
    let by_yaml = yaml.not.iter().any(is_own) || !(yaml.only.is_empty() || yaml.only.iter().any(is_own));
    Err(left_out(own, by_yaml, &platforms))
}

fn all(
    own: Option<&str>,
    asked: &Asked,
    yaml: &ContainerYaml,
    site: &Site,
) -> Result<(Vec<String>, Vec<String>), PluginError> {
    let user = &asked.user;
    let candidates = match &asked.koji {
        // What is for few people is built for what its user asks for, whatever the target and container.yaml say; a target
        // without architectures builds nothing.
        Some(koji) if !koji.is_empty() && asked.is_for_few && !user.is_empty() && set(user) != set(koji) => {
            let (platforms, warnings) = with_hosts(sorted(user.iter().cloned()), site)?;
            return if platforms.is_empty() { Err(none_left(&[])) } else { Ok((platforms, warnings)) };
        }
        Some(koji) => koji.clone(),
        None if !user.is_empty() => user.clone(),
        // Nobody else says: those of container.yaml, of which this build's own is one if they do not leave it out.
        None if own.is_some() && !yaml.only.is_empty() => yaml.only.clone(),
        None => own.map(str::to_owned).into_iter().collect(),
    };
    let is_asked = asked.koji.is_some() || !user.is_empty();
    let (candidates, warnings) = if is_asked { with_hosts(candidates, site)? } else { (candidates, Vec::new()) };
    let same = |one: &String, other: &String| site.goarch(one) == site.goarch(other);
    let is_wanted = |name: &String| {
        (yaml.only.is_empty() || yaml.only.iter().any(|only| same(only, name)))
            && !yaml.not.iter().any(|not| same(not, name))
    };
    let platforms = sorted(candidates.iter().filter(|name| is_wanted(name)).cloned());
    if platforms.is_empty() && (own.is_none() || asked.koji.is_some()) {
        return Err(none_left(&candidates));
    }
    Ok((platforms, warnings))
}

/// Those that the site has hosts for, where it says so at all.
fn with_hosts(candidates: Vec<String>, site: &Site) -> Result<(Vec<String>, Vec<String>), PluginError> {
    if site.platform_hosts.is_empty() {
        return Ok((candidates, Vec::new()));
    }
    let disabled = sorted(candidates.iter().filter(|name| site.platform_hosts.get(*name) == Some(&false)).cloned());
    if !disabled.is_empty() {
        let text = format!("all hosts of the site for {} are disabled", disabled.join(", "));
        let help = "wait until one is enabled, or leave the platform out in container.yaml";
        return Err(PluginError::new(Class::Environment, text).help(help));
    }
    let (kept, skipped): (Vec<String>, Vec<String>) =
        candidates.into_iter().partition(|name| site.platform_hosts.contains_key(name));
    let warning = |name: &String| format!("the site has no hosts for {name}, so the image is not built for it");
    let warnings = skipped.iter().map(warning).collect();
    Ok((kept, warnings))
}

fn none_left(candidates: &[String]) -> PluginError {
    let text = match candidates {
        [] => "there is no platform to build for: nobody names one that the site has hosts for".to_owned(),
        some => format!("there is no platform to build for: container.yaml leaves out all of {}", some.join(", ")),
    };
    PluginError::new(Class::Source, text).help("change `platforms` in container.yaml")
}

fn left_out(own: &str, by_yaml: bool, platforms: &[String]) -> PluginError {
    let text = if by_yaml || platforms.is_empty() {
        format!("{}: its platforms leave out {own}, which this build is for", container_yaml::NAME)
    } else {
        format!("the image is built for {} only, and this build is for {own}", platforms.join(", "))
    };
    PluginError::new(Class::Source, text).help("change `platforms`, or build for another platform")
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

fn set(names: &[String]) -> BTreeSet<&String> {
    names.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn koji(names: &[&str]) -> Asked {
        Asked { koji: Some(owned(names)), ..Asked::default() }
    }

    #[track_caller]
    fn check(own: Option<&str>, asked: &Asked, yaml: &str, site: &Site, expected: Result<&[&str], &str>) {
        let yaml = container_yaml::parse(yaml).unwrap();
        let found = decide(own, asked, &yaml, site).map(|(platforms, _)| platforms).map_err(|error| error.text);
        assert_eq!(found, expected.map(owned).map_err(str::to_owned));
    }

    #[test]
    fn without_a_target_or_a_user_container_yaml_says_and_this_builds_own_is_one() {
        let site = Site::default();
        let nobody = |yaml: &str, expected| check(Some("x86_64"), &Asked::default(), yaml, &site, expected);
        nobody("", Ok(&["x86_64"]));
        nobody("platforms: {only: [x86_64, aarch64, ppc64le], not: ppc64le}", Ok(&["aarch64", "x86_64"]));
        nobody("platforms: {not: s390x}", Ok(&["x86_64"]));
        nobody("platforms: {only: amd64}", Ok(&["amd64"]));
        let left_out = Err("container.yaml: its platforms leave out x86_64, which this build is for");
        nobody("platforms: {not: [x86_64, ppc64le]}", left_out);
        nobody("platforms: {only: aarch64}", left_out);
    }

    #[test]
    fn those_of_the_target_are_limited_by_container_yaml() {
        let (site, target) = (Site::default(), koji(&["x86_64", "ppc64le"]));
        check(None, &target, "", &site, Ok(&["ppc64le", "x86_64"]));
        check(None, &target, "platforms: {only: [x86_64, s390x]}", &site, Ok(&["x86_64"]));
        check(
            None,
            &target,
            "platforms: {only: x86_64, not: x86_64}",
            &site,
            Err("there is no platform to build for: container.yaml leaves out all of x86_64, ppc64le"),
        );
        let nobody = "there is no platform to build for: nobody names one that the site has hosts for";
        check(None, &koji(&[]), "", &site, Err(nobody));
        check(None, &Asked::default(), "", &site, Err(nobody));
        check(
            Some("s390x"),
            &target,
            "",
            &site,
            Err("the image is built for ppc64le, x86_64 only, and this build is for s390x"),
        );
    }

    #[test]
    fn a_users_platforms_count_without_a_target_or_for_few_people() {
        let site = Site::default();
        let user =
            |koji: Option<&[&str]>, is_for_few| Asked { koji: koji.map(owned), user: owned(&["s390x"]), is_for_few };
        check(None, &user(None, false), "", &site, Ok(&["s390x"]));
        check(None, &user(Some(&["x86_64"]), false), "", &site, Ok(&["x86_64"]));
        check(None, &user(Some(&["x86_64"]), true), "platforms: {not: s390x}", &site, Ok(&["s390x"]));
        check(None, &user(Some(&["s390x"]), true), "platforms: {only: s390x}", &site, Ok(&["s390x"]));
    }

    #[test]
    fn a_users_platforms_need_hosts_and_a_target_with_architectures() {
        let hosts = [("x86_64".to_owned(), true), ("s390x".to_owned(), false)];
        let site = Site { platform_hosts: hosts.into(), ..Site::default() };
        let asked =
            |koji: &[&str], user: &[&str]| Asked { koji: Some(owned(koji)), user: owned(user), is_for_few: true };
        let nobody = "there is no platform to build for: nobody names one that the site has hosts for";
        check(None, &asked(&["ppc64le"], &["aarch64", "x86_64"]), "", &site, Ok(&["x86_64"]));
        check(None, &asked(&["x86_64"], &["aarch64"]), "", &site, Err(nobody));
        check(None, &asked(&["x86_64"], &["s390x"]), "", &site, Err("all hosts of the site for s390x are disabled"));
        check(None, &asked(&[], &["x86_64"]), "", &site, Err(nobody));
        check(None, &Asked::default(), "platforms: {only: x86_64}", &site, Err(nobody));
    }

    #[test]
    fn a_platform_has_a_host_that_may_be_used() {
        let hosts = |pairs: &[(&str, bool)]| Site {
            platform_hosts: pairs.iter().map(|(name, is_enabled)| ((*name).to_owned(), *is_enabled)).collect(),
            ..Site::default()
        };
        let target = koji(&["x86_64", "ppc64le"]);
        check(None, &target, "", &hosts(&[("x86_64", true)]), Ok(&["x86_64"]));
        let disabled = hosts(&[("x86_64", true), ("ppc64le", false)]);
        check(None, &target, "", &disabled, Err("all hosts of the site for ppc64le are disabled"));
        let yaml = ContainerYaml::default();
        let (_, warnings) = decide(None, &target, &yaml, &hosts(&[("x86_64", true)])).unwrap();
        assert_eq!(warnings, ["the site has no hosts for ppc64le, so the image is not built for it"]);
    }
}
