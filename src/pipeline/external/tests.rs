//! Conversations with programs, good ones and such as want to do harm.

use std::fs;
use std::time::Instant;

use serde_json::json;

use super::*;
use crate::{Edit, Reasoned, Severity};

/// Far more than a program here takes.
const LONG: Duration = Duration::from_secs(30);
/// For programs that take for ever.
const SHORT: Duration = Duration::from_millis(700);

struct Place {
    folder: tempfile::TempDir,
    launch: Arc<OnceLock<Launch>>,
    cancel: Cancel,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let threads = Arc::new(rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap());
        let cancel = Cancel::new().unwrap();
        let launch = Arc::new(OnceLock::new());
        launch.set(Launch::new(cancel.clone(), threads, folder.path().join("plugins"))).unwrap();
        Self { folder, launch, cancel }
    }

    fn external(&self, script: &str, timeout: Duration) -> External {
        let program = self.folder.path().join("program");
        // Another process writes it: a child that another test starts meanwhile would hold our descriptor for a moment,
        // and a file that is open for writing cannot be executed.
        let text = self.folder.path().join("text");
        fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        let installed = std::process::Command::new("install").args(["-m", "755"]).args([&text, &program]).status();
        assert!(installed.unwrap().success());
        External {
            key: "it".into(),
            program,
            timeout,
            args: Map::new(),
            task: Task::default(),
            launch: Arc::clone(&self.launch),
        }
    }

    fn talk(&self, phase: PhaseName, script: &str, timeout: Duration) -> Result<converse::Answers, PluginError> {
        let mut replies = |wanted: &message::Wanted| match wanted {
            message::Wanted::Labels => Some(Ok(json!({ "a": "x".repeat(100_000) }))),
            message::Wanted::ContextFile(path) if path == "no" => {
                Some(Err(PluginError::new(Class::Source, "no: is a directory")))
            }
            message::Wanted::ContextFile(path) => Some(Ok(json!(path))),
            message::Wanted::Packages => None,
        };
        let first = json!({ "protocol": PROTOCOL, "padding": "x".repeat(200_000) });
        converse::converse(&self.external(script, timeout), phase, first, &mut replies)
    }
}

fn heard(phase: PhaseName, script: &str) -> converse::Answers {
    Place::new().talk(phase, script, LONG).unwrap()
}

#[track_caller]
fn check_refused(script: &str, class: Class, text: &str) {
    check_refused_within(SHORT, script, class, text);
}

#[track_caller]
fn check_refused_within(timeout: Duration, script: &str, class: Class, text: &str) {
    let place = Place::new();
    let began = Instant::now();
    let error = place.talk(PhaseName::PreBuild, script, timeout).unwrap_err();
    assert!(error.class == class && error.text.contains(text), "{script}\n{error:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{script}: it took {:?}", began.elapsed());
    assert!(fs::read_dir(place.folder.path().join("plugins")).unwrap().next().is_none(), "{script}: its folder stays");
}

const DONE: &str = r#"echo '{"done":true}'"#;

#[test]
fn a_conversation_gives_what_the_phase_can_take() {
    let script = r#"read -r first
case $first in *'"deadline_seconds":30.0'*) ;; *) exit 9 ;; esac
echo '{"get":"context_file","path":"a b"}'; read -r answer
[ "$answer" = '{"get":"context_file","value":"a b"}' ] || exit 8
echo '{"get":"context_file","path":"no"}'; read -r answer
[ "$answer" = '{"error":"no: is a directory","get":"context_file"}' ] || exit 7
echo '{"log":{"level":"warning","text":"mind \u001b[1m this"}}'
echo; echo '{"edit":{"labels":{"a":"b"},"reason":"so"}}'
printf '{"fact":{"name":"x-a","value":[1]}}\r\n{"done":true}'"#;
    let answers = heard(PhaseName::PreBuild, script);
    let edit = Edit::Labels(vec![("a".to_owned(), "b".to_owned())]);
    assert_eq!(answers.edits, [Reasoned { edit, reason: "so".to_owned() }]);
    assert_eq!(answers.warnings, ["mind  [1m this"]);
    assert!(
        matches!(&answers.facts[..], [crate::Fact::External { name, value }] if name == "x-a" && *value == json!([1]))
    );
    let finding = r#"echo '{"finding":{"severity":"warning","code":"a-b","subject":"s","message":"m"}}'"#;
    let answers = heard(PhaseName::PostBuild, &format!("{finding}; {DONE}"));
    assert_eq!(answers.findings[0].severity, Severity::Warning);
    for phase in [PhaseName::Source, PhaseName::PostBuild, PhaseName::Publish] {
        let warning = r#"echo '{"log":{"level":"warning","text":"mind this"}}'"#;
        assert_eq!(heard(phase, &format!("{warning}; {DONE}")).warnings, ["mind this"]);
    }
}

#[test]
fn its_environment_is_bare_and_its_directory_its_own() {
    let script = format!(
        r#"test -z "$(ls -A)" && test "$(pwd)" = "$HOME" && test "$TMPDIR" = "$HOME" && echo x > file || exit 9
        test "$(env | grep -v -E '^(PATH|LANG|HOME|TMPDIR|PWD|OLDPWD|SHLVL|_|STRATUM_PLUGIN_PROTOCOL=1)' | wc -l)" = 0 || exit 8
        {DONE}"#
    );
    heard(PhaseName::Source, &script);
}

#[test]
fn one_that_hangs_has_its_time_and_no_more() {
    check_refused("sleep 1000", Class::Cancelled, "it had 0.7 s and was killed");
    check_refused("trap '' TERM; while :; do sleep 1; done", Class::Cancelled, "was killed");
    check_refused("kill -STOP $$", Class::Cancelled, "was killed");
    check_refused(&format!("{DONE}; sleep 1000"), Class::Configuration, "it said done, but did not end within 0.7 s");
    // It asks and asks, and reads no answer.
    check_refused("yes '{\"get\":\"labels\"}'", Class::Cancelled, "was killed");
}

#[test]
fn one_that_ends_without_done_says_how() {
    check_refused("exit 0", Class::Configuration, "it ended with status 0 before it said done");
    check_refused(
        "echo why >&2; exit 3",
        Class::Configuration,
        "status 3 before it said done\n  its last lines on standard error were:\n  | why",
    );
    check_refused("kill -SEGV $$", Class::Configuration, "it was killed by signal 11 before it said done");
    check_refused(&format!("{DONE}; exit 3"), Class::Configuration, "it said done and then ended with status 3");
    check_refused(
        &format!("{DONE}; kill -KILL $$"),
        Class::Configuration,
        "it said done and then was killed by signal 9",
    );
    check_refused("exec >&-; sleep 1000", Class::Configuration, "it closed its standard output before it said done");
}

#[test]
fn one_that_talks_after_done_or_nonsense_is_told_with_the_line() {
    check_refused(
        &format!("{DONE}; echo more"),
        Class::Configuration,
        "it wrote something after it had said done: `more`",
    );
    check_refused("echo hello", Class::Configuration, "it wrote a line that is no message: not a JSON object: `hello`");
    check_refused("echo '{\"push\":true}'", Class::Configuration, "unknown field `push`");
    check_refused("printf '\\377\\n'", Class::Configuration, "it wrote a line that is not UTF-8");
    check_refused_within(LONG, "yes garbage", Class::Configuration, "no message");
    check_refused_within(LONG, "cat /dev/zero", Class::Configuration, "it wrote a line longer than 8 MiB");
}

#[test]
fn floods_have_an_end() {
    let log = "yes '{\"log\":{\"level\":\"debug\",\"text\":\"x\"}}'";
    check_refused_within(LONG, log, Class::Configuration, "it wrote more than 10000 messages");
    check_refused_within(LONG, "yes >&2", Class::Configuration, "it wrote more than 100000 lines on standard error");
    let long = "yes \"$(head -c 400 /dev/zero | tr '\\0' x)\" >&2";
    check_refused_within(LONG, long, Class::Configuration, "it wrote more than 4194304 bytes on standard error");
}

#[test]
fn facts_are_few_and_each_is_stated_once() {
    let fact = r#"{"fact":{"name":"x-a","value":1}}"#;
    check_refused(
        &format!("echo '{fact}'; echo '{fact}'; {DONE}"),
        Class::Configuration,
        "it states the fact x-a twice",
    );
    let large = r#"{ printf '{"fact":{"name":"x-a","value":['; yes 0, | head -c 6000000 | tr -d '\n'; echo '0]}}'; }"#;
    check_refused_within(LONG, large, Class::Configuration, "it wrote more than 2097152 bytes of facts");
}

#[test]
fn what_it_leaves_running_keeps_nobody_waiting() {
    let began = Instant::now();
    heard(PhaseName::PreBuild, &format!("sleep 1000 & setsid sleep 1000 & {DONE}"));
    check_refused("sleep 1000 & exit 0", Class::Configuration, "it ended with status 0 before it said done");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_phase_has_its_own_messages() {
    let said = |phase, line: &str| Place::new().talk(phase, &format!("echo '{line}'"), LONG).unwrap_err().text;
    let edit = r#"{"edit":{"arguments":["A"],"reason":"r"}}"#;
    assert_eq!(said(PhaseName::PostBuild, edit), "in phase post-build, there is no message edit");
    let finding = r#"{"finding":{"severity":"error","code":"a","subject":"s","message":"m"}}"#;
    assert_eq!(said(PhaseName::Exit, finding), "in phase exit, there is no message finding");
    let packages = r#"{"get":"packages"}"#;
    assert_eq!(said(PhaseName::PreBuild, packages), "in phase pre-build, there is no message get packages");
    let fact = r#"{"fact":{"name":"x-a","value":1}}"#;
    assert_eq!(said(PhaseName::Publish, fact), "in phase publish, there is no message fact");
}

#[test]
fn its_own_failure_is_the_builds() {
    let line = r#"{"error":{"class":"refused","text":"not\u0007 so","help":"do this"}}"#;
    let error = Place::new().talk(PhaseName::Exit, &format!("echo '{line}'; exit 1"), LONG).unwrap_err();
    assert_eq!(error, PluginError::new(Class::Refused, "not  so").help("do this"));
}

#[test]
fn a_build_that_is_to_stop_stops_it_but_for_the_last_phase() {
    let place = Place::new();
    place.cancel.set().unwrap();
    let error = place.talk(PhaseName::PostBuild, "sleep 1000", LONG).unwrap_err();
    let text = "in phase post-build, it was killed because the build is to stop";
    assert_eq!((error.class, error.text.as_str()), (Class::Cancelled, text));
    place.talk(PhaseName::Exit, DONE, LONG).unwrap();
    let late = place.external("", LONG).time(PhaseName::Exit, &place.cancel);
    assert_eq!(late, CANCELLED_TIMEOUT);
}

#[test]
fn what_cannot_be_executed_is_named() {
    let place = Place::new();
    let mut external = place.external("", LONG);
    fs::write(&external.program, "#!/no/such/interpreter\n").unwrap();
    let first = || json!({});
    let error = converse::converse(&external, PhaseName::Exit, first(), &mut answer::nothing).unwrap_err();
    assert!(error.text.ends_with("/program: cannot be executed: No such file or directory (os error 2)"), "{error}");
    external.launch = Arc::default();
    let error = converse::converse(&external, PhaseName::Exit, first(), &mut answer::nothing).unwrap_err();
    assert_eq!((error.class, error.text.as_str()), (Class::Bug, "nobody said how programs are started"));
}

/// What an example of the repository says; none where its interpreter is absent.
fn example(name: &str, phase: PhaseName, args: Value) -> Option<Result<converse::Answers, PluginError>> {
    if name.ends_with(".py")
        && !["/usr/bin/python3", "/usr/local/bin/python3"].iter().any(|path| Path::new(path).exists())
    {
        eprintln!("skipped: python3 is not installed");
        return None;
    }
    let place = Place::new();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/examples").join(name);
    let external = External { program: program.canonicalize().unwrap(), ..place.external("", LONG) };
    let first = json!({ "protocol": PROTOCOL, "args": args, "site": { "forbidden": "MIT", "default": "nobody" } });
    let packages = json!([
        { "license": "GPL-2.0-only AND MIT", "nevra": "a-1-1.noarch", "verdict": "good" },
        { "license": null, "nevra": "b-1-1.noarch", "verdict": "good" },
        { "license": "Weird \"quoted\" Licence", "nevra": "c-1-1.noarch", "verdict": "good" },
    ]);
    let mut replies = |wanted: &message::Wanted| match wanted {
        message::Wanted::Labels => Some(Ok(json!({ "maintainer": " " }))),
        message::Wanted::Packages => Some(Ok(packages.clone())),
        message::Wanted::ContextFile(_) => None,
    };
    Some(converse::converse(&external, phase, first, &mut replies))
}

#[test]
fn the_example_in_python_asks_for_the_labels() {
    let name = "require_maintainer_label.py";
    let Some(answers) = example(name, PhaseName::PreBuild, json!({ "default": "me" })) else { return };
    let edit = Edit::Labels(vec![("maintainer".to_owned(), "me".to_owned())]);
    assert_eq!(answers.unwrap().edits, [Reasoned { edit, reason: "the image names no maintainer".to_owned() }]);
    let Some(refused) = example(name, PhaseName::PreBuild, json!({})) else { return };
    let error = refused.unwrap_err();
    assert_eq!((error.class, error.text.as_str()), (Class::Source, "the label maintainer is missing"));
}

#[test]
fn the_example_in_shell_asks_for_the_packages() {
    let found = |forbidden: &str| {
        let answers = example("license_check.sh", PhaseName::PostBuild, json!({ "forbidden": forbidden })).unwrap();
        let findings = answers.unwrap().findings.into_iter();
        findings.map(|finding| format!("{} {}", finding.subject, finding.message)).collect::<Vec<_>>()
    };
    assert_eq!(found("MIT|Apache"), ["a-1-1.noarch is under GPL-2.0-only AND MIT"]);
    assert_eq!(found("Weird"), ["c-1-1.noarch is under Weird \"quoted\" Licence"]);
    assert_eq!(found("Apache"), [""; 0]);
    let refused = example("license_check.sh", PhaseName::PostBuild, json!({})).unwrap().unwrap_err();
    assert!(refused.text.starts_with("the argument forbidden is missing"), "{refused}");
}
