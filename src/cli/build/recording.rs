//! What the record says before anything happens, and when all has happened.

use std::path::Path;
use std::time::Duration;

use ::build::{Image, StepNetwork};
use oci::manifest::Format;
use pipeline::Facts;
use pipeline::record::{
    Builder, ImageRecord, InputFile, Isolation, KojiRecord, Options, Outcome, Record, RefusedRung, Status, VERSION,
};

use super::Arguments;
use super::fetch::Fetched;
use super::prepare::{Prepared, key_paths};
use crate::environment::Environment;
use crate::failure::{Failure, Status as ExitStatus};
use crate::inputs;
use crate::session::Session;
use crate::site::Configuration;

/// The record of a build that begins.
pub(super) fn beginning(
    arguments: &Arguments,
    environment: &Environment,
    configuration: &Configuration,
    session: &Session,
) -> Result<Record, Failure> {
    let site = configuration
        .path
        .as_ref()
        .map(|path| InputFile { name: path.clone(), digest: oci::Digest::of(&configuration.bytes).to_string() });
    let refused = session
        .entered
        .refused
        .iter()
        .map(|refused| RefusedRung { rung: refused.rung.to_string(), cause: refused.cause.clone() });
    let paths = key_paths(arguments, &configuration.site);
    let mut keys = Vec::new();
    for path in &paths {
        keys.extend(key_files(path)?);
    }
    Ok(Record {
        record_version: VERSION,
        builder: Builder { name: "stratum".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        started: ::build::timestamp(environment.now),
        site,
        keys,
        isolation: Isolation { rung: session.entered.rung.to_string(), refused: refused.collect() },
        ..Record::default()
    })
}

/// The files a `--keys` means, each with its digest.
fn key_files(path: &Path) -> Result<Vec<InputFile>, Failure> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        files = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.sort();
    }
    let file = |path: &std::path::PathBuf| {
        let digest = oci::Digest::of(&inputs::read(path, "the keys")?).to_string();
        Ok(InputFile { name: path.display().to_string(), digest })
    };
    files.iter().map(file).collect()
}

/// What is known when the source has been read.
pub(super) fn source(record: &mut Record, fetched: &Fetched, prepared: &Prepared, facts: &Facts) {
    let request = &prepared.request;
    let digest = |bytes: &[u8]| oci::Digest::of(bytes).to_string();
    record.source.location.clone_from(&fetched.shown);
    record.source.commit.clone_from(&fetched.fact.commit);
    record.source.reference.clone_from(&fetched.fact.reference);
    record.source.epoch = request.epoch;
    record.source.dockerfile =
        Some(InputFile { name: prepared.path.clone(), digest: digest(prepared.written.as_bytes()) });
    let file = |(name, digest): &(String, oci::Digest)| InputFile { name: name.clone(), digest: digest.to_string() };
    let artifacts = facts.artifacts().into_iter().flat_map(|artifacts| &artifacts.files);
    record.source.fetched = facts.fetched().iter().chain(artifacts).map(file).collect();
    let pair = |(name, value): (&String, &String)| format!("{name}={value}");
    record.options = Some(Options {
        platform: request.platform.to_string(),
        target: request.target.clone(),
        build_args: request.build_args.iter().map(pair).collect(),
        labels: request.labels.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        network: match request.network {
            StepNetwork::Host => "host",
            StepNetwork::None => "none",
            StepNetwork::Gateway => "gateway",
        }
        .to_owned(),
        format: match request.format {
            Format::Oci => "oci",
            Format::Docker => "docker",
        }
        .to_owned(),
        repositories: request
            .repositories
            .iter()
            .map(|file| InputFile { name: file.name.clone(), digest: digest(&file.content) })
            .collect(),
    });
}

/// What is known when the image is there.
pub(super) fn image(record: &mut ImageRecord, image: &Image<'_>) {
    record.manifest = image.digest().to_string();
    record.config = image.manifest().config.digest.to_string();
    record.layers = image.manifest().layers.iter().map(|layer| layer.digest.to_string()).collect();
}

/// How it ended, and what Koji had to do with it.
pub(super) fn end(record: &mut Record, (failure, facts): (Option<&Failure>, &Facts), took: Duration) {
    record.koji = KojiRecord::of(facts);
    record.milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    record.result = match failure {
        None => Outcome { status: Status::Succeeded, exit_code: 0, error: None },
        Some(failure) => Outcome {
            status: if failure.status == ExitStatus::Cancelled { Status::Cancelled } else { Status::Failed },
            exit_code: failure.status as u8,
            error: Some(failure.text.clone()),
        },
    };
}
