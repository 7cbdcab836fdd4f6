//! `download_remote_source`: sources that somebody fetched before the build, from a directory of this machine.
//!
//! Reads `remote_source` and `remote_sources` of container.yaml and the site's `remote_sources.directory`, which holds
//! what another service (Cachito, Hermeto) has fetched: `app`, `deps` and `cachito.env` or `env.json`, for several
//! sources in a folder for each, by name. Returns edits: the directory is the build context `remote-source`, steps see
//! it below /remote-source, and the variables of a single source are build arguments. Where the Dockerfile copies it out
//! of its own context, as atomic-reactor has it (`COPY $REMOTE_SOURCE $REMOTE_SOURCE_DIR`), it is a folder of that
//! context, and steps see the copy. Nothing of it is in a layer unless it is copied. Fails the build where the folder of a source is not there; without a directory only a build that a build
//! system demands, or whose site lists this plugin, and any other is warned.

use std::io::Read;
use std::path::{Path, PathBuf};

use dockerfile::{Dockerfile, Kind, Word};
use pipeline::{
    Changes, Class, DirectoryPlace, Edit, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup,
};

use source::Tree;

use crate::container_yaml::{self, RemoteSources};

mod variables;

/// The name of the context.
pub(crate) const CONTEXT: &str = "remote-source";
/// Build arguments that name places, whatever a file of variables says of them.
const PATHS: [&str; 3] = ["REMOTE_SOURCE", "REMOTE_SOURCE_DIR", "CACHITO_ENV_FILE"];
/// Where steps see it.
const TARGET: &str = "/remote-source";
/// The folder of the build context that it is for atomic-reactor.
const FOLDER: &str = "unpacked_remote_sources";
/// The file that a shell reads for the variables.
const SHELL_FILE: &str = "cachito.env";
/// The files with variables; the first that is there counts.
const VARIABLES: [&str; 2] = ["env.json", SHELL_FILE];
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
        let mut values = paths(&names, directory.join(SHELL_FILE).is_file());
        if names.is_empty() {
            let said = variables(directory)?;
            values.extend(said.into_iter().filter(|(name, _)| !PATHS.contains(&name.as_str())));
        }
        let place = place(view.written);
        if let (DirectoryPlace::Context(folder), Some(context)) = (&place, view.context) {
            is_free(context, folder)?;
        }
        Ok(Changes { edits: decide(directory, place, values), ..Changes::default() })
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
        file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(|error| failed(&error.to_string()))?;
        if text.len() as u64 > MAX_FILE {
            return Err(failed("larger than 1 MiB"));
        }
        return parse_variables(name, &text)
            .map_err(|error| failed(error.text.trim_start_matches(name).trim_start_matches(": ")));
    }
    Ok(Vec::new())
}

/// The variables of the file `name`, whose text is this.
pub(crate) fn parse_variables(name: &str, text: &str) -> Result<Vec<(String, String)>, PluginError> {
    let read = if name.ends_with(".json") { variables::from_json } else { variables::from_shell };
    read(text, TARGET).map_err(|why| PluginError::new(Class::Environment, format!("{name}: {why}")))
}

/// Where a Dockerfile is to find it.
fn place(file: &Dockerfile) -> DirectoryPlace {
    let is_of_it = |word: &Word| {
        ["$REMOTE_SOURCE", "${REMOTE_SOURCE", FOLDER]
            .iter()
            .any(|start| word.raw.trim_start_matches("./").starts_with(start))
    };
    let copies = file.instructions.iter().any(|instruction| {
        if let Kind::Copy(spec) = &instruction.kind {
            spec.from.is_none() && spec.sources.iter().any(is_of_it)
        } else if let Kind::Add(spec) = &instruction.kind {
            spec.sources.iter().any(is_of_it)
        } else {
            false
        }
    });
    if copies { DirectoryPlace::Context(FOLDER.to_owned()) } else { DirectoryPlace::Steps(TARGET.into()) }
}

/// Whether the context has nothing of that name, which would be hidden.
fn is_free(context: &Tree, folder: &str) -> Result<(), PluginError> {
    if context.look_at(Path::new(folder)).is_err() {
        return Ok(());
    }
    let text = format!("{folder}: the repository has this already, and the remote source goes there");
    Err(PluginError::new(Class::Source, text).help("give it another name in the repository"))
}

/// What atomic-reactor calls the places; `names` are those of several sources.
fn paths(names: &[String], has_shell_file: bool) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    if !names.is_empty() {
        return vec![pair("REMOTE_SOURCES", FOLDER), pair("REMOTE_SOURCES_DIR", TARGET)];
    }
    let mut values = vec![pair("REMOTE_SOURCE", FOLDER), pair("REMOTE_SOURCE_DIR", TARGET)];
    if has_shell_file {
        values.push(pair("CACHITO_ENV_FILE", &format!("{TARGET}/{SHELL_FILE}")));
    }
    values
}

/// The edits.
fn decide(directory: &Path, place: DirectoryPlace, values: Vec<(String, String)>) -> Vec<Reasoned> {
    let reason = "container.yaml wants sources that were fetched before the build";
    let reasoned = |edit| Reasoned { edit, reason: reason.to_owned() };
    let context = Edit::Directory { context: CONTEXT.to_owned(), source: directory.to_owned(), place };
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
        let place = DirectoryPlace::Steps("/remote-source".into());
        let edits = decide(folder.path(), place.clone(), variables(folder.path()).unwrap());
        let source = folder.path().to_owned();
        let context = Edit::Directory { context: "remote-source".to_owned(), source, place };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let values = vec![pair("GO111MODULE", "on"), pair("GOCACHE", "/remote-source/deps/gomod")];
        assert_eq!(edits.into_iter().map(|one| one.edit).collect::<Vec<_>>(), [context, Edit::Values(values)]);
    }

    #[test]
    fn a_dockerfile_for_atomic_reactor_finds_it_in_its_context() {
        let place = |text: &str| place(&dockerfile::parse(text).unwrap());
        let (context, steps) = (DirectoryPlace::Context(FOLDER.to_owned()), DirectoryPlace::Steps(TARGET.into()));
        for text in [
            "COPY $REMOTE_SOURCE $REMOTE_SOURCE_DIR",
            "ADD ${REMOTE_SOURCES}/web/app /src",
            "COPY ./unpacked_remote_sources /x",
        ] {
            assert_eq!(place(&format!("FROM x\n{text}\n")), context, "{text}");
        }
        for text in [
            "COPY --from=remote-source app /src",
            "COPY --from=b $REMOTE_SOURCE_DIR/app /app",
            "RUN echo $REMOTE_SOURCE",
        ] {
            assert_eq!(place(&format!("FROM x AS b\n{text}\n")), steps, "{text}");
        }
    }

    #[test]
    fn the_places_have_the_names_that_atomic_reactor_gives_them() {
        let said = |names: &[String], has_file| {
            let paths = paths(names, has_file).into_iter().map(|(name, value)| format!("{name}={value}"));
            paths.collect::<Vec<_>>().join(" ")
        };
        let one = "REMOTE_SOURCE=unpacked_remote_sources REMOTE_SOURCE_DIR=/remote-source";
        assert_eq!(said(&[], false), one);
        assert_eq!(said(&[], true), format!("{one} CACHITO_ENV_FILE=/remote-source/cachito.env"));
        let several = "REMOTE_SOURCES=unpacked_remote_sources REMOTE_SOURCES_DIR=/remote-source";
        assert_eq!(said(&["web".to_owned()], true), several);
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
