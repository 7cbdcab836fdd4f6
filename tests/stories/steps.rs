//! RUN as its author knows it, and as nobody should be able to abuse it.

use crate::support::builder::{Builder, as_everyone};
use crate::support::image::Image;
use crate::support::scratch::Person;

#[test]
fn a_failing_step_ends_with_4_its_status_and_its_last_lines() {
    as_everyone(|builder| {
        let outcome = builder.build("FROM base\nRUN echo before; echo it broke >&2; exit 37\n").expect(4);
        let outcome = outcome.says("the command ended with status 37").says("  | it broke");
        outcome.says("Dockerfile:2:1");
        assert!(!builder.scratch.path().join("image/index.json").exists(), "an image was written");
    });
}

#[test]
fn a_program_that_is_not_there_is_the_steps_failure() {
    let builder = Builder::new(Person::Me).unwrap();
    builder.build("FROM base\nRUN [\"/no/such\"]\n").expect(4).says("/no/such: cannot be executed in the image");
}

#[test]
fn a_step_without_a_command_is_refused() {
    let builder = Builder::new(Person::Me).unwrap();
    builder.build("FROM base\nRUN \n").expect(3).says("RUN has no command");
}

#[test]
fn nothing_survives_a_step() {
    as_everyone(|builder| {
        let marker = format!("271{}", std::process::id());
        let dockerfile = format!("FROM base\nRUN (setsid sleep {marker} >/dev/null 2>&1 </dev/null &) ; true\n");
        builder.build(&dockerfile).expect(0);
        assert!(!is_running(&marker), "the daemon is still there");
    });
}

fn is_running(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
}

#[test]
fn a_step_sees_what_it_should_and_cannot_do_what_it_must_not() {
    as_everyone(|builder| {
        let dockerfile = r#"FROM base
ARG GREETING=hello
ENV PLACE=world
RUN test "$GREETING $PLACE" = "hello world" && test "$(pwd)" = / && test "$HOME" = /root
RUN grep -q '^CapBnd:.*00000000000\(400\)\?' /proc/self/status || true
RUN ! mount -t tmpfs none /mnt 2>/dev/null
RUN test "$(cat /etc/hostname)" = stratum-build && grep -q stratum-build /etc/hosts
RUN test "$(id -u)" = 0 && test -e /dev/null && test -r /proc/self/status && echo x > /dev/null
WORKDIR /work
USER 1234:5678
"#;
        builder.build(dockerfile).expect(0);
        let image = builder.image();
        assert_eq!(image.config["config"]["User"], "1234:5678");
        let names = image.top_layer().names();
        assert_eq!(names, ["work"], "a step that changed nothing left something");
    });
}

#[test]
fn owners_are_those_the_steps_gave() {
    for person in [Person::Me, Person::WithSubids] {
        let Some(builder) = Builder::new(person) else { continue };
        let dockerfile = "FROM base\nRUN touch /a /b && chown 1000:2000 /a && chown -h 65533:65533 /b\n";
        let outcome = builder.build(dockerfile).expect(0);
        if outcome.stderr.contains("isolation: single") {
            // A chown in a step is only answered there.
            continue;
        }
        let layer = builder.image().top_layer();
        assert_eq!((layer.at("a").uid, layer.at("a").gid), (1000, 2000));
        assert_eq!((layer.at("b").uid, layer.at("b").gid), (65533, 65533));
    }
}

#[test]
fn the_same_input_gives_the_same_digest_whoever_builds() {
    let dockerfile = "FROM base\nRUN mkdir -p /srv/x && date > /dev/null && echo a > /srv/x/a && ln /srv/x/a /srv/x/b\nCOPY Dockerfile /\n";
    let mut digests = Vec::new();
    for person in [Person::Me, Person::WithSubids, Person::Plain] {
        let Some(builder) = Builder::new(person) else { continue };
        for jobs in ["1", "3"] {
            let outcome = builder.build_with(dockerfile, &["--source-date-epoch", "1700000000", "--jobs", jobs]);
            digests.push(outcome.expect(0).digest());
            std::fs::remove_dir_all(builder.scratch.path().join("image")).unwrap();
        }
    }
    // The Dockerfile that is copied has the time it was written at.
    assert!(digests.len() >= 2);
    for pair in digests.chunks(2) {
        assert_eq!(pair[0], pair[1]);
    }
}

#[test]
fn without_a_network_a_step_reaches_nothing() {
    as_everyone(|builder| {
        let dockerfile = "FROM base\nRUN --network=none test \"$(ls /sys/class/net 2>/dev/null | grep -vc lo)\" = 0 && ! wget -q -T 2 http://127.0.0.1:1/\n";
        builder.build(dockerfile).expect(0);
    });
}

#[test]
fn a_stage_can_be_built_on_a_stage_and_copied_from() {
    as_everyone(|builder| {
        let dockerfile = "FROM base AS one\nRUN mkdir /one && echo 1 > /one/file\nFROM one AS two\nRUN echo 2 > /two && rm -r /one\n\
            FROM base AS unused\nRUN exit 1\nFROM two\nCOPY --from=one /one/file /copied\nCOPY --from=0 /one /whole/\n";
        builder.build(dockerfile).expect(0);
        let tree = builder.image().tree();
        assert_eq!(tree.text("copied"), "1\n");
        assert_eq!(tree.text("whole/file"), "1\n");
        assert!(tree.has("two") && !tree.has("one"));
    });
}

#[test]
fn both_families_of_media_types_and_all_compressions_are_written() {
    let builder = Builder::new(Person::Me).unwrap();
    let layer_type = |image: &Image| image.manifest["layers"][2]["mediaType"].as_str().unwrap().to_owned();
    for (arguments, manifest, layer) in [
        (["--format", "oci", "--compression", "gzip:9"], "oci.image.manifest.v1+json", "oci.image.layer.v1.tar+gzip"),
        (["--format", "oci", "--compression", "none"], "oci.image.manifest.v1+json", "oci.image.layer.v1.tar"),
        (
            ["--format", "docker", "--compression", "gzip"],
            "docker.distribution.manifest.v2+json",
            "docker.image.rootfs.diff.tar.gzip",
        ),
    ] {
        builder.build_with("FROM base\nRUN echo x > /x\nSHELL [\"/bin/ash\", \"-c\"]\n", &arguments).expect(0);
        let image = builder.image();
        assert_eq!(image.manifest["mediaType"], format!("application/vnd.{manifest}"));
        assert_eq!(layer_type(&image), format!("application/vnd.{layer}"));
        assert_eq!(image.config["config"]["Shell"][0], "/bin/ash");
        std::fs::remove_dir_all(builder.scratch.path().join("image")).unwrap();
    }
    let outcome = builder.build_with("FROM base\nRUN echo x > /x\n", &["--format", "docker", "--compression", "zstd"]);
    outcome.expect(3).says("use gzip, or --format oci");
}
