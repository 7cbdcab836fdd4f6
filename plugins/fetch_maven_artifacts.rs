//! `fetch_maven_artifacts`: files that a repository names in `fetch-artifacts-url.yaml` and `fetch-artifacts-koji.yaml`.
//!
//! Reads both in a clone this build made, the site's `artifacts_allowed_domains`, and of Koji the builds that are named.
//! Fetches each file below the clone's `artifacts` folder and compares every checksum that is given. Returns the files
//! with their digests, and which of them are files of Koji's builds; a warning for a directory of the user's, which is not
//! written to. Fails the build for a file that is not there, is another, may not come from there, or whose `target`
//! would lead out of the folder; and for `fetch-artifacts-pnc.yaml`, for PNC is not asked.

mod by_koji;
mod by_pnc;
mod by_url;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use pipeline::{Artifacts, Class, Fact, Found, KojiFile, Made, Plugin, PluginError, Setup, Source, SourceView};
use source::artifact::{self, Artifact, ArtifactError, Target};
use source::lookaside::Algorithm;

pub(crate) use by_koji::{NAME as BY_KOJI, parse as parse_by_koji};
pub(crate) use by_pnc::{NAME as BY_PNC, parse as parse_by_pnc};
pub(crate) use by_url::{NAME as BY_URL, parse as parse_by_url};

/// The folder of the clone that files go to.
const FOLDER: &str = "artifacts";
/// Bytes of the largest file with names.
const MAX_LIST: u64 = 4 << 20;
/// Bytes of the largest artifact.
const MAX_ARTIFACT: u64 = 8 << 30;

#[derive(Debug)]
struct FetchMavenArtifacts {
    /// In lower case.
    domains: Vec<String>,
    hub: Option<Arc<dyn koji::Hub>>,
}

/// A file to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Download {
    /// Where it is.
    pub(crate) url: String,
    /// Where it goes.
    pub(crate) target: Target,
    /// What it must be.
    pub(crate) checksums: Vec<(Algorithm, String)>,
    /// What it is in Koji.
    pub(crate) koji: Option<KojiFile>,
}

/// A file of names as it stands in the repository, and where something stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    file: &'static str,
    /// Line and column, from 1.
    position: (usize, usize),
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<Source> {
    if setup.args.is_none() && *setup.site == pipeline::site::Site::default() {
        return Ok(None);
    }
    Ok(Some(Box::new(FetchMavenArtifacts {
        domains: setup.site.artifacts_allowed_domains.clone(),
        hub: setup.wanted.hub.clone(),
    })))
}

impl Plugin<Source> for FetchMavenArtifacts {
    fn run(&self, view: &SourceView<'_>) -> Result<Found, PluginError> {
        if !view.is_clone {
            return Ok(Found { warnings: unfetched(view.directory).into_iter().collect(), ..Found::default() });
        }
        if let Some(text) = read(view.directory, BY_PNC)? {
            parse_by_pnc(&text)?;
            let text = format!("{BY_PNC}: files of PNC are not fetched by this program");
            return Err(PluginError::new(Class::Source, text).help(format!("name them by URL, in {BY_URL}")));
        }
        let mut downloads = Vec::new();
        if let Some(text) = read(view.directory, BY_KOJI)? {
            downloads.extend(by_koji::decide(&by_koji::parse(&text)?, self.hub.as_deref())?);
        }
        if let Some(text) = read(view.directory, BY_URL)? {
            downloads.extend(by_url::decide(&by_url::parse(&text)?, &self.domains)?);
        }
        refuse_doubles(&downloads)?;
        fetch(&downloads, view)
    }
}

/// What is to be said of a directory that names files and is not written to.
fn unfetched(directory: &Path) -> Option<String> {
    let named: Vec<&str> =
        [BY_KOJI, BY_URL, BY_PNC].into_iter().filter(|name| directory.join(name).is_file()).collect();
    let is_filled = directory.join(FOLDER).is_dir();
    (!named.is_empty() && !is_filled).then(|| {
        let named = named.join(", ");
        format!("{named}: its files are not fetched: that is done for a git repository, not into a directory")
    })
}

/// The text of a file of the clone; none where there is none of that name.
fn read(directory: &Path, name: &str) -> Result<Option<String>, PluginError> {
    let path = directory.join(name);
    let failed = |error: io::Error| PluginError::new(Class::Source, format!("{name}: cannot read it: {error}"));
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => {
            let text = format!("{name}: it is no regular file");
            return Err(PluginError::new(Class::Source, text).help("commit the file itself, not a link to it"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    }
    let mut text = String::new();
    File::open(&path).and_then(|file| file.take(MAX_LIST).read_to_string(&mut text)).map_err(failed)?;
    Ok(Some(text))
}

fn refuse_doubles(downloads: &[Download]) -> Result<(), PluginError> {
    let mut seen = BTreeSet::new();
    match downloads.iter().find(|download| !seen.insert(&download.target)) {
        None => Ok(()),
        Some(twice) => {
            let text = format!("{}: two files are to be fetched to this place", twice.target);
            Err(PluginError::new(Class::Source, text).help("give one of them another `target`"))
        }
    }
}

fn fetch(downloads: &[Download], view: &SourceView<'_>) -> Result<Found, PluginError> {
    let mut artifacts = Artifacts::default();
    for download in downloads {
        let Download { url, target, checksums, koji } = download.clone();
        let artifact = Artifact { url, target, checksums };
        let fetched = artifact::fetch(&[artifact], view.directory, view.http, MAX_ARTIFACT);
        let fetched = fetched.map_err(|error| failed(&error))?;
        artifacts.files.extend(fetched.into_iter().map(|file| (file.path, file.digest)));
        artifacts.koji.extend(koji);
    }
    Ok(Fact::Artifacts(artifacts).into())
}

fn failed(error: &ArtifactError) -> PluginError {
    PluginError::of(error.class().into(), error)
}

impl Place {
    /// A complaint about what stands there.
    fn error(&self, class: Class, problem: &str) -> PluginError {
        let (line, column) = self.position;
        PluginError::new(class, format!("{}:{line}:{column}: {problem}", self.file))
    }

    /// The path `text` below the folder of artifacts.
    fn target(&self, text: &str) -> Result<Target, PluginError> {
        Target::below(FOLDER, text).map_err(|why| {
            let help = format!("it is a path below the folder {FOLDER} of the repository, such as lib/a.jar");
            self.error(Class::Refused, &format!("target `{text}`: {why}")).help(help)
        })
    }
}

/// The downloads that the text of `fetch-artifacts-url.yaml` asks for, as the plugin decides them.
pub(crate) fn decided(text: &str, domains: &[String]) -> Result<Vec<Download>, PluginError> {
    let downloads = by_url::decide(&by_url::parse(text)?, domains)?;
    refuse_doubles(&downloads).map(|()| downloads)
}
