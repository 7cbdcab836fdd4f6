//! Runs the real binary with a clean environment, under a deadline, and shows what it said when a claim fails.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::scratch::Scratch;

/// No story may hang; a slow machine needs a fraction of this.
const DEADLINE: Duration = Duration::from_secs(300);

/// One run of the binary, not yet started.
pub(crate) struct Stratum {
    command: Command,
    shown: String,
    stdin: Vec<u8>,
}

/// A run under way.
pub(crate) struct Running {
    child: Child,
    shown: String,
    lines: Receiver<String>,
    stderr: String,
    stdout: JoinHandle<String>,
    watchdog: mpsc::Sender<()>,
}

/// A finished run.
pub(crate) struct Outcome {
    shown: String,
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Stratum {
    pub(crate) fn new<S: AsRef<str>>(scratch: &Scratch, arguments: &[S]) -> Self {
        let binary = scratch.binary();
        let mut command = match scratch.person() {
            None => Command::new(&binary),
            Some(ids) => {
                let mut command = Command::new("setpriv");
                command.args([format!("--reuid={}", ids.uid), format!("--regid={}", ids.gid)]);
                command.args(["--clear-groups", "--inh-caps=-all", "--"]).arg(&binary);
                command
            }
        };
        command.args(arguments.iter().map(AsRef::as_ref)).current_dir(scratch.path()).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command
            .env("HOME", scratch.at("home"))
            .env("TMPDIR", scratch.at("tmp"))
            .env("STRATUM_STORE", scratch.at("store"));
        let words: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        Self { command, shown: format!("stratum {}", words.join(" ")), stdin: Vec::new() }
    }

    /// A run of another command line, such as one that enters a pod first.
    pub(crate) fn from_command(command: Command) -> Self {
        let shown = format!("{command:?}");
        Self { command, shown, stdin: Vec::new() }
    }

    /// More arguments.
    pub(crate) fn args<S: AsRef<str>>(mut self, arguments: &[S]) -> Self {
        for argument in arguments.iter().map(AsRef::as_ref) {
            self.command.arg(argument);
            self.shown.push_str(&format!(" {argument}"));
        }
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes a variable out of the environment.
    pub(crate) fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Starts in another folder than the scratch folder.
    pub(crate) fn dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.command.current_dir(folder.into());
        self
    }

    /// Gives the program something to read; without it, it reads nothing.
    pub(crate) fn stdin(mut self, content: impl Into<Vec<u8>>) -> Self {
        self.stdin = content.into();
        self
    }

    /// Runs to the end.
    #[track_caller]
    pub(crate) fn run(self) -> Outcome {
        self.start().wait()
    }

    /// Starts the program in a process group of its own.
    #[track_caller]
    pub(crate) fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = self.command.spawn().unwrap_or_else(|e| panic!("{}: {e}", self.shown));
        let (mut input, content) = (child.stdin.take().unwrap(), self.stdin);
        thread::spawn(move || {
            // A program that does not read what it is given may have every reason.
            let _written = input.write_all(&content);
        });
        let mut output = child.stdout.take().unwrap();
        let stdout = thread::spawn(move || {
            let mut bytes = Vec::new();
            output.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let lines = lines_of(child.stderr.take().unwrap());
        let watchdog = kill_after(DEADLINE, child.id());
        Running { child, shown: self.shown, lines, stderr: String::new(), stdout, watchdog }
    }
}

impl Running {
    /// Reads stderr until a line contains `text`; fails where the program ends without having said so.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> &mut Self {
        loop {
            let Ok(line) = self.lines.recv() else {
                panic!("{}\nended without saying {text:?}; it said:\n{}", self.shown, self.stderr)
            };
            let found = line.contains(text);
            self.stderr.push_str(&line);
            if found {
                return self;
            }
        }
    }

    /// The process id of the program.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `KILL`, to the program alone: what it started must go by itself.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success(), "kill -{name} {}", self.child.id());
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn wait(mut self) -> Outcome {
        let status = self.child.wait().unwrap();
        self.stderr.extend(self.lines.iter());
        let stdout = self.stdout.join().unwrap();
        // The watchdog may already be gone, having done its work.
        let _sent = self.watchdog.send(());
        Outcome { shown: self.shown, status, stdout, stderr: self.stderr }
    }
}

impl Outcome {
    /// Fails, showing everything, unless the program ended with `code`.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert!(self.status.code() == Some(code), "wanted exit code {code}\n{self}");
        self
    }

    /// Fails, showing everything, unless stderr contains `text`.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "wanted {text:?} on stderr\n{self}");
        self
    }

    /// The exit code; a signal has none.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The digest on the one line of stdout, `sha256:…`.
    #[track_caller]
    pub(crate) fn digest(&self) -> String {
        let mut lines = self.stdout.lines();
        let (Some(line), None) = (lines.next(), lines.next()) else { panic!("wanted one line on stdout\n{self}") };
        let Some(at) = line.find("sha256:") else { panic!("wanted a digest on stdout\n{self}") };
        let (_, digest) = line.split_at(at);
        assert!(digest.len() == "sha256:".len() + 64, "wanted the line to end in a digest\n{self}");
        digest.to_owned()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.shown)?;
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => writeln!(f, "exit code {code}")?,
            (None, signal) => writeln!(f, "ended by signal {}", signal.unwrap_or_default())?,
        }
        write!(f, "--- stdout\n{}--- stderr\n{}---", self.stdout, self.stderr)
    }
}

fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(output);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}

/// Kills the process group `id` unless told in time that it has ended.
fn kill_after(deadline: Duration, id: u32) -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        if receiver.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("the program had {} s and is killed", deadline.as_secs());
            // It may end on its own at this very moment.
            let _status = Command::new("kill").args(["-KILL", "--", &format!("-{id}")]).status();
        }
    });
    sender
}
