//! A source policy of anybody: read or refused, never a panic.
#![no_main]

use build::SourcePolicy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _outcome = SourcePolicy::parse("policy.json", bytes);
});
