//! The plugin against the stand-in of the API.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cluster::{Access, Surroundings};
use pipeline::record::{Outcome, Record, Status};
use pipeline::site::Site;
use pipeline::{Class, Fact, Facts, Task, Wanted};
use serde_json::json;

use super::*;
use crate::stand_in::{Cluster, TOKEN};

fn openapi() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/schemas/k8s/openshift-build-v1.openapi.json");
    if !path.exists() {
        use std::io::Write;
        // What a test prints is kept from the log unless it fails; this is to be seen.
        let _said = writeln!(std::io::stderr(), "skipped: bodies are not checked, {} is not there", path.display());
        return None;
    }
    Some(path)
}

/// A build `webd-7` in namespace `osbs`, and what is wanted of it.
fn story() -> (Cluster, Wanted) {
    let cluster = Cluster::start(openapi().as_deref());
    cluster.add_build("osbs", "webd-7", json!({}));
    let read = cluster::ReadFile::new(|_| Ok(TOKEN.as_bytes().to_vec()));
    let around = Surroundings { token_path: Some("/token".into()), read, ..Surroundings::default() };
    let access = Access { url: Some(cluster.url()), ..Access::default() };
    let retry = http::Retry { delays: vec![Duration::from_millis(1)], longest: Duration::from_millis(1) };
    let http = http::ClientOptions { retry, ..http::ClientOptions::default() };
    let client = Client::open(&access, &around, http).unwrap().map(Arc::new);
    let (name, namespace) = ("webd-7".to_owned(), "osbs".to_owned());
    let build = Some(BuildObject { name, namespace, ..BuildObject::default() });
    (cluster, Wanted { cluster: client, task: Task { build, ..Task::default() }, ..Wanted::default() })
}

fn run(wanted: &Wanted, record: &Record, facts: &Facts) -> Result<(), PluginError> {
    let site = Site::default();
    let plugin = make(&Setup { site: &site, wanted, args: None }).unwrap().unwrap();
    let registries = registry::Registries::new(registry::Options::default()).unwrap();
    let write = |_: &Path, _: &[u8]| Ok(());
    plugin.run(&ExitView {
        site: &site,
        facts,
        record,
        published: None,
        record_path: None,
        write: &write,
        registries: &registries,
    })
}

#[test]
fn a_cancelled_build_says_so_and_keeps_what_others_wrote() {
    let (cluster, wanted) = story();
    let result = Outcome { status: Status::Cancelled, exit_code: 8, error: Some("cancelled".to_owned()) };
    let record = Record { started: "2026-01-02T03:04:05Z".to_owned(), result, ..Record::default() };
    let mut facts = Facts::default();
    facts.state("koji_import", Fact::KojiBuild(5)).unwrap();
    run(&wanted, &record, &facts).unwrap();
    let annotations = cluster.annotations("osbs", "webd-7");
    assert_eq!(annotations["openshift.io/build.number"], "7");
    assert_eq!(annotations["plugins-metadata"], r#"{"durations":{},"errors":{"build":"cancelled"},"timestamps":{}}"#);
    assert_eq!(cluster.build("osbs", "webd-7")["metadata"]["labels"]["koji-build-id"], "5");
    assert_eq!(cluster.complaints(), [""; 0]);
}

#[test]
fn a_refusal_names_the_rule_that_is_missing() {
    let (cluster, wanted) = story();
    cluster.refuse("PATCH", "webd-7", 403, 1);
    let error = run(&wanted, &Record::default(), &Facts::default()).unwrap_err();
    assert_eq!(error.class, Class::Remote);
    assert!(error.text.starts_with("the annotations of build webd-7 cannot be written: "), "{error}");
    assert!(error.help.unwrap().contains("verbs: [patch]"));
}

#[test]
fn without_an_object_or_an_api_nobody_acts() {
    let (_cluster, wanted) = story();
    let site = Site::default();
    for wanted in [Wanted { cluster: None, ..wanted.clone() }, Wanted { task: Task::default(), ..wanted }] {
        assert!(make(&Setup { site: &site, wanted: &wanted, args: None }).unwrap().is_none());
    }
}

#[test]
fn arguments_of_older_lists_are_taken_and_others_are_not() {
    let (_cluster, wanted) = story();
    let site = Site::default();
    let args = |value: serde_json::Value| value.as_object().unwrap().clone();
    let old = args(json!({"url": "https://api.example/", "verify_ssl": false, "use_auth": true}));
    assert!(make(&Setup { site: &site, wanted: &wanted, args: Some(&old) }).unwrap().is_some());
    let wrong = args(json!({"urls": 1}));
    let error = make(&Setup { site: &site, wanted: &wanted, args: Some(&wrong) }).unwrap_err();
    assert_eq!(error.text, "argument urls: there is none of that name");
}
