//! Package databases as they lie in an image.
//!
//! What comes in: the path of a database file in an unpacked image. What goes out: its rows, as stored:
//! number and header blob. rpm has had three formats with identical blobs; each has one file below this
//! one and one arm in [`read`]. So far that is [`sqlite`]; the other two are refused by name, so that an
//! image cannot avoid inspection by using them.
//!
//! Never writes beside the original, never follows a symbolic link at the path itself (its directories
//! are the caller's to resolve inside the image), and never believes a length.

pub mod sqlite;

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

pub use sqlite::read_sqlite;

/// Directories of an image in which rpm's database may lie, relative to its root.
///
/// Fedora and SUSE; rpm's own default; rpm-ostree; Debian's default. More than one may hold a database:
/// inspect all. An image's rpm macros can name yet another.
pub const DATABASE_PATHS: [&str; 4] = ["usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm", "root/.rpmdb"];

/// Files in those directories which belong to a database, the database files themselves first.
///
/// The write-ahead log holds rows that are nowhere else. The rollback journal is here to be refused.
pub const DATABASE_FILES: [&str; 5] =
    ["rpmdb.sqlite", "Packages.db", "Packages", "rpmdb.sqlite-wal", "rpmdb.sqlite-journal"];

/// Largest database or write-ahead log that is read, in bytes.
pub const MAX_FILE: u64 = 512 * 1024 * 1024;
/// Most rows that are read.
pub const MAX_ROWS: usize = 100_000;
/// Most bytes that all blobs together may have.
pub const MAX_BLOBS: usize = 512 * 1024 * 1024;

/// A package as its database stores it.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// Number of the row.
    pub hnum: u32,
    /// The header, see [`crate::header::Header::parse`].
    pub blob: Vec<u8>,
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row {{ hnum: {}, blob: {} bytes }}", self.hnum, self.blob.len())
    }
}

/// What wrote a database, known by its file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `rpmdb.sqlite`: Fedora 33, RHEL 9 and later.
    Sqlite,
    /// `Packages.db`: SUSE.
    Ndb,
    /// `Packages`: Berkeley DB, RHEL 8 and earlier.
    BerkeleyDb,
}

impl Format {
    /// The format of a database file, by its name; `None` for any other file.
    #[must_use]
    pub fn of_file(name: &OsStr) -> Option<Self> {
        match name.to_str()? {
            "rpmdb.sqlite" => Some(Self::Sqlite),
            "Packages.db" => Some(Self::Ndb),
            "Packages" => Some(Self::BerkeleyDb),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Ndb => "ndb",
            Self::BerkeleyDb => "Berkeley DB",
        })
    }
}

/// Why a database could not be read. Each variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// A file could not be read, or not copied into the scratch directory.
    #[error("{path}: cannot {action} the rpm database")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file has no known name of a database.
    #[error("{path}: not the name of an rpm database")]
    UnknownName {
        /// The file.
        path: PathBuf,
    },
    /// The database is of a format this program does not read.
    #[error("{path}: rpm database in {format} format, which is not supported yet")]
    UnsupportedFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: Format,
    },
    /// The path is a symbolic link, a directory, or a special file.
    #[error("{path}: not a regular file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is larger than [`MAX_FILE`].
    #[error("{path}: larger than {MAX_FILE} bytes")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file has no bytes: a database was here and was emptied, or never written.
    #[error("{path}: empty file")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file does not begin as its format requires.
    #[error("{path}: not a database in {format} format")]
    WrongFormat {
        /// The file.
        path: PathBuf,
        /// The format its name promises.
        format: Format,
    },
    /// The file is shorter than its own header says.
    #[error("{path}: cut short: {bytes} bytes of {declared}")]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The length it declares.
        declared: u64,
    },
    /// There is a rollback journal, which rpm never leaves: what it would undo cannot be known safely.
    #[error("{path}: a rollback journal lies beside the rpm database")]
    Journal {
        /// The journal.
        path: PathBuf,
    },
    /// There is no table of packages, or it is not the table that rpm makes.
    #[error("{path}: not rpm's table of packages: {found}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// The contents contradict themselves.
    #[error("{path}: damaged: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        why: String,
    },
    /// The library gave up reading the file.
    #[error("{path}: cannot read the packages")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What the library said.
        #[source]
        source: rusqlite::Error,
    },
    /// Reading takes more rows, bytes or steps than any real database.
    #[error("{path}: too many {what} for a package database")]
    TooMuch {
        /// The file.
        path: PathBuf,
        /// What there is too much of.
        what: &'static str,
    },
}

/// All rows of a database, by number.
///
/// The format follows from the file's name. `scratch` is a directory in which a private one may be made
/// for the time of the call; nothing stays in it.
///
/// # Errors
/// [`DatabaseError`], for anything but a whole and plain database.
pub fn read(path: &Path, scratch: &Path) -> Result<Vec<Row>, DatabaseError> {
    let format = path.file_name().and_then(Format::of_file);
    match format {
        Some(Format::Sqlite) => read_sqlite(path, scratch),
        Some(format @ (Format::Ndb | Format::BerkeleyDb)) => {
            Err(DatabaseError::UnsupportedFormat { path: path.to_owned(), format })
        }
        None => Err(DatabaseError::UnknownName { path: path.to_owned() }),
    }
}
