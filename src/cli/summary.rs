//! The end of a build, for people.

use std::collections::BTreeMap;
use std::time::Duration;

use build::Published;
use pipeline::record::{ImageRecord, Record, StageRecord, StepRecord};
use serde_json::json;

use crate::log::{self, Style};
use crate::{output, size};

/// Prints what was built, what is in it and what took how long.
pub(crate) fn print(style: Style, record: &Record, published: &Published, took: Duration) {
    if style == Style::Json {
        log::event(object(record, published, took));
        return;
    }
    output::note("");
    inputs(record);
    stages(&record.stages);
    if let Some(image) = &record.image {
        layers(record, image);
    }
    packages(record);
    network(record);
    for location in &published.locations {
        output::note(&format!("  image     {location}"));
    }
    output::note(&format!("            {}", published.digest));
    output::note(&format!("  time      {}", times(record, took)));
}

/// The same for programs; the record (`--record`) has the whole of it.
fn object(record: &Record, published: &Published, took: Duration) -> serde_json::Value {
    let bases = record.bases.iter().map(|base| json!({"name": base.name, "location": base.location}));
    let exchanges = record.stages.iter().flat_map(|stage| &stage.steps).flat_map(|step| &step.network);
    json!({
        "event": "summary",
        "source": record.source.location,
        "commit": record.source.commit,
        "bases": bases.collect::<Vec<_>>(),
        "layers": record.image.iter().flat_map(|image| &image.new).map(|layer| &layer.digest).collect::<Vec<_>>(),
        "packages": record.packages.len(),
        "verdicts": verdicts(record),
        "fetched": exchanges.map(|exchange| exchange.fetched).sum::<u64>(),
        "image": published.digest,
        "locations": published.locations.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "elapsed": took.as_secs_f64(),
    })
}

/// How many packages there are of each verdict.
fn verdicts(record: &Record) -> BTreeMap<&str, usize> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for package in &record.packages {
        *counts.entry(package.verdict.as_str()).or_default() += 1;
    }
    counts
}

/// What came in: the source and the images it is built on.
fn inputs(record: &Record) {
    let source = &record.source;
    let commit = source.commit.as_ref().map_or_else(String::new, |commit| format!(" at {commit}"));
    output::note(&format!("  source    {}{commit}", source.location));
    for base in &record.bases {
        output::note(&format!("  from      {} is {}", base.name, base.location));
    }
    if !source.fetched.is_empty() {
        output::note(&format!("  fetched   {} files", source.fetched.len()));
    }
}

fn time(milliseconds: u64) -> String {
    size::time(Duration::from_millis(milliseconds))
}

fn stages(stages: &[StageRecord]) {
    for StageRecord { name, base, steps } in stages {
        let total: u64 = steps.iter().map(|step| step.milliseconds).sum();
        output::note(&format!("  stage     {name} (FROM {base}): {} steps, {}", steps.len(), time(total)));
        for StepRecord { line, milliseconds, .. } in steps {
            let line: String = crate::progress::shortened(line).chars().take(72).collect();
            output::note(&format!("            {:>8}  {line}", time(*milliseconds)));
        }
    }
}

fn layers(record: &Record, image: &ImageRecord) {
    let is_new = |digest: &&String| image.new.iter().any(|layer| layer.digest == **digest);
    let base: Vec<&String> = image.layers.iter().filter(|digest| !is_new(digest)).collect();
    let of_bases = record.bases.iter().flat_map(|base| &base.layers);
    let sizes: BTreeMap<&str, u64> = of_bases.map(|layer| (layer.digest.as_str(), layer.size)).collect();
    let bytes: u64 = base.iter().filter_map(|digest| sizes.get(digest.as_str())).sum();
    output::note(&format!("  layers    {} of the base, {}", base.len(), size::bytes(bytes)));
    for layer in &image.new {
        let (blob, tar) = (size::bytes(layer.size), size::bytes(layer.uncompressed));
        output::note(&format!(
            "            new from {}: {} entries, {blob} ({tar} unpacked)",
            layer.stage, layer.entries
        ));
        output::note(&format!("            {}", layer.digest));
    }
    if image.new.is_empty() {
        output::note("            no new one: no file changed");
    }
}

fn packages(record: &Record) {
    if !record.plugins.iter().any(|run| run.plugin == "all_rpm_packages") {
        output::note("  packages  not looked at (give --keys to have their signatures verified)");
        return;
    }
    let verdicts: Vec<String> = verdicts(record).iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
    output::note(&format!("  packages  {}: {}", record.packages.len(), verdicts.join(", ")));
    for finding in record.findings.iter().filter(|finding| finding.severity == "warning") {
        output::note(&format!("            warning: {}: {}", finding.subject, finding.message));
    }
}

fn network(record: &Record) {
    let steps = record.stages.iter().flat_map(|stage| &stage.steps);
    let exchanges: Vec<_> = steps.flat_map(|step| &step.network).collect();
    if exchanges.is_empty() {
        return;
    }
    let packages = exchanges.iter().filter(|exchange| exchange.kind == "package").count();
    let fetched: u64 = exchanges.iter().map(|exchange| exchange.fetched).sum();
    let count = exchanges.len();
    let fetched = size::bytes(fetched);
    output::note(&format!("  network   {count} requests by steps, {packages} packages; {fetched} fetched now"));
}

fn times(record: &Record, total: Duration) -> String {
    let steps: u64 = record.stages.iter().flat_map(|stage| &stage.steps).map(|step| step.milliseconds).sum();
    let layers: u64 = record.image.iter().flat_map(|image| &image.new).map(|layer| layer.milliseconds).sum();
    let plugins: u64 = record.plugins.iter().map(|run| run.milliseconds).sum();
    let mut parts = vec![format!("steps {}", time(steps)), format!("writing layers {}", time(layers))];
    parts.extend((plugins > 0).then(|| format!("plugins {}", time(plugins))));
    format!("{} ({})", size::time(total), parts.join(", "))
}
