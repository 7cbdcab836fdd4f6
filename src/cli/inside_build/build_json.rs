//! A build.json: what atomic-reactor is asked to build.
//!
//! Comes in: the JSON, after substitution. Goes out: an [`Order`] and the keys that mean nothing here; or a failure
//! that names the key. The lists of plugins stay as they are.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use source::git::GitUrl;

use crate::build::IN_BUILD;
use crate::failure::{Failure, Status};

/// The lists of plugins, one a phase.
pub(super) const LISTS: [&str; 5] =
    ["prebuild_plugins", "buildstep_plugins", "prepublish_plugins", "postbuild_plugins", "exit_plugins"];

/// Bytes of the largest build.json.
const MAX_BYTES: usize = 4 << 20;

/// What is to be built.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Order {
    pub(super) source: Option<Source>,
    /// The image's name, with or without a registry.
    pub(super) image: Option<String>,
    /// The lists of plugins.
    pub(super) lists: Map<String, Value>,
    pub(super) notes: Vec<String>,
}

/// What is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A text that is a git URL with reference and folder.
    Git(String),
    /// A directory.
    Folder(PathBuf),
    /// A tar on standard input.
    Stdin,
    /// Nothing but the Dockerfile that the Build object has.
    Build,
}

impl Source {
    /// As `stratum build` takes it.
    pub(super) fn argument(&self) -> String {
        match self {
            Self::Git(url) => url.clone(),
            Self::Folder(path) => path.display().to_string(),
            Self::Stdin => "-".to_owned(),
            Self::Build => IN_BUILD.to_owned(),
        }
    }

    /// As the log may have it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Git(url) => match GitUrl::recognise(url) {
                Some(Ok(url)) => url.to_string(),
                Some(Err(error)) => error.to_string(),
                None => "a repository".to_owned(),
            },
            Self::Folder(path) => path.display().to_string(),
            Self::Stdin => "standard input".to_owned(),
            Self::Build => IN_BUILD.to_owned(),
        }
    }
}

/// Reads a build.json called `name`.
pub(super) fn parse(name: &str, text: &str) -> Result<Map<String, Value>, Failure> {
    let usage = |why: String| Failure::new(Status::Usage, format!("{name}: {why}"));
    if text.len() > MAX_BYTES {
        return Err(usage(format!("it has {} bytes; at most {MAX_BYTES} are read", text.len())));
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(usage("a build.json is an object".to_owned())),
        Err(error) => Err(usage(format!("it is not JSON: line {}, column {}", error.line(), error.column()))),
    }
}

/// Reads what is to be built of the build.json called `name`, whose source was found in `place`.
pub(super) fn read(name: &str, place: &str, json: Map<String, Value>) -> Result<Order, Failure> {
    let mut order = Order::default();
    for (key, value) in json {
        match key.as_str() {
            "source" => order.source = source(place, &value, &mut order.notes)?,
            "image" => order.image = text(name, "image", &value)?,
            // The Build object says the same.
            "openshift_build_selflink" => {}
            list if LISTS.contains(&list) => {
                order.lists.insert(key, value);
            }
            other => order.notes.push(format!("{name}: {other}: {}", unused(other))),
        }
    }
    Ok(order)
}

fn unused(key: &str) -> &'static str {
    match key {
        "target_registries" | "target_registries_insecure" | "parent_registry" | "parent_registry_insecure" => {
            "not used: say it in the site's configuration (registry, source_registry)"
        }
        "client_version" => "not used: it says which osbs-client asked",
        "dont_pull_base_image" => "not used: a base image is fetched when a step needs it",
        _ => "unknown key, not used",
    }
}

fn text(name: &str, key: &str, value: &Value) -> Result<Option<String>, Failure> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if !text.is_empty() => Ok(Some(text.clone())),
        Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(Failure::new(Status::Usage, format!("{name}: {key} is {value}; expected a text that is not empty")))
        }
    }
}

fn source(name: &str, value: &Value, notes: &mut Vec<String>) -> Result<Option<Source>, Failure> {
    let usage = |why: &str| Failure::new(Status::Usage, format!("{name}: source: {why}"));
    let Value::Object(map) = value else { return Err(usage("expected an object of provider and uri")) };
    let of = |key: &str| map.get(key).map_or(Ok(None), |value| text(name, &format!("source.{key}"), value));
    let provider = of("provider")?;
    let uri = of("uri")?.ok_or_else(|| usage("the uri is missing"))?;
    let folder = of("dockerfile_path")?;
    for key in
        map.keys().filter(|key| !["provider", "uri", "dockerfile_path", "provider_params"].contains(&key.as_str()))
    {
        notes.push(format!("{name}: source.{key}: unknown key, not used"));
    }
    let folder = folder_of(folder.as_deref());
    match provider.as_deref() {
        None | Some("git") => {
            let reference = match map.get("provider_params") {
                None | Some(Value::Null) => None,
                Some(Value::Object(params)) => reference(name, params, notes)?,
                Some(_) => return Err(usage("provider_params: expected an object")),
            };
            git_url(&uri, reference.as_deref(), &folder).map(|url| Some(Source::Git(url))).map_err(|why| usage(&why))
        }
        Some("path") => {
            let path = Path::new(uri.strip_prefix("file://").unwrap_or(&uri));
            Ok(Some(Source::Folder(if folder.is_empty() { path.to_owned() } else { path.join(folder) })))
        }
        Some(other) => Err(usage(&format!("the provider is {other}; there are git and path"))),
    }
}

/// The commit, else the branch.
fn reference(name: &str, params: &Map<String, Value>, notes: &mut Vec<String>) -> Result<Option<String>, Failure> {
    let of = |key: &str| {
        params.get(key).map_or(Ok(None), |value| text(name, &format!("source.provider_params.{key}"), value))
    };
    let (commit, branch) = (of("git_commit")?, of("git_branch")?);
    for key in params.keys().filter(|key| !["git_commit", "git_branch", "git_commit_depth"].contains(&key.as_str())) {
        notes.push(format!("{name}: source.provider_params.{key}: unknown key, not used"));
    }
    Ok(commit.or(branch))
}

/// The folder that a path names which may end in the Dockerfile's name.
fn folder_of(path: Option<&str>) -> String {
    let path = path.unwrap_or_default().trim_matches('/');
    let path = match path.rsplit_once('/') {
        Some((folder, "Dockerfile")) => folder,
        None if path == "Dockerfile" => "",
        Some(_) | None => path,
    };
    let path = path.strip_prefix("./").unwrap_or(path);
    if path == "." { String::new() } else { path.to_owned() }
}

/// `URI#REFERENCE:FOLDER`; the `#` makes a git URL of any web address.
fn git_url(uri: &str, reference: Option<&str>, folder: &str) -> Result<String, String> {
    let uri = uri.strip_prefix("git+").unwrap_or(uri);
    let (address, behind) = uri.split_once('#').map_or((uri, ""), |(address, behind)| (address, behind));
    let address = if address.starts_with('/') { format!("file://{address}") } else { address.to_owned() };
    let reference = reference.or(Some(behind).filter(|text| !text.is_empty())).unwrap_or_default();
    let url = match folder {
        "" => format!("{address}#{reference}"),
        folder => format!("{address}#{reference}:{folder}"),
    };
    match GitUrl::recognise(&url) {
        Some(Ok(_)) => Ok(url),
        Some(Err(error)) => Err(http::with_causes(&error)),
        None => Err("the uri is not the address of a git repository".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(json: Value) -> Result<Order, Failure> {
        read("build.json", "build.json", json.as_object().unwrap().clone())
    }

    #[track_caller]
    fn url(source: Value, expected: &str) {
        assert_eq!(order(json!({ "source": source })).unwrap().source.unwrap().argument(), expected);
    }

    #[test]
    fn a_source_is_a_commit_and_a_folder() {
        let git = |uri: &str, params: Value, path: Value| json!({"provider": "git", "uri": uri, "provider_params": params, "dockerfile_path": path});
        let commit = json!({"git_commit": "0123abc", "git_branch": "f42"});
        url(git("https://a.example/x", commit.clone(), json!("Dockerfile")), "https://a.example/x#0123abc");
        url(git("https://a.example/x.git", commit, json!("d/e/Dockerfile")), "https://a.example/x.git#0123abc:d/e");
        url(git("git://a.example/x", json!({"git_branch": "f42"}), json!("./d/")), "git://a.example/x#f42:d");
        url(git("git+https://a.example/x#v1", json!({"git_commit": null}), json!(null)), "https://a.example/x#v1");
        url(json!({"uri": "/srv/x"}), "file:///srv/x#");
        url(json!({"provider": "path", "uri": "file:///srv/x", "dockerfile_path": "."}), "/srv/x");
        url(json!({"provider": "path", "uri": "/srv/x", "dockerfile_path": "a/Dockerfile"}), "/srv/x/a");
    }

    #[test]
    fn lists_stay_and_other_keys_are_named() {
        let order = order(json!({
            "image": "a/b:1", "openshift_build_selflink": "/x", "exit_plugins": [{"name": "a"}], "zebra": 1,
            "target_registries": ["r"], "source": {"uri": "git://a.example/x", "depth": 1, "provider_params": {"y": 1}},
        }));
        let order = order.unwrap();
        assert_eq!(order.lists, *json!({"exit_plugins": [{"name": "a"}]}).as_object().unwrap());
        assert_eq!(order.image.as_deref(), Some("a/b:1"));
        let mut notes = order.notes;
        notes.sort();
        let expected = [
            "build.json: source.depth: unknown key, not used",
            "build.json: source.provider_params.y: unknown key, not used",
            "build.json: target_registries: not used: say it in the site's configuration (registry, source_registry)",
            "build.json: zebra: unknown key, not used",
        ];
        assert_eq!(notes, expected);
    }

    #[track_caller]
    fn refused(json: Value, text: &str) {
        assert_eq!(order(json).unwrap_err().text, text);
    }

    #[test]
    fn what_is_wrong_is_named() {
        refused(json!({"image": 5}), "build.json: image is 5; expected a text that is not empty");
        refused(json!({"source": []}), "build.json: source: expected an object of provider and uri");
        refused(json!({"source": {}}), "build.json: source: the uri is missing");
        let svn = json!({"source": {"provider": "svn", "uri": "x"}});
        refused(svn, "build.json: source: the provider is svn; there are git and path");
        refused(
            json!({"source": {"uri": "nothing"}}),
            "build.json: source: the uri is not the address of a git repository",
        );
        let hostile =
            json!({"source": {"uri": "git://a.example/x", "provider_params": {"git_commit": "--upload-pack=x"}}});
        assert!(order(hostile).unwrap_err().text.contains("it starts with a `-`"));
        assert_eq!(parse("B", "{").unwrap_err().text, "B: it is not JSON: line 1, column 1");
        let large = parse("B", &" ".repeat(MAX_BYTES + 1)).unwrap_err().text;
        assert_eq!(large, "B: it has 4194305 bytes; at most 4194304 are read");
    }
}
