//! `--dry-run`: what would be done, and why.

use ::build::ResolvedPlan;
use pipeline::record::Record;
use similar::TextDiff;
use transport::Location;

use crate::output;

/// Lines around a change.
const CONTEXT: usize = 3;

/// Prints the plan, the edits and the Dockerfile as it would be executed, as a unified diff.
pub(super) fn print(record: &Record, resolved: &ResolvedPlan<'_>, outputs: &[Location], written: &str) {
    output::result("plan:");
    for (stage, base) in resolved.plan().needed.iter().zip(&resolved.bases) {
        output::result(&format!("  stage {}: {}", stage.label, base_line(base)));
    }
    for output in outputs {
        output::result(&format!("  writes {output}"));
    }
    output::result("edits:");
    if record.edits.is_empty() {
        output::result("  none by plugins");
    }
    for edit in &record.edits {
        output::result(&format!("  {} {} {}: {}", edit.plugin, edit.kind, edit.subject, edit.value));
        output::result(&format!("    {}", edit.reason));
    }
    if written == resolved.dockerfile {
        output::result("Dockerfile: executed as it is");
        return;
    }
    let diff = TextDiff::from_lines(written, &resolved.dockerfile);
    let path = record.source.dockerfile.as_ref().map_or("Dockerfile", |file| file.name.as_str());
    let mut unified = diff.unified_diff();
    let text = unified.context_radius(CONTEXT).header(path, &format!("{path} (as executed)")).to_string();
    output::result(text.trim_end_matches('\n'));
}

fn base_line(base: &::build::ResolvedBase) -> String {
    match base {
        ::build::ResolvedBase::Scratch => "built on nothing".to_owned(),
        ::build::ResolvedBase::Stage(index) => format!("built on stage {index}"),
        ::build::ResolvedBase::Image(image) => format!("built on {}", image.location),
    }
}
