//! Downloads from a server whose every answer is scripted.

use std::io::Read;
use std::time::Duration;

use http::{ClientOptions, Retry};
use oci::digest::Algorithm;

use super::*;
use crate::server::{Answer, Body, Server, serve};

fn client() -> Client {
    let retry = Retry { delays: vec![Duration::ZERO; 2], longest: Duration::ZERO };
    Client::new(&ClientOptions { retry, idle_timeout: Duration::from_secs(5), ..ClientOptions::default() }).unwrap()
}

/// What is fetched from `server` and what is in the file then, `limit` being 100 bytes.
fn get(url: &str, checksum: Option<&Digest>) -> (Result<Downloaded, DownloadError>, String) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"before ").unwrap();
    let result = fetch(&client(), url, &mut file, 100, checksum);
    let mut text = String::new();
    file.seek(io::SeekFrom::Start(0)).unwrap();
    file.read_to_string(&mut text).unwrap();
    (result, text)
}

fn refused(server: &Server, path: &str) -> DownloadError {
    get(&server.url(path), None).0.unwrap_err()
}

#[test]
fn a_file_comes_with_its_digest_time_and_name() {
    let answer = || {
        Answer::new(200, "content")
            .header("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT")
            .header("Content-Disposition", r#"attachment; filename="a; b.tar""#)
    };
    let server = serve(move |_| answer());
    let (result, text) = get(&server.url("/x.tgz"), None);
    let digest = Digest::of(b"content");
    let name = Some("a; b.tar".to_owned());
    assert_eq!(result.unwrap(), Downloaded { digest: digest.clone(), bytes: 7, modified: Some(784_111_777), name });
    assert_eq!(text, "before content");
    get(&server.url("/x.tgz"), Some(&digest)).0.unwrap();
    let mut long = Hasher::new(Algorithm::Sha512);
    long.update(b"content");
    let long = long.finish();
    assert_eq!(get(&server.url("/x.tgz"), Some(&long)).0.unwrap().digest, long);
    let other = Digest::of(b"other");
    let error = get(&server.url("/x.tgz"), Some(&other)).0.unwrap_err();
    let text = format!("{}: the file has the digest {digest}, but {other} was asked for", server.url("/x.tgz"));
    assert_eq!((error.to_string(), error.class()), (text, Class::Refused));
}

#[test]
fn without_a_word_from_the_server_the_url_gives_the_name() {
    let server = serve(|_| Answer::new(200, "x"));
    let name = |path: &str| get(&server.url(path), None).0.unwrap().name;
    assert_eq!(name("/a/b%20c.tar?q=/z#f").as_deref(), Some("b c.tar"));
    assert_eq!(name("/a/"), Some("a".to_owned()));
    assert_eq!((name("/"), name("/a%2f%2e%2e"), name("/a%00b")), (None, None, None));
}

#[test]
fn a_name_from_the_server_is_one_component() {
    let check = |value: &str, name: Option<&str>| assert_eq!(disposed(value.as_bytes()).as_deref(), name, "{value}");
    check("attachment; filename=a.tar", Some("a.tar"));
    check(r#"attachment; FileName="a\"b.tar""#, Some("a\"b.tar"));
    check("inline; filename=no; filename*=UTF-8''na%C3%AFve.tar", Some("naïve.tar"));
    check(r#"attachment; filename="../../etc/passwd""#, Some("passwd"));
    check("attachment; filename=..", None);
    check("attachment; filename*=UTF-8''a%00b", None);
    check("attachment", None);
}

#[test]
fn a_body_that_breaks_off_is_asked_for_again() {
    let mut count = 0;
    let server = serve(move |_| {
        count += 1;
        Answer::with(200, if count == 1 { Body::Cut(7, b"conte".to_vec()) } else { Body::Whole(b"content".to_vec()) })
    });
    let (result, text) = get(&server.url("/x"), None);
    assert_eq!((result.unwrap().bytes, text.as_str()), (7, "before content"));
}

#[test]
fn what_is_too_large_missing_or_no_url_is_said() {
    let server = serve(|seen| {
        let is_missing = seen.target.starts_with("/missing");
        if is_missing { Answer::new(404, "") } else { Answer::new(200, "x".repeat(101)) }
    });
    let error = refused(&server, "/big");
    let text = format!("{}: the file is larger than the 100 bytes allowed", server.url("/big"));
    assert_eq!((error.to_string(), error.class()), (text, Class::Refused));
    let error = refused(&server, "/missing?token=secret");
    let text = format!("{}: the server answered 404; check the address", server.url("/missing"));
    assert_eq!((error.to_string(), error.class()), (text, Class::Source));
    for (url, text) in [
        ("ftp://u:secret@host.example/x", "`ftp://host.example/x` is not an http or https URL: its scheme is another"),
        ("http://u:secret@[/x", "`http://…` is not an http or https URL: it cannot be parsed"),
    ] {
        assert_eq!(get(url, None).0.unwrap_err().to_string(), text);
    }
}

#[test]
fn user_and_password_go_to_the_server_and_into_no_error() {
    let server = serve(|seen| {
        let is_known = seen.header("authorization") == Some("Basic dTpwQHNz");
        Answer::new(if is_known { 403 } else { 500 }, "")
    });
    let url = server.url("/x").replace("://", "://u:p%40ss@");
    let error = get(&url, None).0.unwrap_err().to_string();
    let text = "the server answered 403; it wants credentials, or does not give the file to these";
    assert_eq!(error, format!("{}: {text}", server.url("/x")));
}
