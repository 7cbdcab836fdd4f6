//! A build's name is kept in Koji while it is built, given back when it comes to nothing, and the token seen by nobody.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::binary::{Outcome, Stratum};
use crate::support::cluster::{Cluster, TOKEN};
use crate::support::git;
use crate::support::hub::{BuildState, Hub};
use crate::support::registry::Registry;
use crate::support::scratch::Scratch;
use crate::support::{program, testdata};

const LABELS: &str = "LABEL com.redhat.component=hello-container name=hello version=1.0\n";
const NVR: &str = "hello-container-1.0-1";

struct Story {
    scratch: Scratch,
    hub: Hub,
    cluster: Cluster,
    registry: Registry,
}

impl Story {
    fn new() -> Option<Self> {
        let scratch = Scratch::new();
        program("git")?;
        program("grep")?;
        let hub = Hub::start(&scratch)?;
        scratch.write("password", "secret\n");
        scratch.write("token", TOKEN);
        scratch.copy(&testdata("base/oci"), "base");
        Some(Self { scratch, hub, cluster: Cluster::start(None), registry: Registry::start()? })
    }

    /// A build with steps behind [`LABELS`], told in every detail.
    fn build(&self, steps: &str, koji: &str) -> Stratum {
        let folder = format!("hello-{}", self.scratch.listing("").len());
        self.scratch.context(&folder, &format!("FROM base\n{LABELS}{steps}"));
        // A story begins with a repository, or it is skipped.
        let (uri, commit) = git::commit(&self.scratch, &folder).unwrap();
        let site = format!(
            "version: 1\nnetwork: {{mode: none}}\nregistry: {{url: '{}', insecure: true}}\nrecord: {{path: '{}'}}\n{}\
             openshift: {{url: '{}', auth: {{enable: true, token_path: '{}'}}}}\n",
            self.registry.address(),
            self.scratch.at("record.json"),
            self.hub.site(&format!(", reserve_build: true, content_generator: stratum-cg{koji}")),
            self.cluster.url(),
            self.scratch.at("token"),
        );
        self.scratch.write("site.yaml", site);
        let spec = json!({"source": {"type": "Git", "git": {"uri": uri, "ref": commit}}});
        let build = self.cluster.add_build("osbs", "hello-1", spec);
        let params = json!({"git_uri": uri, "git_ref": commit, "user": "jane"});
        let site = self.scratch.at("site.yaml");
        let base = format!("base=oci:{}:42", self.scratch.at("base"));
        let options = ["--debug", "inside-build", "--config-file", &site];
        let run = self.scratch.stratum(&options).args(&["--", "--build-context", &base]);
        let run =
            run.env("OUTPUT_IMAGE", "hello:1").env("BUILD", &build.to_string()).env("USER_PARAMS", &params.to_string());
        run.env("STRATUM_TERMINATION_LOG", &self.scratch.at("termination"))
    }

    fn state(&self) -> Value {
        self.hub.build(NVR)["state"].clone()
    }

    /// Neither the outcome nor any file that is left, nor an annotation, has the secret.
    #[track_caller]
    fn nobody_saw(&self, secret: &str, outcome: &Outcome) {
        assert!(secret.len() > 5, "{secret:?} is no secret");
        assert!(!outcome.stderr.contains(secret) && !outcome.stdout.contains(secret), "{secret}: {outcome}");
        let annotations = format!("{:?}", self.cluster.asked());
        assert!(!annotations.contains(secret), "{annotations}");
        let mut grep = Command::new("grep");
        grep.args(["-rlaF", "--exclude-dir=hub", "--exclude=password", "-e", secret]).arg(self.scratch.path());
        let found = String::from_utf8(grep.output().unwrap().stdout).unwrap();
        assert_eq!(found, "", "files with {secret}");
    }
}

const LOGIN: &str = ", auth: {user: osbs, password_file: password}";

#[test]
fn a_build_that_is_done_keeps_its_name_and_shows_its_token_to_nobody() {
    let Some(story) = Story::new() else { return };
    let outcome = story.build("RUN env; cat /proc/self/environ\n", LOGIN).run().expect(0);
    assert_eq!(story.state(), BuildState::Building as u64);
    let token = story.hub.build(NVR)["token"].as_str().unwrap().to_owned();
    story.nobody_saw(&token, &outcome);
    let record: Value = serde_json::from_slice(&std::fs::read(story.scratch.at("record.json")).unwrap()).unwrap();
    assert_eq!((&record["koji"]["nvr"], &record["koji"]["buildId"]), (&json!(NVR), &json!(1)));
}

#[test]
fn a_build_that_fails_late_gives_its_name_back_as_failed() {
    let Some(story) = Story::new() else { return };
    story.build("RUN echo it broke; exit 3\n", LOGIN).run().expect(4).says("it broke");
    assert_eq!(story.state(), BuildState::Failed as u64);
    assert_eq!(story.hub.asked().last().unwrap(), "CGRefundBuild");
    let errors = story.cluster.annotations("osbs", "hello-1")["plugins-metadata"].clone();
    assert!(errors.contains("status 3"), "{errors}");
    // The name is free again.
    story.build("RUN true\n", LOGIN).run().expect(0);
    assert_eq!(story.state(), BuildState::Building as u64);
}

#[test]
fn a_build_that_is_told_to_stop_gives_its_name_back_as_cancelled() {
    let Some(story) = Story::new() else { return };
    let mut running = story.build("RUN echo now; sleep 60\n", LOGIN).start();
    running.until("| now");
    let token = story.hub.build(NVR)["token"].as_str().unwrap().to_owned();
    running.signal("TERM");
    let outcome = running.wait().expect(8);
    assert_eq!(story.state(), BuildState::Canceled as u64);
    story.nobody_saw(&token, &outcome);
}

#[test]
fn who_may_not_reserve_is_told_so_and_nothing_is_built() {
    let Some(story) = Story::new() else { return };
    let refused = story.build("RUN true\n", ", auth: {user: joe, password_file: password}").run().expect(7);
    let refused = refused.says("plugin bump_release: CGInitBuild: the hub answered fault 1002: ");
    story.nobody_saw("joe:secret", &refused);
    story.scratch.write("password", "wrong-password-of-osbs\n");
    let wrong = story
        .build("RUN true\n", LOGIN)
        .run()
        .expect(7)
        .says("plugin bump_release: login: the hub answered fault 1002");
    story.nobody_saw("wrong-password-of-osbs", &wrong);
    let nobody = story.build("RUN true\n", "").run().expect(2);
    nobody.says("CGInitBuild needs a login at the hub: the site's koji.auth names no way to log in");
    assert_eq!(story.state(), Value::Null);
}

#[test]
fn a_name_that_somebody_else_keeps_is_not_taken() {
    let Some(story) = Story::new() else { return };
    let id = story.hub.add_build(NVR, BuildState::Building, &json!(null));
    let refused = story.build("LABEL release=1\n", LOGIN).run().expect(5);
    refused
        .says(&format!("{NVR} is in Koji already, as build {id}"))
        .says("take another release, or none for the next one");
    assert_eq!(story.state(), BuildState::Building as u64, "it is not ours to give back");
    story.build("", LOGIN).run().expect(0);
    assert_eq!(story.hub.build("hello-container-1.0-2")["state"], BuildState::Building as u64);
}
