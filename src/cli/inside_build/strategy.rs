//! What a Build object says beside what a custom build needs: its base image, volumes, arguments and variables
//! (`spec.strategy`), the image's labels, and the proxies of its repository.
//!
//! Comes in: the object. Goes out: a [`Strategy`]; or a failure for what is not done here.

use std::path::{Component, Path, PathBuf};

use cluster::Object;
use serde_json::Value;

use super::spec;
use crate::build::LastBase;
use crate::failure::{Failure, Status};

/// Where OpenShift mounts build volumes, each in a folder of its name with this ending.
const VOLUMES: &str = "/var/run/openshift.io/volumes";
const VOLUME_ENDING: &str = "-user-build-volume";

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Strategy {
    /// The image that stands in the place of the last FROM: `dockerStrategy.from`, or what triggered a custom build.
    pub(super) base: LastBase,
    /// Where volumes are here, and where steps are to see them (`dockerStrategy.volumes`).
    pub(super) volumes: Vec<(PathBuf, String)>,
    /// Further options of `stratum build`: build arguments, variables, labels, the Dockerfile's path.
    pub(super) words: Vec<String>,
    /// Proxies for the repository, by the names of their variables (`source.git.httpProxy`).
    pub(super) git_proxies: Vec<(String, String)>,
    /// What the object says and is not used.
    pub(super) notes: Vec<String>,
}

pub(super) fn read(object: &Value) -> Result<Strategy, Failure> {
    let notes = spec::check(object)?;
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let proxies = [("httpProxy", "http_proxy"), ("httpsProxy", "https_proxy"), ("noProxy", "no_proxy")];
    let proxies = proxies.iter().filter_map(|(key, variable)| {
        let value = text(&format!("/spec/source/git/{key}"))?;
        Some(((*variable).to_owned(), value.to_owned()))
    });
    let base =
        match (text("/spec/strategy/dockerStrategy/from/kind"), text("/spec/strategy/dockerStrategy/from/name")) {
            (_, None) => triggered(object),
            (Some(kind @ ("ImageStreamTag" | "ImageStreamImage")), Some(name)) => in_stream(object, kind, name),
            (Some("DockerImage") | None, Some(name)) => LastBase::Image(name.to_owned()),
            (Some(kind), Some(_)) => {
                let text = format!("BUILD: spec.strategy.dockerStrategy.from.kind is {kind}");
                return Err(Failure::new(Status::Usage, text)
                    .help("there are DockerImage, ImageStreamTag and ImageStreamImage"));
            }
        };
    Ok(Strategy { base, volumes: volumes(object), words: words(object)?, git_proxies: proxies.collect(), notes })
}

/// The image whose change triggered a custom build: that of a FROM, unless it is the pod's own image that changed.
fn triggered(object: &Value) -> LastBase {
    let is_custom = object.pointer("/spec/strategy/dockerStrategy").is_none_or(Value::is_null);
    let triggers = object.pointer("/spec/triggeredBy").and_then(Value::as_array).into_iter().flatten();
    let buildroot = object.pointer("/spec/strategy/customStrategy/from/name");
    let image = |trigger: &Value| {
        let is_buildroot = buildroot.is_some() && trigger.pointer("/imageChangeBuild/fromRef/name") == buildroot;
        let image = trigger.pointer("/imageChangeBuild/imageID")?.as_str()?;
        (!is_buildroot).then(|| image.to_owned())
    };
    let image = triggers.filter_map(image).find(|image| is_custom && !image.is_empty());
    image.map_or(LastBase::Dockerfile, LastBase::Image)
}

/// What an ImageStreamTag or ImageStreamImage stood for when its change triggered the build; else the cluster is to be
/// asked when the build begins.
fn in_stream(object: &Value, kind: &str, name: &str) -> LastBase {
    let triggers = object.pointer("/spec/triggeredBy").and_then(Value::as_array).into_iter().flatten();
    let image = |trigger: &Value| {
        let change = trigger.get("imageChangeBuild")?;
        let is_it = change.pointer("/fromRef/name")?.as_str()? == name;
        change.get("imageID")?.as_str().filter(|_| is_it).map(str::to_owned)
    };
    if let Some(image) = triggers.filter_map(image).next() {
        return LastBase::Image(image);
    }
    let text = |path: &str| object.pointer(path).and_then(Value::as_str).filter(|text| !text.is_empty());
    let namespace = text("/spec/strategy/dockerStrategy/from/namespace").or_else(|| text("/metadata/namespace"));
    let object = Object { namespace: namespace.unwrap_or_default().to_owned(), name: name.to_owned() };
    if kind == "ImageStreamTag" { LastBase::StreamTag(object) } else { LastBase::StreamImage(object) }
}

/// Options of `stratum build` that mean what the docker strategy and the output say.
fn words(object: &Value) -> Result<Vec<String>, Failure> {
    let mut words = pairs(object, "strategy.dockerStrategy.buildArgs", "--build-arg")?;
    words.extend(pairs(object, "strategy.dockerStrategy.env", "--env")?);
    words.extend(pairs(object, "output.imageLabels", "--label")?);
    let text = |key: &str| object.pointer(&format!("/spec/strategy/dockerStrategy/{key}")).and_then(Value::as_str);
    let usage = |text: String, help: &str| Failure::new(Status::Usage, text).help(help.to_owned());
    if let Some(path) = text("dockerfilePath").filter(|path| !path.is_empty()) {
        let is_inside =
            Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !is_inside {
            let text =
                format!("BUILD: spec.strategy.dockerStrategy.dockerfilePath is {path}, outside the build context");
            return Err(usage(text, "name a file of the repository, relative to contextDir"));
        }
        words.push(format!("--file={path}"));
    }
    match text("imageOptimizationPolicy") {
        None | Some("" | "SkipLayers" | "SkipLayersAndWarn") => {}
        Some("None") => words.push("--layers".to_owned()),
        Some(other) => {
            let text = format!("BUILD: spec.strategy.dockerStrategy.imageOptimizationPolicy is {other}");
            return Err(usage(text, "there are None, SkipLayers and SkipLayersAndWarn"));
        }
    }
    Ok(words)
}

/// The names and values of a list, each as an option; the last one of a name counts.
fn pairs(object: &Value, list: &str, option: &str) -> Result<Vec<String>, Failure> {
    let items = object.pointer(&format!("/spec/{}", list.replace('.', "/"))).and_then(Value::as_array);
    let pair = |(index, item): (usize, &Value)| {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        let name = text("name");
        if name.is_empty() || name.contains('=') {
            let text = format!("BUILD: spec.{list}[{index}].name: expected a name, without =, that is not empty");
            return Err(Failure::new(Status::Usage, text));
        }
        Ok(format!("{option}={name}={}", text("value")))
    };
    items.into_iter().flatten().enumerate().map(pair).collect()
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
        let object = Object { namespace: "osbs".to_owned(), name: "a@sha256:1".to_owned() };
        let from = json!({"kind": "ImageStreamImage", "name": "a@sha256:1", "namespace": "osbs"});
        assert_eq!(base(from, json!([])), LastBase::StreamImage(object));
        let failure = of(json!({"kind": "Secret", "name": "a"}), json!([])).unwrap_err();
        assert_eq!(failure.text, "BUILD: spec.strategy.dockerStrategy.from.kind is Secret");
    }

    #[test]
    fn a_custom_build_is_based_on_the_image_that_triggered_it() {
        let triggers = json!([{"message": "x"}, {"imageChangeBuild": {"imageID": "r.example/a@sha256:0"}}]);
        let custom = json!({"customStrategy": {"from": {"kind": "DockerImage", "name": "buildroot"}}});
        let base = |strategy: &Value, triggers: &Value| {
            read(&json!({"spec": {"strategy": strategy, "triggeredBy": triggers}})).unwrap().base
        };
        assert_eq!(base(&custom, &triggers), LastBase::Image("r.example/a@sha256:0".to_owned()));
        let of_buildroot = json!([{"imageChangeBuild": {"imageID": "b@sha256:0", "fromRef": {"name": "buildroot"}}}]);
        assert_eq!(base(&custom, &of_buildroot), LastBase::Dockerfile);
        assert_eq!(base(&custom, &json!([{"message": "Manually triggered"}])), LastBase::Dockerfile);
        assert_eq!(base(&json!({"dockerStrategy": {}}), &triggers), LastBase::Dockerfile);
    }

    #[test]
    fn arguments_variables_labels_and_the_dockerfile_s_path_are_options() {
        let spec = |docker: Value, labels: Value| {
            read(&json!({"spec": {"strategy": {"dockerStrategy": docker}, "output": {"imageLabels": labels}}}))
        };
        let docker = json!({"buildArgs": [{"name": "A", "value": "1=2"}], "env": [{"name": "B"}],
            "dockerfilePath": "sub/./Dockerfile.prod", "imageOptimizationPolicy": "None", "noCache": true});
        let labels = json!([{"name": "vendor", "value": "a b"}, {"name": "vendor", "value": "c"}]);
        let found = spec(docker, labels).unwrap();
        let expected = [
            "--build-arg=A=1=2",
            "--env=B=",
            "--label=vendor=a b",
            "--label=vendor=c",
            "--file=sub/./Dockerfile.prod",
            "--layers",
        ];
        assert_eq!((found.words, found.notes), (expected.map(str::to_owned).to_vec(), vec![]));
        let refused = |docker: Value, labels: Value| spec(docker, labels).unwrap_err().text;
        let text = "BUILD: spec.output.imageLabels[1].name: expected a name, without =, that is not empty";
        assert_eq!(refused(json!({}), json!([{"name": "a"}, {"value": "b"}])), text);
        assert_eq!(refused(json!({}), json!([{"name": "a"}, {"name": "b=c"}])), text);
        let text = "BUILD: spec.strategy.dockerStrategy.dockerfilePath is ../x, outside the build context";
        assert_eq!(refused(json!({"dockerfilePath": "../x"}), json!([])), text);
        let text = "BUILD: spec.strategy.dockerStrategy.imageOptimizationPolicy is Best";
        assert_eq!(refused(json!({"imageOptimizationPolicy": "Best"}), json!([])), text);
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
            words: vec![],
            git_proxies: vec![("https_proxy".into(), "http://p.example:3128".into())],
            notes: vec![],
        };
        assert_eq!(read(&object).unwrap(), expected);
        assert_eq!(read(&json!({"spec": {}})).unwrap(), Strategy::default());
    }
}
