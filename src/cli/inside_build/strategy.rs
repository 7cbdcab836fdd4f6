//! What a Build object says beside what a custom build needs: its base image and volumes (`spec.strategy`), and the
//! proxies of its repository.
//!
//! Comes in: the object. Goes out: a [`Strategy`]; or a failure for what is not done here.

use std::path::{Path, PathBuf};

use cluster::Object;
use serde_json::Value;

use crate::build::LastBase;
use crate::failure::{Failure, Status};

/// Where OpenShift mounts build volumes, each in a folder of its name with this ending.
const VOLUMES: &str = "/var/run/openshift.io/volumes";
const VOLUME_ENDING: &str = "-user-build-volume";

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Strategy {
    /// The image that stands in the place of the last FROM (`dockerStrategy.from`).
    pub(super) base: LastBase,
    /// Where volumes are here, and where steps are to see them (`dockerStrategy.volumes`).
    pub(super) volumes: Vec<(PathBuf, String)>,
    /// Proxies for the repository, by the names of their variables (`source.git.httpProxy`).
    pub(super) git_proxies: Vec<(String, String)>,
    /// What the object says and is not used.
    pub(super) notes: Vec<String>,
}

/// What of other strategies than the custom one is not done here.
const REFUSED: [&str; 5] = [
    "dockerStrategy/buildArgs",
    "dockerStrategy/dockerfilePath",
    "dockerStrategy/env",
    "jenkinsPipelineStrategy",
    "sourceStrategy",
];
/// What has no effect, with the reason.
const UNUSED: [(&str, &str); 2] = [
    ("output/imageLabels", "not used: labels are the Dockerfile's and the site's"),
    ("strategy/customStrategy/exposeDockerSocket", "not used: there is no docker daemon"),
];

pub(super) fn read(object: &Value) -> Result<Strategy, Failure> {
    for path in REFUSED {
        let says =
            |value: &Value| !matches!(value, Value::Null) && value.as_array().is_none_or(|list| !list.is_empty());
        if object.pointer(&format!("/spec/strategy/{path}")).is_some_and(says) {
            let text = format!("BUILD: spec.strategy.{} is not supported", path.replace('/', "."));
            return Err(Failure::new(Status::Usage, text).help("this is the entry point of a custom strategy"));
        }
    }
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let proxies = [("httpProxy", "http_proxy"), ("httpsProxy", "https_proxy"), ("noProxy", "no_proxy")];
    let proxies = proxies.iter().filter_map(|(key, variable)| {
        let value = text(&format!("/spec/source/git/{key}"))?;
        Some(((*variable).to_owned(), value.to_owned()))
    });
    let base = match (text("/spec/strategy/dockerStrategy/from/kind"), text("/spec/strategy/dockerStrategy/from/name"))
    {
        (_, None) => LastBase::Dockerfile,
        (Some(kind @ ("ImageStreamTag" | "ImageStreamImage")), Some(name)) => in_stream(object, kind, name)?,
        (Some(_) | None, Some(name)) => LastBase::Image(name.to_owned()),
    };
    let notes = UNUSED.iter().filter_map(|(path, reason)| {
        let value = object.pointer(&format!("/spec/{path}"))?;
        (*value != Value::Bool(false)).then(|| format!("BUILD: spec.{}: {reason}", path.replace('/', ".")))
    });
    Ok(Strategy { base, volumes: volumes(object), git_proxies: proxies.collect(), notes: notes.collect() })
}

/// What an ImageStreamTag or ImageStreamImage stood for when its change triggered the build; a tag else what it stands
/// for when the build begins.
fn in_stream(object: &Value, kind: &str, name: &str) -> Result<LastBase, Failure> {
    let triggers = object.pointer("/spec/triggeredBy").and_then(Value::as_array).into_iter().flatten();
    let image = |trigger: &Value| {
        let change = trigger.get("imageChangeBuild")?;
        let is_it = change.pointer("/fromRef/name")?.as_str()? == name;
        change.get("imageID")?.as_str().filter(|_| is_it).map(str::to_owned)
    };
    if let Some(image) = triggers.filter_map(image).next() {
        return Ok(LastBase::Image(image));
    }
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    if kind == "ImageStreamTag" {
        let namespace = text("/spec/strategy/dockerStrategy/from/namespace").or_else(|| text("/metadata/namespace"));
        let namespace = namespace.unwrap_or_default().to_owned();
        return Ok(LastBase::StreamTag(Object { namespace, name: name.to_owned() }));
    }
    let text = format!(
        "BUILD: spec.strategy.dockerStrategy.from is the {kind} {name}, and nothing in the Build says which image that is"
    );
    Err(Failure::new(Status::Usage, text).help("name the image itself, kind DockerImage, or an ImageStreamTag"))
}

fn volumes(object: &Value) -> Vec<(PathBuf, String)> {
    let volumes = object.pointer("/spec/strategy/dockerStrategy/volumes").and_then(Value::as_array);
    let mut found = Vec::new();
    for volume in volumes.into_iter().flatten() {
        let Some(name) = volume.get("name").and_then(Value::as_str) else { continue };
        let place = Path::new(VOLUMES).join(format!("{name}{VOLUME_ENDING}"));
        for mount in volume.get("mounts").and_then(Value::as_array).into_iter().flatten() {
            let target = mount.get("destinationPath").and_then(Value::as_str);
            found.extend(target.map(|target| (place.clone(), target.to_owned())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(from: Value, triggers: Value) -> Result<Strategy, Failure> {
        read(&json!({"spec": {"strategy": {"dockerStrategy": {"from": from}}, "triggeredBy": triggers}}))
    }

    #[test]
    fn a_base_is_an_image_or_what_the_trigger_says() {
        let base = |from, triggers| of(from, triggers).unwrap().base;
        let image = |name: &str| LastBase::Image(name.to_owned());
        assert_eq!(base(json!({"kind": "DockerImage", "name": "r.example/a:1"}), json!([])), image("r.example/a:1"));
        let tag = json!({"kind": "ImageStreamTag", "name": "a:1", "namespace": "images"});
        let trigger =
            |name: &str| json!([{"imageChangeBuild": {"imageID": "r.example/a@sha256:0", "fromRef": {"name": name}}}]);
        assert_eq!(base(tag.clone(), trigger("a:1")), image("r.example/a@sha256:0"));
        let object = Object { namespace: "images".to_owned(), name: "a:1".to_owned() };
        assert_eq!(base(tag, trigger("b:1")), LastBase::StreamTag(object));
        let failure = of(json!({"kind": "ImageStreamImage", "name": "a@sha256:1"}), json!([])).unwrap_err();
        assert!(failure.text.ends_with("nothing in the Build says which image that is"), "{}", failure.text);
    }

    #[test]
    fn other_strategies_are_refused_and_what_is_not_used_is_named() {
        let strategy = |strategy: Value| read(&json!({"spec": {"strategy": strategy, "output": {"imageLabels": []}}}));
        let failure = strategy(json!({"dockerStrategy": {"buildArgs": [{"name": "A"}]}})).unwrap_err();
        assert_eq!(failure.text, "BUILD: spec.strategy.dockerStrategy.buildArgs is not supported");
        assert!(strategy(json!({"sourceStrategy": {}})).is_err());
        let notes = strategy(json!({"customStrategy": {"exposeDockerSocket": true}, "dockerStrategy": {"env": []}}));
        let expected = [
            "BUILD: spec.output.imageLabels: not used: labels are the Dockerfile's and the site's",
            "BUILD: spec.strategy.customStrategy.exposeDockerSocket: not used: there is no docker daemon",
        ];
        assert_eq!(notes.unwrap().notes, expected);
    }

    #[test]
    fn volumes_and_proxies_are_found() {
        let object = json!({"spec": {
            "source": {"git": {"httpsProxy": "http://p.example:3128"}},
            "strategy": {"dockerStrategy": {"volumes": [{"name": "v", "mounts": [{"destinationPath": "/etc/x"}]}]}},
        }});
        let expected = Strategy {
            base: LastBase::Dockerfile,
            volumes: vec![("/var/run/openshift.io/volumes/v-user-build-volume".into(), "/etc/x".into())],
            git_proxies: vec![("https_proxy".into(), "http://p.example:3128".into())],
            notes: vec![],
        };
        assert_eq!(read(&object).unwrap(), expected);
        assert_eq!(read(&json!({"spec": []})).unwrap(), Strategy::default());
    }
}
