//! Options of other builders, as scripts that were written for those carry them.

use crate::support::binary::Outcome;
use crate::support::builder::{Builder, as_everyone};
use crate::support::image::Image;
use crate::support::scratch::Person;

const BASE: &str = "FROM base\n";

/// Builds with a line of options and returns what was said.
#[track_caller]
fn built(builder: &Builder, dockerfile: &str, options: &str) -> Outcome {
    drop(std::fs::remove_dir_all(builder.scratch.path().join("image")));
    let words: Vec<&str> = options.split_whitespace().collect();
    builder.build_with(dockerfile, &words).expect(0)
}

#[track_caller]
fn image(builder: &Builder, dockerfile: &str, options: &str) -> Image {
    built(builder, dockerfile, options);
    builder.image()
}

#[test]
fn the_config_is_what_the_options_say() {
    let builder = Builder::new(Person::Me).unwrap();
    let image = image(
        &builder,
        "FROM base\nLABEL mine=1 name=ours\nRUN test \"$A\" = 'b' && test \"$container\" = oci\n",
        "--env A=b --unsetenv container --unsetlabel name,vendor --label late= --os-version 1.2 --os-feature x --omit-history",
    );
    let config = &image.config["config"];
    let env: Vec<&str> = config["Env"].as_array().unwrap().iter().filter_map(|line| line.as_str()).collect();
    assert_eq!(env.last(), Some(&"A=b"));
    assert!(!env.iter().any(|line| line.starts_with("container=")), "{env:?}");
    let labels = config["Labels"].as_object().unwrap();
    assert!(labels.get("name").is_none() && labels.get("vendor").is_none());
    assert_eq!((&labels["mine"], &labels["late"], &labels["version"]), (&"1".into(), &"".into(), &"42".into()));
    assert_eq!((&image.config["os.version"], &image.config["os.features"][0]), (&"1.2".into(), &"x".into()));
    assert!(image.config.get("history").is_none(), "{}", image.config);
}

#[test]
fn labels_and_annotations_of_the_base_can_be_left_out() {
    let builder = Builder::new(Person::Me).unwrap();
    let dockerfile = "FROM base\nLABEL mine=1\n";
    let kept = image(&builder, dockerfile, "--annotation a=b --source-date-epoch 0");
    let annotations = kept.manifest["annotations"].as_object().unwrap();
    assert_eq!(annotations["a"], "b");
    assert_eq!(annotations["org.opencontainers.image.created"], "1970-01-01T00:00:00Z");
    assert!(annotations.contains_key("org.opencontainers.image.base.digest"));
    let options =
        "--inherit-labels=false --inherit-annotations=false --created-annotation=false --identity-label=false";
    let dropped = image(&builder, dockerfile, options);
    assert_eq!(dropped.config["config"]["Labels"], serde_json::json!({"mine": "1"}));
    assert!(dropped.manifest.get("annotations").is_none(), "{}", dropped.manifest);
}

#[test]
fn a_timestamp_is_that_of_the_image_and_of_all_that_is_new() {
    as_everyone(|builder| {
        let dockerfile = "FROM base\nCOPY Dockerfile /a\nRUN touch -d '2001-02-03 04:05:06' /b && echo c > /c\n";
        let image = image(builder, dockerfile, "--timestamp 1234567890");
        assert_eq!(image.config["created"], "2009-02-13T23:31:30Z");
        let times: Vec<u64> = image.top_layer().0.values().map(|node| node.mtime).collect();
        assert_eq!(times, [1_234_567_890; 3]);
    });
}

#[test]
fn nothing_is_newer_than_the_image_if_that_is_asked_for() {
    let builder = Builder::new(Person::Me).unwrap();
    let dockerfile = "FROM base\nRUN touch -d '2001-02-03 04:05:06' /new && touch -d '1980-01-01 00:00:00' /old\n";
    let time = |options: &str, name: &str| image(&builder, dockerfile, options).top_layer().at(name).mtime;
    let epoch = "--source-date-epoch 500000000";
    assert_eq!(time(epoch, "new"), 981_173_106);
    assert_eq!(time(&format!("{epoch} --rewrite-timestamp"), "new"), 500_000_000);
    assert_eq!(time(&format!("{epoch} --rewrite-timestamp"), "old"), 315_532_800);
}

#[test]
fn the_first_from_can_be_another() {
    let builder = Builder::new(Person::Me).unwrap();
    let outcome = built(&builder, "FROM nowhere.invalid/x AS a\nFROM a\nRUN echo x > /x\n", "--from base");
    assert!(builder.image().tree().has("x"), "{outcome}");
}

#[test]
fn build_arguments_come_from_files_too_and_one_that_nobody_wants_is_named() {
    let builder = Builder::new(Person::Me).unwrap();
    builder.scratch.write("args", "# comment\nA=file\n\nB=file=1\n");
    let dockerfile =
        "FROM base\nARG A\nARG B\nARG SOURCE_DATE_EPOCH\nRUN test \"$A $B $SOURCE_DATE_EPOCH\" = 'line file=1 7'\n";
    let file = builder.scratch.at("args");
    let options = format!("--build-arg-file {file} --build-arg A=line --build-arg C=1 --source-date-epoch 7");
    let outcome = built(&builder, dockerfile, &options);
    outcome.says("warning: one or more build args were not consumed: [C]");
}

#[test]
fn a_base_that_was_built_here_is_found_without_a_registry() {
    let builder = Builder::new(Person::Me).unwrap();
    let scratch = &builder.scratch;
    let context = scratch.context("first", "FROM base\nRUN echo 1 > /first\n");
    scratch.stratum(&["build", "--build-context", &builder.base, "-t", "own/app:1", &context]).run().expect(0);
    let image = image(&builder, "FROM own/app:1\nRUN test \"$(cat /first)\" = 1\n", "--pull=never");
    assert!(image.tree().has("first"));
    let outcome = builder.build_with("FROM own/other:1\n", &["--pull=never"]).expect(3);
    outcome.says("the store has no such image for linux/").says("Dockerfile:1:6");
    // Always means the registry, and there is none of that name.
    let context = scratch.context("third", "FROM 127.0.0.1:1/own/app:1\n");
    scratch.stratum(&["build", "-t", "127.0.0.1:1/own/app:1", &builder_base(&builder)]).run().expect(0);
    scratch.stratum(&["build", "--retry", "0", &context]).run().expect(0);
    scratch.stratum(&["build", "--retry", "0", "--pull=newer", &context]).run().expect(0);
    scratch.stratum(&["build", "--retry", "0", "--pull", &context]).run().expect(7);
}

/// A context that needs no base.
fn builder_base(builder: &Builder) -> String {
    builder.scratch.context("scratch", "FROM scratch\nCOPY Dockerfile /\n")
}

#[test]
fn a_source_policy_forbids_images() {
    let builder = Builder::new(Person::Me).unwrap();
    let deny = r#"{"rules":[{"action":"DENY","selector":{"identifier":"docker-image://registry.invalid/*"}}]}"#;
    let policy = builder.scratch.write("policy.json", deny).display().to_string();
    let outcome = builder.build_with("FROM registry.invalid/a/b:1\n", &["--source-policy-file", &policy]).expect(5);
    outcome.says("the source policy denies this image (rule 1").says("Dockerfile:1:6");
    builder.build_with(BASE, &["--source-policy-file", &policy]).expect(0);
}

#[test]
fn stages_that_nobody_needs_are_built_on_demand() {
    let builder = Builder::new(Person::Me).unwrap();
    let dockerfile = "FROM base\nRUN exit 9\nFROM base\nLABEL x=1\n";
    built(&builder, dockerfile, "");
    builder.build_with(dockerfile, &["--skip-unused-stages=false"]).expect(4);
}

#[test]
fn steps_have_the_hosts_names_and_limits_that_are_asked_for() {
    as_everyone(|builder| {
        let dockerfile = "FROM base\n\
            RUN grep -q '^192.0.2.1 db$' /etc/hosts && test \"$(cat /etc/hostname)\" = me && test \"$HOSTNAME\" = me\n\
            RUN grep -q '^nameserver 192.0.2.53$' /etc/resolv.conf && grep -q '^search a b$' /etc/resolv.conf\n\
            RUN test \"$(ulimit -n)\" = 99 && test \"$(ulimit -Hn)\" = 100\n\
            RUN test \"$(df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2)\" = 2048\n\
            RUN grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status && grep -q '^NoNewPrivs:[[:space:]]*1$' /proc/self/status\n\
            RUN test -z \"$http_proxy\"\n";
        let options = "--add-host db:192.0.2.1 --hostname me --dns 192.0.2.53 --dns-search a,b --ulimit nofile=99:100 \
            --shm-size 2m --cap-drop all --security-opt no-new-privileges --http-proxy=false";
        built(builder, dockerfile, options);
    });
}

#[test]
fn files_of_the_image_can_be_left_to_it() {
    as_everyone(|builder| {
        let dockerfile = "FROM base\nCOPY Dockerfile /etc/hosts\nCOPY Dockerfile /etc/hostname\nCOPY Dockerfile /etc/resolv.conf\n\
            RUN cd /etc && grep -q FROM hosts && grep -q FROM hostname && grep -q FROM resolv.conf && echo more >> hosts\n";
        let image = image(builder, dockerfile, "--no-hosts --no-hostname --dns none");
        assert!(image.tree().text("etc/hosts").ends_with("more\n"));
    });
}

#[test]
fn what_is_not_there_is_refused_by_name_before_anything_is_done() {
    let builder = Builder::new(Person::Me).unwrap();
    for (options, text) in [
        (&["--memory", "1g"][..], "error: --memory 1g: a build without privilege may not change control groups"),
        (&["--sign-by", "x"], "help: sign the digest that is printed"),
        (&["--network", "bridge"], "there are host (the builder's), none (loopback only) and gateway"),
        (&["--cap-add", "sys_admin"], "--cap-add sys_admin: CAP_SYS_ADMIN would let a step reach the builder"),
        (&["--compression-format", "zstd:chunked"], "use zstd"),
        (&["--no-such-option"], "unexpected argument '--no-such-option'"),
    ] {
        builder.build_with("FROM base\nRUN exit 1\n", options).expect(2).says(text);
    }
}

#[test]
fn what_changes_nothing_is_accepted() {
    let builder = Builder::new(Person::Me).unwrap();
    let options = "--no-cache --rm --force-rm --compress --isolation chroot --network default --pid private --memory 0 \
        --provenance=false --sbom=false --security-opt label=disable --device /dev/null";
    built(&builder, "FROM base\nRUN true\n", options).says("--isolation chroot is another builder's");
}

#[test]
fn a_quiet_build_says_only_the_digest_and_a_log_takes_the_rest() {
    let builder = Builder::new(Person::Me).unwrap();
    let quiet = built(&builder, "FROM base\nRUN echo hello\n", "-q");
    assert_eq!(quiet.stderr, "");
    quiet.digest();
    let log = builder.scratch.at("log");
    let logged = built(&builder, "FROM base\nRUN echo hello\n", &format!("--logfile {log} --logsplit"));
    assert_eq!(logged.stderr, "");
    logged.digest();
    let platform = if cfg!(target_arch = "x86_64") { "amd64" } else { return };
    let text = std::fs::read_to_string(format!("{log}_linux_{platform}")).unwrap();
    assert!(text.contains("| hello"), "{text}");
}

#[test]
fn layers_stay_uncompressed_on_demand() {
    let builder = Builder::new(Person::Me).unwrap();
    let image = image(&builder, "FROM base\nRUN echo x > /x\n", "-D");
    assert_eq!(image.manifest["layers"][2]["mediaType"], "application/vnd.oci.image.layer.v1.tar");
}
