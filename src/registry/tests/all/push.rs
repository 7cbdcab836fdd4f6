//! Pushing to a registry that refuses, moves or breaks.

use std::io::Write;

use http::CHUNK;
use oci::Digest;
use oci::manifest::media_type;
use stratum_registry::{Mounted, Registries, RegistryError};

use crate::server::{Answer, Body, Seen, Server, serve};
use crate::{anonymous, image, manifest, noise, with};

/// A registry that takes uploads, except where `script` has another answer.
fn registry(mut script: impl FnMut(&Seen) -> Option<Answer> + Send + 'static) -> Server {
    serve(move |request| {
        script(request).unwrap_or_else(|| match request.method.as_str() {
            "POST" | "PATCH" => Answer::new(202, "").header("Location", "/v2/a/blobs/uploads/1?state=x"),
            "DELETE" => Answer::new(204, ""),
            "HEAD" => Answer::new(404, ""),
            _ => Answer::new(201, ""),
        })
    })
}

fn push(registries: &Registries, server: &Server, content: &[u8]) -> Result<(), RegistryError> {
    let mut upload = registries.open_upload(&image(server.address, "a:1"))?;
    upload.write_all(content).map_err(|error| RegistryError::from_io(error).unwrap())?;
    upload.commit(&Digest::of(content))
}

#[test]
fn a_large_blob_goes_in_one_chunked_patch_and_a_small_one_in_the_closing_put() {
    let server = registry(|_| None);
    let (large, small) = (noise(3 * CHUNK + 1), noise(CHUNK));
    push(&anonymous(), &server, &large).unwrap();
    push(&anonymous(), &server, &small).unwrap();
    let put = |content: &[u8]| {
        let digest = Digest::of(content).to_string().replace(':', "%3A");
        format!("PUT /v2/a/blobs/uploads/1?state=x&digest={digest}")
    };
    let open = "POST /v2/a/blobs/uploads/".to_owned();
    let patch = "PATCH /v2/a/blobs/uploads/1?state=x".to_owned();
    assert_eq!(server.lines(), [open.clone(), patch, put(&large), open, put(&small)]);
    assert!(server.seen()[1].body == large && server.seen()[4].body == small);
    // Proxies refuse a POST or PUT that does not say that it has no body.
    let length = |request: usize| server.seen()[request].header("content-length").map(str::to_owned);
    assert_eq!((length(0).as_deref(), length(2).as_deref()), (Some("0"), Some("0")));
}

#[test]
fn an_answer_in_the_middle_of_the_body_ends_the_write() {
    let body = r#"{"errors":[{"code":"DENIED","message":"quota"}]}"#;
    let server = registry(move |request| (request.method == "PATCH").then(|| Answer::new(403, body).early(CHUNK)));
    let error = push(&anonymous(), &server, &noise(64 * CHUNK)).unwrap_err();
    let RegistryError::Denied { message, .. } = error else { panic!("{error:?}") };
    assert_eq!(message, "DENIED: quota");
    assert!(server.lines().iter().any(|line| line.starts_with("DELETE ")));
}

#[test]
fn an_upload_on_another_host_gets_no_credentials() {
    let storage = registry(|_| None);
    let place = storage.url("/elsewhere?sig=1");
    let server = registry(move |request| match (request.method.as_str(), request.header("authorization")) {
        (_, None) => Some(Answer::new(401, "").header("WWW-Authenticate", "Basic realm=x")),
        ("POST", _) => Some(Answer::new(202, "").header("Location", &place)),
        (_, Some(_)) => None,
    });
    push(&with("user:secret"), &server, &noise(2 * CHUNK)).unwrap();
    assert_eq!(storage.lines()[0], "PATCH /elsewhere?sig=1");
    assert_eq!(storage.seen().len(), 2);
    assert!(storage.seen().iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn an_upload_without_a_place_is_an_error() {
    for location in [None, Some("ftp://x/y"), Some("http://[")] {
        let server = registry(move |_| {
            let answer = Answer::new(202, "");
            Some(location.iter().fold(answer, |answer, place| answer.header("Location", place)))
        });
        let error = anonymous().open_upload(&image(server.address, "a:1")).unwrap_err();
        assert!(matches!(error, RegistryError::BadAnswer { .. }), "{error:?}");
    }
}

#[test]
fn a_closing_put_whose_answer_was_lost_is_looked_up() {
    let server = registry(|request| match request.method.as_str() {
        "PUT" => Some(Answer::with(0, Body::HangUp)),
        "HEAD" => Some(Answer::new(200, "")),
        _ => None,
    });
    push(&anonymous(), &server, b"hello").unwrap();
    assert!(!server.lines().iter().any(|line| line.starts_with("DELETE ")));
}

#[test]
fn a_closing_put_that_fails_leaves_no_upload() {
    let server = registry(|request| (request.method == "PUT").then(|| Answer::new(400, "")));
    let error = push(&anonymous(), &server, b"hello").unwrap_err();
    assert!(matches!(error, RegistryError::Server { .. }), "{error:?}");
    assert_eq!(server.lines().last().unwrap(), "DELETE /v2/a/blobs/uploads/1?state=x");
}

#[test]
fn the_upload_opened_instead_of_a_mount_is_used() {
    let server = registry(|_| None);
    let (to, from) = (image(server.address, "a:1"), image(server.address, "b:1"));
    let digest = Digest::of(b"hello");
    let Mounted::No(mut upload) = anonymous().mount(&to, &from, &digest).unwrap() else { panic!("mounted") };
    upload.write_all(b"hello").unwrap();
    upload.commit(&digest).unwrap();
    let methods: Vec<String> = server.seen().into_iter().map(|request| request.method).collect();
    assert_eq!(methods, ["POST", "PUT"]);
}

#[test]
fn a_mount_that_is_not_allowed_becomes_an_upload() {
    for status in [401, 403, 404, 405] {
        let server = registry(move |request| request.target.contains("mount=").then(|| Answer::new(status, "")));
        let (to, from) = (image(server.address, "a:1"), image(server.address, "b:1"));
        let mounted = anonymous().mount(&to, &from, &Digest::of(b"x")).unwrap();
        assert!(matches!(mounted, Mounted::No(_)));
    }
}

#[test]
fn a_manifest_that_the_registry_understood_otherwise_is_an_error() {
    let lie = Digest::of(b"lie");
    let server = registry(move |_| Some(Answer::new(201, "").header("Docker-Content-Digest", &lie)));
    let name = image(server.address, "a:1");
    let error = anonymous().put_manifest(&name, media_type::OCI_MANIFEST, &manifest()).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
}

#[test]
fn a_manifest_is_not_put_under_a_digest_that_is_not_its_own() {
    let server = registry(|_| None);
    let name = image(server.address, "a:1").pinned(Digest::of(b"other"));
    let error = anonymous().put_manifest(&name, media_type::OCI_MANIFEST, &manifest()).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
    assert!(server.seen().is_empty());
}
