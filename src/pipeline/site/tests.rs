//! Whole files, good and bad.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use super::*;

mod values;

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
