//! Manifests, indexes and configs of anybody: what is read is written and read again alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oci::{Document, ImageConfig};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Document::Manifest(manifest)) = Document::parse(bytes, None) {
        let written = manifest.to_bytes().unwrap();
        assert_eq!(Document::parse(&written, None).unwrap(), Document::Manifest(manifest));
    }
    if let Ok(config) = ImageConfig::parse(bytes) {
        assert_eq!(ImageConfig::parse(&config.to_bytes().unwrap()).unwrap(), config);
    }
});
