//! Any text as a registries.conf: read or refused, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use registry::RegistriesConf;

fuzz_target!(|text: &str| {
    let _outcome = RegistriesConf::parse("registries.conf", text);
});
