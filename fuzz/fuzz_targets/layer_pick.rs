//! Files picked out of layers of anybody: the first half of the input is the lower layer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::layer::{Limits, PickLimits, Picker};

fuzz_target!(|layers: &[u8]| {
    let directory = tempfile::tempdir().unwrap();
    let layer = Limits { unpacked_bytes: 16 << 20, entries: 10_000, ..Limits::default() };
    let limits = PickLimits { layer, picked_bytes: 16 << 20, picked_files: 1000 };
    let mut picker = Picker::new(directory.path(), limits, |_| true);
    let layers = with_checksums(layers);
    let (lower, upper) = layers.split_at(layers.len() / 1024 * 512);
    if picker.layer(lower).is_ok() {
        let _outcome = picker.layer(upper);
    }
    let _files = picker.finish();
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
