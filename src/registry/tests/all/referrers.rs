//! Artifacts that belong to an image.

use oci::manifest::{canonical, media_type};
use oci::{Descriptor, Digest, Format, Manifest};
use serde_json::json;
use stratum_registry::RegistryError;

use crate::real::{Mode, Real};
use crate::server::{Answer, serve};
use crate::{anonymous, descriptor, image, manifest};

const RECORD: &str = "application/vnd.example.record.v1+json";

/// The manifest of an artifact of `subject`.
fn artifact(subject: &Descriptor, number: u32) -> Vec<u8> {
    let mut manifest = Manifest::new(Format::Oci, descriptor(b"{}"), vec![descriptor(b"record")]);
    manifest.config.media_type = "application/vnd.oci.empty.v1+json".to_owned();
    manifest.annotations.insert("number".to_owned(), number.to_string());
    manifest.other.insert("artifactType".to_owned(), json!(RECORD));
    manifest.other.insert("subject".to_owned(), serde_json::to_value(subject).unwrap());
    manifest.to_bytes().unwrap()
}

/// How a list names it.
fn listed(artifact: &[u8], number: u32) -> Descriptor {
    let mut descriptor = Descriptor::new(media_type::OCI_MANIFEST, Digest::of(artifact), artifact.len() as u64);
    descriptor.annotations.insert("number".to_owned(), number.to_string());
    descriptor.other.insert("artifactType".to_owned(), json!(RECORD));
    descriptor
}

fn index(manifests: &[Descriptor]) -> Vec<u8> {
    canonical(&json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": manifests})).unwrap()
}

fn subject() -> Descriptor {
    Descriptor::new(media_type::OCI_MANIFEST, Digest::of(&manifest()), manifest().len() as u64)
}

#[test]
fn a_registry_that_knows_subjects_keeps_the_list_itself() {
    let subject = subject();
    let told = subject.digest.clone();
    let first = listed(&artifact(&subject, 1), 1);
    let second = listed(&artifact(&subject, 2), 2);
    let pages = [index(std::slice::from_ref(&first)), index(std::slice::from_ref(&second))];
    let server = serve(move |request| match (request.method.as_str(), request.target.contains("page=2")) {
        ("PUT", _) => Answer::new(201, "").header("OCI-Subject", &told),
        (_, true) => Answer::new(200, pages[1].clone()),
        (_, false) => Answer::new(200, pages[0].clone()).header("Link", "</v2/a/referrers/x?page=2>; rel=\"next\""),
    });
    let (registries, name) = (anonymous(), image(server.address, "a:1"));
    assert_eq!(registries.attach(&name, &artifact(&subject, 1)).unwrap(), first);
    assert_eq!(registries.referrers(&name, &subject.digest).unwrap(), [first.clone(), second]);
    let expected = [
        format!("PUT /v2/a/manifests/{}", first.digest),
        format!("GET /v2/a/referrers/{}", subject.digest),
        "GET /v2/a/referrers/x?page=2".to_owned(),
    ];
    assert_eq!(server.lines(), expected);
}

#[test]
fn a_list_without_an_end_is_refused() {
    let server = serve(|_| Answer::new(200, index(&[])).header("Link", "</v2/a/referrers/x?page=2>; rel=\"next\""));
    let error = anonymous().referrers(&image(server.address, "a:1"), &Digest::of(b"x")).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 100);
}

#[test]
fn a_manifest_without_a_subject_is_not_attached() {
    let server = serve(|_| Answer::new(201, ""));
    for bytes in [manifest(), b"{".to_vec()] {
        let error = anonymous().attach(&image(server.address, "a:1"), &bytes).unwrap_err();
        assert!(matches!(error, RegistryError::NotAnArtifact { .. }), "{error:?}");
    }
    assert!(server.seen().is_empty());
}

#[test]
fn artifacts_are_listed_by_tag_where_the_registry_knows_no_subjects() {
    let Some(real) = Real::start(Mode::Plain) else { return };
    let (registries, name) = (anonymous(), image(real.address, "a:1"));
    for blob in [&b"config"[..], b"layer", b"{}", b"record"] {
        registries.put_blob(&name, blob).unwrap();
    }
    registries.put_manifest(&name, media_type::OCI_MANIFEST, &manifest()).unwrap();
    let subject = subject();
    assert_eq!(registries.referrers(&name, &subject.digest).unwrap(), []);
    let artifacts = [1, 2].map(|number| artifact(&subject, number));
    for bytes in artifacts.iter().chain([&artifacts[0]]) {
        registries.attach(&name, bytes).unwrap();
    }
    let expected = [listed(&artifacts[0], 1), listed(&artifacts[1], 2)];
    assert_eq!(registries.referrers(&name, &subject.digest).unwrap(), expected);
    assert_eq!(registries.resolve(&name.pinned(expected[1].digest.clone())).unwrap().bytes, artifacts[1]);
}
