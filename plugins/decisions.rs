//! What the plugins decide, given what they would look up.
//!
//! For comparing this program with others: no registry, context or clock is asked, texts come in and out, and the
//! decisions are those functions of the plugins and of the pipeline that a build runs.

pub mod files;
pub mod injected;
pub mod koji;
pub mod publish;

use std::collections::BTreeMap;
use std::path::Path;

use build::{Plan, Request, StagePlan};
use dockerfile::{Base, Dockerfile, Origin};
use oci::{ImageName, Platform, Reference};
use pipeline::site::Site;
use pipeline::{Class, PluginError, Reasoned};

use crate::check_base_image::{self, Rules};
use crate::{add_buildargs_in_dockerfile, change_from_in_dockerfile, image_build_conf};
use crate::{distribution_scope, labels, tag_from_config};

/// An image that a stage is built on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The stage, by number.
    pub stage: usize,
    /// What FROM says, expanded.
    pub name: String,
    /// What that means at the site.
    pub image: Reference,
}

/// Reads a site's configuration.
///
/// # Errors
/// [`Class::Configuration`] names the key that is wrong.
pub fn site(yaml: &str) -> Result<Site, PluginError> {
    let parsed = Site::parse(Path::new("site.yaml"), yaml.as_bytes());
    parsed.map(|(site, _)| site).map_err(|error| PluginError::new(Class::Configuration, error.message))
}

/// The images that the stages of a Dockerfile are built on, as check_base_image finds them where add_filesystem has
/// replaced what Koji makes.
///
/// # Errors
/// As check_base_image, and as add_filesystem where stages want different base images of Koji; [`Class::Source`] for what
/// is no Dockerfile.
pub fn parents(text: &str, site: &Site) -> Result<Vec<Parent>, PluginError> {
    let request = request(text)?;
    let rules = Rules::of(site);
    let mut parents = Vec::new();
    for (stage, name) in bases(&build::plan(&request)?)? {
        let image = check_base_image::decide(&name, &rules)?;
        parents.push(Parent { stage, name, image });
    }
    copied(text, site)?;
    Ok(parents)
}

/// The images that steps copy from, as check_base_image lets them; in the order of the stages, each once.
///
/// # Errors
/// As check_base_image; [`Class::Source`] for what is no Dockerfile.
pub fn copied(text: &str, site: &Site) -> Result<Vec<ImageName>, PluginError> {
    let request = request(text)?;
    let rules = Rules::of(site);
    let plan = build::plan(&request)?;
    let mut images = Vec::new();
    for (origin, _) in in_order(&plan).into_iter().flat_map(|stage| &stage.origins) {
        if let Origin::Image(name) = origin {
            rules.copied(name)?;
            let image = image_name(name)?;
            if !images.contains(&image) {
                images.push(image);
            }
        }
    }
    Ok(images)
}

/// The stages that are built on an image, and what their FROM says; none of those that Koji makes.
fn bases(plan: &Plan<'_>) -> Result<Vec<(usize, String)>, PluginError> {
    let base = |stage: &StagePlan| match &stage.base {
        Base::Image(name) => Some((stage.index, name.clone())),
        Base::Scratch | Base::Stage(_) => None,
    };
    let bases = in_order(plan).into_iter().filter_map(base);
    let (by_koji, bases): (Vec<_>, Vec<_>) = bases.partition(|(_, name)| check_base_image::is_by_koji(name));
    image_build_conf::of(by_koji.iter().map(|(_, name)| (name.as_str(), dockerfile::Span::at(0))))?;
    Ok(bases)
}

fn in_order<'p>(plan: &'p Plan<'_>) -> Vec<&'p StagePlan> {
    let mut stages: Vec<&StagePlan> = plan.needed.iter().chain(&plan.others).collect();
    stages.sort_unstable_by_key(|stage| stage.index);
    stages
}

/// The Dockerfile with the images of its parents pinned, as change_from_in_dockerfile does it.
///
/// # Errors
/// As [`parents`]; [`Class::Source`] for a parent that `pin` does not know.
pub fn pinned(text: &str, site: &Site, pin: &dyn Fn(&Parent) -> Option<Reference>) -> Result<String, PluginError> {
    let rules = Rules::of(site);
    let mut edits = Vec::new();
    for parent in parents(text, site)? {
        let unknown = || PluginError::new(Class::Source, format!("{}: there is no such image", parent.image));
        let image = pin(&parent).ok_or_else(unknown)?;
        edits.push(change_from_in_dockerfile::decide(parent.stage, (&parent.name, &image), &rules));
    }
    rewritten(text, &edits)
}

/// The Dockerfile with `names` declared in every stage, as add_buildargs_in_dockerfile does it.
///
/// # Errors
/// [`Class::Source`] for what is no Dockerfile.
pub fn with_arguments(text: &str, names: &[&str]) -> Result<String, PluginError> {
    let edit = add_buildargs_in_dockerfile::decide(names.iter().copied());
    rewritten(text, &edit.into_iter().collect::<Vec<_>>())
}

/// A repository inside an organization, as check_base_image and tag_from_config move it there.
#[must_use]
pub fn enclosed(name: &ImageName, organization: &str) -> ImageName {
    // A repository that is one stays one when a namespace is put before it.
    name.with_repository(&check_base_image::enclose(name.repository(), organization)).unwrap_or_else(|_| name.clone())
}

/// Reads an image's name.
///
/// # Errors
/// [`Class::Source`] for what is none.
pub fn image_name(text: &str) -> Result<ImageName, PluginError> {
    text.parse().map_err(|error: oci::ReferenceError| PluginError::of(Class::Source, &error))
}

/// Whether an image may have this scope, as distribution_scope decides it.
///
/// # Errors
/// [`Class::Refused`] where it is wider than the parent's.
pub fn scope(image: Option<&str>, parent: Option<&str>) -> Result<(), PluginError> {
    distribution_scope::decide(image, parent)
}

/// `{label}` in a text replaced.
///
/// # Errors
/// [`Class::Source`] names the label that is missing.
pub fn filled(format: &str, labels: &BTreeMap<String, String>) -> Result<String, PluginError> {
    labels::fill_if_there(format, labels, Class::Source)
}

/// The tags of the file `additional-tags` or of container.yaml, and whether they are the latter's.
#[must_use]
pub fn additional_tags(file: Option<&str>, yaml: Option<Vec<String>>) -> (Vec<String>, bool) {
    tag_from_config::additional(file, yaml)
}

/// The file name that inject_yum_repos gives to a repository file of this URL.
///
/// # Errors
/// [`Class::Configuration`] for a URL that ends in no file name.
pub fn repository_file_name(url: &str) -> Result<String, PluginError> {
    pipeline::repository_file_name(url)
}

/// The instructions of a Dockerfile on one line each: names in upper case, continuations joined, no comments, the labels of
/// one instruction sorted, whose order says nothing.
///
/// # Errors
/// [`Class::Source`] for what is no Dockerfile.
pub fn instructions(text: &str) -> Result<Vec<String>, PluginError> {
    let line = |step: &dockerfile::Instruction| {
        if let dockerfile::Kind::Label(pairs) = &step.kind {
            let mut pairs: Vec<String> =
                pairs.iter().map(|pair| format!("{}={}", pair.key.raw, pair.value.raw)).collect();
            pairs.sort();
            return format!("LABEL {}", pairs.join(" "));
        }
        let is_from = step.keyword == dockerfile::Keyword::From;
        let words = step.line.split_whitespace().skip(1).map(|word| if is_from && word == "as" { "AS" } else { word });
        std::iter::once(step.keyword.name()).chain(words).collect::<Vec<_>>().join(" ")
    };
    Ok(parse(text)?.instructions.iter().map(line).collect())
}

fn parse(text: &str) -> Result<Dockerfile, PluginError> {
    dockerfile::parse(text).map_err(|error| PluginError::of(Class::Source, &error))
}

/// A build of this Dockerfile for this machine's platform.
fn request(text: &str) -> Result<Request, PluginError> {
    Ok(Request::of(parse(text)?, Platform::host()))
}

fn rewritten(text: &str, edits: &[Reasoned]) -> Result<String, PluginError> {
    let file = parse(text)?;
    let stages = dockerfile::stages(&file).map_err(|error| PluginError::of(Class::Source, &error))?.stages.len();
    let made = pipeline::rewrite(&file, stages.saturating_sub(1), edits);
    let made = made.map_err(|error| PluginError::of(Class::Source, &error))?;
    Ok(made.map_or_else(|| text.to_owned(), |made| made.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "version: 1\nsource_registry: {url: src.example}\npull_registries: [{url: o.example}]\n";

    #[track_caller]
    fn check(dockerfile: &str, expected: Result<(&[&str], &[&str]), &str>) {
        let site = site(SITE).unwrap();
        let found = parents(dockerfile, &site).and_then(|parents| {
            let parents = parents.iter().map(|parent| parent.image.to_string()).collect::<Vec<_>>();
            Ok((parents, copied(dockerfile, &site)?.iter().map(ToString::to_string).collect::<Vec<_>>()))
        });
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let expected = expected.map(|(parents, copied)| (owned(parents), owned(copied)));
        assert_eq!(found.map_err(|error| error.text), expected.map_err(str::to_owned), "{dockerfile}");
    }

    #[test]
    fn images_are_those_of_from_and_those_that_steps_copy_from() {
        check(
            "FROM a:1 AS a\nFROM a\nCOPY --from=o.example/b:2 /b /\nCOPY --from=a /a /\nCOPY --from=o.example/b:2 /c /\n",
            Ok((&["src.example/a:1"], &["o.example/b:2"])),
        );
        check("FROM --platform=$BUILDPLATFORM a:1\n", Ok((&["src.example/a:1"], &[])));
        let refused = "t.example/b:2: base images may not come from t.example here";
        check("FROM a:1\nCOPY --from=t.example/b:2 /b /\n", Err(refused));
        check("FROM t.example/b:2\n", Err(refused));
    }

    #[test]
    fn what_koji_makes_is_no_image_to_look_for_and_is_of_one_kind() {
        check("FROM koji/image-build AS b\nFROM a:1\nCOPY --from=b /b /\n", Ok((&["src.example/a:1"], &[])));
        check("FROM koji/image-build\nFROM koji/image-build:latest\n", Ok((&[], &[])));
        let text =
            parents("FROM koji/image-build:a\nFROM koji/image-build:b\n", &site(SITE).unwrap()).unwrap_err().text;
        assert!(text.contains("one image has one file for Koji's image-build"), "{text}");
    }
}
