//! What the command line says of the image's config, manifest and layers beside the Dockerfile.
//!
//! Comes in: a config before the first instruction of a stage, or after the last. Goes out: the config and the
//! annotations as buildah would write them with the same options. It looks at no file and at no clock.

use std::collections::BTreeMap;

use oci::config::ContainerConfig;
use oci::{Descriptor, ImageConfig, Manifest};
use serde_json::{Value, json};

use crate::{Request, commit};

/// Annotations this program writes by itself (OCI image-spec, annotations.md).
const CREATED: &str = "org.opencontainers.image.created";
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// Options on the image's config and manifest. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigOptions {
    /// `--unsetenv`: variables the image does not have in the end; RUN still sees them.
    pub unset_env: Vec<String>,
    /// `--unsetlabel`: labels the image does not have, whoever set them.
    pub unset_labels: Vec<String>,
    /// `--unsetannotation`: annotations the image does not have unless `--annotation` sets them.
    pub unset_annotations: Vec<String>,
    /// `--inherit-labels=false`: stages begin without the labels of what they are built on.
    pub drops_base_labels: bool,
    /// `--inherit-annotations=false`: the base's annotations, and those about the base, are left out.
    pub drops_base_annotations: bool,
    /// `--created-annotation=false`.
    pub omits_created_annotation: bool,
    /// `--omit-history`.
    pub omits_history: bool,
    /// `--os-version`.
    pub os_version: Option<String>,
    /// `--os-feature`, in order; one that ends in `-` is taken out.
    pub os_features: Vec<String>,
}

/// What becomes of file times in new layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerTimes {
    /// What the build wrote gets the image's time, all else keeps its own.
    #[default]
    OfBuild,
    /// `--rewrite-timestamp`: nothing is newer than the image.
    AtMostImage,
    /// `--timestamp`: everything is as old as the image.
    Image,
}

/// What a stage knows of its base beside the config.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// Of the manifest, and about the base.
    pub(crate) annotations: BTreeMap<String, String>,
    /// The base has layers and no history: some lines for the new layers alone would be taken for its own.
    pub(crate) lacks_history: bool,
}

impl Inherited {
    /// What an image of this name leaves to the stage that is built on it.
    pub(crate) fn of(name: &str, descriptor: &Descriptor, manifest: &Manifest, config: &ImageConfig) -> Self {
        let mut annotations = manifest.annotations.clone();
        annotations.insert(BASE_DIGEST.to_owned(), descriptor.digest.to_string());
        match has_registry(name) {
            true => annotations.insert(BASE_NAME.to_owned(), name.to_owned()),
            // A base's own base is not ours.
            false => annotations.remove(BASE_NAME),
        };
        Self { annotations, lacks_history: config.history.is_empty() && !config.rootfs.diff_ids.is_empty() }
    }
}

/// Whether a name says where its image is, or leaves that to registries.conf.
fn has_registry(name: &str) -> bool {
    let first = name.split_once('/').map_or("", |(first, _)| first);
    first == "localhost" || first.contains(['.', ':'])
}

/// A config before the first instruction of a stage.
pub(crate) fn begin(config: &mut ImageConfig, options: &ConfigOptions) {
    if options.drops_base_labels {
        config.config.labels.clear();
    }
}

/// A config after the last instruction of the target. Its layers are known.
pub(crate) fn finish(config: &mut ImageConfig, options: &ConfigOptions, inherited: &Inherited) {
    unset(&mut config.config, options);
    if options.omits_history || inherited.lacks_history {
        config.history.clear();
    }
    if let Some(version) = &options.os_version {
        config.other.insert("os.version".to_owned(), json!(version));
    }
    if !options.os_features.is_empty() {
        let features = features(config.other.get("os.features"), &options.os_features);
        match features.is_empty() {
            true => config.other.remove("os.features"),
            false => config.other.insert("os.features".to_owned(), json!(features)),
        };
    }
}

/// What nobody who builds on the stage sees either.
pub(crate) fn unset(config: &mut ContainerConfig, options: &ConfigOptions) {
    let is_unset = |line: &String| {
        let name = line.split_once('=').map_or(line.as_str(), |(name, _)| name);
        options.unset_env.iter().any(|unset| unset == name)
    };
    config.env.retain(|line| !is_unset(line));
    config.labels.retain(|name, _| !options.unset_labels.contains(name));
}

fn features(base: Option<&Value>, changes: &[String]) -> Vec<String> {
    let known = base.and_then(Value::as_array).into_iter().flatten();
    let mut features: Vec<String> = known.filter_map(Value::as_str).map(str::to_owned).collect();
    for change in changes {
        match change.strip_suffix('-') {
            Some(gone) => features.retain(|feature| feature != gone),
            None if features.contains(change) => {}
            None => features.push(change.clone()),
        }
    }
    features
}

/// The annotations of an image in the OCI format; the others have none.
pub(crate) fn annotations(request: &Request, inherited: &Inherited) -> BTreeMap<String, String> {
    let options = &request.config;
    let mut annotations = if options.drops_base_annotations { BTreeMap::new() } else { inherited.annotations.clone() };
    match options.omits_created_annotation {
        true => annotations.remove(CREATED),
        false => annotations.insert(CREATED.to_owned(), commit::timestamp(request.epoch)),
    };
    annotations.retain(|name, _| !options.unset_annotations.contains(name));
    annotations.extend(request.annotations.iter().cloned());
    annotations
}

#[cfg(test)]
mod tests;
