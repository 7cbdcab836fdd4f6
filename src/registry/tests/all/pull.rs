//! Pulling from a registry that lies, breaks or dawdles.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{Floor, HttpError};
use oci::manifest::media_type;
use oci::{Digest, Document};
use stratum_registry::{BlobReader, Credentials, Kind, Registries, RegistryError};

use crate::server::{Answer, Body, Seen, Server, serve};
use crate::{anonymous, descriptor, image, manifest, noise, quick, with};

fn resolve(answer: Answer, name: &str) -> Result<Document, RegistryError> {
    let server = serve(move |_| answer.clone());
    anonymous().resolve(&image(server.address, name)).map(|pulled| pulled.document)
}

fn open(registries: &Registries, server: &Server, content: &[u8]) -> Result<BlobReader, RegistryError> {
    registries.blob(&image(server.address, "a:1"), &descriptor(content))
}

fn read(server: &Server, content: &[u8]) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let read = open(&anonymous(), server, content)?.read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(|error| RegistryError::from_io(error).unwrap())
}

#[test]
fn a_manifest_that_is_not_json_is_refused() {
    let error = resolve(Answer::new(200, "<html>"), "a:1").unwrap_err();
    assert!(matches!(error, RegistryError::NotAManifest { .. }), "{error:?}");
}

#[test]
fn a_manifest_that_is_not_the_one_asked_for_is_refused() {
    let asked = Digest::of(b"another");
    let error = resolve(Answer::new(200, manifest()), &format!("a@{asked}")).unwrap_err();
    let RegistryError::DigestMismatch { expected, got, .. } = error else { panic!("{error:?}") };
    assert_eq!((expected, got), (asked, Digest::of(&manifest())));
}

#[test]
fn a_manifest_that_is_not_the_one_promised_is_refused() {
    let answer = |digest| Answer::new(200, manifest()).header("Docker-Content-Digest", digest);
    assert!(resolve(answer(Digest::of(&manifest())), "a:1").is_ok());
    let error = resolve(answer(Digest::of(b"another")), "a:1").unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
}

#[test]
fn an_endless_manifest_is_refused() {
    let error = resolve(Answer::with(200, Body::Endless), "a:1").unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { .. }), "{error:?}");
}

#[test]
fn an_index_comes_as_an_index() {
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media_type::DOCKER_LIST);
    assert!(matches!(resolve(Answer::new(200, index), "a:1"), Ok(Document::Index(_))));
}

#[test]
fn without_a_promised_digest_the_head_is_taken_from_the_manifest() {
    let server = serve(|_| Answer::new(200, manifest()));
    let head = anonymous().head(&image(server.address, "a:1")).unwrap().unwrap();
    assert_eq!(head.digest, Digest::of(&manifest()));
    assert_eq!(server.lines(), ["HEAD /v2/a/manifests/1", "GET /v2/a/manifests/1"]);
}

#[test]
fn an_error_of_the_registry_is_told_in_one_line() {
    let body = "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"slow\\n\\u001b[31mdown\"}]}";
    let error = resolve(Answer::new(429, body), "a:1").unwrap_err().to_string();
    let expected =
        "the registry answered 429 Too Many Requests to GET /v2/a/manifests/1: TOOMANYREQUESTS: slow  [31mdown";
    assert!(error.ends_with(expected), "{error}");
}

#[test]
fn a_registry_that_recovers_is_asked_again() {
    let mut statuses = vec![500, 429, 503, 200].into_iter();
    let server = serve(move |_| Answer::new(statuses.next().unwrap(), manifest()));
    assert!(anonymous().resolve(&image(server.address, "a:1")).is_ok());
}

/// Sends `bytes` from the start that the request asks for, `length` of them and then cuts.
fn piece(request: &Seen, bytes: &[u8], length: usize) -> Answer {
    let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    let start: usize = range.map_or(0, |start| start.parse().unwrap());
    let rest = &bytes[start..];
    let body = Body::Cut(rest.len() as u64, rest[..length.min(rest.len())].to_vec());
    let status = if start == 0 { 200 } else { 206 };
    Answer::with(status, body).header("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))
}

#[test]
fn a_blob_that_is_cut_goes_on_where_it_was() {
    let content = noise(1_000_000);
    let sent = content.clone();
    let server = serve(move |request| piece(request, &sent, 300_000));
    assert!(read(&server, &content).unwrap() == content);
    let ranges: Vec<_> = server.seen().iter().map(|seen| seen.header("range").map(str::to_owned)).collect();
    let expected = [None, Some("bytes=300000-"), Some("bytes=600000-"), Some("bytes=900000-")];
    assert_eq!(ranges, expected.map(|range| range.map(str::to_owned)));
}

#[test]
fn a_blob_that_is_cut_too_often_is_an_error() {
    let content = noise(1_000_000);
    let sent = content.clone();
    let server = serve(move |request| piece(request, &sent, 100_000));
    let error = read(&server, &content).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn a_server_that_knows_no_ranges_starts_again_and_what_was_there_is_skipped() {
    let content = noise(1_000_000);
    let sent = content.clone();
    let mut lengths = vec![300_000, 500_000, 1_000_000].into_iter();
    let server = serve(move |_| {
        let length = lengths.next().unwrap();
        Answer::with(200, Body::Cut(1_000_000, sent[..length].to_vec()))
    });
    assert!(read(&server, &content).unwrap() == content);
    let sent = content.clone();
    let server = serve(move |_| Answer::with(200, Body::Cut(1_000_000, sent[..300_000].to_vec())));
    let error = read(&server, &content).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }) && error.is_transient(), "{error:?}");
}

#[test]
fn a_range_of_other_bytes_does_not_become_part_of_the_blob() {
    let content = noise(1_000_000);
    let mut sent = content.clone();
    let server = serve(move |request| {
        let answer = piece(request, &sent, 600_000);
        sent[700_000] ^= 1;
        answer
    });
    let error = read(&server, &content).unwrap_err();
    assert!(matches!(error, RegistryError::DigestMismatch { .. }), "{error:?}");
}

#[test]
fn a_token_that_ends_in_the_middle_of_a_blob_is_replaced() {
    let content = noise(1_000_000);
    let sent = content.clone();
    let mut given = vec!["old", "new"].into_iter();
    let tokens = serve(move |_| Answer::new(200, format!(r#"{{"token":"{}"}}"#, given.next().unwrap())));
    let challenge = format!(r#"Bearer realm="{}",service="test""#, tokens.url("/token"));
    let server = serve(move |request| match (request.header("authorization"), request.header("range")) {
        (Some("Bearer old"), None) | (Some("Bearer new"), _) => piece(request, &sent, 600_000),
        _ => Answer::new(401, "").header("WWW-Authenticate", &challenge),
    });
    assert!(read(&server, &content).unwrap() == content);
    assert_eq!((server.seen().len(), tokens.seen().len()), (4, 2));
}

#[test]
fn a_blob_that_drips_is_given_up() {
    let server = serve(|_| Answer::with(200, Body::Drip(Duration::from_millis(2))));
    let mut options = quick(Credentials::default());
    options.http.floor = Floor { bytes: 10_000, window: Duration::from_millis(100) };
    let mut reader = open(&Registries::new(options).unwrap(), &server, &noise(1_000_000)).unwrap();
    let error = RegistryError::from_io(reader.read_to_end(&mut Vec::new()).unwrap_err()).unwrap();
    let RegistryError::Unreachable { source, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(source, HttpError::TooSlow { .. }) && error.is_transient(), "{source:?}");
    assert_eq!((error.kind(), server.seen().len()), (Kind::Service, 4));
}

#[test]
fn a_cancelled_pull_ends_at_once() {
    let server = serve(|_| Answer::with(200, Body::Drip(Duration::from_secs(60))));
    let cancelled = Arc::new(AtomicBool::new(false));
    let mut options = quick(Credentials::default());
    options.http.cancelled = Some(Arc::clone(&cancelled));
    let mut reader = open(&Registries::new(options).unwrap(), &server, &noise(1000)).unwrap();
    let started = Instant::now();
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 1);
    cancelled.store(true, Ordering::Relaxed);
    let error = RegistryError::from_io(reader.read_to_end(&mut Vec::new()).unwrap_err()).unwrap();
    assert!(matches!(error, RegistryError::Cancelled { .. }) && !error.is_transient(), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn a_blob_with_other_content_is_refused_before_its_last_bytes_are_out() {
    let content = noise(1_000_000);
    let mut wrong = content.clone();
    wrong[0] ^= 1;
    let server = serve(move |_| Answer::new(200, wrong.clone()));
    let mut reader = open(&anonymous(), &server, &content).unwrap();
    let mut bytes = Vec::new();
    for _ in 0..2 {
        assert!(reader.read_to_end(&mut bytes).is_err());
        assert!(bytes.len() < content.len());
    }
    assert!(matches!(read(&server, &content), Err(RegistryError::DigestMismatch { .. })));
}

#[test]
fn a_blob_of_another_length_is_refused() {
    let content = noise(100_000);
    let (short, long) = (content[1..].to_vec(), [&content[..], b"x"].concat());
    let bodies = [Body::Whole(short.clone()), Body::Chunked(short), Body::Whole(long.clone()), Body::Chunked(long)];
    for body in bodies.into_iter().chain([Body::Endless]) {
        let server = serve(move |_| Answer::with(200, body.clone()));
        let error = read(&server, &content).unwrap_err();
        assert!(matches!(error, RegistryError::SizeMismatch { expected: 100_000, .. }), "{error:?}");
    }
}

#[test]
fn an_empty_blob_is_a_blob() {
    let server = serve(|_| Answer::new(200, ""));
    assert_eq!(read(&server, b"").unwrap(), b"");
    let mut lie = descriptor(b"");
    lie.digest = Digest::of(b"x");
    let mut reader = anonymous().blob(&image(server.address, "a:1"), &lie).unwrap();
    assert!(reader.read(&mut [0; 9]).is_err());
}

#[test]
fn a_config_larger_than_allowed_is_not_fetched() {
    let server = serve(|_| Answer::new(200, "hello"));
    let error = anonymous().small_blob(&image(server.address, "a:1"), &descriptor(b"hello"), 4).unwrap_err();
    assert!(matches!(error, RegistryError::TooLarge { limit: 4, .. }), "{error:?}");
    assert!(server.seen().is_empty());
}

#[test]
fn a_storage_server_behind_a_redirect_learns_no_password() {
    let content = noise(100_000);
    let sent = content.clone();
    let storage = serve(move |_| Answer::new(200, sent.clone()));
    let nosy = serve(|_| Answer::new(401, "").header("WWW-Authenticate", "Basic realm=x"));
    for (storage, is_honest) in [(&storage, true), (&nosy, false)] {
        let target = storage.url("/blob");
        let server = serve(move |request| match request.header("authorization") {
            None => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=x"),
            Some(_) => Answer::new(307, "").header("Location", &target),
        });
        let read = open(&with("user:secret"), &server, &content);
        assert_eq!(read.is_ok(), is_honest);
        assert!(storage.seen().iter().all(|request| request.header("authorization").is_none()));
    }
}
