//! The whole of it: a build pod of OpenShift beside a registry, a dist-git repository and the cluster's API. Image,
//! annotations and record agree, whatever pod it is.

use std::io::Write;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::binary::Stratum;
use crate::support::cluster::{Cluster, TOKEN};
use crate::support::git;
use crate::support::pod::Pod;
use crate::support::registry::Registry;
use crate::support::scratch::Scratch;
use crate::support::{shared, testdata};

const IMAGE: &str = "jane/hello:f42-candidate-12345-20260102030405";
const NAMESPACE: &str = "osbs";
const NAME: &str = "hello-7";

/// What a build is made with.
struct Site {
    scratch: Scratch,
    registry: Registry,
    cluster: Cluster,
    /// The repository and the commit.
    source: (String, String),
    build: Value,
}

impl Site {
    /// Skips aloud without a registry, git or the description of the API.
    fn new(dockerfile: &str) -> Option<Self> {
        let scratch = Scratch::new();
        let registry = Registry::start()?;
        let openapi = shared("schemas/k8s/openshift-build-v1.openapi.json")?;
        let cluster = Cluster::start(Some(&openapi));
        registry.push(testdata("base/oci"), "42", "base", "42");
        scratch.write("hello/Dockerfile", dockerfile.replace("REGISTRY", &registry.address()));
        scratch.write("hello/help.md", "# hello\n\nsays hello\n");
        let source = git::commit(&scratch, "hello")?;
        let spec = json!({
            "source": {"type": "Git", "git": {"uri": source.0, "ref": source.1}},
            "strategy": {"type": "Custom", "customStrategy": {"from": {"kind": "DockerImage", "name": "buildroot"}}},
            "output": {"to": {"kind": "DockerImage", "name": registry.reference(IMAGE)}},
        });
        let build = cluster.add_build(NAMESPACE, NAME, spec);
        scratch.write("token", TOKEN);
        scratch.copy(&testdata("base/keys"), "keys");
        Some(Self { scratch, registry, cluster, source, build })
    }

    fn configuration(&self) -> String {
        let (registry, cluster) = (self.registry.address(), self.cluster.url());
        let keys = self.scratch.at("keys");
        let (token, record) = (self.scratch.at("token"), self.scratch.at("out/record.json"));
        format!(
            "version: 1\nregistry: {{url: 'http://{registry}/v2', insecure: true}}\n\
             source_registry: {{url: '{registry}', insecure: true}}\nimage_labels: {{vendor: Tundra}}\n\
             openshift: {{url: '{cluster}', auth: {{enable: true, token_path: '{token}'}}}}\n\
             keys: {{directories: ['{keys}']}}\nrecord: {{path: '{record}'}}\n"
        )
    }

    fn user_params(&self, branch: &str) -> String {
        let (uri, commit) = &self.source;
        let source = json!({"git_uri": uri, "git_ref": commit, "git_branch": branch});
        let mut params = json!({"user": "jane", "component": "hello", "image_tag": IMAGE});
        params.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        params.to_string()
    }

    /// What OpenShift and OSBS put into the environment.
    fn environment(&self) -> Vec<(&'static str, String)> {
        let (uri, _) = &self.source;
        vec![
            ("BUILD", self.build.to_string()),
            ("SOURCE_URI", uri.clone()),
            ("SOURCE_REF", self.source.1.clone()),
            ("OUTPUT_IMAGE", IMAGE.to_owned()),
            ("OUTPUT_REGISTRY", self.registry.address()),
            ("USER_PARAMS", self.user_params("main")),
            ("REACTOR_CONFIG", self.configuration()),
            ("STRATUM_TERMINATION_LOG", self.scratch.at("out/termination")),
        ]
    }

    /// The entry point in a pod.
    fn entry(&self, pod: &Pod) -> Stratum {
        let arguments = ["inside-build", "--store", &self.scratch.at("out/store")];
        pod.stratum_with(&self.scratch, &self.environment(), &arguments)
    }

    /// The entry point on this machine.
    fn entry_here(&self) -> Stratum {
        self.scratch.folder("out");
        let command = self.scratch.stratum(&["inside-build"]);
        self.environment().iter().fold(command, |command, (name, value)| command.env(name, value))
    }

    fn record(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.scratch.path().join("out/record.json")).unwrap()).unwrap()
    }

    fn annotation(&self, key: &str) -> Value {
        let all = self.cluster.annotations(NAMESPACE, NAME);
        let text = all.get(key).unwrap_or_else(|| panic!("no annotation {key} in {all:?}"));
        serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into())
    }
}

const DOCKERFILE: &str = "FROM REGISTRY/base:42\n\
    LABEL com.redhat.component=hello-container name=tests/hello version=1.0 release=1\n\
    RUN echo hello > /greeting\nUSER 1001\n";

/// Gives a tree to a user: git reads no repository of somebody else.
fn give(path: &Path, user: u32) {
    lchown(path, Some(user), Some(user)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        std::fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), user));
    }
}

/// Builds in a pod of this kind, whose user this is; the digest of the image.
fn built_in(profile: &str, user: u32) -> Option<String> {
    let pod = Pod::new(profile)?;
    let site = Site::new(DOCKERFILE)?;
    give(&site.scratch.path().join("hello"), user);
    let outcome = site.entry(&pod).run().expect(0);
    let digest = outcome.digest();
    for tag in ["1.0-1", "1.0", "latest"] {
        let image = site.registry.image("tests/hello", tag);
        assert_eq!(image.digest, digest, "{profile}: {tag}");
        assert_eq!(image.config["config"]["Labels"]["vendor"], "Tundra");
        assert_eq!(image.config["config"]["User"], "1001");
    }
    let record = site.record();
    assert_eq!((&record["result"]["status"], &record["image"]["manifest"]), (&json!("succeeded"), &json!(digest)));
    assert_eq!(site.annotation("commit_id"), json!(site.source.1));
    let digests = site.annotation("digests");
    assert!(digests.as_array().unwrap().iter().all(|one| one["digest"] == json!(digest)), "{digests}");
    let names = site.annotation("repositories");
    let published: Vec<&str> =
        record["outputs"].as_array().unwrap().iter().filter_map(|one| one["location"].as_str()).collect();
    for kind in ["unique", "primary", "floating"] {
        for name in names[kind].as_array().unwrap() {
            let name = name.as_str().unwrap();
            assert!(published.iter().any(|one| one.ends_with(name)), "{profile}: {name} is not in {published:?}");
        }
        assert!(!names[kind].as_array().unwrap().is_empty(), "{profile}: no {kind} names in {names}");
    }
    assert_eq!(site.annotation("plugins-metadata")["errors"], json!({}), "{profile}");
    assert_eq!(site.cluster.complaints(), Vec::<String>::new(), "{profile}");
    Some(digest)
}

#[test]
fn image_annotations_and_record_agree_in_every_pod() {
    let pods = [("custom-privileged", 0), ("custom-unprivileged", 0), ("anyuid", 0), ("nested-container", 1000)];
    for (profile, user) in pods {
        if built_in(profile, user).is_none() {
            return;
        }
    }
}

#[test]
fn a_pod_without_namespaces_is_told_which_instruction_needs_one() {
    let Some(pod) = Pod::new("restricted-v2") else { return };
    let built = |dockerfile: &str, code: i32| {
        let site = Site::new(dockerfile)?;
        give(&site.scratch.path().join("hello"), 1_000_680_000);
        let outcome = site.entry(&pod).run().expect(code);
        assert_eq!(site.cluster.complaints(), Vec::<String>::new());
        Some((site, outcome))
    };
    let Some((site, outcome)) = built(DOCKERFILE, 6) else { return };
    outcome.says("Dockerfile:3: `RUN echo hello > /greeting` needs isolation").says("help:");
    assert!(site.annotation("plugins-metadata")["errors"].to_string().contains("isolation"));
    // The site's plugins put files into this one, which no instruction of its author does.
    let Some((_, outcome)) = built(&DOCKERFILE.replace("RUN echo hello > /greeting", "ENV A=b"), 6) else { return };
    outcome.says("which plugins add to or look at, needs isolation").says("help:");
}

#[test]
fn a_failure_is_in_the_annotations_and_in_the_pods_last_message() {
    let Some(pod) = Pod::new("anyuid") else { return };
    let Some(site) = Site::new(&DOCKERFILE.replace("echo hello > /greeting", "echo it broke; exit 3")) else { return };
    site.entry(&pod).run().expect(4).says("it broke");
    assert!(site.annotation("plugins-metadata")["errors"].to_string().contains("status 3"));
    assert_eq!(site.annotation("repositories")["primary"], json!([]));
    let said = std::fs::read_to_string(site.scratch.path().join("out/termination")).unwrap();
    assert!(said.contains("Dockerfile:3") && said.contains("status 3"), "{said}");
    assert!(site.registry.tags("tests/hello").is_empty());
    assert_eq!(site.cluster.complaints(), Vec::<String>::new());
}

#[test]
fn a_service_account_without_rights_is_told_which_and_the_image_stays() {
    let Some(pod) = Pod::new("custom-unprivileged") else { return };
    let Some(site) = Site::new(DOCKERFILE) else { return };
    site.cluster.refuse("PATCH", "/builds/", 403, 9);
    let outcome = site.entry(&pod).run().expect(7);
    outcome.says("patch").says("builds").says("build.openshift.io");
    assert_eq!(site.registry.tags("tests/hello"), ["1.0", "1.0-1", IMAGE.rsplit(':').next().unwrap(), "latest"]);
}

#[test]
fn a_commit_that_is_not_on_the_branch_is_not_built() {
    let Some(site) = Site::new(DOCKERFILE) else { return };
    git::add_branch(&site.scratch, "hello", "f42");
    let outcome = site.entry_here().env("USER_PARAMS", &site.user_params("f42")).run().expect(3);
    outcome.says(&format!("commit {} is not on the branch `f42`", site.source.1));
    let outcome = site.entry_here().env("USER_PARAMS", &site.user_params("f43")).run().expect(3);
    outcome.says("there is no branch `f43`").says(&site.source.1);
    assert!(site.registry.tags("tests/hello").is_empty());
}

#[test]
fn a_build_that_failed_is_told_of_missing_rights_too_in_the_phase_they_are_missed_in() {
    let Some(site) = Site::new(&DOCKERFILE.replace("RUN echo hello > /greeting", "COPY nosuch /")) else { return };
    site.cluster.refuse("PATCH", "/builds/", 403, 9);
    let outcome = site.entry_here().run().expect(3).says("x86_64 exit: plugin store_metadata_in_osv3");
    outcome.says("help: add the rule").says("x86_64 build: nosuch");
}

#[test]
fn a_build_that_is_cancelled_says_so_within_ten_seconds() {
    let dockerfile = DOCKERFILE.replace("echo hello > /greeting", "trap '' TERM; echo now; sleep 100");
    let Some(site) = Site::new(&dockerfile) else { return };
    let mut running = site.entry_here().start();
    running.until("| now").signal("TERM");
    let began = Instant::now();
    running.wait().expect(8);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    assert!(site.annotation("plugins-metadata")["errors"].to_string().contains("cancelled"));
    assert_eq!(site.record()["result"]["status"], "cancelled");
    let said = std::fs::read_to_string(site.scratch.path().join("out/termination")).unwrap();
    assert!(said.contains("cancelled"), "{said}");
    assert_eq!(site.cluster.complaints(), Vec::<String>::new());
}

#[test]
fn a_build_that_is_cancelled_while_it_reads_its_configuration_says_so_too() {
    let Some(site) = Site::new(DOCKERFILE) else { return };
    let pipe = site.scratch.path().join("configuration");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let running = site.entry_here().env("REACTOR_CONFIG", pipe.to_str().unwrap()).start();
    // It can be opened as soon as somebody reads it.
    let mut config = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    running.signal("TERM");
    config.write_all(site.configuration().as_bytes()).unwrap();
    drop(config);
    running.wait().expect(8);
    assert!(site.annotation("plugins-metadata")["errors"].to_string().contains("cancelled"));
}

#[test]
fn a_tag_or_an_image_of_a_stream_is_asked_of_the_cluster() {
    let Some(mut site) = Site::new(&DOCKERFILE.replace("REGISTRY/base:42", "REGISTRY/nosuch:1")) else { return };
    let image = site.registry.image("base", "42").digest;
    let reference = format!("{}/base@{image}", site.registry.address());
    let tag = json!({
        "kind": "ImageStreamTag", "apiVersion": "image.openshift.io/v1", "metadata": {"name": "base:42"},
        "image": {"metadata": {"name": image}, "dockerImageReference": reference},
    });
    site.cluster.put("/apis/image.openshift.io/v1/namespaces/osbs/imagestreamtags/base:42", tag);
    site.build["spec"]["strategy"] = json!({"dockerStrategy": {"from": {"kind": "ImageStreamTag", "name": "base:42"}}});
    let digest = site.entry_here().run().expect(0).digest();
    assert_eq!(site.registry.image("tests/hello", "1.0-1").digest, digest);
    assert!(site.record()["bases"][0]["location"].as_str().unwrap().contains(&image), "{}", site.record()["bases"]);
    let name = format!("base@{image}");
    let in_stream = json!({
        "kind": "ImageStreamImage", "apiVersion": "image.openshift.io/v1", "metadata": {"name": name},
        "image": {"metadata": {"name": image}, "dockerImageReference": reference},
    });
    site.cluster.put(&format!("/apis/image.openshift.io/v1/namespaces/osbs/imagestreamimages/{name}"), in_stream);
    site.build["spec"]["strategy"]["dockerStrategy"]["from"] = json!({"kind": "ImageStreamImage", "name": name});
    assert_eq!(site.entry_here().run().expect(0).digest(), digest);
    site.build["spec"]["strategy"]["dockerStrategy"]["from"] = json!({"kind": "ImageStreamTag", "name": "gone:1"});
    site.entry_here().run().expect(7).says("ImageStreamTag gone:1");
}
