//! Images that have several places.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oci::{Digest, Reference};
use stratum_registry::{Credentials, Kind, Options, Registries, RegistryError};

use crate::server::{Answer, Body, Seen, Server, serve};
use crate::{conf, descriptor, manifest, noise, quick};

/// Options under which `registry.invalid` is at the last of `places`, and the others are its mirrors.
fn options(places: &[&Server]) -> Options {
    let (own, mirrors) = places.split_last().unwrap();
    let mut text = format!("[[registry]]\nprefix = \"registry.invalid\"\nlocation = \"{}\"\n", own.address);
    for mirror in mirrors {
        text += &format!("[[registry.mirror]]\nlocation = \"{}\"\n", mirror.address);
    }
    Options { conf: conf(&text), ..quick(Credentials::default()) }
}

fn through(places: &[&Server]) -> Registries {
    Registries::new(options(places)).unwrap()
}

fn asked_for() -> Reference {
    "registry.invalid/a:1".parse().unwrap()
}

/// A registry with one image, whose layer is `layer`.
fn good(layer: &[u8]) -> Server {
    let layer = layer.to_vec();
    serve(move |request| {
        if request.target.contains("/blobs/") { Answer::new(200, layer.clone()) } else { Answer::new(200, manifest()) }
    })
}

fn always(answer: Answer) -> Server {
    serve(move |_| answer.clone())
}

fn requests(server: &Server) -> Vec<String> {
    server.lines().into_iter().filter(|line| line != "GET /v2/").collect()
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_not_at_all() {
    let layer = noise(100_000);
    let (mirror, origin) = (good(&layer), good(&layer));
    let registries = through(&[&mirror, &origin]);
    registries.resolve(&asked_for()).unwrap();
    let mut read = Vec::new();
    registries.blob(&asked_for(), &descriptor(&layer)).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == layer && origin.seen().is_empty());
    let expected = ["GET /v2/a/manifests/1".to_owned(), format!("GET /v2/a/blobs/{}", Digest::of(&layer))];
    assert_eq!(requests(&mirror), expected);
}

#[test]
fn a_mirror_that_cannot_give_the_image_is_passed_over_and_its_blobs_come_from_where_the_manifest_came() {
    let layer = noise(100_000);
    let bad = [
        Answer::new(404, ""),
        Answer::new(500, ""),
        Answer::with(200, Body::HangUp),
        Answer::new(401, ""),
        Answer::new(200, "<html>"),
    ];
    for answer in bad {
        let (mirror, origin) = (always(answer), good(&layer));
        let registries = through(&[&mirror, &origin]);
        assert_eq!(registries.resolve(&asked_for()).unwrap().bytes, manifest());
        let before = mirror.seen().len();
        let mut read = Vec::new();
        registries.blob(&asked_for(), &descriptor(&layer)).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == layer);
        assert_eq!(mirror.seen().len(), before);
        assert!(registries.head(&asked_for()).unwrap().is_some());
    }
}

#[test]
fn a_mirror_that_cannot_be_reached_is_not_waited_for_again() {
    let (mirror, origin) = (always(Answer::with(200, Body::HangUp)), good(b""));
    let registries = through(&[&mirror, &origin]);
    registries.resolve(&asked_for()).unwrap();
    let before = mirror.seen().len();
    registries.resolve(&"registry.invalid/b:1".parse().unwrap()).unwrap();
    assert_eq!(mirror.seen().len(), before);
}

#[test]
fn a_mirror_with_another_manifest_than_the_digest_says_is_passed_over() {
    let (mirror, origin) = (always(Answer::new(200, r#"{"schemaVersion":2,"manifests":[]}"#)), good(b""));
    let registries = through(&[&mirror, &origin]);
    assert_eq!(registries.resolve(&asked_for().pinned(Digest::of(&manifest()))).unwrap().bytes, manifest());
}

#[test]
fn a_blob_that_a_mirror_lacks_or_breaks_off_comes_from_the_registry() {
    let layer = noise(1_000_000);
    let cut = Body::Cut(1_000_000, layer[..300_000].to_vec());
    for blob in [Answer::new(404, ""), Answer::new(503, ""), Answer::with(200, cut)] {
        let mirror =
            serve(
                move |request: &Seen| {
                    if request.target.contains("/blobs/") { blob.clone() } else { Answer::new(200, manifest()) }
                },
            );
        let origin = good(&layer);
        let registries = through(&[&mirror, &origin]);
        registries.resolve(&asked_for()).unwrap();
        let mut read = Vec::new();
        registries.blob(&asked_for(), &descriptor(&layer)).unwrap().read_to_end(&mut read).unwrap();
        assert!(read == layer);
        assert_eq!(requests(&origin), [format!("GET /v2/a/blobs/{}", Digest::of(&layer))]);
    }
}

#[test]
fn a_blob_that_a_mirror_changed_is_refused() {
    let layer = noise(1_000_000);
    let (mirror, origin) = (good(&noise(1_000_001)[1..]), good(&layer));
    let registries = through(&[&mirror, &origin]);
    registries.resolve(&asked_for()).unwrap();
    let mut reader = registries.blob(&asked_for(), &descriptor(&layer)).unwrap();
    let error = RegistryError::from_io(reader.read_to_end(&mut Vec::new()).unwrap_err()).unwrap();
    let RegistryError::DigestMismatch { image, .. } = &error else { panic!("{error:?}") };
    assert!(image.starts_with(&mirror.address.to_string()), "{image}");
}

#[test]
fn when_no_place_has_the_image_each_is_named() {
    let (mirror, origin) = (always(Answer::new(403, "")), always(Answer::new(404, "")));
    let registries = through(&[&mirror, &origin]);
    let error = registries.resolve(&asked_for()).unwrap_err();
    assert_eq!(error.kind(), Kind::NoSuchImage);
    let shown = error.to_string();
    for part in ["registry.invalid/a:1: none of its places", &mirror.address.to_string(), &origin.address.to_string()] {
        assert!(shown.contains(part), "{shown}");
    }
    assert_eq!(registries.head(&asked_for()).unwrap(), None);
    let origin = always(Answer::new(500, ""));
    let error = through(&[&mirror, &origin]).resolve(&asked_for()).unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (Kind::Service, true));
}

#[test]
fn what_is_pushed_goes_to_the_registry_and_not_to_a_mirror() {
    let mirror = always(Answer::new(201, ""));
    let origin = serve(|request| match request.method.as_str() {
        "POST" => Answer::new(202, "").header("Location", "/v2/a/blobs/uploads/1"),
        "HEAD" => Answer::new(404, ""),
        _ => Answer::new(201, ""),
    });
    let registries = through(&[&mirror, &origin]);
    registries.put_blob(&asked_for(), b"config").unwrap();
    registries.put_manifest(&asked_for(), "application/json", b"{}").unwrap();
    assert!(mirror.seen().is_empty());
    let methods: Vec<String> =
        origin.seen().into_iter().map(|request| request.method).filter(|method| method != "GET").collect();
    assert_eq!(methods, ["HEAD", "POST", "PUT", "PUT"]);
}

#[test]
fn a_blocked_registry_is_asked_nothing() {
    let conf = conf("[[registry]]\nlocation = \"registry.invalid\"\nblocked = true");
    let registries = Registries::new(Options { conf, ..quick(Credentials::default()) }).unwrap();
    let errors = [
        registries.resolve(&asked_for()).unwrap_err(),
        registries.open_upload(&asked_for()).unwrap_err(),
        registries.blob(&asked_for(), &descriptor(b"x")).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, RegistryError::Blocked { .. }), "{error:?}");
        assert_eq!((error.kind(), error.is_transient()), (Kind::Configuration, false));
    }
}

#[test]
fn credentials_for_one_place_are_not_shown_to_another() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let ask = move |_: &Seen| {
        count.fetch_add(1, Ordering::Relaxed);
        Answer::new(401, "").header("WWW-Authenticate", "Basic realm=x")
    };
    let (mirror, origin) = (
        serve(ask),
        serve(|request| match request.header("authorization") {
            None => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=x"),
            Some(_) => Answer::new(200, manifest()),
        }),
    );
    let file = format!(r#"{{"auths":{{"{}":{{"auth":"dXNlcjpwYXNz"}}}}}}"#, origin.address);
    let credentials = Credentials::parse("f", file.as_bytes()).unwrap();
    let registries = Registries::new(Options { credentials, ..options(&[&mirror, &origin]) }).unwrap();
    registries.resolve(&asked_for()).unwrap();
    assert!(asked.load(Ordering::Relaxed) > 0);
    assert!(mirror.seen().iter().all(|request| request.header("authorization").is_none()));
}
