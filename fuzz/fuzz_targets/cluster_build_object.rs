//! Any text as a Build object: what is accepted has a name, and a wrong field is named without its value.

#![no_main]

use cluster::build_object::{BuildObjectError, LIMIT, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match parse(text) {
        Ok(build) => assert!(!build.name.is_empty() && text.len() <= LIMIT),
        Err(BuildObjectError::Field(wrong)) => assert!(!wrong.path.is_empty()),
        Err(BuildObjectError::Json { line, .. }) => assert!(line > 0),
        Err(BuildObjectError::TooLarge { size }) => assert!(size > LIMIT),
    }
});
