//! The files of a build: reading single ones, what the ignore file leaves out, and named contexts.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::build::NamedContext;
use dockerfile::ignore::Patterns;
use source::git::Checkout;
use source::{IGNORE_FILES, Tree, TreeError};
use transport::Location;

use super::bring::{Bring, Came, shown};
use super::fetch::{Fetched, Meaning};
use crate::failure::{Failure, Status};
use crate::inputs;

/// A directory whose files are read by name.
pub(super) struct Files<'a> {
    pub(super) directory: &'a Path,
    /// What it is called in messages.
    pub(super) shown: &'a str,
    /// Whether symbolic links are followed out of it: in a directory of the user's they are, as they always were; in
    /// one that came from elsewhere they would lead to files of this machine.
    pub(super) is_ours: bool,
}

/// Where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Somewhere on this machine.
    Here(PathBuf),
    /// In the context.
    Inside(PathBuf),
}

impl Place {
    /// The file beside it whose name is longer by `suffix`.
    fn beside(&self, suffix: &str) -> Self {
        let longer = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        match self {
            Self::Here(path) => Self::Here(longer(path)),
            Self::Inside(path) => Self::Inside(longer(path)),
        }
    }
}

impl<'a> Files<'a> {
    pub(super) fn of(fetched: &'a Fetched) -> Self {
        Self { directory: &fetched.directory, shown: &fetched.shown, is_ours: fetched.is_ours }
    }

    /// What a file holds, at most `limit` bytes and one; `None` if it is not there.
    pub(super) fn read(&self, place: &Place, what: &str, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        let bytes = match place {
            Place::Here(path) => inputs::read_if_there(path, what),
            Place::Inside(path) if !self.is_ours => inputs::read_if_there(&self.directory.join(path), what),
            Place::Inside(path) => self.read_inside(path, what, limit),
        };
        bytes.map_err(|failure| Failure { status: Status::Source, ..failure })
    }

    fn read_inside(&self, path: &Path, what: &str, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        let failed = |error: &dyn std::error::Error| {
            let text = format!("{}: {what} in {} cannot be read: {error}", path.display(), self.shown);
            Failure::new(Status::Source, text)
        };
        let file = match self.tree(None)?.open(path) {
            Ok(file) => file,
            Err(TreeError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        Ok(Some(bytes))
    }

    /// What a file is called in messages.
    pub(super) fn name(&self, place: &Place) -> String {
        match place {
            Place::Inside(path) if !self.is_ours => self.directory.join(path).display().to_string(),
            Place::Here(path) | Place::Inside(path) => path.display().to_string(),
        }
    }

    fn tree(&self, patterns: Option<Patterns>) -> Result<Tree, Failure> {
        let failed = |why: &str| Failure::new(Status::Source, format!("{}: the build context {why}", self.shown));
        let root =
            store::open_directory(self.directory).map_err(|error| failed(&format!("cannot be opened: {error}")))?;
        if !self.directory.is_dir() {
            return Err(failed("is not a directory"));
        }
        Ok(Tree::new(root, Path::new(self.shown), patterns))
    }

    /// The tree without what its ignore file leaves out: `ignore`, else the first there is beside `dockerfiles`, else
    /// the context's own.
    pub(super) fn without_ignored(&self, dockerfiles: &[Place], ignore: Option<&Path>) -> Result<Tree, Failure> {
        let (name, mut text) = self.ignore_file(dockerfiles, ignore)?;
        if !self.is_ours {
            // Where there is no other place the store is in the current directory, which is often the context.
            text.push_str("\n.stratum\n");
        }
        let patterns = Patterns::parse(&text);
        let patterns = patterns.map_err(|error| Failure::new(Status::Source, format!("{name}: {error}")))?;
        self.tree(Some(patterns))
    }

    /// The ignore file's name and text.
    fn ignore_file(&self, dockerfiles: &[Place], ignore: Option<&Path>) -> Result<(String, String), Failure> {
        const WHAT: &str = "the ignore file";
        if let Some(path) = ignore {
            let text = inputs::read(path, WHAT)?;
            return Ok((path.display().to_string(), String::from_utf8_lossy(&text).into_owned()));
        }
        for place in ignore_candidates(dockerfiles) {
            if let Some(text) = self.read(&place, WHAT, dockerfile::ignore::MAX_FILE_BYTES)? {
                return Ok((self.name(&place), String::from_utf8_lossy(&text).into_owned()));
            }
        }
        Ok((self.shown.to_owned(), String::new()))
    }
}

/// Where ignore files are looked for, most specific first: beside the Dockerfiles, then in the context.
fn ignore_candidates(dockerfiles: &[Place]) -> Vec<Place> {
    let beside = dockerfiles.iter().flat_map(|place| IGNORE_FILES.iter().map(|name| place.beside(name)));
    beside.chain(IGNORE_FILES.iter().map(|name| Place::Inside(PathBuf::from(name)))).collect()
}

/// All `--build-context NAME=VALUE`.
pub(super) fn named(bring: &Bring<'_>, texts: &[String]) -> Result<BTreeMap<String, NamedContext>, Failure> {
    texts.iter().map(|text| named_one(bring, text)).collect()
}

fn named_one(bring: &Bring<'_>, text: &str) -> Result<(String, NamedContext), Failure> {
    let usage = |why: &str| Failure::new(Status::Usage, format!("--build-context {}: {why}", masked(text)));
    let (name, value) = text.split_once('=').ok_or_else(|| usage("expected NAME=DIRECTORY, NAME=IMAGE or NAME=URL"))?;
    if name.is_empty() || value.is_empty() {
        return Err(usage("the name or what it stands for is missing"));
    }
    let image = value.strip_prefix("docker-image://").or_else(|| value.strip_prefix("container-image://"));
    let is_location = Location::is_named_by(value);
    let context = match image {
        Some(image) => NamedContext::Image(
            image.parse::<oci::Reference>().map(Location::Registry).map_err(|e| usage(&e.to_string()))?,
        ),
        None if is_location => {
            NamedContext::Image(value.parse().map_err(|e: transport::LocationError| usage(&e.to_string()))?)
        }
        None => NamedContext::Tree(Arc::new(tree_of(bring, name, value)?)),
    };
    Ok((name.to_owned(), context))
}

/// A named context that is files.
fn tree_of(bring: &Bring<'_>, name: &str, value: &str) -> Result<Tree, Failure> {
    let usage = |why: &str| Failure::new(Status::Usage, format!("--build-context {name}={}: {why}", masked(value)));
    let (directory, shown, is_ours) = match Meaning::of(value)? {
        Meaning::Directory(_) if value.contains("://") => {
            return Err(usage(
                "there is no such transport; there are docker-image://, oci-layout://, git and http URLs",
            ));
        }
        Meaning::Directory(path) => (path, value.to_owned(), false),
        Meaning::Git(url) => {
            let Checkout { directory, repository, .. } = bring.git(&url, None)?;
            (directory, repository, true)
        }
        Meaning::Web(url) => (unpacked(bring.web(&url)?.0, &shown(&url))?, shown(&url), true),
        Meaning::File(path) => {
            let file = std::fs::File::open(&path).map_err(|error| bring.unreadable(value, &error))?;
            (unpacked(bring.look(file, value)?, value)?, value.to_owned(), true)
        }
        Meaning::Stdin => return Err(usage("only the source and -f can be standard input")),
    };
    Files { directory: &directory, shown: &shown, is_ours }.without_ignored(&[], None)
}

fn unpacked(came: Came, shown: &str) -> Result<PathBuf, Failure> {
    match came {
        Came::Context(directory) => Ok(directory),
        Came::Text(_) => Err(Failure::new(Status::Source, format!("{shown}: it is not a tar"))
            .help("a named context is a directory, an image, a git URL or a tar")),
    }
}

/// A value without the user and password of a URL in it.
fn masked(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(a, path)| (a, format!("/{path}")));
    match authority.rsplit_once('@') {
        // What is before the @ of an image's digest is no password, and has no path behind it.
        Some((_, host)) if !host.starts_with("sha256:") && !host.starts_with("sha512:") => {
            format!("{scheme}://***@{host}{path}")
        }
        Some(_) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_ignore_file_comes_first() {
        let places = [Place::Here("a/Dockerfile.prod".into()), Place::Inside("b".into())];
        let expected = [
            Place::Here("a/Dockerfile.prod.containerignore".into()),
            Place::Here("a/Dockerfile.prod.dockerignore".into()),
            Place::Inside("b.containerignore".into()),
            Place::Inside("b.dockerignore".into()),
            Place::Inside(".containerignore".into()),
            Place::Inside(".dockerignore".into()),
        ];
        assert_eq!(ignore_candidates(&places), expected);
    }

    #[test]
    fn nothing_outside_a_directory_of_ours_is_read() {
        let world = tempfile::tempdir().unwrap();
        let directory = world.path().join("context");
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(world.path().join("secret"), "secret").unwrap();
        std::os::unix::fs::symlink("../secret", directory.join("Dockerfile")).unwrap();
        let read = |is_ours| {
            let files = Files { directory: &directory, shown: "x", is_ours };
            files.read(&Place::Inside("Dockerfile".into()), "the Dockerfile", 100).unwrap()
        };
        assert_eq!((read(true), read(false)), (None, Some(b"secret".to_vec())));
    }

    #[test]
    fn passwords_in_urls_are_not_shown() {
        assert_eq!(masked("x=https://u:p@host/a@b"), "x=https://***@host/a@b");
        assert_eq!(masked("x=docker-image://a/b@sha256:00"), "x=docker-image://a/b@sha256:00");
        assert_eq!(masked("x=dir"), "x=dir");
    }
}
