//! An archive of anybody, packed or not: unpacked into a directory, nothing outside it changes, and limits hold.
#![no_main]

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use oci::layer::{Limits, Owners};
use source::archive::{Unpack, detect, is_archive, unpack};

const LIMIT: u64 = 1 << 20;

fuzz_target!(|archive: &[u8]| {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("root");
    std::fs::create_dir_all(root.join("below")).unwrap();
    let opened = OwnedFd::from(std::fs::File::open(&root).unwrap());
    let limits = Limits { unpacked_bytes: LIMIT, entries: 1000, ..Limits::default() };
    let options = Unpack { owners: Owners::Recorded, owner: Some((0, 0)), mode: None, limits };
    // The first byte chooses: as it is, or with checksums that guessing would take for ever to get right.
    let (choice, archive) = archive.split_first().unwrap_or((&0, archive));
    let archive = if choice & 1 == 0 { archive.to_vec() } else { with_checksums(archive) };
    let is_found = is_archive(archive.as_slice()).unwrap();
    assert!(!is_found || detect(&archive).is_some());
    if let Ok(unpacked) = unpack(archive.as_slice(), opened.as_fd(), Path::new("below"), &options) {
        assert!(unpacked.bytes <= LIMIT && unpacked.files <= 1000);
    }
    let count = |path: &Path| std::fs::read_dir(path).unwrap().count();
    assert_eq!((count(directory.path()), count(&root)), (1, 1), "something was made outside");
});

/// Gives every block the checksum of a header.
fn with_checksums(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    for block in tar.chunks_exact_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    tar
}
