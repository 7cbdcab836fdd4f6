//! Where an image can go and come from: archives, directories, plain files, and copies between all of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::builder::{Builder, as_everyone};
use crate::support::image::{Image, digest_of};
use crate::support::program;
use crate::support::registry::Registry;
use crate::support::scratch::{Person, Scratch};
use crate::support::tree::Tree;

const DOCKERFILE: &str = "FROM base\nRUN mkdir /srv/x && echo hi > /srv/x/a && ln /srv/x/a /srv/x/b && chmod 4755 /srv/x/a \
    && ln -s a /srv/x/l && rm -rf /etc/greeting\n";
const EPOCH: [&str; 2] = ["--source-date-epoch", "1700000000"];

/// What a program of others says on stdout; none where it is not installed.
fn ask(name: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program(name)?).args(arguments).env("HOME", "/var/tmp").output().unwrap();
    assert!(output.status.success(), "{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// The image at `location`, as skopeo reads it; none where it is not installed.
fn through_skopeo(scratch: &Scratch, location: &str) -> Option<Image> {
    let copy = scratch.at("through-skopeo");
    let _absent = fs::remove_dir_all(&copy);
    ask("skopeo", &["--insecure-policy", "copy", "--quiet", location, &format!("oci:{copy}:it")])?;
    Some(Image::in_layout(&copy, Some("it")))
}

/// A tar, each file by its name.
fn tar(files: &BTreeMap<&str, Vec<u8>>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_cksum();
        builder.append(&header, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn one_build_grows_every_kind_of_output_at_once() {
    as_everyone(|builder| {
        let at = |name: &str| builder.scratch.at(name);
        let outputs = ["oci-archive:o.tar:1.0", "docker-archive:d.tar", "dir:dir"];
        let mut arguments = vec!["-t", "host.example/a:1", "-t", "b"];
        arguments.extend(outputs.iter().flat_map(|output| ["-o", output]));
        arguments.extend(EPOCH);
        let digest = builder.build_with(DOCKERFILE, &arguments).expect(0).digest();
        let built = builder.image();
        assert_eq!(built.digest, digest);
        for output in [format!("oci-archive:{}:1.0", at("o.tar")), format!("dir:{}", at("dir"))] {
            let Some(image) = through_skopeo(&builder.scratch, &output) else { return };
            assert_eq!(image.digest, digest, "{output}");
        }
        for name in ["host.example/a:1", "docker.io/library/b:latest"] {
            let archive = format!("docker-archive:{}:{name}", at("d.tar"));
            let Some(image) = through_skopeo(&builder.scratch, &archive) else { return };
            assert!(image.config == built.config && image.layers == built.layers, "{name}");
        }
    });
}

#[test]
fn an_archive_is_the_same_bytes_each_time() {
    let builder = Builder::new(Person::Me).unwrap();
    let digest = |name: &str| digest_of(&fs::read(builder.scratch.at(name)).unwrap());
    let mut arguments = vec!["-o", "oci-archive:o.tar", "-o", "docker-archive:d.tar:x", "-o", "type=tar,dest=t.tar"];
    arguments.extend(EPOCH);
    let archives = || {
        builder.build_with(DOCKERFILE, &arguments).expect(0);
        ["o.tar", "d.tar", "t.tar"].map(digest)
    };
    assert_eq!(archives(), archives());
}

#[test]
fn a_build_that_fails_leaves_no_output() {
    let builder = Builder::new(Person::Me).unwrap();
    let before = builder.scratch.listing("");
    let outputs =
        ["oci-archive:o.tar", "docker-archive:d.tar", "dir:dir", "type=local,dest=l", "docker://127.0.0.1:1/a:1"];
    let arguments: Vec<&str> = outputs.iter().flat_map(|output| ["-o", output]).collect();
    let more = ["--tls-verify=false", "--iidfile", "iid", "--metadata-file", "md", "--digestfile", "dg"];
    builder.build_with(DOCKERFILE, &[&arguments[..], &more].concat()).expect(7);
    let of_outputs = |name: &&String| !["store", "context", "image"].iter().any(|folder| name.starts_with(folder));
    let after = builder.scratch.listing("");
    assert_eq!(
        after.iter().filter(of_outputs).collect::<Vec<_>>(),
        before.iter().filter(of_outputs).collect::<Vec<_>>()
    );
}

#[test]
fn the_files_of_an_image_are_written_as_a_tar_and_as_a_directory() {
    as_everyone(|builder| {
        builder.build_with(DOCKERFILE, &["-o", "type=tar,dest=t.tar", "-o", "type=local,dest=files"]).expect(0);
        let tree = Tree::of_layer(&fs::read(builder.scratch.at("t.tar")).unwrap());
        assert_eq!(tree.text("srv/x/a"), "hi\n");
        assert_eq!(tree.names(), builder.image().tree().names(), "the tar shows other files than the layers");
        let read = |path: &str| fs::read_to_string(builder.scratch.path().join("files").join(path)).unwrap();
        assert_eq!((read("srv/x/b").as_str(), read("srv/x/l").as_str()), ("hi\n", "hi\n"));
        assert!(!Path::new(&builder.scratch.at("files/etc/greeting")).exists());
    });
}

#[test]
fn a_dash_is_a_tar_on_stdout_and_nothing_else() {
    let scratch = Scratch::new();
    let context = scratch.context("context", "FROM scratch\nCOPY Dockerfile /it\n");
    let outcome = scratch.stratum(&["build", "-o", "-", &context]).run().expect(0);
    let tree = Tree::of_layer(outcome.stdout.as_bytes());
    assert_eq!(
        (tree.names(), tree.text("it").as_str()),
        (vec!["it".to_owned()], "FROM scratch\nCOPY Dockerfile /it\n")
    );
}

#[test]
fn programs_read_what_was_built_from_files() {
    let builder = Builder::new(Person::Me).unwrap();
    let files = ["--iidfile", "iid", "--digestfile", "dg", "--metadata-file", "md", "-t", "host.example/a:1"];
    let digest = builder.build_with(DOCKERFILE, &files).expect(0).digest();
    let text = |name: &str| fs::read_to_string(builder.scratch.at(name)).unwrap();
    let config = builder.image().manifest["config"]["digest"].clone();
    assert_eq!((json!(text("iid")), text("dg")), (config.clone(), digest.clone()));
    let metadata: Value = serde_json::from_str(&text("md")).unwrap();
    assert_eq!(metadata["containerimage.digest"], digest.as_str());
    assert_eq!(metadata["containerimage.config.digest"], config);
    assert_eq!(metadata["containerimage.descriptor"]["digest"], digest.as_str());
    assert_eq!(metadata["image.name"], "host.example/a:1");
}

#[test]
fn archives_and_directories_of_others_are_bases() {
    let builder = Builder::new(Person::Me).unwrap();
    let scratch = &builder.scratch;
    let base = builder.base.trim_start_matches("base=");
    for kind in ["oci-archive:it", "docker-archive:it.docker", "dir:it.dir"] {
        let (transport, name) = kind.split_once(':').unwrap();
        let location = format!("{transport}:{}", scratch.at(name));
        if ask("skopeo", &["--insecure-policy", "copy", "--quiet", base, &location]).is_none() {
            return;
        }
        let context = scratch.context("other", "FROM other\nRUN test -e /bin/sh && echo x > /x\n");
        let named = format!("other={location}");
        scratch.stratum(&["build", "--build-context", &named, "-o", "oci:o", &context]).run().expect(0);
        assert_eq!(Image::in_layout(scratch.at("o"), None).layers.len(), 3, "{kind}");
        fs::remove_dir_all(scratch.at("o")).unwrap();
        scratch.stratum(&["inspect", &location]).run().expect(0);
    }
    // `docker save | gzip`
    let zipped = Command::new("gzip").arg(scratch.at("it.docker")).status().unwrap();
    assert!(zipped.success());
    scratch.stratum(&["inspect", &format!("docker-archive:{}.gz", scratch.at("it.docker"))]).run().expect(0);
}

#[test]
fn a_copy_keeps_the_digest_wherever_it_goes() {
    let Some(registry) = Registry::start() else { return };
    let builder = Builder::new(Person::Me).unwrap();
    let scratch = &builder.scratch;
    let base = builder.base.trim_start_matches("base=").to_owned();
    let copy = |from: &str, to: &str| scratch.stratum(&["copy", "--tls-verify=false", from, to]).run().expect(0);
    let (one, two) = (registry.reference("one/base:42"), registry.reference("two/base:42"));
    let (one, two) = (format!("docker://{one}"), format!("docker://{two}"));
    let digest = Image::in_layout(scratch.at("base"), Some("42")).digest;
    let chain = [&base, &one, &two, "oci:l:x", "oci-archive:a.tar:x", "dir:d", "store:a.example/b:1", "oci:m"];
    for pair in chain.windows(2) {
        assert_eq!(copy(pair[0], pair[1]).digest(), digest, "{} to {}", pair[0], pair[1]);
    }
    copy(&base, &one).says("2 there before");
    copy(&one, &format!("docker://{}", registry.reference("three/base:42"))).says("2 mounted");
    copy("dir:d", "docker-archive:x.tar:a.example/c:3").says("a docker-archive keeps no manifest");
    copy("docker-archive:x.tar:a.example/c:3", "oci:n");
    assert_eq!(Image::in_layout(scratch.at("n"), None).layers, Image::in_layout(scratch.at("m"), None).layers);
    assert_eq!(registry.image("two/base", "42").digest, digest);
}

#[test]
fn all_platforms_travel_with_their_index() {
    let builder = Builder::new(Person::Me).unwrap();
    let scratch = &builder.scratch;
    let layout = Path::new(&scratch.at("base")).to_owned();
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let mut entry = index["manifests"][0].clone();
    entry["annotations"] = json!({});
    let inner =
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [entry]});
    let bytes = serde_json::to_vec(&inner).unwrap();
    let digest = digest_of(&bytes);
    fs::write(layout.join("blobs").join(digest.replace(':', "/")), &bytes).unwrap();
    let named = json!({"mediaType": inner["mediaType"], "digest": digest, "size": bytes.len(),
        "annotations": {"org.opencontainers.image.ref.name": "all"}});
    fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [named]}).to_string()).unwrap();
    let chain = [&format!("oci:{}:all", layout.display()), "oci-archive:a.tar:all", "dir:d", "store:all", "oci:n:all"];
    for pair in chain.windows(2) {
        let outcome = scratch.stratum(&["copy", "--all", pair[0], pair[1]]).run().expect(0);
        assert_eq!(outcome.digest(), digest, "{} to {}", pair[0], pair[1]);
    }
    let one = scratch.stratum(&["copy", "--platform", "linux/amd64", "dir:d", "oci:one"]).run().expect(0).digest();
    assert_eq!(json!(one), entry["digest"]);
    scratch.stratum(&["copy", "--all", "dir:d", "docker-archive:x.tar"]).run().expect(2).says("one platform");
    assert!(!Path::new(&scratch.at("x.tar")).exists());
}

#[test]
fn fields_of_the_base_s_config_that_we_do_not_know_survive_in_both_formats() {
    let scratch = Scratch::new();
    let layer = tar(&BTreeMap::from([("file", b"x".to_vec())]));
    let fields = json!({
        "ArgsEscaped": true, "Shell": ["/bin/bash", "-c"], "NewField": {"deep": [1, {"a": null}]},
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_000_000_000, "NewTime": 5},
    });
    let config = json!({
        "architecture": "amd64", "os": "linux", "os.version": "10.1", "newTop": {"x": [1.5, "y"]}, "docker_version": "1",
        "config": fields, "rootfs": {"type": "layers", "diff_ids": [digest_of(&layer)], "newRoot": 1},
        "history": [{"created_by": "it", "newHistory": true}],
    });
    let manifest = json!([{"Config": "c.json", "RepoTags": ["a:1"], "Layers": ["l.tar"]}]);
    let archive = tar(&BTreeMap::from([
        ("c.json", config.to_string().into_bytes()),
        ("l.tar", layer),
        ("manifest.json", manifest.to_string().into_bytes()),
    ]));
    scratch.write("base.tar", archive);
    let context = scratch.context("context", "FROM base\nENV A=1\nCOPY Dockerfile /\n");
    for format in ["oci", "docker"] {
        let named = format!("base=docker-archive:{}", scratch.at("base.tar"));
        let arguments = ["build", "--build-context", &named, "--format", format, "-o", "oci:out", &context];
        scratch.stratum(&arguments).run().expect(0);
        let built = Image::in_layout(scratch.at("out"), None).config;
        for name in ["os.version", "newTop", "docker_version"] {
            assert_eq!(built[name], config[name], "{format}: {name}");
        }
        for (name, value) in fields.as_object().unwrap() {
            assert_eq!(built["config"][name], *value, "{format}: {name}");
        }
        assert_eq!((&built["rootfs"]["newRoot"], &built["history"][0]["newHistory"]), (&json!(1), &json!(true)));
        fs::remove_dir_all(scratch.at("out")).unwrap();
    }
}

#[test]
fn hostile_archives_are_refused_with_name_and_place() {
    let scratch = Scratch::new();
    let manifest = |text: &str| BTreeMap::from([("manifest.json", text.as_bytes().to_vec())]);
    let config =
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).to_string();
    let mut outside = manifest(r#"[{"Config":"c.json","Layers":["../../../etc/passwd"]}]"#);
    outside.insert("c.json", config.replace("[]", &format!("[\"{}\"]", digest_of(b""))).into_bytes());
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("outside", tar(&outside), "manifest.json names `../../../etc/passwd`, which is not in the archive"),
        ("upwards", tar(&BTreeMap::from([("../x", Vec::new())])), "the entry `../x` has a name that cannot be used"),
        ("large", tar(&manifest(&" ".repeat(5 << 20))), "more than the 4194304 allowed"),
        ("cut", tar(&manifest("[]"))[..513].to_vec(), "is cut short"),
        ("none", b"no tar".to_vec(), "none.tar"),
    ];
    for (name, bytes, message) in cases {
        scratch.write(&format!("{name}.tar"), bytes);
        let outcome = scratch.stratum(&["inspect", &format!("docker-archive:{name}.tar")]).run();
        outcome.expect(3).says(message).says(&format!("{name}.tar"));
    }
    let outcome = scratch.stratum(&["copy", "docker-archive:none.tar", "dir:d"]).run();
    outcome.expect(3);
    assert!(!Path::new(&scratch.at("d")).exists(), "a failed copy left something");
}

#[test]
fn what_cannot_be_written_to_is_refused_by_name() {
    let builder = Builder::new(Person::Me).unwrap();
    for (output, code, message) in [
        ("type=moby,dest=x", 2, "there is no type `moby`"),
        ("type=docker", 2, "without `dest` it would load into a docker daemon"),
        ("quay.io/a/b:1", 2, "neither a directory nor a location"),
        ("docker-archive:x:@1", 2, "a position is for reading"),
        ("dir:context", 2, "there are files in it that are no image of `dir:`"),
    ] {
        builder.build_with("FROM base\nRUN true\n", &["-o", output]).expect(code).says(message);
    }
}
