//! Steps that do not want to be served.

use std::time::Instant;

use super::*;

#[track_caller]
fn check(request: &str, status: u16) {
    let store = tempfile::tempdir().unwrap();
    let step = step(store.path(), options(&["*"]));
    let (got, body) = step.ask(request);
    assert_eq!(got, status, "{request:?} {}", String::from_utf8_lossy(&body));
}

#[test]
fn requests_that_could_be_read_in_two_ways_are_refused() {
    let start = "POST http://a.example/ HTTP/1.1\r\nHost: a\r\n";
    check(&format!("{start}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
    check(&format!("{start}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), 400);
    check(&format!("{start}Content-Length: 3, 3\r\n\r\nabc"), 400);
    check(&format!("{start}Content-Length: +3\r\n\r\nabc"), 400);
    check(&format!("{start}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 400);
    check(&format!("{start}Host: b\r\n\r\n"), 400);
    check(&format!("{start}X-A: b\r\n folded\r\n\r\n"), 400);
    check(&format!("{start}X-A : b\r\n\r\n"), 400);
    check("POST http://a.example/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
}

#[test]
fn what_is_no_request_is_refused() {
    check("\x16\x03\x01\x02\r\n\r\n", 400);
    check("GET ftp://a.example/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400);
    check("GET https://a.example/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400);
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 400);
    for target in ["a.example", ":443", "a@b:443", "a/b:443", "a:99999", "a:", "[::1"] {
        check(&format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
    }
}

#[test]
fn a_head_may_not_be_large() {
    check(&format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000)), 431);
    check(&format!("GET / HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(101)), 400);
}

#[test]
fn connections_beyond_the_limit_are_turned_away_and_the_end_does_not_wait_for_the_rest() {
    let store = tempfile::tempdir().unwrap();
    let step = step(store.path(), options(&[]));
    let idle: Vec<TcpStream> = (0..128).map(|_| TcpStream::connect(step.address).unwrap()).collect();
    // The 129th waits in the backlog behind the others, so all have their threads when it is answered.
    assert_eq!(step.get("/").0, 503);
    drop(idle.into_iter().next());
    let mut status = 503;
    while status == 503 {
        status = step.get("/").0;
    }
    assert_eq!(status, 404);
    let began = Instant::now();
    assert!(!step.finish().is_empty());
    assert!(began.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_connection_is_used_again_and_garbage_after_a_request_is_no_part_of_it() {
    let store = tempfile::tempdir().unwrap();
    let step = step(store.path(), options(&[]));
    let get = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";
    let (status, _, rest) = step.ask_whole(&format!("{get}{get}garbage\r\n\r\n"));
    let rest = text(&rest);
    assert_eq!((status, rest.matches("HTTP/1.1 404").count(), rest.matches("HTTP/1.1 400").count()), (404, 1, 1));
    assert_eq!(step.finish().len(), 2);
}

#[test]
fn after_the_end_nothing_is_served() {
    let store = tempfile::tempdir().unwrap();
    let step = step(store.path(), options(&[]));
    let address = step.address;
    step.finish();
    assert!(TcpStream::connect(address).is_err());
}
