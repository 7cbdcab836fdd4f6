//! Every field of a Build's `spec`: used, the cluster's own, not used, or refused.
//!
//! Comes in: the Build as JSON. Goes out: what is said of fields that are not used, keys that nobody knows among them;
//! or a failure that names the field that is not done here or of another kind than it must be. It shows no value.

use serde_json::Value;

use crate::failure::{Failure, Status};

/// What a field is here.
#[derive(Clone, Copy)]
enum Field {
    /// An object whose fields are in the table.
    Object,
    /// A list of such objects.
    List,
    /// A text that is used.
    Text,
    /// The cluster did it when it made the pod, it is only told, or it is so anyway; no build has to look at it.
    Cluster,
    /// It has no effect, for this reason.
    Unused(&'static str),
    /// It is not done, and a build without it would be another one; what to do.
    Refused(&'static str),
}
use Field::{Cluster, List, Object, Refused, Text, Unused};

const CONTEXT: &str = "not used: files get into the build context through the repository alone; an additional secret \
    (customStrategy.secrets) is a directory of the pod";
const STRATEGY: &str = "this is the entry point of a custom strategy";

/// OpenShift's `build.openshift.io/v1`, `BuildSpec`.
const FIELDS: [(&str, Field); 83] = [
    ("completionDeadlineSeconds", Cluster),
    ("mountTrustedCA", Cluster),
    ("nodeSelector", Cluster),
    ("output", Object),
    ("output.imageLabels", List),
    ("output.imageLabels.name", Text),
    ("output.imageLabels.value", Text),
    ("output.pushSecret", Cluster),
    ("output.to", Object),
    ("output.to.apiVersion", Cluster),
    ("output.to.fieldPath", Cluster),
    ("output.to.kind", Text),
    ("output.to.name", Text),
    ("output.to.namespace", Cluster),
    ("output.to.resourceVersion", Cluster),
    ("output.to.uid", Cluster),
    ("postCommit", Unused("not used: a site tests what was built with its plugin test_built_image")),
    ("resources", Cluster),
    ("revision", Object),
    ("revision.git", Object),
    ("revision.git.author", Cluster),
    ("revision.git.commit", Text),
    ("revision.git.committer", Cluster),
    ("revision.git.message", Cluster),
    ("revision.type", Cluster),
    ("serviceAccount", Cluster),
    ("source", Object),
    ("source.binary", Object),
    ("source.binary.asFile", Text),
    ("source.configMaps", Unused(CONTEXT)),
    ("source.contextDir", Text),
    ("source.dockerfile", Text),
    ("source.git", Object),
    ("source.git.httpProxy", Text),
    ("source.git.httpsProxy", Text),
    ("source.git.noProxy", Text),
    ("source.git.ref", Text),
    ("source.git.uri", Text),
    ("source.images", Refused("copy the files in the Dockerfile: COPY --from=IMAGE")),
    ("source.secrets", Unused(CONTEXT)),
    ("source.sourceSecret", Cluster),
    ("source.type", Text),
    ("strategy", Object),
    ("strategy.customStrategy", Object),
    ("strategy.customStrategy.buildAPIVersion", Cluster),
    ("strategy.customStrategy.env", Cluster),
    ("strategy.customStrategy.exposeDockerSocket", Unused("not used: there is no docker daemon")),
    ("strategy.customStrategy.forcePull", Cluster),
    ("strategy.customStrategy.from", Cluster),
    ("strategy.customStrategy.pullSecret", Cluster),
    ("strategy.customStrategy.secrets", Cluster),
    ("strategy.dockerStrategy", Object),
    ("strategy.dockerStrategy.buildArgs", List),
    ("strategy.dockerStrategy.buildArgs.name", Text),
    ("strategy.dockerStrategy.buildArgs.value", Text),
    ("strategy.dockerStrategy.buildArgs.valueFrom", Refused("give the variable its value")),
    ("strategy.dockerStrategy.dockerfilePath", Text),
    ("strategy.dockerStrategy.env", List),
    ("strategy.dockerStrategy.env.name", Text),
    ("strategy.dockerStrategy.env.value", Text),
    ("strategy.dockerStrategy.env.valueFrom", Refused("give the variable its value")),
    // The registry is always asked for a base image.
    ("strategy.dockerStrategy.forcePull", Cluster),
    ("strategy.dockerStrategy.from", Object),
    ("strategy.dockerStrategy.from.apiVersion", Cluster),
    ("strategy.dockerStrategy.from.fieldPath", Cluster),
    ("strategy.dockerStrategy.from.kind", Text),
    ("strategy.dockerStrategy.from.name", Text),
    ("strategy.dockerStrategy.from.namespace", Text),
    ("strategy.dockerStrategy.from.resourceVersion", Cluster),
    ("strategy.dockerStrategy.from.uid", Cluster),
    ("strategy.dockerStrategy.imageOptimizationPolicy", Text),
    // Nothing that steps made is ever taken from an earlier build.
    ("strategy.dockerStrategy.noCache", Cluster),
    ("strategy.dockerStrategy.pullSecret", Cluster),
    ("strategy.dockerStrategy.volumes", List),
    ("strategy.dockerStrategy.volumes.mounts", List),
    ("strategy.dockerStrategy.volumes.mounts.destinationPath", Text),
    ("strategy.dockerStrategy.volumes.name", Text),
    ("strategy.dockerStrategy.volumes.source", Cluster),
    ("strategy.jenkinsPipelineStrategy", Refused(STRATEGY)),
    ("strategy.sourceStrategy", Refused(STRATEGY)),
    ("strategy.type", Cluster),
    // What started it; the images among it are looked for where they are used.
    ("triggeredBy", Cluster),
    // Older clusters have it in the specification.
    ("triggeredBy.message", Cluster),
];

/// Looks at all of `object`'s specification.
pub(super) fn check(object: &Value) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    if let Some(spec) = object.get("spec") {
        walk(("spec", ""), spec, Object, &mut notes)?;
    }
    Ok(notes)
}

/// `shown` has the numbers of items, `key` is that of the table.
fn walk((shown, key): (&str, &str), value: &Value, field: Field, notes: &mut Vec<String>) -> Result<(), Failure> {
    let wrong = |expected: &str| {
        let text = format!("BUILD: the Build object: {shown}: expected {expected}, found {}", kind(value));
        Err(Failure::new(Status::Usage, text))
    };
    match (field, value) {
        (_, Value::Null) | (Cluster, _) | (Text, Value::String(_)) => Ok(()),
        (Unused(reason), value) => {
            notes.extend(says_something(value).then(|| format!("BUILD: {shown}: {reason}")));
            Ok(())
        }
        // An empty list asks for nothing; an empty strategy is that strategy.
        (Refused(_), Value::Array(items)) if items.is_empty() => Ok(()),
        (Refused(help), _) => Err(Failure::new(Status::Usage, format!("BUILD: {shown} is not supported")).help(help)),
        (Object, Value::Object(map)) => {
            for (name, value) in map {
                let inner = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                let place = format!("{shown}.{name}");
                match FIELDS.iter().find(|(known, _)| *known == inner) {
                    Some((_, field)) => walk((&place, &inner), value, *field, notes)?,
                    None => notes.push(format!("BUILD: {place}: unknown key, not used")),
                }
            }
            Ok(())
        }
        (List, Value::Array(items)) => {
            let each = |(index, item)| walk((&format!("{shown}[{index}]"), key), item, Object, notes);
            items.iter().enumerate().try_for_each(each)
        }
        (Object, _) => wrong("an object"),
        (List, _) => wrong("a list"),
        (Text, _) => wrong("a text"),
    }
}

/// Whether a value is more than what the API writes where nobody said anything.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[track_caller]
    fn said(spec: Value, expected: &[&str]) {
        assert_eq!(check(&json!({ "spec": spec })).unwrap(), expected);
    }

    #[track_caller]
    fn refused(spec: Value, expected: &str) {
        let failure = check(&json!({ "spec": spec })).unwrap_err();
        assert_eq!((failure.text.as_str(), failure.status), (expected, Status::Usage));
    }

    #[test]
    fn what_the_cluster_does_and_what_it_writes_for_nothing_is_not_worth_a_word() {
        let empty = json!({"nodeSelector": null, "postCommit": {}, "resources": {}, "output": {}, "triggeredBy": null,
            "source": {"secrets": [], "images": []}, "strategy": {"customStrategy": {"exposeDockerSocket": false}}});
        said(empty, &[]);
        let cluster = json!({"resources": {"limits": {"memory": "2Gi"}}, "completionDeadlineSeconds": 60,
            "serviceAccount": "builder", "strategy": {"type": "Custom", "customStrategy": {"forcePull": true}}});
        said(cluster, &[]);
        assert_eq!(check(&json!({"metadata": {"name": "x"}})).unwrap(), [""; 0]);
    }

    #[test]
    fn what_has_no_effect_and_what_nobody_knows_is_named_once() {
        let spec = json!({"postCommit": {"script": "x"}, "zebra": 1,
            "source": {"secrets": [{"secret": {"name": "a"}}, {"secret": {"name": "b"}}], "git": {"depth": 1}},
            "strategy": {"customStrategy": {"exposeDockerSocket": true}}});
        let expected = [
            "BUILD: spec.postCommit: not used: a site tests what was built with its plugin test_built_image",
            "BUILD: spec.source.git.depth: unknown key, not used",
            &format!("BUILD: spec.source.secrets: {CONTEXT}"),
            "BUILD: spec.strategy.customStrategy.exposeDockerSocket: not used: there is no docker daemon",
            "BUILD: spec.zebra: unknown key, not used",
        ];
        said(spec, &expected);
    }

    #[test]
    fn what_would_make_another_image_is_refused() {
        refused(json!({"source": {"images": [{"from": {}}]}}), "BUILD: spec.source.images is not supported");
        refused(json!({"strategy": {"sourceStrategy": {}}}), "BUILD: spec.strategy.sourceStrategy is not supported");
        let argument = json!({"name": "A", "valueFrom": {"secretKeyRef": {}}});
        let place = "BUILD: spec.strategy.dockerStrategy.env[1].valueFrom is not supported";
        refused(json!({"strategy": {"dockerStrategy": {"env": [{"name": "B"}, argument]}}}), place);
    }

    #[test]
    fn a_field_of_another_kind_is_named_without_its_value() {
        let at = |what: &str| format!("BUILD: the Build object: spec.{what}");
        refused(
            json!({"strategy": {"dockerStrategy": {"from": "hunter2"}}}),
            &at("strategy.dockerStrategy.from: expected an object, found a text"),
        );
        refused(
            json!({"strategy": {"dockerStrategy": {"env": {}}}}),
            &at("strategy.dockerStrategy.env: expected a list, found an object"),
        );
        refused(
            json!({"source": {"git": {"httpProxy": 5}}}),
            &at("source.git.httpProxy: expected a text, found a number"),
        );
    }

    #[test]
    fn every_field_of_the_api_is_in_the_table() {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/schemas/k8s/openshift-build-v1.openapi.json");
        let Ok(text) = std::fs::read_to_string(&path) else {
            use std::io::Write;
            // What a test prints is kept from the log unless it fails; this is to be seen.
            let _said = writeln!(std::io::stderr(), "skipped: {} is not there", path.display());
            return;
        };
        let api: Value = serde_json::from_str(&text).unwrap();
        let of = |kind: &str| {
            let all = ["/definitions", "/components/schemas"].iter().filter_map(|at| api.pointer(at)?.as_object());
            let mut all = all.flatten().filter(|(name, _)| name.contains("openshift.api.build"));
            let (_, found) = all.find(|(name, _)| name.rsplit('.').next() == Some(kind)).unwrap();
            found["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
        };
        let kinds = [
            ("BuildSpec", ""),
            ("BuildOutput", "output."),
            ("ImageLabel", "output.imageLabels."),
            ("SourceRevision", "revision."),
            ("GitSourceRevision", "revision.git."),
            ("BuildSource", "source."),
            ("BinaryBuildSource", "source.binary."),
            ("GitBuildSource", "source.git."),
            ("BuildStrategy", "strategy."),
            ("CustomBuildStrategy", "strategy.customStrategy."),
            ("DockerBuildStrategy", "strategy.dockerStrategy."),
        ];
        for (kind, prefix) in kinds {
            for name in of(kind) {
                let key = format!("{prefix}{name}");
                assert!(FIELDS.iter().any(|(known, _)| *known == key), "{key} is not in the table");
            }
        }
    }
}
