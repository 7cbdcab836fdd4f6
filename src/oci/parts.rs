//! The files an image lies in at rest: those of a directory, or those of a tar.
//!
//! Comes in: names this program chose. Goes out: streams of whole files, and blobs that are checked against their
//! descriptors. It never follows a symlink of a directory, and never leaves the directory or the tar.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::Digest;
use crate::digest::Hasher;
use crate::layout::LayoutError;
use crate::manifest::Descriptor;
use crate::tarball::Tarball;

/// Where the files are.
#[derive(Debug)]
pub enum Parts {
    /// In a directory.
    Directory {
        /// As the user knows it.
        path: PathBuf,
        /// Itself.
        directory: OwnedFd,
    },
    /// In a tar.
    Tarball(Arc<Tarball>),
}

/// One file, to be read from its start to its end.
#[derive(Debug)]
pub struct Part {
    file: Arc<File>,
    position: u64,
    left: u64,
}

impl Part {
    /// The `size` bytes of `file` from `position` on.
    #[must_use]
    pub fn new(file: Arc<File>, position: u64, size: u64) -> Self {
        Self { file, position, left: size }
    }

    /// The whole of `file`, whatever its position.
    ///
    /// # Errors
    /// What the kernel said about its size.
    pub fn whole(file: Arc<File>) -> io::Result<Self> {
        let left = file.metadata()?.len();
        Ok(Self { file, position: 0, left })
    }

    /// The same bytes once more.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { file: Arc::clone(&self.file), position: self.position, left: self.left }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.left
    }
}

impl Read for Part {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let count = self.file.read_at(into.get_mut(..most).unwrap_or_default(), self.position)?;
        self.position += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Parts {
    /// The files of the directory `path`.
    ///
    /// # Errors
    /// [`LayoutError::Read`].
    pub fn directory(path: &Path) -> Result<Self, LayoutError> {
        let directory = fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|error| LayoutError::Read { path: path.to_owned(), source: error.into() })?;
        Ok(Self::Directory { path: path.to_owned(), directory })
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Directory { path, .. } => path,
            Self::Tarball(tarball) => tarball.path(),
        }
    }

    /// The regular file `name`, `None` if it is not there.
    ///
    /// # Errors
    /// [`LayoutError::Read`], [`LayoutError::Tarball`].
    pub fn part(&self, name: &str) -> Result<Option<Part>, LayoutError> {
        let directory = match self {
            Self::Directory { directory, .. } => directory,
            Self::Tarball(tarball) => return Ok(tarball.part(name)?),
        };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let file = match fs::openat2(directory.as_fd(), name, flags, Mode::empty(), resolve) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.unreadable(name)(error.into())),
        };
        let metadata = file.metadata().map_err(self.unreadable(name))?;
        let not_a_file = || io::Error::other("it is not a regular file");
        let is_file = metadata.is_file();
        if is_file {
            Ok(Some(Part::new(Arc::new(file), 0, metadata.len())))
        } else {
            Err(self.unreadable(name)(not_a_file()))
        }
    }

    /// A whole file of at most `limit` bytes, `None` if it is not there.
    ///
    /// # Errors
    /// [`LayoutError::FileTooLarge`]; as for [`Self::part`].
    pub fn small(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, LayoutError> {
        let Some(part) = self.part(name)? else { return Ok(None) };
        if part.size() > limit {
            return Err(LayoutError::FileTooLarge { path: self.path().join(name), size: part.size(), limit });
        }
        let mut bytes = Vec::new();
        part.take(limit).read_to_end(&mut bytes).map_err(self.unreadable(name))?;
        Ok(Some(bytes))
    }

    /// The blob that lies in the file `name`, as a stream that fails at its end if it is not what `descriptor` says.
    ///
    /// # Errors
    /// [`LayoutError::Missing`] and [`LayoutError::Size`], before anything is read.
    pub fn blob(&self, name: &str, descriptor: &Descriptor) -> Result<BlobReader, LayoutError> {
        let (digest, expected) = (&descriptor.digest, descriptor.size);
        let path = || self.path().to_owned();
        let missing = || LayoutError::Missing { path: path(), digest: digest.clone() };
        let part = self.part(name)?.ok_or_else(missing)?;
        let found = part.size();
        if found != expected {
            return Err(LayoutError::Size { path: path(), digest: digest.clone(), expected, found });
        }
        let hasher = Some(Hasher::new(digest.algorithm()));
        Ok(BlobReader { part, expected: digest.clone(), hasher, path: path() })
    }

    /// A whole blob of at most `limit` bytes, verified.
    ///
    /// # Errors
    /// [`LayoutError::TooLarge`], and what [`Self::blob`] and reading give.
    pub fn small_blob(&self, name: &str, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, LayoutError> {
        let (size, digest) = (descriptor.size, || descriptor.digest.clone());
        if size > limit {
            return Err(LayoutError::TooLarge { path: self.path().to_owned(), digest: digest(), size, limit });
        }
        let blob = self.blob(name, descriptor)?;
        let mut bytes = Vec::new();
        blob.part.take(size).read_to_end(&mut bytes).map_err(self.unreadable(name))?;
        let mut hasher = Hasher::new(descriptor.digest.algorithm());
        hasher.update(&bytes);
        let found = hasher.finish();
        if found == descriptor.digest {
            return Ok(bytes);
        }
        Err(LayoutError::Digest { path: self.path().to_owned(), expected: digest(), found })
    }

    pub(crate) fn unreadable(&self, name: &str) -> impl Fn(io::Error) -> LayoutError + use<> {
        let path = self.path().join(name);
        move |source| LayoutError::Read { path: path.clone(), source }
    }
}

/// A blob being read; the read that reaches the end fails if the digest is not the right one.
#[derive(Debug)]
pub struct BlobReader {
    part: Part,
    expected: Digest,
    hasher: Option<Hasher>,
    path: PathBuf,
}

impl Read for BlobReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let count = self.part.read(into)?;
        let Some(hasher) = &mut self.hasher else { return Ok(0) };
        hasher.update(into.get(..count).unwrap_or_default());
        if self.part.size() > 0 && count > 0 {
            return Ok(count);
        }
        let Some(hasher) = self.hasher.take() else { return Ok(count) };
        let (path, expected, found) = (self.path.clone(), self.expected.clone(), hasher.finish());
        let is_right = found == expected;
        if is_right { Ok(count) } else { Err(io::Error::other(LayoutError::Digest { path, expected, found })) }
    }
}
