//! Archives of anybody: the index, and the images that `manifest.json` and `index.json` list in them.
#![no_main]

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use oci::docker_archive::{DockerImage, Wanted};
use oci::layout::Layout;
use oci::tarball::Tarball;

fuzz_target!(|tar: &[u8]| {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&with_checksums(tar)).unwrap();
    let Ok(tarball) = Tarball::index(Path::new("fuzz.tar"), file) else { return };
    let tarball = Arc::new(tarball);
    for name in ["manifest.json", "a", "a/layer.tar"] {
        if let Ok(Some(mut part)) = tarball.part(name) {
            let size = part.size();
            let mut bytes = Vec::new();
            part.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, size);
        }
    }
    if let Ok(image) = DockerImage::open(Arc::clone(&tarball), &Wanted::Position(0)) {
        for layer in &image.manifest.layers {
            if let Ok(mut layer) = image.layer(layer) {
                let _outcome = layer.read_to_end(&mut Vec::new());
            }
        }
    }
    if let Ok(layout) = Layout::in_tarball(tarball) {
        let _index = layout.index();
    }
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
