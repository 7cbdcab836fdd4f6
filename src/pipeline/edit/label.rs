//! One label: where a stage sets it, and how it is written.

use dockerfile::{Dockerfile, Escape, Kind, Span};

use super::quoted;

/// The value of a label where the stage of this number sets it last; none where it does not, and where the value
/// cannot be replaced alone.
pub(super) fn place(file: &Dockerfile, stage: usize, name: &str) -> Option<Span> {
    let stages = dockerfile::stages(file).ok()?.stages;
    let steps = stages.get(stage)?.instructions;
    let mut found = None;
    for step in steps {
        let Kind::Label(pairs) = &step.kind else { continue };
        for pair in pairs {
            let key = dockerfile::expand::word(&pair.key.raw, file.escape(), &|_| None).ok()?;
            if key == name {
                let is_alone =
                    pair.separator == dockerfile::Separator::Equals && pair.value.span.start < pair.value.span.end;
                found = is_alone.then_some(pair.value.span);
            }
        }
    }
    found
}

/// `LABEL name=value`.
pub(super) fn line(name: &str, value: &str, escape: Escape) -> String {
    format!("LABEL {}={}", word(name, escape), word(value, escape))
}

/// As it is where that is read back the same, else in quotes.
pub(super) fn word(text: &str, escape: Escape) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+~^-/:".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { quoted(text, escape) }
}
