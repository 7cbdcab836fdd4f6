use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::database::{Format, read};
use crate::testing::{Blob, read_fixture, testdata};

const TABLE_SQL: &str = "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)";

/// A directory with an `rpmdb.sqlite` to be.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn of(bytes: &[u8]) -> Self {
        let place = Self::new();
        fs::write(place.path(), bytes).unwrap();
        place
    }

    /// A database made by these statements.
    fn made(sql: &str) -> Self {
        let place = Self::new();
        let connection = Connection::open(place.path()).unwrap();
        connection.execute_batch(sql).unwrap();
        place
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("rpmdb.sqlite")
    }

    fn wal(&self) -> PathBuf {
        self.directory.path().join("rpmdb.sqlite-wal")
    }

    /// Reads it, and checks that nothing was written beside it and nothing is left.
    fn read(&self) -> Result<Vec<Row>, DatabaseError> {
        let scratch = tempfile::tempdir().unwrap();
        let before = listing(self.directory.path());
        let rows = read_sqlite(&self.path(), scratch.path());
        assert_eq!(listing(self.directory.path()), before);
        assert_eq!(listing(scratch.path()), []);
        rows
    }

    #[track_caller]
    fn refused(&self, message: &str) {
        let error = self.read().unwrap_err().to_string();
        let expected = format!("{}: {message}", self.path().display());
        assert!(error.starts_with(&expected), "{error}, not {expected}");
    }
}

fn listing(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.map(|file| (file.clone(), fs::read(&file).unwrap())).collect();
    files.sort();
    files
}

fn numbers(rows: &[Row]) -> Vec<u32> {
    rows.iter().map(|row| row.hnum).collect()
}

/// A database whose second row is only in the write-ahead log.
fn with_live_log() -> Place {
    let (made, place) = (Place::new(), Place::new());
    let connection = Connection::open(made.path()).unwrap();
    let mode = |_: &rusqlite::Row<'_>| Ok(());
    connection.query_row("PRAGMA journal_mode = WAL", [], mode).unwrap();
    connection.query_row("PRAGMA wal_autocheckpoint = 0", [], mode).unwrap();
    connection.execute_batch(&format!("{TABLE_SQL}; INSERT INTO Packages VALUES (1, x'00')")).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], mode).unwrap();
    connection.execute_batch("INSERT INTO Packages VALUES (2, x'0102')").unwrap();
    for (from, to) in [(made.path(), place.path()), (made.wal(), place.wal())] {
        fs::copy(from, to).unwrap();
    }
    place
}

#[test]
fn a_real_database_is_read() {
    let place = Place::of(&read_fixture("fedora-38-database/in.rpmdb.sqlite"));
    let rows = place.read().unwrap();
    assert_eq!(numbers(&rows), [1, 222]);
    assert!(rows.iter().all(|row| row.blob.len() > 10_000));
}

#[test]
fn rows_that_are_only_in_the_log_are_read() {
    let place = with_live_log();
    let rows = place.read().unwrap();
    assert_eq!(rows[1], Row { hnum: 2, blob: vec![1, 2] });
    fs::remove_file(place.wal()).unwrap();
    assert_eq!(numbers(&place.read().unwrap()), [1]);
}

#[test]
fn a_log_that_is_empty_or_garbage_or_cut_short_is_passed_over() {
    let place = with_live_log();
    let whole = fs::read(place.wal()).unwrap();
    for length in [0, 10, 32, 100, whole.len() - 1] {
        fs::write(place.wal(), &whole[..length]).unwrap();
        assert_eq!(numbers(&place.read().unwrap()), [1], "log of {length} bytes");
    }
    fs::write(place.wal(), vec![0x5a; 100_000]).unwrap();
    assert_eq!(numbers(&place.read().unwrap()), [1]);
}

#[test]
fn the_log_of_another_database_gives_an_answer_or_an_error() {
    let place = with_live_log();
    fs::write(place.path(), read_fixture("fedora-38-database/in.rpmdb.sqlite")).unwrap();
    // SQLite cannot know; what comes out is judged by its signatures.
    drop(place.read());
}

#[test]
fn a_rollback_journal_is_refused() {
    let place = Place::made(TABLE_SQL);
    let journal = place.directory.path().join("rpmdb.sqlite-journal");
    fs::write(&journal, b"x").unwrap();
    let error = place.read().unwrap_err();
    assert!(matches!(error, DatabaseError::Journal { path } if path == journal));
}

#[test]
fn a_database_without_rows_has_none() {
    assert_eq!(Place::made(TABLE_SQL).read().unwrap(), []);
    let as_python_writes_it = "create table Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)";
    assert_eq!(Place::made(as_python_writes_it).read().unwrap(), []);
}

#[test]
fn files_that_are_no_database_are_refused_by_name() {
    let whole = read_fixture("fedora-38-database/in.rpmdb.sqlite");
    Place::of(b"").refused("empty file");
    Place::of(b"hello").refused("not a database in sqlite format");
    Place::of(&whole[..99]).refused("not a database in sqlite format");
    Place::of(&whole[..60_000]).refused("cut short: 60000 bytes of 344064");
    Place::new().refused("cannot find the rpm database");
    let place = Place::new();
    fs::create_dir(place.path()).unwrap();
    assert!(matches!(read_sqlite(&place.path(), place.directory.path()), Err(DatabaseError::NotAFile { .. })));
}

#[test]
fn links_and_pipes_are_not_followed() {
    let target = Place::of(&read_fixture("fedora-38-database/in.rpmdb.sqlite"));
    let place = Place::new();
    std::os::unix::fs::symlink(target.path(), place.path()).unwrap();
    place.refused("not a regular file");
    let place = Place::made(TABLE_SQL);
    std::os::unix::fs::symlink(target.path(), place.wal()).unwrap();
    assert!(matches!(place.read(), Err(DatabaseError::NotAFile { path }) if path == place.wal()));
}

#[test]
fn only_the_table_that_rpm_makes_is_read() {
    Place::made("CREATE TABLE a (b)").refused("not rpm's table of packages: there is none");
    for sql in [
        "CREATE TABLE p (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL); CREATE VIEW Packages AS SELECT hnum, blob FROM p",
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL, c)",
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, b BLOB, blob BLOB AS (zeroblob(9)))",
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL) WITHOUT ROWID",
        "CREATE TABLE Packages (hnum INT PRIMARY KEY, blob BLOB NOT NULL)",
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY DESC, blob BLOB NOT NULL)",
    ] {
        Place::made(sql).refused("not rpm's table of packages: ");
    }
}

/// A database whose stored definition of the table was exchanged for another.
fn with_definition(sql: &str) -> Place {
    let place = Place::made(&format!("{TABLE_SQL}; INSERT INTO Packages VALUES (1, x'00')"));
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
    connection.execute("UPDATE sqlite_schema SET sql = ?1 WHERE name = 'Packages'", [sql]).unwrap();
    place
}

#[test]
fn a_forged_schema_is_refused() {
    with_definition("CREATE VIRTUAL TABLE Packages USING fts5(hnum, blob)").refused("");
    with_definition("CREATE TABLE Packages (hnum, blob AS (hnum))").refused("");
    with_definition("not sql").refused("");
}

#[test]
fn rows_of_the_wrong_kind_are_refused() {
    let insert = |value: &str| Place::made(&format!("{TABLE_SQL}; INSERT INTO Packages VALUES ({value})"));
    insert("-1, x'00'").refused("damaged: row number -1");
    insert("0, x'00'").refused("damaged: row number 0");
    insert("5000000000, x'00'").refused("damaged: row number 5000000000");
    insert("1, 'text'").refused("damaged: a row of Integer and Text");
}

#[test]
fn a_row_larger_than_any_header_is_refused() {
    let bytes = MAX_BYTES + 8192;
    Place::made(&format!("{TABLE_SQL}; INSERT INTO Packages VALUES (1, zeroblob({bytes}))"))
        .refused("too many bytes in a row for a package database");
}

#[test]
fn triggers_and_other_tables_do_not_matter() {
    let sql = format!(
        "{TABLE_SQL}; INSERT INTO Packages VALUES (7, x'00');
         CREATE INDEX lie ON Packages (blob);
         CREATE VIEW v AS SELECT 1; CREATE TRIGGER t AFTER INSERT ON Packages BEGIN SELECT 1; END"
    );
    assert_eq!(numbers(&Place::made(&sql).read().unwrap()), [7]);
}

#[test]
fn a_schema_larger_than_any_of_rpm_is_refused() {
    let tables: String = (0..5000).map(|at| format!("CREATE TABLE t{at} (a);")).collect();
    Place::made(&format!("BEGIN; {TABLE_SQL}; {tables} COMMIT")).refused("cannot read the packages");
    let columns = "a INTEGER DEFAULT 1 CHECK (a > 0), ".repeat(1000);
    with_definition(&format!("CREATE TABLE Packages ({columns} b)")).refused("");
}

#[test]
fn other_formats_are_refused_by_name() {
    let scratch = std::env::temp_dir();
    let error = read(Path::new("x/Packages.db"), &scratch).unwrap_err();
    assert!(matches!(error, DatabaseError::UnsupportedFormat { format: Format::Ndb, .. }));
    let error = read(Path::new("x/Packages"), &scratch).unwrap_err();
    assert!(matches!(error, DatabaseError::UnsupportedFormat { format: Format::BerkeleyDb, .. }));
    assert!(matches!(read(Path::new("x/y"), &scratch), Err(DatabaseError::UnknownName { .. })));
    let error = read(&testdata("fedora-38-database/README.md"), &scratch).unwrap_err().to_string();
    assert!(error.ends_with("README.md: not the name of an rpm database"), "{error}");
}

#[test]
fn no_changed_byte_of_a_database_makes_the_reader_panic() {
    let place = Place::made("PRAGMA page_size = 512");
    let connection = Connection::open(place.path()).unwrap();
    connection.execute_batch(&format!("PRAGMA page_size = 512; {TABLE_SQL}")).unwrap();
    for hnum in 1..8 {
        let blob = Blob::named(&format!("package-{hnum}")).bytes();
        connection.execute("INSERT INTO Packages VALUES (?1, ?2)", (hnum, blob)).unwrap();
    }
    drop(connection);
    let whole = fs::read(place.path()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= if at % 2 == 0 { 0xff } else { 1 };
        fs::write(place.path(), &bytes).unwrap();
        // An error or rows; each is judged by its signatures afterwards.
        drop(read_sqlite(&place.path(), scratch.path()));
    }
}

#[test]
fn no_cut_of_a_database_makes_the_reader_panic_or_lose_rows_silently() {
    let place = with_live_log();
    fs::remove_file(place.wal()).unwrap();
    let whole = fs::read(place.path()).unwrap();
    for length in (0..whole.len()).step_by(97) {
        fs::write(place.path(), &whole[..length]).unwrap();
        assert!(place.read().is_err(), "cut at {length}");
    }
}
