//! `FROM koji/image-build`: the file system that a task of Koji made is what an image is built on.

use std::io::Write;

use serde_json::{Value, json};

use crate::site::check_schema;
use crate::support::binary::Outcome;
use crate::support::hub::{Hub, TaskState};
use crate::support::image::Image;
use crate::support::scratch::Scratch;

const DOCKERFILE: &str = "FROM koji/image-build\nLABEL name=base version=1 release=1\nCOPY Dockerfile /Dockerfile\n";

struct Story {
    scratch: Scratch,
    hub: Hub,
    /// The task above those that left the archives.
    task: u64,
}

impl Story {
    /// A task whose two tasks below left an archive for a platform each.
    fn new() -> Option<Self> {
        let scratch = Scratch::new();
        let hub = Hub::start(&scratch)?;
        let task = hub.add_task("image", TaskState::Closed, None);
        for (platform, packed) in [("x86_64", true), ("s390x", false)] {
            let below = hub.add_task("createImage", TaskState::Closed, Some(task));
            let tar = file_system(platform);
            hub.leave(below, "oz.log", b"made\n");
            hub.leave(below, &format!("minimal-1-1.{platform}.tar"), &file_system("minimal"));
            match packed {
                true => hub.leave(below, &format!("base-1-1.{platform}.tar.gz"), &gzip(&tar)),
                false => hub.leave(below, &format!("base-1-1.{platform}.tar"), &tar),
            }
        }
        Some(Self { scratch, hub, task })
    }

    fn build(&self, args: &str, dockerfile: &str, options: &[&str]) -> Outcome {
        let registry = "source_registry: {url: registry.example}\n";
        let site = format!(
            "version: 1\n{registry}{}plugins: {{prebuild: [{{name: add_filesystem, args: {args}}}, {{name: check_base_image}}]}}\n",
            self.hub.site("")
        );
        let site = self.scratch.write("site.yaml", site);
        let context = self.scratch.context("context", dockerfile);
        let (record, output) = (self.scratch.at("record.json"), format!("oci:{}:1", self.scratch.at("image")));
        let command = ["build", "--retry", "0", "--config", site.to_str().unwrap(), "--record", &record, "-o", &output];
        self.scratch.stratum(&command).args(options).args(&[&context]).run()
    }

    fn task(&self) -> String {
        format!("{{from_task_id: {}}}", self.task)
    }

    fn image(&self) -> Image {
        Image::in_layout(self.scratch.path().join("image"), Some("1"))
    }

    fn record(&self) -> Value {
        let record = serde_json::from_str(&std::fs::read_to_string(self.scratch.at("record.json")).unwrap()).unwrap();
        check_schema(&record);
        record
    }
}

/// A file system with a file that says what it is for, and a link.
fn file_system(platform: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o640);
    header.set_uid(7);
    header.set_size(platform.len() as u64);
    tar.append_data(&mut header, "./etc/platform", platform.as_bytes()).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "./bin", "usr/bin").unwrap();
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[test]
fn the_file_system_of_a_finished_task_is_the_base_of_each_platform() {
    let Some(story) = Story::new() else { return };
    story.scratch.write("context/image-build.conf", "[image-build]\nname = base\nversion = 1\n");
    for (platform, name) in [("linux/amd64", "x86_64"), ("linux/s390x", "s390x")] {
        story.build(&story.task(), DOCKERFILE, &["--platform", platform]).expect(0);
        let tree = story.image().tree();
        assert_eq!(tree.text("etc/platform"), name);
        let node = tree.at("etc/platform");
        assert_eq!((node.mode, node.uid), (0o640, 7), "{platform}: unpacked as it was made");
        assert!(tree.has("bin") && tree.has("Dockerfile"), "{:?}", tree.names());
        assert_eq!(story.record()["koji"]["filesystemKojiTaskId"], json!(story.task));
        assert_eq!(story.record()["bases"], json!([]));
        // The record says which bytes came from where.
        let fetched = story.record()["source"]["fetched"].clone();
        assert!(fetched[0]["name"].as_str().unwrap().contains(&format!("base-1-1.{name}.tar")), "{fetched}");
    }
}

#[test]
fn a_task_that_is_no_help_is_named_with_the_place_of_the_from() {
    let Some(story) = Story::new() else { return };
    let (failed, open) =
        (story.hub.add_task("image", TaskState::Failed, None), story.hub.add_task("image", TaskState::Open, None));
    let empty = story.hub.add_task("image", TaskState::Closed, None);
    for (args, code, text) in [
        (format!("{{from_task_id: {failed}}}"), 3, format!("task {failed} of Koji came to nothing")),
        (format!("{{from_task_id: {open}}}"), 3, format!("task {open} of Koji is not done yet")),
        (
            format!("{{from_task_id: {empty}}}"),
            3,
            format!("task {empty} of Koji has left no archive of a file system for "),
        ),
        ("{from_task_id: 4711}".to_owned(), 3, "there is no task 4711 in Koji".to_owned()),
        ("{}".to_owned(), 3, "its task (buildImageOz) is not started here".to_owned()),
    ] {
        let outcome = story.build(&args, DOCKERFILE, &["--platform", "linux/amd64"]).expect(code);
        outcome.says("plugin add_filesystem: ").says(&text).says("Dockerfile:1:6");
    }
    let outcome = story.build("{from_task_id: many}", DOCKERFILE, &[]).expect(2);
    outcome.says("argument from_task_id is \"many\"; it must be a whole number from 0");
    let outcome = story.build(&story.task(), DOCKERFILE, &["--platform", "linux/arm64"]).expect(3);
    outcome.says(&format!("task {} of Koji has left no archive of a file system for aarch64", story.task));
}

#[test]
fn two_stages_cannot_have_two_file_systems() {
    let Some(story) = Story::new() else { return };
    let two = "FROM koji/image-build:one.conf AS one\nCOPY Dockerfile /one\nFROM koji/image-build:two.conf\n\
        COPY --from=one /one /two\n";
    let outcome = story.build(&story.task(), two, &[]).expect(3);
    outcome.says("koji/image-build:two.conf: an earlier stage has one.conf").says("Dockerfile:3:6");
    story.scratch.write("context/image-build.conf", "[image-build]\nname = minimal\n");
    let same = "FROM koji/image-build AS one\nCOPY Dockerfile /one\nFROM koji/image-build:image-build.conf\n\
        COPY --from=one /one /two\n";
    story.build(&story.task(), same, &["--platform", "linux/amd64"]).expect(0);
    assert_eq!(story.image().tree().text("etc/platform"), "minimal", "the file says which archive");
    story.scratch.write("context/image-build.conf", "[image-build]\ndisk_size = ten\n");
    let outcome = story.build(&story.task(), DOCKERFILE, &[]).expect(3);
    outcome.says("image-build.conf:2:1: disk_size: expected a whole number of GB, found `ten`");
}
