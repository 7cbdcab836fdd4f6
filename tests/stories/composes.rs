//! Packages come out of composes that ODCS makes for a build, of its target's tag, as far as it may trust them.

use serde_json::{Value, json};

use crate::site::check_schema;
use crate::support::binary::{Outcome, Stratum};
use crate::support::distro::distro;
use crate::support::hub::{BuildState, Hub};
use crate::support::image::Image;
use crate::support::odcs::{Odcs, TOKEN};
use crate::support::registry::Registry;
use crate::support::scratch::Scratch;
use crate::support::testdata;

const LATER: &str = "2099-01-01T00:00:00Z";
const REPOSITORY: &str = "[compose]\nname=compose\nbaseurl=http://compose.example/\n";
const DOCKERFILE: &str = "FROM base:42\n\
    LABEL com.redhat.component=hello-container name=hello version=1.0 release=1\n\
    RUN cat /etc/yum.repos.d/*\n";
const PACKAGES: &str = "compose: {packages: [bash]}\n";

struct Story {
    scratch: Scratch,
    registry: Registry,
    hub: Hub,
    odcs: Odcs,
}

impl Story {
    fn new() -> Option<Self> {
        Self::with(REPOSITORY)
    }

    fn with(repository: &str) -> Option<Self> {
        let (scratch, registry) = (Scratch::new(), Registry::start()?);
        let (hub, odcs) = (Hub::start(&scratch)?, Odcs::start(repository));
        hub.add_repository(3, 99);
        let digest = registry.push(testdata("base/oci"), "42", "base", "42");
        add_parent(&hub, &registry.image("base", "42").config, &digest);
        scratch.write("odcs/token", TOKEN);
        Some(Self { scratch, registry, hub, odcs })
    }

    /// A site with the intents release and unsigned; `more` is in its `odcs`, `rest` behind.
    fn site(&self, more: &str, rest: &str) {
        let (registry, token) = (self.registry.address(), self.scratch.at("odcs"));
        let site = format!(
            "version: 1\nsource_registry: {{url: '{registry}', insecure: true}}\n\
             registry: {{url: '{registry}', insecure: true}}\nrecord: {{path: '{}'}}\n{}\
             odcs:\n  api_url: '{}'\n  auth: {{openidc_dir: '{token}'}}\n  default_signing_intent: release\n  \
             signing_intents:\n  - {{name: release, keys: [R1, R2], deprecated_keys: [R0]}}\n  \
             - {{name: unsigned, keys: []}}\n{more}{rest}",
            self.scratch.at("record.json"),
            self.hub.site(""),
            self.odcs.url()
        );
        self.scratch.write("site.yaml", site);
    }

    /// The entry point with a container.yaml and demands.
    fn entry(&self, yaml: &str, demands: &Value) -> Stratum {
        self.scratch.write("context/container.yaml", format!("{yaml}platforms: {{only: [x86_64]}}\n"));
        let mut params = json!({
            "git_uri": "file:///x", "git_ref": "main", "user": "jane", "koji_target": "f43-containers",
            "image_tag": "jane/hello:f43-12345-20260102030405",
        });
        params.as_object_mut().unwrap().extend(demands.as_object().unwrap().clone());
        let build = json!({"source": {"provider": "path", "uri": self.scratch.at("context")}, "image": "hello:1"});
        let build = self.scratch.write("build.json", build.to_string());
        let (path, site) = (format!("path={}", build.display()), self.scratch.at("site.yaml"));
        let options = ["inside-build", "--input", "path", "--input-arg", &path, "--config-file", &site];
        self.scratch.stratum(&options).env("USER_PARAMS", &params.to_string())
    }

    /// Builds [`DOCKERFILE`] for a site whose steps have no network.
    fn build(&self, yaml: &str, demands: &Value) -> Outcome {
        self.site("", "network: {mode: none}\n");
        self.scratch.context("context", DOCKERFILE);
        self.entry(yaml, demands).run()
    }

    fn record(&self) -> Value {
        let record = serde_json::from_str(&std::fs::read_to_string(self.scratch.at("record.json")).unwrap()).unwrap();
        check_schema(&record);
        record
    }

    /// What steps saw of repositories, and the composes in the record.
    #[track_caller]
    fn saw(&self, outcome: &Outcome, compose: bool, target: bool) -> Value {
        assert_eq!(outcome.stderr.contains("compose.example"), compose, "{outcome}");
        assert_eq!(outcome.stderr.contains("/repos/f43-build/99/$basearch"), target, "{outcome}");
        self.record()["koji"]["odcs"].clone()
    }
}

/// Adds the build that an image is by its labels, so that nobody waits for it.
fn add_parent(hub: &Hub, config: &Value, digest: &str) {
    let label = |name: &str| config["config"]["Labels"][name].as_str();
    if let (Some(component), Some(version), Some(release)) =
        (label("com.redhat.component"), label("version"), label("release"))
    {
        let extra = json!({"image": {"index": {"digests": {"list": digest}}}});
        hub.add_build(&format!("{component}-{version}-{release}"), BuildState::Complete, &extra);
    }
}

#[test]
fn a_compose_is_asked_for_and_steps_see_its_repository_alone() {
    let Some(story) = Story::new() else { return };
    let outcome = story.build(PACKAGES, &json!({})).expect(0);
    let known = story.saw(&outcome, true, false);
    let source = json!({"type": "tag", "source": "f43-build", "packages": ["bash"], "sigkeys": ["R1", "R2"]});
    let expected = ("POST composes/".to_owned(), json!({"source": source, "arches": ["x86_64"]}));
    assert_eq!(story.odcs.changes(), [expected]);
    assert_eq!(story.odcs.asked().len(), 4, "asked for, waiting, generating, done");
    assert_eq!(known, json!({"composeIds": [1], "signingIntent": "release", "signingIntentOverridden": false}));
    let hidden = story.scratch.listing("").into_iter().filter(|path| path.ends_with(".repo")).collect::<Vec<_>>();
    assert_eq!(hidden, Vec::<String>::new());
    assert!(!outcome.stderr.contains(TOKEN) && !story.record().to_string().contains(TOKEN));
}

#[test]
fn the_target_s_repository_is_used_where_no_compose_has_all_packages() {
    let Some(story) = Story::new() else { return };
    let outcome = story.build("compose: {modules: ['nodejs:18/minimal']}\n", &json!({})).expect(0);
    story.saw(&outcome, true, true);
    assert_eq!(story.odcs.changes()[0].1["source"]["source"], "nodejs:18", "a profile is no part of a module");
    let outcome = story.build("tags: [x]\n", &json!({})).expect(0);
    assert_eq!(story.saw(&outcome, false, true), Value::Null);
    let url = format!("{}/a.repo", story.odcs.url());
    let outcome = story.build("tags: [x]\n", &json!({"yum_repourls": [url]})).expect(0);
    story.saw(&outcome, true, false);
}

#[test]
fn composes_that_are_demanded_are_taken_as_they_are_or_renewed() {
    let Some(story) = Story::new() else { return };
    let old = story.odcs.add("done", "R1 R0", "2026-01-01T00:00:00Z");
    let gone = story.odcs.add("removed", "R1 R2", LATER);
    let fresh = story.odcs.add("done", "R1", LATER);
    let outcome = story.build(PACKAGES, &json!({"compose_ids": [old, gone, fresh]})).expect(0);
    let known = story.saw(&outcome, true, false);
    let renewal = |id: u64| (format!("PATCH composes/{id}"), json!({"sigkeys": ["R1", "R2"]}));
    assert_eq!(story.odcs.changes(), [renewal(old), renewal(gone)], "with the keys of today; nothing new is asked for");
    assert_eq!(known["composeIds"], json!([4, 5, fresh]));
    assert_eq!(known["signingIntent"], "release");
}

#[test]
fn an_intent_that_is_demanded_is_the_keys_and_said_to_be_another() {
    let Some(story) = Story::new() else { return };
    let outcome = story.build(PACKAGES, &json!({"signing_intent": "unsigned"})).expect(0);
    let known = story.saw(&outcome, true, false);
    assert_eq!(story.odcs.changes()[0].1["source"]["sigkeys"], json!([]));
    assert_eq!(known, json!({"composeIds": [1], "signingIntent": "unsigned", "signingIntentOverridden": true}));
    let outcome = story.build(PACKAGES, &json!({"signing_intent": "beta"})).expect(3);
    outcome.says("there is no signing intent beta").says("there are release, unsigned");
    let strange = story.odcs.add("done", "Z9", LATER);
    let outcome = story.build("", &json!({"compose_ids": [strange]})).expect(5);
    outcome.says("no signing intent of the site has the keys of a compose: Z9").says("odcs.signing_intents");
}

#[test]
fn a_compose_that_fails_is_said_with_its_reason_and_the_others_are_given_up() {
    let Some(story) = Story::new() else { return };
    story.odcs.stay("wait");
    let failed = story.odcs.add("generating", "", LATER);
    story.odcs.fail(failed, "no package nosuch in tag f43-build");
    story.odcs.add("failed", "", LATER);
    let outcome = story.build(PACKAGES, &json!({"compose_ids": [failed]})).expect(7);
    outcome.says(&format!("plugin resolve_composes: compose {failed} failed: no package nosuch in tag f43-build"));
    story.odcs.fail(3, "no package nosuch in tag f43-build");
    story.odcs.stay("nothing");
    let both = "compose: {packages: [nosuch], modules: ['nodejs:18']}\n";
    // The second is given up, though ODCS does not let go of one that is being generated by then.
    let outcome = story.build(both, &json!({})).expect(7).says("compose 3 failed: no package nosuch");
    outcome.says("a compose could not be given up").says("Compose (id=4) can not be canceled");
    assert_eq!(story.odcs.changes().last().unwrap().0, "DELETE composes/4");
}

#[test]
fn a_compose_that_takes_too_long_is_given_up() {
    let Some(story) = Story::new() else { return };
    story.odcs.stay("wait");
    story.site("  timeout: 1\n", "");
    story.scratch.context("context", DOCKERFILE);
    story.entry(PACKAGES, &json!({})).run().expect(7).says("compose 1 was not done within 1 s");
    assert_eq!(story.odcs.changes().last().unwrap().0, "DELETE composes/1");
}

#[test]
fn a_build_that_is_cancelled_gives_up_its_composes() {
    let Some(story) = Story::new() else { return };
    story.odcs.stay("wait");
    story.site("", "");
    story.scratch.context("context", DOCKERFILE);
    let running = story.entry(PACKAGES, &json!({})).start();
    let begun = (0..1000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        story.odcs.asked().len() >= 2
    });
    assert!(begun, "nobody asked for a compose");
    running.signal("TERM");
    let outcome = running.wait().expect(8).says("waiting for compose 1 was cancelled");
    assert_eq!(story.odcs.state_of(1), "failed", "{outcome}");
    assert_eq!(story.odcs.changes().last().unwrap().0, "DELETE composes/1");
}

#[test]
fn what_cannot_be_asked_for_is_said() {
    let Some(story) = Story::new() else { return };
    let fails = |yaml: &str, code: i32, text: &str| story.build(yaml, &json!({})).expect(code).says(text);
    fails("compose: {pakages: [bash]}\n", 3, "container.yaml:1:");
    fails("compose: {}\n", 3, "container.yaml: `compose` names no packages, modules, tags or content sets");
    let outcome = story.build("", &json!({"compose_ids": [77]})).expect(7);
    outcome.says("/api/1/composes/77: the service answered HTTP 404 Not Found: No such compose found.");
    story.scratch.write("odcs/token", "of somebody else");
    fails(PACKAGES, 7, "/api/1/composes/: the service answered HTTP 401 Unauthorized: No 'Authorization: Bearer");
    let none = story.build(PACKAGES, &json!({"koji_target": "nosuch"})).expect(3);
    none.says("nosuch: there is no such target in Koji");
}

#[test]
fn a_package_is_installed_out_of_a_compose() {
    let Some(distro) = distro() else { return };
    let scratch = Scratch::new();
    let file = distro.repo_file(&scratch, &["os", "updates"]);
    let Some(story) = Story::with(&std::fs::read_to_string(file).unwrap()) else { return };
    let digest = story.registry.push(distro.layout("tundra"), "42-index", "fedora", "42");
    let config = Image::in_layout(distro.layout("tundra"), Some("42")).config;
    add_parent(&story.hub, &config, &digest);
    let keys = distro.keys(&story.scratch, &["release", "second", "subkey"]);
    let hosts = distro.url().trim_start_matches("http://").to_owned();
    story.site("", &format!("keys: {{directories: ['{keys}']}}\nnetwork: {{allow: ['{hosts}']}}\n"));
    story.scratch.context(
        "context",
        "FROM fedora:42\nLABEL com.redhat.component=hello-container name=hello version=1.0 release=1\n\
         RUN dnf -y --disablerepo='*' --enablerepo='added-*' install webd && rpm -q webd\n",
    );
    let digest = story.entry("compose: {packages: [webd]}\n", &json!({})).run().expect(0).digest();
    let image = story.registry.image("hello", "1.0-1");
    assert_eq!(image.digest, digest);
    assert!(!image.top_layer().names().iter().any(|name| name.contains("yum.repos.d")));
    let record = story.record();
    let named = |package: &&Value| package["nevra"].as_str().unwrap().starts_with("webd-");
    let webd: Vec<&Value> = record["packages"].as_array().unwrap().iter().filter(named).collect();
    assert!(!webd.is_empty() && webd.iter().all(|package| package["verdict"] == "good"), "{webd:?}");
    assert_eq!(record["koji"]["odcs"]["composeIds"], json!([1]));
}
