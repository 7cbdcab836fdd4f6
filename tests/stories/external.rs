//! Plugins that are programs of the site's: good ones act, bad ones end the build in time and leave nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::builder::{Builder, as_everyone};
use crate::support::scratch::Person;
use crate::support::{program, repository};

const DOCKERFILE: &str = "FROM base\nLABEL vendor=\"Example\"\nRUN echo x > /x\n";

/// Writes a plugin of the site's; its folder is `plugins`.
fn plugin(builder: &Builder, name: &str, phase: &str, text: &str) {
    let key = name.split('.').next().unwrap();
    let header = json!({ "protocol": 1, "phase": phase, "text": format!("Is {key}.") });
    builder.scratch.write(&format!("plugins/{key}.json"), header.to_string());
    let path = builder.scratch.write(&format!("plugins/{name}"), text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
}

/// The examples of the repository, in the folder `plugins`.
fn examples(builder: &Builder) {
    for entry in fs::read_dir(repository().join("plugins/examples")).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let path = builder.scratch.write(&format!("plugins/{name}"), fs::read(entry.path()).unwrap());
        let mode = entry.metadata().unwrap().permissions().mode() & 0o755;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(path.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Writes a configuration with the lists `lists`; returns its path.
fn site(builder: &Builder, lists: &str) -> String {
    let text = format!("version: 1\nplugins:\n  directory: plugins\n  timeout: 2\n{lists}");
    builder.scratch.write("site.yaml", text);
    builder.scratch.at("site.yaml")
}

/// Whether the layout has an image; one that was begun is there and empty.
fn has_image(builder: &Builder) -> bool {
    let Ok(index) = fs::read(builder.scratch.path().join("image/index.json")) else { return false };
    let index: Value = serde_json::from_slice(&index).unwrap();
    index["manifests"].as_array().is_some_and(|manifests| !manifests.is_empty())
}

/// Whether a process has `word` among its arguments.
fn is_running(word: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
}

#[test]
fn the_example_in_python_adds_a_label_or_refuses() {
    if program("python3").is_none() {
        return;
    }
    as_everyone(|builder| {
        examples(builder);
        let record = builder.scratch.at("record.json");
        let with =
            "  prebuild: [{name: require_maintainer_label, timeout: 30, args: {default: 'Team <t@example.org>'}}]\n";
        let config = site(builder, with);
        builder.build_with(DOCKERFILE, &["--config", &config, "--record", &record]).expect(0);
        assert_eq!(builder.image().config["config"]["Labels"]["maintainer"], "Team <t@example.org>");
        let record: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
        let edit = &record["edits"][0];
        assert_eq!((&edit["plugin"], &edit["kind"]), (&json!("require_maintainer_label"), &json!("label")));
        assert_eq!(edit["reason"], "the image names no maintainer");
        let config = site(builder, "  prebuild: [{name: require_maintainer_label, timeout: 30}]\n");
        let outcome = builder.build_with(DOCKERFILE, &["--config", &config]).expect(3);
        outcome.says("error: plugin require_maintainer_label: the label maintainer is missing").says("help: add LABEL");
        let labelled = format!("{DOCKERFILE}LABEL maintainer=\"me\"\n");
        builder.build_with(&labelled, &["--config", &config]).expect(0);
    });
}

#[test]
fn the_example_in_shell_shuts_the_gate() {
    as_everyone(|builder| {
        examples(builder);
        let gate = |forbidden: &str| {
            let entry = format!("{{name: license_check, timeout: 30, args: {{forbidden: '{forbidden}'}}}}");
            let config = site(builder, &format!("  postbuild: [{entry}]\n"));
            builder.build_with(DOCKERFILE, &["--config", &config])
        };
        gate("NoSuchLicence").expect(0);
        gate("^[A-Z]").expect(5).says("is under ").says("the image was not published");
        assert!(!has_image(builder), "an image was written");
        gate("").expect(2).says("plugin license_check: the argument forbidden is missing");
    });
}

#[test]
fn programs_are_listed_with_the_plugins_of_their_phase() {
    let builder = Builder::new(Person::Me).unwrap();
    examples(&builder);
    let config = site(&builder, "  postbuild: [{name: license_check, args: {forbidden: x}}]\n");
    let listed = builder.scratch.stratum(&["plugins", "--config", &config]).run().expect(0).stdout;
    let (before, after) = listed.split_once("post-build:\n").unwrap();
    assert!(before.contains("  require_maintainer_label\n      Refuses an image that nobody maintains"), "{listed}");
    assert!(after.starts_with("* license_check\n      Refuses an image with a package under a licence"), "{listed}");
}

#[test]
fn no_plugin_of_this_program_is_replaced_and_none_that_others_wrote_is_run() {
    let builder = Builder::new(Person::Me).unwrap();
    plugin(&builder, "tag_and_push.sh", "publish", "#!/bin/sh\n");
    let config = site(&builder, "");
    let outcome = builder.build_with(DOCKERFILE, &["--config", &config]).expect(2);
    outcome.says("plugins/tag_and_push.sh: a plugin tag_and_push comes with this program and is not replaced");
    fs::remove_file(builder.scratch.at("plugins/tag_and_push.sh")).unwrap();
    plugin(&builder, "mine", "exit", "#!/bin/sh\necho '{\"done\":true}'\n");
    let config = site(&builder, "  exit: [{name: mine}]\n");
    builder.build_with(DOCKERFILE, &["--config", &config]).expect(0);
    fs::set_permissions(builder.scratch.at("plugins/mine"), fs::Permissions::from_mode(0o777)).unwrap();
    builder.build_with(DOCKERFILE, &["--config", &config]).expect(2).says("plugins/mine: anybody may write to it");
}

/// A script, the phase it acts in, the exit code and what the log says.
fn hostile(marker: &str) -> [(&'static str, String, i32, &'static str); 9] {
    let done = r#"echo '{"done":true}'"#;
    let file =
        |path: &str| format!(r#"echo '{{"edit":{{"file":{{"path":"{path}","content":""}},"reason":"r"}}}}'; {done}"#);
    [
        ("pre-build", format!("trap '' TERM; while :; do sleep {marker}; done"), 8, "it had 2 s and was killed"),
        (
            "post-build",
            "yes '{\"log\":{\"level\":\"debug\",\"text\":\"x\"}}'".to_owned(),
            2,
            "it wrote more than 10000 messages",
        ),
        ("pre-build", "yes >&2".to_owned(), 2, "lines on standard error"),
        ("pre-build", format!("sleep {marker} & exit 0"), 2, "it ended with status 0 before it said done"),
        ("post-build", format!("setsid sleep {marker} & kill -9 $$"), 2, "it was killed by signal 9"),
        ("source", "echo garbage".to_owned(), 2, "no message: not a JSON object: `garbage`"),
        ("pre-build", file("/../../etc/passwd"), 2, "is no path of a file in the image: it must go straight down"),
        ("pre-build", file("etc/passwd"), 2, "it must be absolute"),
        ("publish", r#"echo '{"order":"push"}'"#.to_owned(), 2, "unknown field `order`"),
    ]
}

#[test]
fn a_hostile_program_ends_the_build_in_time_and_leaves_nothing() {
    for person in [Person::Me, Person::Plain] {
        let builder = Builder::new(person).unwrap();
        let marker = format!("{}.5", 7000 + std::process::id());
        for (phase, script, code, text) in hostile(&marker) {
            plugin(&builder, "hostile", phase, &format!("#!/bin/sh\n{script}\n"));
            // Whichever list names it, it acts in its own phase.
            let config = site(&builder, "  source: [{name: hostile}]\n");
            let began = Instant::now();
            let outcome = builder.build_with(DOCKERFILE, &["--config", &config]).expect(code);
            outcome.says("error: plugin hostile: ").says(text);
            assert!(began.elapsed() < Duration::from_secs(60), "{script}: it took {:?}", began.elapsed());
            assert!(!is_running(&marker), "{script}: something is left");
            assert!(!has_image(&builder), "{script}: an image was written");
        }
    }
}

#[test]
fn one_that_may_fail_leaves_a_warning_and_changes_nothing() {
    let builder = Builder::new(Person::Me).unwrap();
    let script = r#"echo '{"edit":{"labels":{"a":"b"},"reason":"r"}}'; exit 7"#;
    plugin(&builder, "weak", "pre-build", &format!("#!/bin/sh\n{script}\n"));
    let config = site(&builder, "  prebuild: [{name: weak, is_allowed_to_fail: true}]\n");
    let record = builder.scratch.at("record.json");
    builder.build_with(DOCKERFILE, &["--config", &config, "--record", &record]).expect(0);
    assert_eq!(builder.image().config["config"]["Labels"].get("a"), None);
    let record: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    let warning = record["warnings"][0].as_str().unwrap();
    assert!(
        warning.starts_with("plugin weak failed, which it may: in phase pre-build, it ended with status 7"),
        "{warning}"
    );
}

#[test]
fn where_the_builder_has_namespaces_a_program_writes_to_its_own_directory_only() {
    as_everyone(|builder| {
        let (store, plugins) = (builder.scratch.at("store"), builder.scratch.at("plugins"));
        let script = format!(
            "#!/bin/sh\nfor place in {store}/* {plugins} /tmp /var/tmp; do touch $place/was-here 2>/dev/null && exit 9; done\n\
             touch mine || exit 8\ngrep -q 'CapEff:.0000000000000000' /proc/self/status || exit 7\necho '{{\"done\":true}}'\n"
        );
        for phase in ["pre-build", "post-build", "exit"] {
            plugin(builder, "writer", phase, &script);
            let config = site(builder, "  prebuild: [{name: writer, timeout: 30}]\n");
            builder.build_with(DOCKERFILE, &["--config", &config]).expect(0);
        }
    });
}

#[test]
fn sigterm_ends_a_program_at_once_and_the_exit_phase_is_run() {
    let builder = Builder::new(Person::Me).unwrap();
    let marker = format!("{}.75", 7000 + std::process::id());
    let said = builder.scratch.at("said");
    let listener = UnixListener::bind(&said).unwrap();
    plugin(&builder, "slow", "pre-build", &format!("#!/bin/sh\necho started >&2; sleep {marker}\n"));
    if program("python3").is_none() {
        return;
    }
    let last = "#!/usr/bin/env python3\nimport json, socket, sys\nfirst = json.loads(sys.stdin.readline())\n\
        s = socket.socket(socket.AF_UNIX)\ns.connect(first['args']['to'])\n\
        s.sendall(first['record']['result']['status'].encode() + b'\\n')\ns.close()\nprint('{\"done\":true}')\n";
    plugin(&builder, "last.py", "exit", last);
    let lists = format!(
        "  prebuild: [{{name: slow, timeout: 200}}]\n  exit: [{{name: last, timeout: 30, args: {{to: {said}}}}}]\n"
    );
    let config = site(&builder, &lists);
    let context = builder.scratch.context("context", DOCKERFILE);
    let arguments = ["--verbose", "build", "--build-context", &builder.base, "--config", &config, &context];
    let mut running = builder.scratch.stratum(&arguments).start();
    running.until("started");
    running.signal("TERM");
    running.wait().expect(8).says("plugin slow: in phase pre-build, it was killed because the build is to stop");
    let mut line = String::new();
    BufReader::new(listener.accept().unwrap().0).read_line(&mut line).unwrap();
    assert_eq!(line, "cancelled\n");
    assert!(!is_running(&marker), "something is left");
}

/// Sends all that it hears and says to a socket, a line each with its direction.
const WITNESS: &str = r#"#!/usr/bin/env python3
import base64, json, socket, sys
first = sys.stdin.readline()
start = json.loads(first)
witness = socket.socket(socket.AF_UNIX)
witness.connect(start["args"]["to"])
def told(direction, line):
    witness.sendall((direction + line.strip() + "\n").encode())
def say(message):
    line = json.dumps(message)
    told("<", line)
    print(line, flush=True)
def ask(question):
    say(question)
    told(">", sys.stdin.readline())
told(">", first)
phase = start["phase"]
say({"log": {"level": "info", "text": phase}})
if phase in ("source", "pre-build", "post-build"):
    say({"fact": {"name": "x-" + phase, "value": {"a": [1, None]}}})
if phase == "pre-build":
    ask({"get": "labels"})
    ask({"get": "context_file", "path": "Dockerfile"})
    ask({"get": "context_file", "path": "none"})
    ask({"get": "context_file", "path": "../Dockerfile"})
    text = base64.b64encode(b"hello\n").decode()
    say({"edit": {"labels": {"a": "b"}, "reason": "r"}})
    say({"edit": {"arguments": ["A_B"], "reason": "r"}})
    repository = base64.b64encode(b"[x]\nname=x\nbaseurl=http://127.0.0.1:1/\nenabled=0\n").decode()
    say({"edit": {"repository": {"name": "x.repo", "content": repository}, "reason": "r"}})
    say({"edit": {"file": {"path": "/etc/hello", "content": text, "mode": "0600"}, "reason": "r"}})
    say({"edit": {"from": {"stage": 0, "image": "base"}, "reason": "r"}})
if phase == "post-build":
    ask({"get": "labels"})
    ask({"get": "packages"})
    say({"finding": {"severity": "warning", "code": "seen", "subject": "it", "message": "was seen"}})
if phase == "exit":
    say({"error": {"class": "remote", "text": "nobody is there", "help": "call later"}})
else:
    say({"done": True})
"#;

#[test]
fn what_is_said_in_every_phase_fits_the_schema() {
    if program("python3").is_none() {
        return;
    }
    let builder = Builder::new(Person::Me).unwrap();
    let to = builder.scratch.at("witness");
    let listener = UnixListener::bind(&to).unwrap();
    let mut lists = String::new();
    for (list, phase) in [
        ("source", "source"),
        ("prebuild", "pre-build"),
        ("postbuild", "post-build"),
        ("publish", "publish"),
        ("exit", "exit"),
    ] {
        plugin(&builder, &format!("w_{list}.py"), phase, WITNESS);
        lists.push_str(&format!("  {list}: [{{name: w_{list}, timeout: 30, args: {{to: {to}}}}}]\n"));
    }
    let heard = std::thread::spawn(move || {
        let connections = (0..5).map(|_| BufReader::new(listener.accept().unwrap().0).lines().map(Result::unwrap));
        connections.map(Iterator::collect::<Vec<String>>).collect::<Vec<_>>()
    });
    let config = site(&builder, &lists);
    let outcome = builder.build_with(DOCKERFILE, &["--config", &config]).expect(7);
    outcome.says("plugin w_exit: nobody is there").says("call later");
    let image = builder.image();
    assert_eq!(image.top_layer().text("etc/hello"), "hello\n");
    assert!(!image.top_layer().names().iter().any(|name| name.ends_with("x.repo")));
    let heard = heard.join().unwrap();
    let (said, told): (Vec<&String>, Vec<&String>) = heard.iter().flatten().partition(|line| line.starts_with('<'));
    assert_eq!((said.len(), told.len()), (25, 11), "{heard:#?}");
    check(&said, "message");
    let (first, answers): (Vec<&String>, Vec<&String>) =
        told.into_iter().partition(|line| line.contains("\"protocol\""));
    check(&first, "first");
    check(&answers, "answer");
    assert!(heard[4][0].contains("\"x-pre-build\":{\"a\":[1,null]}"), "facts do not reach the last phase");
}

/// Every line is what the schema calls `definition`.
#[track_caller]
fn check(lines: &[&String], definition: &str) {
    let schema = repository().join("docs/plugin-protocol.schema.json");
    let place = format!("{}#/$defs/{definition}", schema.display());
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let index = compiler.compile(&place, &mut schemas).unwrap();
    for line in lines {
        let message: Value = serde_json::from_str(line.trim_start_matches(['<', '>'])).unwrap();
        if let Err(error) = schemas.validate(&message, index) {
            panic!("{line}\nis no {definition}: {error:#}");
        }
    }
}

#[test]
fn headers_of_the_examples_fit_the_schema() {
    for entry in fs::read_dir(repository().join("plugins/examples")).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "json") {
            check(&[&format!("<{}", fs::read_to_string(entry.path()).unwrap())], "header");
        }
    }
}

#[test]
fn an_image_is_tried_before_it_has_a_name() {
    as_everyone(|builder| {
        let dockerfile = "FROM base\nENV A=b\nRUN echo x > /x\nWORKDIR /work\nUSER 1234\n";
        let tried = |args: &str| {
            builder.scratch.write("context/tests/smoke.sh", "test \"$(cat /x)\" = x && echo smoked >&2 && rm -f /x\n");
            let config = site(builder, &format!("  postbuild: [{{name: test_built_image, args: {{{args}}}}}]\n"));
            builder.build_with(dockerfile, &["--config", &config, "--source-date-epoch", "1700000000"])
        };
        fs::create_dir_all(builder.scratch.at("plugins")).unwrap();
        fs::set_permissions(builder.scratch.at("plugins"), fs::Permissions::from_mode(0o755)).unwrap();
        let plain = tried("command: 'true'").expect(0).digest();
        let seen = "command: 'test \"$A $PWD\" = \"b /work\" && test ! -e /sys/class/net/eth0 && echo fine'";
        assert_eq!(tried(seen).expect(0).says("| fine").digest(), plain);
        assert_eq!(tried("smoke: tests/smoke.sh, user: root").expect(0).says("| smoked").digest(), plain);
        let names = builder.image().top_layer().names();
        assert_eq!(names, ["work", "x"], "the test left something in the image");
        let failed = tried("command: [sh, -c, 'echo it broke; exit 3']").expect(4);
        failed
            .says("error: the image was not published: test `sh -c echo it broke; exit 3`: ended with status 3")
            .says("| it broke");
        assert!(!has_image(builder), "an image was written");
        tried("command: 'sleep 100', timeout: 1").expect(4).says("took longer than 1 s");
        tried("command: [/no/such]").expect(4).says("/no/such: cannot be executed in the image");
        tried("smoke: none.sh").expect(3).says("none.sh");
        tried("git_uri: x").expect(2).says("plugin test_built_image: there is no argument git_uri");
        tried("command: x, network: host")
            .expect(5)
            .says("steps of this build have no access to the machine's network");
    });
}
