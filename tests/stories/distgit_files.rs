//! The files of a dist-git repository besides its Dockerfile: what they do, and what is said of a wrong one.

use std::cell::OnceCell;

use serde_json::Value;

use crate::support::binary::Outcome;
use crate::support::git;
use crate::support::image::{Image, digest_of};
use crate::support::scratch::Scratch;
use crate::support::web::serve;

const JAR: &[u8] = b"not really an archive";

/// A repository `app`, a site, and a server of artifacts.
struct Story {
    scratch: Scratch,
    server: String,
    /// The URL of the commit.
    committed: OnceCell<Option<String>>,
}

impl Story {
    fn new(dockerfile: &str) -> Self {
        let scratch = Scratch::new();
        scratch.context("app", dockerfile);
        scratch.write("server/ok/a.jar", JAR);
        scratch.write("server/elsewhere/a.jar", JAR);
        let server = serve(scratch.path().join("server"), "127.0.0.1:0").unwrap();
        Self { scratch, server, committed: OnceCell::new() }
    }

    fn file(self, name: &str, text: impl AsRef<[u8]>) -> Self {
        self.scratch.write(&format!("app/{name}"), text);
        self
    }

    /// `fetch-artifacts-url.yaml` with one file of the server.
    fn artifact(self, path: &str, sum: &str, target: &str) -> Self {
        let text =
            format!("- url: http://{}/{path}\n  sha256: {sum}\n  target: {target}\n  md5: {}\n", self.server, MD5);
        self.file("fetch-artifacts-url.yaml", text)
    }

    /// Builds the commit of the repository; none without git.
    fn build(&self, site: &str) -> Option<Outcome> {
        let commit = || git::commit(&self.scratch, "app").map(|(url, commit)| format!("{url}#{commit}"));
        let source = self.committed.get_or_init(commit).as_ref()?;
        Some(self.build_from(site, source))
    }

    fn build_from(&self, site: &str, source: &str) -> Outcome {
        let allowed = format!("artifacts_allowed_domains: ['{}/ok']\n", self.server);
        self.scratch.write("site.yaml", format!("version: 1\n{allowed}{site}"));
        let (site, record) = (self.scratch.at("site.yaml"), self.scratch.at("record.json"));
        let output = format!("oci:{}", self.scratch.at("image"));
        self.scratch.stratum(&["build", "--config", &site, "--record", &record, "-o", &output, source]).run()
    }
}

/// Of [`JAR`].
const MD5: &str = "630f1bf5d79ba418f008798ea4ca85e0";

fn sum() -> String {
    digest_of(JAR).trim_start_matches("sha256:").to_owned()
}

/// A repository with this file is refused with status `code`, and every text is said.
#[track_caller]
fn refused(name: &str, text: &str, code: i32, said: &[&str]) {
    let story = Story::new("FROM scratch\nLABEL a=b\n").file(name, text);
    let Some(mut outcome) = story.build("") else { return };
    outcome = outcome.expect(code);
    for text in said {
        outcome = outcome.says(text);
    }
}

#[test]
fn a_wrong_file_is_shown_with_place_and_meaning() {
    let yaml = "tags: [a]\nplatform: {only: x86_64}\n";
    let meant = "did you mean platforms? (platforms: which platforms the image is built for, by `only` and `not`)";
    refused("container.yaml", yaml, 3, &["container.yaml:2:1: platform: unknown key", meant]);
    let yaml = "compose:\n  packages: httpd\n";
    let meant = "compose.packages: the packages to take from the Koji target's tag";
    refused("container.yaml", yaml, 3, &["container.yaml:2:13: compose.packages: expected a list", meant]);
    refused("container.yml", "tags: [a]\n", 3, &["container.yml: nobody reads a file of this name", "container.yaml"]);
    refused("content_sets.yml", "x86_64: a-rpms\n", 3, &["content_sets.yml:1:9: x86_64: expected a list"]);
    let artifacts = "- url: http://h.example/a\n";
    refused("fetch-artifacts-url.yaml", artifacts, 3, &["fetch-artifacts-url.yaml:1:3", "a checksum is missing"]);
    let artifacts = "- nvr: a-1-1\n  archive: []\n";
    let meant = "did you mean archives? (archives: which files of the build are wanted; without it, all)";
    refused("fetch-artifacts-koji.yaml", artifacts, 3, &["fetch-artifacts-koji.yaml:2:3", meant]);
    refused("fetch-artifacts-pnc.yaml", "builds: []\n", 3, &["files of PNC are not fetched by this program"]);
}

#[test]
fn what_only_osbs_would_not_accept_is_refused_where_the_site_asks_for_it() {
    let story = Story::new("FROM scratch\nLABEL a=b\n").file("content_sets.yml", "x86_64: [a-debs]\n");
    let Some(outcome) = story.build("") else { return };
    let said = "content_sets.yml:1:10: x86_64[0]: expected the name of a content set";
    outcome.expect(0).says("warning: check_user_settings").says(said);
    let site = "prebuild_plugins: [{name: check_user_settings, args: {required_labels: [a]}}]\n";
    let Some(outcome) = story.build(site) else { return };
    outcome.expect(3).says(said);
    let story = Story::new("FROM scratch\nLABEL version=$NOBODY\n");
    let Some(outcome) = story.build("") else { return };
    outcome.expect(3).says("the variable NOBODY is not defined").says("Dockerfile:2:15");
}

#[test]
fn an_artifact_is_fetched_by_its_checksums_into_a_clone_only() {
    let dockerfile = "FROM scratch\nCOPY artifacts/lib/a.jar /a.jar\nLABEL release=7\n";
    let story = Story::new(dockerfile).artifact("ok/a.jar", &sum(), "lib/a.jar");
    let story = story.file("container.yaml", "set_release_env: REL\n");
    let Some(outcome) = story.build("image_labels: {vendor: corp}\n") else { return };
    outcome.expect(0);
    let image = Image::in_layout(story.scratch.at("image"), None);
    assert_eq!(image.top_layer().text("a.jar").as_bytes(), JAR);
    assert_eq!(image.config["config"]["Env"].as_array().unwrap().last().unwrap(), "REL=7");
    let record = std::fs::read_to_string(story.scratch.at("record.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let fetched = &record["source"]["fetched"][0];
    assert_eq!((&fetched["name"], &fetched["digest"]), (&"artifacts/lib/a.jar".into(), &digest_of(JAR).into()));
    // A directory of the user's is left alone.
    story.build_from("", &story.scratch.at("app")).expect(3).says("artifacts/lib/a.jar: no such file");
    assert!(!story.scratch.path().join("app/artifacts").exists());
}

#[test]
fn an_artifact_that_is_another_or_from_elsewhere_or_leads_out_is_refused() {
    let dockerfile = "FROM scratch\nCOPY artifacts /\n";
    let refused = |path: &str, sum: &str, target: &str, said: &str| {
        let Some(outcome) = Story::new(dockerfile).artifact(path, sum, target).build("") else { return };
        outcome.expect(5).says(said);
    };
    refused("ok/a.jar", &"ab".repeat(32), "a.jar", &format!("/ok/a.jar has sha256 {}, but abab", sum()));
    refused("elsewhere/a.jar", &sum(), "a.jar", "artifacts may not come from 127.0.0.1:");
    let out =
        "fetch-artifacts-url.yaml:3:11: target `../../../a.jar`: a part of it is `..`, which leads out of the folder";
    refused("ok/a.jar", &sum(), "../../../a.jar", out);
    refused("ok/a.jar", &sum(), "/etc/a.jar", "target `/etc/a.jar`: it is an absolute path");
    let story = Story::new(dockerfile).artifact("ok/a.jar", &sum(), "a.jar");
    std::os::unix::fs::symlink("/var/tmp", story.scratch.path().join("app/artifacts")).unwrap();
    let Some(outcome) = story.build("") else { return };
    outcome.expect(3).says("in the repository there is already artifacts, which is no folder");
}

#[test]
fn prefetched_sources_are_a_context_and_their_variables_arguments() {
    let dockerfile = "FROM scratch\nCOPY --from=remote-source app/main.go /src/\nLABEL cache=$GOCACHE\n";
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let yaml = format!("remote_source: {{repo: https://git.example/r.git, ref: {commit}}}\n");
    let story = Story::new(dockerfile).file("container.yaml", yaml);
    story.scratch.write("sources/app/main.go", "package main\n");
    story.scratch.write("sources/cachito.env", "export GOCACHE=/remote-source/deps/gomod\n");
    let site = format!("remote_sources: {{directory: '{}'}}\n", story.scratch.at("sources"));
    let Some(outcome) = story.build(&site) else { return };
    outcome.expect(0);
    let image = Image::in_layout(story.scratch.at("image"), None);
    assert_eq!(image.top_layer().names(), ["src", "src/main.go"]);
    assert_eq!(image.config["config"]["Labels"]["cache"], "/remote-source/deps/gomod");
    let Some(outcome) = story.build("prebuild_plugins: [{name: download_remote_source}]\n") else { return };
    outcome.expect(3).says("remote sources are fetched by another service").says("remote_sources.directory");
}

#[test]
fn a_dockerfile_that_copies_its_remote_sources_builds_as_it_is() {
    let dockerfile = "FROM scratch\nCOPY $REMOTE_SOURCE $REMOTE_SOURCE_DIR\nWORKDIR $REMOTE_SOURCE_DIR/app\n\
        COPY ${REMOTE_SOURCE}/app/main.go /src/\nLABEL env=$CACHITO_ENV_FILE\n";
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let yaml = format!("remote_source: {{repo: https://git.example/r.git, ref: {commit}}}\n");
    let story = Story::new(dockerfile).file("container.yaml", yaml);
    story.scratch.write("sources/app/main.go", "package main\n");
    story.scratch.write("sources/cachito.env", "#!/bin/bash\nexport GOCACHE=/remote-source/deps/gomod\n");
    let site = format!("remote_sources: {{directory: '{}'}}\n", story.scratch.at("sources"));
    let Some(outcome) = story.build(&site) else { return };
    outcome.expect(0);
    let image = Image::in_layout(story.scratch.at("image"), None);
    let below = ["", "/app", "/app/main.go", "/cachito.env"].map(|path| format!("remote-source{path}"));
    let names = image.top_layer().names();
    assert_eq!(names, [&below[..], &["src".to_owned(), "src/main.go".to_owned()]].concat());
    assert_eq!(image.config["config"]["Labels"]["env"], "/remote-source/cachito.env");
    story.scratch.write("app/unpacked_remote_sources/x", "x");
    let outcome = story.build_from(&site, &story.scratch.at("app"));
    outcome.expect(3).says("unpacked_remote_sources: the repository has this already");
}
