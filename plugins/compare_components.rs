//! `compare_components`: the packages of all platforms are the same.
//!
//! Reads the components of each platform's image and the site's `package_comparison_exceptions`. Returns a finding of
//! severity error for every package whose version, release or signature differs between platforms; one that a platform
//! lacks is no difference. An image that is thrown away or built on nothing is not compared. Here a build is for one
//! platform, which is compared with those whose components the argument `components` names: a file for each platform,
//! JSON lists as Koji's metadata has them. Fails the build when one of them cannot be read.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

use koji::component::{self, Component};
use pipeline::{Class, Finding, Findings, Made, Plugin, PluginError, PostBuild, PostBuildView, Setup, Severity};
use serde_json::Value;

/// The largest list of components that is read, in bytes.
const MAX_LIST: u64 = 64 << 20;

#[derive(Debug)]
struct CompareComponents {
    others: BTreeMap<String, PathBuf>,
    exceptions: Vec<String>,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PostBuild> {
    let others = others(setup.args.and_then(|args| args.get("components")))?;
    if others.is_empty() || setup.wanted.task.is_scratch {
        return Ok(None);
    }
    Ok(Some(Box::new(CompareComponents { others, exceptions: setup.site.package_comparison_exceptions.clone() })))
}

/// The argument: files by platform.
fn others(argument: Option<&Value>) -> Result<BTreeMap<String, PathBuf>, PluginError> {
    let wrong = |found: &Value| {
        let text = format!("argument components is {found}; it must name a file for each platform");
        PluginError::new(Class::Configuration, text)
    };
    match argument {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(files)) => {
            let file = |(platform, path): (&String, &Value)| {
                let path = path.as_str().ok_or_else(|| wrong(path))?;
                Ok((platform.clone(), PathBuf::from(path)))
            };
            files.iter().map(file).collect()
        }
        Some(other) => Err(wrong(other)),
    }
}

impl Plugin<PostBuild> for CompareComponents {
    fn run(&self, view: &PostBuildView<'_>) -> Result<Findings, PluginError> {
        let report = view.facts.packages().ok_or_else(|| {
            PluginError::new(Class::Configuration, "nobody looked at the packages; let all_rpm_packages run before")
        })?;
        if view.image.base().is_none() {
            return Ok(Findings::default());
        }
        let mut lists = vec![component::of_packages(&report.packages)];
        for path in self.others.values() {
            lists.push(read(path)?);
        }
        let lists: Vec<&[Component]> = lists.iter().map(Vec::as_slice).collect();
        Ok(Findings { findings: decide(&lists, &self.exceptions), ..Findings::default() })
    }
}

fn read(path: &PathBuf) -> Result<Vec<Component>, PluginError> {
    let failed = |why: String| PluginError::new(Class::Configuration, format!("{}: {why}", path.display()));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    file.take(MAX_LIST).read_to_end(&mut bytes).map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(format!("no list of components: {error}")))
}

/// A finding for each package that differs.
pub(crate) fn decide(lists: &[&[Component]], exceptions: &[String]) -> Vec<Finding> {
    let finding = |name: String| {
        let mut all: Vec<String> =
            lists.iter().flat_map(|list| list.iter()).filter(|one| one.name == name).map(shown).collect();
        all.dedup();
        Finding {
            severity: Severity::Error,
            code: "component-mismatch".to_owned(),
            message: format!("it differs between platforms: {}", all.join(", ")),
            subject: name,
        }
    };
    component::differing(lists, exceptions).into_iter().map(finding).collect()
}

fn shown(one: &Component) -> String {
    let signature = one.signature.as_deref().unwrap_or("unsigned");
    format!("{}-{}.{} ({signature})", one.version, one.release, one.arch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_is_told_with_all_that_differ() {
        let one = |version: &str, arch: &str| {
            let value = json!({ "type": "rpm", "name": "a", "version": version, "release": "1", "arch": arch, "signature": "k" });
            vec![serde_json::from_value::<Component>(value).unwrap()]
        };
        let (x, s) = (one("1", "x86_64"), one("2", "s390x"));
        let found = decide(&[&x, &s], &[]);
        let text = "it differs between platforms: 1-1.x86_64 (k), 2-1.s390x (k)";
        assert_eq!(found.iter().map(|found| found.message.as_str()).collect::<Vec<_>>(), [text]);
        assert!(decide(&[&x, &s], &["a".to_owned()]).is_empty() && decide(&[&x, &x], &[]).is_empty());
    }

    #[test]
    fn the_argument_names_files() {
        assert!(others(Some(&json!({ "s390x": 5 }))).is_err() && others(Some(&json!([]))).is_err());
        let found = others(Some(&json!({ "s390x": "/c.json" }))).unwrap();
        assert_eq!(found.get("s390x"), Some(&PathBuf::from("/c.json")));
    }
}
