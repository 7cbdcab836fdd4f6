//! Any bytes are an os-release or none, and what it names stands in a package URL as it is.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(distribution) = proof::Distribution::parse(bytes) {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        assert!(!distribution.id.is_empty() && distribution.name().bytes().all(is_plain));
    }
});
