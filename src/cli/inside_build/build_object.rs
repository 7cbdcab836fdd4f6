//! The Build object of `$BUILD`, as far as a build needs it.
//!
//! Stands in for `cluster::build_object`, whose names and types these are.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::failure::{Failure, Status};

/// What the object says. Texts that are empty there are none here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Build {
    /// `metadata.name`.
    pub(super) name: String,
    /// `metadata.namespace`.
    pub(super) namespace: String,
    /// `metadata.selfLink`.
    pub(super) self_link: Option<String>,
    /// `metadata.labels`.
    pub(super) labels: BTreeMap<String, String>,
    /// `spec.source.git.uri`.
    pub(super) git_uri: Option<String>,
    /// `spec.source.git.ref`.
    pub(super) git_ref: Option<String>,
    /// `spec.source.contextDir`.
    pub(super) context_dir: Option<String>,
    /// `spec.source.type`.
    pub(super) source_type: Option<SourceType>,
    /// `spec.output.to.kind`.
    pub(super) output_kind: Option<String>,
    /// `spec.output.to.name`.
    pub(super) output_name: Option<String>,
    /// `spec.strategy.customStrategy.env`, those that have a value.
    pub(super) env: BTreeMap<String, String>,
    /// `spec.triggeredBy[].imageChangeBuild.imageID`.
    pub(super) trigger_image: Option<String>,
    /// `spec.revision.git.commit`.
    pub(super) revision_commit: Option<String>,
    /// `spec.source.dockerfile`.
    pub(super) dockerfile: Option<String>,
    /// `spec.source.binary.asFile`.
    pub(super) binary_as_file: Option<String>,
}

/// Where the source comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceType {
    Git,
    Binary,
    Dockerfile,
    Image,
    None,
}

/// Reads the JSON of a Build.
pub(super) fn build_object(text: &str) -> Result<Build, Failure> {
    let usage = |why: String| Failure::new(Status::Usage, format!("BUILD: the Build object {why}"));
    let object: Value = serde_json::from_str(text)
        .map_err(|error| usage(format!("is not JSON: line {}, column {}", error.line(), error.column())))?;
    let found = |path: &str| object.pointer(path).and_then(Value::as_str);
    let text = |path: &str| found(path).filter(|text| !text.is_empty()).map(str::to_owned);
    let name = text("/metadata/name").ok_or_else(|| usage("has no metadata.name".to_owned()))?;
    let labels = object.pointer("/metadata/labels").and_then(Value::as_object).into_iter().flatten();
    let pair = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
    let env = object.pointer("/spec/strategy/customStrategy/env").and_then(Value::as_array).into_iter().flatten();
    let variable = |one: &Value| Some((one.get("name")?.as_str()?.to_owned(), one.get("value")?.as_str()?.to_owned()));
    let triggers = object.pointer("/spec/triggeredBy").and_then(Value::as_array).into_iter().flatten();
    let image = |trigger: &Value| Some(trigger.pointer("/imageChangeBuild/imageID")?.as_str()?.to_owned());
    let source_type = match found("/spec/source/type") {
        Some("Git") => Some(SourceType::Git),
        Some("Binary") => Some(SourceType::Binary),
        Some("Dockerfile") => Some(SourceType::Dockerfile),
        Some("Image") => Some(SourceType::Image),
        Some("None") => Some(SourceType::None),
        Some(_) | None => None,
    };
    Ok(Build {
        name,
        namespace: text("/metadata/namespace").unwrap_or_default(),
        self_link: text("/metadata/selfLink"),
        labels: labels.filter_map(pair).collect(),
        git_uri: text("/spec/source/git/uri"),
        git_ref: text("/spec/source/git/ref"),
        context_dir: text("/spec/source/contextDir"),
        source_type,
        output_kind: text("/spec/output/to/kind"),
        output_name: text("/spec/output/to/name"),
        env: env.filter_map(variable).collect(),
        trigger_image: triggers.filter_map(image).next(),
        revision_commit: text("/spec/revision/git/commit"),
        dockerfile: text("/spec/source/dockerfile"),
        binary_as_file: text("/spec/source/binary/asFile"),
    })
}
