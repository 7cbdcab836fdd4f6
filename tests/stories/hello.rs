//! Command one of the README: a layered image from an embedded base, by anyone, with nothing to install.

use serde_json::json;

use crate::support::image::Image;
use crate::support::scratch::{Person, Scratch};
use crate::support::testdata;
use crate::support::tree::{Kind, Node, Tree};

/// The time of the build, given so that the test does not depend on the checkout's file times.
const EPOCH: u64 = 1_735_689_600;

/// Builds testdata/hello as `person` into an OCI layout and reads it back. None: there is no such person here.
#[track_caller]
fn hello(person: Person) -> Option<Image> {
    let scratch = Scratch::of(person)?;
    let base = scratch.copy(&testdata("base/oci"), "base");
    let keys = scratch.copy(&testdata("base/keys"), "keys");
    let context = scratch.copy(&testdata("hello"), "hello");
    let named = format!("base=oci:{base}:42");
    let output = format!("oci:{}:1.0", scratch.at("image"));
    let epoch = EPOCH.to_string();
    let arguments = ["--keys", &keys, "--source-date-epoch", &epoch, "-o", &output, &context];
    let outcome = scratch.stratum(&["build", "--build-context", &named]).args(&arguments).run().expect(0);
    let image = Image::in_layout(scratch.path().join("image"), Some("1.0"));
    assert_eq!(outcome.digest(), image.digest, "the digest on stdout is not the image's");
    Some(image)
}

/// Whether a chown in a step is more than an answer: there is more than one id.
fn keeps_owners_of_steps() -> bool {
    let scratch = Scratch::new();
    let report = scratch.stratum(&["doctor"]).run().expect(0).stdout;
    !report.contains("isolated by rung `single`")
}

fn base() -> Image {
    Image::in_layout(testdata("base/oci"), Some("42"))
}

#[test]
fn hello_is_one_new_layer_over_the_untouched_base() {
    let image = hello(Person::Me).unwrap();
    let (layers, base) = (image.layer_digests(), base().layer_digests());
    assert_eq!(layers.len(), base.len() + 1);
    assert!(layers.starts_with(&base), "{layers:?} does not start with {base:?}");
}

#[test]
fn the_new_layer_holds_what_the_dockerfile_changed_and_nothing_else() {
    let layer = hello(Person::Me).unwrap().top_layer();
    let changed = [
        "etc/greeting/.wh.greeting.conf",
        "etc/group",
        "etc/passwd",
        "srv/hello/SHA256SUMS",
        "srv/hello/about.html",
        "srv/hello/index.html",
        "usr/local/bin/serve",
        "var/lib/hello/greeting.txt",
    ];
    assert_eq!(layer.files(), changed);
    let folders = ["etc", "etc/greeting", "srv", "srv/hello", "usr", "usr/local", "usr/local/bin", "var", "var/lib"];
    let strays: Vec<String> = layer
        .names()
        .into_iter()
        .filter(|name| {
            !changed.contains(&name.as_str()) && !folders.contains(&name.as_str()) && name != "var/lib/hello"
        })
        .collect();
    assert_eq!(strays, Vec::<String>::new(), "folders that nothing touched");
}

#[test]
fn the_files_are_those_a_container_expects() {
    let tree = hello(Person::Me).unwrap().tree();
    let page = "<!DOCTYPE html>\n<title>Hello from stratum</title>\n<h1>Hello from stratum</h1>\n\
        <p>This page was rendered by a RUN step in an unprivileged user namespace.</p>\n<footer>Made by stratum.</footer>\n";
    assert_eq!(tree.text("srv/hello/index.html"), page);
    check_node(&tree, "usr/local/bin/serve", (0o755, 0, 0));
    if keeps_owners_of_steps() {
        check_node(&tree, "var/lib/hello", (0o750, 1001, 1001));
    }
    check_node(&tree, "var/lib/hello/greeting.txt", (0o644, 1001, 1001));
    check_node(&tree, "var/spool/mail", (0o2775, 0, 12));
    assert!(tree.text("etc/passwd").ends_with("hello:x:1001:1001:hello:/var/lib/hello:/bin/sh\n"));
    assert!(tree.has("etc/greeting") && !tree.has("etc/greeting/greeting.conf"), "the whiteout does not hide the file");
    assert!(!tree.has("render") && !tree.has("srv/hello/index.html.in"), "the first stage shows");
    assert_eq!(tree.at("bin").kind, Kind::Symlink("usr/bin".into()));
}

#[track_caller]
fn check_node(tree: &Tree, path: &str, (mode, uid, gid): (u32, u64, u64)) {
    let Node { mode: has_mode, uid: has_uid, gid: has_gid, .. } = tree.at(path);
    assert_eq!((format!("{has_mode:o}"), *has_uid, *has_gid), (format!("{mode:o}"), uid, gid), "{path}");
}

#[test]
fn what_the_build_wrote_has_the_time_of_the_source() {
    let image = hello(Person::Me).unwrap();
    let layer = image.top_layer();
    let others: Vec<_> = layer.0.iter().filter(|(_, n)| n.kind != Kind::Folder && n.mtime != EPOCH).collect();
    assert!(others.is_empty(), "{others:?}");
    assert_eq!(image.config["created"], "2025-01-01T00:00:00Z");
}

#[test]
fn the_configuration_is_the_base_image_s_and_the_dockerfile_s() {
    let config = hello(Person::Me).unwrap().config;
    let of = &config["config"];
    let env = [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "container=oci",
        "SITE=/srv/hello",
        "PORT=8080",
    ];
    assert_eq!(of["Env"], json!(env));
    assert_eq!(of["Cmd"], json!(["/usr/local/bin/serve"]));
    assert_eq!(of["User"], "hello");
    assert_eq!(of["WorkingDir"], "/srv/hello");
    assert_eq!(of["ExposedPorts"], json!({"8080/tcp": {}}));
    assert_eq!(of["Labels"]["name"], "hello");
    assert_eq!(of["Labels"]["vendor"], "Pebble");
    assert_eq!((&config["architecture"], &config["os"]), (&json!("amd64"), &json!("linux")));
}

#[test]
fn two_builds_and_a_user_with_subordinate_ids_get_one_digest() {
    let first = hello(Person::Me).unwrap().digest;
    assert_eq!(hello(Person::Me).unwrap().digest, first);
    if let Some(image) = hello(Person::WithSubids) {
        assert_eq!(image.digest, first);
    }
}

#[test]
fn a_plain_user_without_subordinate_ids_gets_the_same_files() {
    let (Some(plain), Some(mine)) = (hello(Person::Plain), hello(Person::Me)) else { return };
    let (plain, mine) = (plain.tree(), mine.tree());
    assert_eq!(plain.names(), mine.names());
    for (path, node) in &mine.0 {
        // A chown inside a RUN step is forged where there is one id only; `chown hello /var/lib/hello` is one.
        let forged = path.ends_with("var/lib/hello");
        let expected =
            if forged { &Node { uid: plain.0[path].uid, gid: plain.0[path].gid, ..node.clone() } } else { node };
        assert_eq!(&plain.0[path], expected, "{}", path.display());
    }
}
