//! A database file and its write-ahead log as anything: rows or an error, never a panic, a hang or a file
//! left behind. The first four bytes say where the log begins.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((length, files)) = input.split_first_chunk() else { return };
    let at = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX).min(files.len());
    let (database, log) = files.split_at(at);
    let place = tempfile::tempdir().expect("a temporary directory");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let path = place.path().join("rpmdb.sqlite");
    fs::write(&path, database).expect("a database file");
    fs::write(place.path().join("rpmdb.sqlite-wal"), log).expect("a log");
    if let Ok(rows) = rpm::database::read_sqlite(&path, scratch.path()) {
        assert!(rows.is_sorted_by(|a, b| a.hnum < b.hnum));
    }
    assert_eq!(fs::read_dir(scratch.path()).expect("the scratch directory").count(), 0);
    assert_eq!(fs::read(&path).expect("the database file"), database);
});
