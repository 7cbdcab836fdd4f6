//! Where a build's files come from: standard input, URLs, tars, named contexts; and what they leave out.

use std::io::Write;

use crate::support::image::Image;
use crate::support::scratch::{Person, Scratch};
use crate::support::tree::Tree;
use crate::support::{git, web};

/// 2024-01-02.
const TIME: u64 = 1_704_153_600;
const DOCKERFILE: &str = "FROM scratch\nCOPY . /\n";

/// A tar of files, all as old as [`TIME`].
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = header(content.len());
        builder.append_data(&mut header, path, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn header(size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(0o640);
    header.set_uid(1234);
    header.set_gid(1234);
    header.set_mtime(TIME);
    header
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Builds with these arguments and this standard input.
#[track_caller]
fn build(scratch: &Scratch, arguments: &[&str], stdin: impl Into<Vec<u8>>) -> Image {
    let image = scratch.folder("out").join("image");
    // One output per build, wherever a story builds twice.
    drop(std::fs::remove_dir_all(&image));
    let output = format!("oci:{}", image.display());
    scratch.stratum(&["build", "-o", &output]).args(arguments).stdin(stdin).run().expect(0);
    Image::in_layout(&image, None)
}

/// Expects a failure, its exit code and its words; nothing may be left in the store's scratch.
#[track_caller]
fn refused(arguments: &[&str], stdin: impl Into<Vec<u8>>, code: i32, texts: &[&str]) {
    let scratch = Scratch::new();
    refused_in(&scratch, arguments, stdin, code, texts);
}

#[track_caller]
fn refused_in(scratch: &Scratch, arguments: &[&str], stdin: impl Into<Vec<u8>>, code: i32, texts: &[&str]) {
    let output = format!("oci:{}", scratch.at("image"));
    let outcome = scratch.stratum(&["build", "-o", &output]).args(arguments).stdin(stdin).run().expect(code);
    let outcome = texts.iter().fold(outcome, |outcome, text| outcome.says(text));
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    let left: Vec<String> = scratch.listing("store").into_iter().filter(|path| path.contains("/source-")).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[track_caller]
fn check_files(tree: &Tree, files: &[&str]) {
    assert_eq!(tree.files(), files);
}

#[test]
fn a_tar_on_standard_input_is_the_context() {
    let files = [("Dockerfile", DOCKERFILE), ("a/b", "content"), (".dockerignore", "left-out\n"), ("left-out", "x")];
    for person in [Person::Me, Person::Plain] {
        let Some(scratch) = Scratch::of(person) else { continue };
        let image = build(&scratch, &["-"], tar(&files));
        check_files(&image.tree(), &[".dockerignore", "Dockerfile", "a/b"]);
        assert_eq!(image.tree().text("a/b"), "content");
        assert_eq!(image.config["created"], "2024-01-02T00:00:00Z", "as old as the newest file");
        let packed = build(&scratch, &["-"], gzip(&tar(&files)));
        assert_eq!(image.digest, packed.digest, "packing changes nothing");
    }
}

#[test]
fn a_dockerfile_on_standard_input_has_no_files_unless_a_source_is_named() {
    let scratch = Scratch::new();
    let image = build(&scratch, &["-"], "FROM scratch\nCOPY . /\nLABEL a=b\n");
    check_files(&image.tree(), &[]);
    assert_eq!(image.config["config"]["Labels"]["a"], "b");
    scratch.write("context/file", "content");
    let image = build(&scratch, &["-f", "-", &scratch.at("context")], DOCKERFILE);
    check_files(&image.tree(), &["file"]);
    refused(&["-"], "FROM scratch\nCOPY file /\n", 3, &["file: no such file or directory", "standard input:2:1"]);
    refused(&["-f", "-", "-"], DOCKERFILE, 2, &["standard input can be the source or one Dockerfile, not both"]);
    refused(&["-"], "", 3, &["standard input is empty; expected a tar or a Dockerfile"]);
    refused(&["-f", "x", "-"], DOCKERFILE, 2, &["it is not a tar but a Dockerfile, and -f x names another"]);
}

#[test]
fn a_url_of_a_tar_is_the_context_and_one_of_text_the_dockerfile() {
    let scratch = Scratch::new();
    let context = tar(&[("image/Dockerfile", DOCKERFILE), ("file", "content")]);
    scratch.write("web/context.tgz", gzip(&context));
    scratch.write("web/Dockerfile", "FROM scratch\nLABEL a=b\n");
    scratch.write("web/page.html", "<!DOCTYPE html>\n<title>Sign in</title>\n");
    let address = web::serve(scratch.at("web").into(), "127.0.0.1:0").unwrap();
    let url = |path: &str| format!("http://{address}/{path}");
    let image = build(&scratch, &["-f", "image/Dockerfile", &url("context.tgz")], "");
    check_files(&image.tree(), &["file", "image/Dockerfile"]);
    let image = build(&scratch, &[&url("Dockerfile")], "");
    assert_eq!(image.config["config"]["Labels"]["a"], "b");
    scratch.write("context/file", "content");
    build(&scratch, &["-f", &url("Dockerfile"), &scratch.at("context")], "");
    let texts = ["/page.html: it is a web page, neither a tar nor a Dockerfile"];
    refused_in(&scratch, &[&url("page.html")], "", 3, &texts);
    let secret = format!("http://user:hunter2@{address}/missing?token=hunter2");
    let outcome = scratch.stratum(&["build", &secret]).run().expect(3).says("the server answered 404");
    assert!(!outcome.stderr.contains("hunter2"), "{}", outcome.stderr);
}

#[test]
fn a_tar_on_disk_is_the_context_and_other_files_are_dockerfiles() {
    let scratch = Scratch::new();
    let packed = scratch.write("context.tar.gz", gzip(&tar(&[("Containerfile", DOCKERFILE), ("file", "x")])));
    check_files(&build(&scratch, &[packed.to_str().unwrap()], "").tree(), &["Containerfile", "file"]);
    scratch.write("context/Other", "FROM scratch\nCOPY file /\n");
    scratch.write("context/file", "x");
    check_files(&build(&scratch, &[&scratch.at("context/Other")], "").tree(), &["file"]);
}

#[test]
fn named_contexts_are_directories_tars_urls_repositories_and_images() {
    let scratch = Scratch::new();
    scratch.write("directory/file", "1");
    scratch.write("directory/.dockerignore", "left-out");
    scratch.write("directory/left-out", "1");
    let packed = scratch.write("named.tar", tar(&[("file", "2")]));
    scratch.write("web/named.tar", tar(&[("file", "3")]));
    let address = web::serve(scratch.at("web").into(), "127.0.0.1:0").unwrap();
    scratch.write("repository/file", "4");
    let Some((repository, _)) = git::commit(&scratch, "repository") else { return };
    let base = scratch.context("base", "FROM scratch\nCOPY file /\n");
    scratch.write("base/file", "5");
    let layout = format!("oci:{}:1", scratch.at("layout"));
    scratch.stratum(&["build", "-o", &layout, &base]).run().expect(0);
    let copies = |name: &str| format!("COPY --from={name} / /{name}/\n");
    let dockerfile: String = ["one", "two", "three", "four"].map(copies).concat() + "COPY --from=five /file /five/\n";
    let context = scratch.context("context", &format!("FROM scratch\n{dockerfile}"));
    let named = [
        format!("one={}", scratch.at("directory")),
        format!("two={}", packed.display()),
        format!("three=http://{address}/named.tar"),
        format!("four={repository}"),
        format!("five=oci-layout://{}:1", scratch.at("layout")),
    ];
    let arguments: Vec<&str> = named.iter().flat_map(|named| ["--build-context", named.as_str()]).collect();
    let tree = build(&scratch, &[arguments.as_slice(), &[context.as_str()]].concat(), "").tree();
    check_files(&tree, &["five/file", "four/file", "one/.dockerignore", "one/file", "three/file", "two/file"]);
    let texts = ["--build-context x=ftp://h/x", "there is no such transport"];
    refused_in(&scratch, &["--build-context", "x=ftp://h/x", &context], "", 2, &texts);
}

#[test]
fn several_dockerfiles_are_joined_and_their_own_ignore_files_count() {
    let scratch = Scratch::new();
    for name in ["a", "b", "c"] {
        scratch.write(&format!("context/{name}"), name);
    }
    scratch.write("context/.dockerignore", "a\n");
    scratch.write("elsewhere/Main", "FROM scratch\nCOPY . /x/");
    scratch.write("context/more", "LABEL joined=yes\n");
    let (main, context) = (scratch.at("elsewhere/Main"), scratch.at("context"));
    let image = build(&scratch, &["-f", &main, "-f", "more", &context], "");
    assert_eq!(image.config["config"]["Labels"]["joined"], "yes");
    check_files(&image.tree(), &["x/.dockerignore", "x/b", "x/c", "x/more"]);
    scratch.write("elsewhere/Main.dockerignore", "b\nmore\n.*\n");
    check_files(&build(&scratch, &["-f", &main, &context], "").tree(), &["x/a", "x/c"]);
    scratch.write("own-ignore", "*\n!c\n");
    let arguments = ["--ignorefile", &scratch.at("own-ignore"), "-f", &main, &context];
    check_files(&build(&scratch, &arguments, "").tree(), &["x/c"]);
    let texts = ["it is a directory, not a Dockerfile", "name the file: -f"];
    refused_in(&scratch, &["-f", &scratch.at("elsewhere"), &context], "", 3, &texts);
}

#[test]
fn a_dockerfile_left_out_of_the_context_is_still_built() {
    let scratch = Scratch::new();
    let files = [("Dockerfile", DOCKERFILE), (".dockerignore", "Dockerfile\n.dockerignore\n"), ("file", "x")];
    check_files(&build(&scratch, &["-"], tar(&files)).tree(), &["file"]);
}

#[test]
fn a_hostile_tar_reaches_nothing_outside() {
    let scratch = Scratch::new();
    scratch.write("secret", "RUN hunter2\n");
    let link = |builder: &mut tar::Builder<Vec<u8>>, path: &str, target: &str| {
        let mut header = header(0);
        header.set_entry_type(tar::EntryType::Symlink);
        builder.append_link(&mut header, path, target).unwrap();
    };
    let mut builder = tar::Builder::new(Vec::new());
    link(&mut builder, "Dockerfile", &scratch.at("secret"));
    link(&mut builder, "out", scratch.path().to_str().unwrap());
    let mut through = header(1);
    builder.append_data(&mut through, "out/written", &b"x"[..]).unwrap();
    let outcome = scratch.stratum(&["build", "-"]).stdin(builder.into_inner().unwrap()).run();
    // Whether it is refused for the link or for the missing Dockerfile, nothing was read or written outside.
    let outcome = outcome.expect(3);
    assert!(!outcome.stderr.contains("hunter2") && !scratch.path().join("written").exists(), "{}", outcome.stderr);
    let whole = tar(&[("Dockerfile", DOCKERFILE), ("file", &"x".repeat(100_000))]);
    let cut = whole.get(..50_000).unwrap();
    refused(&["-"], cut, 3, &["standard input: the tar ends at byte 50000, in the middle of an entry"]);
    let cut = gzip(&whole).get(..120).unwrap().to_vec();
    refused(&["-"], cut, 3, &["standard input: ", "the gzip data ends in the middle: the file is incomplete"]);
    refused(&["-"], gzip(b"FROM scratch\n"), 3, &["compressed with gzip, but there is no tar in it"]);
}
