//! Listens to a build and writes its record.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use build::Event;
use gateway::{Exchange, What};
use oci::Digest;
use proof::{Report, verdict_name};
use rpm::Verdict;
use transport::SourceImage;

use super::{
    BaseLayer, BaseRecord, ExchangeRecord, InputFile, NewLayerRecord, OutputRecord, PackageRecord, Record, StageRecord,
    StepRecord,
};

/// Writes the record while things happen; all its methods may be called from any thread.
#[derive(Debug)]
pub struct Recorder {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    record: Record,
    /// When the running step of each stage began.
    began: BTreeMap<String, Duration>,
    layer_began: Duration,
    fetched: Vec<String>,
    /// Files of the context.
    copied: BTreeMap<PathBuf, Digest>,
}

impl Recorder {
    /// A recorder that goes on with `record`, which holds what is known before anything happens.
    #[must_use]
    pub fn new(record: Record) -> Self {
        Self { state: Mutex::new(State { record, ..State::default() }) }
    }

    /// The record so far.
    #[must_use]
    pub fn record(&self) -> Record {
        let state = self.lock();
        let mut record = state.record.clone();
        for layer in record.bases.iter_mut().flat_map(|base| &mut base.layers) {
            layer.fetched = state.fetched.contains(&layer.digest);
        }
        let file = |(path, digest): (&PathBuf, &Digest)| InputFile {
            name: path.display().to_string(),
            digest: digest.to_string(),
        };
        record.source.copied = state.copied.iter().map(file).collect();
        record
    }

    /// Changes the record.
    pub fn change(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.lock().record);
    }

    /// Takes one event that happened `at` after the start.
    pub fn event(&self, at: Duration, event: Event<'_>) {
        self.lock().event(at, event);
    }

    /// Takes the packages down.
    pub fn packages(&self, report: &Report) {
        let packages = report.packages.iter().map(package).collect();
        self.change(|record| record.packages = packages);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn event(&mut self, at: Duration, event: Event<'_>) {
        match event {
            Event::Resolved { name, image } => self.record.bases.push(base(name, image)),
            Event::PullStarted { layer } => self.fetched.push(layer.digest.to_string()),
            Event::StageStarted { stage, base, .. } => {
                let (name, base) = (stage.to_owned(), base.to_owned());
                self.record.stages.push(StageRecord { name, base, steps: Vec::new() });
            }
            Event::StepStarted { stage, line, .. } => {
                self.began.insert(stage.to_owned(), at);
                if let Some(stage) = self.stage(stage) {
                    stage.steps.push(StepRecord { line: line.to_owned(), ..StepRecord::default() });
                }
            }
            Event::Traffic { stage, exchanges } => {
                let exchanges = exchanges.iter().map(exchange);
                if let Some(step) = self.stage(stage).and_then(|stage| stage.steps.last_mut()) {
                    step.network.extend(exchanges);
                }
            }
            Event::Copied { files } => self.copied.extend(files.iter().cloned()),
            Event::Fetched { what, digest, .. } => {
                let (name, digest) = (what.to_owned(), digest.to_owned());
                self.record.source.fetched.push(InputFile { name, digest });
            }
            Event::StepDone { stage, .. } => {
                let began = self.began.remove(stage).unwrap_or(at);
                if let Some(step) = self.stage(stage).and_then(|stage| stage.steps.last_mut()) {
                    step.milliseconds = milliseconds(at.saturating_sub(began));
                }
            }
            Event::LayerStarted { .. } => self.layer_began = at,
            Event::LayerDone { stage, layer, diff_id, uncompressed, entries } => {
                let new = NewLayerRecord {
                    stage: stage.to_owned(),
                    digest: layer.digest.to_string(),
                    diff_id: diff_id.0.to_string(),
                    size: layer.size,
                    uncompressed,
                    entries,
                    milliseconds: milliseconds(at.saturating_sub(self.layer_began)),
                };
                self.record.image.get_or_insert_default().new.push(new);
            }
            Event::PublishDone { location, digest } => {
                let output = OutputRecord { location: location.to_string(), digest: digest.to_string() };
                self.record.outputs.push(output);
            }
            Event::Warning(text) => self.record.warnings.push(text.to_owned()),
            Event::PullDone { .. } | Event::Output { .. } | Event::StageDone { .. } | Event::Publishing { .. } => {}
        }
    }

    fn stage(&mut self, name: &str) -> Option<&mut StageRecord> {
        self.record.stages.iter_mut().rfind(|stage| stage.name == name)
    }
}

fn base(name: &str, image: &SourceImage) -> BaseRecord {
    let layer =
        |layer: &oci::Descriptor| BaseLayer { digest: layer.digest.to_string(), size: layer.size, fetched: false };
    BaseRecord {
        name: name.to_owned(),
        location: image.location.to_string(),
        manifest: image.descriptor.digest.to_string(),
        config: image.manifest.config.digest.to_string(),
        layers: image.manifest.layers.iter().map(layer).collect(),
    }
}

fn exchange(exchange: &Exchange) -> ExchangeRecord {
    let (kind, refused) = match &exchange.what {
        What::Metadata { .. } => ("metadata", None),
        What::Package { .. } => ("package", None),
        What::Key { .. } => ("key", None),
        What::Proxied { .. } => ("proxied", None),
        What::Tunnel => ("tunnel", None),
        What::Refused { why } => ("refused", Some(why.clone())),
    };
    ExchangeRecord {
        kind: kind.to_owned(),
        url: exchange.url.clone(),
        status: exchange.status,
        bytes: exchange.bytes,
        fetched: exchange.fetched,
        digest: exchange.digest.as_ref().map(ToString::to_string),
        verified_by: exchange.verified_by.clone(),
        refused,
    }
}

fn package(package: &rpm::Package) -> PackageRecord {
    let key = match &package.verdict {
        Verdict::Good { .. } => package.signatures.first().map(ToString::to_string),
        Verdict::Bad { key, .. }
        | Verdict::UnknownKey { key }
        | Verdict::Expired { key, .. }
        | Verdict::Revoked { key, .. }
        | Verdict::WeakHash { key, .. } => Some(key.to_string()),
        Verdict::ImportedKey { .. } | Verdict::Unsigned | Verdict::LegacyOnly | Verdict::Malformed { .. } => None,
    };
    PackageRecord {
        nevra: package.label(),
        verdict: verdict_name(&package.verdict).to_owned(),
        key,
        sigmd5: package.sigmd5.clone(),
    }
}

/// Whole milliseconds.
#[must_use]
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
