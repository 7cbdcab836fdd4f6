//! The story of the bill of materials: what a build writes, attaches and prints of an image is what rpm lists in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::binary::Outcome;
use crate::support::distro::{Distro, distro};
use crate::support::registry::Registry;
use crate::support::scratch::{Person, Scratch};
use crate::support::{program, shared};

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
        registry.push(distro.layout("tundra-minimal"), "42-index", "minimal", "42");
        Some(Self { scratch: Scratch::of(person)?, registry, distro })
    }

    /// Builds the sample on the distribution's image and pushes it to `containers/SAMPLE:1.0`.
    fn build(&self, sample: &str, options: &[&str]) -> Option<Outcome> {
        let context = self.distro.sample(&self.scratch, sample)?;
        let repo = self.distro.repo_file(&self.scratch, &["os", "updates"]);
        let base = |name: &str| format!("{name}=docker-image://{}", self.registry.reference("fedora:42"));
        let arguments = ["build", "--tls-verify=false", "--add-repo", &repo, "-t", &self.tag(sample), "--push"];
        let (one, two) = (base("registry.fedoraproject.org/fedora:latest"), base("fedora:42"));
        let build = self.scratch.stratum(&arguments).args(&["--build-context", &one, "--build-context", &two]);
        Some(build.args(options).args(&[&context]).run())
    }

    /// Builds a Dockerfile on the small image.
    fn small(&self, dockerfile: &str, options: &[&str]) -> Outcome {
        let context = self.scratch.context("small", dockerfile);
        let base = format!("base=docker-image://{}", self.registry.reference("minimal:42"));
        let arguments = ["build", "--tls-verify=false", "--build-context", &base, "--source-date-epoch", "1700000000"];
        self.scratch.stratum(&arguments).args(options).args(&[&context]).run()
    }

    fn tag(&self, name: &str) -> String {
        self.registry.reference(&format!("containers/{name}:1.0"))
    }

    fn inspect(&self, name: &str) -> String {
        let image = format!("docker://{}", self.tag(name));
        self.scratch.stratum(&["inspect", "--tls-verify=false", "--sbom", &image]).run().expect(0).stdout
    }

    /// The documents that belong to an image: their types and bytes.
    fn attached(&self, name: &str, digest: &str) -> Vec<(String, Vec<u8>)> {
        let repository = format!("containers/{name}");
        let Some(index) = self.registry.manifest(&repository, &digest.replace(':', "-")) else { return Vec::new() };
        let index: Value = serde_json::from_slice(&index).unwrap();
        let document = |entry: &Value| {
            let artifact = self.registry.manifest(&repository, entry["digest"].as_str().unwrap()).unwrap();
            let artifact: Value = serde_json::from_slice(&artifact).unwrap();
            assert_eq!(artifact["subject"]["digest"], digest);
            let blob = self.registry.blob(&repository, artifact["layers"][0]["digest"].as_str().unwrap());
            (entry["artifactType"].as_str().unwrap().to_owned(), blob)
        };
        index["manifests"].as_array().unwrap().iter().map(document).collect()
    }

    #[track_caller]
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.scratch.at(name)).unwrap()
    }
}

/// Holds a document to its publisher's schema.
#[track_caller]
fn check_schema(document: &Value, schema: &str) {
    let Some(folder) = shared("schemas/sbom") else { return };
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let content = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        compiler.add_resource(&format!("http://cyclonedx.org/schema/{name}"), content).unwrap();
    }
    let index = compiler.compile(&format!("http://cyclonedx.org/schema/{schema}"), &mut schemas).unwrap();
    if let Err(error) = schemas.validate(document, index) {
        panic!("the document does not fit {schema}: {error:#}");
    }
}

/// Name, version and architecture of what rpm lists in an unpacked image.
fn listed(root: &str) -> Option<BTreeSet<String>> {
    let rpm = program("rpm")?;
    let places = ["usr/lib/sysimage/rpm", "var/lib/rpm"];
    let database =
        places.iter().map(|place| Path::new(root).join(place)).find(|path| path.join("rpmdb.sqlite").exists())?;
    let mut command = Command::new(rpm);
    command.arg("--dbpath").arg(database).args(["-qa", "--qf", "%{NAME} %{EVR} %{ARCH}\\n"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().filter(|line| !line.starts_with("gpg-pubkey")).map(str::to_owned).collect())
}

fn texts(document: &Value, list: &str, key: &str) -> Vec<String> {
    let all = document[list].as_array().unwrap().iter();
    all.map(|one| one[key].as_str().unwrap().to_owned()).collect()
}

fn webd(person: Person) {
    let Some(story) = Story::new(person) else { return };
    let [bill, purls, root] = ["bill.json", "purls.json", "root"].map(|name| story.scratch.at(name));
    let options = ["--sbom-output", &bill, "--sbom-purl-output", &purls, "--sbom", "true", "-o", &root];
    let Some(outcome) = story.build("webd", &options) else { return };
    let digest = outcome.expect(0).digest();
    let text = story.read("bill.json");
    let document: Value = serde_json::from_str(&text).unwrap();
    check_schema(&document, "bom-1.6.schema.json");
    let image = &document["metadata"]["component"];
    let name = story.registry.reference("containers/webd");
    assert_eq!((image["name"].as_str(), image["version"].as_str()), (Some(name.as_str()), Some("1.0")));
    let purl = format!("pkg:oci/webd@{digest}?arch=amd64&repository_url={}", name.replace('/', "%2F"));
    assert_eq!(image["purl"], purl.as_str());
    assert_eq!(image["pedigree"]["ancestors"][0]["version"], "latest", "{image}");
    let components = document["components"].as_array().unwrap();
    let found = texts(&document, "components", "purl");
    assert!(found[0].starts_with("pkg:rpm/tundra/") && found[0].contains("&distro=tundra-42"), "{}", found[0]);
    let list: Value = serde_json::from_str(&story.read("purls.json")).unwrap();
    assert_eq!(list, json!({"image_contents": {"dependencies": found}}));
    assert_eq!(document["dependencies"][0]["dependsOn"], json!(texts(&document, "components", "bom-ref")));
    if let Some(expected) = listed(&root) {
        let arch = |purl: &str| purl.split("?arch=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        let shown = |one: &Value| {
            let text = |key: &str| one[key].as_str().unwrap().to_owned();
            format!("{} {} {}", text("name"), text("version"), arch(&text("purl")))
        };
        assert_eq!(components.iter().map(shown).collect::<BTreeSet<_>>(), expected);
    }
    assert_eq!(story.inspect("webd"), text);
    let attached = story.attached("webd", &digest);
    assert_eq!(attached, [("application/vnd.cyclonedx+json".to_owned(), text.into_bytes())]);
}

#[test]
fn the_bill_of_an_image_is_what_rpm_lists_and_inspect_prints() {
    webd(Person::Me);
}

#[test]
fn a_user_with_subordinate_ids_has_the_same_bill() {
    webd(Person::WithSubids);
}

#[test]
fn a_site_that_lists_the_plugin_has_the_bill_beside_the_record() {
    let Some(story) = Story::new(Person::Me) else { return };
    let keys = story.distro.keys(&story.scratch, &["release", "second", "subkey"]);
    let site = story.scratch.at("site.yaml");
    let text = |arguments: &str| {
        let list = format!("[{{name: all_rpm_packages}}, {{name: generate_sbom, args: {{{arguments}}}}}]");
        let text = format!("version: 1\nkeys: {{directories: ['{keys}']}}\nplugins: {{postbuild: {list}}}\n");
        story.scratch.write("site.yaml", text);
    };
    let record = story.scratch.at("record.json");
    text("format: spdx");
    let dockerfile = "FROM base\nLABEL a=b\n";
    let options = ["--config", &site, "--record", &record, "-t", &story.tag("one"), "--push"];
    let digest = story.small(dockerfile, &options).expect(0).digest();
    let document: Value = serde_json::from_str(&story.read("record.spdx.json")).unwrap();
    check_schema(&document, "spdx-2.3.schema.json");
    assert_eq!(document["creationInfo"]["created"], "2023-11-14T22:13:20Z");
    assert!(document["packages"].as_array().unwrap().len() > 3);
    assert_eq!(story.attached("one", &digest), []);
    let path = story.scratch.at("own.json");
    text(&format!("path: '{path}', attach: true"));
    let options = ["--config", &site, "--record", &record, "-t", &story.tag("two"), "--push"];
    let digest = story.small(dockerfile, &options).expect(0).digest();
    let own = story.read("own.json");
    assert!(!Path::new(&story.scratch.at("record.cdx.json")).exists());
    let attached = story.attached("two", &digest);
    assert_eq!(attached, [("application/vnd.cyclonedx+json".to_owned(), own.clone().into_bytes())]);
    assert_eq!(story.inspect("two"), own);
    // Without keys, without a site, without the packages having been judged: the same image, the same bytes.
    let again = story.scratch.at("again.json");
    let options = ["--sbom=syft", "--sbom-output", &again, "-t", &story.tag("two"), "--push"];
    assert_eq!(story.small(dockerfile, &options).expect(0).digest(), digest);
    assert_eq!(story.read("again.json"), own);
}

#[test]
fn an_image_that_is_refused_leaves_no_bill() {
    let Some(story) = Story::new(Person::Me) else { return };
    let keys = story.distro.keys(&story.scratch, &["second"]);
    let bill = story.scratch.at("bill.json");
    let options = ["--keys", &keys, "--sbom-output", &bill, "--sbom", "true", "-t", &story.tag("no"), "--push"];
    story.small("FROM base\n", &options).expect(5);
    assert!(!Path::new(&bill).exists());
    assert_eq!(story.registry.tags("containers/no"), Vec::<String>::new());
}

#[test]
fn an_image_without_packages_has_a_bill_that_lists_none() {
    let scratch = Scratch::new();
    let context = scratch.context("empty", "FROM scratch\nLABEL a=b\n");
    let [bill, layout] = ["bill.json", "hello"].map(|name| scratch.at(name));
    let output = format!("oci:{layout}:1.0");
    let arguments = ["build", "-o", &output, "--sbom-output", &bill, "--source-date-epoch", "0", &context];
    scratch.stratum(&arguments).run().expect(0);
    let text = fs::read_to_string(&bill).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    check_schema(&document, "bom-1.6.schema.json");
    let image = &document["metadata"]["component"];
    assert_eq!(
        (&image["name"], &image["version"], &document["components"]),
        (&json!("hello"), &json!("1.0"), &json!([]))
    );
    assert_eq!(document["metadata"]["timestamp"], "1970-01-01T00:00:00Z");
    let inspected = scratch.stratum(&["inspect", "--sbom", &output]).run().expect(0);
    assert_eq!(inspected.stdout, text);
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_is_built() {
    let scratch = Scratch::new();
    let context = scratch.context("empty", "FROM scratch\nLABEL a=b\n");
    let layout = format!("oci:{}", scratch.at("out"));
    for (options, text) in [
        (&["--sbom", "true"][..], "--sbom true: the image goes to no registry"),
        (&["--sbom", "syft"], "--sbom syft: nothing says where the bill of materials goes"),
        (&["--sbom", "generator=x"], "--sbom generator=x: no scanner runs in a build"),
        (&["--sbom-scanner-image", "x"], "--sbom-scanner-image x: no scanner runs in a build"),
        (
            &["--sbom-image-output", "/x"],
            "--sbom-image-output /x: packages are known once the image's layers are written",
        ),
        (&["--attest", "type=provenance"], "--attest type=provenance: attestations in BuildKit's form are not made"),
    ] {
        let build = scratch.stratum(&["build", "-o", &layout]).args(options).args(&[&context]);
        build.run().expect(2).says(text);
        assert!(!Path::new(&scratch.at("out")).exists(), "{options:?}");
    }
}
