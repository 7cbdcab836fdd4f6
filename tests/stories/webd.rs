//! The story of the project: a real layered image from signed packages, built, proven, pushed, or refused.

use std::process::Command;

use crate::support::binary::Outcome;
use crate::support::distro::{Distro, distro};
use crate::support::image::Image;
use crate::support::program;
use crate::support::registry::Registry;
use crate::support::scratch::{Person, Scratch};

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
        Some(Self { scratch: Scratch::of(person)?, registry, distro })
    }

    /// Builds a sample and pushes it to `containers/NAME:1.0`.
    fn build(&self, sample: &str, from: &str) -> Option<Outcome> {
        let context = self.distro.sample(&self.scratch, sample)?;
        let keys = self.distro.keys(&self.scratch, &["release", "second", "subkey"]);
        let repo = self.distro.repo_file(&self.scratch, &["os", "updates"]);
        let base = format!("{from}=docker-image://{}", self.registry.reference("fedora:42"));
        let tag = self.registry.reference(&format!("containers/{sample}:1.0"));
        let arguments = ["build", "--tls-verify=false", "--add-repo", &repo, "--keys", &keys, "--build-context", &base];
        Some(self.scratch.stratum(&arguments).args(&["-t", &tag, "--push", &context]).run())
    }

    fn check_refused(&self, sample: &str, package: &str) {
        let before = self.registry.committed();
        let Some(outcome) = self.build(sample, "fedora:42") else { return };
        outcome.expect(5).says(package);
        assert_eq!(self.registry.tags(&format!("containers/{sample}")), Vec::<String>::new());
        assert_eq!(self.registry.committed(), before, "a blob or manifest was committed");
    }
}

const FEDORA: &str = "registry.fedoraproject.org/fedora:latest";

fn webd(person: Person) {
    let Some(story) = Story::new(person) else { return };
    let Some(outcome) = story.build("webd", FEDORA) else { return };
    let outcome = outcome.expect(0);
    let image = story.registry.image("containers/webd", "1.0");
    assert_eq!(outcome.digest(), image.digest);
    let base = Image::in_layout(story.distro.layout("tundra"), Some("42"));
    assert!(image.layer_digests().starts_with(&base.layer_digests()), "the base's layers were changed");
    assert_eq!(image.layer_digests().len(), base.layer_digests().len() + 1);
    let layer = image.top_layer();
    assert!(layer.has("usr/libexec/webd/webd-ws") && layer.has("container/label-run"));
    for trace in ["etc/resolv.conf", "etc/hosts", "etc/hostname", "etc/yum.repos.d/tundra.repo", "proc", "sys", "dev"] {
        assert!(!layer.has(trace), "{trace} is in the layer");
    }
    assert_eq!(image.config["config"]["Labels"]["release"], "1.tn42");
    assert_eq!(image.config["author"], "Tundra Tester <tundra@tundra.invalid>");
}

#[test]
fn webd_is_built_proven_and_pushed() {
    webd(Person::Me);
}

#[test]
fn webd_is_built_by_a_user_with_subordinate_ids() {
    webd(Person::WithSubids);
}

#[test]
fn an_unsigned_package_is_named_and_nothing_is_published() {
    let Some(story) = Story::new(Person::Me) else { return };
    story.check_refused("unsigned", "nosig-1.0-1.tn42.noarch: is not signed");
}

#[test]
fn a_forged_signature_is_named_and_nothing_is_published() {
    let Some(story) = Story::new(Person::Me) else { return };
    story.check_refused("forged", "nosig-1.0-1.tn42.noarch: the signature of key");
}

#[test]
fn an_image_with_a_key_that_is_not_given_is_refused() {
    let Some(story) = Story::new(Person::Me) else { return };
    let keys = story.distro.keys(&story.scratch, &["second"]);
    let context = story.scratch.context("plain", "FROM base\nLABEL a=b\n");
    let base = format!("base=docker-image://{}", story.registry.reference("fedora:42"));
    let tag = story.registry.reference("plain:1");
    let arguments = ["build", "--tls-verify=false", "--keys", &keys, "--build-context", &base, "-t", &tag, "--push"];
    let outcome = story.scratch.stratum(&arguments).args(&[&context]).run().expect(5);
    outcome.says("which is not among the keys given");
    assert_eq!(story.registry.tags("plain"), Vec::<String>::new());
}

#[test]
fn the_image_is_the_same_to_other_tools() {
    let Some(story) = Story::new(Person::Me) else { return };
    let (Some(skopeo), Some(umoci)) = (program("skopeo"), program("umoci")) else { return };
    let Some(outcome) = story.build("webd", FEDORA) else { return };
    let digest = outcome.expect(0).digest();
    let source = format!("docker://{}", story.registry.reference("containers/webd:1.0"));
    let shown = run(Command::new(&skopeo).args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &source]));
    assert_eq!(shown.trim(), digest);
    let layout = format!("oci:{}:1.0", story.scratch.at("copy"));
    run(Command::new(&skopeo).args(["copy", "-q", "--insecure-policy", "--src-tls-verify=false", &source, &layout]));
    let bundle = story.scratch.at("bundle");
    let image = format!("{}:1.0", story.scratch.at("copy"));
    run(Command::new(&umoci).args(["unpack", "--rootless", "--image", &image, &bundle]));
    let root = format!("{bundle}/rootfs");
    assert!(std::path::Path::new(&root).join("usr/libexec/webd/webd-ws").exists());
    let Some(rpm) = program("rpm") else { return };
    let database = "_dbpath /usr/lib/sysimage/rpm";
    let listed = run(Command::new(rpm).args(["--root", &root, "-D", database, "-qa"]));
    let packages = listed.lines().filter(|line| !line.starts_with("gpg-pubkey")).count();
    let inspected = story.scratch.stratum(&["inspect", "--json", "--tls-verify=false", &source]).run().expect(0);
    let report: serde_json::Value = serde_json::from_str(&inspected.stdout).unwrap();
    assert_eq!(report["packages"].as_array().unwrap().len(), packages);
}

#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_base_from_another_registry_is_fetched_once() {
    let (Some(from), Some(to)) = (Registry::start(), Registry::start()) else { return };
    from.push(crate::support::testdata("base/oci"), "42", "base", "42");
    let scratch = Scratch::new();
    let base = from.reference("base:42");
    let context = scratch.context("context", &format!("FROM {base}\nRUN true > /made\n"));
    let tag = to.reference("out:1");
    scratch.stratum(&["build", "--tls-verify=false", "-t", &tag, "--push", &context]).run().expect(0);
    let (image, base) = (to.image("out", "1"), from.image("base", "42"));
    assert!(image.layer_digests().starts_with(&base.layer_digests()));
    for digest in base.layer_digests() {
        let name = format!("blobs/sha256/{}", digest.trim_start_matches("sha256:"));
        assert!(scratch.listing("store").iter().any(|path| path.ends_with(&name)), "{digest} was not kept");
    }
}
