//! Files with what a build made, for programs: `--iidfile`, `--digestfile`, `--metadata-file`.

use std::path::Path;

use ::build::Published;
use oci::manifest::canonical;
use serde_json::{Map, Value, json};

use super::Job;
use crate::failure::{Failure, Status};

/// Writes the files that are asked for, by the user's rights, each at once.
pub(super) fn write(job: &Job<'_>, published: &Published) -> Result<(), Failure> {
    let record = job.recorder.record();
    // docker and buildah call an image by its config.
    let config = record.image.map(|image| image.config).unwrap_or_default();
    let put = |path: &Option<std::path::PathBuf>, bytes: &[u8]| match path {
        None => Ok(()),
        Some(path) => job.session.entered.outside().run(|| replace(path, bytes)),
    };
    // Without a line feed: these are read as they are.
    put(&job.arguments.iidfile, config.as_bytes())?;
    put(&job.arguments.digestfile, published.digest.as_str().as_bytes())?;
    let names: Vec<String> = job.settings.wanted.names.iter().map(ToString::to_string).collect();
    let metadata = canonical(&metadata(&config, published, &names));
    put(&job.arguments.metadata_file, &metadata.map_err(|error| Failure::of(Status::Bug, &error))?)
}

/// BuildKit's keys (exporter/containerimage/exptypes), of which buildah writes those of the image.
fn metadata(config: &str, published: &Published, names: &[String]) -> Map<String, Value> {
    let mut metadata = Map::new();
    let mut put = |key: &str, value: Value| drop(metadata.insert(key.to_owned(), value));
    put("containerimage.digest", json!(published.digest));
    put("containerimage.descriptor", json!(published.descriptor));
    if !config.is_empty() {
        put("containerimage.config.digest", json!(config));
    }
    if !names.is_empty() {
        put("image.name", json!(names.join(",")));
    }
    metadata
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    transport::replace_file(path, |to| to.write_all(bytes))
        .map_err(|error| Failure::new(Status::Environment, format!("{}: cannot be written: {error}", path.display())))
}
