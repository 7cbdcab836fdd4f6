//! The variables of a build pod as anything: read, or refused by a name that is theirs, never a panic. The first byte
//! says which variable it is.
#![no_main]

use libfuzzer_sys::fuzz_target;

/// The others, so that the build would be complete.
const BUILD: &str = r#"{"metadata": {"name": "b"}, "spec": {"source": {"git": {"uri": "https://a.example/x"}}}}"#;
const NAMES: [&str; 5] = ["BUILD", "ATOMIC_REACTOR_PLUGINS", "USER_PARAMS", "REACTOR_CONFIG", "BUILD_JSON"];

fuzz_target!(|input: &[u8]| {
    let Some((kind, bytes)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let name = NAMES[usize::from(*kind) % NAMES.len()];
    // No file is to be read: neither is a text that is none a path, nor is there a path in the lists of plugins.
    let text = if name == "USER_PARAMS" { format!("{{{text}") } else { format!("{text}\n") };
    let mut variables = vec![(name, text.as_str())];
    for (other, usual) in [("REACTOR_CONFIG", "version: 1\n"), ("BUILD", BUILD), ("OUTPUT_IMAGE", "r.example/x:1")] {
        if other != name && (other != "BUILD" || name != "BUILD_JSON") {
            variables.push((other, usual));
        }
    }
    if let Err(text) = cli::check_pod(&variables) {
        assert!(!text.is_empty());
    }
});
