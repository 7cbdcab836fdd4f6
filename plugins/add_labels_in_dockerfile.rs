//! `add_labels_in_dockerfile`: labels that every image of the site has.
//!
//! Reads the labels of the Dockerfile and of the parent, `--label`, the site's `image_labels`, `image_equal_labels` and
//! `image_label_info_url_format`, the source. Returns one LABEL instruction for the end of the Dockerfile, and all
//! labels the image will have. What is known of the build beats the site, the site beats the argument `labels` and the
//! release that is demanded, those beat the Dockerfile, that beats the parent; only two labels are the Dockerfile's where
//! it has them, `distribution-scope` and `com.redhat.license_terms`. What the Dockerfile says already is not repeated.
//! Where container.yaml has `set_release_env`, every stage gets that variable with the release too. Fails the build when
//! the URL's format names a label that is not there.

mod options;

use pipeline::site::Site;
use pipeline::{Changes, Class, Edit, Fact, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};

use crate::container_yaml;
use crate::labels::{self, Labels};

pub(crate) use options::Options;

/// Labels of every build that are added by themselves.
const AUTOMATIC: [&str; 4] = ["architecture", "build-date", "vcs-ref", "vcs-type"];
/// Labels that name a build: to replace those of the Dockerfile surprises.
const OF_THE_BUILD: [&str; 3] = ["name", "version", "release"];

#[derive(Debug)]
struct AddLabels {
    rules: Rules,
    options: Options,
}

/// What the site and the plugin's arguments say about labels.
#[derive(Clone, Debug, Default)]
struct Rules {
    /// Of the site.
    labels: Labels,
    /// Of one build.
    demanded: Labels,
    equal: Vec<Vec<String>>,
    url_format: Option<String>,
    /// Old name and new name.
    aliases: Vec<(String, String)>,
    /// Labels with which the Dockerfile has the last word.
    of_the_dockerfile: Vec<String>,
    /// Labels with which the parent has it, where the Dockerfile says nothing.
    of_the_parent: Vec<String>,
}

/// What is there before.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Of the image that the last stage is built on.
    pub parent: Labels,
    /// Of the Dockerfile alone.
    pub written: Labels,
    /// Known of this build.
    pub automatic: Labels,
    /// `--label`: the build adds them itself, after everything.
    pub demanded: Labels,
}

impl Rules {
    fn of(site: &Site, options: &Options) -> Self {
        let equal = Some(&site.image_equal_labels).filter(|groups| !groups.is_empty());
        Self {
            labels: site.image_labels.clone(),
            demanded: options.labels.clone(),
            equal: equal.unwrap_or(&options.equal).clone(),
            url_format: site.image_label_info_url_format.clone().or_else(|| options.url_format.clone()),
            aliases: options.aliases.clone(),
            of_the_dockerfile: options.of_the_dockerfile.clone(),
            of_the_parent: options.of_the_parent.clone(),
        }
    }
}

fn acts(site: &Site) -> bool {
    !site.image_labels.is_empty() || !site.image_equal_labels.is_empty() || site.image_label_info_url_format.is_some()
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let release = setup.wanted.task.release.as_ref();
    if setup.args.is_none() && !acts(setup.site) && release.is_none() {
        return Ok(None);
    }
    let options = Options::read(setup.args, setup.wanted.task.release.as_deref())?;
    let rules = Rules::of(setup.site, &options);
    Ok(Some(Box::new(AddLabels { rules, options })))
}

impl Plugin<PreBuild> for AddLabels {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let (automatic, mut warnings) = automatic(&self.options.automatic, &Known::of(view));
        let before = Before {
            parent: view.parent_config().map(|config| config.config.labels.clone()).unwrap_or_default(),
            written: view.written_labels()?,
            automatic,
            demanded: view.request.labels.iter().cloned().collect(),
        };
        warnings.extend(replaced(&self.rules, &before));
        let added = decide(&self.rules, &before)?;
        let all = union(&[&before.parent, &before.written, &added, &before.demanded]);
        let mut edits: Vec<Reasoned> = edit(added).into_iter().collect();
        if let Some(variable) = container_yaml::of(view)?.set_release_env {
            match release_env(&variable, &all) {
                Ok(edit) => edits.push(edit),
                Err(warning) => warnings.push(warning),
            }
        }
        Ok(Changes { edits, facts: vec![Fact::Labels(all)], warnings })
    }
}

/// The edit that sets `variable` to the release in every stage (container.yaml, `set_release_env`); in words why not.
pub(crate) fn release_env(variable: &str, all: &Labels) -> Result<Reasoned, String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if variable.is_empty() || variable.starts_with(|c: char| c.is_ascii_digit()) || !variable.chars().all(is_word) {
        return Err(format!("container.yaml: set_release_env: {variable:?} cannot be the name of a variable"));
    }
    let value = labels::value(all, "release").ok_or_else(|| {
        format!("container.yaml: set_release_env: {variable} is not set, for the image has no label release")
    })?;
    let edit = Edit::Environment { name: variable.to_owned(), value: value.to_owned() };
    Ok(Reasoned { edit, reason: "container.yaml wants the release in a variable".to_owned() })
}

/// The edit that adds these labels; none for none.
fn edit(added: Labels) -> Option<Reasoned> {
    let reason = "labels of the site, of this build, and aliases".to_owned();
    (!added.is_empty()).then(|| Reasoned { edit: Edit::Labels(added.into_iter().collect()), reason })
}

/// The labels to add and the edit that adds them.
pub(crate) fn decided(
    site: &Site,
    (known, options): (&Known, &Options),
    before: Before,
) -> Result<(Labels, Option<Reasoned>), PluginError> {
    let before = Before { automatic: automatic(&options.automatic, known).0, ..before };
    let added = decide(&Rules::of(site, options), &before)?;
    Ok((added.clone(), edit(added)))
}

/// What a build knows of itself.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The platform, under the site's name for it.
    pub platform: String,
    /// The time of the build, in seconds since 1970.
    pub epoch: u64,
    /// The commit of the source.
    pub commit: Option<String>,
    /// Where the source is.
    pub uri: Option<String>,
}

impl Known {
    fn of(view: &PreBuildView<'_>) -> Self {
        Self {
            platform: view.site.platform(&view.request.platform.architecture).to_owned(),
            epoch: view.request.epoch,
            commit: view.source.commit.clone(),
            uri: view.source.uri.clone(),
        }
    }
}

/// The labels of these names, and warnings about those that nobody could fill in.
fn automatic(names: &[String], known: &Known) -> (Labels, Vec<String>) {
    let (mut labels, mut warnings) = (Labels::new(), Vec::new());
    for name in names {
        let value = match name.as_str() {
            "architecture" => Some(known.platform.clone()),
            "build-date" => Some(build::timestamp(known.epoch)),
            "vcs-ref" => known.commit.clone(),
            "vcs-type" => known.commit.as_ref().map(|_| "git".to_owned()),
            "vcs-url" => known.uri.clone(),
            "com.redhat.build-host" => {
                warnings
                    .push(format!("the label {name} is not set: no docker daemon builds, whose host it could name"));
                None
            }
            _ => {
                warnings.push(format!("nothing is known that the label {name} could say"));
                None
            }
        };
        labels.extend(value.map(|value| (name.clone(), value)));
    }
    (labels, warnings)
}

/// Labels that name the build and that the site replaces.
fn replaced(rules: &Rules, before: &Before) -> Vec<String> {
    let warning = |name: &str, others: &Labels, whose: &str| {
        let (site, other) = (rules.labels.get(name)?, others.get(name)?);
        (site != other).then(|| {
            format!("the label {name} is {site}, as the site's image_labels say; {whose} {other} has no effect")
        })
    };
    let both = |name| {
        let demanded = warning(name, &rules.demanded, "the build's");
        [warning(name, &before.written, "the Dockerfile's"), demanded]
    };
    OF_THE_BUILD.into_iter().flat_map(both).flatten().collect()
}

/// The labels to add.
fn decide(rules: &Rules, before: &Before) -> Result<Labels, PluginError> {
    let mut added = union(&[&rules.demanded, &rules.labels, &before.automatic]);
    let explicit = union(&[&before.written, &added, &before.demanded]);
    added.extend(aliases(&rules.aliases, &before.parent, &explicit));
    added.extend(equal(&rules.equal, &before.parent, &explicit));
    if let Some(format) = &rules.url_format {
        let all = union(&[&before.parent, &before.written, &added, &before.demanded]);
        added.insert("url".to_owned(), labels::fill_if_there(format, &all, Class::Configuration)?);
    }
    added.retain(|name, value| {
        let written = before.written.contains_key(name);
        let of_the_parent = !written && rules.of_the_parent.contains(name) && before.parent.contains_key(name);
        let stays = (written && rules.of_the_dockerfile.contains(name)) || of_the_parent;
        !stays && before.written.get(name) != Some(value) && !before.demanded.contains_key(name)
    });
    Ok(added)
}

/// What one of two names of a label is to be because of the other.
///
/// The new name gets what the old one says if it is missing, or if only the old one was said here; else the old name
/// gets what the new one says.
fn aliases(names: &[(String, String)], parent: &Labels, explicit: &Labels) -> Labels {
    let mut all = union(&[parent, explicit]);
    let mut added = Labels::new();
    for (old, new) in names {
        let Some(old_value) = all.get(old).cloned() else { continue };
        let is_older = explicit.contains_key(old) && !explicit.contains_key(new);
        match all.get(new).cloned() {
            Some(new_value) if new_value == old_value => {}
            Some(new_value) if !is_older => drop(added.insert(old.clone(), new_value)),
            Some(_) => {
                // Of several old names the first counts.
                all.insert(new.clone(), old_value.clone());
                added.insert(new.clone(), old_value);
            }
            None => drop(added.insert(new.clone(), old_value)),
        }
    }
    added
}

/// What the labels of each group are to be because of the first that was said here, else of the first the parent has.
fn equal(groups: &[Vec<String>], parent: &Labels, explicit: &Labels) -> Labels {
    let mut added = Labels::new();
    for group in groups {
        let first = |labels: &Labels| group.iter().find_map(|name| labels.get(name).cloned());
        let (value, is_explicit) = match (first(explicit), first(parent)) {
            (Some(value), _) => (value, true),
            (None, Some(value)) => (value, false),
            (None, None) => continue,
        };
        let is_settled = |name: &String| match parent.get(name) {
            Some(inherited) => explicit.contains_key(name) || !is_explicit || *inherited == value,
            None => explicit.contains_key(name),
        };
        let rest = group.iter().filter(|name| !is_settled(name));
        added.extend(rest.map(|name| (name.clone(), value.clone())));
    }
    added
}

/// All labels; the later beats the earlier.
fn union(layers: &[&Labels]) -> Labels {
    layers.iter().flat_map(|labels| labels.iter().map(|(name, value)| (name.clone(), value.clone()))).collect()
}

#[cfg(test)]
mod tests;
