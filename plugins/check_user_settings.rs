//! `check_user_settings`: what a repository says is checked before anybody is asked for anything.
//!
//! Reads the Dockerfile, container.yaml, content_sets.yml, fetch-artifacts-*.yaml and image-build.conf of the context,
//! the Koji target, and of the parent its variables where the label version needs them. Returns warnings about keys
//! without effect. Fails the build for the first thing that is wrong: a file that cannot be read as it should, a label
//! that is missing or cannot name a build, a Dockerfile that is a link out of its directory, a Koji target that the site
//! does not allow. What only OSBS would not accept, or this program does not do, fails a build that a build system
//! demands or whose site lists this plugin; any other is warned of it.

mod labels;
mod links;

use pipeline::{Changes, Class, Made, Plugin, PluginError, PreBuild, PreBuildView, Setup};

use crate::container_yaml::{self, ContainerYaml, RemoteSources};
use crate::{content_sets, fetch_maven_artifacts, image_build_conf, wildcard};

#[derive(Debug)]
struct CheckUserSettings {
    /// Whether OSBS's rules are to be kept.
    is_demanded: bool,
    /// Labels that the Dockerfile must have.
    required: Vec<String>,
    target: Option<String>,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    if setup.args.is_none() && *setup.site == pipeline::site::Site::default() {
        return Ok(None);
    }
    let target = setup.wanted.task.koji_target.clone();
    let is_for_koji = setup.args.is_some() || setup.wanted.hub.is_some() || target.is_some();
    let usual = if is_for_koji { &labels::REQUIRED[..] } else { &[] };
    let required = setup.texts("required_labels")?;
    let required = required.unwrap_or_else(|| usual.iter().map(|name| (*name).to_owned()).collect());
    Ok(Some(Box::new(CheckUserSettings { is_demanded: crate::is_demanded(setup), required, target })))
}

impl Plugin<PreBuild> for CheckUserSettings {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        allowed_target(self.target.as_deref(), &view.site.allowed_build_targets)?;
        links::check(view)?;
        let (yaml, mut complaints) = container_yaml::with_complaints(view)?;
        let (mut warnings, refused) = settings(&yaml);
        complaints.extend(refused);
        complaints.extend(files(view)?);
        if self.is_demanded && !complaints.is_empty() {
            return Err(complaints.remove(0));
        }
        warnings.extend(complaints.into_iter().map(|complaint| complaint.text));
        koji_images(view)?;
        labels::check(view, &self.required, &yaml)?;
        Ok(Changes { warnings, ..Changes::default() })
    }
}

/// Whether the site builds for this target.
pub(crate) fn allowed_target(target: Option<&str>, allowed: &[String]) -> Result<(), PluginError> {
    let Some(target) = target.filter(|_| !allowed.is_empty()) else { return Ok(()) };
    if allowed.iter().any(|pattern| wildcard::matches(pattern, target)) {
        return Ok(());
    }
    let text = format!("the Koji target {target} is none that this site builds for");
    Err(PluginError::new(Class::Refused, text).help(format!("its allowed_build_targets are {}", allowed.join(", "))))
}

/// What of container.yaml has no effect, in words; and what it asks for that is not done.
fn settings(yaml: &ContainerYaml) -> (Vec<String>, Option<PluginError>) {
    let name = container_yaml::NAME;
    let refused = yaml.is_flatpak.then(|| {
        let text = format!("{name}: flatpak: Flatpaks are not built by this program");
        PluginError::new(Class::Source, text).help("take the key out to build the Dockerfile")
    });
    let mut warnings: Vec<String> =
        yaml.deprecated.iter().map(|key| format!("{name}: {key}: deprecated, and without effect")).collect();
    if yaml.operator_manifests.is_some() {
        warnings.push(format!("{name}: operator_manifests: without effect, the manifests stay as they are"));
    }
    if matches!(yaml.sources, Some(RemoteSources::Go(_))) {
        warnings.push(format!("{name}: go: without effect, for no sources are fetched"));
    }
    if yaml.buildtime_limit.is_some() {
        warnings.push(format!("{name}: buildtime_limit: without effect, the build system limits the time of a build"));
    }
    (warnings, refused)
}

/// Whether the files that are read later can be, and what OSBS would not accept of them.
fn files(view: &PreBuildView<'_>) -> Result<Vec<PluginError>, PluginError> {
    let text = view.context_file(content_sets::NAME)?;
    let complaints = text.map(|text| content_sets::read(&text)).transpose()?.map(|(_, complaints)| complaints);
    if let Some(text) = view.context_file(fetch_maven_artifacts::BY_URL)? {
        fetch_maven_artifacts::parse_by_url(&text)?;
    }
    if let Some(text) = view.context_file(fetch_maven_artifacts::BY_KOJI)? {
        fetch_maven_artifacts::parse_by_koji(&text)?;
    }
    if let Some(text) = view.context_file(fetch_maven_artifacts::BY_PNC)? {
        fetch_maven_artifacts::parse_by_pnc(&text)?;
    }
    Ok(complaints.unwrap_or_default())
}

/// Whether the stages agree on one file for Koji's image-build, and whether it can be read.
fn koji_images(view: &PreBuildView<'_>) -> Result<(), PluginError> {
    let mut stages: Vec<_> = view.plan.needed.iter().chain(&view.plan.others).collect();
    stages.sort_by_key(|stage| stage.index);
    let bases = stages.iter().filter_map(|stage| match &stage.base {
        dockerfile::Base::Image(name) => Some((name.as_str(), stage.base_span)),
        dockerfile::Base::Scratch | dockerfile::Base::Stage(_) => None,
    });
    let Some(name) = image_build_conf::of(bases)? else { return Ok(()) };
    match view.context_file(name)? {
        Some(text) => image_build_conf::parse(name, &text).map(drop),
        None => {
            let text = format!("{name}: FROM koji/image-build needs this file, and it is not there");
            Err(PluginError::new(Class::Source, text).help("put it beside the Dockerfile"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_that_the_site_allows() {
        let allowed = ["f40-*".to_owned(), "eln".to_owned()];
        for target in ["f40-container", "eln"] {
            allowed_target(Some(target), &allowed).unwrap();
        }
        allowed_target(None, &allowed).unwrap();
        allowed_target(Some("any"), &[]).unwrap();
        let error = allowed_target(Some("f41-container"), &allowed).unwrap_err();
        let text = "the Koji target f41-container is none that this site builds for";
        let help = "its allowed_build_targets are f40-*, eln";
        assert_eq!(error, PluginError::new(Class::Refused, text).help(help));
    }

    #[test]
    fn keys_without_effect_are_told_and_flatpaks_refused() {
        let read = |text: &str| settings(&container_yaml::parse(text).unwrap());
        assert_eq!(read("tags: [a]"), (Vec::new(), None));
        assert_eq!(read("version: 1").0, ["container.yaml: version: deprecated, and without effect"]);
        assert_eq!(read("go: {}\noperator_manifests: {manifests_dir: m}\nbuildtime_limit: 5").0.len(), 3);
        let error = read("flatpak: {id: x}").1.unwrap();
        assert_eq!(error.text, "container.yaml: flatpak: Flatpaks are not built by this program");
    }
}
