//! Labels and names of an image, as the plugins decide them.

use std::collections::BTreeMap;

use dockerfile::Base;
use oci::ImageConfig;
use pipeline::site::Site;
use pipeline::{PluginError, Tags};
use serde_json::{Map, Value};

use super::{request, rewritten};
use crate::add_labels_in_dockerfile::{self, Options};
use crate::{labels, tag_from_config};

pub use crate::add_labels_in_dockerfile::{Before, Known};
pub use pipeline::Task;

/// Names and values: labels, or variables.
pub type Texts = BTreeMap<String, String>;

/// The labels that add_labels_in_dockerfile adds with these arguments, and the Dockerfile with them.
///
/// # Errors
/// As add_labels_in_dockerfile; [`pipeline::Class::Source`] for what is no Dockerfile.
pub fn with_labels(
    text: &str,
    site: &Site,
    (known, args): (&Known, &Map<String, Value>),
    before: Before,
) -> Result<(Texts, String), PluginError> {
    let options = Options::read(Some(args), None)?;
    let (added, edit) = add_labels_in_dockerfile::decided(site, (known, &options), before)?;
    Ok((added, rewritten(text, &edit.into_iter().collect::<Vec<_>>())?))
}

/// The Dockerfile with the release in `variable`, as container.yaml's `set_release_env` wants it; `all` are the image's
/// labels. As it is where there is no release, or no variable can have that name.
///
/// # Errors
/// [`pipeline::Class::Source`] for what is no Dockerfile.
pub fn with_release_env(text: &str, variable: &str, all: &Texts) -> Result<String, PluginError> {
    let edit = add_labels_in_dockerfile::release_env(variable, all).ok();
    rewritten(text, &edit.into_iter().collect::<Vec<_>>())
}

/// The labels of the image that the last stage is built on, if its own are `labels`, and those the Dockerfile sets; with
/// `variables` in the parent's environment.
///
/// # Errors
/// [`pipeline::Class::Source`] for what is no Dockerfile.
pub fn labels(text: &str, labels: &Texts, variables: &Texts) -> Result<(Texts, Texts), PluginError> {
    let request = request(text)?;
    let plan = build::plan(&request)?;
    let preview = |labels: &Texts| {
        let parent = |_| {
            let mut image = ImageConfig::scratch(&request.platform);
            image.config.labels.clone_from(labels);
            image.config.env = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
            Some(image)
        };
        build::preview(&plan, &parent).map(|image| image.config.labels)
    };
    let written = preview(&Texts::new())?;
    // What Koji would make a base of has no labels yet.
    let by_koji = |base: &Base| matches!(base, Base::Image(name) if name.split(':').next() == Some("koji/image-build"));
    let root = plan.needed.iter().find(|stage| Some(stage.index) == plan.root_stage());
    let has_parent = root.is_some_and(|root| !by_koji(&root.base));
    Ok((if has_parent { labels.clone() } else { Texts::new() }, written))
}

/// The names of an image with these labels, as tag_from_config makes them for what a build system demands; `args` are the
/// plugin's.
///
/// # Errors
/// As tag_from_config.
pub fn tags(site: &Site, labels: &Texts, task: &Task, args: Option<&Map<String, Value>>) -> Result<Tags, PluginError> {
    tag_from_config::decided(site, labels, (task, args))
}

/// The value of a label under its new or its old name.
#[must_use]
pub fn label<'l>(all: &'l Texts, name: &str) -> Option<&'l str> {
    labels::value(all, name)
}
