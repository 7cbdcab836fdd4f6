//! A site configuration as anything: a site or an error that points into the file, never a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use pipeline::site::Site;

fuzz_target!(|bytes: &[u8]| {
    match Site::parse(Path::new("/etc/stratum/site.yaml"), bytes) {
        Ok((site, notes)) => {
            assert!(site.to_json().is_object());
            assert!(notes.iter().all(|note| note.line > 0));
        }
        Err(error) => {
            assert!(error.line > 0 && error.column > 0);
            if let Ok(text) = std::str::from_utf8(bytes) {
                assert!(text.get(error.span).is_some());
            }
        }
    }
});
