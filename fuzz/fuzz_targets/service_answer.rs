//! Answers of services in JSON: a compose, a tag or a stream of images, or none, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(answer) = serde_json::from_slice(bytes) else { return };
    let _compose = koji::odcs::read(&answer);
    if let Err(wrong) = cluster::ImageStreamTag::read(&answer) {
        assert!(!wrong.path.is_empty());
    }
    if let Err(wrong) = cluster::ImageStream::read(&answer) {
        assert!(!wrong.path.is_empty());
    }
});
