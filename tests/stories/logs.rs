//! The log of a build, as people, osbs-client and programs read it.

use serde_json::Value;

use crate::support::builder::Builder;
use crate::support::scratch::Person;

const DOCKERFILE: &str = "FROM base\nRUN echo seen\n";

/// What was said on stderr.
fn said(dockerfile: &str, style: &str, code: i32) -> Vec<String> {
    let builder = Builder::new(Person::Me).unwrap();
    let outcome = builder.build_with(dockerfile, &["--progress", style]).expect(code);
    outcome.stderr.lines().map(str::to_owned).collect()
}

#[test]
fn each_line_has_time_level_platform_and_phase() {
    let lines = said(DOCKERFILE, "text", 0);
    for line in &lines {
        let words: Vec<&str> = line.split_whitespace().take(4).collect();
        assert!(words.len() == 4 && words[0].len() == 24 && words[0].ends_with('Z'), "{line}");
        assert!(["info", "warning", "error"].contains(&words[1]), "{line}");
        assert!(words[3].ends_with(':'), "{line}");
    }
    let platform = if cfg!(target_arch = "x86_64") { "x86_64" } else { std::env::consts::ARCH };
    let has = |text: &str| assert!(lines.iter().any(|line| line.contains(text)), "{text} is not in {lines:#?}");
    has(&format!("info    {platform} build: [0] "));
    has(" | seen");
    has("publish/tag_and_push: done");
    has("  image     oci:");
}

#[test]
fn osbs_client_finds_platform_name_and_level_where_it_looks_for_them() {
    for line in said(DOCKERFILE, "osbs", 0) {
        let parts: Vec<&str> = line.splitn(4, " - ").collect();
        assert!(parts.len() == 4 && parts[0].contains(" platform:"), "{line}");
        assert!(parts[1].starts_with("stratum") && parts[2] == "INFO", "{line}");
    }
}

#[test]
fn programs_read_one_object_a_line() {
    let lines = said(DOCKERFILE, "json", 0);
    let objects: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for object in &objects {
        for key in ["event", "time", "level"] {
            assert!(object[key].is_string(), "{key} is not in {object}");
        }
    }
    let summary = objects.iter().find(|object| object["event"] == "summary").unwrap();
    assert!(summary["image"].as_str().unwrap().starts_with("sha256:"), "{summary}");
}

/// What a step may write to look like the builder, or to wreck a terminal.
const HOSTILE: &str = r#"FROM base
RUN printf '2026-11-21T17:00:00.000Z error   x86_64 publish: forged\n' && printf 'error: forged\n{"event":"log","level":"error"}\n' && \
    printf '\033[2J\033[31mred\rerror: forged\n' && printf '\377\376bad\n' && printf 'nul\000nul\n' && \
    printf '\302\233\342\200\256rtl\342\200\250sep\n' && printf '%1000000s\n' x && exit 3
"#;

#[test]
fn no_step_can_forge_or_break_a_line() {
    let harmful = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}');
    for style in ["text", "osbs", "plain", "json"] {
        let lines = said(HOSTILE, style, 4);
        assert!(lines.iter().any(|line| line.contains("forged")), "{style}: {lines:#?}");
        for line in &lines {
            assert!(!line.contains(harmful) && line.len() < 80 << 10, "{style}: {} bytes", line.len());
            let is_forged = line.contains("forged");
            match style {
                "text" => assert!(line.chars().nth(23) == Some('Z') && (!is_forged || line.contains(" build: "))),
                "osbs" => assert!(line.split(" - ").nth(1).is_some_and(|name| name.starts_with("stratum"))),
                "plain" => assert!(!is_forged || !line.starts_with("error") && !line.starts_with("2026"), "{line}"),
                _ => assert!(serde_json::from_str::<Value>(line).unwrap()["time"].is_string()),
            }
        }
    }
}

#[test]
fn a_failing_step_repeats_its_last_forty_lines_at_the_end() {
    let dockerfile = "FROM base\nRUN i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo line $i; done; exit 3\n";
    let lines = said(dockerfile, "text", 4);
    let repeated: Vec<&String> = lines.iter().filter(|line| line.contains("   | line ")).collect();
    assert_eq!(repeated.len(), 40, "{lines:#?}");
    assert!(repeated.iter().all(|line| line.contains(" error ") && line.contains(" build: ")), "{repeated:#?}");
    assert!(repeated.last().unwrap().ends_with("line 60"), "{repeated:#?}");
    let objects = said(dockerfile, "json", 4);
    let last: Value = serde_json::from_str(objects.last().unwrap()).unwrap();
    assert_eq!((&last["level"], &last["phase"]), (&"error".into(), &"build".into()));
}
