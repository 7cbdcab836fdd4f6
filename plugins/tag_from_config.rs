//! `tag_from_config`: which names the image gets.
//!
//! Reads the labels name, version and release, the file `additional-tags`, `tags` of container.yaml, the site's
//! registry and organization, and the argument `tag_suffixes` of older lists, which replaces the usual tags. Returns
//! the names: unique, primary, floating. Fails the build when a label that a tag is made of is missing.

use std::fmt::Display;

use oci::Reference;
use pipeline::site::Site;
use pipeline::{Changes, Class, Fact, Made, Plugin, PluginError, PreBuild, PreBuildView, Setup, Tags};
use serde_json::Value;

use crate::check_base_image::enclose;
use crate::container_yaml;
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
    let suffixes = match setup.args.and_then(|args| args.get("tag_suffixes")) {
        None | Some(Value::Null) => None,
        Some(value) => Some(Suffixes::read(value)?),
    };
    Ok(Some(Box::new(TagFromConfig { target, suffixes })))
}

impl Plugin<PreBuild> for TagFromConfig {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let labels = labels::in_force(view)?;
        let (suffixes, warnings) = match &self.suffixes {
            Some(suffixes) => (suffixes.clone(), Vec::new()),
            None => {
                let yaml = view.context_file(container_yaml::NAME)?;
                let yaml = yaml.map(|text| container_yaml::parse(&text)).transpose()?.unwrap_or_default();
                let (extra, warnings) = extra(view.context_file(ADDITIONAL_TAGS)?.as_deref(), yaml.tags);
                (Suffixes::usual(extra), warnings)
            }
        };
        let tags = decide(&self.target, &labels, &suffixes)?;
        Ok(Changes { facts: vec![Fact::Tags(tags)], warnings, ..Changes::default() })
    }
}

impl Suffixes {
    /// Those of an image whose plugin has no arguments.
    fn usual(extra: Extra) -> Self {
        let usual = if extra.is_all { &[][..] } else { &FLOATING[..] };
        let floating = usual.iter().map(|tag| (*tag).to_owned()).chain(extra.tags).collect();
        Self { unique: Vec::new(), primary: vec![PRIMARY.to_owned()], floating }
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

/// The names that `suffixes`, as an argument of the plugin, make at a site that has a registry.
pub(crate) fn decided(site: &Site, all: &Labels, suffixes: &Value) -> Result<Tags, PluginError> {
    let Some(target) = Target::of(site) else { return Ok(Tags::default()) };
    decide(&target, all, &Suffixes::read(suffixes)?)
}

/// The names; one that is there twice stays where it is first.
fn decide(target: &Target, all: &Labels, suffixes: &Suffixes) -> Result<Tags, PluginError> {
    let name = labels::need(all, "name")?;
    let repository = target.organization.as_ref().map_or(name.to_owned(), |organization| enclose(name, organization));
    let reference = |tag: &str| -> Result<Reference, PluginError> {
        let text = format!("{}/{repository}:{tag}", target.registry);
        text.parse().map_err(|error| {
            let help = "a name is made of the label name, a tag of labels, additional-tags or container.yaml";
            PluginError::of(Class::Source, &error as &oci::ReferenceError).help(help)
        })
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
    let primary = add(&suffixes.primary, &filled)?;
    let floating = add(&suffixes.floating, &filled)?;
    Ok(Tags { unique, primary, floating })
}

/// The tags of the two files, and what is to be said of those that are none.
fn extra(file: Option<&str>, yaml: Option<Vec<String>>) -> (Extra, Vec<String>) {
    let (name, tags, is_all) = match (yaml, file) {
        (Some(tags), _) => (container_yaml::NAME, tags, true),
        (None, Some(text)) => {
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            (ADDITIONAL_TAGS, lines.map(str::to_owned).collect(), false)
        }
        (None, None) => return (Extra::default(), Vec::new()),
    };
    let (tags, bad): (Vec<String>, Vec<String>) = tags.into_iter().partition(|tag| is_tag(tag));
    let warning = |tag: &String| {
        format!("{name}: `{tag}` is left out: a tag there has up to {MAX_TAG} letters, digits, underscores and dots")
    };
    (Extra { tags, is_all }, bad.iter().map(warning).collect())
}

/// `[\w.]{1,127}`, with `{label}` in it.
fn is_tag(tag: &str) -> bool {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let (mut is_inside, mut has_label) = (false, false);
    let is_made_of = tag.chars().all(|character| match character {
        '{' if !is_inside => {
            (is_inside, has_label) = (true, false);
            true
        }
        '}' if is_inside => {
            is_inside = false;
            has_label
        }
        _ if is_inside => {
            has_label = true;
            // Names of labels may have a dash.
            is_fine(character) || character == '-'
        }
        _ => is_fine(character),
    });
    !tag.is_empty() && tag.len() <= MAX_TAG && is_made_of && !is_inside
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NVR: &[(&str, &str)] = &[("name", "ns/app"), ("version", "1.2"), ("release", "3")];

    fn target(organization: Option<&str>) -> Target {
        Target { registry: "out.example".to_owned(), organization: organization.map(str::to_owned) }
    }

    #[track_caller]
    fn check(suffixes: &Suffixes, unique: &[&str], primary: &[&str], floating: &[&str]) {
        let tags = decide(&target(None), &labels::of(NVR), suffixes).unwrap();
        let of = |tags: &[&str]| tags.iter().map(|tag| format!("out.example/ns/app:{tag}").parse().unwrap()).collect();
        assert_eq!(tags, Tags { unique: of(unique), primary: of(primary), floating: of(floating) });
    }

    fn usual(tags: &[&str], is_all: bool) -> Suffixes {
        Suffixes::usual(Extra { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), is_all })
    }

    #[test]
    fn an_image_is_named_by_its_labels() {
        check(&usual(&[], false), &[], &["1.2-3"], &["latest", "1.2"]);
        check(&usual(&["1"], false), &[], &["1.2-3"], &["latest", "1.2", "1"]);
        check(&usual(&["latest", "{version}.x"], false), &[], &["1.2-3"], &["latest", "1.2", "1.2.x"]);
    }

    #[test]
    fn tags_of_container_yaml_take_the_place_of_the_usual_ones() {
        check(&usual(&["1"], true), &[], &["1.2-3"], &["1"]);
        check(&usual(&[], true), &[], &["1.2-3"], &[]);
    }

    #[test]
    fn an_organization_encloses_the_name() {
        let tags = decide(&target(Some("org")), &labels::of(NVR), &usual(&[], true)).unwrap();
        assert_eq!(tags.primary, ["out.example/org/ns-app:1.2-3".parse().unwrap()]);
    }

    #[test]
    fn arguments_say_which_tags_there_are() {
        let suffixes = |value| Suffixes::read(&value).unwrap();
        let older = json!({"unique": ["target-1"], "primary": ["latest", "{version}", "{version}-{release}"]});
        check(&suffixes(older), &["target-1"], &["1.2-3"], &["latest", "1.2"]);
        check(&suffixes(json!({"primary": ["{version}"], "floating": []})), &[], &["1.2"], &[]);
        let error = Suffixes::read(&json!({"primary": [1]})).unwrap_err();
        let text = "argument tag_suffixes: 1; it must be a map of unique, primary and floating to lists of texts";
        assert_eq!(error, PluginError::new(Class::Configuration, text));
        assert!(Suffixes::read(&json!({"uniq": []})).unwrap_err().text.contains("there are no uniq tags"));
    }

    #[track_caller]
    fn refused(all: &[(&str, &str)], extra: &[&str], text: &str) {
        let error = decide(&target(None), &labels::of(all), &usual(extra, false)).unwrap_err();
        assert_eq!((error.class, error.text.as_str()), (Class::Source, text));
    }

    #[test]
    fn a_missing_label_is_named() {
        refused(&[("name", "a"), ("version", "1")], &[], "`{version}-{release}`: the image has no label release");
        refused(&[("version", "1"), ("release", "1")], &[], "the image has no label name");
        refused(NVR, &["{nope}"], "`{nope}`: the image has no label nope");
    }

    #[test]
    fn what_makes_no_name_is_said() {
        let why = "repository names are lower case";
        let text = format!("`out.example/App:1-1` is not an image reference: {why}");
        refused(&[("name", "App"), ("version", "1"), ("release", "1")], &[], &text);
    }

    #[test]
    fn tags_come_from_container_yaml_or_else_from_additional_tags() {
        let (found, warnings) = extra(Some("v1\n\n 2.0 \nbad-tag\n"), None);
        assert_eq!(found, Extra { tags: vec!["v1".into(), "2.0".into()], is_all: false });
        let warning =
            "additional-tags: `bad-tag` is left out: a tag there has up to 127 letters, digits, underscores and dots";
        assert_eq!(warnings, [warning]);
        let (found, warnings) = extra(Some("v1\n"), Some(vec!["y1".into(), "z-1".into()]));
        assert_eq!((found, warnings.len()), (Extra { tags: vec!["y1".into()], is_all: true }, 1));
        assert_eq!(extra(None, None), (Extra::default(), Vec::new()));
    }

    #[test]
    fn a_tag_may_have_labels_in_it() {
        for tag in ["{version}", "v{com.redhat.component}.x", "{my-label}", "_ok", "1.0"] {
            assert!(is_tag(tag), "{tag}");
        }
        for tag in ["", "{", "}", "{}", "{a{b}}", "a b", "a-b", "é", &"x".repeat(128)] {
            assert!(!is_tag(tag), "{tag}");
        }
    }
}
