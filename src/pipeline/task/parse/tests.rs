use serde_json::json;

use super::*;

/// The smallest parameters there are, with `more`.
fn with(more: Value) -> String {
    let mut all = json!({"git_uri": "https://src.example/a", "git_ref": "0123", "user": "jane"});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all.to_string()
}

fn parse(more: Value) -> UserParams {
    Task::parse(&with(more)).unwrap()
}

#[track_caller]
fn refused(more: Value, text: &str) {
    assert_eq!(Task::parse(&with(more)).unwrap_err().to_string(), text);
}

const TAG: &str = "jane/webd:f42-candidate-12345-20260102030405";

#[test]
fn every_key_comes_into_the_task() {
    let parsed = parse(json!({
        "additional_tags": ["a"], "tags_from_yaml": true, "component": "webd", "compose_ids": [1, 2],
        "git_branch": "f42", "image_tag": TAG, "include_koji_repo": true, "isolated": true, "release": "2.1",
        "koji_parent_build": "base-1-1", "koji_target": "f42-candidate", "koji_task_id": 7, "platform": "x86_64",
        "platforms": ["x86_64", "aarch64"], "userdata": {"k": [1]}, "yum_repourls": ["http://r.example/a.repo"],
        "reactor_config_map": "reactor-config",
    }));
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let text = |text: &str| Some(text.to_owned());
    let task = Task {
        additional_tags: owned(&["a"]),
        tags_from_yaml: true,
        component: text("webd"),
        compose_ids: vec![1, 2],
        git_branch: text("f42"),
        image_tag: text(TAG),
        include_koji_repo: true,
        is_isolated: true,
        release: text("2.1"),
        koji_parent_build: text("base-1-1"),
        koji_target: text("f42-candidate"),
        koji_task_id: Some(7),
        platform: text("x86_64"),
        platforms: owned(&["x86_64", "aarch64"]),
        user: text("jane"),
        userdata: json!({"k": [1]}).as_object().unwrap().clone(),
        yum_repourls: owned(&["http://r.example/a.repo"]),
        ..Task::default()
    };
    let expected = UserParams {
        task,
        git_uri: text("https://src.example/a"),
        git_ref: text("0123"),
        config_map: text("reactor-config"),
        ..UserParams::default()
    };
    assert_eq!(parsed, expected);
    let scratch = parse(json!({"scratch": true, "signing_intent": "beta"})).task;
    assert!(scratch.is_scratch && scratch.signing_intent == text("beta"));
    assert_eq!(Task::parse("null").unwrap(), UserParams::default());
}

#[test]
fn keys_without_effect_are_named() {
    let notes = parse(json!({"zebra": 1, "base_image": "fedora:42", "worker_deadline": 3})).notes;
    let expected = [
        "base_image: not used: the parent is read from the Dockerfile",
        "worker_deadline: not used: there are no worker builds",
        "zebra: unknown key, not used",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn an_error_names_key_value_and_what_is_expected() {
    refused(json!({"scratch": "yes"}), "scratch is \"yes\"; expected true or false");
    refused(json!({"platforms": "x86_64"}), "platforms is \"x86_64\"; expected a list of texts");
    refused(json!({"platforms": [1]}), "platforms is [1]; expected a list of texts");
    refused(json!({"compose_ids": ["1"]}), "compose_ids is [\"1\"]; expected a list of whole numbers from 0");
    refused(json!({"koji_task_id": "12"}), "koji_task_id is \"12\"; expected a whole number from 0");
    refused(json!({"component": null}), "component is null; expected a text that is not empty");
    refused(json!({"base_image": 1}), "base_image is 1; expected a text");
    refused(json!({"userdata": []}), "userdata is []; expected an object");
    let name = "n".repeat(64);
    let text = format!("name is \"{name}\"; expected a text of 63 characters at most");
    refused(json!({"name": name}), &text);
    assert!(Task::parse(&with(json!({"name": "n".repeat(63)}))).is_ok());
    let error = Task::parse(&with(json!({"user": {"a": "x".repeat(200)}}))).unwrap_err().to_string();
    assert!(error.ends_with("… (208 characters); expected a text that is not empty"), "{error}");
}

#[test]
fn what_must_be_there_is_asked_for() {
    let error = |text: &str| Task::parse(text).unwrap_err().to_string();
    assert_eq!(error("{}"), "git_uri is missing; expected the URL of the source's repository");
    let most = r#"{"git_uri": "a", "git_ref": "b"}"#;
    assert_eq!(error(most), "user is missing; expected the name of who asked for the build");
    assert_eq!(error("[1]"), "the user parameters are [1]; expected an object");
    assert_eq!(error("{"), "the user parameters are not JSON");
}

#[test]
fn keys_that_exclude_each_other_are_refused() {
    let text =
        "scratch and isolated exclude each other, and both are set: scratch is true, isolated is true; leave one out";
    refused(json!({"scratch": true, "isolated": true, "release": "1.1"}), text);
    let text = "signing_intent and compose_ids exclude each other, and both are set: signing_intent is beta, \
        compose_ids is [3]; leave one out";
    refused(json!({"signing_intent": "beta", "compose_ids": [3]}), text);
    assert!(Task::parse(&with(json!({"scratch": true, "isolated": false}))).is_ok());
}

#[test]
fn a_release_has_its_form() {
    for release in ["1", "12", "3.fc42", "3.1.fc42_4", "1a", "20260101.n.0"] {
        assert!(is_release(release), "{release}");
    }
    for release in ["", "a", ".1", "1.", "1_", "1..2", "1._2", "1-2", "1 2", "1.é"] {
        assert!(!is_release(release), "{release}");
    }
    for release in ["2.1", "2.1.el7", "10.20.a-b"] {
        assert!(is_isolated_release(release), "{release}");
    }
    for release in ["2", "2.", "2.a", "a.1", "2.1.", "2.1a", ""] {
        assert!(!is_isolated_release(release), "{release}");
    }
    let help = "a release such as 2.1 or 2.1.el7 (numbers at both sides of the first dot) where isolated is true";
    refused(json!({"isolated": true}), &format!("release is missing; expected {help}"));
    refused(json!({"isolated": true, "release": "3"}), &format!("release is \"3\"; expected {help}"));
    assert!(Task::parse(&with(json!({"release": "3-1"}))).unwrap_err().to_string().starts_with("release is \"3-1\";"));
}

#[test]
fn an_image_tag_has_its_form() {
    for tag in [TAG, "jane/webd:none-00001-20260102030405", &format!("{TAG}-x86_64"), "a/b/c:t-12345-20260102030405"] {
        assert!(is_image_tag(tag), "{tag}");
    }
    for tag in [
        "webd:t-12345-20260102030405",
        "jane/webd",
        "jane/webd:latest",
        "jane/webd:12345-20260102030405",
        "jane/webd:t-1234-20260102030405",
        "jane/webd:t-12345-2026",
        "jane/webd:t-12345-20260102030405-",
        "jane/webd:t-12345-20260102030405-a-b",
        "/webd:t-12345-20260102030405",
    ] {
        assert!(!is_image_tag(tag), "{tag}");
    }
}

#[test]
fn what_is_not_built_here_is_refused_by_name() {
    let why = "flatpaks are not built here; take the key out or build with the tools of flatpak";
    refused(json!({"flatpak": true}), &format!("flatpak is true: {why}"));
    assert!(Task::parse(&with(json!({"flatpak": false, "kind": "build"}))).is_ok());
    refused(json!({"kind": "source-build"}), "kind is source-build: source containers are not built here");
}

#[test]
fn no_login_of_a_url_is_shown() {
    let error = Task::parse(&with(json!({"git_uri": ["https://u:hunter2@src.example"]}))).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

/// What the published schema refuses is refused, and every key of it is known.
#[test]
fn the_published_schema_agrees() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/schemas/osbs/user_params.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: {path} is not beside the repository");
        return;
    };
    let schema: Value = serde_json::from_str(&text).unwrap();
    for (key, of) in schema["properties"].as_object().unwrap() {
        let (right, wrong) = match of["type"].as_str().unwrap() {
            "string" if key == "image_tag" => (json!(TAG), json!(1)),
            "string" if key == "release" => (json!("1"), json!(1)),
            "string" => (json!("x"), json!(1)),
            "boolean" => (json!(false), json!("x")),
            "integer" => (json!(1), json!("x")),
            "array" if of["items"]["type"] == "integer" => (json!([1]), json!(["x"])),
            "array" => (json!(["x"]), json!([1])),
            "object" => (json!({"otel_url": null}), json!({"x": 1})),
            other => panic!("{key} is of type {other}"),
        };
        let parsed = Task::parse(&with(json!({ key.as_str(): right }))).unwrap_or_else(|error| panic!("{error}"));
        assert!(!parsed.notes.iter().any(|note| note.contains("unknown")), "{:?}", parsed.notes);
        let error = Task::parse(&with(json!({ key.as_str(): wrong }))).unwrap_err().to_string();
        assert!(error.starts_with(key.as_str()), "{error}");
    }
    for key in schema["required"].as_array().unwrap() {
        let mut all: Value = serde_json::from_str(&with(json!({}))).unwrap();
        all.as_object_mut().unwrap().remove(key.as_str().unwrap()).unwrap();
        assert!(matches!(Task::parse(&all.to_string()), Err(TaskError::Missing { .. })), "{key}");
    }
}
