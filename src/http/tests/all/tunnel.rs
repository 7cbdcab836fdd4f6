//! Plain connections, direct and through a proxy.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{JoinHandle, spawn};

use stratum_http::{Client, ClientOptions, HttpError, Proxies};

use crate::quick;

fn through(proxy: &str, except: &str) -> Client {
    let proxies = Proxies { https: Some(proxy.to_owned()), except: Some(except.to_owned()), http: None };
    Client::new(&ClientOptions { proxies, ..quick() }).unwrap()
}

/// Takes one connection, answers its head with `answer`, and gives that head back.
fn once(answer: &'static str) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
        let head = lines.take_while(|line| !line.is_empty()).collect();
        stream.write_all(answer.as_bytes()).unwrap();
        head
    });
    (address, served)
}

#[test]
fn a_tunnel_goes_through_the_proxy_and_loses_nothing_that_comes_at_once() {
    let (address, served) = once("HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\nhello");
    let mut stream = through(&format!("http://user:p%40ss@{address}"), "").tunnel("packages.invalid", 8443).unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    assert_eq!(received, "hello");
    let expected = [
        "CONNECT packages.invalid:8443 HTTP/1.1",
        "Host: packages.invalid:8443",
        "Proxy-Authorization: Basic dXNlcjpwQHNz",
    ];
    assert_eq!(served.join().unwrap(), expected);
}

#[test]
fn a_host_among_the_exceptions_is_reached_directly() {
    let (address, served) = once("direct");
    let client = through("http://proxy.invalid:3128", "");
    let mut stream = client.tunnel("127.0.0.1", address.port()).unwrap();
    stream.write_all(b"hello\r\n\r\n").unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    assert_eq!((received.as_str(), served.join().unwrap()), ("direct", vec!["hello".to_owned()]));
    let error = through("http://proxy.invalid:3128", ".example").tunnel("a.example", 1).unwrap_err();
    assert!(error.to_string().starts_with("a.example:1: "), "{error}");
}

#[test]
fn a_proxy_that_refuses_is_named_without_its_password() {
    for (answer, hint) in [
        ("HTTP/1.1 407 Who\r\n\r\n", "answered 407 to CONNECT: put user and password into its URL"),
        ("HTTP/1.0 403 No\r\n\r\n", "answered 403 to CONNECT: it may not allow this host or port"),
    ] {
        let (address, _served) = once(answer);
        let error = through(&format!("http://user:secret@{address}"), "").tunnel("a.invalid", 443).unwrap_err();
        assert!(matches!(error, HttpError::ProxyRefused { .. }), "{error:?}");
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("a.invalid:443: the proxy http://{address} {hint}")), "{shown}");
    }
}

#[test]
fn a_proxy_that_talks_nonsense_or_hangs_up_is_an_error() {
    for answer in ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 200", ""] {
        let (address, _served) = once(answer);
        let error = through(&format!("http://{address}"), "").tunnel("a.invalid", 443).unwrap_err();
        assert!(matches!(error, HttpError::Broken { .. }), "{error:?}");
    }
}

#[test]
fn a_proxy_with_tls_opens_no_tunnel() {
    let error = through("https://user:secret@proxy.invalid:3129", "").tunnel("a.invalid", 443).unwrap_err();
    let expected =
        "a.invalid:443: no tunnel through https://proxy.invalid:3129: give a proxy whose URL starts with http://";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn what_is_no_host_is_refused_before_anything_is_sent() {
    for host in ["", "a b", "a\r\nHost: x", "user@host", "a/b"] {
        let error = through("http://proxy.invalid", "").tunnel(host, 443).unwrap_err();
        assert!(matches!(error, HttpError::BadUrl { .. }), "{error:?}");
    }
}
