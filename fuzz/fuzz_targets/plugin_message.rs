//! A line of any program that is a plugin, and its header: a message or refused, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pipeline::external::{check_header, check_line};

fuzz_target!(|bytes: &[u8]| {
    let _outcome = check_line(bytes);
    if let Ok(header) = check_header(bytes) {
        assert!(!header.text.chars().chain(header.acts.chars()).any(char::is_control));
    }
});
