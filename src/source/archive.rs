//! Archives: tars, compressed or not, told by their bytes and unpacked inside a directory.
//!
//! Comes in: the bytes of a file of anybody's, whatever it is called. Goes out: whether it is an archive, the tar in
//! it, or its files in a directory. Names never decide, only bytes do. Nothing outside the directory is read or
//! written whatever the tar says, and what it may take is limited: expansion, entries, memory.

mod packing;

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use oci::layer::{ApplyError, ApplyOptions, Devices, Limits, Owners, Whiteouts, apply, open_inside, starts_tar};
use rustix::fs::OFlags;

pub use packing::{Packing, detect};

use crate::Class;
use packing::{HEAD, Limited, Watched, decoder, peek};

/// Bytes that the archive of a build context, or one that ADD unpacks, may expand to.
pub const MAX_UNPACKED: u64 = 64 << 30;
/// Entries in such an archive.
pub const MAX_ENTRIES: u64 = 4_000_000;
/// Compressed bytes looked at to find out whether a tar is inside.
const MAX_SNIFFED: u64 = 8 << 20;

/// How to unpack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpack {
    /// Where owners go.
    pub owners: Owners,
    /// User and group of everything, instead of what the archive says.
    pub owner: Option<(u32, u32)>,
    /// Permission bits of everything but symbolic links, instead of what the archive says.
    pub mode: Option<u32>,
    /// What the archive may ask for.
    pub limits: Limits,
}

impl Default for Unpack {
    /// Everything as the archive says, within [`MAX_UNPACKED`] and [`MAX_ENTRIES`].
    fn default() -> Self {
        let limits = Limits { unpacked_bytes: MAX_UNPACKED, entries: MAX_ENTRIES, ..Limits::default() };
        Self { owners: Owners::default(), owner: None, mode: None, limits }
    }
}

/// What was in an archive.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Files, directories and links, each entry counted.
    pub files: u64,
    /// Bytes in them, holes included.
    pub bytes: u64,
    /// Devices, which are never made, as the archive names them.
    pub skipped_devices: Vec<PathBuf>,
}

/// Why an archive could not be unpacked. Its own name is the caller's to say.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The directory to unpack into is not there.
    #[error("{path}: cannot open the directory to unpack into", path = .path.display())]
    Into {
        /// The directory, inside the root.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Neither its first bytes nor those behind its end can be read, or they break their compression.
    #[error("cannot read the archive {place}: {source}")]
    Read {
        /// Where.
        place: &'static str,
        /// What went wrong.
        source: io::Error,
    },
    /// Something else.
    #[error("it is {what}; expected a tar, plain or compressed with gzip, bzip2, xz or zstd")]
    NotTar {
        /// What it is as far as we know.
        what: String,
    },
    /// The tar is damaged, hostile or too large, or the kernel refused a file.
    #[error(transparent)]
    Unpack(#[from] ApplyError),
}

impl ArchiveError {
    /// Whose turn it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Read { .. } | Self::NotTar { .. } => Class::Source,
            Self::Into { .. } => Class::Environment,
            Self::Unpack(error) => match error {
                ApplyError::Archive(_)
                | ApplyError::Name { .. }
                | ApplyError::Target { .. }
                | ApplyError::Root { .. }
                | ApplyError::Whiteout { .. }
                | ApplyError::HardlinkMissing { .. }
                | ApplyError::Hardlink { .. }
                | ApplyError::Parent { .. }
                | ApplyError::Remembered { .. } => Class::Source,
                ApplyError::Owner { .. }
                | ApplyError::Xattr { .. }
                | ApplyError::Write { .. }
                | ApplyError::Place { .. }
                | ApplyError::NoOpenat2 => Class::Environment,
            },
        }
    }
}

/// Whether this is a tar that holds something, or a compressed one. A compressed file without a tar in it is none.
///
/// # Errors
/// What `reader` said; bytes that break their compression are an answer, not an error.
pub fn is_archive(reader: impl Read) -> io::Result<bool> {
    let failed = std::cell::Cell::new(None);
    let mut reader = Watched { inner: reader.take(MAX_SNIFFED), failed: &failed };
    let start = peek(&mut reader)?;
    let answer = match detect(&start) {
        None => false,
        Some(Packing::Tar) => true,
        Some(packing) => {
            let inside = decoder(packing, start.as_slice().chain(reader)).and_then(peek);
            inside.is_ok_and(|inside| starts_tar(&inside))
        }
    };
    match failed.take() {
        Some(error) => Err(error),
        None => Ok(answer),
    }
}

/// The bytes in `reader` decompressed as their beginning says, [`MAX_UNPACKED`] of them at most.
///
/// # Errors
/// Whatever reading the first bytes gives. Later reads fail for bytes that break their compression, and past the
/// limit.
pub fn open<'r>(reader: impl Read + 'r) -> io::Result<impl Read + 'r> {
    open_limited(reader, MAX_UNPACKED).map(|(_, reader)| reader)
}

fn open_limited<'r>(mut reader: impl Read + 'r, limit: u64) -> io::Result<(Option<Packing>, impl Read + 'r)> {
    let start = peek(&mut reader)?;
    let packing = detect(&start);
    let reader = io::Cursor::new(start).chain(reader);
    Ok((packing, Limited::new(decoder(packing.unwrap_or(Packing::Tar), reader)?, limit)))
}

/// Unpacks the tar in `reader`, compressed or not, into the directory `below` of `root`, which has to be there.
///
/// `below` is found with every symbolic link resolved inside `root`. It is then the root for the archive: names,
/// hard links and symbolic links on the way to a file lead inside it, as buildah and BuildKit have it. Directories
/// are merged, everything else is replaced by entries of its name; a directory replaces a symbolic link to one.
/// Set-id bits, times and the extended attributes layers carry are kept, names of whiteouts are plain names, devices
/// are left out. `reader` is read to its end, so that a pipe's writer is not cut off.
///
/// # Errors
/// [`ArchiveError`]. What was unpacked before stays.
pub fn unpack(
    reader: impl Read + Send,
    root: BorrowedFd<'_>,
    below: &Path,
    options: &Unpack,
) -> Result<Unpacked, ArchiveError> {
    let into = open_inside(root, below, OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(|error| ArchiveError::Into { path: below.to_owned(), source: error.into() })?;
    let unreadable = |source| ArchiveError::Read { place: "at its beginning", source };
    let (packing, mut tar) = open_limited(reader, options.limits.unpacked_bytes).map_err(unreadable)?;
    let start = peek(&mut tar).map_err(unreadable)?;
    // An empty tar is nothing but zeros.
    let is_tar = starts_tar(&start) || start.len() == HEAD && start.iter().all(|byte| *byte == 0);
    if !is_tar {
        return Err(ArchiveError::NotTar { what: packing::described(packing, &start) });
    }
    let mut tar = start.as_slice().chain(tar);
    let options = ApplyOptions {
        owners: options.owners,
        limits: options.limits.clone(),
        whiteouts: Whiteouts::Literal,
        devices: Devices::LeftOut,
        owner: options.owner,
        mode: options.mode,
    };
    let applied = apply(&mut tar, into.as_fd(), &options)?;
    // The checksum of the compression comes last: without reading on nobody would look at it.
    io::copy(&mut tar, &mut io::sink())
        .map_err(|source| ArchiveError::Read { place: "behind its last entry", source })?;
    let skipped_devices = applied.skipped_devices.into_iter().map(|device| device.path).collect();
    Ok(Unpacked { files: applied.files, bytes: applied.bytes, skipped_devices })
}

#[cfg(test)]
mod tests;
