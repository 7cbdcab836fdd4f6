use super::*;

fn policy(rules: &str) -> Result<SourcePolicy, SourcePolicyError> {
    SourcePolicy::parse("policy.json", format!("{{\"rules\":[{rules}]}}").as_bytes())
}

fn rule(action: &str, identifier: &str) -> String {
    format!(r#"{{"action":"{action}","selector":{{"identifier":"{identifier}"}}}}"#)
}

#[track_caller]
fn check(rules: &str, name: &str, expected: &Decision<'_>) {
    let policy = policy(rules).unwrap();
    assert_eq!(policy.decide(name, &name.parse().unwrap()), *expected, "{name}");
}

#[test]
fn the_first_rule_that_fits_decides() {
    let rules = [
        rule("ALLOW", "docker-image://docker.io/library/alpine:*"),
        rule("DENY", "docker-image://docker.io/*"),
        rule("ALLOW", "*"),
    ]
    .join(",");
    check(&rules, "alpine:3", &Decision::Allowed);
    check(&rules, "fedora", &Decision::Denied(2, "docker-image://docker.io/*"));
    check(&rules, "registry.example/fedora", &Decision::Allowed);
}

#[test]
fn an_image_is_exchanged() {
    let rules = r#"{"action":"CONVERT","selector":{"identifier":"docker-image://docker.io/library/alpine:latest",
        "matchType":"EXACT"},"updates":{"identifier":"docker-image://registry.example/alpine:3"}}"#;
    check(rules, "alpine", &Decision::Converted("registry.example/alpine:3"));
    check(rules, "alpine:latest", &Decision::Converted("registry.example/alpine:3"));
    check(rules, "alpine:3", &Decision::Allowed);
}

#[test]
fn a_name_without_a_tag_fits_with_and_without_latest() {
    for identifier in ["docker-image://docker.io/library/a", "docker-image://docker.io/library/a:latest"] {
        check(&rule("DENY", identifier), "a", &Decision::Denied(1, identifier));
    }
    check(&rule("DENY", "docker-image://docker.io/library/a"), "a:latest", &Decision::Allowed);
}

#[test]
fn what_cannot_be_obeyed_is_refused() {
    for (rules, why) in [
        (rule("WARN", "*"), "action WARN is not known"),
        (rule("DENY", ""), "selector.identifier is missing"),
        (rule("DENY", "https://host.invalid/*"), "only docker-image:// sources are judged"),
        (rule("CONVERT", "*"), "CONVERT needs updates.identifier"),
        (r#"{"action":"DENY","selector":{"identifier":"a","matchType":"REGEX"}}"#.to_owned(), "matchType REGEX"),
        (r#"{"action":"DENY","selector":{"identifier":"a","constraints":[]}}"#.to_owned(), "`constraints` in selector"),
        ("1".to_owned(), "the rule is no object"),
    ] {
        let error = policy(&rules).unwrap_err().to_string();
        assert!(error.starts_with("policy.json: rule 1: ") && error.contains(why), "{error}");
    }
    assert!(SourcePolicy::parse("f", b"[]").is_err() && SourcePolicy::parse("f", b"{").is_err());
    assert_eq!(SourcePolicy::parse("f", b"{}").unwrap(), SourcePolicy::default());
}

#[test]
fn stars_do_not_take_for_ever() {
    let pattern = "*a".repeat(60);
    assert!(!matches(&pattern, &"a".repeat(59)));
    assert!(matches(&pattern, &"a".repeat(60)));
    assert!(!matches(&format!("{pattern}b"), &"a".repeat(20_000)));
    assert!(matches("a?c*", "abc") && !matches("a?c", "ac") && matches("", "") && matches("**", ""));
}
