//! Images of several platforms become one list: out of several repositories, of one format, before any name moves.

use serde_json::{Value, json};

use crate::support::binary::{Outcome, Stratum};
use crate::support::gate::Gate;
use crate::support::registry::Registry;
use crate::support::scratch::Scratch;

const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

struct Story {
    scratch: Scratch,
    registry: Registry,
    gate: Gate,
}

impl Story {
    fn new() -> Option<Self> {
        let registry = Registry::start()?;
        Some(Self { scratch: Scratch::new(), gate: Gate::before(&registry.address()), registry })
    }

    /// Pushes an image of its own for a platform under a name, and returns its digest.
    fn push(&self, platform: &str, format: &str, name: &str) -> String {
        let context = self.context(&format!("elsewhere {platform}"));
        let tag = format!("{}/{name}", self.gate.address());
        let options = ["build", "--tls-verify=false", "--format", format, "--platform", platform, "-t", &tag];
        self.scratch.stratum(&options).args(&["--push", &context]).run().expect(0).digest()
    }

    fn context(&self, content: &str) -> String {
        self.scratch.write("context/file", content);
        self.scratch.context("context", "FROM scratch\nCOPY file /\nLABEL name=ns/app version=1.2 release=3\n")
    }

    /// A build for x86_64 among these platforms, whose group_manifests has these arguments.
    fn build(&self, content: &str, platforms: &[&str], images: &Value) -> Stratum {
        let (address, platforms) = (self.gate.address(), json!(platforms));
        let site = format!(
            "version: 1\nregistry: {{url: '{address}', insecure: true, expected_media_types: ['{LIST}', '{MANIFEST}']}}\n\
             plugins:\n  prebuild: [{{name: tag_from_config, args: {{image_tag: 'user/app:u-1', platforms: {platforms}}}}}]\n  \
             publish: [{{name: tag_and_push}}, {{name: group_manifests, args: {{images: {images}}}}}, \
             {{name: verify_media}}, {{name: push_floating_tags}}]\n"
        );
        let site = self.scratch.write("site.yaml", site);
        let context = self.context(content);
        let options = ["build", "--config", site.to_str().unwrap(), "--push", "--platform", "linux/amd64"];
        self.scratch.stratum(&options).args(&["--retry", "0", "--format", "docker", &context])
    }

    fn list(&self, tag: &str) -> Value {
        serde_json::from_slice(&self.registry.manifest("ns/app", tag).unwrap()).unwrap()
    }
}

/// Digests by architecture.
fn members(list: &Value) -> Vec<(&str, &str)> {
    let manifests = list["manifests"].as_array().unwrap();
    manifests
        .iter()
        .map(|entry| (entry["platform"]["architecture"].as_str().unwrap(), entry["digest"].as_str().unwrap()))
        .collect()
}

#[test]
fn images_in_several_repositories_become_one_list_in_another() {
    let Some(story) = Story::new() else { return };
    let s390x = story.push("linux/s390x", "docker", "z/app:1");
    let arm64 = story.push("linux/arm64", "docker", "arm/app:1");
    let address = story.gate.address();
    let images = json!({"s390x": format!("{address}/z/app:1"), "aarch64": format!("{address}/arm/app@{arm64}")});
    story.gate.open();
    let own = story.build("own", &["x86_64", "s390x", "aarch64"], &images).run().expect(0).digest();
    for tag in ["u-1", "1.2-3", "1.2", "latest"] {
        let list = story.list(tag);
        assert_eq!(list["mediaType"], LIST, "{tag}");
        assert_eq!(members(&list), [("amd64", &*own), ("arm64", &*arm64), ("s390x", &*s390x)], "{tag}");
    }
    // Whoever pulls from there gets every byte from there.
    assert_eq!(story.registry.image("ns/app", &s390x).tree().text("file"), "elsewhere linux/s390x");
    let asked = story.gate.asked();
    let mounts = |from: &str| {
        asked
            .iter()
            .filter(|line| line.contains("/ns/app/blobs/uploads/") && line.contains(&format!("from={from}")))
            .count()
    };
    assert_eq!((mounts("z%2Fapp"), mounts("arm%2Fapp")), (1, 1), "layers are mounted: {asked:#?}");
    let brought = asked.iter().filter(|line| line.starts_with("PUT /v2/ns/app/manifests/sha256:")).count();
    assert_eq!(brought, 2, "each image is brought once, however many names there are: {asked:#?}");
    let moved = asked.iter().position(|line| line.starts_with("PUT /v2/ns/app/manifests/latest ")).unwrap();
    let grouped = asked.iter().position(|line| line.starts_with("PUT /v2/ns/app/manifests/1.2-3 ")).unwrap();
    let verified = asked.iter().rposition(|line| line.contains("/v2/ns/app/manifests/u-1 ")).unwrap();
    assert!(grouped < verified && verified < moved, "{asked:#?}");
}

#[test]
fn an_image_of_another_format_elsewhere_is_refused_and_no_name_moves() {
    let Some(story) = Story::new() else { return };
    story.push("linux/s390x", "oci", "z/app:1");
    let images = json!({"s390x": format!("{}/z/app:1", story.gate.address())});
    let outcome = story.build("own", &["x86_64", "s390x"], &images).run().expect(5);
    outcome.says("plugin group_manifests: the images of the platforms have different formats: ").says("/z/app:1 is ");
    assert_eq!(story.registry.tags("ns/app"), ["u-1-x86_64"]);
}

#[test]
fn names_that_make_no_group_are_named() {
    let Some(story) = Story::new() else { return };
    let address = story.gate.address();
    let build = |images: &Value| story.build("own", &["x86_64", "s390x"], images).run();
    build(&json!(["z"])).expect(2).says("argument images: [\"z\"]; it must be a map of platforms");
    build(&json!({"s390x": "UPPER"})).expect(2).says("argument images: ");
    let outcome: Outcome = build(&json!({"ppc64le": format!("{address}/z/app:1")})).expect(2);
    outcome.says("argument images: ppc64le is none of the other platforms of this build");
    let outcome = build(&json!({"s390x": format!("{address}/z/app:1")})).expect(0);
    outcome.says(&format!("warning: group_manifests: no index yet: {address}/z/app:1 is not there"));
    assert_eq!(story.registry.tags("ns/app"), ["u-1-x86_64"]);
}

#[test]
fn a_build_that_is_killed_leaves_the_names_that_move_where_they_were() {
    let Some(story) = Story::new() else { return };
    story.push("linux/s390x", "docker", "z/app:1");
    let images = json!({"s390x": format!("{}/z/app:1", story.gate.address())});
    let build = |content: &str| story.build(content, &["x86_64", "s390x"], &images);
    build("one").run().expect(0);
    let before = story.list("latest");
    let killed_at = |line: &str| {
        story.gate.open();
        story.gate.shut_at(line);
        let running = build("two").start();
        let shut = (0..1500).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            story.gate.is_shut()
        });
        running.signal("KILL");
        let outcome = running.wait();
        assert!(shut, "{line} was never asked: {outcome}");
    };
    killed_at("PUT /v2/ns/app/manifests/u-1 ");
    assert!(["u-1", "1.2-3", "1.2", "latest"].iter().all(|tag| story.list(tag) == before), "nothing has moved");
    killed_at("PUT /v2/ns/app/manifests/latest ");
    assert_ne!(story.list("1.2-3"), before, "the group is there");
    assert!(["1.2", "latest"].iter().all(|tag| story.list(tag) == before), "and no name has moved");
    story.gate.open();
    let digest = build("two").run().expect(0).digest();
    assert_eq!(members(&story.list("latest"))[0], ("amd64", &*digest), "the next build ends it");
}
