//! `inject_parent_image`: the parent is what a build in Koji made.
//!
//! Reads the demand `koji_parent_build` (a number or an N-V-R) and what the hub knows of that build. Returns an edit of
//! the FROM that the image is built on, and of every other that names the same image: the build's image by digest
//! where it has one, in the source registry and the site's organization. Acts before check_base_image, which then finds
//! and pins it like any other. Fails the build when there is no such build, when it names no image, and when nothing
//! is built on an image.

use std::sync::Arc;

use dockerfile::Base;
use koji::{BuildInfo, BuildState, Hub};
use oci::ImageName;
use pipeline::site::Site;
use pipeline::{Changes, Class, Edit, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};
use serde_json::Value;

use crate::check_base_image::enclose;
use crate::koji_rules::failed;

#[derive(Debug)]
struct InjectParentImage {
    hub: Arc<dyn Hub>,
    /// A number or an N-V-R.
    build: String,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let demanded = setup.wanted.task.koji_parent_build.clone().or(setup.text("koji_parent_build")?);
    let Some(build) = demanded.filter(|build| !build.is_empty()) else { return Ok(None) };
    let Some(hub) = &setup.wanted.hub else {
        let text = format!("the parent is to be that of {build} in Koji, but the site has no `koji`");
        return Err(PluginError::new(Class::Configuration, text));
    };
    Ok(Some(Box::new(InjectParentImage { hub: Arc::clone(hub), build })))
}

impl Plugin<PreBuild> for InjectParentImage {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let root = view.plan.root_stage().and_then(|root| view.plan.needed.iter().find(|stage| stage.index == root));
        let Some((root, Base::Image(old))) = root.map(|stage| (stage, &stage.base)) else {
            let text = format!("{}: the image is built on nothing, so nothing can take its parent's place", self.build);
            return Err(PluginError::new(Class::Source, text).help("do not ask for koji_parent_build"));
        };
        if crate::check_base_image::is_by_koji(old) {
            return Ok(Changes::default());
        }
        let image = find(self.hub.as_ref(), &self.build)?;
        let image = decide(&image, view.site).map_err(|error| error.at(root.base_span))?;
        let stages = view.plan.needed.iter().chain(&view.plan.others);
        let same = stages.filter(|stage| matches!(&stage.base, Base::Image(name) if name == old));
        let edit = |stage: usize| Reasoned {
            edit: Edit::From { stage, image: image.to_string() },
            reason: format!("the parent is to be that of build {} in Koji", self.build),
        };
        Ok(Changes { edits: same.map(|stage| edit(stage.index)).collect(), ..Changes::default() })
    }
}

/// Where the image of a build can be pulled from.
fn find(hub: &dyn Hub, build: &str) -> Result<String, PluginError> {
    let known = match build.parse::<u64>() {
        Ok(id) => hub.build_by_id(id),
        Err(_) => hub.build(build),
    };
    let missing = || PluginError::new(Class::Source, format!("there is no build {build} in Koji"));
    let known = known.map_err(|error| failed(&error))?.ok_or_else(missing)?;
    let came_to = match known.state {
        BuildState::Deleted => Some("was deleted"),
        BuildState::Failed => Some("failed"),
        BuildState::Canceled => Some("was cancelled"),
        BuildState::Complete | BuildState::Building => None,
    };
    if let Some(came_to) = came_to {
        let text = format!("the build {} in Koji {came_to}, so it has no image", known.nvr);
        return Err(PluginError::new(Class::Source, text).help("take a build that is complete"));
    }
    if let Some(image) = chosen(&pull(&known)) {
        return Ok(image);
    }
    for archive in hub.archives(known.id).map_err(|error| failed(&error))? {
        let extra: Value = archive.extra.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        if let Some(image) = chosen(&texts(&extra["docker"]["repositories"])) {
            return Ok(image);
        }
    }
    let text = format!("the build {} in Koji does not say where its image can be pulled from", known.nvr);
    Err(PluginError::new(Class::Source, text).help("take a build of a container image"))
}

fn pull(build: &BuildInfo) -> Vec<String> {
    let extra: Value = build.extra.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    texts(&extra["image"]["index"]["pull"])
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The first name with a digest, else the first.
fn chosen(names: &[String]) -> Option<String> {
    names.iter().find(|name| name.contains('@')).or(names.first()).cloned()
}

/// The name of the image at this site.
fn decide(image: &str, site: &Site) -> Result<ImageName, PluginError> {
    let wrong = |error: oci::ReferenceError| PluginError::of(Class::Remote, &error);
    let named: ImageName = image.parse().map_err(wrong)?;
    let repository = match &site.registries_organization {
        Some(organization) => enclose(named.repository(), organization),
        None => named.repository().to_owned(),
    };
    let registry = site.source_registry.as_ref().map(|source| source.url.host()).or(named.registry());
    // What comes behind the repository stays: a tag, a digest.
    let rest = image.rsplit('/').next().unwrap_or_default();
    let rest = rest.find([':', '@']).and_then(|at| rest.get(at..)).unwrap_or_default();
    let registry = registry.map_or_else(String::new, |registry| format!("{registry}/"));
    format!("{registry}{repository}{rest}").parse().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use koji::Archive;
    use serde_json::json;

    use super::*;
    use crate::decisions::koji::Scripted;

    #[track_caller]
    fn check(image: &str, site: &str, expected: &str) {
        let (site, _) = Site::parse(Path::new("s.yaml"), site.as_bytes()).unwrap();
        assert_eq!(decide(image, &site).unwrap().to_string(), expected);
    }

    #[test]
    fn the_image_is_in_the_source_registry_and_the_organization() {
        let digest = oci::Digest::of(b"");
        let site = "source_registry: {url: src.example:5000}\n";
        check("r.example/ns/img:1", site, "src.example:5000/ns/img:1");
        check(&format!("r.example:80/ns/img@{digest}"), site, &format!("src.example:5000/ns/img@{digest}"));
        let organized = format!("{site}registries_organization: org\n");
        check("r.example/ns/img:1", &organized, "src.example:5000/org/ns-img:1");
        check("r.example/org/img:1", &organized, "src.example:5000/org/img:1");
        check("r.example/ns/img:1", "version: 1\n", "r.example/ns/img:1");
    }

    fn hub(extra: &Value, archives: &[Value]) -> Scripted {
        let extra = Some(extra.to_string());
        let build = BuildInfo { id: 5, nvr: "p-1-2".to_owned(), state: BuildState::Complete, extra };
        let archive = |extra: &Value| Archive { id: 1, kind: "image".to_owned(), extra: Some(extra.to_string()) };
        Scripted { builds: vec![build], archives: archives.iter().map(archive).collect(), ..Scripted::default() }
    }

    #[test]
    fn the_index_of_the_build_beats_its_archives_and_a_digest_beats_a_tag() {
        let repositories = |names: &[&str]| json!({ "docker": { "repositories": names } });
        let index = json!({ "image": { "index": { "pull": ["r/a:1", "r/a@sha256:1"] } } });
        let of_build = hub(&index, &[]);
        assert_eq!(find(&of_build, "p-1-2").unwrap(), "r/a@sha256:1");
        let of_archive = hub(&json!({}), &[json!({}), repositories(&[]), repositories(&["r/a:1", "r/b:1"])]);
        assert_eq!(find(&of_archive, "5").unwrap(), "r/a:1");
        let text = "the build p-1-2 in Koji does not say where its image can be pulled from";
        assert_eq!(find(&hub(&json!({}), &[]), "5").unwrap_err().text, text);
        assert_eq!(find(&hub(&json!({}), &[]), "6").unwrap_err().text, "there is no build 6 in Koji");
    }

    #[test]
    fn a_build_that_came_to_nothing_is_no_parent() {
        let mut deleted = hub(&json!({ "image": { "index": { "pull": ["r/a:1"] } } }), &[]);
        deleted.builds.iter_mut().for_each(|build| build.state = BuildState::Deleted);
        let text = "the build p-1-2 in Koji was deleted, so it has no image";
        assert_eq!(find(&deleted, "p-1-2").unwrap_err().text, text);
    }
}
