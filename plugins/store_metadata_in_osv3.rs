//! `store_metadata_in_osv3`: what became of the build, as annotations and labels of its object in the cluster.
//!
//! Reads the record, the facts, the names the image got and the Build object of the task. Writes atomic-reactor's
//! annotations ([`crate::annotations`]) through the cluster's API, whatever happened; annotations of others stay. Fails
//! the build when the API refuses it. The arguments of older lists (`url`, `verify_ssl`, `use_auth`) have no effect:
//! the API is the pod's, or that of the site's `openshift`.

use std::sync::Arc;

use cluster::{Client, Marks, Object};
use pipeline::{BuildObject, Exit, ExitView, Made, Plugin, PluginError, Setup};
use tracing::info;

use crate::annotations::{self, Known, Pushed};
use crate::in_cluster::{failed, obsolete, warn_of};

const OBSOLETE: [&str; 3] = ["url", "verify_ssl", "use_auth"];

#[derive(Debug)]
struct StoreMetadataInOsv3 {
    client: Arc<Client>,
    build: Object,
    obsolete: Vec<&'static str>,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<Exit> {
    let obsolete = obsolete(setup, &[], &OBSOLETE)?;
    let (Some(client), Some(build)) = (&setup.wanted.cluster, &setup.wanted.task.build) else { return Ok(None) };
    let client = Arc::clone(client);
    Ok(Some(Box::new(StoreMetadataInOsv3 { client, build: object(build), obsolete })))
}

fn object(build: &BuildObject) -> Object {
    Object { namespace: build.namespace.clone(), name: build.name.clone() }
}

impl Plugin<Exit> for StoreMetadataInOsv3 {
    fn run(&self, view: &ExitView<'_>) -> Result<(), PluginError> {
        warn_of(&self.obsolete);
        let marks = Marks { annotations: annotations::decide(&known(view)), labels: annotations::labels(view.facts) };
        let name = &self.build.name;
        self.client
            .mark_build(&self.build, &marks)
            .map_err(|error| failed(&format!("the annotations of build {name} cannot be written"), &error))?;
        info!(build = name, annotations = marks.annotations.len(), labels = marks.labels.len(), "annotations written");
        Ok(())
    }
}

fn known<'a>(view: &ExitView<'a>) -> Known<'a> {
    let parents = view
        .facts
        .parents()
        .map(|parents| parents.iter().map(|parent| (parent.name.clone(), parent.pinned.to_string())).collect());
    let published = view.published.map(|published| Pushed {
        digest: published.digest.to_string(),
        media_type: &published.descriptor.media_type,
        names: published.locations.iter().filter_map(transport::Location::in_registry).collect(),
    });
    Known { record: view.record, tags: view.facts.tags(), parents, published, media_types: view.facts.media_types() }
}

#[cfg(test)]
mod tests;
