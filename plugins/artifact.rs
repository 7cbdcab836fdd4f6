//! Documents about an image, beside it in its registries.
//!
//! Comes in: a published image, a document and its media type. Goes out: an artifact whose subject is the image (OCI
//! image-spec, manifest.md, "Guidelines for Artifact Usage"), once for each repository the image is in. It decides
//! nothing about what is attached.

use std::collections::BTreeSet;

use oci::manifest::media_type::OCI_MANIFEST;
use oci::{Descriptor, Digest, Reference};
use pipeline::{Class, ExitView, PluginError};
use registry::{Kind, Registries, RegistryError};
use serde_json::{Value, json};
use transport::Location;

/// The config of an artifact that has none.
const EMPTY: &[u8] = b"{}";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";

/// A document to attach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'a> {
    /// What it is, for errors.
    pub(crate) name: &'a str,
    pub(crate) media_type: &'a str,
    pub(crate) bytes: &'a [u8],
    /// What a user has of it all the same.
    pub(crate) help: &'a str,
}

/// Attaches a document to the image in each repository; the others get it where one refuses it.
///
/// An image that was not published, or to no registry, gets none.
pub(crate) fn attach(view: &ExitView<'_>, document: &Document<'_>) -> Result<(), PluginError> {
    let Some(published) = view.published else { return Ok(()) };
    let manifest = manifest(&published.descriptor, document).to_string();
    let mut done = Ok(());
    for image in repositories(&published.locations) {
        let attached = put(view.registries, image, document.bytes, manifest.as_bytes());
        done = done.and(attached.map_err(|error| failed(image, document, &error)));
    }
    done
}

fn put(registries: &Registries, image: &Reference, document: &[u8], manifest: &[u8]) -> Result<(), RegistryError> {
    registries.put_blob(image, EMPTY)?;
    registries.put_blob(image, document)?;
    registries.attach(image, manifest)?;
    Ok(())
}

fn failed(image: &Reference, document: &Document<'_>, error: &RegistryError) -> PluginError {
    let class = match error.kind() {
        Kind::Configuration => Class::Configuration,
        // The image is there: what is missing now the registry lost.
        Kind::NoSuchImage | Kind::Service => Class::Remote,
    };
    let error = PluginError::of(class, error);
    let text = format!("{} cannot be attached to the image in {}: {}", document.name, image.name(), error.text);
    PluginError { text, ..error }.help(document.help)
}

/// One name in each repository the image is in.
fn repositories(locations: &[Location]) -> Vec<&Reference> {
    let mut seen = BTreeSet::new();
    let images = locations.iter().filter_map(Location::in_registry);
    images.filter(|image| seen.insert(image.name())).collect()
}

/// The manifest of the artifact.
fn manifest(subject: &Descriptor, document: &Document<'_>) -> Value {
    let descriptor = |media_type: &str, digest: &Digest, size: u64| {
        let digest = digest.to_string();
        json!({"mediaType": media_type, "digest": digest, "size": size})
    };
    let of = |media_type: &str, bytes: &[u8]| descriptor(media_type, &Digest::of(bytes), bytes.len() as u64);
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": document.media_type,
        "config": of(EMPTY_TYPE, EMPTY),
        "layers": [of(document.media_type, document.bytes)],
        "subject": descriptor(&subject.media_type, &subject.digest, subject.size),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_artifact_names_the_image_and_holds_the_document() {
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
        let media_type = pipeline::record::MEDIA_TYPE;
        let document = Document { name: "the record", media_type, bytes: b"record", help: "" };
        assert_eq!(manifest(&subject, &document), expected);
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
