//! Programs of a shell: what they see, and that nothing of them stays.

use super::*;

const LONG: Duration = Duration::from_secs(20);

struct Place {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Place {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir_in("/var/tmp").unwrap();
        let program = folder.path().join("program");
        // Another process writes it: a child that another test starts meanwhile would hold our descriptor for a moment,
        // and a file that is open for writing cannot be executed.
        let text = folder.path().join("text");
        std::fs::write(&text, format!("#!/bin/sh\n{script}\n")).unwrap();
        let installed = std::process::Command::new("install").args(["-m", "755"]).args([&text, &program]).status();
        assert!(installed.unwrap().success());
        std::fs::create_dir(folder.path().join("own")).unwrap();
        Self { folder, program }
    }

    fn start(&self, confinement: Confinement) -> Result<Tool, ToolError> {
        let environment = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        let directory = self.folder.path().join("own");
        let start = ToolStart { program: &self.program, environment: &environment, directory: &directory };
        Tool::start_in(&start, confinement)
    }

    /// In each confinement that is possible here, one after the other.
    fn everywhere(&self) -> impl Iterator<Item = Tool> {
        let all = [Confinement::Namespace, Confinement::Session];
        all.into_iter().filter_map(|confinement| self.start(confinement).ok())
    }
}

/// What it writes, with `told` on its standard input, until it has ended.
fn talk(mut tool: Tool, told: &str) -> (String, String, ToolExit) {
    let (mut out, mut err, mut left) = (Vec::new(), Vec::new(), told.as_bytes());
    let until = Instant::now() + LONG;
    while tool.exit().is_none() || !tool.is_silent() {
        assert!(Instant::now() < until, "it hangs");
        let turn = tool.turn(&Ask { outgoing: left, reads: true, limit: LONG, cancel: None }).unwrap();
        left = &left[turn.written..];
        if left.is_empty() {
            tool.hang_up();
        }
        out.extend(turn.stdout);
        err.extend(turn.stderr);
    }
    let exit = tool.exit().unwrap();
    tool.stop(LONG).unwrap();
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), exit)
}

#[test]
fn it_hears_and_is_heard() {
    let place = Place::new("read line; echo \"out $line $*\"; echo err >&2; exit 3");
    for tool in place.everywhere() {
        assert_eq!(talk(tool, "hello\n"), ("out hello \n".to_owned(), "err\n".to_owned(), ToolExit::Code(3)));
    }
}

#[test]
fn it_has_no_capability_no_descriptor_and_a_bare_environment() {
    let script = "grep -E '^(CapPrm|CapEff|CapAmb|NoNewPrivs)' /proc/self/status | tr -d '\\t'; env | grep -v -E '^(_|PWD|SHLVL|OLDPWD)='; \
        ls /proc/self/fd | tr '\\n' ' '";
    let none =
        "CapPrm:0000000000000000\nCapEff:0000000000000000\nCapAmb:0000000000000000\nNoNewPrivs:1\nPATH=/usr/bin:/bin\n";
    for tool in Place::new(script).everywhere() {
        // The last is the directory that is listed.
        assert_eq!(talk(tool, "").0, format!("{none}0 1 2 3 "));
    }
}

#[test]
fn where_namespaces_can_be_made_it_writes_to_its_directory_only() {
    let place =
        Place::new("echo x > here && echo own; echo x > ../there 2>/dev/null || echo no; test -w /tmp || echo no");
    let Ok(tool) = place.start(Confinement::Namespace) else {
        return eprintln!("skipped: no namespaces for this user");
    };
    assert_eq!(talk(tool, "").0, "own\nno\nno\n");
    assert!(place.folder.path().join("own/here").exists() && !place.folder.path().join("there").exists());
}

#[test]
fn what_it_started_ends_with_it() {
    let marker = format!("{}.25", 4000 + std::process::id());
    let place = Place::new(&format!("sleep {marker} & echo started; sleep {marker}"));
    for mut tool in place.everywhere() {
        let turn = tool.turn(&Ask { outgoing: &[], reads: true, limit: LONG, cancel: None }).unwrap();
        assert_eq!(turn.stdout, b"started\n");
        tool.stop(Duration::from_millis(100)).unwrap();
        // A whole session is killed at once, but nobody waits for those who are not children.
        let until = Instant::now() + LONG;
        while is_running(&marker) {
            assert!(Instant::now() < until, "something is left");
            std::thread::yield_now();
        }
    }
}

#[test]
fn in_a_namespace_its_processes_are_counted() {
    let place = Place::new("grep -E '^Max (processes|open files)' /proc/self/limits | tr -s ' ' | cut -d ' ' -f 1-4");
    let Ok(tool) = place.start(Confinement::Namespace) else {
        return eprintln!("skipped: no namespaces for this user");
    };
    let said = talk(tool, "").0;
    let most = Resource::Processes.ceiling().min(PROCESSES);
    assert!(said.contains(&format!("Max processes {most} ")), "{said}");
}

#[test]
fn what_leaves_the_session_ends_with_the_namespace() {
    let marker = format!("{}.75", 4000 + std::process::id());
    let place = Place::new(&format!("setsid sleep {marker} & sleep 0.2; echo started"));
    let Ok(tool) = place.start(Confinement::Namespace) else {
        return eprintln!("skipped: no namespaces for this user");
    };
    assert_eq!(talk_until_exit(tool), ToolExit::Code(0));
    assert!(!is_running(&marker), "something is left");
}

fn talk_until_exit(mut tool: Tool) -> ToolExit {
    while tool.exit().is_none() {
        tool.turn(&Ask { outgoing: &[], reads: true, limit: LONG, cancel: None }).unwrap();
    }
    let exit = tool.exit().unwrap();
    tool.stop(LONG).unwrap();
    exit
}

fn is_running(word: &str) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.into_iter().any(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes()))
}

#[test]
fn one_that_neither_reads_nor_heeds_a_signal_keeps_nobody_waiting() {
    let place = Place::new("trap '' TERM; echo ready; while :; do sleep 1; done");
    for mut tool in place.everywhere() {
        let all = vec![b'x'; 1 << 20];
        let mut written = 0;
        let mut said = Vec::new();
        while said.is_empty() {
            let ask = Ask { outgoing: &all, reads: true, limit: LONG, cancel: None };
            let turn = tool.turn(&ask).unwrap();
            written += turn.written;
            said.extend(turn.stdout);
        }
        assert!(written <= 1 << 16, "{written} bytes were taken");
        let began = Instant::now();
        tool.stop(Duration::from_millis(300)).unwrap();
        assert!(began.elapsed() < LONG);
    }
}

#[test]
fn a_flag_ends_the_wait() {
    let place = Place::new("sleep 100");
    let cancel = Cancel::new().unwrap();
    cancel.set().unwrap();
    for mut tool in place.everywhere() {
        let ask = Ask { outgoing: &[], reads: true, limit: LONG, cancel: Some(&cancel) };
        assert!(tool.turn(&ask).unwrap().is_cancelled);
    }
}

#[test]
fn what_is_no_program_is_named() {
    let place = Place::new("");
    std::fs::write(&place.program, "#!/no/such/interpreter\n").unwrap();
    let mut tool = place.start(Confinement::Session).unwrap();
    let error = tool.turn(&Ask { outgoing: &[], reads: true, limit: LONG, cancel: None }).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: cannot be executed", place.program.display()));
}
