//! User parameters are checked without panicking, whatever they hold.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // An error is an answer like any other; a task that is accepted keeps what its keys demand of each other.
    if let Ok(parsed) = pipeline::Task::parse(text) {
        assert!(!(parsed.task.is_scratch && parsed.task.is_isolated));
    }
});
