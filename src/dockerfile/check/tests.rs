//! Tests of the rules: two files that break each and one that does not.

use super::*;
use crate::parse;

fn platform(name: &str) -> Option<String> {
    match name {
        "TARGETPLATFORM" | "BUILDPLATFORM" => Some("linux/amd64".to_owned()),
        "TARGETARCH" => Some("amd64".to_owned()),
        _ => None,
    }
}

fn is_image(text: &str) -> bool {
    !text.is_empty() && !text.ends_with(':') && text.to_lowercase() == text
}

fn report(text: &str, base: Option<&BaseImage>, build: &[(&str, &str)]) -> Report {
    let file = parse(text).unwrap();
    let ignore = Patterns::parse("*.log\nbuild\n").unwrap();
    let given = |name: &str| build.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let around = Surroundings {
        arguments: Arguments { build: &given, platform: &platform },
        ignore: Some(&ignore),
        is_image: &is_image,
        base: &|_| base.cloned(),
    };
    check(&file, around).unwrap()
}

/// `RULE at TEXT` for each finding.
fn found(text: &str) -> Vec<String> {
    let show = |finding: Finding| format!("{} at {}", finding.rule, finding.span.of(text));
    report(text, None, &[]).findings.into_iter().map(show).collect()
}

/// Each of the two texts breaks `rule` and no other one, at the place between `«` and `»`; `good` breaks none.
#[track_caller]
fn rule(rule: Rule, bad: [&str; 2], good: &str) {
    for text in bad {
        let (before, rest) = text.split_once('«').unwrap();
        let (place, after) = rest.split_once('»').unwrap();
        let text = format!("{before}{place}{after}");
        assert_eq!(found(&text), [format!("{rule} at {place}")], "{text}");
    }
    assert_eq!(found(good), [""; 0], "{good}");
}

#[test]
fn stage_names_are_lower_case() {
    rule(
        Rule::StageNameCasing,
        ["FROM a AS «Build»\n", "# c\nFROM a \\\n  AS «bUILD»\nFROM b AS x\n"],
        "FROM a AS build-1\n",
    );
}

#[test]
fn as_has_the_case_of_from() {
    rule(Rule::FromAsCasing, ["FROM a «as» b\n", "from a \\\n # as\n  «As» b\n"], "from a as b\n");
}

#[test]
fn a_continued_instruction_has_no_blank_line() {
    rule(
        Rule::NoEmptyContinuation,
        ["FROM a\nRUN x \\\n«»\n  y \\\n\n  z\n", "FROM a\nENV A=1 \\\n«  »\r\n  B=2\r\n"],
        "FROM a\nRUN x \\\n# why\n  y\n",
    );
}

#[test]
fn instructions_have_the_case_of_most_of_them() {
    rule(
        Rule::ConsistentInstructionCasing,
        ["FROM a\n«run» x\nUSER me\n", "from a\nrun x\n«USER» me\n"],
        "arg A=1\nFROM a$A\nRUN x\n",
    );
    assert_eq!(
        found("FROM a\nRun x\nrun y\nUSER z\n"),
        ["ConsistentInstructionCasing at Run", "ConsistentInstructionCasing at run"]
    );
}

#[test]
fn no_two_stages_have_one_name() {
    rule(
        Rule::DuplicateStageName,
        ["FROM a AS x\nFROM b AS «x»\n", "FROM a AS x\nFROM b AS y\nFROM x AS «x»\n"],
        "FROM a AS x\nFROM b AS y\n",
    );
}

#[test]
fn reserved_names_are_no_stage_names() {
    rule(Rule::ReservedStageName, ["FROM a AS «scratch»\n", "FROM a AS «context»\n"], "FROM a AS contexts\n");
}

#[test]
fn commands_have_the_json_form() {
    rule(
        Rule::JSONArgsRecommended,
        ["FROM a\n«CMD run»\n", "FROM a\n«ENTRYPOINT run \\»\n  it\n"],
        "FROM a AS s\nSHELL [\"bash\", \"-c\"]\nCMD run\nFROM s\nENTRYPOINT run\nFROM b\nCMD [\"run\"]\n",
    );
    let base = BaseImage { has_shell: true, ..BaseImage::default() };
    assert_eq!(report("FROM a\nCMD run\n", Some(&base), &[]).findings, []);
}

#[test]
fn maintainer_is_deprecated() {
    rule(
        Rule::MaintainerDeprecated,
        ["FROM a\n«MAINTAINER» me\n", "from a\n«maintainer» you and me\n"],
        "FROM a\nLABEL maintainer=me\n",
    );
}

#[test]
fn from_uses_declared_arguments() {
    rule(
        Rule::UndefinedArgInFrom,
        ["FROM a«$TAG»\n", "ARG OS=linux\nFROM --platform=«${OSS}»linux/$TARGETARCH a:1\n"],
        "ARG TAG=1\nFROM --platform=$BUILDPLATFORM a:${TAG}\n",
    );
    let finding = &report("FROM --platform=$BULIDPLATFORM a\n", None, &[]).findings[0];
    assert_eq!(finding.help, "did you mean $BUILDPLATFORM?");
    // What has no default is declared all the same.
    assert_eq!(report("ARG TAG\nFROM a$TAG\n", None, &[]).findings, []);
}

#[test]
fn the_first_working_directory_is_absolute() {
    rule(
        Rule::WorkdirRelativePath,
        ["FROM a\nWORKDIR «app»\nWORKDIR src\n", "FROM a\nENV D=x\nWORKDIR «${D}/y»\n"],
        "FROM a AS s\nWORKDIR /app\nWORKDIR src\nFROM s\nWORKDIR lib\nFROM a\nARG D=/d\nWORKDIR $D\n",
    );
}

#[test]
fn variables_are_set_before_they_are_used() {
    rule(
        Rule::UndefinedVar,
        ["FROM a\nCOPY «$foo» .\n", "FROM a\nARG A=1\nENV B=$A C=\"x «${D}» $D\"\n"],
        "FROM a AS s\nENV PATH=$PATH:/x E=1\nARG A\nFROM s\nCOPY $A$E /x\nLABEL l=$E\nRUN echo $no\nEXPOSE $none\n",
    );
    rule(
        Rule::UndefinedVar,
        ["FROM a\nARG foo=«$foo»\n", "FROM a\nRUN --mount=type=cache,target=«$dir» x\n"],
        "FROM a\nENV A=\\$x B='$y'\nUSER \\$z\n",
    );
    rule(
        Rule::UndefinedVar,
        ["FROM a\nCOPY <<E /d\nx «$foo» y\nE\n", "FROM a\nENV A=1 B=«$A»\n"],
        "FROM a\nCOPY <<\"E\" /d\n$foo\nE\n",
    );
    let finding = &report("FROM a\nENV PATH=$PAHT:/x\n", None, &[]).findings[0];
    assert_eq!(finding.help, "did you mean $PATH?");
}

#[test]
fn variables_of_a_base_image_that_is_known_are_set() {
    let text = "FROM a\nCOPY $HOME $USER /x\n";
    let base = BaseImage { env: vec![("HOME".to_owned(), "/h".to_owned())], ..BaseImage::default() };
    let findings = report(text, Some(&base), &[]).findings;
    assert_eq!(findings.iter().map(|finding| finding.span.of(text)).collect::<Vec<_>>(), ["$USER"]);
}

#[test]
fn arguments_from_outside_count_where_they_are_declared() {
    let text = "FROM a\nARG A=$B\nWORKDIR $A\nARG B=/b\n";
    assert_eq!(report(text, None, &[("A", "/a")]).findings, []);
    assert_eq!(found(text), ["UndefinedVar at $B"]);
    assert_eq!(found("ARG G=/g\nFROM a\nARG G\nWORKDIR $G\n"), [""; 0]);
    assert_eq!(found("ARG G=/g\nFROM a\nWORKDIR $G\n"), ["UndefinedVar at $G"]);
}

#[test]
fn what_counts_once_is_there_once() {
    rule(
        Rule::MultipleInstructionsDisallowed,
        ["FROM a\n«CMD [\"x\"]»\nCMD [\"y\"]\n", "FROM a\n«HEALTHCHECK NONE»\nHEALTHCHECK CMD [\"y\"]\n"],
        "FROM a AS s\nCMD [\"x\"]\nENTRYPOINT [\"x\"]\nHEALTHCHECK CMD x\nFROM s\nCMD [\"y\"]\n",
    );
}

#[test]
fn pairs_have_an_equals_sign() {
    rule(
        Rule::LegacyKeyValueFormat,
        ["FROM a\nENV «A» 1 2\n", "FROM a\nLABEL «a.b» c\n"],
        "FROM a\nENV A=1\nLABEL a.b=\"c d\"\n",
    );
}

#[test]
fn what_from_does_anyway_is_not_asked_for() {
    rule(
        Rule::RedundantTargetPlatform,
        ["FROM «--platform=$TARGETPLATFORM» a\n", "FROM «--platform=${TARGETPLATFORM}» a AS x\n"],
        "FROM --platform=$BUILDPLATFORM a\n",
    );
}

#[test]
fn secrets_are_no_variables() {
    rule(
        Rule::SecretsUsedInArgOrEnv,
        ["FROM a\nARG «GITHUB_TOKEN»\n", "FROM a\nENV A=1 «api_Key»=x\n"],
        "FROM a\nARG TOKENIZER KEY_FILE PUBLIC_KEY\nENV AUTH_VERSION=1\n",
    );
    assert_eq!(found("ARG PASSWORD=x\nFROM a\n"), ["SecretsUsedInArgOrEnv at PASSWORD"]);
}

#[test]
fn from_names_an_image_without_arguments_too() {
    rule(
        Rule::InvalidDefaultArgInFrom,
        ["ARG TAG\nFROM «a:$TAG»\n", "ARG B=NotAnImage\nFROM «${B}»\n"],
        "ARG TAG\nARG S=Stage\nFROM a:${TAG:-1} AS stage\nFROM $S\n",
    );
    let text = "ARG B\nFROM $B\n";
    let findings = report(text, None, &[("B", "busybox")]).findings;
    assert_eq!(findings.iter().map(|finding| finding.rule).collect::<Vec<_>>(), [Rule::InvalidDefaultArgInFrom]);
}

#[test]
fn a_platform_is_no_constant() {
    rule(
        Rule::FromPlatformFlagConstDisallowed,
        ["FROM «--platform=linux/arm64» a\n", "FROM a\nFROM «--platform=windows» b AS x\n"],
        "FROM --platform=linux/arm64 a AS build-arm64\nFROM --platform=linux/x86_64 a AS amd64\n",
    );
}

#[test]
fn what_is_ignored_is_not_copied() {
    rule(
        Rule::CopyIgnoredFile,
        ["FROM a\nCOPY x «a.log» /\n", "FROM a\nADD «/build/out» /\n"],
        "FROM a\nCOPY . /\nCOPY --from=a a.log /\nADD https://h.example/a.log /\nCOPY <<a.log /\na.log\n",
    );
}

#[test]
fn a_file_that_ignores_everything_lets_nothing_be_copied() {
    let file = parse("FROM a\nCOPY . /\n").unwrap();
    for (ignore, count) in [("**\n", 1), ("*\n!x\n", 0), ("a*\n", 0)] {
        let ignore = Patterns::parse(ignore).unwrap();
        let arguments = Arguments { build: &|_| None, platform: &platform };
        let around = Surroundings { arguments, ignore: Some(&ignore), is_image: &is_image, base: &|_| None };
        assert_eq!(check(&file, around).unwrap().findings.len(), count);
    }
}

#[test]
fn a_comment_describes_what_is_below_it() {
    let asked = "# check=experimental=InvalidDefinitionDescription\n";
    for (text, expected) in [
        ("# no idea\nFROM a AS b\n", Some("no idea")),
        ("FROM a\n# V is it\n# what\nARG V\n", Some("what")),
        ("# b builds\nFROM a AS b\n# V is it\nARG V\n", None),
        ("# no idea\n\nFROM a AS b\n# no idea\n#\nARG V\n# what\nFROM c\n", None),
    ] {
        let text = format!("{asked}{text}");
        let expected: Vec<String> =
            expected.into_iter().map(|place| format!("InvalidDefinitionDescription at {place}")).collect();
        assert_eq!(found(&text), expected, "{text}");
    }
    assert_eq!(found("# no idea\nFROM a AS b\n"), [""; 0]);
}

#[test]
fn protocols_are_lower_case() {
    rule(
        Rule::ExposeProtoCasing,
        ["FROM a\nEXPOSE 80 «443/TCP»\n", "FROM a\nENV P=1/Udp\nEXPOSE «$P»\n"],
        "FROM a\nEXPOSE 80/tcp 1-9/sctp 7/bogus\n",
    );
}

#[test]
fn expose_names_ports_only() {
    rule(
        Rule::ExposeInvalidFormat,
        ["FROM a\nEXPOSE «8080:80»\n", "FROM a\nEXPOSE 1 «[::1]:80:80/tcp»\n"],
        "FROM a\nEXPOSE 80 90-99\n",
    );
}

#[test]
fn a_base_image_for_another_platform_is_said() {
    let differs = PlatformDiffers { actual: "linux/arm64".to_owned(), expected: "linux/amd64".to_owned() };
    let base = BaseImage { other_platform: Some(differs), ..BaseImage::default() };
    let findings = report("FROM a\n", Some(&base), &[]).findings;
    assert_eq!(findings[0].diagnostic().message, "InvalidBaseImagePlatform: a is for linux/arm64, not for linux/amd64");
}

#[test]
fn directives_and_comments_skip_rules() {
    assert_eq!(found("# check=skip=StageNameCasing,FromAsCasing\nFROM a as B\n"), [""; 0]);
    assert_eq!(found("# check=skip=all\nFROM a as B\nMAINTAINER x\n"), [""; 0]);
    let one = "FROM a\n# check=skip=UndefinedVar\nCOPY $a /\nCOPY $b /\n";
    assert_eq!(found(one), ["UndefinedVar at $b"]);
    assert!(report("# check=error=true\nFROM a\n", None, &[]).options.error);
}

#[test]
fn a_directive_that_cannot_be_read_is_refused_with_its_place() {
    let file = parse("# check=skp=all\nFROM a\n").unwrap();
    let arguments = Arguments { build: &|_| None, platform: &platform };
    let around = Surroundings { arguments, ignore: None, is_image: &is_image, base: &|_| None };
    let error = check(&file, around).unwrap_err();
    let text = "directive check: `skp=all` is no option of a check; expected skip=, experimental= or error=";
    assert_eq!((error.to_string().as_str(), error.span.of(&file.text)), (text, "skp=all"));
}

#[test]
fn findings_come_in_the_order_of_the_text_with_their_lines() {
    let report = report("FROM a\nRUN x\nENV A 1 \\\n 2\nMAINTAINER me\n", None, &[]);
    let shown: Vec<_> = report.findings.iter().map(|finding| (finding.rule, finding.lines)).collect();
    assert_eq!(shown, [(Rule::LegacyKeyValueFormat, (3, 4)), (Rule::MaintainerDeprecated, (5, 5))]);
}

#[test]
fn a_file_without_stages_is_checked_as_far_as_that_goes() {
    assert_eq!(found("# check=skip=all\nRUN x\n"), [""; 0]);
    assert_eq!(found("RUN x \\\n\n  y\n"), ["NoEmptyContinuation at "]);
}

#[test]
fn large_files_take_bounded_time_and_memory() {
    let grown = format!("FROM a\nENV A={}\n{}", "x".repeat(1 << 18), "ENV A=$A$A\n".repeat(6));
    assert_eq!(found(&(grown + &"COPY $A /x\n".repeat(50))), [""; 0]);
    let many = format!("FROM a\n{}", "COPY $a $b $c /\n".repeat(2000));
    assert_eq!(report(&many, None, &[]).findings.len(), MAX_FINDINGS);
    let tall: String = (1..300).map(|n| format!("FROM s{} AS s{n}\nENV E{n}=1\n", n - 1)).collect();
    let uses = format!("LABEL a=\"{}\"\n", "$E1".repeat(20_000));
    assert_eq!(found(&format!("FROM a AS s0\n{tall}{}", uses)), [""; 0]);
}

#[test]
fn names_are_unique_and_pages_are_called_like_them() {
    for rule in Rule::ALL {
        assert_eq!(Rule::parse(rule.name()), Some(rule));
        assert!(!rule.description().is_empty());
        let page = rule.url().map(|url| url.rsplit('/').nth(1).unwrap().replace('-', ""));
        assert!(page.is_none_or(|page| page == rule.name().to_lowercase()), "{rule}");
    }
}
