//! Files a user names, read before anything is done.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::build::{Context, NamedContext, RepositoryFile};
use dockerfile::Dockerfile;
use dockerfile::ignore::Patterns;
use rpm::repofile::RepoFile;
use source::{DOCKERFILES, Tree};
use transport::Location;

use crate::diagnostic;
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
    match dockerfile::parse_bytes(&bytes) {
        Ok(dockerfile) => Ok(Parsed { path, dockerfile }),
        Err(error) => {
            let text = String::from_utf8_lossy(&bytes);
            Err(diagnostic::failure(Status::Source, &error.diagnostic(), &path.display().to_string(), &text))
        }
    }
}

/// The context's tree without what its ignore file leaves out.
pub(crate) fn context(directory: &Path, dockerfile: &Path, ignore: Option<&Path>) -> Result<Tree, Failure> {
    let root = store::open_directory(directory).map_err(|error| {
        Failure::new(Status::Source, format!("{}: the build context cannot be opened: {error}", directory.display()))
    })?;
    if !directory.is_dir() {
        return Err(Failure::new(
            Status::Source,
            format!("{}: the build context is not a directory", directory.display()),
        ));
    }
    let candidates = match ignore {
        Some(file) => vec![file.to_owned()],
        None => source::ignore_candidates(directory, dockerfile),
    };
    let mut text = String::new();
    let found = candidates.iter().find(|path| path.exists());
    if let Some(path) = found {
        text = String::from_utf8_lossy(&read(path, "the ignore file")?).into_owned();
    }
    // Where there is no other place the store is in the current directory, which is often the context.
    text.push_str("\n.stratum\n");
    let patterns = Patterns::parse(&text).map_err(|error| {
        let path = found.map_or(directory, PathBuf::as_path);
        Failure::new(Status::Source, format!("{}: {error}", path.display()))
    })?;
    Ok(Tree::new(root, directory, Some(patterns)))
}

/// `--build-context NAME=VALUE`.
pub(crate) fn named_context(text: &str) -> Result<(String, NamedContext), Failure> {
    let usage = |why: &str| Failure::new(Status::Usage, format!("--build-context {text}: {why}"));
    let (name, value) = text.split_once('=').ok_or_else(|| usage("expected NAME=DIRECTORY or NAME=IMAGE"))?;
    let image = value.strip_prefix("docker-image://").or_else(|| value.strip_prefix("container-image://"));
    let is_location = ["docker://", "oci:", "oci-layout:", "store:"].iter().any(|prefix| value.starts_with(prefix));
    let context = match image {
        Some(image) => NamedContext::Image(
            image.parse::<oci::Reference>().map(Location::Registry).map_err(|e| usage(&e.to_string()))?,
        ),
        None if is_location => {
            NamedContext::Image(value.parse().map_err(|e: transport::LocationError| usage(&e.to_string()))?)
        }
        None if value.contains("://") => return Err(usage("URLs are not supported as contexts yet")),
        None => NamedContext::Tree(Arc::new(self::context(Path::new(value), Path::new("Dockerfile"), None)?)),
    };
    Ok((name.to_owned(), context))
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
    Ok(RepositoryFile { name, content })
}

/// The tree as the build gets it.
pub(crate) fn tree(tree: Tree) -> Context {
    Context::Tree(Arc::new(tree))
}
