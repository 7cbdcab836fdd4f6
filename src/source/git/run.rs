//! Running the `git` program: its environment, its output, and its end.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tracing::debug;

use super::mask::mask;
use super::url::{Credentials, GitUrl, Transport};
use super::{GitError, QUIET};

/// Bytes of either output that are kept, the last ones.
const MAX_OUTPUT: usize = 64 << 10;
/// Lines of git's messages that an error shows.
const SHOWN_LINES: usize = 6;
/// Characters of each of these lines.
const SHOWN_CHARACTERS: usize = 300;
/// How long output may take to arrive after the program has ended: what it left running may hold the pipe.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
/// The longest pause between two looks at the program.
const PAUSE: Duration = Duration::from_millis(20);
/// What the repository is called inside git; a name that nobody's configuration has settings for.
pub(super) const REMOTE: &str = "stratum-source";

/// Variables with these beginnings are about connections and configuration files; other `GIT_…` ones would point git
/// at other repositories, so they are not passed on.
const PASSED_ON: [&str; 8] = [
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_HTTP_",
    "GIT_PROXY_",
    "GIT_SSH",
    "GIT_SSL_",
];

/// Configuration that makes a check-out the same everywhere, and nothing go on behind our back.
const UNIFORM: [(&str, &str); 8] = [
    ("core.attributesFile", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.eol", "lf"),
    ("advice.detachedHead", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
];

/// What the caller knows about this machine, and how long it wants to wait.
pub struct GitOptions<'a> {
    /// The whole environment git gets: `PATH`, `HOME`, proxies, `SSH_*`, `GIT_SSL_CAINFO`. `GIT_*` variables that are
    /// not about connections, ssh, TLS or where the machine's own configuration is are left out.
    pub environment: Vec<(String, String)>,
    /// Asked several times a second; git is killed when it says yes.
    pub cancelled: &'a dyn Fn() -> bool,
    /// The time for everything together; `None` for ever.
    pub deadline: Option<Duration>,
    /// Whether submodules are checked out too, and theirs; over network protocols only.
    pub with_submodules: bool,
    /// Whether git's own files of the repository stay, in `.git` at the top of the work tree (`ADD --keep-git-dir`).
    /// Submodules have none.
    pub keeps_git_directory: bool,
    /// The branch whose history has the commit; none for any.
    pub branch: Option<String>,
}

impl Debug for GitOptions<'_> {
    /// Names only: the values hold proxies' passwords.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        formatter
            .debug_struct("GitOptions")
            .field("environment", &names)
            .field("deadline", &self.deadline)
            .field("with_submodules", &self.with_submodules)
            .field("keeps_git_directory", &self.keeps_git_directory)
            .field("branch", &self.branch)
            .finish_non_exhaustive()
    }
}

/// How to call git for one repository.
pub(super) struct Git<'a> {
    options: &'a GitOptions<'a>,
    repository: &'a str,
    work_tree: &'a Path,
    environment: Vec<(String, String)>,
    secrets: Vec<String>,
    started: Instant,
}

/// What a run of git left.
pub(super) struct Output {
    pub(super) is_success: bool,
    /// What it printed, the last part if it was long.
    pub(super) stdout: String,
    /// The last lines of its messages, fit to be shown.
    pub(super) messages: String,
}

impl<'a> Git<'a> {
    /// `directory` is for git's own files, `work_tree` for the repository's; both absolute.
    pub(super) fn new(url: &'a GitUrl, directory: &Path, work_tree: &'a Path, options: &'a GitOptions<'a>) -> Self {
        let is_passed_on =
            |name: &str| !name.starts_with("GIT_") || PASSED_ON.iter().any(|known| name.starts_with(known));
        let mut environment = options.environment.clone();
        environment.retain(|(name, _)| is_passed_on(name));
        let protocols = match url.transport() {
            Transport::File => "file",
            Transport::Network => "http:https:ssh:git",
        };
        let shown = |path: &Path| path.to_string_lossy().into_owned();
        let mut set = |name: &str, value: &str| {
            environment.retain(|(known, _)| known != name);
            environment.push((name.to_owned(), value.to_owned()));
        };
        // Messages are looked at.
        set("LC_ALL", "C");
        set("GIT_DIR", &shown(directory));
        set("GIT_WORK_TREE", &shown(work_tree));
        set("GIT_ATTR_NOSYSTEM", "1");
        set("GIT_TERMINAL_PROMPT", "0");
        // Empty, it also stands in the way of core.askPass and SSH_ASKPASS.
        set("GIT_ASKPASS", "");
        set("GIT_ALLOW_PROTOCOL", protocols);
        let (settings, secrets) = settings(url);
        set("GIT_CONFIG_COUNT", &settings.len().to_string());
        for (index, (key, value)) in settings.iter().enumerate() {
            set(&format!("GIT_CONFIG_KEY_{index}"), key);
            set(&format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        for (name, value) in user_and_password(url.credentials()) {
            set(name, value);
        }
        Self { options, repository: url.repository(), work_tree, environment, secrets, started: Instant::now() }
    }

    /// Sets a variable for the runs to come.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Whether the caller set a variable.
    pub(super) fn has(&self, name: &str) -> bool {
        self.environment.iter().any(|(known, _)| known == name)
    }

    /// The repository's name in messages.
    pub(super) fn repository(&self) -> String {
        self.repository.to_owned()
    }

    /// Runs git; what it printed, if it succeeded.
    ///
    /// # Errors
    /// [`GitError::Local`] when it fails, and what [`Git::run`] says.
    pub(super) fn expect(&self, action: &'static str, arguments: &[&str]) -> Result<String, GitError> {
        let output = self.run(action, arguments)?;
        if output.is_success {
            return Ok(output.stdout);
        }
        Err(GitError::Local { repository: self.repository(), action, output: output.messages })
    }

    /// Runs git to its end, whatever that is.
    ///
    /// # Errors
    /// [`GitError::Program`], [`GitError::Cancelled`] or [`GitError::TimedOut`].
    pub(super) fn run(&self, action: &'static str, arguments: &[&str]) -> Result<Output, GitError> {
        self.check_time(action)?;
        let program = |source| GitError::Program { repository: self.repository(), source };
        let mut child = self.command(arguments).spawn().map_err(program)?;
        let stdout = Pipe::drain(child.stdout.take()).map_err(program)?;
        let stderr = Pipe::drain(child.stderr.take()).map_err(program)?;
        let ended = self.wait(&mut child, action);
        if ended.is_err() {
            kill(&mut child);
        }
        let status = ended?;
        let output = Output {
            is_success: status.success(),
            stdout: stdout.text(),
            messages: shown_lines(&mask(&stderr.text(), &self.secrets)),
        };
        debug!(repository = self.repository, action, %status, messages = output.messages, "git ended");
        Ok(output)
    }

    /// Runs git and hands over what it prints, piece by piece, until `take` has enough of it, which ends git.
    ///
    /// # Errors
    /// As [`Git::expect`], where git was heard to its end.
    pub(super) fn listen(
        &self,
        action: &'static str,
        arguments: &[&str],
        take: &mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send),
    ) -> Result<(), GitError> {
        self.check_time(action)?;
        let program = |source| GitError::Program { repository: self.repository(), source };
        let mut child = self.command(arguments).spawn().map_err(program)?;
        let stderr = Pipe::drain(child.stderr.take()).map_err(program)?;
        let stdout = child.stdout.take();
        let (ended, heard) = thread::scope(|scope| {
            // Git ends of itself when nobody listens any more.
            let listener = scope.spawn(move || stdout.map_or(ControlFlow::Continue(()), |from| hand_over(from, take)));
            let ended = self.wait(&mut child, action);
            if ended.is_err() {
                kill(&mut child);
            }
            (ended, listener.join())
        });
        if ended?.success() || matches!(heard, Ok(ControlFlow::Break(()))) {
            return Ok(());
        }
        let output = shown_lines(&mask(&stderr.text(), &self.secrets));
        Err(GitError::Local { repository: self.repository(), action, output })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.work_tree)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // What git starts for a protocol is stopped with it.
            .process_group(0);
        command
    }

    fn wait(&self, child: &mut Child, action: &'static str) -> Result<ExitStatus, GitError> {
        let mut pause = Duration::from_millis(1);
        loop {
            let status = child.try_wait();
            match status.map_err(|source| GitError::Program { repository: self.repository(), source })? {
                Some(status) => return Ok(status),
                None => self.check_time(action)?,
            }
            thread::sleep(pause);
            pause = (pause * 2).min(PAUSE);
        }
    }

    fn check_time(&self, action: &'static str) -> Result<(), GitError> {
        if (self.options.cancelled)() {
            return Err(GitError::Cancelled { repository: self.repository(), action });
        }
        match self.options.deadline {
            Some(after) if self.started.elapsed() >= after => {
                Err(GitError::TimedOut { repository: self.repository(), action, after })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The configuration for runs about `url`, and what must not be shown.
///
/// Credentials come from a helper that prints two variables, so that they are on no command line and in no file, and
/// only for the URL's own host, so that no redirect and no submodule takes them elsewhere.
fn settings(url: &GitUrl) -> (Vec<(String, String)>, Vec<String>) {
    let mut settings: Vec<(String, String)> =
        QUIET.iter().chain(&UNIFORM).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut add = |key: String, value: &str| settings.push((key, value.to_owned()));
    add(format!("remote.{REMOTE}.url"), url.repository());
    // A connection on which nothing moves for a minute is given up, as in `http`.
    add("http.lowSpeedLimit".to_owned(), "1");
    add("http.lowSpeedTime".to_owned(), "60");
    let Some(credentials) = url.credentials() else { return (settings, Vec::new()) };
    let origin = url.repository().splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let helper = format!("credential.{origin}.helper");
    if credentials.password.is_some() {
        // What the URL says goes before what is stored on this machine.
        add(helper.clone(), "");
    } else {
        add(format!("credential.{origin}.username"), credentials.user.reveal());
    }
    add(
        helper,
        r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$STRATUM_GIT_USER" "$STRATUM_GIT_PASSWORD"; }; f"#,
    );
    // A user beside a password is no secret, and often as short as `git`.
    let secret = credentials.password.as_ref().unwrap_or(&credentials.user);
    (settings, vec![secret.reveal().to_owned()])
}

fn user_and_password(credentials: Option<&Credentials>) -> Vec<(&'static str, &str)> {
    let Some(credentials) = credentials else { return Vec::new() };
    let password = credentials.password.as_ref().map_or("", |password| password.reveal());
    vec![("STRATUM_GIT_USER", credentials.user.reveal()), ("STRATUM_GIT_PASSWORD", password)]
}

/// Kills git and what it started.
fn kill(child: &mut Child) {
    // Both fail only if it has ended already.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
}

/// The last lines, on one line, without git's advice.
fn shown_lines(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    let lines: Vec<String> = lines.map(|line| line.chars().take(SHOWN_CHARACTERS).collect()).collect();
    let first = lines.len().saturating_sub(SHOWN_LINES);
    lines.get(first..).unwrap_or_default().join("; ")
}

/// One output of a program, read by a thread so that the program never waits.
struct Pipe {
    end: Arc<Mutex<Vec<u8>>>,
    is_done: Receiver<()>,
}

impl Pipe {
    fn drain(from: Option<impl Read + Send + 'static>) -> io::Result<Self> {
        let end = Arc::new(Mutex::new(Vec::new()));
        let (done, is_done) = mpsc::channel();
        if let Some(from) = from {
            let into = Arc::clone(&end);
            thread::Builder::new().name("git-output".to_owned()).spawn(move || read(from, &into, done))?;
        }
        Ok(Self { end, is_done })
    }

    fn text(&self) -> String {
        // Time out or the end: what has arrived counts.
        let _ = self.is_done.recv_timeout(LAST_OUTPUT);
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&end).into_owned()
    }
}

/// Reads to the end, or until `take` has enough.
fn hand_over(mut from: impl Read, take: &mut (dyn FnMut(&[u8]) -> ControlFlow<()> + Send)) -> ControlFlow<()> {
    let mut piece = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        take(piece.get(..length).unwrap_or_default())?;
    }
    ControlFlow::Continue(())
}

/// Reads to the end; dropping `done` tells that it came.
fn read(mut from: impl Read, into: &Mutex<Vec<u8>>, done: Sender<()>) {
    let mut piece = [0; 4096];
    // A broken pipe is an end as well.
    while let Ok(length @ 1..) = from.read(&mut piece) {
        let mut end = into.lock().unwrap_or_else(PoisonError::into_inner);
        end.extend_from_slice(piece.get(..length).unwrap_or_default());
        let excess = end.len().saturating_sub(MAX_OUTPUT);
        end.drain(..excess);
    }
    drop(done);
}
