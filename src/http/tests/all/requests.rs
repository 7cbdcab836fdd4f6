//! Requests that end, and how.

use std::io::Read;
use std::time::Duration;

use stratum_http::header::{AUTHORIZATION, USER_AGENT};
use stratum_http::{Client, ClientOptions, Floor, HttpError, Identity, Proxies, Secret};

use crate::server::{Answer, Body, serve};
use crate::{client, get, quick};

#[test]
fn a_body_arrives_whole_and_the_connection_is_used_again() {
    let content: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let sent = content.clone();
    let server = serve(move |_| Answer::new(200, sent.clone()));
    let client = client();
    for _ in 0..2 {
        let mut body = Vec::new();
        client.send(&get(&server.url("/a"))).unwrap().into_body().read_to_end(&mut body).unwrap();
        assert!(body == content);
    }
    assert!(server.seen()[0].header(USER_AGENT.as_str()).unwrap().starts_with("stratum/"));
}

#[test]
fn a_body_that_is_cut_is_an_error_each_time_it_is_read() {
    let server = serve(|_| Answer::with(200, Body::Cut(100, b"half".to_vec())));
    let mut body = client().send(&get(&server.url("/a?token=x"))).unwrap().into_body();
    let mut buffer = Vec::new();
    for _ in 0..2 {
        let error = body.read_to_end(&mut buffer).unwrap_err().downcast::<HttpError>().unwrap();
        assert!(matches!(error, HttpError::Broken { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("{}: the connection broke while receiving the body", server.url("/a")));
    }
    assert_eq!(buffer, b"half");
}

#[test]
fn an_endless_body_stops_at_the_limit() {
    let server = serve(|_| Answer::with(200, Body::Endless));
    let error = client().send(&get(&server.url("/a"))).unwrap().bytes(1_000_000).unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { limit: 1_000_000, .. }), "{error:?}");
}

#[test]
fn a_server_that_says_nothing_times_out() {
    let server = serve(|_| Answer::with(200, Body::Silence));
    let options = ClientOptions { connect_timeout: quick().idle_timeout, ..quick() };
    let error = Client::new(&options).unwrap().send(&get(&server.url("/a"))).unwrap_err();
    assert!(matches!(error, HttpError::TimedOut { .. }), "{error:?}");
}

#[test]
fn a_refused_connection_names_its_cause() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = client().send(&get(&format!("http://user:secret@{address}/a"))).unwrap_err();
    let HttpError::Connect { source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), format!("http://{address}/a: cannot connect"));
    assert!(source.to_string().starts_with("Connection refused"), "{source}");
}

#[test]
fn https_to_a_plain_server_says_what_to_do() {
    let server = serve(|_| Answer::new(200, ""));
    let error = client().send(&get(&server.url("/a").replace("http:", "https:"))).unwrap_err();
    assert!(matches!(error, HttpError::NotTls { .. }), "{error:?}");
    assert!(error.to_string().ends_with("use --tls-verify=false"));
}

#[test]
fn transient_answers_are_tried_again_and_others_are_not() {
    let mut statuses = vec![503, 429, 200, 404, 503, 503, 503, 503, 503].into_iter();
    let server = serve(move |_| Answer::new(statuses.next().unwrap(), ""));
    let client = client();
    let status = || client.send_retrying(&get(&server.url("/a"))).unwrap().status().as_u16();
    assert_eq!([status(), status(), status()], [200, 404, 503]);
    assert_eq!(server.seen().len(), 3 + 1 + 4);
}

#[test]
fn a_server_is_given_the_time_it_asks_for_up_to_a_limit() {
    let now = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (asked, is_waited_for) in [("0", true), (now, true), ("2", false), ("Sun, 06 Nov 1994 08:51:37 GMT", false)] {
        let mut statuses = vec![429, 200].into_iter();
        let server =
            serve(move |_| Answer::new(statuses.next().unwrap(), "").header("Retry-After", asked).header("Date", now));
        let answer = client().send_retrying(&get(&server.url("/a"))).unwrap();
        assert_eq!(answer.status().as_u16(), if is_waited_for { 200 } else { 429 });
        assert!(is_waited_for || answer.retry_after().unwrap() >= Duration::from_secs(2));
    }
}

#[test]
fn a_body_that_drips_is_given_up() {
    let server = serve(|_| Answer::with(200, Body::Drip(Duration::from_millis(5))));
    let floor = Floor { bytes: 1000, window: Duration::from_millis(200) };
    let body = Client::new(&ClientOptions { floor, ..quick() }).unwrap().send(&get(&server.url("/a"))).unwrap();
    let error = body.bytes(1_000_000).unwrap_err();
    assert!(matches!(error, HttpError::TooSlow { .. }) && error.is_transient(), "{error:?}");
}

#[test]
fn a_client_certificate_that_cannot_be_used_is_named_without_its_key() {
    let key = Secret::new("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----");
    let identity = Identity { label: "client.cert".to_owned(), certificates: b"x".to_vec(), key };
    let error = Client::new(&ClientOptions { identity: Some(identity), ..quick() }).unwrap_err().to_string();
    assert_eq!(error, "client.cert: not usable as a client certificate: there is no PEM certificate in it");
}

#[test]
fn credentials_do_not_follow_to_another_server() {
    let other = serve(|_| Answer::new(200, "there"));
    let target = other.url("/b");
    let server = serve(move |request| match request.target.as_str() {
        "/a" => Answer::new(307, "moved").header("Location", "/here"),
        _ => Answer::new(302, "moved").header("Location", &target),
    });
    let request = get(&server.url("/a")).secret_header(AUTHORIZATION, &Secret::new("Basic eA==")).unwrap();
    let response = client().send(&request).unwrap();
    assert_eq!(response.bytes(10).unwrap(), b"there");
    let shown = |seen: Vec<crate::server::Seen>| -> Vec<bool> {
        seen.iter().map(|request| request.header("authorization").is_some()).collect()
    };
    assert_eq!((shown(server.seen()), shown(other.seen())), (vec![true, true], vec![false]));
}

#[test]
fn a_circle_of_redirects_ends() {
    let server = serve(|_| Answer::new(302, "").header("Location", "/a"));
    let error = client().send(&get(&server.url("/a"))).unwrap_err();
    assert!(matches!(error, HttpError::Redirect { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 11);
}

#[test]
fn a_proxy_is_used_except_for_loopback() {
    let proxy = serve(|_| Answer::new(200, "proxied"));
    let server = serve(|_| Answer::new(200, "direct"));
    let proxies = Proxies { http: Some(proxy.url("")), ..Proxies::default() };
    let client = Client::new(&ClientOptions { proxies, ..quick() }).unwrap();
    let body = |url: &str| String::from_utf8(client.send(&get(url)).unwrap().bytes(10).unwrap()).unwrap();
    assert_eq!(body("http://registry.invalid/a"), "proxied");
    assert_eq!(body(&server.url("/a")), "direct");
    assert_eq!(proxy.lines(), ["GET http://registry.invalid/a"]);
}

#[test]
fn a_malformed_proxy_is_named_without_its_password() {
    let proxies = Proxies { https: Some("http://user:secret@[".to_owned()), ..Proxies::default() };
    let error = Client::new(&ClientOptions { proxies, ..quick() }).unwrap_err().to_string();
    assert_eq!(error, "https_proxy: not a proxy URL such as http://proxy.example:3128");
}

#[test]
fn an_answer_that_is_no_http_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH\r\n\r\n").unwrap();
    });
    let error = client().send(&get(&url)).unwrap_err();
    assert!(matches!(error, HttpError::Broken { .. }), "{error:?}");
}
