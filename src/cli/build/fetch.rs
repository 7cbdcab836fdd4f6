//! SOURCE: what it means, and getting it.

use std::fs::File;
use std::path::{Path, PathBuf};

use pipeline::SourceFact;
use source::git::{Checkout, GitUrl};

use super::bring::{Bring, Came, STDIN, shown};
use super::inline::{IN_BUILD, Inline};
use crate::failure::{Failure, Status};

/// A source that is a directory by now.
pub(super) struct Fetched {
    pub(super) directory: PathBuf,
    /// What to call it.
    pub(super) shown: String,
    pub(super) fact: SourceFact,
    /// Whether this build made the directory: it may write there, and follows no link out of it.
    pub(super) is_ours: bool,
    /// The time of its commit, or of the Dockerfile that is all of it.
    pub(super) time: Option<Time>,
    /// The Dockerfile, where that was named instead of a context.
    pub(super) dockerfile: Option<Given>,
}

/// When a source is from, in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// It is a commit: all its files count as that old.
    Commit(u64),
    /// It was changed last then.
    Changed(u64),
}

/// A Dockerfile that is the source.
pub(super) enum Given {
    /// It came from elsewhere.
    Text(Vec<u8>),
    /// It is this file.
    File(PathBuf),
}

/// What a text in place of a directory means.
#[derive(Debug)]
pub(super) enum Meaning {
    /// `-`.
    Stdin,
    /// A directory, or nothing that is there.
    Directory(PathBuf),
    /// Anything else that is there.
    File(PathBuf),
    Git(GitUrl),
    /// An http or https URL.
    Web(String),
}

impl Meaning {
    /// What is there wins over what looks like a URL: git has forms that are names of directories, too.
    pub(super) fn of(text: &str) -> Result<Self, Failure> {
        let path = Path::new(text);
        match path.metadata() {
            _ if text == "-" => return Ok(Self::Stdin),
            Ok(metadata) if metadata.is_dir() => return Ok(Self::Directory(path.to_owned())),
            Ok(_) => return Ok(Self::File(path.to_owned())),
            Err(_) => {}
        }
        match GitUrl::recognise(text) {
            Some(Ok(url)) => Ok(Self::Git(url)),
            Some(Err(error)) => Err(Failure::of(Status::Usage, &error)),
            None if is_web(text) => Ok(Self::Web(text.to_owned())),
            None => Ok(Self::Directory(path.to_owned())),
        }
    }
}

/// Whether this is an http or https URL.
pub(super) fn is_web(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("http" | "https"))
}

/// Gets what SOURCE names, and the folder of it that is the build context. A commit is one of `branch`, if that is given.
pub(super) fn fetch(
    bring: &Bring<'_>,
    source: &str,
    (inline, branch): (&Inline, Option<&str>),
) -> Result<Fetched, Failure> {
    match &inline.dockerfile {
        Some(text) if source == IN_BUILD => came(bring, Came::Text(text.as_bytes().to_vec()), IN_BUILD, None),
        Some(_) | None => inline.below(named(bring, source, branch)?),
    }
}

fn named(bring: &Bring<'_>, source: &str, branch: Option<&str>) -> Result<Fetched, Failure> {
    match Meaning::of(source)? {
        Meaning::Directory(path) => Ok(own(path)),
        Meaning::Git(url) => bring.git(&url, branch).map(clone),
        Meaning::Stdin => came(bring, bring.stdin()?, STDIN, None),
        Meaning::Web(url) => {
            let (what, modified) = bring.web(&url)?;
            came(bring, what, &shown(&url), modified)
        }
        Meaning::File(path) => file(bring, &path),
    }
}

/// A directory of the user's. A clone of theirs has a commit too, but may differ from it.
fn own(directory: PathBuf) -> Fetched {
    let shown = directory.display().to_string();
    let fact = SourceFact::default();
    Fetched { directory, shown, fact, is_ours: false, time: None, dockerfile: None }
}

fn clone(checkout: Checkout) -> Fetched {
    let fact = SourceFact {
        uri: Some(checkout.repository.clone()),
        commit: Some(checkout.commit.clone()),
        reference: checkout.reference.clone(),
        package: package(&checkout.repository),
    };
    Fetched {
        directory: checkout.directory,
        shown: checkout.repository,
        fact,
        is_ours: true,
        time: Some(Time::Commit(checkout.time)),
        dockerfile: None,
    }
}

/// A stream of bytes was the context, or else it is the Dockerfile and there are no files.
fn came(bring: &Bring<'_>, came: Came, shown: &str, modified: Option<i64>) -> Result<Fetched, Failure> {
    let (directory, dockerfile) = match came {
        Came::Context(directory) => (directory, None),
        Came::Text(text) => {
            check_text(&text, shown)?;
            (bring.folder()?, Some(Given::Text(text)))
        }
    };
    let modified = modified.and_then(|seconds| u64::try_from(seconds).ok()).filter(|_| dockerfile.is_some());
    let (shown, time) = (shown.to_owned(), modified.map(Time::Changed));
    Ok(Fetched { directory, shown, fact: SourceFact::default(), is_ours: true, time, dockerfile })
}

/// What nobody means as a Dockerfile is said to be none, before a parser wonders about its first line.
fn check_text(text: &[u8], shown: &str) -> Result<(), Failure> {
    let start = text.get(..512.min(text.len())).unwrap_or_default();
    let lower = start.trim_ascii_start().to_ascii_lowercase();
    let is_page = [b"<!doctype".as_slice(), b"<html", b"<?xml"].iter().any(|tag| lower.starts_with(tag));
    let what = match () {
        () if is_page => "a web page",
        () if text.contains(&0) => "binary data",
        () if text.is_empty() => "empty",
        () => return Ok(()),
    };
    let text = format!("{shown}: it is {what}, neither a tar nor a Dockerfile");
    Err(Failure::new(Status::Source, text).help("a build context is a directory, a git URL or a tar"))
}

/// A file of the user's: a tar is the context; any other is the Dockerfile, in its directory, as for buildah.
fn file(bring: &Bring<'_>, path: &Path) -> Result<Fetched, Failure> {
    let shown = path.display().to_string();
    let unreadable = |error: std::io::Error| bring.unreadable(&shown, &error);
    let is_regular = path.metadata().map_err(unreadable)?.is_file();
    let dockerfile = match bring.look(File::open(path).map_err(unreadable)?, &shown)? {
        Came::Text(text) if is_regular => {
            check_text(&text, &shown)?;
            Given::File(path.to_owned())
        }
        other @ (Came::Context(_) | Came::Text(_)) => return came(bring, other, &shown, None),
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(Fetched { dockerfile: Some(dockerfile), ..own(parent.to_owned()) })
}

/// The last part of a repository's URL.
fn package(repository: &str) -> Option<String> {
    let last = repository.trim_end_matches('/').rsplit(['/', ':']).next()?;
    Some(last.strip_suffix(".git").unwrap_or(last).to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_called_like_its_repository() {
        assert_eq!(package("https://src.example/rpms/webd.git").as_deref(), Some("webd"));
        assert_eq!(package("git@src.example:webd/").as_deref(), Some("webd"));
        assert_eq!(package("/"), None);
    }

    #[track_caller]
    fn check(text: &str, meaning: &str) {
        let found = match Meaning::of(text).unwrap() {
            Meaning::Stdin => "stdin",
            Meaning::Directory(_) => "directory",
            Meaning::File(_) => "file",
            Meaning::Git(_) => "git",
            Meaning::Web(_) => "web",
        };
        assert_eq!(found, meaning, "{text}");
    }

    #[test]
    fn a_source_is_what_docker_and_buildah_take_it_for() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("context.tar");
        std::fs::write(&file, "").unwrap();
        check("-", "stdin");
        check(directory.path().to_str().unwrap(), "directory");
        check(file.to_str().unwrap(), "file");
        check("nothing/there", "directory");
        for url in ["http://a.example/x.tar.gz", "HTTPS://a.example/Dockerfile", "https://a.example/x.tar?git=.git"] {
            check(url, "web");
        }
        for url in [
            "https://a.example/x.git",
            "https://a.example/x.git#branch:folder",
            "https://a.example/x.git?ref=v1",
            "git://a.example/x",
            "git@a.example:x",
            "ssh://git@a.example/x",
            "github.com/a/b",
            "github.com/a/b#v1:folder",
        ] {
            check(url, "git");
        }
        assert!(Meaning::of("https://a.example/x.git#--upload-pack=x").is_err());
    }

    #[test]
    fn what_is_no_dockerfile_is_said_to_be_none() {
        check_text(b"# syntax=x\nFROM scratch\n", "x").unwrap();
        for (text, what) in [(&b" \n<!DOCTYPE html>"[..], "a web page"), (b"a\0b", "binary data"), (b"", "empty")] {
            let failure = check_text(text, "https://a.example/x").unwrap_err();
            let expected = format!("https://a.example/x: it is {what}, neither a tar nor a Dockerfile");
            assert_eq!((failure.text, failure.status), (expected, Status::Source));
        }
    }
}
