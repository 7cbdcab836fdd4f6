//! Any text as a word: with and without splitting the same characters come out.

#![no_main]

use dockerfile::{Escape, expand};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lookup = |name: &str| (name.len() % 2 == 1).then(|| format!(" {name} *?\\"));
    for escape in [Escape::Backslash, Escape::Backtick] {
        let word = expand::word(text, escape, &lookup);
        let words = expand::words(text, escape, &lookup);
        let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
        assert_eq!(word.map(|word| letters(&word)), words.map(|words| letters(&words.concat())));
    }
    if let Ok(body) = expand::body(text, &lookup) {
        assert!(body.len() <= text.len() + expand::MAX_EXPANDED_BYTES);
    }
});
