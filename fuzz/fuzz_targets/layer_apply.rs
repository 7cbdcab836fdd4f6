//! A layer of anybody: unpacked into a directory, nothing outside it changes.
#![no_main]

use std::os::fd::{AsFd, OwnedFd};

use libfuzzer_sys::fuzz_target;
use oci::layer::{ApplyOptions, Limits, Owners, apply};

fuzz_target!(|tar: &[u8]| {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let opened = OwnedFd::from(std::fs::File::open(&root).unwrap());
    let limits = Limits { unpacked_bytes: 16 << 20, entries: 10_000, ..Limits::default() };
    let _outcome = apply(with_checksums(tar).as_slice(), opened.as_fd(), &ApplyOptions { owners: Owners::Recorded, limits, ..ApplyOptions::default() });
    let outside = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(outside, 1, "something was made outside the root");
});

/// Gives every block the checksum of a header: guessing it would take a fuzzer for ever.
fn with_checksums(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    for block in tar.chunks_exact_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}
