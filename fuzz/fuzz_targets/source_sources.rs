//! Any bytes as a `sources` file: what is accepted is safe to name, and has one place in a cache.

#![no_main]

use libfuzzer_sys::fuzz_target;
use source::lookaside::{Lookaside, parse_sources};

fuzz_target!(|text: &[u8]| {
    let files = match parse_sources("sources", text) {
        Ok(files) => files,
        Err(error) => {
            let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!((1..=lines).contains(&error.line) && error.column > 0);
            return;
        }
    };
    let cache = Lookaside::parse("https://lookaside.example/pkgs").expect("an address");
    for file in &files {
        assert_eq!(std::path::Path::new(file.name()).file_name(), Some(file.name().as_ref()));
        assert_eq!(file.hex().len(), file.algorithm().hex_digits());
        let url = cache.url("containers/webd", file).expect("a place");
        assert!(url.path().starts_with("/pkgs/containers/webd/") && url.path().split('/').count() == 8);
    }
});
