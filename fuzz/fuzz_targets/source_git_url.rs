//! Any text as the address of a repository: what is shown of it has no control characters and not its password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use source::git::GitUrl;

fuzz_target!(|text: &str| {
    let Some(Ok(url)) = GitUrl::recognise(text) else { return };
    let shown = url.to_string();
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    // Elsewhere in the address it is no password.
    let behind = text.split_once("://").map_or("", |(_, behind)| behind);
    let host = behind.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains(":hunter2@") && text.matches("hunter2").count() == 1 {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
});
