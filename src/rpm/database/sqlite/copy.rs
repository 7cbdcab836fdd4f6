//! A private copy of a database and its write-ahead log.
//!
//! What comes in: a path in an unpacked image, hostile. What goes out: a directory of our own that holds
//! the two files and disappears with the value. Links and special files are refused, so that an image
//! cannot make this program read or wait for something of the host.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::database::{DatabaseError, Format, MAX_FILE};

/// Length of a database's header (SQLite, "File Format", 1.3).
const HEADER_BYTES: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";

/// The copy; dropped, it is gone.
pub(super) struct PrivateCopy {
    directory: TempDir,
}

impl PrivateCopy {
    pub(super) fn make(path: &Path, scratch: &Path) -> Result<Self, DatabaseError> {
        let directory = tempfile::Builder::new().prefix("rpmdb-").tempdir_in(scratch);
        let directory = directory.map_err(|source| DatabaseError::Io {
            path: scratch.to_owned(),
            action: "make a directory to copy",
            source,
        })?;
        let copy = Self { directory };
        let bytes = copy_file(path, &copy.database())?;
        let journal = with_suffix(path, "-journal");
        if length(&journal)?.is_some_and(|bytes| bytes > 0) {
            return Err(DatabaseError::Journal { path: journal });
        }
        let wal = with_suffix(path, "-wal");
        let wal_bytes = match length(&wal)? {
            Some(_) => copy_file(&wal, &with_suffix(&copy.database(), "-wal"))?,
            None => 0,
        };
        check_header(path, &copy.database(), Lengths { database: bytes, wal: wal_bytes })?;
        Ok(copy)
    }

    pub(super) fn database(&self) -> PathBuf {
        self.directory.path().join("rpmdb.sqlite")
    }
}

struct Lengths {
    database: u64,
    wal: u64,
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The length of what lies at `path`; `None` if nothing does.
fn length(path: &Path) -> Result<Option<u64>, DatabaseError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DatabaseError::Io { path: path.to_owned(), action: "find", source }),
    }
}

/// Copies a regular file of at most [`MAX_FILE`] bytes; returns how many it had.
fn copy_file(from: &Path, to: &Path) -> Result<u64, DatabaseError> {
    let error = |action| move |source| DatabaseError::Io { path: from.to_owned(), action, source };
    let metadata = fs::symlink_metadata(from).map_err(error("find"))?;
    if !metadata.is_file() {
        return Err(DatabaseError::NotAFile { path: from.to_owned() });
    }
    // It may have become a link or a pipe meanwhile.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(from).map_err(error("open"))?;
    if !file.metadata().map_err(error("find"))?.is_file() {
        return Err(DatabaseError::NotAFile { path: from.to_owned() });
    }
    let mut copy = File::create_new(to).map_err(error("copy"))?;
    let bytes = io::copy(&mut file.take(MAX_FILE + 1), &mut copy).map_err(error("copy"))?;
    if bytes > MAX_FILE { Err(DatabaseError::TooLarge { path: from.to_owned() }) } else { Ok(bytes) }
}

/// Names the plain damages, which SQLite would not: nothing there, something else, cut short.
fn check_header(path: &Path, copy: &Path, lengths: Lengths) -> Result<(), DatabaseError> {
    let path = path.to_owned();
    if lengths.database == 0 {
        return Err(DatabaseError::Empty { path });
    }
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let read = File::open(copy).and_then(|file| file.take(HEADER_BYTES as u64).read_to_end(&mut header));
    read.map_err(|source| DatabaseError::Io { path: path.clone(), action: "read", source })?;
    if header.len() < HEADER_BYTES || !header.starts_with(MAGIC) {
        return Err(DatabaseError::WrongFormat { path, format: Format::Sqlite });
    }
    match declared_bytes(&header) {
        // With a log, the file may end where the last checkpoint left it.
        Some(declared) if declared > lengths.database && lengths.wal == 0 => {
            Err(DatabaseError::CutShort { path, bytes: lengths.database, declared })
        }
        Some(_) | None => Ok(()),
    }
}

/// Page size times number of pages, where the header's number of pages is valid.
fn declared_bytes(header: &[u8]) -> Option<u64> {
    let size: [u8; 2] = header.get(16..18)?.try_into().ok()?;
    let page = match u16::from_be_bytes(size) {
        1 => 65536,
        size => u64::from(size),
    };
    let number = |at: usize| -> Option<u32> { Some(u32::from_be_bytes(header.get(at..at + 4)?.try_into().ok()?)) };
    let (changes, pages, valid_for) = (number(24)?, number(28)?, number(92)?);
    (changes == valid_for).then(|| page * u64::from(pages))
}
