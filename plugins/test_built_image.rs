//! `test_built_image`: the image is tried before anybody gets it.
//!
//! Reads its arguments: `command` (a line for the shell, or a list) or `smoke` (a script of the context), `timeout`,
//! `user`, `network`. Runs that in the sandbox on files that are thrown away. Returns a finding that shuts the gate if
//! it fails. It fails the build itself only when the image cannot be tried.

use std::path::{Component, Path};
use std::time::Duration;

use build::{Trial, TrialCommand, TrialNetwork, Tried};
use pipeline::{
    Class, FAILED_TEST, Finding, Findings, Made, Plugin, PluginError, PostBuild, PostBuildView, Setup, Severity,
};
use sandbox::Exit;
use serde_json::{Map, Value};

/// Arguments of atomic-reactor's plugin, which ran Python tests of a repository, and what to do about each.
const THEIRS: [(&str, &str); 6] = [
    ("git_uri", "put the test into the build context and name it with `smoke`"),
    ("git_commit", "put the test into the build context and name it with `smoke`"),
    ("tests_git_path", "name a script of the build context with `smoke`"),
    ("results_dir", "what a test writes is shown in the log and then thrown away"),
    ("image_id", "it is the image of this build that is tried"),
    ("image", "it is the image of this build that is tried"),
];
/// The arguments there are.
const OURS: [&str; 5] = ["command", "smoke", "timeout", "user", "network"];
/// How long a test may take where nobody says.
const TIMEOUT: Duration = Duration::from_secs(600);
/// The longest time.
const LONGEST: u64 = 24 * 60 * 60;

#[derive(Debug)]
struct TestBuiltImage {
    trial: Trial,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PostBuild> {
    let Some(args) = setup.args else { return Ok(None) };
    refuse_unknown(args)?;
    let command = match (args.get("command"), setup.text("smoke")?) {
        (None | Some(Value::Null), None) => return Ok(None),
        (None | Some(Value::Null), Some(path)) => script(&path)?,
        (Some(command), None) => self::command(command)?,
        (Some(_), Some(_)) => return wrong("arguments command and smoke exclude each other"),
    };
    let network = match setup.text("network")?.as_deref() {
        None | Some("none") => TrialNetwork::None,
        Some("host") => TrialNetwork::Host,
        Some(other) => return wrong(format!("argument network is {other:?}; there are none and host")),
    };
    let timeout = Some(timeout(args.get("timeout"))?);
    let trial = Trial { command, user: setup.text("user")?, network, timeout };
    Ok(Some(Box::new(TestBuiltImage { trial })))
}

fn wrong<T>(text: impl Into<String>) -> Result<T, PluginError> {
    Err(PluginError::new(Class::Configuration, text))
}

fn refuse_unknown(args: &Map<String, Value>) -> Result<(), PluginError> {
    let Some(name) = args.keys().find(|name| !OURS.contains(&name.as_str())) else { return Ok(()) };
    let theirs = THEIRS.iter().find(|(known, _)| known == name);
    let error = PluginError::new(Class::Configuration, format!("there is no argument {name}"));
    Err(match theirs {
        Some((_, advice)) => error.help(*advice),
        None => error.help(format!("there are {}", OURS.join(", "))),
    })
}

fn command(value: &Value) -> Result<TrialCommand, PluginError> {
    let texts = |items: &Vec<Value>| items.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    let command = match value {
        Value::String(line) if !line.trim().is_empty() => Some(TrialCommand::Shell(line.clone())),
        Value::Array(items) if !items.is_empty() => {
            let argv: Option<Vec<String>> = texts(items);
            argv.map(TrialCommand::Exec)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    };
    match command {
        Some(command) => Ok(command),
        None => wrong(format!("argument command is {value}; it must be a line for the shell or a list of texts")),
    }
}

fn script(path: &str) -> Result<TrialCommand, PluginError> {
    let is_below = Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if path.is_empty() || !is_below {
        return wrong(format!("argument smoke is {path:?}; it must be the path of a file in the build context"));
    }
    Ok(TrialCommand::Script(path.into()))
}

/// A number of seconds, or one with `s`, `m` or `h`.
fn timeout(value: Option<&Value>) -> Result<Duration, PluginError> {
    let seconds = match value {
        None | Some(Value::Null) => return Ok(TIMEOUT),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => [("s", 1), ("m", 60), ("h", 3600)]
            .into_iter()
            .find_map(|(unit, factor)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(factor)),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
    };
    match seconds.filter(|seconds| (1..=LONGEST).contains(seconds)) {
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => {
            let found = value.unwrap_or(&Value::Null);
            wrong(format!("argument timeout is {found}; it must be seconds or such as 90s, 10m or 1h, up to a day"))
        }
    }
}

impl Plugin<PostBuild> for TestBuiltImage {
    fn needs_all_files(&self) -> bool {
        true
    }

    fn run(&self, view: &PostBuildView<'_>) -> Result<Findings, PluginError> {
        let tried = view.image.try_command(&self.trial)?;
        Ok(Findings { findings: decide(&self.trial, &tried).into_iter().collect(), ..Findings::default() })
    }
}

/// What there is to be said of a test that ended so.
fn decide(trial: &Trial, tried: &Tried) -> Option<Finding> {
    let how = match tried.exit {
        Exit::Code(0) => return None,
        Exit::Code(code) => format!("ended with status {code}"),
        Exit::Signal(signal) => format!("was killed by signal {signal}"),
        Exit::OutOfMemory => "was killed because there was no memory left".to_owned(),
        Exit::TimedOut => {
            format!("took longer than {} s", trial.timeout.unwrap_or(TIMEOUT).as_secs())
        }
        Exit::Cancelled => "was stopped".to_owned(),
    };
    let lines: Vec<&str> = tried.tail.lines().collect();
    let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
    let said = last.iter().map(|line| format!("\n    | {line}")).collect::<String>();
    let what = match &trial.command {
        TrialCommand::Exec(argv) => argv.join(" "),
        TrialCommand::Shell(line) => line.clone(),
        TrialCommand::Script(path) => path.display().to_string(),
    };
    Some(Finding {
        severity: Severity::Error,
        code: FAILED_TEST.to_owned(),
        subject: format!("test `{what}`"),
        message: format!("{how}{said}"),
    })
}

/// Lines of its output that the finding repeats.
const LAST_LINES: usize = 10;

#[cfg(test)]
mod tests {
    use pipeline::Wanted;
    use pipeline::site::Site;
    use serde_json::json;

    use super::*;

    fn made(args: Value) -> Result<Option<String>, (String, Option<String>)> {
        let Value::Object(args) = args else { panic!("{args}") };
        let (site, wanted) = (Site::default(), Wanted::default());
        let made = make(&Setup { site: &site, wanted: &wanted, args: Some(&args) });
        made.map(|plugin| plugin.map(|plugin| format!("{plugin:?}"))).map_err(|error| (error.text, error.help))
    }

    #[track_caller]
    fn check(args: Value, parts: &[&str]) {
        let shown = made(args).unwrap().unwrap();
        for part in parts {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn a_command_or_a_script_is_tried() {
        check(json!({"command": "a | b"}), &["Shell(\"a | b\")", "network: None", "timeout: Some(600s)", "user: None"]);
        check(
            json!({"command": ["a", "b"], "user": "1001", "network": "host", "timeout": "2m"}),
            &["Exec([\"a\", \"b\"])", "user: Some(\"1001\")", "network: Host", "timeout: Some(120s)"],
        );
        check(json!({"smoke": "tests/smoke.sh", "timeout": 5}), &["Script(\"tests/smoke.sh\")", "timeout: Some(5s)"]);
        assert_eq!(made(json!({})).unwrap(), None);
    }

    #[test]
    fn wrong_arguments_are_named_and_those_of_the_reference_have_advice() {
        let (text, help) = made(json!({"command": "a", "git_uri": "https://x.example"})).unwrap_err();
        assert_eq!(text, "there is no argument git_uri");
        assert_eq!(help.unwrap(), "put the test into the build context and name it with `smoke`");
        let (text, help) = made(json!({"comand": "a"})).unwrap_err();
        assert_eq!(
            (text.as_str(), help.unwrap().as_str()),
            ("there is no argument comand", "there are command, smoke, timeout, user, network",)
        );
        for (args, text) in [
            (json!({"command": "a", "smoke": "b"}), "arguments command and smoke exclude each other"),
            (json!({"command": []}), "argument command is []; it must be a line for the shell or a list of texts"),
            (
                json!({"smoke": "../x"}),
                "argument smoke is \"../x\"; it must be the path of a file in the build context",
            ),
            (json!({"smoke": "/x"}), "argument smoke is \"/x\"; it must be the path of a file in the build context"),
            (json!({"smoke": 5}), "argument smoke is 5; it must be a text"),
            (json!({"command": "a", "network": "bridge"}), "argument network is \"bridge\"; there are none and host"),
            (
                json!({"command": "a", "timeout": "soon"}),
                "argument timeout is \"soon\"; it must be seconds or such as 90s, 10m or 1h, up to a day",
            ),
        ] {
            assert_eq!(made(args).unwrap_err().0, text);
        }
    }

    #[test]
    fn a_test_that_fails_shuts_the_gate_with_its_last_lines() {
        let command = TrialCommand::Shell("check".to_owned());
        let trial = Trial { command, user: None, network: TrialNetwork::None, timeout: Some(Duration::from_secs(7)) };
        let tried = |exit, tail: &str| decide(&trial, &Tried { exit, tail: tail.to_owned() });
        assert_eq!(tried(Exit::Code(0), "fine"), None);
        let finding = tried(Exit::Code(3), "a\nb").unwrap();
        assert_eq!((finding.code.as_str(), finding.severity), ("test-failed", Severity::Error));
        assert_eq!(
            (finding.subject.as_str(), finding.message.as_str()),
            ("test `check`", "ended with status 3\n    | a\n    | b",)
        );
        assert_eq!(tried(Exit::TimedOut, "").unwrap().message, "took longer than 7 s");
    }
}
