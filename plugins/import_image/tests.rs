//! What is imported, and what is asked of the stand-in of the API.

use std::time::Duration;

use cluster::{Access, Surroundings};
use serde_json::json;

use super::*;
use crate::stand_in::{Cluster, TOKEN};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn of(published: &[&str], tags: Option<&Tags>, repository: Option<&str>) -> Vec<String> {
    let names: Vec<Reference> = published.iter().map(|text| reference(text)).collect();
    let names: Vec<&Reference> = names.iter().collect();
    let imports = decide(&names, tags, repository, |registry| registry == "insecure.example");
    imports.into_iter().map(|one| format!("{} as {} {}", one.from, one.tag, one.is_insecure)).collect()
}

#[test]
fn tags_that_move_are_imported_from_where_the_cluster_finds_them() {
    let tags = Tags {
        unique: vec![reference("r.example/a:me-1")],
        primary: vec![reference("r.example/a:1-2"), reference("r.example/a:3")],
        floating: vec![reference("r.example/a:latest"), reference("r.example/a:1-x"), reference("r.example/a:lost")],
        group: None,
    };
    let published = ["r.example/a:me-1", "r.example/a:1-2", "r.example/a:3", "r.example/a:latest", "r.example/a:1-x"];
    let expected = ["r.example/a:3 as 3 false", "r.example/a:latest as latest false", "r.example/a:1-x as 1-x false"];
    assert_eq!(of(&published, Some(&tags), None), expected);
    assert_eq!(
        of(&["r.example/a:1", "other.example/a:1"], None, Some("insecure.example/b/")),
        ["insecure.example/b:1 as 1 true"]
    );
}

fn story() -> (Cluster, Client, Object) {
    let cluster = Cluster::start(None);
    let read = cluster::ReadFile::new(|_| Ok(TOKEN.as_bytes().to_vec()));
    let around = Surroundings { token_path: Some("/token".into()), read, ..Surroundings::default() };
    let access = Access { url: Some(cluster.url()), ..Access::default() };
    let retry = http::Retry { delays: vec![Duration::from_millis(1)], longest: Duration::from_millis(1) };
    let http = http::ClientOptions { retry, ..http::ClientOptions::default() };
    let client = Client::open(&access, &around, http).unwrap().unwrap();
    (cluster, client, Object { namespace: "osbs".to_owned(), name: "webd".to_owned() })
}

fn one(tag: &str) -> Import {
    Import { from: format!("r.example/webd:{tag}"), tag: tag.to_owned(), is_insecure: false }
}

#[test]
fn a_stream_is_made_once_and_a_tag_that_fails_is_named() {
    let (cluster, client, stream) = story();
    import(&client, &stream, &[one("1")]).unwrap();
    cluster.break_import("2", "manifest unknown");
    let error = import(&client, &stream, &[one("1"), one("2")]).unwrap_err();
    assert_eq!(error.text, "the cluster could not import every tag: webd:2: manifest unknown");
    assert_eq!(error.class, Class::Remote);
    let asked: Vec<String> =
        cluster.asked().into_iter().map(|asked| format!("{} {}", asked.method, asked.status)).collect();
    assert_eq!(asked, ["GET 404", "POST 201", "POST 201", "GET 200", "POST 201"]);
    assert_eq!(cluster.complaints(), [""; 0]);
}

#[test]
fn a_service_that_is_away_is_a_remote_failure() {
    let (cluster, client, stream) = story();
    cluster.refuse("GET", "imagestreams", 503, 9);
    let error = import(&client, &stream, &[one("1")]).unwrap_err();
    assert_eq!(error.class, Class::Remote);
    assert!(error.text.contains("answered 503"), "{error}");
}

#[test]
fn arguments_that_are_wrong_are_named() {
    let (site, wanted) = (Site::default(), pipeline::Wanted::default());
    let make = |args: Value| {
        let args = args.as_object().unwrap().clone();
        super::make(&Setup { site: &site, wanted: &wanted, args: Some(&args) }).map(|made| made.is_some())
    };
    assert_eq!(make(json!({"imagestream": "webd", "url": "https://api.example", "insecure_registry": true})), Ok(true));
    let text = |args| make(args).unwrap_err().text;
    assert_eq!((make(json!({})), make(json!({"imagestream": ""}))), (Ok(false), Ok(false)), "no stream is named");
    assert_eq!(
        text(json!({"imagestream": "a", "insecure": "yes"})),
        "argument insecure is \"yes\"; it must be true or false"
    );
    assert_eq!(text(json!({"imagestream": "a", "tag": "b"})), "argument tag: there is none of that name");
}
