//! Whole files, good and bad.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::*;

const FILE: &str = "/etc/stratum/site.yaml";

fn outside(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn parse(text: &str) -> (Site, Vec<Note>) {
    Site::parse(Path::new(FILE), text.as_bytes()).unwrap()
}

/// The error as a caller shows it: the message, what the caret is under, and the help.
#[track_caller]
fn refused(text: &str) -> (String, String, String) {
    let error = Site::parse(Path::new(FILE), text.as_bytes()).unwrap_err();
    let pointed = text.get(error.span.clone()).expect("a span within the text").to_owned();
    (error.to_string(), pointed, error.help.unwrap_or_default())
}

#[track_caller]
fn check_refused(text: &str, message: &str, pointed: &str, help: &str) {
    assert_eq!(refused(text), (format!("{FILE}:{message}"), pointed.to_owned(), help.to_owned()), "{text}");
}

/// What differs from the site of nobody.
fn told(site: &Site) -> serde_json::Value {
    let plain = Site::default().to_json();
    let mut told = site.to_json();
    told.as_object_mut().unwrap().retain(|key, value| plain.get(key.as_str()) != Some(&*value));
    told
}

/// Compares what the file says, and the notes on it, with `out.json`.
#[track_caller]
fn check_file(behaviour: &str) {
    let folder = outside("testdata/site").join(behaviour);
    let bytes = fs::read(folder.join("in.yaml")).unwrap();
    let (site, notes) = Site::parse(Path::new(FILE), &bytes).unwrap();
    let found = json!({ "site": told(&site), "notes": notes });
    let expected = fs::read(folder.join("out.json")).unwrap_or_default();
    let expected: serde_json::Value = serde_json::from_slice(&expected).unwrap_or_default();
    assert!(found == expected, "{behaviour}: found\n{found:#}");
}

#[test]
fn a_map_of_generation_b_is_accepted_as_it_is() {
    check_file("reactor-map-of-generation-b");
}

#[test]
fn a_map_of_generation_c_is_accepted_as_it_is() {
    check_file("reactor-map-of-generation-c");
}

#[test]
fn lists_of_registries_are_read_as_if_they_were_the_newer_keys() {
    check_file("registries-in-lists");
}

#[test]
fn plugins_are_read_in_both_spellings_and_show_no_secret() {
    check_file("plugins-in-both-spellings");
}

#[test]
fn anchors_and_merge_keys_work() {
    check_file("anchors-and-merge-keys");
}

#[test]
fn an_empty_file_is_the_site_of_nobody() {
    for text in ["", "\n\n", "# nothing yet\n", "---\n", "\u{feff}", "null\n", "{}\n", "version: 1\n"] {
        assert_eq!(parse(text), (Site::default(), Vec::new()), "{text:?}");
    }
}

#[test]
fn the_example_of_the_manual_is_read_without_notes() {
    let manual = fs::read_to_string(outside("docs/site.md")).unwrap();
    let example = manual.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let (site, notes) = parse(example);
    assert_eq!(notes, []);
    let told = told(&site);
    let silent: Vec<String> = Site::default()
        .to_json()
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| told.get(key.as_str()).is_none())
        .cloned()
        .collect();
    assert_eq!(silent, ["clusters", "group_manifests", "hide_files"], "what the example leaves at its default");
}

#[test]
fn every_example_of_the_manual_is_read_without_notes() {
    let manual = fs::read_to_string(outside("docs/site.md")).unwrap();
    let examples: Vec<&str> = manual.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 10, "{}", examples.len());
    for example in examples {
        assert_eq!(parse(example).1, [], "{example}");
    }
}

#[test]
fn every_key_of_a_site_is_in_the_manual() {
    let manual = fs::read_to_string(outside("docs/site.md")).unwrap();
    for key in Site::default().to_json().as_object().unwrap().keys() {
        assert!(manual.contains(&format!("`{key}`")), "{key}");
    }
}

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
        "image_labels:\n  a b: c\n",
        "2:8: image_labels.a b: the name of a label has letters, digits, `.`, `-` and `_` only",
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
fn an_address_of_a_registry_is_what_the_reference_takes() {
    let url = |text: &str| parse(&format!("source_registry: {{url: '{text}'}}\n")).0.source_registry.unwrap().url;
    assert_eq!(url("https://r.example/v2").host(), "r.example");
    assert_eq!(url("https://r.example/v2/").to_string(), "https://r.example");
    assert_eq!((url("r.example:5000/v2").host(), url("r.example").scheme()), ("r.example:5000", None));
    assert_eq!(url("http://[::1]:5000").scheme(), Some(Scheme::Http));
    for wrong in
        ["r.example/v2/", "https://", "ftp://r.example", "r.example/team", "r.example:0", "r example", "r..example"]
    {
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

#[test]
fn what_is_no_yaml_is_refused_at_its_place() {
    check_refused(
        "policy:\n\tsignatures: off\n",
        "2:2: this is not YAML: tabs disallowed within this context (block indentation)",
        "",
        "indent with spaces",
    );
    check_refused("keys:\n  files: []\n  files: [a]\n", "3:3: keys.files is given twice, first in line 2", "files", "");
    check_refused("a: 1\n---\nb: 2\n", "3:1: a second document starts here; a file holds one configuration", "", "");
    check_refused("a: [1\n", "1:4: this is not YAML: unclosed bracket '['", "", "");
    check_refused("a: *nobody\n", "1:4: this is not YAML: alias references unknown anchor", "", "");
    check_refused("? [a]\n: b\n", "1:3: expected a key that is a text", "[", "");
    check_refused("a: !include other.yaml\n", "1:13: this is not YAML: unsupported tag `!include`", "other.yaml", "");
}

#[test]
fn a_file_that_is_too_large_or_no_text_is_refused() {
    let error = Site::parse(Path::new(FILE), &vec![b'#'; 2 * 1024 * 1024]).unwrap_err();
    assert_eq!(error.to_string(), "/etc/stratum/site.yaml:1:1: the file has 2097152 bytes; at most 1048576 are read");
    let error = Site::parse(Path::new(FILE), b"a: b\nc: \xc3\xa9\xff\n").unwrap_err();
    assert_eq!(
        (error.to_string(), error.span),
        ("/etc/stratum/site.yaml:2:5: the file is not UTF-8 text".to_owned(), 10..10)
    );
}

#[test]
fn bombs_are_refused() {
    let mut aliases = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let row = vec![format!("*a{}", level - 1); 10].join(", ");
        aliases.push_str(&format!("a{level}: &a{level} [{row}]\n"));
    }
    let merges = format!("a: &a {{x: 1}}\nb:\n{}", "  <<: *a\n".repeat(50_000));
    let wide = format!("a: [{}]\n", "x,".repeat(400_000));
    let deep = format!("a: {}\n", "[".repeat(400_000));
    let blocks: String = (0..600).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    for text in [aliases, merges, wide, deep, blocks] {
        Site::parse(Path::new(FILE), text.as_bytes()).unwrap_err();
    }
}

#[test]
fn a_secret_in_the_file_is_neither_taken_nor_shown() {
    let advice = "write `user:password` into a file only the builder can read, and name it in login_path";
    let inline = "network: {credentials: [{host: a.example, password: hunter2}]}\n";
    check_refused(
        inline,
        "1:53: network.credentials[0].password: no login is taken from the configuration itself",
        "",
        advice,
    );
    for text in [
        inline,
        "lookaside: {url: 'https://me:hunter2@a/{filename}'}\n",
        "yum_repos: ['https://me:hunter2@a/b.repo']\n",
        "registry: {url: 'https://me:hunter2@a'}\n",
        "yum_proxy: 'ftp://me:hunter2@a'\n",
    ] {
        let (message, pointed, help) = refused(text);
        assert!(!format!("{message}{pointed}{help}").contains("hunter2"), "{message}: {pointed}");
    }
    let (site, _) = parse("yum_proxy: http://me:hunter2@proxy.example:3128\n");
    assert_eq!(site.to_json().get("yum_proxy"), Some(&json!("http://***@proxy.example:3128")));
    assert!(!format!("{site:?}").contains("hunter2"));
    assert_eq!(site.yum_proxy.unwrap().reveal(), "http://me:hunter2@proxy.example:3128");
}

#[test]
fn relative_paths_start_at_the_folder_of_the_file() {
    let (site, _) = parse("keys: {files: [keys/a.asc, /b.asc]}\nyum_repos: [a.repo, 'https://a.example/b.repo']\n");
    assert_eq!(site.keys.paths(), [Path::new("/etc/stratum/keys/a.asc"), Path::new("/b.asc")]);
    let url = RepoSource::Url("https://a.example/b.repo".to_owned());
    assert_eq!(site.yum_repos, [RepoSource::File("/etc/stratum/a.repo".into()), url]);
}

#[test]
fn durations_and_sizes_have_units() {
    let timeout = |text: &str| parse(&format!("network: {{step_timeout: {text}}}\n")).0.network.step_timeout;
    assert_eq!(timeout("90m"), Some(Duration::from_secs(5400)));
    assert_eq!(timeout("1h30m"), Some(Duration::from_secs(5400)));
    assert_eq!(timeout("3600s"), timeout("3600"));
    let limit = |text: &str| parse(&format!("image_size_limit: {{binary_image: {text}}}\n")).0.image_size_limit;
    assert_eq!((limit("2GiB"), limit("0"), limit("7")), (Some(2 << 30), None, Some(7)));
}

#[test]
fn platforms_have_two_names() {
    let (site, _) = parse("platform_descriptors: [{platform: arm64x, architecture: arm64}]\n");
    assert_eq!((site.goarch("x86_64"), site.goarch("s390x"), site.goarch("arm64x")), ("amd64", "s390x", "arm64"));
    assert_eq!(
        (site.platform("amd64"), site.platform("ppc64le"), site.platform("arm64")),
        ("x86_64", "ppc64le", "arm64x")
    );
}

#[test]
fn signatures_are_required_where_there_are_keys() {
    let policy = |text: &str, has_keys| parse(text).0.policy.signatures(has_keys);
    assert_eq!((policy("", true), policy("", false)), (SignaturePolicy::Required, SignaturePolicy::Off));
    assert_eq!(policy("policy: {signatures: report}\n", true), SignaturePolicy::Report);
    assert_eq!(policy("policy: {signatures: off}\n", true), SignaturePolicy::Off);
    assert_eq!(policy("policy: {signatures: required}\n", false), SignaturePolicy::Required);
}

#[test]
fn an_unknown_key_elsewhere_is_noted_unless_it_may_mean_a_section_of_ours() {
    let error = Site::parse(Path::new(FILE), b"polices: {}\n").unwrap_err();
    assert_eq!((error.message.as_str(), error.help.as_deref()), ("polices: unknown key", Some("did you mean policy?")));
    let note = |line, key: &str, text: &str| Note { line, key: key.to_owned(), text: text.to_owned() };
    let (_, notes) = parse("image_lables: {}\nregistry: {url: a, insecur: true}\nzzz: 1\npnc: null\n");
    let expected = [
        note(1, "image_lables", "unknown key; did you mean image_labels?"),
        note(2, "registry.insecur", "unknown key; did you mean insecure?"),
        note(3, "zzz", "unknown key"),
        note(4, "pnc", "out of scope"),
    ];
    assert_eq!(notes, expected);
}

const KOJI: &str = "koji: {hub_url: 'https://koji.example/kojihub', root_url: 'https://koji.example/files/', ";

#[test]
fn koji_is_read_with_the_references_defaults() {
    let (site, notes) = parse(&format!("{KOJI}auth: {{}}}}\n"));
    let expected = KojiSite {
        hub_url: "https://koji.example/kojihub".to_owned(),
        root_url: "https://koji.example/files".to_owned(),
        auth: KojiAuth::default(),
        use_fast_upload: true,
        reserve_build: false,
        insecure_download: false,
        content_generator: "atomic-reactor".to_owned(),
    };
    assert_eq!((site.koji, notes), (Some(expected), Vec::new()));
}

#[test]
fn ways_to_log_in_at_koji_are_whole_and_one() {
    let refused = |auth: &str| {
        let text = format!("{KOJI}auth: {auth}}}\n");
        Site::parse(Path::new("site.yaml"), text.as_bytes()).unwrap_err().message
    };
    let text = "koji.auth: krb_principal and krb_keytab_path belong together; one of them is missing";
    assert_eq!(refused("{krb_principal: a}"), text);
    let text = "koji.auth: user and password_file belong together; one of them is missing";
    assert_eq!(refused("{user: a}"), text);
    let text = "koji.auth: more than one way to log in; keep krb_principal, ssl_certs_dir or user";
    assert_eq!(refused("{user: a, password_file: /p, ssl_certs_dir: /s}"), text);
    let error = Site::parse(Path::new("s"), b"koji: {hub_url: 'https://a:b@c/', root_url: x}\n").unwrap_err();
    assert!(error.message.contains("credentials go into `auth`"), "{}", error.message);
}

#[test]
fn the_compose_service_has_its_intents() {
    let odcs = |usual: &str| {
        format!(
            "odcs: {{api_url: 'https://odcs.example/odcs/1', auth: {{openidc_dir: tokens}}, \
             signing_intents: [{{name: release, keys: [R1]}}, {{name: unsigned, keys: []}}], \
             default_signing_intent: {usual}}}\n"
        )
    };
    let (site, notes) = parse(&odcs("release"));
    let odcs_site = site.odcs.unwrap();
    assert_eq!((odcs_site.signing_intents.len(), odcs_site.timeout.as_secs(), notes.len()), (2, 3600, 0));
    let error = Site::parse(Path::new("s"), odcs("none").as_bytes()).unwrap_err();
    let text = "odcs.default_signing_intent: expected the name of a signing intent, found the text \"none\"";
    assert_eq!((error.message.as_str(), error.help.as_deref()), (text, Some("there are release, unsigned")));
}
