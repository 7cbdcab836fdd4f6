//! Waits that end because everything is to stop.

use std::io::Write;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use stratum_http::{CHUNK, Client, ClientOptions, HttpError, Method, Request, Retry, Url};

use crate::server::{Answer, Body, serve};
use crate::{get, quick};

/// Runs `wait` with a client that is cancelled meanwhile, and that would otherwise wait for a minute.
#[track_caller]
fn check(wait: impl FnOnce(Client) -> HttpError) {
    let cancelled = Arc::new(AtomicBool::new(false));
    let minute = Duration::from_secs(60);
    let options = ClientOptions {
        idle_timeout: minute,
        connect_timeout: minute,
        retry: Retry { delays: vec![minute], longest: minute },
        cancelled: Some(Arc::clone(&cancelled)),
        ..quick()
    };
    let client = Client::new(&options).unwrap();
    let flag = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        cancelled.store(true, Ordering::Relaxed);
    });
    let started = Instant::now();
    let error = wait(client);
    assert!(matches!(error, HttpError::Cancelled { .. }), "{error:?}");
    assert!(!error.is_transient() && started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    flag.join().unwrap();
}

#[test]
fn waiting_for_an_answer_is_cancelled() {
    let server = serve(|_| Answer::with(200, Body::Silence));
    check(|client| client.send(&get(&server.url("/a"))).unwrap_err());
}

#[test]
fn waiting_for_a_body_is_cancelled() {
    let server = serve(|_| Answer::with(200, Body::Drip(Duration::from_secs(60))));
    check(|client| client.send(&get(&server.url("/a"))).unwrap().bytes(1000).unwrap_err());
}

#[test]
fn waiting_before_another_attempt_is_cancelled() {
    let server = serve(|_| Answer::new(503, ""));
    check(|client| client.send_retrying(&get(&server.url("/a"))).unwrap_err());
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn an_upload_that_nobody_takes_is_cancelled() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}/a", listener.local_addr().unwrap())).unwrap();
    check(|client| {
        let (mut writer, _answer) = client.upload(Request::new(Method::PATCH, url), None).unwrap();
        let zeros = vec![0; CHUNK];
        let error = std::iter::repeat_with(|| writer.write_all(&zeros)).find_map(Result::err).unwrap();
        error.downcast().unwrap()
    });
}

#[test]
fn last_words_are_said_although_everything_is_cancelled() {
    let server = serve(|_| Answer::new(204, ""));
    let cancelled = Some(Arc::new(AtomicBool::new(true)));
    let client = Client::new(&ClientOptions { cancelled, ..quick() }).unwrap();
    assert!(matches!(client.send(&get(&server.url("/a"))), Err(HttpError::Cancelled { .. })));
    let client = client.for_last_words(Duration::from_secs(5));
    assert_eq!(client.send(&get(&server.url("/a"))).unwrap().status().as_u16(), 204);
    assert_eq!(server.seen().len(), 1);
}
