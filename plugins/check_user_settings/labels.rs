//! Whether the labels of a Dockerfile can name a build.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use dockerfile::{Base, Escape, Kind, Word};
use oci::ImageConfig;
use pipeline::{Class, PluginError, PreBuildView};
use transport::Location;

use crate::check_base_image::{self, Rules};
use crate::container_yaml::ContainerYaml;
use crate::labels::{self, Labels};

/// Labels that every build of Koji has.
pub(super) const REQUIRED: [&str; 3] = ["name", "com.redhat.component", "version"];
/// Labels that ask for a change of the image that is not made here.
const OPERATOR: [&str; 2] = ["com.redhat.delivery.operator.bundle", "com.redhat.delivery.appregistry"];

/// Refuses labels that are missing or empty, and a version that cannot be one.
pub(super) fn check(view: &PreBuildView<'_>, required: &[String], yaml: &ContainerYaml) -> Result<(), PluginError> {
    // What the parent adds is not known yet, and counts for nothing but the version's variables.
    let nothing = |_| Some(ImageConfig::scratch(&view.request.platform));
    let preview = build::preview(view.plan, &nothing)?.config;
    let mut written = preview.labels.clone();
    written.extend(view.request.labels.iter().cloned());
    let version = version(view);
    decide(required, &written, (&view.site.image_labels, version.is_some()))?;
    operators(&written, yaml)?;
    bundle(&written, bases(view))?;
    let Some(version) = version else { return Ok(()) };
    let variables = Variables::of(view, &preview.env);
    let text = variables.expand(view, &version)?;
    check_version(&text).map_err(|error| error.at(version.span))
}

/// The labels that must be there; `has_version` where the Dockerfile gives one, whatever its variables make of it.
fn decide(required: &[String], written: &Labels, (site, has_version): (&Labels, bool)) -> Result<(), PluginError> {
    for name in required {
        let is_there = labels::value(written, name).is_some() || labels::value(site, name).is_some();
        let has_value = name == "version" && has_version;
        if !is_there && !has_value {
            labels::need(written, name)?;
        }
    }
    Ok(())
}

/// What is asked for and not done.
fn operators(written: &Labels, yaml: &ContainerYaml) -> Result<(), PluginError> {
    let found: Vec<&str> = OPERATOR.into_iter().filter(|name| is_true(written, name)).collect();
    if found.len() > 1 {
        let text = format!("only one of the labels {} and {} can be true", OPERATOR[0], OPERATOR[1]);
        return Err(PluginError::new(Class::Source, text));
    }
    match (found.first(), &yaml.operator_manifests) {
        (Some(name), Some(_)) => {
            let text = format!(
                "the label {name} and operator_manifests of container.yaml ask for an operator's bundle, which this program does not make"
            );
            Err(PluginError::new(Class::Source, text))
        }
        _ => Ok(()),
    }
}

/// How many stages there are, and whether the one to be built is based on nothing.
fn bases(view: &PreBuildView<'_>) -> (usize, bool) {
    let stages: Vec<_> = view.plan.needed.iter().chain(&view.plan.others).collect();
    let target = stages.iter().find(|stage| stage.index == view.plan.target());
    (stages.len(), target.is_some_and(|stage| matches!(stage.base, Base::Scratch)))
}

/// An operator's bundle is files alone: one stage, on nothing.
fn bundle(written: &Labels, (stages, is_on_nothing): (usize, bool)) -> Result<(), PluginError> {
    if !is_true(written, OPERATOR[0]) || (stages == 1 && is_on_nothing) {
        return Ok(());
    }
    let text = format!("the label {} is true, and such an image has one stage, FROM scratch", OPERATOR[0]);
    Err(PluginError::new(Class::Source, text).help("copy the bundle's manifests and metadata FROM scratch"))
}

fn is_true(written: &Labels, name: &str) -> bool {
    written.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

fn check_version(version: &str) -> Result<(), PluginError> {
    if version.contains('/') {
        let text = format!("the label version is `{version}`, and a version has no slash");
        return Err(PluginError::new(Class::Source, text).help("it is a part of the build's name in Koji"));
    }
    Ok(())
}

/// The value that the stage to be built gives the label version, as it stands there.
fn version(view: &PreBuildView<'_>) -> Option<Word> {
    let stages = dockerfile::stages(&view.request.dockerfile).ok()?;
    let steps = stages.stages.get(view.plan.target())?.instructions;
    let pairs = steps.iter().filter_map(|step| if let Kind::Label(pairs) = &step.kind { Some(pairs) } else { None });
    let pairs: Vec<_> = pairs.flatten().collect();
    let last = |name: &str| pairs.iter().rev().find(|pair| pair.key.raw.trim_matches(['"', '\'']) == name);
    last("version").or_else(|| last("Version")).map(|pair| pair.value.clone())
}

/// The variables that a value may use.
struct Variables {
    known: BTreeMap<String, String>,
    escape: Escape,
}

impl Variables {
    /// Those of the Dockerfile itself: ENV, and ARG of the stages that have a value.
    fn of(view: &PreBuildView<'_>, env: &[String]) -> Self {
        let file = &view.request.dockerfile;
        let mut known = BTreeMap::new();
        for step in &file.instructions {
            let Kind::Arg(declared) = &step.kind else { continue };
            for one in declared {
                let given = view.request.build_args.get(&one.name.raw).cloned();
                let default = || one.value.as_ref().map(|value| value.raw.clone());
                known.extend(given.or_else(default).map(|value| (one.name.raw.clone(), value)));
            }
        }
        known.extend(pairs(env));
        Self { known, escape: file.escape() }
    }

    /// The value of `word`, with the parent's variables where it needs others.
    fn expand(mut self, view: &PreBuildView<'_>, word: &Word) -> Result<String, PluginError> {
        let missing = undefined(&word.raw, self.escape, &self.known)?;
        if !missing.is_empty() {
            self.known.extend(parent(view)?.into_iter().filter(|(name, _)| missing.contains(name)));
        }
        let missing = undefined(&word.raw, self.escape, &self.known)?;
        if let Some(name) = missing.first() {
            let text = format!("the label version is `{}`, and the variable {name} is not defined", word.raw);
            let help = format!("define it before, with ENV {name}=… or a value for ARG {name}");
            return Err(PluginError::new(Class::Source, text).help(help).at(word.span));
        }
        let lookup = |name: &str| self.known.get(name).cloned();
        dockerfile::expand::word(&word.raw, self.escape, &lookup)
            .map_err(|error| PluginError::of(Class::Source, &error))
    }
}

/// `NAME=VALUE` apart.
fn pairs(env: &[String]) -> impl Iterator<Item = (String, String)> {
    env.iter().filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// The variables that `raw` uses, that are not known and that it gives no default for.
pub(super) fn undefined(
    raw: &str,
    escape: Escape,
    known: &BTreeMap<String, String>,
) -> Result<BTreeSet<String>, PluginError> {
    const MARK: &str = "\u{1}";
    let asked = RefCell::new(BTreeSet::new());
    let expand = |marked: Option<&str>| {
        let lookup = |name: &str| {
            let value = known.get(name).cloned();
            if value.is_none() {
                asked.borrow_mut().insert(name.to_owned());
            }
            value.or_else(|| (marked == Some(name)).then(|| MARK.to_owned()))
        };
        dockerfile::expand::word(raw, escape, &lookup).map_err(|error| PluginError::of(Class::Source, &error))
    };
    let without = expand(None)?;
    let names = asked.borrow().clone();
    let mut undefined = BTreeSet::new();
    for name in names {
        // Where there is a default, a value changes more than what it adds.
        if expand(Some(&name))?.replace(MARK, "") == without {
            undefined.insert(name);
        }
    }
    Ok(undefined)
}

/// The variables of the image that the target is built on; none where `--build-context` takes its place.
fn parent(view: &PreBuildView<'_>) -> Result<Vec<(String, String)>, PluginError> {
    let root = view.plan.root_stage().and_then(|root| view.plan.needed.iter().find(|stage| stage.index == root));
    let Some(stage) = root else { return Ok(Vec::new()) };
    let Base::Image(name) = &stage.base else { return Ok(Vec::new()) };
    let is_replaced = check_base_image::context(view.request, name).is_some();
    let env = if check_base_image::acts(view.site) && !is_replaced {
        let reference =
            check_base_image::decide(name, &Rules::of(view.site)).map_err(|error| error.at(stage.base_span))?;
        view.transports.open(&Location::Registry(reference), &stage.platform)?.config.config.env.clone()
    } else {
        let image = view.plan.parent(stage.index, view.transports)?;
        image.map(|image| image.config.config.env.clone()).unwrap_or_default()
    };
    Ok(pairs(&env).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn labels_that_must_be_there_are_there_under_either_name() {
        let written = labels::of(&[("Name", "n"), ("com.redhat.component", "c")]);
        let none = Labels::new();
        decide(&owned(&["name", "com.redhat.component"]), &written, (&none, false)).unwrap();
        decide(&owned(&REQUIRED), &written, (&none, true)).unwrap();
        decide(&owned(&["vendor"]), &written, (&labels::of(&[("vendor", "v")]), false)).unwrap();
        let error = decide(&owned(&REQUIRED), &written, (&none, false)).unwrap_err();
        assert_eq!(error.text, "the image has no label version");
        let empty = labels::of(&[("name", "")]);
        assert_eq!(decide(&owned(&["name"]), &empty, (&none, false)).unwrap_err().text, "the image has no label name");
    }

    #[test]
    fn an_operators_bundle_is_one_stage_on_nothing() {
        let marked = |value| labels::of(&[(OPERATOR[0], value)]);
        for (value, bases) in [("true", (1, true)), ("false", (2, false)), ("", (1, false))] {
            bundle(&marked(value), bases).unwrap();
        }
        for bases in [(1, false), (2, true), (2, false)] {
            let error = bundle(&marked("True"), bases).unwrap_err();
            let text =
                "the label com.redhat.delivery.operator.bundle is true, and such an image has one stage, FROM scratch";
            assert_eq!(error.text, text);
        }
    }

    #[test]
    fn a_version_has_no_slash() {
        check_version("1.2").unwrap();
        let error = check_version("1/2").unwrap_err();
        assert_eq!(error.text, "the label version is `1/2`, and a version has no slash");
    }

    #[test]
    fn a_variable_that_is_used_is_defined_or_has_a_default() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned())]);
        let missing = |raw: &str| undefined(raw, Escape::Backslash, &known).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(missing("1.0"), [""; 0]);
        assert_eq!(missing("$A.${A}"), [""; 0]);
        assert_eq!(missing("$B.$A"), ["B"]);
        assert_eq!(missing("${B:-2}"), [""; 0]);
        assert_eq!(missing("${B:-2}$C"), ["C"]);
        assert_eq!(missing("'$B'"), [""; 0]);
    }

    #[test]
    fn an_operators_bundle_is_refused_by_name() {
        let yaml = ContainerYaml { operator_manifests: Some("m".to_owned()), ..ContainerYaml::default() };
        let bundle = labels::of(&[("com.redhat.delivery.operator.bundle", "true")]);
        operators(&bundle, &ContainerYaml::default()).unwrap();
        assert!(operators(&bundle, &yaml).unwrap_err().text.contains("operator's bundle"));
        let both = labels::of(&[(OPERATOR[0], "true"), (OPERATOR[1], "true")]);
        assert!(operators(&both, &yaml).unwrap_err().text.starts_with("only one of the labels"));
    }
}
