//! Uploads that break off in the middle, and go on.

use std::io::{self, Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{CHUNK, ClientOptions, Retry};
use oci::Digest;
use stratum_registry::{Credentials, Kind, Options, Registries, RegistryError};

use crate::server::{Answer, Body, Seen, Server, serve, serve_after};
use crate::{anonymous, image, noise, quick};

const PLACE: &str = "/v2/a/blobs/uploads/1";

/// What the registry has of the upload: the bodies of all requests that it did not refuse.
fn received(seen: &[Seen]) -> Vec<u8> {
    let is_taken = |request: &&Seen| {
        matches!(request.method.as_str(), "PATCH" | "PUT") && request.header("authorization") != Some("Bearer old")
    };
    seen.iter().filter(is_taken).flat_map(|request| request.body.clone()).collect()
}

fn status(seen: &[Seen]) -> Answer {
    let last = received(seen).len().saturating_sub(1);
    Answer::new(204, "").header("Location", PLACE).header("Range", format!("0-{last}"))
}

/// A registry with one upload, which tells how much of it there is, except where `script` has another answer.
fn registry(mut script: impl FnMut(&Seen) -> Option<Answer> + Send + 'static) -> Server {
    serve_after(move |request, seen| {
        script(request).unwrap_or_else(|| match request.method.as_str() {
            "POST" | "PATCH" => Answer::new(202, "").header("Location", PLACE),
            "GET" => status(seen),
            "DELETE" => Answer::new(204, ""),
            "HEAD" => Answer::new(404, ""),
            _ => Answer::new(201, ""),
        })
    })
}

/// Answers the first request of `method` with `answer`.
fn once(method: &'static str, answer: Answer) -> impl FnMut(&Seen) -> Option<Answer> {
    let mut answer = Some(answer);
    move |request| if request.method == method { answer.take() } else { None }
}

fn push(registries: &Registries, server: &Server, content: &[u8]) -> Result<(), RegistryError> {
    let mut upload = registries.open_upload(&image(server.address, "a:1"))?;
    upload.send(content)?;
    upload.commit(&Digest::of(content))
}

fn methods(server: &Server) -> Vec<String> {
    server.seen().into_iter().map(|request| request.method).collect()
}

fn hang_up(after: usize) -> Answer {
    Answer::with(0, Body::HangUp).early(after)
}

#[test]
fn an_upload_that_is_cut_goes_on_from_what_the_registry_has() {
    let content = noise(5_000_000);
    for answer in [hang_up(1_000_000), Answer::new(503, "").early(1_000_000), Answer::new(500, "").early(0)] {
        let server = registry(once("PATCH", answer));
        push(&anonymous(), &server, &content).unwrap();
        assert!(received(&server.seen()) == content);
        assert_eq!(methods(&server), ["POST", "PATCH", "GET", "PATCH", "PUT"]);
    }
}

#[test]
fn an_upload_that_is_cut_again_and_again_is_an_error_that_says_so() {
    let server = registry(|request| (request.method == "PATCH").then(|| hang_up(CHUNK)));
    let error = push(&anonymous(), &server, &noise(5_000_000)).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(methods(&server).iter().filter(|method| *method == "PATCH").count(), 4);
}

#[test]
fn an_upload_that_was_lost_begins_anew_while_all_of_it_is_at_hand() {
    let content = noise(5_000_000);
    let mut script = once("PATCH", hang_up(1_000_000));
    let server = registry(move |request| match request.method.as_str() {
        "GET" => Some(Answer::new(404, r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#)),
        _ => script(request),
    });
    push(&anonymous(), &server, &content).unwrap();
    assert!(server.seen().iter().rev().find(|request| request.method == "PATCH").unwrap().body == content);
    assert_eq!(methods(&server), ["POST", "PATCH", "GET", "POST", "PATCH", "PUT"]);
}

#[test]
fn an_upload_that_cannot_go_on_is_pushed_again_where_its_bytes_can_be_read_again() {
    let content = noise(40_000_000);
    let lost = || Answer::new(404, r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#);
    let mut script = once("PATCH", lost().early(25_000_000));
    let server = registry(move |request| if request.method == "GET" { Some(lost()) } else { script(request) });
    let error = push(&anonymous(), &server, &content).unwrap_err();
    assert!(matches!(error, RegistryError::UploadLost { .. }) && error.is_transient(), "{error:?}");
    assert_eq!(error.kind(), Kind::Service);

    let mut script = once("PATCH", lost().early(25_000_000));
    let server = registry(move |request| if request.method == "GET" { Some(lost()) } else { script(request) });
    let (name, mut opened) = (image(server.address, "a:1"), 0);
    let mut open = || -> io::Result<Box<dyn Read + Send>> {
        opened += 1;
        Ok(Box::new(Cursor::new(content.clone())))
    };
    anonymous().put_blob_from(&name, &Digest::of(&content), &mut open).unwrap();
    assert_eq!(opened, 2);
    assert!(server.seen().iter().rev().find(|request| request.method == "PATCH").unwrap().body == content);
}

#[test]
fn a_registry_that_wants_lengths_gets_sized_pieces_from_then_on() {
    let content = noise((16 << 20) + 5);
    let server = registry(|request| request.header("transfer-encoding").map(|_| Answer::new(411, "").early(0)));
    let registries = anonymous();
    push(&registries, &server, &content).unwrap();
    assert_eq!(methods(&server), ["POST", "PATCH", "GET", "PATCH", "PATCH", "PUT"]);
    push(&registries, &server, &content).unwrap();
    let sized: Vec<Seen> =
        server.seen().into_iter().filter(|request| request.header("content-range").is_some()).collect();
    let ranges: Vec<_> = sized.iter().map(|request| request.header("content-range").unwrap()).collect();
    assert_eq!(ranges, ["0-16777215", "16777216-16777220", "0-16777215", "16777216-16777220"]);
    let sent: Vec<u8> = sized.iter().flat_map(|request| request.body.clone()).collect();
    assert!(sent == [content.clone(), content].concat());
}

#[test]
fn a_stream_that_is_refused_late_is_an_error_that_says_what_to_do() {
    let server = registry(|request| (request.method == "PATCH").then(|| Answer::new(413, "").early(25_000_000)));
    let error = push(&anonymous(), &server, &noise(40_000_000)).unwrap_err();
    assert!(matches!(error, RegistryError::StreamRefused { .. }) && error.is_transient(), "{error:?}");
}

#[test]
fn a_sized_piece_that_is_cut_is_finished_and_not_sent_twice() {
    let content = noise((16 << 20) + (3 << 20));
    let mut script = once("PATCH", Answer::new(411, "").early(0));
    let mut cut = Some(hang_up(5_000_000));
    let server = registry(move |request| {
        let is_sized = request.header("content-range").is_some();
        script(request).or_else(|| if is_sized { cut.take() } else { None })
    });
    push(&anonymous(), &server, &content).unwrap();
    let sized: Vec<Seen> =
        server.seen().into_iter().filter(|request| request.header("content-range").is_some()).collect();
    assert!(sized.iter().flat_map(|request| request.body.clone()).collect::<Vec<u8>>() == content);
    assert!(sized.len() >= 2 && sized[0].body.len() < 16 << 20);
}

#[test]
fn a_closing_put_that_is_cut_is_repeated_without_the_bytes_that_arrived() {
    let content = noise(200_000);
    let server = registry(once("PUT", hang_up(50_000)));
    push(&anonymous(), &server, &content).unwrap();
    assert!(received(&server.seen()) == content);
    assert_eq!(methods(&server), ["POST", "PUT", "HEAD", "GET", "PUT"]);
}

/// A registry that stops taking the token `old` when the first PATCH has come so far, and its token server.
fn with_tokens(answered_after: usize) -> (Server, Server) {
    let mut tokens = vec!["old", "new"].into_iter();
    let tokens = serve(move |_| Answer::new(200, format!(r#"{{"token":"{}"}}"#, tokens.next().unwrap())));
    let challenge = format!(r#"Bearer realm="{}",service="test""#, tokens.url("/token"));
    let server = registry(move |request| {
        let refusal = Answer::new(401, "").header("WWW-Authenticate", &challenge);
        match (request.method.as_str(), request.header("authorization")) {
            (_, None) => Some(refusal),
            ("PATCH", Some("Bearer old")) => Some(refusal.early(answered_after)),
            (_, Some("Bearer old")) if request.method != "POST" => Some(refusal),
            _ => None,
        }
    });
    (server, tokens)
}

#[test]
fn a_token_that_ends_in_the_middle_of_an_upload_is_replaced_once() {
    let content = noise(5_000_000);
    let (server, tokens) = with_tokens(1_000_000);
    push(&anonymous(), &server, &content).unwrap();
    assert!(received(&server.seen()) == content);
    assert_eq!(tokens.seen().len(), 2);
    assert_eq!(methods(&server), ["POST", "POST", "PATCH", "GET", "PATCH", "PUT"]);
}

#[test]
fn a_token_that_ends_when_the_bytes_are_gone_is_a_reason_to_push_again() {
    let (server, _tokens) = with_tokens(25_000_000);
    let error = push(&anonymous(), &server, &noise(40_000_000)).unwrap_err();
    assert!(matches!(error, RegistryError::UploadLost { .. }) && error.is_transient(), "{error:?}");
    assert!(server.lines().iter().any(|line| line.starts_with("DELETE ")));
}

#[test]
fn a_registry_that_is_too_busy_says_until_when() {
    let server = registry(|request| {
        (request.method == "POST").then(|| {
            let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"quota"}]}"#;
            Answer::new(429, body).header("Retry-After", 7200)
        })
    });
    let name = image(server.address, "a:1");
    let error = anonymous().open_upload(&name).unwrap_err();
    assert_eq!((error.kind(), error.is_transient(), server.seen().len()), (Kind::Service, false, 1));
    let expected = format!(
        "{name}: the registry answered 429 Too Many Requests and asks to come back in 7200 s: TOOMANYREQUESTS: quota"
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_registry_that_asks_for_a_moment_in_the_middle_gets_it() {
    let content = noise(2_000_000);
    let server = registry(once("PUT", Answer::new(503, "").header("Retry-After", 0)));
    push(&anonymous(), &server, &content).unwrap();
    let server = registry(once("PUT", Answer::new(503, "").header("Retry-After", 7200)));
    let error = push(&anonymous(), &server, &content).unwrap_err();
    assert!(matches!(error, RegistryError::Busy { .. }), "{error:?}");
}

#[test]
fn a_cancelled_upload_ends_at_once_and_is_deleted() {
    let taking = Arc::new(Mutex::new(()));
    let held = taking.lock().unwrap();
    let waiting = Arc::clone(&taking);
    let server = registry(move |request| {
        // Takes nothing of the body before the end of the test; the DELETE comes on another connection.
        (request.method == "PATCH").then(|| {
            let _taking = Arc::clone(&waiting);
            Answer::with(202, Body::Silence).early(CHUNK)
        })
    });
    let cancelled = Arc::new(AtomicBool::new(false));
    let minute = Duration::from_secs(60);
    let options = quick(Credentials::default());
    let http = ClientOptions {
        idle_timeout: minute,
        retry: Retry { delays: vec![minute], longest: minute },
        cancelled: Some(Arc::clone(&cancelled)),
        ..options.http
    };
    let registries = Registries::new(Options { http, ..options }).unwrap();
    let mut upload = registries.open_upload(&image(server.address, "a:1")).unwrap();
    upload.send(&noise(2 * CHUNK)).unwrap();
    cancelled.store(true, Ordering::Relaxed);
    let started = Instant::now();
    let error = upload.send(&noise(64 * CHUNK)).unwrap_err();
    assert!(matches!(error, RegistryError::Cancelled { .. }), "{error:?}");
    drop(upload);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(server.lines().iter().any(|line| line.starts_with("DELETE ")));
    drop(held);
}
