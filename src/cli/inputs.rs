//! Files a user names, read before anything is done.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use ::build::{Context, RepositoryFile};
use rpm::repofile::RepoFile;
use source::Tree;

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
