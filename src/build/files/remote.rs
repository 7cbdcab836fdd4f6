//! Sources that are elsewhere: URLs and git repositories.
//!
//! Everything that comes in is told by an event with its digest. Where the network of steps is the gateway's, only
//! hosts that steps may reach are asked, redirects included.

use std::fmt::{self, Display, Formatter};
use std::fs::{File, Permissions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use http::Url;
use oci::Digest;
use source::Tree;
use source::archive;
use source::git::{Checkout, GitOptions, GitUrl, check_out};

use super::Writer;
use super::fetched::Folder;
use super::local::without;
use crate::copy::{CopyRequest, Digests, Item, Mtime, Names, Place, Shape};
use crate::owner::Ids;
use crate::{Event, InstructionError};

/// Bytes of the largest file that is downloaded.
const MAX_DOWNLOAD: u64 = 16 << 30;
/// The mode of a file from a URL (buildah, docker).
const MODE: u32 = 0o600;
/// What a download without a name is called until it has one.
const UNNAMED: &str = "content";

/// Where a source is.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// In a tree.
    Path(String),
    /// On a web server.
    Url(Url),
    /// In a git repository.
    Git(GitUrl),
}

impl Source {
    /// What kind of source a text is, as BuildKit tells: `http` and `https` are git where the path ends in `.git`.
    pub(super) fn of(text: &str) -> Result<Self, InstructionError> {
        let Some((scheme, _)) = text.split_once("://") else {
            return match GitUrl::recognise(text).filter(|_| text.starts_with("git@")) {
                None => Ok(Self::Path(text.to_owned())),
                Some(url) => Ok(Self::Git(url?)),
            };
        };
        let is_http = matches!(scheme, "http" | "https");
        let is_git = text.split('#').next().is_some_and(|address| address.ends_with(".git"));
        match (scheme, is_http && !is_git) {
            (_, true) => {
                let url = Url::parse(text).ok().filter(Url::has_host);
                url.map(Self::Url).ok_or_else(|| invalid("a source is not a URL: expected https://host/path"))
            }
            ("http" | "https" | "ssh" | "git", false) => match GitUrl::recognise(text) {
                Some(url) => Ok(Self::Git(url?)),
                None => Ok(Self::Path(text.to_owned())),
            },
            // A file:// URL would read what is not in the context.
            _ => {
                let shown: String = scheme.chars().take(32).collect();
                Err(invalid(&format!("a source has the scheme {shown}://; expected https, http, ssh or git")))
            }
        }
    }

    /// The host and port that are asked.
    fn server(&self) -> Option<(String, u16)> {
        match self {
            Self::Path(_) => None,
            Self::Url(url) => Some((url.host_str()?.to_owned(), url.port_or_known_default()?)),
            Self::Git(url) => match Url::parse(url.repository()) {
                Ok(url) if url.has_host() => {
                    let usual = if url.scheme() == "git" { 9418 } else { 22 };
                    Some((url.host_str()?.to_owned(), url.port_or_known_default().unwrap_or(usual)))
                }
                Ok(_) | Err(_) => {
                    let (before, _) = url.repository().split_once(':')?;
                    Some((before.rsplit('@').next()?.to_owned(), 22))
                }
            },
        }
    }
}

impl Display for Source {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => formatter.write_str(path),
            Self::Url(url) => formatter.write_str(&http::shown(url)),
            Self::Git(url) => url.fmt(formatter),
        }
    }
}

/// The value of `--checksum`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    /// Of a file's bytes.
    File(Digest),
    /// The beginning of a commit's id, or all of it.
    Commit(String),
}

impl Checksum {
    /// Reads the value for the only source there may be beside it.
    pub(super) fn parse(text: &str, sources: &[Source]) -> Result<Self, InstructionError> {
        match sources {
            [Source::Url(_)] => {
                let digest = text.parse::<Digest>().ok().filter(|digest| digest.to_string().starts_with("sha256:"));
                digest.map(Self::File).ok_or_else(|| {
                    invalid(&format!("--checksum={text}: expected sha256: and 64 hexadecimal digits in lower case"))
                })
            }
            [Source::Git(_)] if !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
                Ok(Self::Commit(text.to_ascii_lowercase()))
            }
            [Source::Git(_)] => Err(invalid(&format!("--checksum={text}: expected the commit of the repository"))),
            _ => Err(invalid("--checksum is for a single source that is a URL or a git repository")),
        }
    }
}

impl Writer<'_, '_, '_, '_, '_> {
    /// Copies the file at a URL: 0600, owned by root and as old as the server says unless flags say otherwise.
    pub(super) fn url(&mut self, url: &Url) -> Result<(), InstructionError> {
        self.check_reach(&Source::Url(url.clone()))?;
        let name = file_name(url);
        let folder = Folder::new(&self.around.workshop, "url")?;
        let path = folder.path().join(name.as_deref().unwrap_or(UNNAMED));
        let mut file = self.download(url, &folder, &path)?;
        let request = self.remote_request(Mtime::Kept);
        if self.asked.unpack.remote && self.is_archive(&folder, &mut file)? {
            let place = self.place(&request, Shape::Directory)?;
            return self.unpack(file, &http::shown(url), &place);
        }
        let place = self.place(&request, Shape::File)?;
        if name.is_none() && matches!(place, Place::Inside(_)) {
            let shown = http::shown(url);
            return Err(invalid(&format!("{shown}: the URL names no file; give the file a name in the destination")));
        }
        let tree = folder.tree()?;
        let item = Item::walk(&tree, Path::new(path.file_name().unwrap_or_default()))?;
        self.copy(&tree, &[item], &place, &request)
    }

    fn download(&self, url: &Url, folder: &Folder, path: &Path) -> Result<File, InstructionError> {
        let failed = |source| folder.failed("keep a download", source);
        let mut file = File::options().read(true).write(true).create_new(true).open(path).map_err(failed)?;
        let checksum = match &self.asked.checksum {
            Some(Checksum::File(digest)) => Some(digest),
            Some(Checksum::Commit(_)) | None => None,
        };
        let workshop = &self.around.workshop;
        let client = match workshop.gateway.filter(|_| !self.is_the_site_s(url)) {
            Some(gateway) => &workshop.http.clone().judged_by(gateway.judge()),
            None => workshop.http,
        };
        let got = source::download::fetch(client, url.as_str(), &mut file, MAX_DOWNLOAD, checksum)
            .map_err(|error| InstructionError::Download(Box::new(error)))?;
        let digest = got.digest.to_string();
        (workshop.observer)(Event::Fetched { what: &http::shown(url), digest: &digest, bytes: got.bytes });
        file.set_permissions(Permissions::from_mode(MODE)).map_err(failed)?;
        let seconds = u64::try_from(got.modified.unwrap_or_default()).unwrap_or_default();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(file)
    }

    fn is_archive(&self, folder: &Folder, file: &mut File) -> Result<bool, InstructionError> {
        let failed = |source| folder.failed("read a download", source);
        let is_archive = archive::is_archive(&mut *file).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        Ok(is_archive)
    }

    /// Copies what is in a repository, all of it as old as the commit.
    pub(super) fn git(&mut self, url: &GitUrl) -> Result<(), InstructionError> {
        self.check_reach(&Source::Git(url.clone()))?;
        let folder = Folder::new(&self.around.workshop, "git")?;
        let checkout = self.check_out(url, &folder)?;
        let tree = checkout_tree(&checkout, &folder)?;
        let entries = without(tree.walk(Path::new(""))?, &self.exclude);
        let time = i64::try_from(checkout.time).unwrap_or(i64::MAX);
        let request = self.remote_request(Mtime::Exactly(time));
        let place = self.place(&request, Shape::Directory)?;
        self.copy(&tree, &[Item { entries, names: Names::Below }], &place, &request)
    }

    fn check_out(&self, url: &GitUrl, folder: &Folder) -> Result<Checkout, InstructionError> {
        let workshop = &self.around.workshop;
        let cancelled = || workshop.cancel.is_set();
        let options = GitOptions {
            environment: workshop.git_environment.to_vec(),
            cancelled: &cancelled,
            deadline: None,
            // They may be anywhere, so a gateway's rules cannot be held.
            with_submodules: workshop.gateway.is_none(),
            keeps_git_directory: self.asked.keep_git_dir,
            branch: None,
        };
        let checkout = check_out(url, &folder.shown().join("source"), &options)
            .map_err(|error| InstructionError::Git(Box::new(error)))?;
        let (shown, commit) = (url.to_string(), checkout.commit.as_str());
        if let Some(Checksum::Commit(wanted)) = &self.asked.checksum
            && !commit.starts_with(wanted.as_str())
        {
            return Err(invalid(&format!("{shown}: the commit is {commit}, but --checksum asks for {wanted}")));
        }
        if !options.with_submodules && checkout.work_tree.join(".gitmodules").symlink_metadata().is_ok() {
            return Err(invalid(&format!("{shown}: has submodules, which are not fetched where steps use a gateway")));
        }
        let algorithm = if commit.len() == 40 { "sha1" } else { "sha256" };
        let digest = format!("{algorithm}:{commit}");
        (workshop.observer)(Event::Fetched { what: &shown, digest: &digest, bytes: 0 });
        Ok(checkout)
    }

    /// Refuses servers that steps may not reach either.
    fn check_reach(&self, source: &Source) -> Result<(), InstructionError> {
        let (Some(gateway), Some((host, port))) = (self.around.workshop.gateway, source.server()) else {
            return Ok(());
        };
        if matches!(source, Source::Url(url) if self.is_the_site_s(url)) {
            return Ok(());
        }
        gateway.allows(&host, port).map_err(|why| InstructionError::OutOfReach { url: source.to_string(), why })
    }

    /// Whether this is fetched for the site, not for whoever wrote the Dockerfile.
    fn is_the_site_s(&self, url: &Url) -> bool {
        let reached = &self.around.workshop.request.step_inputs.reached;
        // Compared as URLs: a port that is the usual one may be said or not.
        reached.iter().any(|one| Url::parse(one).is_ok_and(|one| one == *url))
    }

    fn remote_request(&self, mtime: Mtime) -> CopyRequest {
        CopyRequest {
            owner: Some(self.request.owner.unwrap_or(Ids::ROOT)),
            mtime,
            digests: Digests::Unwanted,
            ..self.request.clone()
        }
    }
}

fn checkout_tree(checkout: &Checkout, folder: &Folder) -> Result<Tree, InstructionError> {
    let directory = store::open_directory(&checkout.directory);
    let directory = directory.map_err(|source| folder.failed("open the repository's files", source))?;
    Ok(Tree::new(directory, Path::new(&checkout.repository), None))
}

/// The last part of a URL's path, as a file can be called.
fn file_name(url: &Url) -> Option<String> {
    let last = url.path_segments()?.rfind(|part| !part.is_empty())?;
    let name = decoded(last);
    let is_name = !matches!(name.as_str(), "" | "." | "..") && name.len() <= 255;
    (is_name && !name.contains(['/', '\0'])).then_some(name)
}

/// Percent-decodes (RFC 3986, section 2.1); what does not decode to text stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        let digits = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *byte == b'%');
        bytes.push(code.unwrap_or(*byte));
        rest = if code.is_some() { tail.get(2..).unwrap_or_default() } else { tail };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

fn invalid(what: &str) -> InstructionError {
    InstructionError::Invalid { what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, kind: &str, server: Option<(&str, u16)>) {
        let source = Source::of(text).unwrap();
        let is_kind = match &source {
            Source::Path(_) => kind == "path",
            Source::Url(_) => kind == "url",
            Source::Git(_) => kind == "git",
        };
        assert!(is_kind, "{text} is {source:?}");
        assert_eq!(source.server(), server.map(|(host, port)| (host.to_owned(), port)), "{text}");
    }

    #[test]
    fn sources_are_told_apart_as_buildkit_does() {
        check("a/b.git", "path", None);
        check("github.com/a/b", "path", None);
        check("user@host:a/b", "path", None);
        check("https://a.example/b.tar.gz", "url", Some(("a.example", 443)));
        check("http://a.example:8080/b#c", "url", Some(("a.example", 8080)));
        check("https://a.example/b.git", "git", Some(("a.example", 443)));
        check("https://a.example/b.git#v1:docs", "git", Some(("a.example", 443)));
        check("git@a.example:b/c", "git", Some(("a.example", 22)));
        check("ssh://git@a.example:2222/b.git", "git", Some(("a.example", 2222)));
        check("ssh://git@a.example/b", "git", Some(("a.example", 22)));
        check("git://a.example/b", "git", Some(("a.example", 9418)));
    }

    #[test]
    fn files_of_the_builder_are_no_source() {
        for text in ["file:///etc/passwd", "ftp://a.example/b", "https://"] {
            assert!(matches!(Source::of(text), Err(InstructionError::Invalid { .. })), "{text}");
        }
    }

    #[test]
    fn a_checksum_is_of_one_file_or_commit() {
        let url = [Source::of("https://a.example/b").unwrap()];
        let git = [Source::of("https://a.example/b.git").unwrap()];
        let digest = format!("sha256:{}", "0".repeat(64));
        assert_eq!(Checksum::parse(&digest, &url).unwrap(), Checksum::File(digest.parse().unwrap()));
        assert_eq!(Checksum::parse("be1F38e", &git).unwrap(), Checksum::Commit("be1f38e".to_owned()));
        let long = format!("sha512:{}", "0".repeat(128));
        for (text, sources) in [("be1f38e", &url[..]), (&long, &url), (&digest, &git), ("", &git), (&digest, &[])] {
            assert!(Checksum::parse(text, sources).is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_is_called_like_the_end_of_its_url() {
        for (url, name) in [
            ("https://a.example/b/c.tar?x=y#z", Some("c.tar")),
            ("https://a.example/b/", Some("b")),
            ("https://a.example/a%20b%zz", Some("a b%zz")),
            ("https://a.example/%2e%2e", None),
            ("https://a.example/a%2fb", None),
            ("https://a.example/", None),
            ("https://a.example", None),
        ] {
            assert_eq!(file_name(&Url::parse(url).unwrap()).as_deref(), name, "{url}");
        }
    }
}
