//! The client against the stand-in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{ClientOptions, Retry};
use serde_json::json;

use crate::stand_in::{Cluster, TOKEN, build_path};
use crate::{Access, Client, ClusterError, Import, Imported, Kind, Marks, Object, ReadFile, Surroundings};

fn openapi() -> Option<PathBuf> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/schemas/k8s/openshift-build-v1.openapi.json");
    if !path.exists() {
        use std::io::Write;
        // What a test prints is kept from the log unless it fails; this is to be seen.
        let _said = writeln!(std::io::stderr(), "skipped: bodies are not checked, {} is not there", path.display());
        return None;
    }
    Some(path)
}

struct Story {
    cluster: Cluster,
    client: Client,
}

fn story_with(read: ReadFile) -> Story {
    let cluster = Cluster::start(openapi().as_deref());
    cluster.add_build("osbs", "webd-7", json!({}));
    let access = Access { url: Some(cluster.url()), ..Access::default() };
    let token_path = Some(PathBuf::from("/token"));
    let namespace = Some("osbs".to_owned());
    let around = Surroundings { token_path, namespace, read, ..Surroundings::default() };
    let retry = Retry { delays: vec![Duration::from_millis(1); 2], longest: Duration::from_millis(5) };
    let client = Client::open(&access, &around, ClientOptions { retry, ..ClientOptions::default() });
    Story { client: client.unwrap().unwrap(), cluster }
}

fn story() -> Story {
    story_with(ReadFile::new(|_| Ok(format!("{TOKEN}\n").into_bytes())))
}

fn build() -> Object {
    Object { namespace: "osbs".to_owned(), name: "webd-7".to_owned() }
}

fn marks() -> Marks {
    let one = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    Marks { annotations: one("commit_id", "abc"), labels: one("koji-build-id", "5") }
}

#[test]
fn a_build_is_read() {
    let story = story();
    let read = story.client.build(&Object { namespace: String::new(), ..build() }).unwrap();
    assert_eq!((read.name.as_str(), read.namespace.as_str()), ("webd-7", "osbs"));
    assert_eq!(read.labels.get("buildconfig").map(String::as_str), Some("webd"));
    assert_eq!(story.cluster.complaints(), [""; 0]);
}

#[test]
fn marks_are_added_and_what_others_wrote_stays() {
    let story = story();
    story.client.mark_build(&build(), &marks()).unwrap();
    let metadata = story.cluster.build("osbs", "webd-7")["metadata"].clone();
    assert_eq!(metadata["annotations"], json!({"openshift.io/build.number": "7", "commit_id": "abc"}));
    assert_eq!(metadata["labels"], json!({"buildconfig": "webd", "koji-build-id": "5"}));
    assert_eq!(story.cluster.complaints(), [""; 0]);
    let asked = story.cluster.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].body,
        json!({"metadata": {"annotations": {"commit_id": "abc"}, "labels": {"koji-build-id": "5"}}})
    );
}

#[test]
fn nothing_to_write_asks_nothing() {
    let story = story();
    story.client.mark_build(&build(), &Marks::default()).unwrap();
    assert_eq!(story.cluster.asked().len(), 0);
}

#[test]
fn conflicts_and_failures_of_the_server_are_tried_again() {
    let story = story();
    story.cluster.refuse("PATCH", "builds", 409, 2);
    story.cluster.refuse("PATCH", "builds", 500, 1);
    story.client.mark_build(&build(), &marks()).unwrap();
    assert_eq!(story.cluster.asked().iter().map(|asked| asked.status).collect::<Vec<_>>(), [409, 409, 500, 200]);
}

#[test]
fn what_is_not_allowed_names_the_rule_that_is_missing() {
    let story = story();
    story.cluster.refuse("PATCH", "builds", 403, 1);
    let error = story.client.mark_build(&build(), &marks()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}{}: the service account may not patch builds.build.openshift.io in namespace osbs: \
             User \"system:serviceaccount:osbs:builder\" cannot patch this",
            story.cluster.url(),
            build_path("osbs", "webd-7")
        )
    );
    let help = "add the rule {apiGroups: [build.openshift.io], resources: [builds], verbs: [patch]} to a Role in \
        namespace osbs, and bind it to the service account of the build's pod";
    assert_eq!((error.help().as_deref(), error.kind()), (Some(help), Kind::Service));
    assert_eq!(story.cluster.asked().len(), 1, "a refusal is not asked about again");
}

#[test]
fn other_failures_are_named() {
    let story = story();
    story.cluster.refuse("GET", "builds", 500, 9);
    let failed = story.client.build(&build()).unwrap_err();
    assert!(matches!(failed, ClusterError::Status { status: 500, .. }), "{failed}");
    assert_eq!(story.cluster.asked().len(), 3);
    let missing = Object { name: "other".to_owned(), ..build() };
    let story = self::story();
    assert!(matches!(story.client.build(&missing), Err(ClusterError::NotFound { .. })));
    for name in ["", "..", "a/b", "a?b", "a%2fb", "ä"] {
        let wrong = story.client.build(&Object { name: name.to_owned(), ..build() });
        assert!(matches!(wrong, Err(ClusterError::BadName { .. })), "{name}");
    }
}

#[test]
fn a_token_that_was_exchanged_is_read_again_and_never_shown() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let reads = AtomicUsize::new(0);
    let read = move |_: &Path| {
        let token = if reads.fetch_add(1, Ordering::Relaxed) == 0 { "old-token" } else { "new-token" };
        Ok(token.as_bytes().to_vec())
    };
    let story = story_with(ReadFile::new(read));
    story.cluster.exchange_token("new-token");
    story.client.mark_build(&build(), &marks()).unwrap();
    story.cluster.exchange_token("third-token");
    let error = story.client.mark_build(&build(), &marks()).unwrap_err();
    assert!(matches!(error, ClusterError::Unauthorized { .. }), "{error}");
    for shown in [format!("{error:?}"), format!("{:?}", story.client)] {
        assert!(!shown.contains("-token"), "{shown}");
    }
}

#[test]
fn a_token_that_is_none_is_an_error_of_its_file() {
    for (bytes, why) in [(&b""[..], "it is empty"), (b"a\nb", "it holds characters that no token has")] {
        let story = story_with(ReadFile::new(move |_| Ok(bytes.to_vec())));
        let error = story.client.build(&build()).unwrap_err();
        assert_eq!(error.to_string(), format!("/token: cannot read the service account's token: {why}"));
        assert_eq!(error.kind(), Kind::Configuration);
    }
}

#[test]
fn an_answer_that_is_too_large_is_refused() {
    let story = story();
    story.cluster.put(&build_path("osbs", "big"), json!({"metadata": {"name": "big"}, "x": "x".repeat(5 << 20)}));
    let error = story.client.build(&Object { name: "big".to_owned(), ..build() }).unwrap_err();
    assert!(matches!(error, ClusterError::Http(http::HttpError::TooLarge { .. })), "{error}");
}

#[test]
fn a_stream_is_made_and_images_are_imported() {
    let story = story();
    let stream = Object { namespace: "osbs".to_owned(), name: "webd".to_owned() };
    assert_eq!(story.client.image_stream(&stream).unwrap(), None);
    story.client.create_image_stream(&stream).unwrap();
    story.client.create_image_stream(&stream).unwrap();
    assert!(story.client.image_stream(&stream).unwrap().is_some());
    story.cluster.break_import("2", "manifest unknown");
    let import = |tag: &str| Import { from: format!("r.example/webd:{tag}"), tag: tag.to_owned(), is_insecure: false };
    let imported = story.client.import(&stream, &[import("1"), import("2")]).unwrap();
    let expected = [
        Imported { tag: "1".to_owned(), error: None },
        Imported { tag: "2".to_owned(), error: Some("manifest unknown".to_owned()) },
    ];
    assert_eq!(imported, expected);
    let tag = Object { name: "webd:1".to_owned(), ..stream };
    assert_eq!(story.client.image_stream_tag(&tag).unwrap().reference, "r.example/webd:1");
    let image = json!({"kind": "ImageStreamImage", "image": {"dockerImageReference": "r.example/webd@sha256:1"}});
    story.cluster.put("/apis/image.openshift.io/v1/namespaces/osbs/imagestreamimages/webd@sha256:1", image);
    let image = Object { name: "webd@sha256:1".to_owned(), ..tag };
    assert_eq!(story.client.image_stream_image(&image).unwrap().reference, "r.example/webd@sha256:1");
    assert_eq!(story.cluster.complaints(), [""; 0]);
}
