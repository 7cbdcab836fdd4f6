use super::*;

fn config(text: &str) -> ImageConfig {
    ImageConfig::parse(text.as_bytes()).unwrap()
}

const BASE: &str = r#"{"architecture":"amd64","os":"windows","os.features":["win32k"],"os.version":"10.0.1",
    "config":{"Env":["PATH=/bin","PATHS=x","A=1"],"Labels":{"a":"1","b":"2"}},
    "rootfs":{"type":"layers","diff_ids":[]},"history":[{"created_by":"x"}]}"#;

#[track_caller]
fn check(options: &ConfigOptions, member: &str, expected: &Value) {
    let mut config = config(BASE);
    finish(&mut config, options, &Inherited::default());
    let value: Value = serde_json::from_slice(&config.to_bytes().unwrap()).unwrap();
    assert_eq!(value.pointer(member), Some(expected), "{value}");
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_variable_is_unset_by_its_whole_name() {
    let options = ConfigOptions { unset_env: words(&["PATH", "NONE"]), ..ConfigOptions::default() };
    check(&options, "/config/Env", &json!(["PATHS=x", "A=1"]));
}

#[test]
fn a_label_is_unset_whoever_set_it() {
    let options = ConfigOptions { unset_labels: words(&["b"]), ..ConfigOptions::default() };
    check(&options, "/config/Labels", &json!({"a": "1"}));
}

#[test]
fn features_are_added_once_and_taken_out_with_a_dash() {
    let options = |features: &[&str]| ConfigOptions { os_features: words(features), ..ConfigOptions::default() };
    check(&options(&["x", "win32k"]), "/os.features", &json!(["win32k", "x"]));
    check(&options(&["win32k-", "x"]), "/os.features", &json!(["x"]));
    let mut config = config(BASE);
    finish(&mut config, &options(&["win32k-"]), &Inherited::default());
    assert!(!config.other.contains_key("os.features"));
}

#[test]
fn the_version_of_the_system_is_replaced() {
    let options = ConfigOptions { os_version: Some("11".to_owned()), ..ConfigOptions::default() };
    check(&options, "/os.version", &json!("11"));
    check(&ConfigOptions::default(), "/os.version", &json!("10.0.1"));
}

#[test]
fn history_goes_on_demand_and_with_a_base_that_has_none() {
    for (omits_history, lacks_history, lines) in [(false, false, 1), (true, false, 0), (false, true, 0)] {
        let mut config = config(BASE);
        let options = ConfigOptions { omits_history, ..ConfigOptions::default() };
        finish(&mut config, &options, &Inherited { lacks_history, ..Inherited::default() });
        assert_eq!(config.history.len(), lines);
    }
}

#[test]
fn labels_of_the_base_can_be_dropped() {
    let mut config = config(BASE);
    begin(&mut config, &ConfigOptions { drops_base_labels: true, ..ConfigOptions::default() });
    assert!(config.config.labels.is_empty());
}

#[test]
fn only_a_name_with_a_registry_says_where_the_base_is() {
    for (name, expected) in [
        ("fedora:42", false),
        ("library/fedora", false),
        ("registry.example/fedora", true),
        ("localhost/a", true),
        ("host:5000/a", true),
    ] {
        assert_eq!(has_registry(name), expected, "{name}");
    }
}
