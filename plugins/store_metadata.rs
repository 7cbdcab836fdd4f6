//! `store_metadata`: the record of the build, as a file.
//!
//! Reads the record. Writes it where --record, the site's `record.path` and the argument `file_path` say, as the user. Fails the build when it
//! cannot be written; one file that fails does not keep it from the other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pipeline::record::Record;
use pipeline::{Class, Exit, ExitView, Made, Plugin, PluginError, Setup};

#[derive(Debug)]
struct StoreMetadata {
    path: Option<PathBuf>,
    /// The argument `file_path` of `store_logs_to_file`.
    file_path: Option<PathBuf>,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<Exit> {
    let path = setup.site.record.path.clone();
    let file_path = setup.text("file_path")?.map(PathBuf::from);
    let acts = setup.wanted.has_record || path.is_some() || file_path.is_some();
    Ok(if acts { Some(Box::new(StoreMetadata { path, file_path })) } else { None })
}

impl Plugin<Exit> for StoreMetadata {
    fn run(&self, view: &ExitView<'_>) -> Result<(), PluginError> {
        let bytes = text(view.record)?;
        let paths: BTreeSet<&Path> = {
            let configured = [self.path.as_deref(), self.file_path.as_deref()];
            view.record_path.into_iter().chain(configured.into_iter().flatten()).collect()
        };
        let mut done = Ok(());
        for path in paths {
            let written = (view.write)(path, &bytes).map_err(|error| {
                let text = format!("{}: cannot write the record: {error}", path.display());
                PluginError::new(Class::Environment, text)
            });
            done = done.and(written);
        }
        done
    }
}

/// The record as people read it, in the order of its schema, with a line end.
fn text(record: &Record) -> Result<Vec<u8>, PluginError> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|error| PluginError::of(Class::Bug, &error))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_the_record_in_lines() {
        let record = Record { record_version: 1, started: "2026-01-02T03:04:05Z".to_owned(), ..Record::default() };
        let bytes = text(&record).unwrap();
        assert!(bytes.starts_with(b"{\n  \"recordVersion\": 1,\n") && bytes.ends_with(b"\n}\n"));
        assert_eq!(serde_json::from_slice::<Record>(&bytes).unwrap(), record);
    }
}
