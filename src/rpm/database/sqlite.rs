//! `rpmdb.sqlite`, with the rows that are only in its write-ahead log.
//!
//! The database and its log are copied into a private directory and the copy is opened, because SQLite
//! writes beside what it opens. The file is hostile, so: nothing from its schema is executed (no views,
//! triggers, functions, virtual tables, extensions, attached files); the table must be exactly the one
//! rpm makes; it is scanned itself, never one of its indexes, which could say something else; pages,
//! rows, bytes and steps are bounded (SQLite, "Defense Against The Dark Arts"; "File Format").

mod copy;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{DatabaseError, MAX_BLOBS, MAX_ROWS, Row};
use crate::header::MAX_BYTES;
use copy::PrivateCopy;

/// The table rpm makes, as words.
const TABLE: &str = "create table packages ( hnum integer primary key autoincrement , blob blob not null )";
/// Steps of SQLite's machine between two looks at the budget.
const STEPS_PER_LOOK: i32 = 1000;
/// Looks until the schema must be known: about two thousand objects, of which rpm makes fifty.
const SCHEMA_LOOKS: usize = 20;
/// Looks until all must be read: a hundred steps for each row that may be read.
const ROW_LOOKS: usize = MAX_ROWS / 10;

/// All rows of `rpmdb.sqlite` and of the log beside it (the same path with `-wal`), by number.
///
/// A log is applied as SQLite applies it: up to its last whole transaction that belongs to this
/// database; the rest, or all of a stale one, is passed over. A database without rows gives none.
///
/// # Errors
/// [`DatabaseError`] for a file that is no database, is damaged or cut short, or is not what rpm writes.
pub fn read_sqlite(path: &Path, scratch: &Path) -> Result<Vec<Row>, DatabaseError> {
    let copy = PrivateCopy::make(path, scratch)?;
    let reader = Reader { path, looks: Arc::new(AtomicUsize::new(SCHEMA_LOOKS)) };
    let connection = reader.open(&copy)?;
    reader.check_schema(&connection)?;
    reader.looks.store(ROW_LOOKS, Ordering::Relaxed);
    reader.check_pages(&connection)?;
    reader.rows(&connection)
}

/// Reads one database; `path` is where it came from, for errors.
struct Reader<'a> {
    path: &'a Path,
    /// Looks at the budget that are left.
    looks: Arc<AtomicUsize>,
}

impl Reader<'_> {
    fn open(&self, copy: &PrivateCopy) -> Result<Connection, DatabaseError> {
        let open = || {
            let flags =
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
            let mut connection = Connection::open_with_flags(copy.database(), flags)?;
            harden(&connection)?;
            connection.progress_handler(STEPS_PER_LOOK, Some(spend(&self.looks)))?;
            Ok(connection)
        };
        open().map_err(|source| self.error(source))
    }

    /// The one table called Packages is a plain table with rpm's definition.
    fn check_schema(&self, connection: &Connection) -> Result<(), DatabaseError> {
        const QUERY: &str = "SELECT type, rootpage, sql FROM main.sqlite_schema \
                             WHERE name = 'Packages' COLLATE NOCASE";
        let found = connection.prepare(QUERY).and_then(|mut statement| {
            let row =
                |row: &rusqlite::Row<'_>| Ok((text(row, 0)?, row.get_ref(1)?.as_i64().unwrap_or(0), text(row, 2)?));
            statement.query_map([], row)?.take(2).collect::<Result<Vec<_>, _>>()
        });
        let other = |found: String| DatabaseError::Schema { path: self.path.to_owned(), found };
        match found.map_err(|source| self.error(source))?.as_slice() {
            [] => Err(other("there is none".to_owned())),
            [(kind, page, sql)] if kind == "table" && *page > 1 && words(sql) == TABLE => Ok(()),
            [(kind, _, sql), ..] => Err(other(format!("{kind} {sql:.200}"))),
        }
    }

    /// The table's pages form a tree in the right order, each used once.
    fn check_pages(&self, connection: &Connection) -> Result<(), DatabaseError> {
        let answer = connection.query_row("PRAGMA main.quick_check('Packages')", [], |row| text(row, 0));
        match answer.map_err(|source| self.error(source))? {
            ok if ok == "ok" => Ok(()),
            why => Err(self.damaged(why)),
        }
    }

    fn rows(&self, connection: &Connection) -> Result<Vec<Row>, DatabaseError> {
        const QUERY: &str = "SELECT hnum, blob FROM main.Packages NOT INDEXED";
        let mut statement = connection.prepare(QUERY).map_err(|source| self.error(source))?;
        let mut cursor = statement.query([]).map_err(|source| self.error(source))?;
        let mut rows: Vec<Row> = Vec::new();
        let mut bytes = 0;
        while let Some(row) = cursor.next().map_err(|source| self.error(source))? {
            let row = self.row(row)?;
            if rows.last().is_some_and(|last| last.hnum >= row.hnum) {
                return Err(self.damaged(format!("row {} is out of order", row.hnum)));
            }
            bytes += row.blob.len();
            rows.push(row);
            if rows.len() > MAX_ROWS || bytes > MAX_BLOBS {
                return Err(self.too_much(if rows.len() > MAX_ROWS { "rows" } else { "bytes" }));
            }
        }
        Ok(rows)
    }

    fn row(&self, row: &rusqlite::Row<'_>) -> Result<Row, DatabaseError> {
        let cell = |at| row.get_ref(at).map_err(|source| self.error(source));
        match (cell(0)?, cell(1)?) {
            (ValueRef::Integer(number), ValueRef::Blob(blob)) => {
                let hnum = u32::try_from(number).ok().filter(|hnum| *hnum > 0);
                let hnum = hnum.ok_or_else(|| self.damaged(format!("row number {number}")))?;
                Ok(Row { hnum, blob: blob.to_vec() })
            }
            (number, blob) => {
                let found = format!("a row of {} and {}", number.data_type(), blob.data_type());
                Err(self.damaged(found))
            }
        }
    }

    fn damaged(&self, why: String) -> DatabaseError {
        DatabaseError::Damaged { path: self.path.to_owned(), why }
    }

    fn too_much(&self, what: &'static str) -> DatabaseError {
        DatabaseError::TooMuch { path: self.path.to_owned(), what }
    }

    fn error(&self, source: rusqlite::Error) -> DatabaseError {
        match source.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => self.too_much("steps"),
            Some(ErrorCode::TooBig) => self.too_much("bytes in a row"),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => self.damaged(source.to_string()),
            _ => DatabaseError::Sqlite { path: self.path.to_owned(), source },
        }
    }
}

/// What SQLite calls at each look: whether to stop, because the budget is spent.
fn spend(looks: &Arc<AtomicUsize>) -> impl FnMut() -> bool + Send + use<> {
    let looks = Arc::clone(looks);
    move || looks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err()
}

/// Takes from the connection everything that reading one table does not need.
fn harden(connection: &Connection) -> rusqlite::Result<()> {
    for (config, value) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
    ] {
        connection.set_db_config(config, value)?;
    }
    for (limit, value) in [
        // A row is a number and a blob; whatever is longer is no header.
        (Limit::SQLITE_LIMIT_LENGTH, i32::try_from(MAX_BYTES + 4096).unwrap_or(i32::MAX)),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, 10_000),
        (Limit::SQLITE_LIMIT_COLUMN, 100),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, 20),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 3),
        (Limit::SQLITE_LIMIT_VDBE_OP, 25_000),
        (Limit::SQLITE_LIMIT_FUNCTION_ARG, 8),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 50),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 10),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        (Limit::SQLITE_LIMIT_PARSER_DEPTH, 100),
        // rpm makes about fifty tables and indexes.
        (Limit::SQLITE_LIMIT_SCHEMA, 1000),
    ] {
        connection.set_limit(limit, value)?;
    }
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA cell_size_check = ON; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;",
    )
}

/// A column as text; anything else, NULL included, as nothing.
fn text(row: &rusqlite::Row<'_>, at: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(at)? {
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => String::new(),
    })
}

/// The words and signs of an SQL text in lower case, with one space between and without quotes.
fn words(sql: &str) -> String {
    let apart = sql.chars().flat_map(|c| match c {
        '(' | ')' | ',' => vec![' ', c, ' '],
        '\'' | '"' => vec![' '],
        _ => vec![c.to_ascii_lowercase()],
    });
    let apart: String = apart.collect();
    apart.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
