//! A row of a package database as anything: parsed, judged and shown without a panic, and never good,
//! because the keyring is empty.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rpm::database::Row;
use rpm::inspect::inspect_row;
use rpm::{Keyring, Policy};

fuzz_target!(|blob: &[u8]| {
    let row = Row { hnum: 1, blob: blob.to_vec() };
    let package = inspect_row(&row, &Keyring::default(), &Policy::at(1_800_000_000));
    assert!(!package.verdict.is_good());
    assert!(!package.label().is_empty());
});
