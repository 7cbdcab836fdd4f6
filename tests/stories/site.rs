//! The same image as a build system makes it: from a commit, with a site's configuration, recorded.

use serde_json::Value;

use crate::support::binary::Outcome;
use crate::support::distro::{Distro, distro};
use crate::support::git;
use crate::support::image::digest_of;
use crate::support::registry::Registry;
use crate::support::repository;
use crate::support::scratch::{Person, Scratch};
use crate::support::web::serve;

struct Story {
    scratch: Scratch,
    registry: Registry,
    distro: Distro,
}

impl Story {
    fn new(person: Person) -> Option<Self> {
        let distro = distro()?;
        let registry = Registry::start()?;
        registry.push(distro.layout("tundra"), "42-index", "fedora", "42");
        registry.push(distro.layout("tundra"), "42-index", "fedora", "latest");
        registry.push(distro.layout("tundra-minimal"), "42-index", "tundra-minimal", "42");
        Some(Self { scratch: Scratch::of(person)?, registry, distro })
    }

    /// A site that knows the registry, the keys and the repositories; `more` is appended.
    fn site(&self, more: &str) -> String {
        let keys = self.distro.keys(&self.scratch, &["release", "second", "subkey"]);
        let registry = self.registry.address();
        let repositories = self.distro.url();
        let host = repositories.trim_start_matches("http://");
        let text = format!(
            "version: 1\n\
             source_registry: {{url: '{registry}', insecure: true}}\n\
             pull_registries: [{{url: registry.fedoraproject.org}}]\n\
             registry: {{url: '{registry}', insecure: true}}\n\
             image_labels: {{vendor: Tundra Project}}\n\
             keys: {{directories: ['{keys}']}}\n\
             network: {{allow: ['{host}']}}\n{more}"
        );
        self.scratch.write("site.yaml", text);
        let map = format!(
            "[[registry]]\nprefix = \"registry.fedoraproject.org\"\nlocation = \"{registry}\"\ninsecure = true\n"
        );
        self.scratch.write("registries.conf", map);
        self.scratch.at("site.yaml")
    }

    /// The URL of a commit of a sample.
    fn commit(&self, sample: &str) -> Option<String> {
        self.distro.sample(&self.scratch, sample)?;
        let (url, commit) = git::commit(&self.scratch, sample)?;
        Some(format!("{url}#{commit}"))
    }

    fn build(&self, arguments: &[&str]) -> Outcome {
        let site = self.scratch.at("site.yaml");
        let command = self.scratch.stratum(&["build", "--config", &site]).args(arguments);
        command.env("CONTAINERS_REGISTRIES_CONF", &self.scratch.at("registries.conf")).run()
    }

    /// Builds a sample from its commit and pushes it; the record too.
    fn sample(&self, sample: &str) -> Option<(Outcome, Value)> {
        self.site("");
        let source = self.commit(sample)?;
        Some(self.push(sample, &source))
    }

    fn push(&self, sample: &str, source: &str) -> (Outcome, Value) {
        let tag = self.registry.reference(&format!("containers/{sample}:1.0"));
        let record = self.scratch.at("record.json");
        let outcome = self.build(&["-t", &tag, "--push", "--record", &record, source]);
        (outcome, self.record())
    }

    /// The record, which fits its schema.
    #[track_caller]
    fn record(&self) -> Value {
        let text = std::fs::read_to_string(self.scratch.at("record.json")).unwrap();
        let record: Value = serde_json::from_str(&text).unwrap();
        check_schema(&record);
        record
    }
}

/// A record is what `docs/build-record.schema.json` says.
#[track_caller]
pub(crate) fn check_schema(record: &Value) {
    let schema = repository().join("docs/build-record.schema.json");
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let index = compiler.compile(schema.to_str().unwrap(), &mut schemas).unwrap();
    if let Err(error) = schemas.validate(record, index) {
        panic!("the record does not fit its schema: {error:#}");
    }
}

/// All requests of all steps.
fn exchanges(record: &Value) -> Vec<&Value> {
    let steps = record["stages"].as_array().unwrap().iter().flat_map(|stage| stage["steps"].as_array().unwrap());
    steps.filter_map(|step| step["network"].as_array()).flatten().collect()
}

fn packages(record: &Value) -> Vec<&Value> {
    exchanges(record).into_iter().filter(|exchange| exchange["kind"] == "package").collect()
}

#[test]
fn a_commit_is_built_pushed_and_recorded() {
    let Some(story) = Story::new(Person::Me) else { return };
    let Some((outcome, record)) = story.sample("webd") else { return };
    let outcome = outcome.expect(0);
    let image = story.registry.image("containers/webd", "1.0");
    assert_eq!(outcome.digest(), image.digest);
    let labels = &image.config["config"]["Labels"];
    assert_eq!(labels["vendor"], "Tundra Project");
    assert_eq!(labels["vcs-ref"], record["source"]["commit"]);
    let layer = image.top_layer();
    assert!(layer.has("usr/libexec/webd/webd-ws"));
    assert!(layer.text("root/buildinfo/Dockerfile-tundra-webd-310-1.tn42").contains("vendor"));
    assert!(!layer.names().iter().any(|name| name.starts_with("etc/yum.repos.d")), "a repository file got in");
    assert_eq!(record["result"]["status"], "succeeded");
    assert_eq!(record["image"]["manifest"], image.digest.as_str());
    assert!(record["packages"].as_array().unwrap().iter().all(|package| package["verdict"] == "good"));
    let packages = packages(&record);
    assert!(packages.len() >= 6, "{packages:?}");
    for package in packages {
        assert!(package["verifiedBy"].as_str().unwrap().contains("sha256:"), "{package}");
        assert!(package["fetched"].as_u64().unwrap() > 0, "{package}");
    }
    assert!(exchanges(&record).iter().all(|exchange| exchange["kind"] != "refused"), "{record:#}");
}

#[test]
fn the_second_build_downloads_no_package_and_no_layer() {
    let Some(story) = Story::new(Person::Me) else { return };
    story.site("");
    let Some(source) = story.commit("webd") else { return };
    story.push("webd", &source).0.expect(0);
    let (outcome, record) = story.push("webd", &source);
    outcome.expect(0);
    let packages = packages(&record);
    assert!(packages.len() >= 6);
    assert!(packages.iter().all(|package| package["fetched"] == 0), "{packages:#?}");
    let layers = record["bases"].as_array().unwrap().iter().flat_map(|base| base["layers"].as_array().unwrap());
    assert!(layers.clone().count() > 0 && layers.clone().all(|layer| layer["fetched"] == false));
}

#[track_caller]
fn succeeds(sample: &str) {
    let Some(story) = Story::new(Person::Me) else { return };
    let Some((outcome, record)) = story.sample(sample) else { return };
    let digest = outcome.expect(0).digest();
    assert_eq!(story.registry.image(&format!("containers/{sample}"), "1.0").digest, digest);
    assert_eq!(record["outputs"][0]["digest"], digest.as_str());
}

#[test]
fn multistage_is_built() {
    succeeds("multistage");
}

#[test]
fn containeryaml_is_built() {
    succeeds("containeryaml");
}

#[test]
fn fromscratch_is_built() {
    succeeds("fromscratch");
}

#[test]
fn scripts_is_built() {
    succeeds("scripts");
}

#[track_caller]
fn refused(sample: &str, package: &str) {
    let Some(story) = Story::new(Person::Me) else { return };
    let before = story.registry.committed();
    let Some((outcome, record)) = story.sample(sample) else { return };
    outcome.expect(5).says(package);
    assert_eq!(story.registry.tags(&format!("containers/{sample}")), Vec::<String>::new());
    assert_eq!(story.registry.committed(), before, "a blob or manifest was committed");
    assert_eq!((&record["result"]["status"], &record["result"]["exitCode"]), (&"failed".into(), &5.into()));
    assert_eq!(record["outputs"], Value::Array(Vec::new()));
}

#[test]
fn an_unsigned_package_is_refused() {
    refused("unsigned", "nosig-1.0-1.tn42.noarch: is not signed");
}

#[test]
fn a_forged_row_is_refused() {
    refused("forged", "nosig-1.0-1.tn42.noarch: the signature of key");
}

/// A package's row is changed behind rpm's back: its header no longer is what was signed.
#[test]
fn a_tampered_row_is_refused() {
    let Some(story) = Story::new(Person::Me) else { return };
    story.site("");
    let script = "import sqlite3\n\
        db = sqlite3.connect('/usr/lib/sysimage/rpm/rpmdb.sqlite')\n\
        for number, blob in db.execute('select hnum, blob from Packages'):\n\
        \x20   if b'tundra-release' in blob and b'Tundra' in blob: break\n\
        blob = blob.replace(b'Tundra', b'Tundrb', 1)\n\
        db.execute('update Packages set blob = ? where hnum = ?', (blob, number)); db.commit()\n";
    story.scratch.write("context/t.py", script);
    let dockerfile = "FROM fedora:42\nCOPY t.py /t.py\nRUN python3 /t.py && rm /t.py\n";
    let context = story.scratch.context("context", dockerfile);
    let before = story.registry.committed();
    let (outcome, record) = story.push("tampered", &context);
    outcome.expect(5).says("the image was not published");
    assert_eq!(story.registry.committed(), before, "a blob or manifest was committed");
    let bad = record["packages"].as_array().unwrap().iter().filter(|package| package["verdict"] != "good").count();
    assert_eq!(bad, 1);
}

#[test]
fn the_record_of_a_directory_names_every_file_that_was_copied() {
    let Some(story) = Story::new(Person::Me) else { return };
    story.site("");
    story.scratch.write("context/a", "one");
    story.scratch.write("context/b/c", "two");
    story.scratch.write("context/unused", "three");
    let context = story.scratch.context("context", "FROM fedora:42\nCOPY a b/c /x/\nLABEL name=n\n");
    let (outcome, record) = story.push("copied", &context);
    outcome.expect(0);
    let copied = record["source"]["copied"].as_array().unwrap();
    let named: Vec<(&str, &str)> =
        copied.iter().map(|file| (file["name"].as_str().unwrap(), file["digest"].as_str().unwrap())).collect();
    let expected = [("a", digest_of(b"one")), ("b/c", digest_of(b"two"))];
    assert_eq!(named, expected.each_ref().map(|(name, digest)| (*name, digest.as_str())));
}

#[test]
fn a_base_from_another_registry_than_those_allowed_is_refused() {
    let Some(story) = Story::new(Person::Me) else { return };
    story.site("");
    let context = story.scratch.context("context", "FROM quay.example/x:1\nRUN true\n");
    let (outcome, _) = story.push("other", &context);
    let said = outcome
        .expect(5)
        .says("plugin check_base_image: quay.example/x:1: base images may not come from quay.example here");
    said.says("Dockerfile:1:6").says("registry.fedoraproject.org");
}

#[test]
fn a_dry_run_shows_plan_edits_and_diff_and_does_nothing() {
    let Some(story) = Story::new(Person::Me) else { return };
    story.site("");
    let Some(source) = story.commit("webd") else { return };
    let before = story.registry.committed();
    let outcome = story.build(&["--dry-run", "--push", &source]).expect(0);
    for part in [
        "plan:\n",
        &format!("  writes docker://{}\n", story.registry.reference("tundra/webd:310-1.tn42")),
        "  change_from_in_dockerfile from stage 0: registry.fedoraproject.org/fedora@sha256:",
        "  add_dockerfile file /root/buildinfo/Dockerfile-tundra-webd-310-1.tn42: sha256:",
        "-FROM registry.fedoraproject.org/fedora:latest\n+FROM registry.fedoraproject.org/fedora@sha256:",
        "+LABEL \"build-date\"=\"2025-01-02T03:04:05Z\"",
    ] {
        assert!(outcome.stdout.contains(part), "{part} is not in\n{}", outcome.stdout);
    }
    assert_eq!(story.registry.committed(), before);
}

#[test]
fn an_image_is_named_by_its_labels_where_nobody_names_it() {
    let Some(story) = Story::new(Person::Me) else { return };
    story.site("");
    let Some(source) = story.commit("webd") else { return };
    let digest = story.build(&["--push", &source]).expect(0).digest();
    for tag in ["310-1.tn42", "310", "latest"] {
        assert_eq!(story.registry.image("tundra/webd", tag).digest, digest, "{tag}");
    }
}

#[test]
fn the_record_is_attached_to_the_image() {
    let Some(story) = Story::new(Person::Me) else { return };
    story.site("record: {push: true}\n");
    let context = story.scratch.context("context", "FROM fedora:42\nLABEL name=n\n");
    let (outcome, _) = story.push("referred", &context);
    let digest = outcome.expect(0).digest();
    let tag = digest.replace(':', "-");
    let index: Value = serde_json::from_slice(&story.registry.manifest("containers/referred", &tag).unwrap()).unwrap();
    let entry = &index["manifests"][0];
    assert_eq!(entry["artifactType"], "application/vnd.stratum.build-record.v1+json");
    let artifact = story.registry.manifest("containers/referred", entry["digest"].as_str().unwrap()).unwrap();
    let artifact: Value = serde_json::from_slice(&artifact).unwrap();
    assert_eq!(artifact["subject"]["digest"], digest.as_str());
    let blob = story.registry.blob("containers/referred", artifact["layers"][0]["digest"].as_str().unwrap());
    let record: Value = serde_json::from_slice(&blob).unwrap();
    check_schema(&record);
    assert_eq!(record["image"]["manifest"], digest.as_str());
}

#[test]
fn lookaside_files_come_by_checksum_or_not_at_all() {
    let Some(story) = Story::new(Person::Me) else { return };
    let content = b"the tarball";
    let sum = digest_of(content).trim_start_matches("sha256:").to_owned();
    let cache = |sum: &str| format!("cache/app/app-1.tar.gz/sha256/{sum}/app-1.tar.gz");
    story.scratch.write(&cache(&sum), content);
    let address = serve(story.scratch.path().join("cache"), "127.0.0.1:0").unwrap();
    story.site(&format!("lookaside: {{url: 'http://{address}'}}\n"));
    story.scratch.context("app", "FROM fedora:42\nCOPY app-1.tar.gz /srv/\n");
    story.scratch.write("app/sources", format!("SHA256 (app-1.tar.gz) = {sum}\n"));
    let Some((url, commit)) = git::commit(&story.scratch, "app") else { return };
    let (outcome, record) = story.push("app", &format!("{url}#{commit}"));
    outcome.expect(0);
    assert_eq!(story.registry.image("containers/app", "1.0").top_layer().text("srv/app-1.tar.gz"), "the tarball");
    assert_eq!(record["source"]["fetched"][0]["digest"], digest_of(content));
    story.scratch.write(&cache(&sum), b"another one");
    let (outcome, _) = story.push("app2", &format!("{url}#{commit}"));
    outcome.expect(5).says("app-1.tar.gz");
    assert_eq!(story.registry.tags("containers/app2"), Vec::<String>::new());
}

#[test]
fn mistakes_in_the_configuration_are_shown_in_their_line() {
    let scratch = Scratch::new();
    let context = scratch.context("context", "FROM scratch\nLABEL a=b\n");
    for (text, said) in [
        ("version: 1\npolicy:\n  signature: required\n", ["site.yaml:3:3", "signature"]),
        ("version: 1\nkesy: {files: [k.asc]}\n", ["site.yaml:2:1", "did you mean keys?"]),
        ("version: 1\nregistry: 5\n", ["site.yaml:2:11", "registry"]),
        ("version: 1\nkeys:\n\tfiles: []\n", ["site.yaml:", "indent with spaces"]),
        ("plugins:\n  prebuild: [{name: no_such_plugin}]\n", ["no_such_plugin", "stratum plugins"]),
    ] {
        scratch.write("site.yaml", text);
        let outcome = scratch.stratum(&["build", "--config", &scratch.at("site.yaml"), &context]).run().expect(2);
        outcome.says(said[0]).says(said[1]);
    }
}
