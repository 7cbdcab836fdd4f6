//! `download_remote_source`: sources that somebody fetched before the build, from a directory of this machine.
//!
//! Reads `remote_source` and `remote_sources` of container.yaml and the site's `remote_sources.directory`, which holds
//! what another service (Cachito, Hermeto) has fetched: `app`, `deps` and `cachito.env` or `env.json`, for several
//! sources in a folder for each, by name. Returns edits: the directory is the build context `remote-source`, steps see
//! it below /remote-source, and the variables of a single source are build arguments. Nothing of it is in a layer unless
//! it is copied. Fails the build where the folder of a source is not there; without a directory only a build that a build
//! system demands, or whose site lists this plugin, and any other is warned.

use std::io::Read;
use std::path::{Path, PathBuf};

use pipeline::{Changes, Class, Edit, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};

use crate::container_yaml::{self, RemoteSources};

mod variables;

/// The name of the context.
pub(crate) const CONTEXT: &str = "remote-source";
/// Where steps see it.
const TARGET: &str = "/remote-source";
/// The files with variables; the first that is there counts.
const VARIABLES: [&str; 2] = ["env.json", "cachito.env"];
/// Bytes of the largest such file.
const MAX_FILE: u64 = 1 << 20;

#[derive(Debug)]
struct DownloadRemoteSource {
    /// Whether the build fails without the sources.
    is_demanded: bool,
    directory: Option<PathBuf>,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    if setup.args.is_none() && *setup.site == pipeline::site::Site::default() {
        return Ok(None);
    }
    let directory = setup.site.remote_sources.as_ref().map(|site| site.directory.clone());
    Ok(Some(Box::new(DownloadRemoteSource { is_demanded: crate::is_demanded(setup), directory })))
}

impl Plugin<PreBuild> for DownloadRemoteSource {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let names = match container_yaml::of(view)?.sources {
            None | Some(RemoteSources::Go(_) | RemoteSources::One(None)) => return Ok(Changes::default()),
            Some(RemoteSources::One(Some(_))) => Vec::new(),
            Some(RemoteSources::Many(sources)) => sources.into_iter().map(|(name, _)| name).collect(),
        };
        let Some(directory) = &self.directory else {
            if self.is_demanded {
                return Err(nowhere());
            }
            return Ok(Changes { warnings: vec![nowhere().text], ..Changes::default() });
        };
        check(directory, &names)?;
        let variables = if names.is_empty() { variables(directory)? } else { Vec::new() };
        Ok(Changes { edits: decide(directory, &names, variables), ..Changes::default() })
    }
}

fn nowhere() -> PluginError {
    let text = "container.yaml: remote sources are fetched by another service, and not by this program";
    let help = "fetch them before the build, and name their directory with remote_sources.directory in the site's \
                configuration";
    PluginError::new(Class::Source, text).help(help)
}

/// Whether all sources are there.
fn check(directory: &Path, names: &[String]) -> Result<(), PluginError> {
    let folders = if names.is_empty() {
        vec![directory.to_owned()]
    } else {
        names.iter().map(|name| directory.join(name)).collect()
    };
    let missing = folders.iter().map(|folder| folder.join("app")).find(|app| !app.is_dir());
    let Some(missing) = missing else { return Ok(()) };
    let text = format!("{}: there is no such folder, so the remote source was not fetched", missing.display());
    Err(PluginError::new(Class::Environment, text).help("fetch it before the build"))
}

/// The variables of the source in `directory`.
fn variables(directory: &Path) -> Result<Vec<(String, String)>, PluginError> {
    for name in VARIABLES {
        let path = directory.join(name);
        let failed = |why: &str| PluginError::new(Class::Environment, format!("{}: {why}", path.display()));
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed(&error.to_string())),
        };
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text).map_err(|error| failed(&error.to_string()))?;
        let read = if name.ends_with(".json") { variables::from_json } else { variables::from_shell };
        return read(&text, TARGET).map_err(|why| failed(&why));
    }
    Ok(Vec::new())
}

/// The edits; `names` are those of several sources.
fn decide(directory: &Path, names: &[String], variables: Vec<(String, String)>) -> Vec<Reasoned> {
    let reason = "container.yaml wants sources that were fetched before the build";
    let reasoned = |edit| Reasoned { edit, reason: reason.to_owned() };
    let context = Edit::Directory { context: CONTEXT.to_owned(), source: directory.to_owned(), target: TARGET.into() };
    let name = if names.is_empty() { "REMOTE_SOURCE_DIR" } else { "REMOTE_SOURCES_DIR" };
    let mut values = vec![(name.to_owned(), TARGET.to_owned())];
    values.extend(variables.into_iter().filter(|(known, _)| known != name));
    vec![reasoned(context), reasoned(Edit::Values(values))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_context_and_seen_by_steps() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("app")).unwrap();
        let env = r#"{"GOCACHE": {"kind": "path", "value": "deps/gomod"}, "GO111MODULE": {"kind": "literal", "value": "on"}}"#;
        std::fs::write(folder.path().join("env.json"), env).unwrap();
        check(folder.path(), &[]).unwrap();
        let edits = decide(folder.path(), &[], variables(folder.path()).unwrap());
        let source = folder.path().to_owned();
        let context = Edit::Directory { context: "remote-source".to_owned(), source, target: "/remote-source".into() };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let values = vec![
            pair("REMOTE_SOURCE_DIR", "/remote-source"),
            pair("GO111MODULE", "on"),
            pair("GOCACHE", "/remote-source/deps/gomod"),
        ];
        assert_eq!(edits.into_iter().map(|one| one.edit).collect::<Vec<_>>(), [context, Edit::Values(values)]);
    }

    #[test]
    fn a_source_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = check(folder.path(), &["web".to_owned()]).unwrap_err();
        let path = folder.path().join("web/app");
        let text = format!("{}: there is no such folder, so the remote source was not fetched", path.display());
        assert_eq!(error.text, text);
        assert!(nowhere().text.starts_with("container.yaml: remote sources are fetched by another service"));
    }
}
