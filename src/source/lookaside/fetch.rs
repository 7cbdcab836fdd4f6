//! Downloading what `sources` declares.

use std::fmt::{self, Debug, Formatter};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use http::{Client, HttpError, Method, Request, Response, Url};
use oci::Digest;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use tracing::info;

use super::hash::Sums;
use super::{Lookaside, LookasideError, SourceFile};

/// What a download is called until its checksum is right, before its checksum's first digits.
const PARTIAL: &str = ".stratum-partial-";
const MODE: Mode = Mode::from_raw_mode(0o644);

/// What files may take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// Of one file.
    pub max_file: u64,
    /// Of all files that are downloaded.
    pub max_total: u64,
}

impl Default for FetchLimits {
    /// 8 GiB a file, 32 GiB together.
    fn default() -> Self {
        Self { max_file: 8 << 30, max_total: 32 << 30 }
    }
}

/// Whether checksums that can be forged (MD5, SHA-1) count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weak {
    /// They do, as in old dist-git.
    Allow,
    /// They are an error.
    #[default]
    Refuse,
}

/// Where files come from and what is allowed.
pub struct FetchOptions<'a> {
    /// The cache.
    pub from: &'a Lookaside,
    /// The package, with its namespace if the cache uses one.
    pub package: &'a str,
    /// The connections.
    pub client: &'a Client,
    /// Sizes.
    pub limits: FetchLimits,
    /// Weak checksums.
    pub weak: Weak,
    /// Asked with every piece of a download.
    pub cancelled: &'a dyn Fn() -> bool,
}

impl Debug for FetchOptions<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FetchOptions")
            .field("from", &self.from)
            .field("package", &self.package)
            .field("limits", &self.limits)
            .field("weak", &self.weak)
            .finish_non_exhaustive()
    }
}

/// A file that is in the context now and has the declared checksum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedSource {
    /// Its name.
    pub name: String,
    /// Where it was asked for, without a query; `None` if it was in the context already.
    pub url: Option<String>,
    /// The SHA-256 of its bytes, whatever `sources` declares.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// Puts `files` into the directory `into`, in their order. One that is there with the right checksum stays as it is.
///
/// Files are made 0644. The first error ends it; files that were right before it stay.
///
/// # Errors
/// [`LookasideError`]; a file that is there with another checksum is one, and is not touched.
pub fn fetch(
    files: &[SourceFile],
    into: &Path,
    options: &FetchOptions<'_>,
) -> Result<Vec<FetchedSource>, LookasideError> {
    if let (Weak::Refuse, Some(weak)) = (options.weak, files.iter().find(|file| file.algorithm().is_weak())) {
        let (name, line, algorithm) = (weak.name().to_owned(), weak.line(), weak.algorithm());
        return Err(LookasideError::Weak { name, line, algorithm });
    }
    let directory = Directory::open(into)?;
    let mut left = options.limits.max_total;
    let mut fetched = Vec::new();
    for file in files {
        let found = match directory.present(file)? {
            Some(found) => found,
            None => {
                let found = download(&directory, file, left, options)?;
                left = left.saturating_sub(found.bytes);
                found
            }
        };
        fetched.push(found);
    }
    Ok(fetched)
}

/// The context.
struct Directory<'a> {
    fd: OwnedFd,
    path: &'a Path,
}

impl<'a> Directory<'a> {
    fn open(path: &'a Path) -> Result<Self, LookasideError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(CWD, path, flags, Mode::empty());
        let failed =
            |source: Errno| LookasideError::Io { path: path.to_owned(), action: "open", source: source.into() };
        Ok(Self { fd: fd.map_err(failed)?, path })
    }

    fn failure(&self, name: &str, action: &'static str) -> impl Fn(io::Error) -> LookasideError {
        let path = self.path.join(name);
        move |source| LookasideError::Io { path: path.clone(), action, source }
    }

    /// The file that is there already, if it is the right one.
    fn present(&self, file: &SourceFile) -> Result<Option<FetchedSource>, LookasideError> {
        let name = file.name();
        let path = self.path.join(name);
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.failure(name, "examine")(error.into())),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                return Err(LookasideError::InTheWay { path });
            }
            Ok(_) => {}
        }
        // A pipe put in the file's place must not hang us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(&self.fd, name, flags, Mode::empty());
        let mut from = File::from(fd.map_err(|error| self.failure(name, "open")(error.into()))?);
        let mut sums = Sums::new(file.algorithm());
        let mut piece = vec![0; 64 << 10];
        loop {
            match from.read(&mut piece).map_err(self.failure(name, "read"))? {
                0 => break,
                length => sums.update(piece.get(..length).unwrap_or_default()),
            }
        }
        let bytes = sums.length();
        let digest = compare(file, sums, || path.display().to_string())?;
        Ok(Some(FetchedSource { name: name.to_owned(), url: None, digest, bytes }))
    }

    /// A new file for a download. What an earlier, killed run left is removed first.
    fn create(&self, name: &str) -> Result<File, LookasideError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(self.failure(name, "remove what an earlier run left")(error.into())),
        }
        let fd = openat(&self.fd, name, flags, MODE).map_err(|error| self.failure(name, "create")(error.into()))?;
        // The umask took part in the mode above.
        fchmod(&fd, MODE).map_err(|error| self.failure(name, "set permissions")(error.into()))?;
        Ok(File::from(fd))
    }
}

/// One file, tried a second time from the start when the connection breaks in the middle.
fn download(
    directory: &Directory<'_>,
    file: &SourceFile,
    left: u64,
    options: &FetchOptions<'_>,
) -> Result<FetchedSource, LookasideError> {
    let address = |source| LookasideError::Address { name: file.name().to_owned(), source };
    let url = options.from.url(options.package, file).map_err(address)?;
    let partial = format!("{PARTIAL}{}", file.hex().get(..16).unwrap_or_default());
    let limit = options.limits.max_file.min(left);
    let transfer = Transfer { directory, file, url: &url, limit, options };
    let mut result = transfer.receive(transfer.request()?, &partial);
    // Requests are repeated by the client; what breaks in the middle is not.
    if matches!(&result, Err(LookasideError::Http { source, .. }) if source.is_transient()) {
        result = transfer.request().and_then(|response| transfer.receive(response, &partial));
    }
    if result.is_err() {
        // The error that led here is the one to tell; a leftover is removed by the next run.
        let _ = unlinkat(&directory.fd, &partial, AtFlags::empty());
    }
    result
}

/// One file on its way.
struct Transfer<'a> {
    directory: &'a Directory<'a>,
    file: &'a SourceFile,
    url: &'a Url,
    limit: u64,
    options: &'a FetchOptions<'a>,
}

impl Transfer<'_> {
    fn request(&self) -> Result<Response, LookasideError> {
        self.check_cancelled()?;
        let request = Request::new(Method::GET, self.url.clone());
        let response = self.options.client.send_retrying(&request).map_err(|error| self.http(error))?;
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response);
        }
        response.finish();
        Err(LookasideError::Status { name: self.file.name().to_owned(), url: http::shown(self.url), status })
    }

    fn receive(&self, response: Response, partial: &str) -> Result<FetchedSource, LookasideError> {
        let (name, url) = (self.file.name(), http::shown(self.url));
        let mut into = self.directory.create(partial)?;
        let sums = self.copy(response, &mut into, partial)?;
        let bytes = sums.length();
        let digest = compare(self.file, sums, || url.clone())?;
        let fd = &self.directory.fd;
        renameat(fd, partial, fd, name).map_err(|error| self.directory.failure(name, "create")(error.into()))?;
        info!(url, bytes, %digest, "source file downloaded");
        Ok(FetchedSource { name: name.to_owned(), url: Some(url), digest, bytes })
    }

    fn copy(&self, response: Response, into: &mut File, partial: &str) -> Result<Sums, LookasideError> {
        let too_large = || {
            let (name, url) = (self.file.name().to_owned(), http::shown(self.url));
            Err(LookasideError::TooLarge { name, url, limit: self.limit })
        };
        if response.content_length().is_some_and(|announced| announced > self.limit) {
            return too_large();
        }
        let mut sums = Sums::new(self.file.algorithm());
        let mut body = response.into_body();
        while let Some(piece) = body.next_piece().map_err(|error| self.http(error))? {
            self.check_cancelled()?;
            sums.update(&piece);
            if sums.length() > self.limit {
                return too_large();
            }
            into.write_all(&piece).map_err(self.directory.failure(partial, "write"))?;
        }
        Ok(sums)
    }

    fn check_cancelled(&self) -> Result<(), LookasideError> {
        if (self.options.cancelled)() {
            return Err(LookasideError::Cancelled { name: self.file.name().to_owned() });
        }
        Ok(())
    }

    fn http(&self, source: HttpError) -> LookasideError {
        LookasideError::Http { name: self.file.name().to_owned(), source }
    }
}

/// The digest of bytes that are the declared ones.
fn compare(file: &SourceFile, sums: Sums, from: impl FnOnce() -> String) -> Result<Digest, LookasideError> {
    let (found, digest) = sums.finish();
    if found == file.hex() {
        return Ok(digest);
    }
    Err(LookasideError::Checksum {
        name: file.name().to_owned(),
        from: from(),
        algorithm: file.algorithm(),
        expected: file.hex().to_owned(),
        found,
    })
}
