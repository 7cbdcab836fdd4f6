//! Which names an image gets, and from which files.

use serde_json::json;

use super::*;

const NVR: &[(&str, &str)] = &[("name", "ns/app"), ("version", "1.2"), ("release", "3")];

fn target(organization: Option<&str>) -> Target {
    Target { registry: "out.example".to_owned(), organization: organization.map(str::to_owned) }
}

#[track_caller]
fn check(suffixes: &Suffixes, unique: &[&str], primary: &[&str], floating: &[&str]) {
    let tags = decide(&target(None), &labels::of(NVR), suffixes).unwrap();
    let of = |tags: &[&str]| tags.iter().map(|tag| format!("out.example/ns/app:{tag}").parse().unwrap()).collect();
    assert_eq!(tags, Tags { unique: of(unique), primary: of(primary), floating: of(floating), group: None });
}

fn usual(tags: &[&str], is_all: bool) -> Suffixes {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Suffixes::usual(&Task::default(), Extra { tags, is_all })
}

#[test]
fn an_image_is_named_by_its_labels() {
    check(&usual(&[], false), &[], &["1.2-3"], &["latest", "1.2"]);
    check(&usual(&["1"], false), &[], &["1.2-3"], &["latest", "1.2", "1"]);
    check(&usual(&["latest", "{version}.x"], false), &[], &["1.2-3"], &["latest", "1.2", "1.2.x"]);
}

#[test]
fn tags_of_container_yaml_take_the_place_of_the_usual_ones() {
    check(&usual(&["1"], true), &[], &["1.2-3"], &["1"]);
    check(&usual(&[], true), &[], &["1.2-3"], &[]);
}

#[test]
fn an_organization_encloses_the_name() {
    let tags = decide(&target(Some("org")), &labels::of(NVR), &usual(&[], true)).unwrap();
    assert_eq!(tags.primary, ["out.example/org/ns-app:1.2-3".parse().unwrap()]);
}

#[test]
fn arguments_say_which_tags_there_are() {
    let suffixes = |value| Suffixes::read(&value).unwrap();
    let older = json!({"unique": ["target-1"], "primary": ["latest", "{version}", "{version}-{release}"]});
    check(&suffixes(older), &["target-1"], &["1.2-3"], &["latest", "1.2"]);
    check(&suffixes(json!({"primary": ["{version}"], "floating": []})), &[], &["1.2"], &[]);
    let error = Suffixes::read(&json!({"primary": [1]})).unwrap_err();
    let text = "argument tag_suffixes: 1; it must be a map of unique, primary and floating to lists of texts";
    assert_eq!(error, PluginError::new(Class::Configuration, text));
    assert!(Suffixes::read(&json!({"uniq": []})).unwrap_err().text.contains("there are no uniq tags"));
}

#[test]
fn a_build_system_gives_the_unique_tag_and_says_which_others_there_are() {
    let task = |change: &dyn Fn(&mut Task)| {
        let mut task = Task { image_tag: Some("user/app:target-1".to_owned()), ..Task::default() };
        change(&mut task);
        Suffixes::usual(&task, of_task(&task).unwrap_or_default())
    };
    let (unique, primary) = (&["target-1"], &["1.2-3"]);
    check(&task(&|_| {}), unique, primary, &["latest", "1.2"]);
    check(&task(&|task| task.is_scratch = true), unique, &[], &[]);
    check(&task(&|task| task.is_isolated = true), unique, primary, &[]);
    check(&task(&|task| task.additional_tags = vec!["x".to_owned()]), unique, primary, &["latest", "1.2", "x"]);
    check(&task(&|task| task.tags_from_yaml = true), unique, primary, &[]);
    let args = serde_json::from_str(r#"{"unique_tag_only": true}"#).unwrap();
    assert!(demanded(&Task::default(), Some(&args)).unwrap().is_scratch);
    let args = serde_json::from_str(r#"{"image_tag": "a:u", "platforms": ["s390x"], "isolated": true}"#).unwrap();
    let (image_tag, platforms) = (Some("a:u".to_owned()), vec!["s390x".to_owned()]);
    let expected = Task { image_tag, platforms, is_isolated: true, ..Task::default() };
    assert_eq!(demanded(&Task::default(), Some(&args)).unwrap(), expected);
    let args = serde_json::from_str(r#"{"scratch": "yes"}"#).unwrap();
    let error = demanded(&Task::default(), Some(&args)).unwrap_err();
    assert_eq!(error.text, "argument scratch is \"yes\"; it must be true or false");
    // An image that is thrown away needs no label but its name.
    let only = task(&|task| task.is_scratch = true);
    assert_eq!(decide(&target(None), &labels::of(&[("name", "a")]), &only).unwrap().unique.len(), 1);
}

#[track_caller]
fn grouped(config: &str, task: &Task, yaml: &str) -> Result<Vec<String>, String> {
    let site = format!("registry: {{url: out.example}}\n{config}");
    let (site, _) = Site::parse(std::path::Path::new("s.yaml"), site.as_bytes()).unwrap();
    let tags = decided(&site, &labels::of(NVR), (task, None)).unwrap();
    let all = platforms(task, &container_yaml::parse(yaml).unwrap(), "x86_64");
    let group = group(&site, &tags, ("x86_64", &all)).map_err(|error| error.text)?;
    let tags = Tags { group, ..tags };
    Ok(tags.of_image().map(|name| name.tag().unwrap_or_default().to_owned()).collect())
}

#[test]
fn an_image_of_several_platforms_has_a_name_for_each() {
    let image_tag = Some("user/app:u".to_owned());
    let one = Task { image_tag: image_tag.clone(), ..Task::default() };
    let platforms = ["s390x", "x86_64"].map(str::to_owned).to_vec();
    let two = Task { platforms, image_tag, ..Task::default() };
    let own = Ok(vec!["u-x86_64".to_owned()]);
    let all = Ok(["u", "1.2-3", "latest", "1.2"].map(str::to_owned).to_vec());
    assert_eq!(grouped("", &two, ""), own);
    assert_eq!(grouped("", &two, "platforms: {not: s390x}"), all);
    assert_eq!(grouped("", &one, ""), all);
    assert_eq!(grouped("group_manifests: true\n", &one, ""), own);
    assert_eq!(grouped("group_manifests: false\n", &one, ""), all);
    let several = "the build is for s390x, x86_64, and group_manifests is false: one name cannot be several images";
    assert_eq!(grouped("group_manifests: false\n", &two, ""), Err(several.to_owned()));
    let nameless = Task { image_tag: None, ..two };
    assert!(grouped("", &nameless, "").unwrap_err().contains("no unique tag"));
}

#[track_caller]
fn refused(all: &[(&str, &str)], extra: &[&str], text: &str) {
    let error = decide(&target(None), &labels::of(all), &usual(extra, false)).unwrap_err();
    assert_eq!((error.class, error.text.as_str()), (Class::Source, text));
}

#[test]
fn a_missing_label_is_named() {
    refused(&[("name", "a"), ("version", "1")], &[], "`{version}-{release}`: the image has no label release");
    refused(&[("version", "1"), ("release", "1")], &[], "the image has no label name");
    refused(NVR, &["{nope}"], "`{nope}`: the image has no label nope");
}

#[test]
fn what_makes_no_name_is_said() {
    let why = "repository names are lower case";
    let text = format!("`out.example/App:latest` is not an image reference: {why}");
    refused(&[("name", "App"), ("version", "1"), ("release", "1")], &[], &text);
}

#[test]
fn tags_come_from_container_yaml_or_else_from_additional_tags() {
    let (found, warnings) = extra(Some("v1\n\n 2.0 \nbad-tag\n"), None);
    assert_eq!(found, Extra { tags: vec!["v1".into(), "2.0".into()], is_all: false });
    let warning =
        "additional-tags: `bad-tag` is left out: a tag there has up to 127 letters, digits, underscores and dots";
    assert_eq!(warnings, [warning]);
    let (found, warnings) = extra(Some("v1\n"), Some(vec!["y1".into(), "z-1".into()]));
    assert_eq!((found, warnings.len()), (Extra { tags: vec!["y1".into()], is_all: true }, 2));
    assert_eq!(warnings[1], "additional-tags: its tags are left out, for container.yaml has tags");
    assert_eq!(extra(None, None), (Extra::default(), Vec::new()));
}

#[test]
fn a_tag_of_a_file_is_made_of_word_characters_and_dots() {
    for tag in ["_ok", "1.0", "LATEST", &"x".repeat(127)] {
        assert!(is_tag(tag), "{tag}");
    }
    for tag in ["", "{version}", "a b", "a-b", "a@b", "a/b", "é", &"x".repeat(128)] {
        assert!(!is_tag(tag), "{tag}");
    }
}

#[test]
fn a_tag_counts_once_and_an_empty_list_says_nothing() {
    let tags = |file, yaml: Option<&[&str]>| {
        additional(file, yaml.map(|tags| tags.iter().map(|tag| (*tag).to_owned()).collect()))
    };
    let expected = |tags: &[&str], is_all| (tags.iter().map(|tag| (*tag).to_owned()).collect(), is_all);
    assert_eq!(tags(Some("v1\nv1\n"), None), expected(&["v1"], false));
    assert_eq!(tags(Some("v1\n"), Some(&["y", "y"])), expected(&["y"], true));
    assert_eq!(tags(Some("v1\n"), Some(&[])), expected(&["v1"], false));
    assert_eq!(tags(Some("v1\n"), Some(&["a-b"])), expected(&[], true));
}
