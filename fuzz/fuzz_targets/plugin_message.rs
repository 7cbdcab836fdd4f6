//! A line of any program that is a plugin: a message or refused, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let _outcome = pipeline::external::check_line(line);
});
