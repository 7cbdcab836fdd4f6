//! How an image gets its names: which there are, in which order, and what keeps it from them.

use serde_json::{Value, json};

use crate::support::binary::Outcome;
use crate::support::image::digest_of;
use crate::support::registry::Registry;
use crate::support::scratch::Scratch;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

struct Story {
    scratch: Scratch,
    registry: Registry,
}

impl Story {
    fn new() -> Option<Self> {
        Some(Self { registry: Registry::start()?, scratch: Scratch::new() })
    }

    /// Builds an image that holds `content` for a site with `more` in its configuration and these arguments of
    /// tag_from_config.
    fn build(&self, content: &str, (more, args): (&str, &Value), options: &[&str]) -> Outcome {
        let address = self.registry.address();
        let expected = if more.contains("expected") { more } else { "" };
        let rest = if more.contains("expected") { "" } else { more };
        let site = format!(
            "version: 1\nregistry: {{url: '{address}', insecure: true{expected}}}\n\
             plugins: {{prebuild: [{{name: tag_from_config, args: {args}}}]}}\n{rest}"
        );
        self.scratch.write("site.yaml", site);
        self.scratch.write("context/file", content);
        let dockerfile = "FROM scratch\nCOPY file /\nLABEL name=ns/app version=1.2 release=3\n";
        let context = self.scratch.context("context", dockerfile);
        let site = self.scratch.at("site.yaml");
        let command = self.scratch.stratum(&["build", "--config", &site, "--push", "--record", "record.json"]);
        command.args(options).args(&[&context]).run()
    }

    fn tags(&self) -> Vec<String> {
        self.registry.tags("ns/app")
    }

    fn record(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.scratch.at("record.json")).unwrap()).unwrap()
    }
}

#[test]
fn a_build_gets_the_names_of_its_kind() {
    for (args, tags) in [
        (json!({"image_tag": "user/app:u-1"}), &["1.2", "1.2-3", "latest", "u-1"][..]),
        (json!({"image_tag": "user/app:u-1", "isolated": true}), &["1.2-3", "u-1"]),
        (json!({"image_tag": "user/app:u-1", "scratch": true}), &["u-1"]),
    ] {
        let Some(story) = Story::new() else { return };
        let digest = story.build("x", ("", &args), &[]).expect(0).digest();
        assert_eq!(story.tags(), tags, "{args}");
        assert!(tags.iter().all(|tag| story.registry.image("ns/app", tag).digest == digest));
        // Unique, then primary, then those that move.
        let outputs = story.record()["outputs"].as_array().unwrap().clone();
        let named = |output: &Value| output["location"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
        let order: Vec<String> = outputs.iter().map(named).collect();
        let expected = ["u-1", "1.2-3", "latest", "1.2"].into_iter().filter(|tag| tags.contains(tag));
        assert_eq!(order, expected.collect::<Vec<_>>(), "{args}");
    }
}

#[test]
fn names_that_move_stay_where_they_were_when_the_registry_lacks_a_media_type() {
    let Some(story) = Story::new() else { return };
    let args = json!({"image_tag": "user/app:u-1"});
    let expected = |media_type: &str| format!(", expected_media_types: ['{media_type}']");
    let first = story.build("one", (&expected(OCI), &args), &[]).expect(0).digest();
    let outcome = story.build("two", (&expected(DOCKER), &args), &[]).expect(5);
    outcome.says("plugin verify_media: ").says(&format!("does not have it as {DOCKER}, only as {OCI}"));
    assert_ne!(story.registry.image("ns/app", "u-1").digest, first);
    for tag in ["latest", "1.2"] {
        assert_eq!(story.registry.image("ns/app", tag).digest, first, "{tag} was moved");
    }
}

#[test]
fn an_image_above_the_limit_is_refused_with_both_figures() {
    let Some(story) = Story::new() else { return };
    let args = json!({"image_tag": "user/app:u-1"});
    let limit = |bytes: u64| format!("image_size_limit: {{binary_image: {bytes}}}\n");
    let content = "x".repeat(100_000);
    let outcome = story.build(&content, (&limit(90_000), &args), &[]).expect(5);
    outcome.says("bytes before compression; image_size_limit allows 90000");
    assert_eq!((story.tags(), story.registry.committed().len()), (Vec::new(), 0));
    story.build(&content, (&limit(200_000), &args), &[]).expect(0);
    story.build(&content, (&limit(0), &args), &[]).expect(0);
}

#[test]
fn the_images_of_two_platforms_become_one_list() {
    let Some(story) = Story::new() else { return };
    let args = json!({"image_tag": "user/app:u-1", "platforms": ["x86_64", "s390x"]});
    let build =
        |platform: &str| story.build(platform, ("", &args), &["--platform", platform, "--format", "docker"]).expect(0);
    let outcome = build("linux/s390x");
    let outcome = outcome.says("group_manifests: no index yet: ").says("/ns/app:u-1-x86_64 is not there");
    let s390x = outcome.digest();
    assert_eq!(story.tags(), ["u-1-s390x"], "one platform alone is not the image");
    let amd64 = build("linux/amd64").digest();
    let names = ["1.2", "1.2-3", "latest", "u-1"];
    assert_eq!(story.tags(), ["1.2", "1.2-3", "latest", "u-1", "u-1-s390x", "u-1-x86_64"]);
    let list = story.registry.manifest("ns/app", "u-1").unwrap();
    assert!(names.iter().all(|tag| story.registry.manifest("ns/app", tag).unwrap() == list));
    let size = |digest: &str| story.registry.manifest("ns/app", digest).unwrap().len();
    let entry = |architecture: &str, digest: &str| {
        format!(
            "        {{\n            \"digest\": \"{digest}\",\n            \"mediaType\": \"{DOCKER}\",\n            \
             \"platform\": {{\n                \"architecture\": \"{architecture}\",\n                \
             \"os\": \"linux\"\n            }},\n            \"size\": {}\n        }}",
            size(digest)
        )
    };
    let expected = format!(
        "{{\n    \"manifests\": [\n{},\n{}\n    ],\n    \"mediaType\": \"{LIST}\",\n    \"schemaVersion\": 2\n}}",
        entry("amd64", &amd64),
        entry("s390x", &s390x)
    );
    assert_eq!(String::from_utf8(list.clone()).unwrap(), expected);
    assert_eq!(digest_of(&list), digest_of(expected.as_bytes()));
}

#[test]
fn images_of_different_formats_are_no_list_and_leave_all_names_alone() {
    let Some(story) = Story::new() else { return };
    let args = json!({"image_tag": "user/app:u-1", "platforms": ["x86_64", "s390x"]});
    story.build("x", ("", &args), &["--platform", "linux/s390x", "--format", "docker"]).expect(0);
    let outcome = story.build("x", ("", &args), &["--platform", "linux/amd64", "--format", "oci"]).expect(5);
    outcome.says("the images of the platforms have different formats: ");
    assert_eq!(story.tags(), ["u-1-s390x", "u-1-x86_64"]);
}

#[test]
fn a_site_that_groups_always_has_a_list_of_one() {
    let Some(story) = Story::new() else { return };
    let args = json!({"image_tag": "user/app:u-1"});
    let digest = story.build("x", ("group_manifests: true\n", &args), &["--format", "docker"]).expect(0).digest();
    assert_eq!(story.tags(), ["1.2", "1.2-3", "latest", "u-1", "u-1-x86_64"]);
    let list: Value = serde_json::from_slice(&story.registry.manifest("ns/app", "latest").unwrap()).unwrap();
    assert_eq!((&list["mediaType"], &list["manifests"][0]["digest"]), (&json!(LIST), &json!(digest)));
}

#[test]
fn a_list_that_names_a_plugin_of_old_builds_with_a_word_about_it() {
    let Some(story) = Story::new() else { return };
    let lists = "postbuild_plugins: [{name: compress, args: {method: gzip}}]\nexit_plugins: [{name: koji_import}]\n";
    let outcome = story.build("x", (lists, &json!({"image_tag": "user/app:u"})), &[]).expect(0);
    let warning = "plugin koji_import is required and does not act: not here yet: the build is not imported into Koji";
    outcome.says("plugin compress is not needed: ").says(&format!("warning: {warning}"));
    assert_eq!(story.record()["warnings"], json!([warning]));
}
