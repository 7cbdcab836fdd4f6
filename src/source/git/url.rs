//! Which texts are git sources, and what they say.

mod query;

use std::fmt::{self, Display, Formatter};
use std::path::{Component, Path, PathBuf};

use http::{Secret, Url};

use super::mask::mask;
use super::reference::{self, BadReference};

/// Bytes in the longest source taken for a URL.
const MAX_BYTES: usize = 8192;

/// A git repository, and which commit and folder of it: `REPOSITORY#REFERENCE:SUBDIRECTORY`.
///
/// `Display` and `Debug` never show credentials.
#[derive(Clone, Debug)]
pub struct GitUrl {
    repository: String,
    transport: Transport,
    credentials: Option<Credentials>,
    reference: Option<String>,
    subdirectory: Option<PathBuf>,
    /// Hex digits that the commit's id has to start with.
    commit: Option<String>,
}

/// How git reaches a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// Over a network.
    Network,
    /// `file://`.
    File,
}

/// What stood before the `@`, without percent-encoding.
#[derive(Clone, Debug)]
pub(super) struct Credentials {
    /// The user, which is a token as often as a name.
    pub(super) user: Secret,
    pub(super) password: Option<Secret>,
}

/// Why a text that looks like a git source is none.
#[derive(Debug, thiserror::Error)]
pub enum GitUrlError {
    /// The part before the `#`.
    #[error("{url}: not the address of a git repository: {why}")]
    Repository {
        /// The text, credentials masked.
        url: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The part between `#` and `:`.
    #[error("{url}: cannot take a commit from it")]
    Reference {
        /// The text, credentials masked.
        url: String,
        /// What is wrong.
        #[source]
        source: BadReference,
    },
    /// The part behind the `?`.
    #[error("{url}: cannot take a commit from its query: {why}")]
    Query {
        /// The text, credentials masked.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The part behind the `:`.
    #[error("{url}: `{subdirectory}` is not a folder in the repository: it leads out with `..`")]
    Subdirectory {
        /// The text, credentials masked.
        url: String,
        /// The folder.
        subdirectory: String,
    },
}

enum Form {
    /// `scheme://…`.
    Url,
    /// `file://…`.
    File,
    /// `user@host:path`, as ssh and scp write it.
    Scp,
    /// `github.com/…`, which docker understands.
    Github,
}

impl GitUrl {
    /// `None` for what is not a git source: a directory, an archive, standard input.
    ///
    /// Git sources are `git://…`, `ssh://…`, `file://…`, `user@host:path` and `github.com/…`; `http://…` and
    /// `https://…` when their path ends in `.git` or a `#` follows. `file://` counts always, because a directory to
    /// be used as it is has no scheme. A local directory may have a name of the scp or GitHub form: look for it first.
    ///
    /// Behind the `#` come the reference (nothing stands for the default branch) and, after a `:`, the folder. The
    /// same may stand in a query as BuildKit has it: `?branch=…`, `tag`, `ref`, `subdir` and, for the commit that the
    /// reference has to lead to, `commit` or `checksum`.
    #[must_use]
    pub fn recognise(text: &str) -> Option<Result<Self, GitUrlError>> {
        let (address, fragment) = text.split_once('#').map_or((text, None), |(start, end)| (start, Some(end)));
        let form = form(address, fragment.is_some())?;
        let (address, query) = match form {
            Form::Url | Form::Github | Form::Scp => address.split_once('?').unwrap_or((address, "")),
            Form::File => (address, ""),
        };
        let url = parse(&form, address).map_err(|why| GitUrlError::Repository { url: mask(address, &[]), why });
        let url = url.and_then(|url| fragment.map_or(Ok(url.clone()), |fragment| url.with_fragment(fragment)));
        Some(url.and_then(|url| query::add(url, query)))
    }

    /// The same repository at another reference, which replaces the one in the URL.
    ///
    /// # Errors
    /// [`GitUrlError::Reference`] for a text that git could take for something else.
    pub fn with_reference(mut self, text: &str) -> Result<Self, GitUrlError> {
        reference::check(text).map_err(|source| GitUrlError::Reference { url: self.repository.clone(), source })?;
        self.reference = Some(text.to_owned());
        Ok(self)
    }

    /// The same repository with this login, where it is reached over http or https and the URL has no login.
    #[must_use]
    pub fn with_login(mut self, user: &str, password: &str) -> Self {
        let is_web = ["http://", "https://"].iter().any(|scheme| self.repository.starts_with(scheme));
        if is_web && self.credentials.is_none() {
            self.credentials = Some(Credentials { user: Secret::new(user), password: Some(Secret::new(password)) });
        }
        self
    }

    /// Whether it holds a user and perhaps a password that are sent to the server.
    #[must_use]
    pub fn has_login(&self) -> bool {
        self.credentials.is_some()
    }

    /// The repository's address, without credentials.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The commit, tag, branch or `refs/…` asked for.
    #[must_use]
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// The folder asked for: relative, not empty, without `.` and `..`.
    #[must_use]
    pub fn subdirectory(&self) -> Option<&Path> {
        self.subdirectory.as_deref()
    }

    /// Whether the reference is a whole commit id, so that the source is the same tomorrow.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        matches!(reference::Wanted::of(self.reference()), reference::Wanted::Commit(_))
    }

    /// Hex digits that the id of the commit has to start with, apart from what the reference says.
    pub(super) fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    fn with_fragment(mut self, fragment: &str) -> Result<Self, GitUrlError> {
        let (reference, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
        if !reference.is_empty() {
            self = self.with_reference(reference)?;
        }
        self.with_subdirectory(folder)
    }

    fn with_subdirectory(mut self, folder: &str) -> Result<Self, GitUrlError> {
        self.subdirectory = subdirectory(folder).map_err(|()| GitUrlError::Subdirectory {
            url: self.repository.clone(),
            subdirectory: mask(folder, &[]),
        })?;
        Ok(self)
    }
}

impl Display for GitUrl {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.repository)?;
        if self.reference.is_some() || self.subdirectory.is_some() {
            write!(formatter, "#{}", self.reference.as_deref().unwrap_or_default())?;
        }
        match &self.subdirectory {
            Some(folder) => write!(formatter, ":{}", folder.display()),
            None => Ok(()),
        }
    }
}

fn form(address: &str, has_fragment: bool) -> Option<Form> {
    if let Some((scheme, rest)) = address.split_once("://") {
        let path = rest.split('?').next().unwrap_or_default().trim_end_matches('/');
        return match scheme.to_ascii_lowercase().as_str() {
            "git" | "ssh" => Some(Form::Url),
            "http" | "https" if has_fragment || path.ends_with(".git") => Some(Form::Url),
            "file" => Some(Form::File),
            _ => None,
        };
    }
    if address.starts_with("github.com/") {
        return Some(Form::Github);
    }
    let (user, host) = address.split_once(':')?.0.split_once('@')?;
    let is_name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let is_scp = !user.is_empty() && !user.starts_with('-') && is_name(user) && !host.is_empty() && is_name(host);
    is_scp.then_some(Form::Scp)
}

/// Only what the address is: the fragment comes later.
fn parse(form: &Form, address: &str) -> Result<GitUrl, &'static str> {
    if address.len() > MAX_BYTES {
        return Err("it is too long");
    }
    if address.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err("it holds a blank, a backslash or a control character");
    }
    let lower = address.to_ascii_lowercase();
    if ["%00", "%0a", "%0d"].iter().any(|code| lower.contains(code)) {
        return Err("it holds an encoded control character");
    }
    let plain = |repository: &str, transport| GitUrl {
        repository: repository.to_owned(),
        transport,
        credentials: None,
        reference: None,
        subdirectory: None,
        commit: None,
    };
    match form {
        Form::Url => parse_url(address),
        Form::Github => parse_url(&format!("https://{address}")),
        Form::File => match lower.strip_prefix("file://") {
            Some(path) if path.starts_with('/') => Ok(plain(address, Transport::File)),
            Some(_) | None => Err("an absolute path has to follow file://"),
        },
        Form::Scp => match address.split_once(':').zip(address.split_once('@')) {
            Some(((_, path), _)) if path.is_empty() || path.starts_with('-') => Err("its path is missing or an option"),
            Some((_, (_, host))) if host.starts_with('-') => Err("its host starts with a `-`"),
            _ => Ok(plain(address, Transport::Network)),
        },
    }
}

fn parse_url(address: &str) -> Result<GitUrl, &'static str> {
    let mut url = Url::parse(address).map_err(|_| "it is not a URL")?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it has no host")?;
    if host.starts_with('-') || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte)) {
        return Err("its host is not a name or an address");
    }
    if url.path().trim_matches('/').is_empty() {
        return Err("it has no path");
    }
    let user = url.username().to_owned();
    if user.starts_with('-') {
        return Err("its user starts with a `-`");
    }
    let credentials = credentials(&url)?;
    // Over ssh the user belongs to the address, and is no secret.
    let kept = if url.scheme() == "ssh" { user.as_str() } else { "" };
    url.set_username(kept).and_then(|()| url.set_password(None)).map_err(|()| "it is not a URL")?;
    let repository = url.to_string();
    let (reference, subdirectory, commit) = (None, None, None);
    Ok(GitUrl { repository, transport: Transport::Network, credentials, reference, subdirectory, commit })
}

fn credentials(url: &Url) -> Result<Option<Credentials>, &'static str> {
    let decode = |text: &str| decode(text).ok_or("its user or password is not text").map(Secret::new);
    let is_web = matches!(url.scheme(), "http" | "https");
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, password) if is_web => {
            Ok(Some(Credentials { user: decode(user)?, password: password.map(decode).transpose()? }))
        }
        (_, None) if url.scheme() == "ssh" => Ok(None),
        (_, _) => Err("only http and https take a password in the address"),
    }
}

/// Percent-decodes (RFC 3986, section 2.1); `None` for what is then not printable text.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        let code = tail.get(..2).filter(|_| byte == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control))
}

/// A leading `/` is the repository's top.
fn subdirectory(text: &str) -> Result<Option<PathBuf>, ()> {
    let mut path = PathBuf::new();
    for component in Path::new(text).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::Prefix(_) => return Err(()),
            Component::RootDir | Component::CurDir => {}
        }
    }
    let is_text = !text.chars().any(char::is_control);
    if is_text { Ok((!path.as_os_str().is_empty()).then_some(path)) } else { Err(()) }
}

#[cfg(test)]
mod tests;
