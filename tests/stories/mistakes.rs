//! What people get wrong, and what they are told.

use std::os::unix::net::UnixListener;

use crate::support::image::digest_of;
use crate::support::registry::{Access, Registry};
use crate::support::scratch::{Person, Scratch};
use crate::support::testdata;

/// Builds a Dockerfile over the embedded base and expects `code` and every text on stderr.
#[track_caller]
fn check(dockerfile: &str, code: i32, texts: &[&str]) {
    let scratch = Scratch::new();
    let context = scratch.context("context", dockerfile);
    let base = format!("base=oci:{}:42", testdata("base/oci").display());
    let output = format!("oci:{}", scratch.at("image"));
    let arguments = ["build", "--build-context", &base, "-o", &output, &context];
    let mut outcome = scratch.stratum(&arguments).run().expect(code);
    for text in texts {
        outcome = outcome.says(text);
    }
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
}

#[test]
fn a_typo_is_shown_where_it_is() {
    check("FROM base\nRNU true\n", 3, &["unknown instruction RNU", "did you mean RUN", "Dockerfile:2:1", "^^^"]);
    check("FROM base\nCOPY --form=x a b\n", 3, &["COPY has no flag --form", "Dockerfile:2:6"]);
}

#[test]
fn a_dockerfile_without_from_is_told_so() {
    check("RUN true\n", 3, &["no FROM", "Dockerfile:1:1"]);
    check("", 3, &["no instructions"]);
}

#[test]
fn an_unknown_stage_is_named() {
    check("FROM base\nCOPY --from=7 /a /b\n", 3, &["there is no stage 7"]);
    let scratch = Scratch::new();
    let context = scratch.context("context", "FROM scratch AS one\n");
    scratch.stratum(&["build", "--target", "two", &context]).run().expect(3).says("no stage is called `two`, only one");
}

#[test]
fn a_source_that_is_not_there_is_named() {
    check("FROM base\nCOPY nothing /\n", 3, &["nothing: no such file or directory", "Dockerfile:2:1"]);
    check("FROM base\nCOPY *.nothing /\n", 3, &["*.nothing: no such file or directory"]);
}

#[test]
fn an_unknown_user_is_named() {
    check("FROM base\nUSER nobody-here\nRUN true\n", 3, &["user `nobody-here` is not in the image's /etc/passwd"]);
}

#[test]
fn a_base_that_does_not_exist_is_the_sources_fault() {
    let Some(registry) = Registry::start() else { return };
    let scratch = Scratch::new();
    let context = scratch.context("context", &format!("FROM {}\n", registry.reference("missing:1")));
    let outcome = scratch.stratum(&["build", "--tls-verify=false", &context]).run().expect(3);
    outcome.says("there is no such image in the registry").says("Dockerfile:1:6");
}

#[test]
fn a_registry_that_is_not_there_is_a_remote_failure() {
    let scratch = Scratch::new();
    let context = scratch.context("context", "FROM 127.0.0.1:1/a:1\n");
    scratch.stratum(&["build", "--tls-verify=false", &context]).run().expect(7).says("127.0.0.1:1");
}

#[test]
fn wrong_credentials_are_told_from_missing_ones() {
    let Some(registry) = Registry::start_for(Access::Password) else { return };
    registry.push(testdata("base/oci"), "42", "base", "42");
    let scratch = Scratch::new();
    let context = scratch.context("context", &format!("FROM {}\n", registry.reference("base:42")));
    let build = |more: &[&str]| scratch.stratum(&["build", "--tls-verify=false"]).args(more).args(&[&context]).run();
    build(&[]).expect(7).says("wants credentials and there are none");
    let outcome = build(&["--creds", "stratum:not-the-password"]).expect(7).says("refused the credentials");
    assert!(!outcome.stderr.contains("not-the-password"), "the password is in the error");
    build(&["--creds", "stratum:secret"]).expect(0);
    scratch.write("auth.json", registry.credentials());
    build(&["--authfile", &scratch.at("auth.json")]).expect(0);
}

#[test]
fn a_layer_whose_digest_lies_is_refused() {
    let Some(registry) = Registry::start() else { return };
    let scratch = Scratch::new();
    // A registry keeps blobs by digest, so the lie is in the manifest's diff_id instead and in a layout's bytes.
    let layout = scratch.copy(&testdata("base/oci"), "lying");
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(format!("{layout}/index.json")).unwrap()).unwrap();
    let blob = |digest: &str| format!("{layout}/blobs/sha256/{}", digest.trim_start_matches("sha256:"));
    let manifest = std::fs::read(blob(index["manifests"][0]["digest"].as_str().unwrap())).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let layer = blob(manifest["layers"][0]["digest"].as_str().unwrap());
    let mut bytes = std::fs::read(&layer).unwrap();
    let last = bytes.len() - 9;
    bytes[last] ^= 1;
    std::fs::write(&layer, bytes).unwrap();
    let context = scratch.context("context", "FROM base\nRUN true\n");
    let base = format!("base=oci:{layout}:42");
    let tag = registry.reference("out:1");
    let arguments = ["build", "--tls-verify=false", "--build-context", &base, "-t", &tag, "--push", &context];
    let outcome = scratch.stratum(&arguments).run();
    assert!(matches!(outcome.code(), Some(3 | 7)), "{}", outcome.stderr);
    assert_eq!(registry.tags("out"), Vec::<String>::new());
}

#[test]
fn a_manifest_that_is_not_json_is_shown_with_its_place() {
    let scratch = Scratch::new();
    let layout = scratch.folder("layout");
    scratch.folder("layout/blobs/sha256");
    let digest = digest_of(b"<html>");
    scratch.write(&format!("layout/blobs/sha256/{}", digest.trim_start_matches("sha256:")), "<html>");
    scratch.write("layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":6}}]}}"#
    );
    scratch.write("layout/index.json", index);
    let context = scratch.context("context", "FROM base\n");
    let base = format!("base=oci:{}", layout.display());
    let outcome = scratch.stratum(&["build", "--build-context", &base, &context]).run().expect(3);
    outcome.says("not a manifest: expected value at line 1 column 1");
}

#[test]
fn a_layer_that_climbs_out_stays_inside() {
    let scratch = Scratch::new();
    let victim = scratch.at("victim");
    let mut builder = tar::Builder::new(Vec::new());
    for name in ["../../../../../../..", ""].map(|prefix| format!("{prefix}{victim}")) {
        let mut header = tar::Header::new_ustar();
        header.set_size(4);
        header.set_mode(0o644);
        let bytes = name.as_bytes();
        header.as_old_mut().name[..bytes.len()].copy_from_slice(bytes);
        header.set_cksum();
        builder.append(&header, &b"evil"[..]).unwrap();
    }
    let layout = layout_of(&scratch, &builder.into_inner().unwrap());
    let context = scratch.context("context", "FROM base\nWORKDIR /x\n");
    scratch.stratum(&["build", "--build-context", &format!("base=oci:{layout}"), &context]).run().expect(0);
    assert!(!std::path::Path::new(&victim).exists(), "a layer wrote outside");
}

/// An OCI layout of one uncompressed layer.
fn layout_of(scratch: &Scratch, layer: &[u8]) -> String {
    let put = |bytes: &[u8]| {
        let digest = digest_of(bytes);
        scratch.write(&format!("made/blobs/sha256/{}", digest.trim_start_matches("sha256:")), bytes);
        serde_json::json!({ "digest": digest, "size": bytes.len() })
    };
    let with_type = |mut descriptor: serde_json::Value, media_type: &str| {
        descriptor["mediaType"] = format!("application/vnd.oci.image.{media_type}").into();
        descriptor
    };
    let layer_descriptor = with_type(put(layer), "layer.v1.tar");
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer_descriptor["digest"]]},
    });
    let config = with_type(put(config.to_string().as_bytes()), "config.v1+json");
    let manifest = serde_json::json!({"schemaVersion": 2, "config": config, "layers": [layer_descriptor]});
    let manifest = with_type(put(manifest.to_string().as_bytes()), "manifest.v1+json");
    scratch.write("made/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    scratch.write("made/index.json", serde_json::json!({"schemaVersion": 2, "manifests": [manifest]}).to_string());
    scratch.at("made")
}

#[test]
fn odd_files_in_a_context_do_no_harm() {
    let scratch = Scratch::new();
    let context = scratch.context("context", "FROM base\nCOPY . /all/\n");
    let _listener = UnixListener::bind(format!("{context}/socket")).unwrap();
    let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"n\xffme");
    std::fs::write(std::path::Path::new(&context).join(odd), "x").unwrap();
    let base = format!("base=oci:{}:42", testdata("base/oci").display());
    let output = format!("oci:{}", scratch.at("image"));
    scratch
        .stratum(&["build", "--build-context", &base, "-o", &output, &context])
        .run()
        .expect(0)
        .says("socket not copied");
}

#[test]
fn an_unreadable_file_is_named() {
    let Some(scratch) = Scratch::of(Person::Plain) else { return };
    let context = scratch.context("context", "FROM base\nCOPY secret /\n");
    let secret = scratch.write("context/secret", "x");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let base = scratch.copy(&testdata("base/oci"), "base");
    let outcome = scratch.stratum(&["build", "--build-context", &format!("base=oci:{base}:42"), &context]).run();
    // Root of the user's own namespace may read what the user owns, whatever its mode.
    assert!(outcome.code() == Some(0) || outcome.stderr.contains("secret: cannot open a file"), "{}", outcome.stderr);
}

#[test]
fn a_private_context_of_root_is_read_though_root_inside_is_another() {
    let scratch = Scratch::new();
    let context = scratch.context("private/context", "FROM base\nCOPY secret /\n");
    scratch.write("private/context/secret", "x");
    for (path, mode) in [("private/context/secret", 0o600), ("private/context/Dockerfile", 0o600), ("private", 0o700)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(scratch.path().join(path), mode).unwrap();
    }
    let base = format!("base=oci:{}:42", testdata("base/oci").display());
    let output = format!("oci:{}", scratch.at("private/image"));
    scratch.stratum(&["build", "--build-context", &base, "-o", &output, &context]).run().expect(0);
    let image = crate::support::image::Image::in_layout(scratch.path().join("private/image"), None);
    assert_eq!(image.top_layer().text("secret"), "x");
}

#[test]
fn a_broken_repository_file_is_shown_with_its_line() {
    let scratch = Scratch::new();
    let context = scratch.context("context", "FROM scratch\n");
    scratch.write("bad.repo", "[a]\nname=a\nthis is no line\n");
    let repo = scratch.at("bad.repo");
    scratch.stratum(&["build", "--add-repo", &repo, &context]).run().expect(2).says("bad.repo:3:");
}

#[test]
fn usage_mistakes_end_with_2() {
    let scratch = Scratch::new();
    let context = scratch.context("context", "FROM scratch\n");
    for (arguments, text) in [
        (vec!["build", "--no-such-flag", &context], "--no-such-flag"),
        (vec!["build", "--push", &context], "no name to push to"),
        (vec!["build", "-t", "UPPER/case", &context], "repository names are lower case"),
        (vec!["build", "-o", "containers-storage:x", &context], "transport `containers-storage` is not supported"),
        (vec!["build", "--keys", "/nowhere/key.asc", &context], "/nowhere/key.asc"),
        (vec!["build", "--compression", "lzma", &context], "expected gzip, zstd or none"),
        (vec!["build", "--isolation", "hyperv", &context], "is no isolation"),
    ] {
        scratch.stratum(&arguments).run().expect(2).says(text);
    }
    scratch
        .stratum(&["build", &scratch.at("nowhere")])
        .run()
        .expect(3)
        .says("nowhere: the build context cannot be opened");
}

#[test]
fn a_store_in_the_context_is_not_copied() {
    let scratch = Scratch::new();
    let context = scratch.context("context", "FROM scratch\nCOPY . /all/\n");
    let store = format!("{context}/.stratum");
    let output = format!("oci:{}", scratch.at("image"));
    scratch.stratum(&["build", "--store", &store, "-o", &output, "."]).dir(&context).run().expect(0);
    let image = crate::support::image::Image::in_layout(scratch.path().join("image"), None);
    assert_eq!(image.top_layer().names(), ["all", "all/Dockerfile"]);
}

#[test]
fn a_step_that_fills_the_disk_is_the_environments_fault() {
    if !crate::support::is_root() {
        let _skipped: Option<()> = crate::support::skip("only root can mount a small file system");
        return;
    }
    let scratch = Scratch::new();
    let small = scratch.folder("small");
    let mount = |command: &mut std::process::Command| assert!(command.status().unwrap().success(), "{command:?}");
    mount(std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=12m", "none"]).arg(&small));
    let context = scratch.context("context", "FROM base\nRUN head -c 30000000 /dev/zero > /big\n");
    let base = format!("base=oci:{}:42", testdata("base/oci").display());
    let store = scratch.at("small/store");
    let outcome = scratch.stratum(&["build", "--store", &store, "--build-context", &base, &context]).run();
    let left = scratch.listing("small/store").iter().filter(|path| path.contains("scratch/")).count();
    mount(std::process::Command::new("umount").arg(&small));
    outcome.expect(6).says("the store has no room left");
    assert_eq!(left, 0, "the scratch folder is still there");
}
