//! Input `osv3`: what OpenShift's custom strategy and osbs-client put into the environment of a build pod.
//!
//! Comes in: the environment (`BUILD`, `SOURCE_*`, `OUTPUT_*`, `ATOMIC_REACTOR_PLUGINS`, …) and the user parameters.
//! Goes out: a build.json as atomic-reactor makes it of them, the Build object, and what only a Build says. A variable
//! counts before the Build object, that before the user parameters.

use std::path::PathBuf;

use pipeline::UserParams;
use serde_json::{Map, Value, json};

use super::build_json::Source;
use super::build_object::{Build, SourceType, build_object};
use super::strategy::{self, Strategy};
use crate::build::Inline;
use crate::environment::Environment;
use crate::failure::{Failure, Status};

/// The variables with lists of plugins, the newer name first.
const PLUGINS: [&str; 2] = ["ATOMIC_REACTOR_PLUGINS", "DOCK_PLUGINS"];
/// Variables that atomic-reactor reads and that have no use here.
const UNUSED: [(&str, &str); 2] = [
    ("DOCKER_SOCKET", "not used: there is no docker daemon"),
    ("DOCKER_CONNECTION", "not used: there is no docker daemon"),
];
/// What a repository is named in.
pub(super) const REPOSITORY: &str = "SOURCE_URI, SOURCE_REF, SOURCE_CONTEXT_DIR, BUILD or USER_PARAMS";
/// Where the key of an ImageStreamTag would have to be asked.
const NEEDS_API: &str = "an ImageStreamTag needs the cluster's API";

/// What the environment says.
#[derive(Debug, Default)]
pub(super) struct Pod {
    /// The build as a build.json.
    pub(super) json: Map<String, Value>,
    /// What the lists of plugins are called.
    pub(super) lists_name: &'static str,
    /// The source, where a build.json cannot say it.
    pub(super) source: Option<Source>,
    /// `OUTPUT_REGISTRY`.
    pub(super) registry: Option<String>,
    pub(super) build: Option<Build>,
    pub(super) strategy: Strategy,
    /// What the Build has of the source itself.
    pub(super) inline: Inline,
    pub(super) notes: Vec<String>,
}

pub(super) fn read(environment: &Environment, user: &UserParams) -> Result<Pod, Failure> {
    let (build, strategy, status_image) = match environment.get("BUILD") {
        Some(text) => {
            let build = build_object(text)?;
            // It has just been read as JSON.
            let object: Value = serde_json::from_str(text).unwrap_or_default();
            let image = object.pointer("/status/outputDockerImageReference").and_then(Value::as_str);
            (Some(build), strategy::read(&object)?, image.map(str::to_owned))
        }
        None => (None, Strategy::default(), None),
    };
    let (lists, lists_name) = lists(environment)?;
    let none = Build::default();
    let object = build.as_ref().unwrap_or(&none);
    let mut pod = Pod { lists_name, registry: environment.get("OUTPUT_REGISTRY").map(str::to_owned), ..Pod::default() };
    (pod.source, pod.inline) = other_source(environment, object, user)?;
    if pod.source.is_none() {
        pod.json.insert("source".to_owned(), git(environment, object, user)?);
    }
    let image = environment.get("OUTPUT_IMAGE").map(str::to_owned).or_else(|| user.task.image_tag.clone());
    let image = match image.or(status_image) {
        Some(image) => Some(image),
        None => output(object)?,
    };
    pod.json.extend(image.map(|image| ("image".to_owned(), image.into())));
    pod.json.extend(object.self_link.as_ref().map(|link| ("openshift_build_selflink".to_owned(), link.clone().into())));
    pod.json.extend(lists);
    let unused = UNUSED.iter().filter(|(name, _)| environment.get(name).is_some());
    pod.notes.extend(unused.map(|(name, reason)| format!("{name}: {reason}")));
    pod.notes.extend(strategy.notes.iter().cloned());
    Ok(Pod { build, strategy, ..pod })
}

/// The repository: as the variables say, the Build, the user parameters.
fn git(environment: &Environment, build: &Build, user: &UserParams) -> Result<Value, Failure> {
    let variable = |name: &str| environment.get(name).map(str::to_owned);
    let uri = variable("SOURCE_URI").or_else(|| build.git_uri.clone()).or_else(|| user.git_uri.clone());
    let uri = uri.ok_or_else(|| {
        Failure::new(
            Status::Usage,
            "nothing says what to build: neither SOURCE_URI, BUILD nor USER_PARAMS has a repository",
        )
        .help("SOURCE_URI, `spec.source.git.uri` of the Build, or `git_uri` of the user parameters names it")
    })?;
    // What a branch stood for when the Build was made is what the Build is about.
    let reference = build.revision_commit.clone().or_else(|| variable("SOURCE_REF"));
    let reference = reference.or_else(|| build.git_ref.clone()).or_else(|| user.git_ref.clone());
    let folder = variable("SOURCE_CONTEXT_DIR").or_else(|| build.context_dir.clone());
    let mut source = json!({ "provider": "git", "uri": uri, "provider_params": { "git_commit": reference } });
    if let (Some(folder), Some(map)) = (folder, source.as_object_mut()) {
        map.insert("dockerfile_path".to_owned(), folder.into());
    }
    Ok(source)
}

/// A source that is no repository, and what the Build has of a source itself.
fn other_source(
    environment: &Environment,
    build: &Build,
    user: &UserParams,
) -> Result<(Option<Source>, Inline), Failure> {
    let inline = Inline { dockerfile: build.dockerfile.clone(), folder: None };
    let has_repository = environment.get("SOURCE_URI").is_some() || build.git_uri.is_some() || user.git_uri.is_some();
    let refused = |what: &str, help: &str| Err(Failure::new(Status::Usage, format!("BUILD: {what}")).help(help));
    match build.source_type {
        _ if environment.get("SOURCE_URI").is_some() => Ok((None, inline)),
        Some(SourceType::Binary) if inline.dockerfile.is_some() => refused(
            "spec.source.dockerfile: a binary source has its Dockerfile with it",
            "leave spec.source.dockerfile or spec.source.binary out",
        ),
        Some(SourceType::Binary) => binary(environment, build),
        Some(SourceType::Dockerfile) if inline.dockerfile.is_none() => {
            refused("spec.source.type is Dockerfile, and spec.source.dockerfile is missing", "put the Dockerfile there")
        }
        // As OpenShift: it takes the place of the repository's.
        Some(SourceType::Dockerfile) if !has_repository => Ok((Some(Source::Build), inline)),
        Some(SourceType::Git | SourceType::Dockerfile) | None => Ok((None, inline)),
        Some(other @ (SourceType::Image | SourceType::None)) => {
            let text = format!("spec.source.type is {}; there are Git, Binary and Dockerfile", other.as_str());
            refused(&text, "give the Build a repository, or start it with --from-dir")
        }
    }
}

/// The tar, its folder that counts, or the one file, on standard input.
fn binary(environment: &Environment, build: &Build) -> Result<(Option<Source>, Inline), Failure> {
    let folder = environment.get("SOURCE_CONTEXT_DIR").or(build.context_dir.as_deref());
    let folder = folder.map(|folder| folder.trim_matches('/')).filter(|folder| !matches!(*folder, "" | "."));
    let inline = Inline { folder: folder.map(PathBuf::from), dockerfile: None };
    match build.binary_as_file.as_deref() {
        None => Ok((Some(Source::Stdin), inline)),
        Some("Dockerfile" | "Containerfile") if inline.folder.is_none() => Ok((Some(Source::Stdin), inline)),
        Some(name) => {
            let text = format!("BUILD: spec.source.binary.asFile is {name}: standard input is a tar or the Dockerfile");
            Err(Failure::new(Status::Usage, text).help("start the build with --from-dir or --from-archive"))
        }
    }
}

/// The environment with the variables of the Build: OpenShift sets them in the pod, a laptop has the object alone.
pub(super) fn completed(environment: &Environment) -> Result<Environment, Failure> {
    let Some(text) = environment.get("BUILD") else { return Ok(environment.clone()) };
    Ok(environment.with_defaults(build_object(text)?.env))
}

/// The lists of plugins, and what has them. Other keys there are those of a build.json, which they replace.
fn lists(environment: &Environment) -> Result<(Map<String, Value>, &'static str), Failure> {
    let Some((name, text)) = PLUGINS.iter().find_map(|name| Some((*name, environment.get(name)?))) else {
        return Ok((Map::new(), PLUGINS[0]));
    };
    let usage = |why: String| Failure::new(Status::Usage, format!("{name}: {why}"));
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok((map, name)),
        Ok(Value::Null) => Ok((Map::new(), name)),
        Ok(_) => Err(usage("expected an object of lists of plugins".to_owned())),
        Err(error) => Err(usage(format!("it is not JSON: line {}, column {}", error.line(), error.column()))),
    }
}

/// Where the Build itself says the image goes.
fn output(build: &Build) -> Result<Option<String>, Failure> {
    match (build.output_kind.as_deref(), &build.output_name) {
        (_, None) => Ok(None),
        (Some("ImageStreamTag" | "ImageStreamImage"), Some(name)) => {
            let text =
                format!("BUILD: spec.output.to is the ImageStreamTag {name}, and OUTPUT_IMAGE is not set: {NEEDS_API}");
            Err(Failure::new(Status::Usage, text).help("set OUTPUT_REGISTRY and OUTPUT_IMAGE, as OpenShift does"))
        }
        (Some(_) | None, Some(name)) => Ok(Some(name.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Pod, Failure> {
        read(&Environment::of(variables), &UserParams::default())
    }

    const BUILD: &str = r#"{"metadata": {"name": "b-1", "selfLink": "/link"},
        "spec": {"source": {"type": "Git", "git": {"uri": "https://a.example/x", "ref": "main"}, "contextDir": "d"},
        "output": {"to": {"kind": "DockerImage", "name": "r.example/a/b:1"}}}}"#;

    #[test]
    fn variables_count_before_the_build_object() {
        let pod = of(&[("BUILD", BUILD)]).unwrap();
        let expected = json!({
            "source": {
                "provider": "git", "uri": "https://a.example/x", "dockerfile_path": "d",
                "provider_params": {"git_commit": "main"},
            },
            "image": "r.example/a/b:1",
            "openshift_build_selflink": "/link",
        });
        assert_eq!(Value::Object(pod.json), expected);
        let variables = [
            ("BUILD", BUILD),
            ("SOURCE_URI", "https://b.example/y"),
            ("SOURCE_REF", "f42"),
            ("SOURCE_CONTEXT_DIR", "e"),
            ("OUTPUT_IMAGE", "jane/b:2"),
            ("OUTPUT_REGISTRY", "out.example"),
            ("DOCK_PLUGINS", r#"{"exit_plugins": []}"#),
            ("DOCKER_SOCKET", "/var/run/docker.sock"),
        ];
        let pod = of(&variables).unwrap();
        let expected = json!({
            "source": {
                "provider": "git", "uri": "https://b.example/y", "dockerfile_path": "e",
                "provider_params": {"git_commit": "f42"},
            },
            "image": "jane/b:2",
            "openshift_build_selflink": "/link",
            "exit_plugins": [],
        });
        assert_eq!((Value::Object(pod.json), pod.registry.as_deref()), (expected, Some("out.example")));
        assert_eq!(pod.notes, ["DOCKER_SOCKET: not used: there is no docker daemon"]);
    }

    #[test]
    fn a_binary_source_is_standard_input() {
        let build = |more: &str| {
            format!(
                r#"{{"metadata": {{"name": "b"}}, "spec": {{"source": {{"type": "Binary", "binary": {{}}{more}}}}}}}"#
            )
        };
        assert_eq!(of(&[("BUILD", &build(""))]).unwrap().source, Some(Source::Stdin));
        let pod = of(&[("BUILD", &build(r#", "contextDir": "/x/y/""#))]).unwrap();
        assert_eq!(pod.inline, Inline { folder: Some("x/y".into()), dockerfile: None });
        let both = build(r#", "dockerfile": "FROM scratch""#);
        let text = "BUILD: spec.source.dockerfile: a binary source has its Dockerfile with it";
        refused(&[("BUILD", &both)], text);
    }

    #[test]
    fn a_dockerfile_in_the_build_counts_before_that_of_the_repository_or_is_all_there_is() {
        let build = |source: &str| {
            format!(r#"{{"metadata": {{"name": "b"}}, "spec": {{"source": {{{source} "dockerfile": "FROM a"}}}}}}"#)
        };
        let pod = of(&[("BUILD", &build(r#""type": "Git", "git": {"uri": "https://a.example/x"},"#))]).unwrap();
        assert_eq!((pod.source, pod.inline.dockerfile.as_deref()), (None, Some("FROM a")));
        let pod = of(&[("BUILD", &build(""))]).unwrap();
        assert_eq!((pod.source, pod.inline.dockerfile.as_deref()), (Some(Source::Build), Some("FROM a")));
        let none = r#"{"metadata": {"name": "b"}, "spec": {"source": {"type": "Dockerfile"}}}"#;
        refused(&[("BUILD", none)], "BUILD: spec.source.type is Dockerfile, and spec.source.dockerfile is missing");
    }

    #[test]
    fn variables_of_the_build_count_where_the_pod_has_none() {
        let build = r#"{"metadata": {"name": "b"}, "spec": {"strategy": {"customStrategy": {"env": [
            {"name": "HTTP_PROXY", "value": "http://p.example"}, {"name": "SOURCE_REF", "value": "x"},
            {"name": "REACTOR_CONFIG", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}]}}}}"#;
        let environment = completed(&Environment::of(&[("BUILD", build), ("SOURCE_REF", "y")])).unwrap();
        assert_eq!(environment.proxy("http_proxy"), Some("http://p.example"));
        assert_eq!((environment.get("SOURCE_REF"), environment.get("REACTOR_CONFIG")), (Some("y"), None));
    }

    #[track_caller]
    fn refused(variables: &[(&str, &str)], text: &str) {
        let failure = of(variables).unwrap_err();
        assert_eq!((failure.text.as_str(), failure.status), (text, Status::Usage));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let failure = of(&[("BUILD", "{")]).unwrap_err();
        assert!(failure.text.starts_with("BUILD: the Build object is not JSON: line 1, column 1"), "{}", failure.text);
        let source = ("SOURCE_URI", "https://a.example/x");
        refused(&[source, ("DOCK_PLUGINS", "[")], "DOCK_PLUGINS: it is not JSON: line 1, column 1");
        let text = "ATOMIC_REACTOR_PLUGINS: expected an object of lists of plugins";
        refused(&[source, ("ATOMIC_REACTOR_PLUGINS", "[]")], text);
        let build =
            r#"{"metadata": {"name": "b"}, "spec": {"output": {"to": {"kind": "ImageStreamTag", "name": "a:1"}}}}"#;
        let text = "BUILD: spec.output.to is the ImageStreamTag a:1, and OUTPUT_IMAGE is not set: an ImageStreamTag \
            needs the cluster's API";
        refused(&[source, ("BUILD", build)], text);
        let build = r#"{"metadata": {"name": "b"}}"#;
        let text = "nothing says what to build: neither SOURCE_URI, BUILD nor USER_PARAMS has a repository";
        refused(&[("BUILD", build)], text);
    }
}
