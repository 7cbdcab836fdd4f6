//! Tests of what stages need.

use super::*;
use crate::{parse, stages};

fn none(_: &str) -> Option<String> {
    None
}

fn resolve(text: &str, build: Lookup<'_>) -> Result<Graph, String> {
    let file = parse(text).unwrap();
    let platform = |name: &str| (name == "BUILDPLATFORM").then(|| "linux/amd64".to_owned());
    let arguments = Arguments { build, platform: &platform };
    stages(&file).unwrap().resolve(arguments).map_err(|error| error.to_string())
}

#[track_caller]
fn check_origins(text: &str, expected: &[Origin]) {
    let graph = resolve(text, &none).unwrap();
    let origins = &graph.needs.last().unwrap().origins;
    assert_eq!(origins.iter().map(|(origin, _)| origin.clone()).collect::<Vec<_>>(), expected);
}

#[test]
fn only_what_the_target_needs_is_built_and_in_order() {
    let text = "FROM a AS one\nFROM b AS two\nFROM c AS three\nCOPY --from=one x y\nFROM scratch AS four\n\
                RUN --mount=from=three,target=/t x\nFROM two\nCOPY --from=four a b\n";
    let graph = resolve(text, &none).unwrap();
    assert_eq!(graph.order(4), [0, 1, 2, 3, 4]);
    assert_eq!(graph.order(3), [0, 2, 3]);
    assert_eq!(graph.order(1), [1]);
}

#[test]
fn bases_see_the_arguments_before_from() {
    let text = "ARG REG=r.example\nARG BASE=$REG/base\nARG TAG\nFROM --platform=$BUILDPLATFORM $BASE:${TAG:-1}\n";
    let graph = resolve(text, &none).unwrap();
    assert_eq!(graph.needs[0].base, Base::Image("r.example/base:1".into()));
    assert_eq!(graph.needs[0].platform.as_deref(), Some("linux/amd64"));
    let graph = resolve(text, &|name| (name == "TAG" || name == "OTHER").then(|| "2".into())).unwrap();
    assert_eq!(graph.needs[0].base, Base::Image("r.example/base:2".into()));
}

#[test]
fn a_build_argument_that_is_not_declared_is_not_seen() {
    let error = resolve("FROM $BASE\n", &|_| Some("x".into())).unwrap_err();
    assert_eq!(error, "`$BASE` expands to nothing");
}

#[test]
fn a_base_is_a_stage_scratch_or_an_image() {
    let graph = resolve("FROM scratch AS a\nFROM A\nFROM 1\nFROM b\n", &none).unwrap();
    let bases: Vec<_> = graph.needs.into_iter().map(|needs| needs.base).collect();
    assert_eq!(bases, [Base::Scratch, Base::Stage(0), Base::Stage(1), Base::Image("b".into())]);
}

#[test]
fn each_origin_is_named_once() {
    check_origins(
        "FROM a AS x\nFROM b\nCOPY --from=x a b\nCOPY --from=img a b\nCOPY --from=x c d\n",
        &[Origin::Stage(0), Origin::Image("img".into())],
    );
}

#[test]
fn from_flags_see_the_variables_up_to_their_line() {
    let text = "ARG G=a\nFROM i AS a\nFROM i AS b\nFROM i AS c\nENV E=c\nFROM c\n\
                ARG V=b\nCOPY --from=$V x y\nARG G\nCOPY --from=\"$G\" x y\nCOPY --from=${E} x y\n";
    check_origins(text, &[Origin::Stage(1), Origin::Stage(0), Origin::Stage(2)]);
    let error = resolve("ARG G=a\nFROM i AS a\nFROM i\nCOPY --from=$G x y\n", &none).unwrap_err();
    assert_eq!(error, "`$G` expands to nothing");
}

#[test]
fn an_env_sees_the_variables_before_it() {
    check_origins("FROM i AS a\nFROM i AS b\nFROM i\nENV A=a\nENV A=b B=$A\nCOPY --from=$B x y\n", &[Origin::Stage(0)]);
}

#[test]
fn a_bad_expression_is_named() {
    let error = resolve("FROM ${A:?missing}\n", &none).unwrap_err();
    assert_eq!(error, "cannot expand `${A:?missing}`: A: missing");
}

#[test]
fn variables_cannot_grow_without_end() {
    let many = |count: usize| {
        let envs: String = (0..count).map(|n| format!("ENV B{n}=$A\n")).collect();
        format!("FROM i\nENV A={}\n{envs}COPY --from=$C x y\n", "x".repeat(1_000_000))
    };
    assert_eq!(resolve(&many(60), &none).unwrap_err(), "`$C` expands to nothing");
    let error = resolve(&many(80), &none).unwrap_err();
    assert_eq!(error, "arguments and variables expand to more than 67108864 bytes");
}
