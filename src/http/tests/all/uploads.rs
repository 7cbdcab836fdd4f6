//! Bodies that are written while they travel.

use std::io::Write;

use stratum_http::{CHUNK, HttpError, Method, Request, Url};

use crate::client;
use crate::server::{Answer, Body, serve};

fn patch(url: &str) -> Request {
    Request::new(Method::PATCH, Url::parse(url).unwrap())
}

#[test]
fn what_is_written_arrives_chunked() {
    let server = serve(|_| Answer::new(202, "thanks"));
    let content: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut writer, answer) = client().upload(patch(&server.url("/a")), None).unwrap();
    writer.write_all(&content).unwrap();
    writer.finish().unwrap();
    assert_eq!(answer.wait().unwrap().bytes(10).unwrap(), b"thanks");
    assert!(server.seen()[0].body == content);
    assert_eq!(server.seen()[0].header("transfer-encoding"), Some("chunked"));
}

#[test]
fn a_known_length_is_announced() {
    let server = serve(|_| Answer::new(202, ""));
    let (mut writer, answer) = client().upload(patch(&server.url("/a")), Some(5)).unwrap();
    writer.write_all(b"hello").unwrap();
    writer.finish().unwrap();
    assert_eq!(answer.wait().unwrap().status().as_u16(), 202);
    let seen = &server.seen()[0];
    assert_eq!((seen.header("content-length"), seen.header("transfer-encoding")), (Some("5"), None));
    assert_eq!(seen.body, b"hello");
}

#[test]
fn an_early_answer_stops_the_writer_and_is_there_to_read() {
    let server = serve(|_| Answer::new(413, "too much").early(CHUNK));
    let (mut writer, answer) = client().upload(patch(&server.url("/a")), None).unwrap();
    let zeros = vec![0; CHUNK];
    let error = std::iter::repeat_with(|| writer.write_all(&zeros)).find_map(Result::err).unwrap();
    let error = error.downcast::<HttpError>().unwrap();
    assert!(matches!(error, HttpError::AnsweredEarly { status: 413, .. }), "{error:?}");
    assert_eq!(answer.wait().unwrap().bytes(10).unwrap(), b"too much");
}

#[test]
fn a_server_that_hangs_up_stops_the_writer() {
    let server = serve(|_| Answer::with(0, Body::HangUp).early(1));
    let (mut writer, answer) = client().upload(patch(&server.url("/a")), None).unwrap();
    let zeros = vec![0; CHUNK];
    let error = std::iter::repeat_with(|| writer.write_all(&zeros)).find_map(Result::err).unwrap();
    assert!(matches!(error.downcast::<HttpError>(), Ok(HttpError::Broken { .. })));
    assert!(answer.wait().is_err());
}

#[test]
fn a_server_that_takes_nothing_stops_the_writer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    let (mut writer, _answer) = client().upload(patch(&url), None).unwrap();
    let zeros = vec![0; CHUNK];
    let error = std::iter::repeat_with(|| writer.write_all(&zeros)).find_map(Result::err).unwrap();
    let error = error.downcast::<HttpError>().unwrap();
    assert!(matches!(error, HttpError::TimedOut { .. }), "{error:?}");
}

#[test]
fn a_writer_that_is_dropped_does_not_look_finished() {
    let server = serve(|_| Answer::new(202, ""));
    let (mut writer, answer) = client().upload(patch(&server.url("/a")), None).unwrap();
    writer.write_all(&vec![0; 2 * CHUNK]).unwrap();
    drop(writer);
    assert!(answer.wait().is_err());
}
