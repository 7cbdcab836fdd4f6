//! Values of the wrong kind, and those that are out of range.

use super::*;

#[test]
fn values_of_the_wrong_type_are_named_with_their_key() {
    let quote = "put it in quotes";
    check_refused(
        "registry: quay.io\n",
        "1:11: registry: expected a map of keys and values, found the text \"quay.io\"",
        "quay.io",
        "",
    );
    check_refused(
        "group_manifests: maybe\n",
        "1:18: group_manifests: expected true or false, found the text \"maybe\"",
        "maybe",
        "",
    );
    check_refused(
        "image_labels:\n  release: 1.10\n",
        "2:12: image_labels.release: expected a text, found the number 1.1",
        "1.10",
        quote,
    );
    check_refused(
        "image_labels:\n  a=b: c\n",
        "2:8: image_labels.a=b: the name of a label has no control character and none of = \" ' \\ $ `",
        "c",
        "",
    );
    check_refused(
        "allowed_build_targets: {a: b}\n",
        "1:1: allowed_build_targets: expected a list, found a map",
        "allowed_build_targets",
        "",
    );
    check_refused(
        "image_equal_labels: [[a], b]\n",
        "1:27: image_equal_labels[1]: expected a list, found the text \"b\"",
        "b",
        "",
    );
}

#[test]
fn values_that_are_nothing_or_out_of_range_are_named_with_their_key() {
    check_refused(
        "image_size_limit: {binary_image: -1}\n",
        "1:34: image_size_limit.binary_image: expected a whole number from 0, found the number -1",
        "-1",
        "",
    );
    check_refused(
        "keys:\n  files:\n",
        "2:3: keys.files: expected a list, found nothing",
        "files",
        "give it a value, or take the key out",
    );
    check_refused(
        "registries_organization: ''\n",
        "1:26: registries_organization: expected a text, found an empty text",
        "''",
        "",
    );
    check_refused("version: 2\n", "1:10: version: expected 1, the only version there is, found the number 2", "2", "");
    check_refused("- a\n", "1:1: the file: expected a map of keys and values, found a list", "", "");
    check_refused(
        "just text\n",
        "1:1: the file: expected a map of keys and values, found the text \"just text\"",
        "just text",
        "",
    );
}

#[test]
fn a_slip_below_our_sections_is_an_error() {
    check_refused(
        "policy:\n  signature: off\n",
        "2:3: policy.signature: unknown key",
        "signature",
        "did you mean signatures?",
    );
    check_refused(
        "policy:\n  x: 1\n",
        "2:3: policy.x: unknown key",
        "x",
        "known keys are signatures, allowed_unsigned, expired_keys",
    );
    check_refused(
        "policy: {signatures: on}\n",
        "1:22: policy.signatures: expected required, report or off, found true",
        "on",
        "",
    );
    check_refused(
        "policy: {allowed_unsigned: ['*']}\n",
        "1:29: policy.allowed_unsigned[0]: expected the name of a package, found the text \"*\"",
        "'*'",
        "names are exact: list each package, without version or pattern",
    );
    check_refused("keys: {file: [a]}\n", "1:8: keys.file: unknown key", "file", "did you mean files?");
    check_refused("network: {allowed: [a]}\n", "1:11: network.allowed: unknown key", "allowed", "did you mean allow?");
    check_refused(
        "sandbox: {limits: {open_file: 1}}\n",
        "1:20: sandbox.limits.open_file: unknown key",
        "open_file",
        "did you mean open_files?",
    );
    check_refused("record: {pusch: true}\n", "1:10: record.pusch: unknown key", "pusch", "did you mean push?");
    check_refused(
        "plugins: {pre_build: []}\n",
        "1:11: plugins.pre_build: unknown key",
        "pre_build",
        "did you mean prebuild?",
    );
    check_refused(
        "plugins: {exit: [{name: a, arg: {}}]}\n",
        "1:28: plugins.exit[0].arg: unknown key",
        "arg",
        "did you mean args?",
    );
    check_refused(
        "plugins: {exit: []}\nexit_plugins: []\n",
        "2:1: exit_plugins: this phase has a list below plugins already",
        "exit_plugins",
        "",
    );
    check_refused("lookaside: {max_size: 1}\n", "1:1: lookaside: url is missing", "lookaside", "");
}

#[test]
fn durations_modes_and_host_rules_are_checked_once_here() {
    const DURATION: &str = "expected a duration such as 90m, 1h30m, 3600s or a number of seconds, found the text";
    check_refused(
        "network: {step_timeout: soon}\n",
        &format!("1:25: network.step_timeout: {DURATION} \"soon\""),
        "soon",
        "",
    );
    check_refused(
        "network: {step_timeout: 10m5}\n",
        &format!("1:25: network.step_timeout: {DURATION} \"10m5\""),
        "10m5",
        "",
    );
    check_refused(
        "network: {step_timeout: 0}\n",
        "1:25: network.step_timeout: a duration of nothing; take the key out for no limit",
        "0",
        "",
    );
    check_refused(
        "network: {step_timeout: 99d}\n",
        "1:25: network.step_timeout: longer than 30 days; take the key out for no limit",
        "99d",
        "",
    );
    check_refused(
        "network: {mode: hosts}\n",
        "1:17: network.mode: expected gateway, host or none, found the text \"hosts\"",
        "hosts",
        "",
    );
    check_refused(
        "network: {allow: ['https://a']}\n",
        "1:19: network.allow[0]: expected a host such as example.org, *.example.org or example.org:8443, found the text \"https://a\"",
        "'https://a'",
        "",
    );
}

#[test]
fn sizes_hosts_and_urls_are_checked_once_here() {
    check_refused(
        "sandbox: {limits: {file_size: 4GB}}\n",
        "1:31: sandbox.limits.file_size: expected a size such as 512MiB, 4GiB or a number of bytes, found the text \"4GB\"",
        "4GB",
        "",
    );
    check_refused(
        "sandbox: {isolation: chroot}\n",
        "1:22: sandbox.isolation: expected auto, sub, range, full, single or none, found the text \"chroot\"",
        "chroot",
        "",
    );
    check_refused(
        "yum_repo_allowed_domains: ['https://a.b/']\n",
        "1:28: yum_repo_allowed_domains[0]: expected a host or host:port, found the text \"https://a.b/\"",
        "'https://a.b/'",
        "",
    );
    check_refused(
        "yum_repos: ['ftp://a/b.repo']\n",
        "1:13: yum_repos[0]: expected an http or https URL",
        "'ftp://a/b.repo'",
        "",
    );
    let lookaside = |url: &str| refused(&format!("lookaside: {{url: '{url}'}}\n"));
    let (message, pointed, _) = lookaside("https://a/{hasch}/{filename}");
    assert_eq!(pointed, "'https://a/{hasch}/{filename}'");
    assert!(message.starts_with(&format!("{FILE}:1:18: lookaside.url: ")) && message.contains("hasch"), "{message}");
    assert!(lookaside("https://a/{name}").0.contains("{filename}"));
    assert!(lookaside("https://{name}/{filename}").0.contains("the URL has no valid host"));
}

#[test]
fn the_name_of_a_label_may_have_spaces_and_letters_of_any_script() {
    let labels = parse("image_labels: {label 2: some value, é: ü}\n").0.image_labels;
    assert_eq!((labels["label 2"].as_str(), labels["é"].as_str()), ("some value", "ü"));
}

#[test]
fn an_address_of_a_registry_is_what_the_reference_takes() {
    let url = |text: &str| parse(&format!("source_registry: {{url: '{text}'}}\n")).0.source_registry.unwrap().url;
    assert_eq!(url("https://r.example/v2").host(), "r.example");
    assert_eq!(url("https://r.example/").to_string(), "https://r.example");
    assert_eq!((url("r.example:5000/v2").host(), url("r.example").scheme()), ("r.example:5000", None));
    assert_eq!(url("http://[::1]:5000").scheme(), Some(Scheme::Http));
    let slashes = ["r.example/v2/", "https://r.example/v2/", "https://r.example/v1/"];
    for wrong in slashes.into_iter().chain([
        "https://",
        "ftp://r.example",
        "r.example/team",
        "r.example:0",
        "r example",
        "r..example",
    ]) {
        let text = format!("source_registry: {{url: '{wrong}'}}\n");
        let message =
            "source_registry.url: expected host[:port], with http:// or https:// before and /v2 behind it or without";
        check_refused(&text, &format!("1:24: {message}, found {wrong:?}"), &format!("'{wrong}'"), "");
    }
    check_refused(
        "registry: {url: a/v1}\n",
        "1:17: registry.url: a registry of version 1; only /v2 is spoken, found \"a/v1\"",
        "a/v1",
        "",
    );
    check_refused("registry: {insecure: true}\n", "1:1: registry: url is missing", "registry", "");
}
