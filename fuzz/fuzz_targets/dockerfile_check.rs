//! Any text as a Dockerfile to check: findings point into the file, and edits keep all other bytes.

#![no_main]

use dockerfile::check::{Surroundings, check};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(file) = dockerfile::parse(text) else { return };
    let lookup = |name: &str| (name.len() % 3 == 1).then(|| format!("{name}/x"));
    let ignore = dockerfile::ignore::Patterns::parse("a*\nb/**\n").expect("these are patterns");
    let arguments = dockerfile::Arguments { build: &lookup, platform: &lookup };
    let around = Surroundings { arguments, ignore: Some(&ignore), is_image: &|text| text.len() > 1, base: &|_| None };
    let Ok(report) = check(&file, around) else { return };
    for finding in report.findings {
        assert!(text.get(finding.span.start..finding.span.end).is_some(), "{finding:?}");
        assert!(finding.lines.0 <= finding.lines.1);
    }
});
