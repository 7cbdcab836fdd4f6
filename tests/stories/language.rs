//! A person looks at a Dockerfile before building it: what it should say otherwise, and what the pipeline would make
//! of it.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::support::scratch::Scratch;
use crate::support::testdata;

const DOCKERFILE: &str = "# check=skip=JSONArgsRecommended\nARG V=42\nFROM base:${V} as Build\nENV KEY x\nCOPY $SRC /x\n\
                          RUN true\nCMD run\n";

/// A context with this Dockerfile.
fn context(scratch: &Scratch, dockerfile: &str) -> String {
    scratch.context("context", dockerfile)
}

#[test]
fn a_check_shows_what_should_be_said_otherwise() {
    let scratch = Scratch::new();
    let folder = context(&scratch, DOCKERFILE);
    let outcome = scratch.stratum(&["dockerfile", "check", &folder]).run().expect(0);
    let text = &outcome.stdout;
    for line in [
        "warning: FromAsCasing: `as` has another case than `FROM`",
        "warning: StageNameCasing: stage name `Build` is not lower case",
        "warning: LegacyKeyValueFormat",
        "warning: SecretsUsedInArgOrEnv",
        "warning: UndefinedVar: $SRC is used",
        "Dockerfile:3:16",
        "^^",
        "5 warnings",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(!text.contains("JSONArgsRecommended"), "{text}");
}

#[test]
fn findings_are_a_failure_where_that_is_asked_for() {
    let scratch = Scratch::new();
    let folder = context(&scratch, "# check=error=true\nFROM base AS Build\n");
    scratch.stratum(&["dockerfile", "check", &folder]).run().expect(3).says("its check found 1 warning");
    scratch.stratum(&["build", "--check", &folder]).run().expect(3).says("its check found 1 warning");
    let folder = context(&scratch, "FROM base AS Build\n");
    scratch.stratum(&["dockerfile", "check", "--error", &folder]).run().expect(3);
    scratch.stratum(&["build", "--call=check", &folder]).run().expect(0);
    scratch.stratum(&["build", "--call=outline", &folder]).run().expect(2).says("only build and check");
    let folder = context(&scratch, "# check=skp=all\nFROM base\n");
    scratch.stratum(&["dockerfile", "check", &folder]).run().expect(3).says("`skp=all` is no option of a check");
}

#[test]
fn programs_read_findings_as_json_with_the_keys_of_docker() {
    let scratch = Scratch::new();
    let folder = context(&scratch, DOCKERFILE);
    let arguments = ["build", "--call=check,format=json", &folder];
    let report: Value = serde_json::from_str(&scratch.stratum(&arguments).run().expect(0).stdout).unwrap();
    let first = &report["warnings"][0];
    assert_eq!(first["ruleName"], "FromAsCasing");
    assert_eq!(first["url"], "https://docs.docker.com/go/dockerfile/rule/from-as-casing/");
    assert_eq!(first["location"]["ranges"][0]["start"]["line"], 3);
    assert_eq!(report["warnings"].as_array().unwrap().len(), 5);
    let folder = context(&scratch, "FROM base\nRNU x\n");
    let outcome = scratch.stratum(&["dockerfile", "check", "--format", "json", &folder]).run().expect(3);
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["buildError"]["message"], "unknown instruction RNU, did you mean RUN?");
}

/// The schema of SARIF 2.1.0, where it is at hand.
fn schema() -> Option<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/schemas/sarif-2.1.0.schema.json");
    let bytes = fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("skipped: {} is not there", path.display());
    }
    serde_json::from_slice(&bytes?).ok()
}

#[test]
fn code_review_tools_read_findings_as_sarif() {
    let scratch = Scratch::new();
    let folder = context(&scratch, DOCKERFILE);
    let log = scratch.stratum(&["dockerfile", "check", "--format", "sarif", &folder]).run().expect(0).stdout;
    let log: Value = serde_json::from_str(&log).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 5);
    let region = &results[0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!((region["startLine"].as_u64(), region["startColumn"].as_u64()), (Some(3), Some(16)));
    let Some(schema) = schema() else { return };
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("file:///sarif.json", schema).unwrap();
    let index = compiler.compile("file:///sarif.json", &mut schemas).unwrap();
    if let Err(error) = schemas.validate(&log, index) {
        panic!("{error:#}");
    }
}

#[test]
fn a_rewritten_dockerfile_keeps_all_other_bytes() {
    let scratch = Scratch::new();
    let text = "\u{feff}# c\r\nARG V=42\r\nFROM  base:${V} \\\r\n  as b\r\nRUN x # y\r\nFROM b\r\n";
    let folder = context(&scratch, text);
    let rewrite = |more: &[&str]| {
        let arguments: Vec<&str> = ["dockerfile", "rewrite", folder.as_str()].iter().chain(more).copied().collect();
        scratch.stratum(&arguments).run().expect(0).stdout
    };
    assert_eq!(rewrite(&[]), text);
    let new = "r.example/base@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let from = format!("base:42={new}");
    assert_eq!(rewrite(&["--from", &from]), text.replace("base:${V}", new));
    let expected = format!("{text}LABEL \"a\"=\"b c\"\r\n");
    assert_eq!(rewrite(&["--label", "a=b c"]), expected);
    let expected = text.replace("as b\r\n", "as b\r\nARG X\r\n").replace("FROM b\r\n", "FROM b\r\nARG X\r\n");
    assert_eq!(rewrite(&["--arg", "X"]), expected);
    assert!(rewrite(&["--arg", "X", "--diff"]).contains("\n+ARG X\r\n"));
    assert_eq!(rewrite(&["--diff"]), "");
    let other = ["dockerfile", "rewrite", "--from", "other=x", &folder];
    scratch.stratum(&other).run().expect(3).says("no FROM names the image other");
}

#[test]
fn a_build_begins_with_its_warnings() {
    let scratch = Scratch::new();
    // The base is known to a build, so its variables are set.
    let folder = context(&scratch, "FROM base as b\nENV A=$PATH B=$NOBODY_SETS_THIS\n");
    let base = format!("base=oci:{}:42", testdata("base/oci").display());
    let output = format!("oci:{}", scratch.at("image"));
    let arguments = ["build", "--build-context", &base, "-o", &output, &folder];
    let outcome = scratch.stratum(&arguments).run().expect(0);
    let outcome = outcome.says("2 warnings").says("Dockerfile:1: FromAsCasing: ").says("Dockerfile:2: UndefinedVar: ");
    assert!(outcome.stderr.find("2 warnings") < outcome.stderr.find("ENV A="), "{}", outcome.stderr);
    let quiet = ["build", "--progress", "quiet", "--build-context", &base, "-o", &output, &folder];
    assert!(!scratch.stratum(&quiet).run().expect(0).stderr.contains("warning"));
    let folder = context(&scratch, "# check=error=true\nFROM base as b\nENV A=1\n");
    let arguments = ["build", "--build-context", &base, "-o", &output, &folder];
    scratch.stratum(&arguments).run().expect(3).says("its check found 1 warning, which are errors here");
}
