//! What a build is told in confidence shows up nowhere.

use std::io::ErrorKind;
use std::path::Path;

use crate::support::registry::Registry;
use crate::support::scratch::Scratch;
use crate::support::testdata;
use crate::support::web::serve;

/// Every secret of the story has this in it.
const MARK: &str = "hunter";

/// A site with a secret in every place that takes one, and a step that looks for them.
fn build(scratch: &Scratch, registry: &Registry) -> crate::support::binary::Outcome {
    let repository = "[private]\nname=p\nbaseurl=http://w:hunter-base@ADDRESS/r/?key=hunter-key\n\
        username=u\npassword=hunter-password\nproxy_password=hunter-proxy-password\nenabled=1\n";
    scratch.folder("www");
    let address = serve(scratch.path().join("www"), "127.0.0.1:0").unwrap();
    scratch.write("www/private.repo", repository.replace("ADDRESS", &address));
    scratch.write("login", "someone:hunter-login\n");
    scratch.write(
        "site.yaml",
        format!(
            "registry: {{url: '{0}', insecure: true}}\n\
             yum_repos: ['http://{address}/private.repo?token=hunter-token']\n\
             network: {{allow: ['{address}'], credentials: [{{host: '{address}', login_path: login}}]}}\n\
             record: {{push: true}}\n",
            registry.address()
        ),
    );
    let dockerfile = "FROM base\n\
        RUN env; cat /etc/yum.repos.d/*.repo; grep -o 'http://127.0.0.1:3128[^ ?]*' /etc/yum.repos.d/*.repo > /urls\n\
        RUN for url in $(cut -d: -f2- /urls); do wget -O- ${url}repodata/repomd.xml; done; true\n\
        RUN test -s /urls\n";
    let context = scratch.context("context", dockerfile);
    let base = format!("base=oci:{}:42", scratch.copy(&testdata("base/oci"), "base"));
    let tag = registry.reference("out:1");
    let site = scratch.at("site.yaml");
    let record = scratch.at("record.json");
    let arguments = ["build", "--verbose", "--config", &site, "--build-context", &base, "--creds", "me:hunter-creds"];
    let command = scratch.stratum(&arguments).args(&["--record", &record, "-t", &tag, "--push", &context]);
    command.env("https_proxy", "http://p:hunter-proxy@127.0.0.1:9").env("no_proxy", "127.0.0.1").run()
}

/// Files below `folder` that hold the mark, but for those that were given it.
fn betrayed(folder: &Path, given: &[&str], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            betrayed(&path, given, found);
        } else if path.is_file() && !given.iter().any(|name| path.ends_with(name)) {
            let bytes = match std::fs::read(&path) {
                // A subordinate id's, closed to others; where root runs the story it is read.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => continue,
                read => read.unwrap(),
            };
            if bytes.windows(MARK.len()).any(|window| window == MARK.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
}

#[test]
fn no_secret_is_in_output_record_image_or_store() {
    let Some(registry) = Registry::start() else { return };
    let scratch = Scratch::new();
    let outcome = build(&scratch, &registry).expect(0);
    assert!(outcome.stderr.contains("private.repo"), "the repository was not used");
    assert!(!outcome.stdout.contains(MARK), "{}", outcome.stdout);
    let lines: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains(MARK)).collect();
    assert_eq!(lines, Vec::<&str>::new());
    assert_eq!(registry.image("out", "1").top_layer().with(MARK), Vec::<String>::new());
    let mut found = Vec::new();
    betrayed(scratch.path(), &["www/private.repo", "login", "site.yaml"], &mut found);
    betrayed(registry.path(), &[], &mut found);
    assert_eq!(found, Vec::<String>::new());
    let record = std::fs::read_to_string(scratch.at("record.json")).unwrap();
    assert!(record.contains("/r/repodata/repomd.xml"), "the step asked for nothing: {record}");
}

#[test]
fn a_configuration_with_a_password_in_it_is_refused_without_showing_it() {
    let scratch = Scratch::new();
    let context = scratch.context("context", "FROM scratch\nLABEL a=b\n");
    for line in [
        "yum_repos: ['http://v:hunter-url@repo.example/private.repo']",
        "network: {credentials: [{host: repo.example, password: hunter-password}]}",
    ] {
        scratch.write("site.yaml", format!("version: 1\n{line}\n"));
        let outcome = scratch.stratum(&["build", "--config", &scratch.at("site.yaml"), &context]).run().expect(2);
        let outcome = outcome.says("site.yaml:2:");
        assert!(!outcome.stderr.contains(MARK), "{}", outcome.stderr);
    }
}
