//! Any bytes as a Dockerfile: errors point into the file, and a pinned file reads back.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = match dockerfile::parse_bytes(bytes) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.diagnostic().span.end <= bytes.len());
            return;
        }
    };
    for instruction in &file.instructions {
        assert!(file.text.get(instruction.span.start..instruction.span.end).is_some());
    }
    let Ok(stages) = dockerfile::stages(&file) else { return };
    let last = stages.stages.len() - 1;
    let pin = dockerfile::pin_from(&file, last, "r.example/x@sha256:0").expect("the stage exists");
    let pinned = dockerfile::apply(&file.text, &[pin]).expect("one edit cannot overlap");
    let pinned = dockerfile::parse(&pinned).expect("only the image changed");
    assert_eq!(pinned.instructions.len(), file.instructions.len());
    let arguments = dockerfile::Arguments { build: &|_| None, platform: &|_| None };
    if let Ok(graph) = stages.resolve(arguments) {
        assert_eq!(graph.order(last).last(), Some(&last));
    }
});
