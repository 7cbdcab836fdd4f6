//! Downloads from a server whose every answer is scripted.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Client, ClientOptions, Retry};
use oci::Digest;

use super::*;
use crate::Class;
use crate::server::{Answer, Body, Seen, Server, serve};

const CONTENT: &[u8] = b"abc";
const SHA512: &str = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                      2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";

fn client() -> Client {
    let retry = Retry { delays: vec![Duration::ZERO; 2], longest: Duration::ZERO };
    let idle_timeout = Duration::from_secs(5);
    Client::new(&ClientOptions { retry, idle_timeout, ..ClientOptions::default() }).unwrap()
}

fn small() -> FetchLimits {
    FetchLimits { max_file: 1 << 20, max_total: 1 << 20 }
}

/// Fetches what `sources` declares from `server` into `into`, MD5 allowed.
fn get(server: &Server, sources: &str, into: &Path, limits: FetchLimits) -> Result<Vec<FetchedSource>, LookasideError> {
    let files = parse_sources("sources", sources.as_bytes()).unwrap();
    let from = Lookaside::parse(&server.url("/pkgs")).unwrap();
    let (client, cancelled) = (client(), || false);
    let options = FetchOptions {
        from: &from,
        package: "containers/webd",
        client: &client,
        limits,
        weak: Weak::Allow,
        cancelled: &cancelled,
    };
    fetch(&files, into, &options)
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Fetches one file by SHA-512 from a server with `script`; nothing may be left of a failure.
#[track_caller]
fn refused(script: impl FnMut(&Seen) -> Answer + Send + 'static) -> (LookasideError, usize) {
    let (server, directory) = (serve(script), tempfile::tempdir().unwrap());
    let error = get(&server, &format!("SHA512 (a.tgz) = {SHA512}"), directory.path(), small()).unwrap_err();
    assert_eq!(names(directory.path()), Vec::<String>::new());
    (error, server.lines().len())
}

#[test]
fn files_come_with_the_declared_checksum_and_a_digest() {
    let (server, directory) = (serve(|_| Answer::new(200, CONTENT)), tempfile::tempdir().unwrap());
    let sources = format!("SHA512 (a.tgz) = {SHA512}\n{MD5}  b.zip\n");
    let found = get(&server, &sources, directory.path(), small()).unwrap();
    let path = |name: &str, kind: &str, hex: &str| format!("/pkgs/containers/webd/{name}/{kind}/{hex}/{name}");
    let (a, b) = (path("a.tgz", "sha512", SHA512), path("b.zip", "md5", MD5));
    let expected = [("a.tgz", &a), ("b.zip", &b)].map(|(name, path)| FetchedSource {
        name: name.to_owned(),
        url: Some(server.url(path)),
        digest: Digest::of(CONTENT),
        bytes: 3,
    });
    assert_eq!(found, expected);
    assert_eq!(server.lines(), [format!("GET {a}"), format!("GET {b}")]);
    assert_eq!(names(directory.path()), ["a.tgz", "b.zip"]);
    assert_eq!(fs::metadata(directory.path().join("a.tgz")).unwrap().permissions().mode() & 0o7777, 0o644);
}

#[test]
fn a_file_that_is_there_is_kept_if_it_is_right_and_never_replaced() {
    let (server, directory) = (serve(|_| Answer::new(200, CONTENT)), tempfile::tempdir().unwrap());
    let (sources, path) = (format!("{MD5}  a"), directory.path().join("a"));
    fs::write(&path, CONTENT).unwrap();
    let found = get(&server, &sources, directory.path(), small()).unwrap();
    let kept = FetchedSource { name: "a".to_owned(), url: None, digest: Digest::of(CONTENT), bytes: 3 };
    assert_eq!(found, [kept]);
    fs::write(&path, "other").unwrap();
    let error = get(&server, &sources, directory.path(), small()).unwrap_err();
    assert!(matches!(error, LookasideError::Checksum { .. }), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"other");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    let error = get(&server, &sources, directory.path(), small()).unwrap_err();
    assert!(matches!(error, LookasideError::InTheWay { .. }), "{error}");
    assert_eq!(server.lines(), Vec::<String>::new());
}

#[test]
fn a_link_in_the_place_of_the_partial_file_is_not_followed() {
    let (server, directory) = (serve(|_| Answer::new(200, CONTENT)), tempfile::tempdir().unwrap());
    let (context, outside) = (directory.path().join("context"), directory.path().join("outside"));
    fs::create_dir(&context).unwrap();
    std::os::unix::fs::symlink(&outside, context.join(".stratum-partial-900150983cd24fb0")).unwrap();
    get(&server, &format!("{MD5}  a"), &context, small()).unwrap();
    assert!(!outside.exists());
    assert_eq!(names(&context), ["a"]);
}

#[test]
fn a_wrong_checksum_is_refused() {
    let (error, requests) = refused(|_| Answer::new(200, "abd"));
    assert!(matches!(&error, LookasideError::Checksum { expected, .. } if expected == SHA512), "{error}");
    assert_eq!((error.class(), requests), (Class::Refused, 1));
}

#[test]
fn a_file_that_is_missing_is_the_sources_fault_and_a_broken_server_is_not() {
    let (error, requests) = refused(|_| Answer::new(404, "no"));
    assert!(matches!(error, LookasideError::Status { status: 404, .. }), "{error}");
    assert_eq!((error.class(), requests), (Class::Source, 1));
    let (error, requests) = refused(|_| Answer::new(503, "later"));
    assert_eq!((error.class(), requests), (Class::Service, 3));
}

#[test]
fn more_than_allowed_is_refused_announced_or_not() {
    let (error, _) = refused(|_| Answer::with(200, Body::Cut(1 << 40, Vec::new())));
    assert!(matches!(error, LookasideError::TooLarge { limit: 1_048_576, .. }), "{error}");
    let (error, _) = refused(|_| Answer::with(200, Body::Endless));
    assert!(matches!(error, LookasideError::TooLarge { .. }), "{error}");
    let (server, directory) = (serve(|_| Answer::new(200, CONTENT)), tempfile::tempdir().unwrap());
    let limits = FetchLimits { max_file: 3, max_total: 5 };
    let error = get(&server, &format!("{MD5}  a\n{MD5}  b"), directory.path(), limits).unwrap_err();
    assert!(matches!(&error, LookasideError::TooLarge { name, limit: 2, .. } if name == "b"), "{error}");
    assert_eq!(names(directory.path()), ["a"]);
}

#[test]
fn a_cut_download_is_tried_once_more_from_the_start() {
    let (error, requests) = refused(|_| Answer::with(200, Body::Cut(3, b"ab".to_vec())));
    assert!(matches!(error, LookasideError::Http { .. }), "{error}");
    assert_eq!((error.class(), requests), (Class::Service, 2));
    let asked = Arc::new(AtomicUsize::new(0));
    let server = serve(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Answer::with(200, Body::Cut(3, b"ab".to_vec())),
        _ => Answer::new(200, CONTENT),
    });
    let directory = tempfile::tempdir().unwrap();
    let found = get(&server, &format!("{MD5}  a"), directory.path(), small()).unwrap();
    assert_eq!((found[0].bytes, names(directory.path())), (3, vec!["a".to_owned()]));
}

#[test]
fn a_redirect_to_another_host_changes_nothing_about_the_checksum() {
    let other = serve(|request| Answer::new(200, if request.target == "/good" { "abc" } else { "abd" }));
    let (good, bad) = (other.url("/good"), other.url("/bad"));
    let server = serve(move |request| {
        Answer::new(302, "").header("Location", if request.target.ends_with("/a") { &good } else { &bad })
    });
    let directory = tempfile::tempdir().unwrap();
    let found = get(&server, &format!("{MD5}  a"), directory.path(), small()).unwrap();
    assert!(found[0].url.as_ref().unwrap().starts_with(&server.url("/pkgs/")));
    let error = get(&server, &format!("{MD5}  b"), directory.path(), small()).unwrap_err();
    assert!(matches!(error, LookasideError::Checksum { .. }), "{error}");
    assert_eq!(names(directory.path()), ["a"]);
}

#[test]
fn weak_checksums_count_only_where_the_site_says_so_and_cancelling_ends_it() {
    let (server, directory) = (serve(|_| Answer::new(200, CONTENT)), tempfile::tempdir().unwrap());
    let files = parse_sources("sources", format!("\n{MD5}  a").as_bytes()).unwrap();
    let from = Lookaside::parse(&server.url("/pkgs")).unwrap();
    let (client, cancelled) = (client(), || true);
    let (limits, package) = (small(), "webd");
    let mut options =
        FetchOptions { from: &from, package, client: &client, limits, weak: Weak::Refuse, cancelled: &cancelled };
    let error = fetch(&files, directory.path(), &options).unwrap_err();
    assert_eq!(error.to_string(), "a: line 2 of sources declares it by md5 only, which this site does not accept");
    options.weak = Weak::Allow;
    let error = fetch(&files, directory.path(), &options).unwrap_err();
    assert_eq!(error.class(), Class::Cancelled);
    assert_eq!((server.lines(), names(directory.path())), (vec![], vec![]));
}
