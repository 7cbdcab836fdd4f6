//! A build pod whose entry point is `stratum inside-build`: what it is given by every generation of the build system.

use serde_json::{Value, json};

use crate::support::binary::Stratum;
use crate::support::git;
use crate::support::registry::{Access, Registry};
use crate::support::scratch::Scratch;

const DOCKERFILE: &str = "FROM scratch\n\
    LABEL com.redhat.component=webd-container name=tests/webd version=1.0 release=1\n\
    COPY page.html /srv/\n";
const IMAGE: &str = "jane/webd:f42-candidate-12345-20260102030405";
/// The media type that OSBS's registries have always had.
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

struct Pod {
    scratch: Scratch,
    registry: Registry,
    url: String,
    commit: String,
}

impl Pod {
    /// A pod beside a registry and a repository; skips aloud without the programs for them.
    fn new() -> Option<Self> {
        Self::beside(Registry::start()?)
    }

    fn beside(registry: Registry) -> Option<Self> {
        let scratch = Scratch::new();
        scratch.write("webd/Dockerfile", DOCKERFILE);
        scratch.write("webd/page.html", "<h1>webd</h1>\n");
        let (url, commit) = git::commit(&scratch, "webd")?;
        Some(Self { scratch, registry, url, commit })
    }

    /// The entry point, with options.
    fn entry(&self, arguments: &[&str]) -> Stratum {
        self.scratch.stratum(&["--verbose", "inside-build", "--progress", "plain"]).args(arguments)
    }

    /// What OpenShift puts into the environment of every custom build.
    fn osv3(&self, arguments: &[&str]) -> Stratum {
        self.entry(arguments)
            .env("BUILD", &self.build().to_string())
            .env("SOURCE_URI", &self.url)
            .env("SOURCE_REF", &self.commit)
            .env("OUTPUT_IMAGE", IMAGE)
            .env("OUTPUT_REGISTRY", &self.registry.address())
            .env("OPENSHIFT_CUSTOM_BUILD_BASE_IMAGE", "registry.example/buildroot:1")
    }

    fn build(&self) -> Value {
        json!({
            "kind": "Build",
            "apiVersion": "build.openshift.io/v1",
            "metadata": {"name": "webd-1", "namespace": "osbs", "labels": {"koji-task-id": "42"}},
            "spec": {
                "source": {"type": "Git", "git": {"uri": self.url, "ref": self.commit}},
                "strategy": {"type": "Custom", "customStrategy": {"from": {"kind": "DockerImage", "name": "buildroot"}}},
                "output": {"to": {"kind": "DockerImage", "name": self.registry.reference(IMAGE)}},
            },
        })
    }

    fn user_params(&self) -> Value {
        json!({
            "git_uri": self.url, "git_ref": self.commit, "git_branch": "main", "user": "jane", "component": "webd",
            "image_tag": IMAGE, "koji_task_id": 42, "zebra": true, "base_image": "scratch",
        })
    }

    /// A site's configuration with a key that is of no use and one that nobody knows.
    fn reactor_config(&self) -> String {
        let registry = self.registry.address();
        format!(
            "version: 1\nregistry: {{url: 'http://{registry}/v2', insecure: true}}\n\
             source_registry: {{url: '{registry}', insecure: true}}\n\
             image_labels: {{vendor: Tundra}}\nsmtp: {{host: mail.example, from_address: a@b.example}}\nzebras: 1\n"
        )
    }

    /// The image has the site's label and names, in Docker's format.
    #[track_caller]
    fn check(&self, digest: &str) {
        for tag in ["1.0-1", "1.0", "latest"] {
            let manifest = self.registry.manifest("tests/webd", tag).unwrap_or_else(|| panic!("no {tag}"));
            let manifest: Value = serde_json::from_slice(&manifest).unwrap();
            assert_eq!(manifest["mediaType"], DOCKER);
            let image = self.registry.image("tests/webd", tag);
            assert_eq!(image.digest, digest, "{tag}");
            let labels = &image.config["config"]["Labels"];
            assert_eq!((&labels["vendor"], &labels["vcs-ref"]), (&json!("Tundra"), &json!(self.commit)));
            assert_eq!(image.tree().text("srv/page.html"), "<h1>webd</h1>\n");
        }
    }
}

#[test]
fn generation_a_brings_lists_of_plugins_with_their_arguments() {
    let Some(pod) = Pod::new() else { return };
    let registry = pod.registry.address();
    let lists = json!({
        "prebuild_plugins": [
            {"name": "reactor_config", "args": {}},
            {"name": "pull_base_image", "args": {"parent_registry": registry, "parent_registry_insecure": true}},
            {"name": "change_from_in_dockerfile"},
            {"name": "add_labels_in_dockerfile", "args": {"labels": {"vendor": "Tundra"}}},
            {"name": "add_dockerfile", "args": {"path": "BUILT_IMAGE_ID"}},
            {"name": "distribution_scope"},
            {"name": "tag_from_config"},
            {"name": "nobody_knows_this", "required": false, "args": {}},
        ],
        "buildstep_plugins": [{"name": "docker_api"}],
        "postbuild_plugins": [
            {"name": "all_rpm_packages"},
            {"name": "tag_and_push", "args": {"registries": {registry: {"insecure": true, "version": "v2"}}}},
        ],
        "exit_plugins": [{"name": "store_metadata_in_osv3", "args": null, "can_fail": true}],
    });
    let outcome = pod.osv3(&[]).env("ATOMIC_REACTOR_PLUGINS", &lists.to_string()).run().expect(0);
    pod.check(&outcome.digest());
    let outcome = outcome.says(&format!("input osv3, source {}#{}", pod.url, pod.commit));
    let outcome = outcome.says("site configuration ATOMIC_REACTOR_PLUGINS sha256:").says("nobody_knows_this");
    outcome.says("BUILT_IMAGE_ID is not known before the build").says("exit_plugins[0].can_fail: unknown key");
}

#[test]
fn the_first_lists_there_were_are_built_and_nothing_is_said_twice() {
    let Some(pod) = Pod::new() else { return };
    let registry = pod.registry.address();
    let lists = json!({
        "prebuild_plugins": [
            {"name": "change_from_in_dockerfile"},
            {"name": "distgit_fetch_artefacts", "args": {"command": "fedpkg sources"}},
            {"name": "dockerfile_content"},
            {"name": "change_source_registry", "args": {"registry_uri": registry, "insecure_registry": true}},
        ],
        "prepublish_plugins": [{"name": "squash"}],
        "postbuild_plugins": [
            {"name": "tag_and_push", "args": {"registries": {registry.clone(): {"insecure": true}}}},
            {"name": "all_rpm_packages", "args": {"image_id": "BUILT_IMAGE_ID"}},
        ],
        "exit_plugins": [{"name": "remove_built_image"}],
        "client_version": "0.14",
    });
    let outcome = pod.osv3(&[]).env("DOCK_PLUGINS", &lists.to_string()).run().expect(0);
    assert_eq!(pod.registry.image("jane/webd", IMAGE.rsplit(':').next().unwrap()).digest, outcome.digest());
    let outcome = outcome.says("check_base_image runs before change_from_in_dockerfile");
    let outcome = outcome.says("plugin dockerfile_content is not needed").says("client_version: not used");
    assert!(!outcome.stderr.contains("does without the arguments"), "{}", outcome.stderr);
    let mut notes: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("not ")).collect();
    let said = notes.len();
    notes.sort_unstable();
    notes.dedup();
    assert_eq!(notes.len(), said, "{}", outcome.stderr);
}

#[test]
fn generation_b_brings_user_parameters_and_a_configuration_in_the_environment() {
    let Some(pod) = Pod::new() else { return };
    let run = pod.osv3(&[]).env("USER_PARAMS", &pod.user_params().to_string());
    let outcome = run.env("REACTOR_CONFIG", &pod.reactor_config()).env("DOCKER_SOCKET", "/var/run/docker.sock").run();
    let outcome = outcome.expect(0);
    pod.check(&outcome.digest());
    let outcome = outcome.says("site configuration REACTOR_CONFIG sha256:").says("USER_PARAMS: zebra: unknown key");
    let outcome = outcome.says("USER_PARAMS: base_image: not used").says("DOCKER_SOCKET: not used");
    let outcome = outcome.says("REACTOR_CONFIG:6: zebras: unknown key").says("REACTOR_CONFIG:5: smtp: not used");
    let first = outcome.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with(&format!("stratum {}: input osv3", env!("CARGO_PKG_VERSION"))), "{first}");
}

#[test]
fn generation_c_brings_files_and_no_build_object() {
    let Some(pod) = Pod::new() else { return };
    let params = pod.scratch.write("params.json", pod.user_params().to_string());
    pod.scratch.write("reactor/config.yaml", pod.reactor_config());
    let options = ["--user-params", params.to_str().unwrap(), "--config-file", &pod.scratch.at("reactor")];
    let outcome = pod.entry(&options).run().expect(0);
    pod.check(&outcome.digest());
    outcome.says("reactor/config.yaml sha256:");
}

#[test]
fn a_build_json_is_built_from_a_file_or_a_variable() {
    let Some(pod) = Pod::new() else { return };
    let build = json!({
        "source": {"provider": "git", "uri": "https://unreachable.example/x", "provider_params": {"git_commit": pod.commit}},
        "image": pod.registry.reference("plain/webd:1"),
        "prebuild_plugins": [],
    });
    let url = format!("source.uri={}", pod.url);
    let path = pod.scratch.write("build.json", build.to_string()).display().to_string();
    let options = ["--input", "path", "--input-arg", &format!("path={path}"), "--substitute", &url];
    let outcome = pod.entry(&options).args(&["--", "--tls-verify=false"]).run().expect(0);
    assert_eq!(pod.registry.image("plain/webd", "1").digest, outcome.digest());
    let run = pod.entry(&["--substitute", &url, "--", "--tls-verify=false"]).env("BUILD_JSON", &build.to_string());
    run.run().expect(0).says("input env BUILD_JSON");
}

#[test]
fn a_binary_source_comes_on_standard_input_and_push_credentials_as_a_secret() {
    let Some(registry) = Registry::start_for(Access::Password) else { return };
    let Some(pod) = Pod::beside(registry) else { return };
    pod.scratch.write("push/.dockerconfigjson", pod.registry.credentials());
    let mut build = pod.build();
    build["spec"]["source"] = json!({"type": "Binary", "binary": {}});
    let run = pod.osv3(&["--", "--tls-verify=false"]).without_env("SOURCE_URI").without_env("SOURCE_REF");
    let run = run.env("BUILD", &build.to_string()).env("PUSH_DOCKERCFG_PATH", &pod.scratch.at("push"));
    let outcome = run.stdin("FROM scratch\nLABEL a=b\n").run().expect(0).says("source standard input");
    assert_eq!(pod.registry.image("jane/webd", "f42-candidate-12345-20260102030405").digest, outcome.digest());
}

#[test]
fn labels_of_the_build_object_count_before_those_of_dockerfile_and_site() {
    let Some(pod) = Pod::new() else { return };
    let mut build = pod.build();
    build["spec"]["output"]["imageLabels"] = json!([
        {"name": "vendor", "value": "first"}, {"name": "vendor", "value": "Puffin"}, {"name": "empty"},
        {"name": "summary", "value": "two words = one"}, {"name": "version", "value": "2.0"},
    ]);
    let run = pod.osv3(&[]).env("BUILD", &build.to_string()).env("REACTOR_CONFIG", &pod.reactor_config());
    run.run().expect(0);
    // Its names are made of the labels that it has.
    let labels = pod.registry.image("tests/webd", "2.0-1").config["config"]["Labels"].clone();
    assert_eq!((&labels["vendor"], &labels["empty"]), (&json!("Puffin"), &json!("")));
    assert_eq!((&labels["summary"], &labels["version"]), (&json!("two words = one"), &json!("2.0")));
}

#[test]
fn a_dockerfile_in_the_build_object_takes_the_place_of_the_repository_s() {
    let Some(pod) = Pod::new() else { return };
    let mut build = pod.build();
    build["spec"]["source"]["dockerfile"] = json!("FROM scratch\nCOPY page.html /inline/\n");
    let run = || pod.osv3(&["--", "--tls-verify=false"]);
    run().env("BUILD", &build.to_string()).run().expect(0);
    let tag = IMAGE.rsplit(':').next().unwrap();
    assert_eq!(pod.registry.image("jane/webd", tag).tree().text("inline/page.html"), "<h1>webd</h1>\n");
    build["spec"]["source"]["dockerfile"] = json!("FROM scratch\nRUNN x\n");
    let outcome = run().env("BUILD", &build.to_string()).run().expect(3);
    outcome.says("spec.source.dockerfile of the Build:2:1").says("RUNN");
    build["spec"]["source"] = json!({"type": "Dockerfile", "dockerfile": "FROM scratch\nLABEL a=b\n"});
    run().env("BUILD", &build.to_string()).without_env("SOURCE_URI").without_env("SOURCE_REF").run().expect(0);
    assert_eq!(pod.registry.image("jane/webd", tag).config["config"]["Labels"]["a"], "b");
}

#[test]
fn the_folder_of_an_archive_on_standard_input_is_the_context() {
    let Some(pod) = Pod::new() else { return };
    let mut build = pod.build();
    build["spec"]["source"] = json!({"type": "Binary", "binary": {}, "contextDir": "webd"});
    let mut tar = std::process::Command::new("tar");
    tar.args(["-c", "--exclude=.git", "webd"]).current_dir(pod.scratch.path());
    let Ok(tar) = tar.output() else { return };
    let run = |build: &Value, input: Vec<u8>| {
        let run = pod.osv3(&["--", "--tls-verify=false"]).without_env("SOURCE_URI").without_env("SOURCE_REF");
        run.env("BUILD", &build.to_string()).stdin(input).run()
    };
    run(&build, tar.stdout.clone()).expect(0);
    let image = pod.registry.image("jane/webd", IMAGE.rsplit(':').next().unwrap());
    assert_eq!(image.tree().text("srv/page.html"), "<h1>webd</h1>\n");
    run(&build, b"FROM scratch\n".to_vec())
        .expect(3)
        .says("it is a Dockerfile, and the build context is to be its folder webd");
    build["spec"]["source"]["contextDir"] = json!("../webd");
    run(&build, tar.stdout).expect(3).says("there is no folder ../webd in it");
}

#[test]
fn the_source_s_secret_configures_git_and_files_of_it_are_gone_afterwards() {
    let Some(pod) = Pod::new() else { return };
    pod.scratch.write("secret/.gitconfig", format!("[url \"{}\"]\ninsteadOf = file:///nowhere/webd\n", pod.url));
    pod.scratch.write("secret/ssh-privatekey", "KEY");
    let run = pod.osv3(&["--", "--tls-verify=false"]).env("SOURCE_URI", "file:///nowhere/webd");
    run.env("SOURCE_SECRET_PATH", &pod.scratch.at("secret")).run().expect(0);
    let left: Vec<String> = pod.scratch.listing("store").into_iter().filter(|path| path.contains("ssh")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn bad_inputs_are_named() {
    let scratch = Scratch::new();
    let entry = || scratch.stratum(&["inside-build", "--input-arg", "path=/nonexistent/build.json"]);
    let outcome =
        entry().run().expect(2).says("there is no input; looked for").says("variable BUILD_JSON is not there");
    outcome.says("file /nonexistent/build.json is not there");
    let broken = scratch.stratum(&["inside-build"]).env("BUILD", "{\"metadata\": ");
    broken.run().expect(2).says("BUILD: the Build object is not JSON: line 1");
    let params = json!({
        "git_uri": "https://src.example/x", "git_ref": "main", "user": "jane", "scratch": true, "isolated": true,
        "release": "1.1",
    });
    let both = scratch.stratum(&["inside-build"]).env("USER_PARAMS", &params.to_string());
    both.run().expect(2).says("USER_PARAMS: scratch and isolated exclude each other, and both are set");
}
