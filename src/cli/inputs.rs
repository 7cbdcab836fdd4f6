//! Files a user names, read before anything is done.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::build::{Context, RepositoryFile, SeenIn};
use dockerfile::Dockerfile;
use dockerfile::ignore::Patterns;
use rpm::repofile::RepoFile;
use source::{DOCKERFILES, IGNORE_FILES, Tree};

use crate::diagnostic;
use crate::environment::Environment;
use crate::failure::{self, Failure, Status};

/// Bytes of any file read whole here.
const MAX_FILE: u64 = 64 << 20;

/// A file a user named; without it nothing can go on.
pub(crate) fn read(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    read_if_there(path, what)?.ok_or_else(|| {
        let text = format!("{}: {what}: no such file", path.display());
        Failure::new(Status::Usage, text)
    })
}

pub(crate) fn read_if_there(path: &Path, what: &str) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Status::Usage, format!("{}: {what} cannot be read: {error}", path.display()))
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::new(Status::Usage, format!("{}: {what} is larger than 64 MiB", path.display())));
    }
    Ok(Some(bytes))
}

/// A Dockerfile and where it is.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) path: PathBuf,
    pub(crate) dockerfile: Dockerfile,
}

/// Finds and parses the Dockerfile: `file` if it is given, else the context's Containerfile or Dockerfile.
pub(crate) fn dockerfile(context: &Path, file: Option<&Path>) -> Result<Parsed, Failure> {
    let (path, bytes) = dockerfile_bytes(context, file)?;
    match dockerfile::parse_bytes(&bytes) {
        Ok(dockerfile) => Ok(Parsed { path, dockerfile }),
        Err(error) => {
            let text = String::from_utf8_lossy(&bytes);
            Err(diagnostic::failure(Status::Source, &error.diagnostic(), &path.display().to_string(), &text))
        }
    }
}

/// Finds and reads the Dockerfile.
pub(crate) fn dockerfile_bytes(context: &Path, file: Option<&Path>) -> Result<(PathBuf, Vec<u8>), Failure> {
    let path = match file {
        Some(file) if file.exists() => file.to_owned(),
        // As docker and buildah: a name that is not found as it is may be relative to the context.
        Some(file) => Some(context.join(file))
            .filter(|path| path.exists())
            .ok_or_else(|| Failure::new(Status::Source, format!("{}: no such Dockerfile", file.display())))?,
        None => {
            let found = DOCKERFILES.iter().map(|name| context.join(name)).find(|path| path.exists());
            found.ok_or_else(|| {
                let text = format!("{}: no Containerfile or Dockerfile in it", context.display());
                Failure::new(Status::Source, text).help("name one with -f")
            })?
        }
    };
    let bytes = read(&path, "the Dockerfile").map_err(|failure| Failure { status: Status::Source, ..failure })?;
    Ok((path, bytes))
}

/// The patterns of the ignore file of a context, if it has one.
pub(crate) fn ignore_patterns(
    context: &Path,
    dockerfile: &Path,
    ignore: Option<&Path>,
) -> Result<Option<Patterns>, Failure> {
    let beside = |name: &&str| {
        let mut longer = dockerfile.as_os_str().to_owned();
        longer.push(name);
        PathBuf::from(longer)
    };
    let candidates: Vec<PathBuf> = match ignore {
        Some(file) => vec![file.to_owned()],
        None => IGNORE_FILES.iter().map(beside).chain(IGNORE_FILES.iter().map(|name| context.join(name))).collect(),
    };
    let Some(path) = candidates.iter().find(|path| path.exists() || ignore.is_some()) else { return Ok(None) };
    let text = String::from_utf8_lossy(&read(path, "the ignore file")?).into_owned();
    let patterns = Patterns::parse(&text);
    patterns.map(Some).map_err(|error| Failure::new(Status::Source, format!("{}: {error}", path.display())))
}

/// The build arguments `given`, of which the last one of a name counts.
pub(crate) fn build_args(given: &[String], environment: &Environment) -> BTreeMap<String, String> {
    let mut args = BTreeMap::new();
    given.iter().for_each(|text| add_build_arg(&mut args, text, environment));
    args
}

/// `NAME=VALUE`; without a value it is the environment's, and nothing where that has none.
pub(crate) fn add_build_arg(args: &mut BTreeMap<String, String>, text: &str, environment: &Environment) {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (text, environment.value(text)),
    };
    match value {
        Some(value) => args.insert(name.to_owned(), value.to_owned()),
        None => args.remove(name),
    };
}

/// `NAME=VALUE` of `--label` and `--annotation`.
pub(crate) fn pairs(texts: &[String]) -> Vec<(String, String)> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    texts.iter().map(pair).collect()
}

/// `--add-repo FILE|URL`: read and checked, so that a mistake shows here and not in a step.
pub(crate) fn repository(text: &str, http: &http::Client) -> Result<RepositoryFile, Failure> {
    let (name, content, shown) = if text.contains("://") {
        let fetched = pipeline::fetch_repository_file(text, http);
        let (name, content) = fetched.map_err(|error| failure::of_plugin(&error, None))?;
        (name, content, pipeline::shown_url(text))
    } else {
        let path = Path::new(text);
        let name = path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or("added.repo");
        (name.to_owned(), read(path, "the repository file")?, text.to_owned())
    };
    RepoFile::parse(&shown, &content).map_err(|error| Failure::of(Status::Usage, &error))?;
    let name = if name.ends_with(".repo") { name } else { format!("{name}.repo") };
    Ok(RepositoryFile { name, content, seen_in: SeenIn::EveryStage })
}

/// The tree as the build gets it.
pub(crate) fn tree(tree: Tree) -> Context {
    Context::Tree(Arc::new(tree))
}
