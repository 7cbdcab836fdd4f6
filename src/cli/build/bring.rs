//! Bringing sources that are elsewhere into the store's scratch: clones, downloads, what comes on standard input.
//!
//! Everything here runs as the user, so that the files are the user's and the user's credentials count. What was
//! brought goes with [`Bring::remove`], or with the scratch of a process that was killed.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use oci::layer::Owners;
use sandbox::Cancel;
use source::archive::{self, ArchiveError, Packing, Unpack};
use source::download::{self, DownloadError};
use source::git::{Checkout, GitOptions, GitUrl};

use crate::environment::Environment;
use crate::failure::{self, Failure, Status};
use crate::output;
use crate::session::Session;
use crate::source_secret;

/// Bytes of an archive as it travels.
const MAX_ARCHIVE: u64 = 16 << 30;
/// Bytes that tell what a file is.
const HEAD: u64 = 512;

/// Brings sources, and knows what it brought.
pub(super) struct Bring<'a> {
    pub(super) session: &'a Session,
    pub(super) environment: &'a Environment,
    pub(super) http: &'a http::Client,
    /// Whether somebody reads what is printed.
    pub(super) is_watched: bool,
    folders: Mutex<Vec<PathBuf>>,
}

/// What came as a stream of bytes: the context as a tar, or the Dockerfile alone.
pub(super) enum Came {
    /// A tar, unpacked here.
    Context(PathBuf),
    /// Something else, whole.
    Text(Vec<u8>),
}

impl<'a> Bring<'a> {
    pub(super) fn new(
        session: &'a Session,
        environment: &'a Environment,
        http: &'a http::Client,
        is_watched: bool,
    ) -> Self {
        Self { session, environment, http, is_watched, folders: Mutex::default() }
    }

    /// Removes all that was brought.
    pub(super) fn remove(&self) {
        for folder in self.folders.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // What stays goes with the scratch, if that may remove it.
            drop(store::remove_tree(&folder));
        }
    }

    /// A new folder in the scratch.
    pub(super) fn folder(&self) -> Result<PathBuf, Failure> {
        let store = self.session.transports.store();
        let folder = store.shown().join(store.scratch().fresh("source"));
        std::fs::create_dir(&folder).map_err(|error| {
            let text = format!("{}: cannot make a folder for the source: {error}", folder.display());
            Failure::new(Status::Environment, text)
        })?;
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).push(folder.clone());
        Ok(folder)
    }

    /// Checks out what `url` names, a commit of `branch` if that is given.
    pub(super) fn git(&self, url: &GitUrl, branch: Option<&str>) -> Result<Checkout, Failure> {
        let cancelled = || self.session.cancel.is_set();
        let options = GitOptions {
            environment: source_secret::for_git(self.environment, || self.folder())?,
            cancelled: &cancelled,
            deadline: None,
            with_submodules: false,
            keeps_git_directory: false,
            branch: branch.map(str::to_owned),
        };
        self.say(&url.to_string());
        let url = source_secret::with_login(self.environment, url)?;
        source::git::check_out(&url, &self.folder()?, &options).map_err(|error| failure::of_git(&error))
    }

    /// Downloads `url` and looks at it; also when it was changed last.
    pub(super) fn web(&self, url: &str) -> Result<(Came, Option<i64>), Failure> {
        let (mut file, modified) = self.download(url, MAX_ARCHIVE)?;
        file.rewind()
            .map_err(|error| Failure::new(Status::Environment, format!("the download of a source: {error}")))?;
        Ok((self.look(file, &shown(url))?, modified))
    }

    /// The file behind `url`, and when it was changed last. It has no name, so that nobody has to remove it.
    pub(super) fn download(&self, url: &str, limit: u64) -> Result<(File, Option<i64>), Failure> {
        self.say(&shown(url));
        let path = self.folder()?.join("download");
        let made = File::options().read(true).write(true).create_new(true).open(&path);
        let mut file = made.and_then(|file| std::fs::remove_file(&path).map(|()| file)).map_err(|error| {
            Failure::new(Status::Environment, format!("{}: cannot make a file for a download: {error}", path.display()))
        })?;
        let downloaded = download::fetch(self.http, url, &mut file, limit, None);
        let downloaded = downloaded.map_err(|error| of_download(&error))?;
        Ok((file, downloaded.modified))
    }

    /// What comes on standard input.
    pub(super) fn stdin(&self) -> Result<Came, Failure> {
        let came = self.look(self.open_stdin()?, STDIN)?;
        if matches!(&came, Came::Text(text) if text.is_empty()) {
            let text = format!("{STDIN} is empty; expected a tar or a Dockerfile");
            return Err(Failure::new(Status::Source, text));
        }
        Ok(came)
    }

    /// The text of standard input.
    pub(super) fn stdin_text(&self) -> Result<Vec<u8>, Failure> {
        text(self.open_stdin()?).map_err(|error| self.unreadable(STDIN, &error))
    }

    fn open_stdin(&self) -> Result<Stdin<'a>, Failure> {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            let text = format!("{STDIN} is a terminal; a tar of the build context or a Dockerfile is expected there");
            return Err(
                Failure::new(Status::Usage, text).help("`stratum build - < Dockerfile`, `tar c . | stratum build -`")
            );
        }
        let own: io::Result<OwnedFd> = stdin.as_fd().try_clone_to_owned();
        let own = own.map_err(|error| Failure::new(Status::Usage, format!("{STDIN} cannot be used: {error}")))?;
        Ok(Stdin { file: File::from(own), cancel: &self.session.cancel })
    }

    /// Unpacks a tar; takes anything else for text, as docker does. Something compressed has to be a tar.
    pub(super) fn look(&self, mut from: impl Read + Send, name: &str) -> Result<Came, Failure> {
        let mut start = Vec::new();
        from.by_ref().take(HEAD).read_to_end(&mut start).map_err(|error| self.unreadable(name, &error))?;
        let packing = archive::detect(&start);
        let whole = io::Cursor::new(start).chain(from);
        match packing {
            Some(packing) => self.unpack(whole, packing, name).map(Came::Context),
            None => text(whole).map(Came::Text).map_err(|error| self.unreadable(name, &error)),
        }
    }

    /// Unpacks a tar into a folder of its own.
    fn unpack(&self, from: impl Read + Send, packing: Packing, name: &str) -> Result<PathBuf, Failure> {
        let root = self.folder()?.join("tree");
        let made = std::fs::create_dir(&root).and_then(|()| store::open_directory(&root));
        let opened = made.map_err(|error| {
            Failure::new(
                Status::Environment,
                format!("{}: cannot make a folder for the source: {error}", root.display()),
            )
        })?;
        // COPY gives files owners of its own choosing, so those in the archive need not be possible here.
        let options = Unpack { owners: Owners::Recorded, owner: Some((0, 0)), ..Unpack::default() };
        let from = Stoppable { inner: from, cancel: &self.session.cancel };
        let unpacked = archive::unpack(from, opened.as_fd(), Path::new(""), &options);
        let unpacked = unpacked.map_err(|error| self.of_archive(&error, name))?;
        tracing::debug!(name, %packing, files = unpacked.files, bytes = unpacked.bytes, "context unpacked");
        for device in &unpacked.skipped_devices {
            output::warning(&format!("{name}: left out the device {}", device.display()));
        }
        Ok(root)
    }

    fn say(&self, what: &str) {
        if self.is_watched {
            output::note(&format!("fetching {what}"));
        }
    }

    pub(super) fn unreadable(&self, name: &str, error: &io::Error) -> Failure {
        let status = if self.session.cancel.is_set() { Status::Cancelled } else { Status::Source };
        Failure::new(status, format!("{name} cannot be read: {error}"))
    }

    fn of_archive(&self, error: &ArchiveError, name: &str) -> Failure {
        let status =
            if self.session.cancel.is_set() { Status::Cancelled } else { failure::of_class(error.class().into()) };
        let failure = Failure::new(status, format!("{name}: {}", http::with_causes(error)));
        match error {
            ArchiveError::NotTar { .. } => failure.help("a build context is a directory, a git URL or a tar"),
            ArchiveError::Into { .. } | ArchiveError::Read { .. } | ArchiveError::Unpack(_) => failure,
        }
    }
}

/// What standard input is called in messages.
pub(super) const STDIN: &str = "standard input";

/// A URL without user, password and query.
pub(super) fn shown(url: &str) -> String {
    http::Url::parse(url).map_or_else(|_| "a URL that cannot be parsed".to_owned(), |url| http::shown(&url))
}

fn of_download(error: &DownloadError) -> Failure {
    Failure::of(failure::of_class(error.class().into()), error)
}

/// All of it, if it may be a Dockerfile: one byte more than those may have, so that the parser says it is too large.
fn text(from: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    from.take(dockerfile::MAX_FILE_BYTES as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

/// Standard input, which people may keep waiting for ever.
struct Stdin<'a> {
    file: File,
    cancel: &'a Cancel,
}

impl Read for Stdin<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.cancel.wait_for(&self.file)?;
        if self.cancel.is_set() {
            return Err(io::Error::other("cancelled"));
        }
        self.file.read(into)
    }
}

/// A reader that fails when everything is to stop.
struct Stoppable<'a, R> {
    inner: R,
    cancel: &'a Cancel,
}

impl<R: Read> Read for Stoppable<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.cancel.is_set() {
            return Err(io::Error::other("cancelled"));
        }
        self.inner.read(into)
    }
}
