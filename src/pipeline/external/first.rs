//! The first message to a program: everything it may know without asking.

use serde_json::{Map, Value, json};

use super::PROTOCOL;
use crate::{ExitView, Facts, Parent, PhaseName, PostBuildView, PreBuildView, PublishView, SourceView, Task};

/// What every phase tells.
pub(super) struct Common<'a> {
    pub(super) key: &'a str,
    pub(super) args: &'a Map<String, Value>,
    pub(super) task: &'a Task,
    /// Without secrets.
    pub(super) site: Value,
}

impl Common<'_> {
    fn of(self, phase: PhaseName, more: Value) -> Value {
        let mut first = json!({
            "protocol": PROTOCOL,
            "phase": phase.as_str(),
            "plugin": self.key,
            "args": self.args,
            "site": self.site,
            "task": self.task,
        });
        if let (Some(first), Value::Object(more)) = (first.as_object_mut(), more) {
            first.extend(more);
        }
        first
    }
}

pub(super) fn source(common: Common<'_>, view: &SourceView<'_>) -> Value {
    let more = json!({
        "source": view.source,
        "directory": view.directory.display().to_string(),
        "is_clone": view.is_clone,
        "facts": {},
    });
    common.of(PhaseName::Source, more)
}

pub(super) fn pre_build(common: Common<'_>, view: &PreBuildView<'_>) -> Value {
    let names: Vec<String> = view.names.iter().map(ToString::to_string).collect();
    let more = json!({
        "source": view.source,
        "names": names,
        "platform": view.request.platform.to_string(),
        "target_stage": view.plan.target(),
        "dockerfile": view.request.dockerfile.text,
        "facts": facts(view.facts),
    });
    common.of(PhaseName::PreBuild, more)
}

pub(super) fn post_build(common: Common<'_>, view: &PostBuildView<'_>) -> Value {
    let image = view.image;
    let new = image.layers.iter().map(|layer| {
        json!({
            "stage": layer.stage,
            "digest": layer.descriptor.digest,
            "diff_id": layer.diff_id,
            "size": layer.descriptor.size,
            "uncompressed": layer.uncompressed,
        })
    });
    let more = json!({
        "image": {
            "digest": image.digest(),
            "config": image.config,
            "layers": image.manifest().layers,
            "new_layers": new.collect::<Vec<_>>(),
        },
        "facts": facts(view.facts),
    });
    common.of(PhaseName::PostBuild, more)
}

pub(super) fn publish(common: Common<'_>, view: &PublishView<'_>) -> Value {
    let outputs: Vec<String> = view.outputs.iter().map(ToString::to_string).collect();
    let more = json!({ "digest": view.digest, "outputs": outputs, "facts": facts(view.facts) });
    common.of(PhaseName::Publish, more)
}

pub(super) fn exit(common: Common<'_>, view: &ExitView<'_>) -> Value {
    let published = view.published.map(|published| published.digest.to_string());
    let more = json!({ "record": view.record, "published": published, "facts": facts(view.facts) });
    common.of(PhaseName::Exit, more)
}

/// What plugins before found out. Packages are many, and asked for.
fn facts(facts: &Facts) -> Value {
    let parent =
        |parent: &Parent| json!({ "stage": parent.stage, "name": parent.name, "pinned": parent.pinned.to_string() });
    let names = |names: &[oci::Reference]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut all = Map::new();
    if let Some(parents) = facts.parents() {
        all.insert("parents".to_owned(), parents.iter().map(parent).collect());
    }
    if let Some(labels) = facts.labels() {
        all.insert("labels".to_owned(), json!(labels));
    }
    if let Some(tags) = facts.tags() {
        let (unique, primary, floating) = (names(&tags.unique), names(&tags.primary), names(&tags.floating));
        all.insert("tags".to_owned(), json!({ "unique": unique, "primary": primary, "floating": floating }));
    }
    let fetched = facts.fetched().iter().map(|(name, digest)| json!({ "name": name, "digest": digest }));
    let fetched: Vec<Value> = fetched.collect();
    if !fetched.is_empty() {
        all.insert("fetched".to_owned(), fetched.into());
    }
    for (name, value) in facts.external() {
        all.insert(name.to_owned(), value.clone());
    }
    Value::Object(all)
}
