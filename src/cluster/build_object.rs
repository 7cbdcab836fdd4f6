//! The object that stands for a build (`build.openshift.io/v1`, Build), as the variable `BUILD` and the API have it.
//!
//! Comes in: JSON, 1 MiB at most. Goes out: a [`Build`] with what is of use here, or a [`BuildObjectError`] that names
//! the field. What is not known is passed over in silence, because every version of OpenShift has more of it; it never
//! shows a value.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fields::{Field, WrongField};

/// The largest object that is read, in bytes. The store behind the API takes none larger than 1.5 MiB.
pub const LIMIT: usize = 1 << 20;

/// What the object says. Texts that are empty there are none here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; empty where the object does not say it.
    pub namespace: String,
    /// `metadata.selfLink`; clusters since Kubernetes 1.20 leave it out.
    pub self_link: Option<String>,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `spec.source.git.uri`.
    pub git_uri: Option<String>,
    /// `spec.source.git.ref`: a commit, branch or tag.
    pub git_ref: Option<String>,
    /// `spec.source.contextDir`: where in the source the build is.
    pub context_dir: Option<String>,
    /// `spec.source.type`; where that is missing, what the other fields of `spec.source` say.
    pub source_type: Option<SourceType>,
    /// `spec.output.to.kind`: `DockerImage` or `ImageStreamTag`.
    pub output_kind: Option<String>,
    /// `spec.output.to.name`.
    pub output_name: Option<String>,
    /// `spec.output.pushSecret.name`.
    pub push_secret: Option<String>,
    /// `spec.strategy.customStrategy.env`, those that have their value here; the others are in the pod only.
    pub env: BTreeMap<String, String>,
    /// `spec.triggeredBy[].imageChangeBuild.imageID`: the image whose change triggered the build.
    pub trigger_image: Option<String>,
    /// `spec.revision.git.commit`: what `git_ref` stood for when the build was made.
    pub revision_commit: Option<String>,
    /// `spec.source.dockerfile`: a Dockerfile that takes the place of the source's.
    pub dockerfile: Option<String>,
    /// `spec.source.binary.asFile`: the name of the one file that standard input is; none for an archive.
    pub binary_as_file: Option<String>,
    /// `spec.source.sourceSecret.name`: the login for the repository.
    pub source_secret: Option<String>,
    /// `spec.strategy.customStrategy.from.name`: the image of the pod.
    pub builder_image: Option<String>,
    /// `spec.strategy.customStrategy.exposeDockerSocket`.
    pub exposes_docker_socket: bool,
    /// `spec.strategy.customStrategy.pullSecret.name`.
    pub pull_secret: Option<String>,
    /// `spec.strategy.customStrategy.secrets`.
    pub secrets: Vec<SecretMount>,
    /// `spec.output.imageLabels`.
    pub image_labels: BTreeMap<String, String>,
    /// `spec.serviceAccount`.
    pub service_account: Option<String>,
}

/// Where the source comes from (`BuildSourceType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceType {
    /// A repository.
    Git,
    /// Standard input.
    Binary,
    /// A Dockerfile in the object.
    Dockerfile,
    /// Files of other images.
    Image,
    /// None.
    None,
}

impl SourceType {
    /// As the object has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Git => "Git",
            Self::Binary => "Binary",
            Self::Dockerfile => "Dockerfile",
            Self::Image => "Image",
            Self::None => "None",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let all = [Self::Git, Self::Binary, Self::Dockerfile, Self::Image, Self::None];
        all.into_iter().find(|one| one.as_str() == text)
    }
}

/// A secret that the pod has as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretMount {
    /// `secretSource.name`.
    pub secret: String,
    /// `mountPath`.
    pub mount_path: String,
}

/// Why a text is no Build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildObjectError {
    /// It is too long.
    #[error("the Build object has {size} bytes; at most {LIMIT} are read")]
    TooLarge {
        /// Its bytes.
        size: usize,
    },
    /// It is not JSON.
    #[error("the Build object is not JSON: line {line}, column {column}: {why}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        why: &'static str,
    },
    /// A field is not what it must be.
    #[error("the Build object: {0}")]
    Field(#[from] WrongField),
}

/// Reads the JSON of a Build.
///
/// # Errors
/// [`BuildObjectError`]; [`BuildObjectError::Field`] names the first field that is wrong. Only `metadata.name` must be
/// there.
pub fn parse(text: &str) -> Result<Build, BuildObjectError> {
    if text.len() > LIMIT {
        return Err(BuildObjectError::TooLarge { size: text.len() });
    }
    let value: Value = serde_json::from_str(text).map_err(|error| BuildObjectError::Json {
        line: error.line(),
        column: error.column(),
        why: why(error.classify()),
    })?;
    Ok(read(&Field::root(&value))?)
}

/// The parser's own words may repeat what it read.
fn why(category: serde_json::error::Category) -> &'static str {
    use serde_json::error::Category;
    match category {
        Category::Io | Category::Data => "it cannot be read",
        Category::Syntax => "a syntax error, or values nested too deep",
        Category::Eof => "it ends too early",
    }
}

fn read(root: &Field<'_>) -> Result<Build, WrongField> {
    let kind = root.at("kind")?;
    if kind.text()?.is_some_and(|text| text != "Build") {
        return Err(kind.wrong("Build"));
    }
    let mut build = Build::default();
    read_metadata(&root.at("metadata")?, &mut build)?;
    let spec = root.at("spec")?;
    read_source(&spec.at("source")?, &mut build)?;
    read_strategy(&spec.down(&["strategy", "customStrategy"])?, &mut build)?;
    read_output(&spec.at("output")?, &mut build)?;
    build.revision_commit = spec.down(&["revision", "git", "commit"])?.text()?;
    build.service_account = spec.at("serviceAccount")?.text()?;
    for trigger in spec.at("triggeredBy")?.items()? {
        let image = trigger.down(&["imageChangeBuild", "imageID"])?.text()?;
        build.trigger_image = build.trigger_image.or(image);
    }
    Ok(build)
}

fn read_metadata(metadata: &Field<'_>, build: &mut Build) -> Result<(), WrongField> {
    build.name = metadata.at("name")?.needed_text()?;
    build.namespace = metadata.at("namespace")?.text()?.unwrap_or_default();
    build.self_link = metadata.at("selfLink")?.text()?;
    build.labels = metadata.at("labels")?.texts()?;
    build.annotations = metadata.at("annotations")?.texts()?;
    Ok(())
}

fn read_source(source: &Field<'_>, build: &mut Build) -> Result<(), WrongField> {
    let git = source.at("git")?;
    build.git_uri = git.at("uri")?.text()?;
    build.git_ref = git.at("ref")?.text()?;
    build.context_dir = source.at("contextDir")?.text()?;
    build.dockerfile = source.at("dockerfile")?.text()?;
    build.source_secret = source.down(&["sourceSecret", "name"])?.text()?;
    let binary = source.at("binary")?;
    build.binary_as_file = binary.at("asFile")?.text()?;
    let kind = source.at("type")?;
    build.source_type = match kind.text()? {
        Some(text) => {
            let known = SourceType::parse(&text);
            Some(known.ok_or_else(|| kind.wrong("Git, Binary, Dockerfile, Image or None"))?)
        }
        None if binary.is_there() => Some(SourceType::Binary),
        None if build.git_uri.is_some() => Some(SourceType::Git),
        None if build.dockerfile.is_some() => Some(SourceType::Dockerfile),
        None => None,
    };
    Ok(())
}

fn read_strategy(custom: &Field<'_>, build: &mut Build) -> Result<(), WrongField> {
    build.builder_image = custom.down(&["from", "name"])?.text()?;
    build.exposes_docker_socket = custom.at("exposeDockerSocket")?.flag()?;
    build.pull_secret = custom.down(&["pullSecret", "name"])?.text()?;
    for variable in custom.at("env")?.items()? {
        let name = variable.at("name")?.needed_text()?;
        let value = variable.at("value")?.text()?;
        if !variable.at("valueFrom")?.is_there() {
            build.env.insert(name, value.unwrap_or_default());
        }
    }
    for secret in custom.at("secrets")?.items()? {
        let mount_path = secret.at("mountPath")?.needed_text()?;
        build.secrets.push(SecretMount { secret: secret.down(&["secretSource", "name"])?.needed_text()?, mount_path });
    }
    Ok(())
}

fn read_output(output: &Field<'_>, build: &mut Build) -> Result<(), WrongField> {
    let to = output.at("to")?;
    build.output_kind = to.at("kind")?.text()?;
    build.output_name = to.at("name")?.text()?;
    build.push_secret = output.down(&["pushSecret", "name"])?.text()?;
    for label in output.at("imageLabels")?.items()? {
        let name = label.at("name")?.needed_text()?;
        build.image_labels.insert(name, label.at("value")?.text()?.unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{
        "kind": "Build", "apiVersion": "build.openshift.io/v1",
        "metadata": {
            "name": "webd-7", "namespace": "osbs", "selfLink": "/apis/build.openshift.io/v1/namespaces/osbs/builds/webd-7",
            "labels": {"koji-task-id": "12"}, "annotations": {"a": "b"}, "creationTimestamp": null
        },
        "spec": {
            "serviceAccount": "builder",
            "source": {"type": "Git", "git": {"uri": "https://git.example/webd", "ref": "main"}, "contextDir": "sub",
                "sourceSecret": {"name": "login"}},
            "revision": {"type": "Git", "git": {"commit": "0123456789012345678901234567890123456789"}},
            "strategy": {"type": "Custom", "customStrategy": {
                "from": {"kind": "DockerImage", "name": "registry.example/stratum:1"}, "exposeDockerSocket": true,
                "pullSecret": {"name": "pull"},
                "env": [{"name": "A", "value": "1"}, {"name": "B"}, {"name": "C", "valueFrom": {"fieldRef": {}}}],
                "secrets": [{"secretSource": {"name": "keytab"}, "mountPath": "/etc/keytab"}]}},
            "output": {"to": {"kind": "DockerImage", "name": "user/webd:1"}, "pushSecret": {"name": "push"},
                "imageLabels": [{"name": "vendor", "value": "corp"}]},
            "resources": {"limits": {"memory": "2Gi"}},
            "triggeredBy": [{"message": "manual"}, {"imageChangeBuild": {"imageID": "registry.example/base@sha256:00"}}]
        },
        "status": {"phase": "New"}
    }"#;

    #[test]
    fn a_whole_object_is_read() {
        let text = |text: &str| Some(text.to_owned());
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let expected = Build {
            name: "webd-7".to_owned(),
            namespace: "osbs".to_owned(),
            self_link: text("/apis/build.openshift.io/v1/namespaces/osbs/builds/webd-7"),
            labels: map(&[("koji-task-id", "12")]),
            annotations: map(&[("a", "b")]),
            git_uri: text("https://git.example/webd"),
            git_ref: text("main"),
            context_dir: text("sub"),
            source_type: Some(SourceType::Git),
            output_kind: text("DockerImage"),
            output_name: text("user/webd:1"),
            push_secret: text("push"),
            env: map(&[("A", "1"), ("B", "")]),
            trigger_image: text("registry.example/base@sha256:00"),
            revision_commit: text("0123456789012345678901234567890123456789"),
            dockerfile: None,
            binary_as_file: None,
            source_secret: text("login"),
            builder_image: text("registry.example/stratum:1"),
            exposes_docker_socket: true,
            pull_secret: text("pull"),
            secrets: vec![SecretMount { secret: "keytab".to_owned(), mount_path: "/etc/keytab".to_owned() }],
            image_labels: map(&[("vendor", "corp")]),
            service_account: text("builder"),
        };
        assert_eq!(parse(WHOLE), Ok(expected));
    }

    #[track_caller]
    fn check_source(source: &str, expected: Option<SourceType>) {
        let text = format!(r#"{{"metadata": {{"name": "b"}}, "spec": {{"source": {source}}}}}"#);
        assert_eq!(parse(&text).unwrap().source_type, expected, "{source}");
    }

    #[test]
    fn a_source_without_a_type_is_what_it_has() {
        check_source(r#"{"binary": {"asFile": ""}}"#, Some(SourceType::Binary));
        check_source(r#"{"git": {"uri": "https://git.example/a"}, "dockerfile": "FROM a"}"#, Some(SourceType::Git));
        check_source(r#"{"dockerfile": "FROM a"}"#, Some(SourceType::Dockerfile));
        check_source("{}", None);
        check_source("null", None);
    }

    #[track_caller]
    fn check_wrong(text: &str, message: &str) {
        assert_eq!(parse(text).unwrap_err().to_string(), message);
    }

    #[test]
    fn a_wrong_field_is_named_and_its_value_is_not() {
        check_wrong("[]", "the Build object: the object: expected an object, found a list");
        check_wrong("{}", "the Build object: metadata.name: expected a text, found nothing");
        let name = |rest: &str| format!(r#"{{"metadata": {{"name": "b"}}, {rest}}}"#);
        check_wrong(&name(r#""kind": "Pod""#), "the Build object: kind: expected Build, found a text");
        check_wrong(&name(r#""spec": 3"#), "the Build object: spec: expected an object, found a number");
        check_wrong(
            &name(r#""spec": {"strategy": {"customStrategy": {"env": [{"name": "A", "value": 1}]}}}"#),
            "the Build object: spec.strategy.customStrategy.env[0].value: expected a text, found a number",
        );
        check_wrong(
            &name(r#""spec": {"source": {"type": "Svn"}}"#),
            "the Build object: spec.source.type: expected Git, Binary, Dockerfile, Image or None, found a text",
        );
        check_wrong(
            r#"{"metadata": {"name": "b", "labels": {"x": true}}}"#,
            "the Build object: metadata.labels.x: expected a text, found true or false",
        );
    }

    #[test]
    fn what_is_no_json_too_deep_or_too_long_is_refused() {
        check_wrong(
            "{\"a\":\n x}",
            "the Build object is not JSON: line 2, column 2: a syntax error, or values nested too deep",
        );
        assert!(matches!(parse(&"[".repeat(100_000)), Err(BuildObjectError::Json { .. })));
        assert_eq!(parse(&" ".repeat(LIMIT + 1)), Err(BuildObjectError::TooLarge { size: LIMIT + 1 }));
    }
}
