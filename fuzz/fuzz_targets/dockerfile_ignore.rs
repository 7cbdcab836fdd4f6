//! Any text as an ignore file and a path: what is kept is never below a directory that a walk would not enter.

#![no_main]

use dockerfile::ignore::Patterns;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (path, file) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(patterns) = Patterns::parse(file) else { return };
    if patterns.matches(path) || path.contains("//") || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return;
    }
    for (at, _) in path.match_indices('/') {
        let parent = &path[..at];
        assert!(!patterns.matches(parent) || patterns.could_match_below(parent), "{parent}");
    }
});
