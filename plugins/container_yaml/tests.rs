use super::compose::KojiTags;
use super::sources::RemoteSource;
use super::*;

#[track_caller]
fn refused(text: &str, expected: &str) {
    assert_eq!(parse(text).unwrap_err().text, expected);
}

#[track_caller]
fn refused_with(text: &str, expected: &str, help: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!((error.text.as_str(), error.help.as_deref()), (expected, Some(help)));
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn every_key_is_read() {
    let text = format!(
        "platforms:\n  only: [x86_64, aarch64]\n  not: s390x\ncompose:\n  packages: []\n  pulp_repos: true\n  \
         modular_koji_tags: true\n  module_resolve_tags: [f40]\n  build_only_content_sets: {{x86_64: [a-rpms], X: 1}}\n\
         tags: [latest, '1.0']\nset_release_env: REL\nbuildtime_limit: 60\nremote_sources_version: 2\n\
         remote_sources:\n- name: a\n  remote_source: {{repo: r, ref: {COMMIT}, pkg_managers: [gomod]}}\n"
    );
    let compose = Compose {
        packages: Some(Vec::new()),
        pulp_repos: true,
        modular_koji_tags: Some(KojiTags::OfTarget),
        module_resolve_tags: Some(KojiTags::Named(owned(&["f40"]))),
        build_only_content_sets: [("x86_64".to_owned(), owned(&["a-rpms"]))].into(),
        ..Compose::default()
    };
    let source = RemoteSource { repo: "r".to_owned(), reference: COMMIT.to_owned() };
    let expected = ContainerYaml {
        only: owned(&["x86_64", "aarch64"]),
        not: owned(&["s390x"]),
        compose: Some(compose),
        tags: Some(owned(&["latest", "1.0"])),
        set_release_env: Some("REL".to_owned()),
        buildtime_limit: Some(60),
        sources: Some(RemoteSources::Many(vec![("a".to_owned(), Some(source))])),
        ..ContainerYaml::default()
    };
    assert_eq!(parse(&text).unwrap(), expected);
}

#[test]
fn nothing_says_nothing() {
    for text in ["", "---\n", "# c\n", "null\n", "platforms:\ncompose:\nflatpak:\nautorebuild:\n"] {
        assert_eq!(parse(text).unwrap(), ContainerYaml::default(), "{text:?}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_is_meant_and_its_meaning() {
    let help = "did you mean platforms? (platforms: which platforms the image is built for, by `only` and `not`)";
    refused_with("platform: {only: x86_64}\n", "container.yaml:1:1: platform: unknown key", help);
    let help = "did you mean packages? (compose.packages: the packages to take from the Koji target's tag; an empty \
                list means all)";
    refused_with("compose:\n  pakcages: []\n", "container.yaml:2:3: compose.pakcages: unknown key", help);
}

#[test]
fn a_wrong_type_is_named_with_its_place() {
    refused("tags:\n  latest: 1\n", "container.yaml:1:1: tags: expected a list, found a map");
    refused("tags: v1\n", "container.yaml:1:7: tags: expected a list, found the text \"v1\"");
    refused("tags: [a, 1.10]\n", "container.yaml:1:11: tags[1]: expected a text, found the number 1.1");
    refused(
        "platforms:\n  only: [x86_64, {a: b}]\n",
        "container.yaml:2:18: platforms.only[1]: expected a text, found a map",
    );
    let kind = "expected a text or a list of texts, found the number 7";
    refused("platforms:\n  not: 7\n", &format!("container.yaml:2:8: platforms.not: {kind}"));
    let kind = "expected a map of keys and values, found the text \"x86_64\"";
    refused("platforms: x86_64\n", &format!("container.yaml:1:12: platforms: {kind}"));
    refused("- a\n", "container.yaml:1:1: the file: expected a map of keys and values, found a list");
    refused("a: [\n", "container.yaml:1:4: this is not YAML: unclosed bracket '['");
    let kind = "expected a whole number from 0, found the number -1";
    refused("buildtime_limit: -1\n", &format!("container.yaml:1:18: buildtime_limit: {kind}"));
}

#[test]
fn sources_from_elsewhere_exclude_each_other() {
    let text = format!("remote_source: {{repo: r, ref: {COMMIT}}}\ngo: {{}}\n");
    let only = "only one of remote_source, remote_sources, go can be";
    refused(&text, &format!("container.yaml:2:1: go: there is remote_source already, and {only}"));
    let kind = "expected a commit, 40 digits and small letters, found the text \"main\"";
    refused("remote_source: {repo: r, ref: main}\n", &format!("container.yaml:1:31: remote_source.ref: {kind}"));
}

#[test]
fn what_only_osbs_would_not_accept_can_be_gone_on_after() {
    let text = format!("go: {{}}\noperator_manifests: null\nremote_source: {{repo: r, ref: {COMMIT}}}\ntags: [a]\n");
    let (yaml, complaints) = read(&text).unwrap();
    assert_eq!((yaml.tags, complaints.len()), (Some(owned(&["a"])), 2));
    assert!(matches!(yaml.sources, Some(RemoteSources::One(Some(_)))));
    refused(&text, "container.yaml:2:1: operator_manifests: expected a map of keys and values, found nothing");
    assert!(read("go: {modlues: []}\n").is_err());
}

#[test]
fn deprecated_keys_are_told_apart() {
    let yaml = parse("version: 1\nimage_build_method: imagebuilder\nautorebuild: {from_latest: true}\n").unwrap();
    assert_eq!(yaml.deprecated, ["autorebuild", "image_build_method", "version"]);
}

#[test]
fn a_file_of_a_similar_name_is_refused() {
    let error = misspelt("container.yml");
    assert_eq!(error.text, "container.yml: nobody reads a file of this name");
    assert_eq!(error.help.as_deref(), Some("call it container.yaml, or remove it"));
}
