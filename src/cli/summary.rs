//! The end of a build, for people.

use std::time::Duration;

use build::{Image, Published};
use proof::Report;

use crate::output;
use crate::progress::{Progress, Record, StageRecord};
use crate::size;

/// What an image is made of; taken before it is published.
#[derive(Debug)]
pub(crate) struct Contents {
    base_layers: usize,
    base_bytes: u64,
    layers: Vec<(String, String, u64, u64, u64)>,
}

impl Contents {
    pub(crate) fn of(image: &Image<'_>) -> Self {
        let new: Vec<&oci::Digest> = image.layers.iter().map(|layer| &layer.descriptor.digest).collect();
        let base = image.manifest().layers.iter().filter(|layer| !new.contains(&&layer.digest));
        let (mut base_layers, mut base_bytes) = (0, 0);
        for layer in base {
            base_layers += 1;
            base_bytes += layer.size;
        }
        let layer = |layer: &build::NewLayer| {
            let digest = layer.descriptor.digest.to_string();
            (layer.stage.clone(), digest, layer.descriptor.size, layer.uncompressed, layer.entries)
        };
        Self { base_layers, base_bytes, layers: image.layers.iter().map(layer).collect() }
    }
}

/// Prints what was built, what is in it and what took how long.
pub(crate) fn print(contents: &Contents, report: Option<&Report>, published: &Published, progress: &Progress) {
    let record = progress.record();
    output::note("");
    stages(&record);
    layers(contents);
    packages(report);
    for location in &published.locations {
        output::note(&format!("  image     {location}"));
    }
    output::note(&format!("            {}", published.digest));
    output::note(&format!("  time      {}", times(&record, progress.since_start())));
}

fn stages(record: &Record) {
    for StageRecord { name, base, steps } in &record.stages {
        let total: Duration = steps.iter().map(|(_, took)| *took).sum();
        output::note(&format!("  stage     {name} (FROM {base}): {} steps, {}", steps.len(), size::time(total)));
        for (line, took) in steps {
            let line: String = crate::progress::shortened(line).chars().take(72).collect();
            output::note(&format!("            {:>8}  {line}", size::time(*took)));
        }
    }
}

fn layers(contents: &Contents) {
    let base = format!("{} of the base, {}", contents.base_layers, size::bytes(contents.base_bytes));
    output::note(&format!("  layers    {base}"));
    for (stage, digest, blob, tar, entries) in &contents.layers {
        let (blob, tar) = (size::bytes(*blob), size::bytes(*tar));
        output::note(&format!("            new from {stage}: {entries} entries, {blob} ({tar} unpacked)"));
        output::note(&format!("            {digest}"));
    }
    if contents.layers.is_empty() {
        output::note("            no new one: no file changed");
    }
}

fn packages(report: Option<&Report>) {
    let Some(report) = report else {
        output::note("  packages  not looked at (give --keys to have their signatures verified)");
        return;
    };
    let counts = report.counts();
    let verdicts: Vec<String> = counts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    let keys = if report.imported_keys.is_empty() {
        String::new()
    } else {
        format!("; {} keys the image itself trusts, which prove nothing", report.imported_keys.len())
    };
    output::note(&format!("  packages  {}: {}{keys}", report.packages.len(), verdicts.join(", ")));
    for finding in report.findings.iter().filter(|finding| finding.severity == proof::Severity::Warning) {
        output::note(&format!("            warning: {}: {}", finding.subject, finding.message));
    }
}

fn times(record: &Record, total: Duration) -> String {
    let steps: Duration = record.stages.iter().flat_map(|stage| stage.steps.iter().map(|(_, took)| *took)).sum();
    let mut parts = vec![format!("steps {}", size::time(steps))];
    parts.push(format!("writing the layer {}", size::time(record.layer_time)));
    parts.push(format!("publishing {}", size::time(record.publish_time)));
    format!("{} ({})", size::time(total), parts.join(", "))
}
