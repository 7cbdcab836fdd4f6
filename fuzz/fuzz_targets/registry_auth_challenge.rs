//! A `WWW-Authenticate` value from anywhere is read without panics, and nothing in it is made up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::challenge::{Challenge, parse};

fuzz_target!(|text: &str| {
    let challenges = parse(text);
    assert!(challenges.len() <= text.len());
    for challenge in challenges {
        if let Challenge::Bearer(bearer) = challenge {
            assert!(!bearer.realm.is_empty() && bearer.realm.len() <= text.len());
        }
    }
});
