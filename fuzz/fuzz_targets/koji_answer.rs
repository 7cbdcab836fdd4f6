//! The answers of a Koji hub: what was read can be written.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(Ok(value)) = koji::wire::answer(bytes) else { return };
    assert!(koji::wire::call("x", &[value]).contains("<methodName>x</methodName>"));
});
