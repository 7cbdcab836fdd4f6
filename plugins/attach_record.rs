//! `attach_record`: the record of the build, beside the image in its registry.
//!
//! Reads the record and where the image was pushed. Puts the record there as an artifact whose subject is the image
//! (OCI image-spec, manifest.md, "Guidelines for Artifact Usage"), once for each repository; does nothing for an image
//! that was not pushed. Fails the build when a registry refuses it; the others get it all the same.

use std::collections::BTreeSet;

use oci::manifest::media_type::OCI_MANIFEST;
use oci::{Descriptor, Digest, Reference};
use pipeline::record::MEDIA_TYPE;
use pipeline::{Class, Exit, ExitView, Made, Plugin, PluginError, Setup};
use registry::{Kind, Registries, RegistryError};
use serde_json::{Value, json};
use transport::Location;

/// The config of an artifact that has none.
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

#[derive(Debug)]
struct AttachRecord;

pub(crate) fn make(setup: &Setup<'_>) -> Made<Exit> {
    let acts = setup.wanted.pushes_record || setup.site.record.push;
    Ok(if acts { Some(Box::new(AttachRecord)) } else { None })
}

impl Plugin<Exit> for AttachRecord {
    fn run(&self, view: &ExitView<'_>) -> Result<(), PluginError> {
        let Some(published) = view.published else { return Ok(()) };
        let record = serde_json::to_vec(view.record).map_err(|error| PluginError::of(Class::Bug, &error))?;
        let manifest = artifact(&published.descriptor, &record).to_string();
        let mut done = Ok(());
        for image in repositories(&published.locations) {
            let attached = attach(view.registries, image, &record, manifest.as_bytes());
            done = done.and(attached.map_err(|error| failed(image, &error)));
        }
        done
    }
}

fn attach(registries: &Registries, image: &Reference, record: &[u8], manifest: &[u8]) -> Result<(), RegistryError> {
    registries.put_blob(image, EMPTY)?;
    registries.put_blob(image, record)?;
    registries.attach(image, manifest)?;
    Ok(())
}

fn failed(image: &Reference, error: &RegistryError) -> PluginError {
    let class = match error.kind() {
        Kind::Configuration => Class::Configuration,
        // The image is there: what is missing now the registry lost.
        Kind::NoSuchImage | Kind::Service => Class::Remote,
    };
    let error = PluginError::of(class, error);
    let text = format!("the record cannot be attached to the image in {}: {}", image.name(), error.text);
    PluginError { text, ..error }.help("the image is published all the same; --record writes the record to a file")
}

/// One name in each repository the image is in.
fn repositories(locations: &[Location]) -> Vec<&Reference> {
    let mut seen = BTreeSet::new();
    let images = locations.iter().filter_map(Location::in_registry);
    images.filter(|image| seen.insert(image.name())).collect()
}

/// The manifest of the artifact.
fn artifact(subject: &Descriptor, record: &[u8]) -> Value {
    let descriptor = |media_type: &str, digest: &Digest, size: u64| {
        let digest = digest.to_string();
        json!({"mediaType": media_type, "digest": digest, "size": size})
    };
    let of = |media_type: &str, bytes: &[u8]| descriptor(media_type, &Digest::of(bytes), bytes.len() as u64);
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": MEDIA_TYPE,
        "config": of(EMPTY_TYPE, EMPTY),
        "layers": [of(MEDIA_TYPE, record)],
        "subject": descriptor(&subject.media_type, &subject.digest, subject.size),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_artifact_names_the_image_and_holds_the_record() {
        let subject = Descriptor::new(OCI_MANIFEST, Digest::of(b"image"), 5);
        let expected = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.stratum.build-record.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
                "size": 2,
            },
            "layers": [{
                "mediaType": "application/vnd.stratum.build-record.v1+json",
                "digest": Digest::of(b"record").to_string(),
                "size": 6,
            }],
            "subject": {
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": Digest::of(b"image").to_string(),
                "size": 5,
            },
        });
        assert_eq!(artifact(&subject, b"record"), expected);
    }

    #[test]
    fn each_repository_gets_it_once_and_other_places_do_not() {
        let at = |name: &str| Location::Registry(name.parse().unwrap());
        let store = Location::Store("r.example/a:1".to_owned());
        let locations = [at("r.example/a:1"), store, at("r.example/a:2"), at("r.example/b:1")];
        let names: Vec<String> = repositories(&locations).into_iter().map(ToString::to_string).collect();
        assert_eq!(names, ["r.example/a:1", "r.example/b:1"]);
    }
}
