//! A key file as anything: keys or an error that names it, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rpm::Keyring;

fuzz_target!(|bytes: &[u8]| {
    let named = rpm::keys::fingerprints(bytes).len();
    let mut keyring = Keyring::default();
    match keyring.add("fuzz.asc", bytes) {
        Ok(()) => assert!((1..=named).contains(&keyring.certificates().len())),
        Err(error) => assert!(error.to_string().contains("fuzz.asc")),
    }
});
