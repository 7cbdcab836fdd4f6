//! `add_dockerfile`: the image says how it was made.
//!
//! Reads the Dockerfile as the plugins before left it (with `use_final_dockerfile`, as all leave it), the labels name,
//! version and release, or the argument `nvr`. Returns a file for the image, `Dockerfile-NAME-VERSION-RELEASE` in
//! `/root/buildinfo` or in `destdir`. In a list of the site it fails the build when one of
//! the labels is missing; by itself it warns, because a release may come later. A name that is too long for a file
//! fails the build always.

use std::path::PathBuf;

use pipeline::{Added, Changes, Class, Edit, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};
use serde_json::Value;

use crate::labels::{self, Labels};

/// Where it is in the image.
pub(crate) const FOLDER: &str = "/root/buildinfo";
/// The labels it is named by.
const NAMED_BY: [&str; 3] = ["name", "version", "release"];
/// Bytes of the longest name a file can have on Linux.
const MAX_NAME: usize = 255;

#[derive(Debug)]
struct AddDockerfile {
    /// The name after `Dockerfile-`, where the site gives it.
    nvr: Option<String>,
    /// Where it is in the image.
    folder: String,
    snapshot: Snapshot,
    is_listed: bool,
}

/// Which Dockerfile is put into the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Snapshot {
    /// As the plugins before left it.
    Now,
    /// As all plugins leave it.
    Final,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    if setup.args.is_none() && setup.site.registry.is_none() {
        return Ok(None);
    }
    let snapshot = match setup.args.and_then(|args| args.get("use_final_dockerfile")) {
        None | Some(Value::Null | Value::Bool(false)) => Snapshot::Now,
        Some(Value::Bool(true)) => Snapshot::Final,
        Some(other) => {
            let text = format!("argument use_final_dockerfile is {other}; it must be true or false");
            return Err(PluginError::new(Class::Configuration, text));
        }
    };
    let folder = setup.text("destdir")?.unwrap_or_else(|| FOLDER.to_owned());
    Ok(Some(Box::new(AddDockerfile { nvr: setup.text("nvr")?, folder, snapshot, is_listed: setup.args.is_some() })))
}

impl Plugin<PreBuild> for AddDockerfile {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let nvr = match &self.nvr {
            Some(nvr) => Ok(nvr.clone()),
            None => nvr(&labels::in_force(view)?),
        };
        match nvr {
            Ok(nvr) => {
                let edit = decide(&nvr, &self.folder, (self.snapshot, &view.request.dockerfile.text))?;
                let reason = "the image says how it was made".to_owned();
                Ok(Changes { edits: vec![Reasoned { edit, reason }], ..Changes::default() })
            }
            Err(error) if self.is_listed => Err(error),
            Err(error) => {
                let warnings = vec![format!("the Dockerfile is not put into the image: {}", error.text)];
                Ok(Changes { warnings, ..Changes::default() })
            }
        }
    }
}

/// `name-version-release`.
pub(crate) fn nvr(all: &Labels) -> Result<String, PluginError> {
    let missing: Vec<&str> = NAMED_BY.into_iter().filter(|name| labels::value(all, name).is_none()).collect();
    if !missing.is_empty() {
        let text = format!("it is named by the labels name, version and release, and has no {}", missing.join(", no "));
        let wanted = missing.iter().map(|name| format!("{name}=…")).collect::<Vec<_>>().join(" ");
        return Err(PluginError::new(Class::Source, text).help(format!("add `LABEL {wanted}` to the Dockerfile")));
    }
    Ok(NAMED_BY.into_iter().filter_map(|name| labels::value(all, name)).collect::<Vec<_>>().join("-"))
}

/// The file in `folder`, its name one part of a path whatever `nvr` holds.
pub(crate) fn decide(nvr: &str, folder: &str, (snapshot, dockerfile): (Snapshot, &str)) -> Result<Edit, PluginError> {
    let path = path(folder, &format!("Dockerfile-{nvr}"))?;
    Ok(match snapshot {
        Snapshot::Now => Edit::Add(Added { path, content: dockerfile.as_bytes().to_vec(), mode: 0o644 }),
        Snapshot::Final => Edit::AddDockerfile(path),
    })
}

/// A file in a folder of the image that is named by labels.
pub(crate) fn path(folder: &str, name: &str) -> Result<PathBuf, PluginError> {
    let wrong = |text: String| PluginError::new(Class::Configuration, text);
    if !folder.starts_with('/') || folder.chars().any(char::is_control) {
        return Err(wrong(format!("argument destdir is {folder:?}; it must be an absolute path in the image")));
    }
    let plain = |character: char| if character == '/' || character.is_control() { '-' } else { character };
    let name: String = name.chars().map(plain).collect();
    if name.len() > MAX_NAME {
        let text = format!(
            "the labels name, version and release make a file name of {} bytes; there is room for {MAX_NAME}",
            name.len()
        );
        return Err(PluginError::new(Class::Source, text).help("shorten one of the labels"));
    }
    Ok(PathBuf::from(format!("{}/{name}", folder.trim_end_matches('/'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn path(nvr: &str) -> String {
        super::path(FOLDER, &format!("Dockerfile-{nvr}")).unwrap().display().to_string()
    }

    #[test]
    fn the_file_is_named_by_its_labels_old_names_too() {
        let labels = labels::of(&[("name", "ns/app"), ("Version", "1.2"), ("release", "3")]);
        let edit = decide(&nvr(&labels).unwrap(), FOLDER, (Snapshot::Now, "FROM a\n")).unwrap();
        let path = PathBuf::from("/root/buildinfo/Dockerfile-ns-app-1.2-3");
        assert_eq!(edit, Edit::Add(Added { path, content: b"FROM a\n".to_vec(), mode: 0o644 }));
        let edit = decide("a-1-2", "/opt/", (Snapshot::Final, "")).unwrap();
        assert_eq!(edit, Edit::AddDockerfile("/opt/Dockerfile-a-1-2".into()));
    }

    #[test]
    fn the_name_is_one_part_of_a_path() {
        assert_eq!(path("a-1-2"), "/root/buildinfo/Dockerfile-a-1-2");
        assert_eq!(path("../../etc/x\n"), "/root/buildinfo/Dockerfile-..-..-etc-x-");
    }

    #[test]
    fn missing_labels_are_named_together() {
        let error = nvr(&labels::of(&[("name", "a"), ("version", "1")])).unwrap_err();
        let text = "it is named by the labels name, version and release, and has no release";
        let help = "add `LABEL release=…` to the Dockerfile";
        assert_eq!(error, PluginError::new(Class::Source, text).help(help));
        let error = nvr(&labels::of(&[("name", "a"), ("version", "")])).unwrap_err();
        assert_eq!(error.text, "it is named by the labels name, version and release, and has no version, no release");
    }

    #[test]
    fn a_folder_that_is_not_absolute_is_refused() {
        let text = "argument destdir is \"root\"; it must be an absolute path in the image";
        assert_eq!(super::path("root", "x").unwrap_err(), PluginError::new(Class::Configuration, text));
    }

    #[test]
    fn a_name_that_is_too_long_is_refused() {
        let error = decide(&"x".repeat(245), FOLDER, (Snapshot::Now, "")).unwrap_err();
        let text = "the labels name, version and release make a file name of 256 bytes; there is room for 255";
        assert_eq!(error, PluginError::new(Class::Source, text).help("shorten one of the labels"));
    }
}
