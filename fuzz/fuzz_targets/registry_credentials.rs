//! Any bytes as a credential file: an error or logins, no panic, and no secret in what is shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::Credentials;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(credentials) = Credentials::parse("file", bytes) {
        for name in ["docker.io/library/a", "quay.io/a/b", "registry.example:5000/a", "a/b"] {
            if let Some((registry, repository)) = name.split_once('/') {
                let login = credentials.find(registry, repository);
                assert!(!format!("{login:?}").contains("Secret("));
            }
        }
    }
});
