//! Tests of stages and references.

use super::*;
use crate::parse;

const THREE: &str = "ARG V=1\nFROM base AS One\nRUN a\nFROM one\nFROM scratch AS last\nCOPY --from=0 a b\n";

#[track_caller]
fn check_error(text: &str, expected: &str) {
    assert_eq!(stages(&parse(text).unwrap()).unwrap_err().to_string(), expected);
}

#[test]
fn instructions_belong_to_the_stage_above_them() {
    let file = parse(THREE).unwrap();
    let stages = stages(&file).unwrap();
    let shown: Vec<_> =
        stages.stages.iter().map(|stage| (stage.label(), stage.base.raw.as_str(), stage.instructions.len())).collect();
    assert_eq!(shown, [("one".into(), "base", 1), ("1".into(), "one", 0), ("last".into(), "scratch", 1)]);
    assert_eq!(stages.globals[0].name.raw, "V");
}

#[test]
fn a_file_must_begin_with_from() {
    check_error("ARG A\n", "no FROM: the Dockerfile has no stage");
    check_error("ARG A\nENV B=1\nFROM c\n", "no FROM: ENV stands before the first FROM");
    let too_many = "FROM a\n".repeat(MAX_STAGES + 1);
    check_error(&too_many, "more than 1024 stages");
}

#[test]
fn a_target_is_a_name_or_a_number() {
    let file = parse(THREE).unwrap();
    let stages = stages(&file).unwrap();
    for (target, index) in [(None, 2), (Some(""), 2), (Some("ONE"), 0), (Some("1"), 1), (Some("last"), 2)] {
        assert_eq!(stages.target(target), Ok(index), "{target:?}");
    }
    let refused = |target| stages.target(Some(target)).unwrap_err().to_string();
    assert_eq!(refused("lsat"), "no stage is called `lsat`, did you mean `last`?");
    assert_eq!(refused("builder"), "no stage is called `builder`, only one, last");
    assert_eq!(refused("3"), "no stage is called `3`, only one, last");
}

#[test]
fn a_reference_means_an_earlier_stage_or_an_image() {
    let file = parse(THREE).unwrap();
    let stages = stages(&file).unwrap();
    let referenced = |name, user| stages.referenced(name, user, Span::default()).map_err(|error| error.to_string());
    assert_eq!(referenced("OnE", 2), Ok(Some(0)));
    assert_eq!(referenced("1", 2), Ok(Some(1)));
    assert_eq!(referenced("registry/image", 2), Ok(None));
    assert_eq!(referenced("last", 1), Err("stage `last` is used before it is complete".into()));
    assert_eq!(referenced("one", 0), Err("stage `one` is used before it is complete".into()));
    assert_eq!(referenced("2", 2), Err("stage `2` is used before it is complete".into()));
    assert_eq!(referenced("3", 2), Err("there is no stage 3".into()));
    assert_eq!(referenced("99999999999999999999", 2), Err("there is no stage 99999999999999999999".into()));
}

#[test]
fn of_two_stages_with_one_name_the_last_before_the_user_is_meant() {
    let file = parse("FROM a AS x\nFROM b AS X\nFROM c AS x\n").unwrap();
    let stages = stages(&file).unwrap();
    assert_eq!(stages.referenced("x", 1, Span::default()), Ok(Some(0)));
    assert_eq!(stages.referenced("x", 2, Span::default()), Ok(Some(1)));
    assert_eq!(stages.target(Some("x")), Ok(2));
    assert_eq!(stages.duplicates(), [1, 2]);
}

#[test]
fn the_base_of_an_earlier_stage_can_be_called_like_a_later_one() {
    let file = parse("FROM tools\nFROM base AS tools\nFROM tools\nFROM 0\n").unwrap();
    let stages = stages(&file).unwrap();
    assert_eq!(stages.base_stage("tools", 0), None);
    assert_eq!(stages.base_stage("tools", 2), Some(1));
    assert_eq!(stages.base_stage("0", 3), Some(0));
    assert_eq!(stages.base_stage("0", 0), None);
}

#[test]
fn a_base_that_is_no_image_may_be_a_stage() {
    let file = crate::parse("FROM a AS tools\nFROM x\nFROM b AS last\n").unwrap();
    let stages = stages(&file).unwrap();
    assert_eq!(stages.advice("registry.example/tolos", 1).as_deref(), Some("did you mean the stage `tools`?"));
    assert!(stages.advice("last", 1).unwrap().contains("comes later"));
    assert_eq!(stages.advice("fedora", 1), None);
}
