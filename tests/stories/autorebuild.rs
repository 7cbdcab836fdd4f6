//! A new parent triggers a build: it is made on that very parent where the repository wants it, and else not at all.

use serde_json::{Value, json};

use crate::support::binary::Outcome;
use crate::support::cluster::{Cluster, TOKEN};
use crate::support::git;
use crate::support::registry::Registry;
use crate::support::scratch::Scratch;
use crate::support::shared;

const NAMESPACE: &str = "osbs";
const NAME: &str = "app-3";
const IMAGE: &str = "jane/app:f43-12345-20260102030405";

struct Story {
    scratch: Scratch,
    registry: Registry,
    cluster: Cluster,
    /// The parent that triggered the build, and the one that its tag stands for by now.
    new: String,
}

impl Story {
    /// `config` is `.osbs-repo-config`.
    fn new() -> Option<Self> {
        let (scratch, registry) = (Scratch::new(), Registry::start()?);
        let cluster = Cluster::start(shared("schemas/k8s/openshift-build-v1.openapi.json").as_deref());
        scratch.write("token", TOKEN);
        let push = |content: &str| {
            scratch.write("base/file", content);
            let context = scratch.context("base", "FROM scratch\nCOPY file /base\n");
            let tag = registry.reference("team/base:1");
            let options = ["build", "--tls-verify=false", "--format", "docker", "-t", &tag, "--push", &context];
            scratch.stratum(&options).run().expect(0).digest()
        };
        let new = push("new");
        // By the time the build runs, the tag has moved on.
        push("newer");
        Some(Self { scratch, registry, cluster, new })
    }

    fn build(&self, config: Option<&str>, label: &str) -> Option<Outcome> {
        let folder = format!("app-{}", self.scratch.listing("").len());
        let dockerfile = "FROM scratch AS first\nCOPY Dockerfile /first\nFROM team/base:1\nCOPY --from=first /first /\n\
            LABEL com.redhat.component=app-container name=team/app version=1.0 release=1\n";
        self.scratch.context(&folder, dockerfile);
        if let Some(config) = config {
            self.scratch.write(&format!("{folder}/.osbs-repo-config"), config);
        }
        let (uri, commit) = git::commit(&self.scratch, &folder)?;
        let (registry, api) = (self.registry.address(), self.cluster.url());
        let image = format!("{registry}/team/base@{}", self.new);
        let spec = json!({
            "source": {"type": "Git", "git": {"uri": uri, "ref": commit}},
            "strategy": {"type": "Custom", "customStrategy": {"from": {"kind": "DockerImage", "name": "buildroot"}}},
            "output": {"to": {"kind": "DockerImage", "name": self.registry.reference(IMAGE)}},
            "triggeredBy": [{"message": "Image change", "imageChangeBuild": {
                "imageID": image, "fromRef": {"kind": "ImageStreamTag", "name": "base:1"},
            }}],
        });
        let mut build = self.cluster.add_build(NAMESPACE, NAME, spec);
        build["metadata"]["labels"]["is_autorebuild"] = json!(label);
        let site = format!(
            "version: 1\nregistry: {{url: '{registry}', insecure: true}}\n\
             source_registry: {{url: '{registry}', insecure: true}}\nrecord: {{path: '{}'}}\n\
             openshift: {{url: '{api}', auth: {{enable: true, token_path: '{}'}}}}\n",
            self.scratch.at("record.json"),
            self.scratch.at("token"),
        );
        let params = json!({"git_uri": uri, "git_ref": commit, "user": "jane", "image_tag": IMAGE});
        let run = self.scratch.stratum(&["inside-build"]).env("BUILD", &build.to_string());
        let run = run.env("SOURCE_URI", &uri).env("SOURCE_REF", &commit).env("OUTPUT_IMAGE", IMAGE);
        let run = run.env("USER_PARAMS", &params.to_string()).env("REACTOR_CONFIG", &site);
        Some(run.env("STRATUM_TERMINATION_LOG", &self.scratch.at("termination")).run())
    }

    fn annotation(&self, key: &str) -> Value {
        let all = self.cluster.annotations(NAMESPACE, NAME);
        serde_json::from_str(&all[key]).unwrap_or_else(|_| all[key].as_str().into())
    }

    fn record(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.scratch.at("record.json")).unwrap()).unwrap()
    }
}

#[test]
fn a_rebuild_that_nobody_enabled_is_cancelled_and_the_build_object_says_why() {
    let Some(story) = Story::new() else { return };
    for (config, why) in [
        (None, "is not there or cannot be read"),
        (Some("[autorebuild]\nenabled = false\n"), "has them off"),
        (Some("[autorebuild]\n"), "does not enable them"),
        (Some("enabled: true\n"), "is no INI file"),
    ] {
        let Some(outcome) = story.build(config, "true") else { return };
        let text = format!("a new parent triggered this build, and rebuilds are disabled: .osbs-repo-config {why}");
        let outcome = outcome.expect(8).says(&text);
        outcome.says("write `[autorebuild]` and `enabled = true` into .osbs-repo-config where they are wanted");
        let errors = story.annotation("plugins-metadata")["errors"].clone();
        assert_eq!(errors["stop_autorebuild_if_disabled"], json!(text), "{errors}");
        let record = story.record();
        assert_eq!(record["result"]["status"], "cancelled");
        let ran: Vec<&str> =
            record["plugins"].as_array().unwrap().iter().map(|run| run["plugin"].as_str().unwrap()).collect();
        assert!(ran.contains(&"stop_autorebuild_if_disabled") && !ran.contains(&"check_base_image"), "{ran:?}");
        let said = std::fs::read_to_string(story.scratch.at("termination")).unwrap();
        assert!(said.contains(&text), "{said}");
        assert_eq!(story.registry.tags("team/app"), Vec::<String>::new());
        assert_eq!(story.cluster.complaints(), Vec::<String>::new());
    }
}

#[test]
fn a_rebuild_that_is_enabled_is_built_on_the_parent_that_triggered_it() {
    let Some(story) = Story::new() else { return };
    let Some(outcome) = story.build(Some("[autorebuild]\nenabled = yes\n"), "true") else { return };
    let digest = outcome.expect(0).digest();
    let image = story.registry.image("team/app", "1.0-1");
    assert_eq!(image.digest, digest);
    assert_eq!(image.tree().text("base"), "new", "not what the tag stands for by now");
    assert!(image.tree().has("first"));
    let location = format!("docker://{}/team/base@{}", story.registry.address(), story.new);
    assert_eq!(story.record()["bases"][0]["location"], json!(location));
    assert_eq!(story.annotation("plugins-metadata")["errors"], json!({}));
    assert_eq!(story.cluster.complaints(), Vec::<String>::new());
}

#[test]
fn a_build_that_somebody_started_needs_no_leave() {
    let Some(story) = Story::new() else { return };
    let Some(outcome) = story.build(None, "false") else { return };
    outcome.expect(0);
}
