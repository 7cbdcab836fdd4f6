//! `tag_from_config`: which names the image gets.
//!
//! Reads the labels name, version and release, the file `additional-tags`, `tags` of container.yaml, the site's
//! registry and organization, what the build system demands (the unique tag, scratch, isolated, tags, platforms), which
//! arguments of the same names can say too, and the argument `tag_suffixes` of older lists, which replaces the usual tags. Returns the names: unique, primary, floating;
//! where the image is one of several platforms, those are an index's and the image has one of its own. Fails the build
//! when a label that a tag is made of is missing.

use std::collections::BTreeSet;
use std::fmt::Display;

use oci::Reference;
use pipeline::site::Site;
use pipeline::{
    Changes, Class, Fact, Group, Made, Member, Plugin, PluginError, PreBuild, PreBuildView, Setup, Tags, Task,
};
use serde_json::{Map, Value};

use crate::check_base_image::enclose;
use crate::container_yaml::{self, ContainerYaml};
use crate::labels::{self, Labels};

/// One tag a line.
const ADDITIONAL_TAGS: &str = "additional-tags";
/// Characters of the longest tag in those files.
const MAX_TAG: usize = 127;
/// The tag that is never moved.
const PRIMARY: &str = "{version}-{release}";
/// The tags that every build moves.
const FLOATING: [&str; 2] = ["latest", "{version}"];

#[derive(Debug)]
struct TagFromConfig {
    target: Target,
    /// From the plugin's arguments.
    suffixes: Option<Suffixes>,
    task: Task,
}

/// Where the image goes.
#[derive(Clone, Debug)]
struct Target {
    registry: String,
    organization: Option<String>,
}

impl Target {
    /// None for a site that has no registry.
    fn of(site: &Site) -> Option<Self> {
        let registry = site.registry.as_ref()?.registry.url.host().to_owned();
        Some(Self { registry, organization: site.registries_organization.clone() })
    }
}

/// Tags with `{label}` in them, but for the unique ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Suffixes {
    unique: Vec<String>,
    primary: Vec<String>,
    floating: Vec<String>,
}

/// Tags that are asked for besides those every image gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Extra {
    tags: Vec<String>,
    /// Whether they come from container.yaml and so replace `latest` and the version.
    is_all: bool,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let Some(target) = Target::of(setup.site) else { return Ok(None) };
    if !setup.wanted.names.is_empty() {
        return Ok(None);
    }
    let suffixes = suffixes(setup.args)?;
    let task = demanded(&setup.wanted.task, setup.args)?;
    Ok(Some(Box::new(TagFromConfig { target, suffixes, task })))
}

/// The argument `tag_suffixes`.
fn suffixes(args: Option<&Map<String, Value>>) -> Result<Option<Suffixes>, PluginError> {
    match args.and_then(|args| args.get("tag_suffixes")) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => Suffixes::read(value).map(Some),
    }
}

/// What is demanded, where the arguments do not say otherwise: `image_tag`, `platforms`, `scratch`, `isolated`, named as the
/// build system's parameters are, and `unique_tag_only` of `tag_by_labels`.
fn demanded(task: &Task, args: Option<&Map<String, Value>>) -> Result<Task, PluginError> {
    let given = |name: &str| args.and_then(|args| args.get(name)).filter(|value| !value.is_null());
    let wrong = |name: &str, value: &Value, expected: &str| {
        PluginError::new(Class::Configuration, format!("argument {name} is {value}; it must be {expected}"))
    };
    let flag = |name: &str| match given(name) {
        None => Ok(false),
        Some(value) => value.as_bool().ok_or_else(|| wrong(name, value, "true or false")),
    };
    let mut task = task.clone();
    task.is_scratch |= flag("unique_tag_only")? | flag("scratch")?;
    task.is_isolated |= flag("isolated")?;
    if let Some(value) = given("image_tag") {
        task.image_tag = Some(value.as_str().ok_or_else(|| wrong("image_tag", value, "a text"))?.to_owned());
    }
    if let Some(value) = given("platforms") {
        let texts = |list: &Vec<Value>| list.iter().map(|one| one.as_str().map(str::to_owned)).collect();
        let list: Option<Vec<String>> = value.as_array().and_then(texts);
        task.platforms = list.ok_or_else(|| wrong("platforms", value, "a list of texts"))?;
    }
    Ok(task)
}

impl Plugin<PreBuild> for TagFromConfig {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let labels = labels::in_force(view)?;
        let yaml = view.context_file(container_yaml::NAME)?;
        let yaml = yaml.map(|text| container_yaml::parse(&text)).transpose()?.unwrap_or_default();
        let own = view.site.platform(&view.request.platform.architecture);
        let platforms = platforms(&self.task, &yaml, own);
        let (suffixes, warnings) = match &self.suffixes {
            Some(suffixes) => (suffixes.clone(), Vec::new()),
            None => {
                let yaml = container_yaml::of(view)?;
                let (extra, warnings) = match of_task(&self.task) {
                    Some(extra) => (extra, Vec::new()),
                    None => extra(view.context_file(ADDITIONAL_TAGS)?.as_deref(), yaml.tags),
                };
                (Suffixes::usual(&self.task, extra), warnings)
            }
        };
        let tags = decide(&self.target, &labels, &suffixes)?;
        let group = match self.suffixes {
            Some(_) => None,
            None => group(view.site, &tags, (own, &platforms))?,
        };
        Ok(Changes { facts: vec![Fact::Tags(Tags { group, ..tags })], warnings, ..Changes::default() })
    }
}

/// The tags that the build system found in the files itself.
fn of_task(task: &Task) -> Option<Extra> {
    let is_given = task.tags_from_yaml || !task.additional_tags.is_empty();
    is_given.then(|| Extra { tags: task.additional_tags.clone(), is_all: task.tags_from_yaml })
}

/// The platforms that are built for: those asked for that container.yaml does not leave out, and `own`.
fn platforms(task: &Task, yaml: &ContainerYaml, own: &str) -> Vec<String> {
    let is_wanted = |name: &&String| (yaml.only.is_empty() || yaml.only.contains(name)) && !yaml.not.contains(name);
    let mut all: Vec<String> = task.platforms.iter().filter(is_wanted).cloned().chain([own.to_owned()]).collect();
    all.sort();
    all.dedup();
    all
}

/// The names of the images of all platforms, where they become one index under `tags`.
fn group(site: &Site, tags: &Tags, (own, platforms): (&str, &[String])) -> Result<Option<Group>, PluginError> {
    let wrong = |why: &str| {
        let text = format!("the build is for {}, and {why}", platforms.join(", "));
        PluginError::new(Class::Configuration, text)
    };
    let is_for_several = platforms.len() > 1;
    let unique = match (site.group_manifests, tags.unique.first()) {
        (None, _) if !is_for_several => return Ok(None),
        (Some(false), _) if is_for_several => {
            return Err(wrong("group_manifests is false: one name cannot be several images"));
        }
        (Some(false), _) => return Ok(None),
        (None | Some(true), Some(unique)) => unique,
        (None | Some(true), None) if is_for_several => {
            return Err(wrong("there is no unique tag (image_tag) to tell its images apart by"));
        }
        (None | Some(true), None) => return Ok(None),
    };
    let member = |platform: &String| -> Result<Member, PluginError> {
        let name = format!("{unique}-{platform}").parse().map_err(|error: oci::ReferenceError| unfit(&error))?;
        Ok(Member { platform: platform.clone(), architecture: site.goarch(platform).to_owned(), name })
    };
    let members: Vec<Member> = platforms.iter().map(member).collect::<Result<_, _>>()?;
    let own = members.iter().find(|member| member.platform == own).map(|member| member.name.clone());
    Ok(own.map(|own| Group { own, members }))
}

fn unfit(error: &oci::ReferenceError) -> PluginError {
    let help = "a name is made of the label name, a tag of labels, additional-tags or container.yaml";
    PluginError::of(Class::Source, error).help(help)
}

impl Suffixes {
    /// Those of an image whose plugin has no arguments.
    fn usual(task: &Task, extra: Extra) -> Self {
        let tag = task.image_tag.as_deref().map(|image| image.rsplit(':').next().unwrap_or(image).to_owned());
        let unique = tag.into_iter().collect();
        if task.is_scratch {
            return Self { unique, ..Self::default() };
        }
        let primary = vec![PRIMARY.to_owned()];
        if task.is_isolated {
            return Self { unique, primary, floating: Vec::new() };
        }
        let usual = if extra.is_all { &[][..] } else { &FLOATING[..] };
        let floating = usual.iter().map(|tag| (*tag).to_owned()).chain(extra.tags).collect();
        Self { unique, primary, floating }
    }

    /// `{unique: […], primary: […], floating: […]}`. Without `floating`, a primary tag with no dash is one.
    fn read(value: &Value) -> Result<Self, PluginError> {
        let wrong = |what: &dyn Display| {
            let text = format!(
                "argument tag_suffixes: {what}; it must be a map of unique, primary and floating to lists of texts"
            );
            PluginError::new(Class::Configuration, text)
        };
        let Value::Object(map) = value else { return Err(wrong(value)) };
        if let Some(unknown) = map.keys().find(|key| !matches!(key.as_str(), "unique" | "primary" | "floating")) {
            return Err(wrong(&format!("there are no {unknown} tags")));
        }
        let list = |key: &str| -> Result<Vec<String>, PluginError> {
            let Some(list) = map.get(key) else { return Ok(Vec::new()) };
            let items = list.as_array().ok_or_else(|| wrong(list))?;
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(|| wrong(item))).collect()
        };
        let (unique, mut primary, mut floating) = (list("unique")?, list("primary")?, list("floating")?);
        if !map.contains_key("floating") {
            (primary, floating) = primary.into_iter().partition(|tag| tag == PRIMARY || tag.contains('-'));
        }
        Ok(Self { unique, primary, floating })
    }
}

/// The tags of the two files, and whether they are those of container.yaml.
pub(crate) fn additional(file: Option<&str>, yaml: Option<Vec<String>>) -> (Vec<String>, bool) {
    let extra = extra(file, yaml).0;
    (extra.tags, extra.is_all)
}

/// The names at a site that has a registry; `args` are the plugin's.
pub(crate) fn decided(
    site: &Site,
    all: &Labels,
    (task, args): (&Task, Option<&Map<String, Value>>),
) -> Result<Tags, PluginError> {
    let Some(target) = Target::of(site) else { return Ok(Tags::default()) };
    let task = demanded(task, args)?;
    let usual = || Suffixes::usual(&task, of_task(&task).unwrap_or_default());
    decide(&target, all, &suffixes(args)?.unwrap_or_else(usual))
}

/// The names; of one that is there twice the first counts: unique, then floating, then primary.
fn decide(target: &Target, all: &Labels, suffixes: &Suffixes) -> Result<Tags, PluginError> {
    let name = labels::need(all, "name")?;
    let repository = target.organization.as_ref().map_or(name.to_owned(), |organization| enclose(name, organization));
    let reference = |tag: &str| -> Result<Reference, PluginError> {
        format!("{}/{repository}:{tag}", target.registry).parse().map_err(|error| unfit(&error))
    };
    let mut seen = Vec::new();
    let mut add = |tags: &[String], fill: &dyn Fn(&str) -> Result<String, PluginError>| {
        let mut added = Vec::new();
        for tag in tags {
            let reference = reference(&fill(tag)?)?;
            if !seen.contains(&reference) {
                seen.push(reference.clone());
                added.push(reference);
            }
        }
        Ok::<_, PluginError>(added)
    };
    let filled = |tag: &str| labels::fill(tag, all, Class::Source);
    let unique = add(&suffixes.unique, &|tag| Ok(tag.to_owned()))?;
    let floating = add(&suffixes.floating, &filled)?;
    let primary = add(&suffixes.primary, &filled)?;
    Ok(Tags { unique, primary, floating, group: None })
}

/// The tags of the two files, and what is to be said of those that are none.
fn extra(file: Option<&str>, yaml: Option<Vec<String>>) -> (Extra, Vec<String>) {
    // A list without tags says nothing.
    let (name, tags, is_all) = match (yaml.filter(|tags| !tags.is_empty()), file) {
        (Some(tags), _) => (container_yaml::NAME, tags, true),
        (None, Some(text)) => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            (ADDITIONAL_TAGS, lines.map(str::to_owned).collect(), false)
        }
        (None, None) => return (Extra::default(), Vec::new()),
    };
    let mut seen = BTreeSet::new();
    let tags = tags.into_iter().filter(|tag| seen.insert(tag.clone()));
    let (tags, bad): (Vec<String>, Vec<String>) = tags.partition(|tag| is_tag(tag));
    let warning = |tag: &String| {
        format!("{name}: `{tag}` is left out: a tag there has up to {MAX_TAG} letters, digits, underscores and dots")
    };
    let unread = (is_all && file.is_some())
        .then(|| format!("{ADDITIONAL_TAGS}: its tags are left out, for {} has tags", container_yaml::NAME));
    (Extra { tags, is_all }, bad.iter().map(warning).chain(unread).collect())
}

/// `[\w.]{1,127}`. No label is filled in: that is for tags which a build system demands.
fn is_tag(tag: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    !tag.is_empty() && tag.len() <= MAX_TAG && tag.bytes().all(is_fine)
}

#[cfg(test)]
mod tests;
