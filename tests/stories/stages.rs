//! Stages as a graph: what is needed is built, at the same time where it can be, and the result does not show it.

use crate::support::builder::{Builder, as_everyone};
use crate::support::scratch::Person;

const DIAMOND: &str = "FROM base AS left\nRUN echo left > /left\n\
    FROM base AS right\nRUN echo right > /right\n\
    FROM base AS unneeded\nRUN false\n\
    FROM left\nCOPY --from=left / /all-of-left\nCOPY --from=right /right /right\nRUN cat /left /right > /both\n";

#[test]
fn stages_that_need_each_other_not_are_built_at_once_with_the_same_result() {
    as_everyone(|builder| {
        let all = builder.build_with(DIAMOND, &["--jobs", "4", "--source-date-epoch", "1700000000"]).expect(0).digest();
        let image = builder.image();
        let tree = image.tree();
        assert_eq!(tree.text("both"), "left\nright\n");
        assert!(
            tree.has("all-of-left/left") && !tree.has("all-of-left/etc/hostname"),
            "what steps see is no file of a stage"
        );
        let one = builder.build_with(DIAMOND, &["--jobs", "1", "--source-date-epoch", "1700000000"]).expect(0).digest();
        assert_eq!(all, one);
    });
}

#[test]
fn a_stage_that_fails_stops_the_others() {
    as_everyone(|builder| {
        let marker = format!("314{}", std::process::id());
        let dockerfile = format!(
            "FROM base AS slow\nRUN sleep {marker}\n\
             FROM base AS bad\nRUN sleep 1; exit 9\n\
             FROM scratch\nCOPY --from=slow / /\nCOPY --from=bad / /\n"
        );
        let outcome = builder.build_with(&dockerfile, &["--jobs", "2"]).expect(4);
        outcome.says("Dockerfile:4:1").says("the command ended with status 9");
    });
}

#[test]
fn triggers_of_an_image_and_of_a_stage_are_executed_once() {
    let builder = Builder::new(Person::Me).unwrap();
    let dockerfile = "FROM base\nARG WHO=nobody\nONBUILD ARG WHO=somebody\nONBUILD RUN echo $WHO > /who\n\
        ONBUILD COPY --from=tools /tool /tool\nONBUILD LABEL triggered=yes\nRUN test ! -e /who\n";
    builder.build(dockerfile).expect(0);
    let config = &builder.image().config["config"];
    assert_eq!(config["OnBuild"].as_array().map(Vec::len), Some(4));
    let parent = builder.scratch.at("parent");
    std::fs::rename(builder.scratch.at("image"), &parent).unwrap();
    let context = format!("parent=oci:{parent}");
    let dockerfile = "FROM base AS tools\nRUN echo tool > /tool\nFROM parent\nRUN cat /who /tool > /both\n";
    builder.build_with(dockerfile, &["--build-context", &context]).expect(0);
    let image = builder.image();
    assert_eq!(image.tree().text("both"), "somebody\ntool\n");
    assert_eq!(image.config["config"]["Labels"]["triggered"], "yes");
    assert!(image.config["config"]["OnBuild"].is_null());
    let stages = "FROM base AS below\nONBUILD RUN echo once >> /once\nFROM below AS middle\nFROM middle\nRUN true\n";
    builder.build(stages).expect(0);
    assert_eq!(builder.image().tree().text("once"), "once\n");
}

#[test]
fn a_trigger_that_fails_is_named_with_its_image() {
    let builder = Builder::new(Person::Me).unwrap();
    builder.build("FROM base\nONBUILD RUN exit 5\n").expect(0);
    let parent = builder.scratch.at("parent");
    std::fs::rename(builder.scratch.at("image"), &parent).unwrap();
    let context = format!("parent=oci:{parent}");
    let outcome = builder.build_with("FROM parent\n", &["--build-context", &context]).expect(4);
    let outcome = outcome.says("Dockerfile:1:6").says("RUN exit 5: an ONBUILD trigger of parent");
    outcome.says("the command ended with status 5");
}

#[test]
fn the_same_files_come_in_one_layer_in_one_an_instruction_or_in_one_in_all() {
    as_everyone(|builder| {
        let dockerfile = "FROM base\nRUN echo a > /a && rm /etc/os-release\nENV X=1\nRUN echo b > /b; rm /a\n";
        builder.build(dockerfile).expect(0);
        let image = builder.image();
        let (base, files) = (image.layer_digests().len() - 1, image.tree().files());
        builder.build_with(dockerfile, &["--layers"]).expect(0);
        let image = builder.image();
        assert_eq!((image.layer_digests().len(), image.tree().files()), (base + 2, files.clone()));
        builder.build_with(dockerfile, &["--squash"]).expect(0);
        let image = builder.image();
        assert_eq!((image.layer_digests().len(), image.tree().files()), (1, files));
        let history = image.config["history"].as_array().unwrap();
        assert_eq!(history.iter().filter(|entry| entry["empty_layer"] != true).count(), 1);
    });
}

#[test]
fn a_stage_that_is_not_found_is_looked_for_among_the_others() {
    let builder = Builder::new(Person::Me).unwrap();
    let dockerfile = "FROM base AS tools\nFROM 127.0.0.1:9/tolos\n";
    let outcome = builder.build_with(dockerfile, &["--tls-verify=false"]).expect(7);
    outcome.says("Dockerfile:2:6").says("did you mean the stage `tools`?");
}
