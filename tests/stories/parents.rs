//! Parents are builds in Koji: a build asks which, whether they are what Koji has, and takes one in another's place.

use serde_json::{Value, json};

use crate::site::check_schema;
use crate::support::binary::Outcome;
use crate::support::hub::{BuildState, Hub};
use crate::support::image::Image;
use crate::support::registry::Registry;
use crate::support::scratch::Scratch;

const LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// What the parents are called in Koji.
const NVR: &str = "base-container-1.0-7";

struct Story {
    scratch: Scratch,
    registry: Registry,
    hub: Hub,
    /// What `team/base:1.0` is.
    parent: Parent,
}

/// A list of images for two platforms.
struct Parent {
    list: String,
    amd64: String,
}

impl Story {
    fn new() -> Option<Self> {
        let (scratch, registry) = (Scratch::new(), Registry::start()?);
        let hub = Hub::start(&scratch)?;
        let parent = push_parent(&scratch, &registry, "team/base", "7");
        Some(Self { scratch, registry, hub, parent })
    }

    /// The build of the parent in Koji, whose list has this digest and whose archive this.
    fn build_in_koji(&self, state: BuildState, list: &str, amd64: &str) -> u64 {
        let pull = [self.registry.reference(&format!("team/base@{list}")), self.registry.reference("team/base:1.0")];
        let extra = json!({"image": {"index": {"digests": {LIST: list}, "pull": pull, "tags": ["1.0"]}}});
        let id = self.hub.add_build(NVR, state, &extra);
        for (architecture, digest) in [("s390x", "sha256:other"), ("amd64", amd64)] {
            let docker = json!({"config": {"architecture": architecture}, "digests": {MANIFEST: digest}});
            self.hub.add_archive(id, &json!({"image": {"arch": architecture}, "docker": docker}));
        }
        id
    }

    /// Builds on `team/base:1.0` for a site with `more` in its configuration, without waiting.
    fn build(&self, more: &str) -> Outcome {
        self.build_on("team/base:1.0", "poll_interval: 1, poll_timeout: 0", more)
    }

    fn build_on(&self, from: &str, args: &str, more: &str) -> Outcome {
        let site = format!(
            "{}plugins: {{prebuild: [{{name: check_base_image}}, {{name: koji_parent, args: {{{args}}}}}, \
             {{name: change_from_in_dockerfile}}]}}\n{more}",
            self.site()
        );
        self.run(&site, &format!("FROM {from}\nLABEL name=team/app version=1 release=1\n"))
    }

    fn site(&self) -> String {
        let registry = self.registry.address();
        format!("version: 1\nsource_registry: {{url: '{registry}', insecure: true}}\n{}", self.hub.site(""))
    }

    fn run(&self, site: &str, dockerfile: &str) -> Outcome {
        let site = self.scratch.write("site.yaml", site);
        let context = self.scratch.context("context", dockerfile);
        let (record, output) = (self.scratch.at("record.json"), format!("oci:{}:1", self.scratch.at("image")));
        let options = ["build", "--config", site.to_str().unwrap(), "--record", &record, "-o", &output, &context];
        self.scratch.stratum(&options).run()
    }

    fn record(&self) -> Value {
        let record = serde_json::from_str(&std::fs::read_to_string(self.scratch.at("record.json")).unwrap()).unwrap();
        check_schema(&record);
        record
    }
}

/// Pushes an image for two platforms as a list.
fn push_parent(scratch: &Scratch, registry: &Registry, repository: &str, release: &str) -> Parent {
    let dockerfile = format!(
        "FROM scratch\nLABEL com.redhat.component=base-container name=team/base version=1.0 release={release}\n\
         COPY file /etc/release-{release}\n"
    );
    scratch.write("parent/file", release);
    let context = scratch.context("parent", &dockerfile);
    let push = |architecture: &str| {
        let tag = registry.reference(&format!("{repository}:{release}-{architecture}"));
        let platform = format!("linux/{architecture}");
        let options =
            ["build", "--tls-verify=false", "--format", "docker", "--timestamp", "0", "--platform", &platform];
        scratch.stratum(&options).args(&["-t", &tag, "--push", &context]).run().expect(0).digest()
    };
    let (amd64, s390x) = (push("amd64"), push("s390x"));
    let entry = |digest: &str, architecture: &str| {
        let size = registry.manifest(repository, digest).unwrap().len();
        let platform = json!({"architecture": architecture, "os": "linux"});
        json!({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform})
    };
    let list = json!({
        "schemaVersion": 2, "mediaType": LIST, "manifests": [entry(&amd64, "amd64"), entry(&s390x, "s390x")],
    });
    let list = registry.put_manifest(repository, "1.0", LIST, list.to_string().as_bytes());
    Parent { list, amd64 }
}

#[test]
fn a_parent_that_koji_has_is_in_the_record_with_its_build() {
    let Some(story) = Story::new() else { return };
    let id = story.build_in_koji(BuildState::Complete, &story.parent.list, &story.parent.amd64);
    story.build("skip_koji_check_for_base_image: false\n").expect(0);
    let record = story.record();
    assert_eq!(record["warnings"], json!([]));
    assert_eq!(record["koji"]["parentBuildId"], id);
    assert_eq!(record["koji"]["parentImageBuilds"], json!({"team/base:1.0": {"id": id, "nvr": NVR}}));
    assert_eq!(story.hub.asked(), ["getBuild"], "a digest that is right needs no archives");
}

#[test]
fn a_parent_that_koji_does_not_have_is_a_warning_or_refused() {
    let Some(story) = Story::new() else { return };
    let text = format!("team/base:1.0: it is no build in Koji: there is no {NVR}");
    story.build("").expect(0).says(&format!("warning: koji_parent: {text}"));
    let record = story.record();
    assert_eq!(record["warnings"], json!([format!("koji_parent: {text}")]));
    assert_eq!(record["koji"]["parentImageBuilds"], json!({"team/base:1.0": null}));
    let refused = story.build("skip_koji_check_for_base_image: false\n").expect(5);
    refused.says(&text).says("take a parent that was built with Koji").says("Dockerfile:1:6");
}

#[test]
fn a_parent_without_the_labels_of_a_build_says_so() {
    let Some(story) = Story::new() else { return };
    story.scratch.write("plain/Dockerfile", "FROM scratch\nLABEL a=b\n");
    let tag = story.registry.reference("team/plain:1");
    let push = ["build", "--tls-verify=false", "-t", &tag, "--push", &story.scratch.at("plain")];
    story.scratch.stratum(&push).run().expect(0);
    let outcome = story.build_on("team/plain:1", "poll_timeout: 0", "skip_koji_check_for_base_image: false\n");
    let outcome = outcome.expect(5).says("team/plain:1: it is no build in Koji: it has no label com.redhat.component");
    outcome.says("Dockerfile:1:6");
    assert_eq!(story.hub.asked(), Vec::<String>::new());
}

#[test]
fn a_parent_that_is_still_built_is_waited_for() {
    let Some(story) = Story::new() else { return };
    let id = story.build_in_koji(BuildState::Building, &story.parent.list, &story.parent.amd64);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while story.hub.asked().len() < 2 {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            story.hub.change_build(id, BuildState::Complete);
        });
        let args = "poll_interval: 1, poll_timeout: 60";
        story.build_on("team/base:1.0", args, "skip_koji_check_for_base_image: false\n").expect(0);
    });
    assert!(story.hub.asked().len() >= 3, "{:?}", story.hub.asked());
}

#[test]
fn a_parent_whose_build_came_to_nothing_is_refused() {
    let Some(story) = Story::new() else { return };
    let id = story.build_in_koji(BuildState::Failed, &story.parent.list, &story.parent.amd64);
    for (state, text) in
        [(BuildState::Failed, "failed"), (BuildState::Canceled, "was cancelled"), (BuildState::Deleted, "was deleted")]
    {
        story.hub.change_build(id, state);
        let outcome = story.build("").expect(5);
        outcome.says(&format!("team/base:1.0: its build {NVR} in Koji {text}")).says("Dockerfile:1:6");
    }
}

#[test]
fn a_parent_that_is_not_what_koji_built_is_refused_or_a_warning() {
    let Some(story) = Story::new() else { return };
    story.build_in_koji(BuildState::Complete, "sha256:elsewhere", "sha256:too");
    let list = &story.parent.list;
    let text = format!("team/base:1.0: its digest is {list}, but its build in Koji {NVR} has sha256:elsewhere");
    let outcome = story.build("").expect(5).says(&format!("{text}, sha256:too"));
    outcome.says("fail_on_digest_mismatch").says("Dockerfile:1:6");
    let shallow = "deep_manifest_list_inspection: false\n";
    let before = story.hub.asked().len();
    story
        .build(&format!("{shallow}fail_on_digest_mismatch: false\n"))
        .expect(0)
        .says(&format!("warning: koji_parent: {text}"));
    assert_eq!(story.hub.asked().len(), before + 1, "archives are looked at where the site says so");
    assert!(story.record()["warnings"][0].as_str().unwrap().contains(&text));
}

#[test]
fn a_list_made_again_of_the_images_koji_built_passes_where_its_entries_are_looked_at() {
    let Some(story) = Story::new() else { return };
    story.build_in_koji(BuildState::Complete, "sha256:elsewhere", &story.parent.amd64);
    story.build("skip_koji_check_for_base_image: false\n").expect(0);
    assert_eq!(story.hub.asked(), ["getBuild", "listArchives"]);
    story.build("deep_manifest_list_inspection: false\n").expect(5).says("sha256:elsewhere");
}

impl Story {
    /// Builds on `nosuch:1`, in whose place is what `build` in Koji made.
    fn injected(&self, build: &Value, site: &str, dockerfile: &str) -> Outcome {
        self.scratch.write("context/Dockerfile", dockerfile);
        let params = json!({
            "git_uri": "file:///x", "git_ref": "main", "user": "jane", "koji_parent_build": build,
            "image_tag": "jane/app:f43-12345-20260102030405",
        });
        let build = json!({"source": {"provider": "path", "uri": self.scratch.at("context")}, "image": "team/app:1"});
        let config = self.scratch.write("site.yaml", site);
        let build = self.scratch.write("build.json", build.to_string());
        let path = format!("path={}", build.display());
        let options = ["inside-build", "--input", "path", "--input-arg", &path, "--config-file"];
        let record = self.scratch.at("record.json");
        let run = self.scratch.stratum(&options).args(&[config.to_str().unwrap(), "--record", &record]);
        run.env("USER_PARAMS", &params.to_string()).run()
    }

    /// The base that was really used.
    #[track_caller]
    fn has_parent(&self, repository: &str, digest: &str) {
        let record = self.record();
        let location = format!("docker://{}/{repository}@{digest}", self.registry.address());
        let locations: Vec<&str> =
            record["bases"].as_array().unwrap().iter().map(|base| base["location"].as_str().unwrap()).collect();
        assert!(locations.iter().all(|one| *one == location), "{location} is not all of {locations:?}");
        assert!(!locations.is_empty());
    }
}

const NOSUCH: &str = "FROM nosuch:1 AS build\nCOPY Dockerfile /a\nFROM nosuch:1\nCOPY --from=build /a /b\n\
    LABEL com.redhat.component=app-container name=team/app version=1 release=1\n";

#[test]
fn the_parent_is_what_a_build_in_koji_made() {
    let Some(story) = Story::new() else { return };
    let id = story.build_in_koji(BuildState::Complete, &story.parent.list, &story.parent.amd64);
    let site = format!("{}registry: {{url: '{}', insecure: true}}\n", story.site(), story.registry.address());
    for build in [json!(NVR), json!(id.to_string())] {
        let digest = story.injected(&build, &site, NOSUCH).expect(0).digest();
        story.has_parent("team/base", &story.parent.list);
        let image: Image = story.registry.image("team/app", "1-1");
        assert_eq!(image.digest, digest);
        assert_eq!(image.tree().text("etc/release-7"), "7");
        let record = story.record();
        assert_eq!(record["koji"]["parentBuildId"], id, "what was injected is the build that is recorded");
        let reason = format!("the parent is to be that of build {} in Koji", build.as_str().unwrap());
        assert!(record["edits"].as_array().unwrap().iter().any(|edit| edit["reason"] == reason), "{record:#}");
    }
}

#[test]
fn the_parent_is_looked_for_in_the_organization_of_the_site() {
    let Some(story) = Story::new() else { return };
    let parent = push_parent(&story.scratch, &story.registry, "org/team-base", "7");
    assert_eq!(parent.list, story.parent.list, "the same image under its other name");
    story.build_in_koji(BuildState::Complete, &parent.list, &parent.amd64);
    let registry = story.registry.address();
    let site =
        format!("{}registry: {{url: '{registry}', insecure: true}}\nregistries_organization: org\n", story.site());
    story.injected(&json!(NVR), &site, NOSUCH).expect(0);
    story.has_parent("org/team-base", &parent.list);
}

#[test]
fn builds_that_are_no_parents_are_named() {
    let Some(story) = Story::new() else { return };
    story.hub.add_build("nothing-1-1", BuildState::Complete, &json!({"image": {}}));
    let pull = json!({"image": {"index": {"pull": [story.registry.reference("team/base:1.0")]}}});
    story.hub.add_build("gone-1-1", BuildState::Deleted, &pull);
    let site = story.site();
    let fails = |build: &str, dockerfile: &str, text: &str| {
        story.injected(&json!(build), &site, dockerfile).expect(3).says(&format!("plugin inject_parent_image: {text}"))
    };
    fails("nosuch-1-1", NOSUCH, "there is no build nosuch-1-1 in Koji");
    fails("4711", NOSUCH, "there is no build 4711 in Koji");
    fails("nothing-1-1", NOSUCH, "the build nothing-1-1 in Koji does not say where its image can be pulled from");
    fails("gone-1-1", NOSUCH, "the build gone-1-1 in Koji was deleted, so it has no image");
    let outcome = fails(
        "nothing-1-1",
        "FROM scratch\nLABEL com.redhat.component=a name=a version=1 release=1\n",
        "nothing-1-1: the image is built on nothing",
    );
    outcome.says("do not ask for koji_parent_build");
}
