//! Manual pages of any help file: no text panics, and no text becomes a request of its own.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let page = plugins::decisions::injected::manual(text, "name", "maintainer", 0);
    let requests =
        [".TH", ".SH", ".SS", ".PP", ".IP", ".TP", ".RS", ".RE", ".nf", ".fi", ".br", ".nh", ".ti", ".TS", ".TE"];
    for line in page.lines().skip(1).filter(|line| line.starts_with(['.', '\''])) {
        assert!(requests.iter().any(|request| line.starts_with(request)), "{line:?}");
    }
});
