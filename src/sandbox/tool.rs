//! A program of this machine beside the build: without privilege, talked to over pipes, gone when it is let go.
//!
//! What comes in: a [`ToolStart`]. What goes out: a [`Tool`], whose streams never keep the builder waiting. Where
//! namespaces can be made the program is in a process namespace of its own, so that nothing it started outlives it,
//! and sees every file of this machine read-only but those of its directory; elsewhere it has a session of its own,
//! which is all that is killed. It has the caller's user and groups, no capability, no way to gain one, and none of the
//! builder's descriptors. What it says is not looked at.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, Signal, kill_process_group};
use sys::{Attributes, FileOp, Handle, Kind, MountOp, Op, Part, ProcessOp, Program, Status, Strings, Tree};
use thiserror::Error;
use tracing::debug;

use crate::cancel::Cancel;
use crate::mounts::Planned;
use crate::plan::{ZeroByte, c_string};
use crate::step::Resource;

/// Bytes read at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;
/// Descriptors that old programs are safe with (select(2)).
const OPEN_FILES: u64 = 1024;
/// Bytes of the largest file it may write.
const FILE_SIZE: u64 = 1 << 30;

/// Processes and threads of the user, its own among them: in the builder's namespace, before Linux 5.14 on the machine.
const PROCESSES: u64 = 4096;

/// What is to be started.
#[derive(Debug, Clone, Copy)]
pub struct ToolStart<'a> {
    /// The program, an absolute path.
    pub program: &'a Path,
    /// The whole environment.
    pub environment: &'a [(String, String)],
    /// Where it starts, an absolute path; the only directory it can write to where namespaces can be made.
    pub directory: &'a Path,
}

/// Why a program could not be started or talked to.
#[derive(Debug, Error)]
pub enum ToolError {
    /// A word that no system call can take.
    #[error("{0:?} holds a zero byte; no program can be given that")]
    ZeroByte(String),
    /// No process could be started.
    #[error("cannot start a process; check the limits on processes")]
    Start(#[source] io::Error),
    /// The program's surroundings could not be made, or it cannot be executed.
    #[error("{}: cannot {what}", .program.display())]
    Setup {
        /// The program.
        program: PathBuf,
        /// What was tried.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Its streams failed.
    #[error("lost touch with the program")]
    Streams(#[from] io::Error),
}

impl From<ZeroByte> for ToolError {
    fn from(word: ZeroByte) -> Self {
        Self::ZeroByte(word.0)
    }
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolExit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// What to wait for in one [`Tool::turn`].
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// What the program shall read next.
    pub outgoing: &'a [u8],
    /// Whether its standard output is to be read: not while there is enough to do.
    pub reads: bool,
    /// The longest wait.
    pub limit: Duration,
    /// What else ends the wait.
    pub cancel: Option<&'a Cancel>,
}

/// What happened meanwhile.
#[derive(Debug, Default)]
pub struct Turn {
    /// Bytes of [`Ask::outgoing`] that are on their way.
    pub written: usize,
    /// What came on standard output.
    pub stdout: Vec<u8>,
    /// What came on standard error.
    pub stderr: Vec<u8>,
    /// Whether the flag is set.
    pub is_cancelled: bool,
}

/// How everything the program started is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Confinement {
    /// Its first process is init of a namespace.
    Namespace,
    /// Its session.
    Session,
}

/// A program that runs. Dropping it kills it and what it started.
#[derive(Debug)]
pub struct Tool {
    program: PathBuf,
    spawned: sys::Spawned,
    confinement: Confinement,
    plan: Vec<Vec<String>>,
    stdin: Option<io::PipeWriter>,
    stdout: Option<io::PipeReader>,
    stderr: Option<io::PipeReader>,
    exit: Option<ToolExit>,
    is_reaped: bool,
}

impl Tool {
    /// Starts a program with the identity of the calling thread, which must live as long as the program.
    ///
    /// # Errors
    /// [`ToolError`]. That the program cannot be executed is said by the first [`Tool::turn`] that finds out.
    pub fn start(start: &ToolStart<'_>) -> Result<Self, ToolError> {
        match Self::start_in(start, Confinement::Namespace) {
            Err(ToolError::Start(error)) => {
                debug!(%error, program = %start.program.display(), "no namespace for a program");
                Self::start_in(start, Confinement::Session)
            }
            started => started,
        }
    }

    fn start_in(start: &ToolStart<'_>, confinement: Confinement) -> Result<Self, ToolError> {
        let (their_stdin, stdin) = io::pipe()?;
        let (stdout, their_stdout) = io::pipe()?;
        let (stderr, their_stderr) = io::pipe()?;
        ioctl_fionbio(&stdin, true).map_err(io::Error::from)?;
        ioctl_fionbio(&stdout, true).map_err(io::Error::from)?;
        ioctl_fionbio(&stderr, true).map_err(io::Error::from)?;
        let streams = [their_stdin.as_raw_fd(), their_stdout.as_raw_fd(), their_stderr.as_raw_fd()];
        let directory = File::open(start.directory)?;
        let setup = plan_setup(start, confinement, directory.as_raw_fd())?;
        let command = plan_command(start, confinement, streams)?;
        let (setup, setup_texts): (Vec<Op>, Vec<String>) = setup.into_iter().map(|one| (one.op, one.what)).unzip();
        let (command, command_texts): (Vec<Op>, Vec<String>) =
            command.into_iter().map(|one| (one.op, one.what)).unzip();
        let namespaces = match confinement {
            Confinement::Namespace => libc::CLONE_NEWPID | libc::CLONE_NEWIPC,
            Confinement::Session => 0,
        };
        let spawned = sys::spawn(&Program { namespaces, setup, command }).map_err(ToolError::Start)?;
        Ok(Self {
            program: start.program.to_owned(),
            spawned,
            confinement,
            plan: vec![setup_texts, command_texts],
            stdin: Some(stdin),
            stdout: Some(stdout),
            stderr: Some(stderr),
            exit: None,
            is_reaped: false,
        })
    }

    /// Waits until something happens, and does what can be done without waiting.
    ///
    /// # Errors
    /// [`ToolError::Setup`] where it turns out that the program could not be started.
    pub fn turn(&mut self, ask: &Ask<'_>) -> Result<Turn, ToolError> {
        let ready = self.wait(ask)?;
        let mut turn = Turn { is_cancelled: ready.cancel, ..Turn::default() };
        if ready.stdin {
            turn.written = self.write(ask.outgoing)?;
        }
        // Before the report is looked at: once the program has ended nothing comes any more.
        if ready.report {
            self.look_at_report()?;
        }
        if ready.stdout || self.exit.is_some() {
            turn.stdout = read_some(&mut self.stdout)?;
        }
        if ready.stderr || self.exit.is_some() {
            turn.stderr = read_some(&mut self.stderr)?;
        }
        Ok(turn)
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn exit(&self) -> Option<ToolExit> {
        self.exit
    }

    /// Whether nothing will come on its standard output any more.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.stdout.is_none()
    }

    /// Whether it reads what it is told: it has not closed its standard input.
    #[must_use]
    pub fn listens(&self) -> bool {
        self.stdin.is_some()
    }

    /// Lets it read the end of its standard input.
    pub fn hang_up(&mut self) {
        self.stdin = None;
    }

    /// Asks it to end, kills what is left after `grace`, and waits for the end.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn stop(mut self, grace: Duration) -> Result<(), ToolError> {
        self.stdin = None;
        if self.exit.is_none() {
            self.signal(Signal::TERM);
            let until = Instant::now() + grace;
            while self.exit.is_none() {
                let limit = until.saturating_duration_since(Instant::now());
                if limit.is_zero() {
                    break;
                }
                self.turn(&Ask { outgoing: &[], reads: true, limit, cancel: None })?;
            }
        }
        self.end()
    }

    /// Kills everything and waits for the first process.
    fn end(&mut self) -> Result<(), ToolError> {
        if self.is_reaped {
            return Ok(());
        }
        self.signal(Signal::KILL);
        self.is_reaped = true;
        self.spawned.pid.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // Either fails only where it has ended, and before it is waited for its number is nobody else's.
        match (self.confinement, Pid::from_raw(self.spawned.pid.number())) {
            (Confinement::Namespace, _) => {
                let _ = sys::send(self.spawned.pid, signal.as_raw());
            }
            (Confinement::Session, Some(group)) => {
                let _ = sys::send(self.spawned.pid, signal.as_raw());
                let _ = kill_process_group(group, signal);
            }
            (Confinement::Session, None) => {}
        }
    }

    fn wait(&self, ask: &Ask<'_>) -> Result<Ready, ToolError> {
        let (can_read, can_write) = (PollFlags::IN, PollFlags::OUT);
        let stdin = self.stdin.as_ref().filter(|_| !ask.outgoing.is_empty()).map(AsFd::as_fd);
        let stdout = self.stdout.as_ref().filter(|_| ask.reads).map(AsFd::as_fd);
        let report = self.exit.is_none().then(|| self.spawned.report.as_fd());
        let all: [(Option<BorrowedFd<'_>>, PollFlags); 5] = [
            (report, can_read),
            (ask.cancel.map(AsFd::as_fd), can_read),
            (stdin, can_write),
            (stdout, can_read),
            (self.stderr.as_ref().map(AsFd::as_fd), can_read),
        ];
        let watched = all.iter().filter_map(|(fd, flags)| fd.map(|fd| (fd, *flags)));
        let mut polled: Vec<PollFd<'_>> = watched.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)).collect();
        let limit = if self.exit.is_some() { Duration::ZERO } else { ask.limit };
        let timeout = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let mut found = polled.iter().map(|fd| !fd.revents().is_empty());
        let mut next = |is_watched: bool| is_watched && found.next().unwrap_or(false);
        let [report, cancel, stdin, stdout, stderr] = all.map(|(fd, _)| next(fd.is_some()));
        Ok(Ready { report, cancel, stdin, stdout, stderr })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(stdin) = &mut self.stdin else { return Ok(0) };
        match stdin.write(bytes) {
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            // It reads no more, which is its affair.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.stdin = None;
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    fn look_at_report(&mut self) -> Result<(), ToolError> {
        let status = match self.spawned.record()? {
            Some(record) => match record.kind {
                Kind::Exited => Status::from_wait(record.value),
                Kind::Failed | Kind::Fallback => {
                    let texts = self.plan.get(usize::from(record.part == Part::Command));
                    let what = texts.and_then(|texts| texts.get(record.index)).cloned().unwrap_or_default();
                    let source = io::Error::from_raw_os_error(record.value);
                    if record.kind == Kind::Fallback {
                        debug!(what, %source, "a program goes without");
                        return Ok(());
                    }
                    return Err(ToolError::Setup { program: self.program.clone(), what, source });
                }
            },
            // The first process was killed itself, from outside or for memory.
            None => Status::Signal(libc::SIGKILL),
        };
        self.exit = Some(match status {
            Status::Code(code) => ToolExit::Code(code),
            Status::Signal(signal) => ToolExit::Signal(signal),
        });
        Ok(())
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // Only a kernel that lost our child says no.
        drop(self.end());
    }
}

/// Which descriptors are worth a look.
#[derive(Debug, Clone, Copy)]
struct Ready {
    report: bool,
    cancel: bool,
    stdin: bool,
    stdout: bool,
    stderr: bool,
}

/// One piece of what is there; at its end the pipe is let go.
fn read_some(pipe: &mut Option<io::PipeReader>) -> io::Result<Vec<u8>> {
    let Some(reader) = pipe else { return Ok(Vec::new()) };
    let mut chunk = vec![0; CHUNK];
    match reader.read(&mut chunk) {
        Ok(0) => *pipe = None,
        Ok(count) => {
            chunk.truncate(count);
            return Ok(chunk);
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
        Err(error) => return Err(error),
    }
    Ok(Vec::new())
}

fn plan_setup(start: &ToolStart<'_>, confinement: Confinement, directory: i32) -> Result<Vec<Planned>, ToolError> {
    let mut plan = vec![Planned::new(Op::DieWithParent, "tie the program to the builder")];
    match confinement {
        Confinement::Namespace => {
            let view = plan_view(start.directory, directory)?;
            plan.push(Planned::optional(view, "show the program this machine's files read-only"));
        }
        Confinement::Session => plan.push(Planned::new(ProcessOp::NewSession, "start a session")),
    }
    Ok(plan)
}

/// A copy of all mounts that is read-only but for one directory.
fn plan_view(directory: &Path, open: i32) -> Result<Vec<Op>, ToolError> {
    const ALL: u8 = 0;
    const OWN: u8 = 1;
    let own = c_string(directory.as_os_str())?;
    let relative = directory.strip_prefix("/").unwrap_or(directory);
    let relative = c_string(relative.as_os_str())?;
    let clone =
        |from: &CString, recursive, into| MountOp::CloneTree { from: Tree::Absolute(from.clone()), recursive, into };
    let restrict =
        |mount, attributes, recursive| MountOp::SetAttributes { mount: Handle::Slot(mount), attributes, recursive };
    Ok(vec![
        // Of all that is open only the current directory moves into a new namespace. Any place will do: what is attached
        // there becomes the root.
        FileOp::EnterDirectory(Handle::Fd(open)).into(),
        ProcessOp::Unshare(libc::CLONE_NEWNS).into(),
        MountOp::MakePrivate.into(),
        clone(&c"/".to_owned(), true, ALL).into(),
        restrict(ALL, Attributes::READ_ONLY | Attributes::NO_SUID, true).into(),
        clone(&own, true, OWN).into(),
        restrict(OWN, Attributes::NO_SUID | Attributes::NO_DEV, true).into(),
        MountOp::Attach { mount: Handle::Slot(ALL), target: c".".to_owned(), follow: true }.into(),
        FileOp::EnterDirectory(Handle::Slot(ALL)).into(),
        MountOp::PivotRoot.into(),
        MountOp::Attach { mount: Handle::Slot(OWN), target: relative, follow: true }.into(),
    ])
}

fn plan_command(start: &ToolStart<'_>, confinement: Confinement, streams: [i32; 3]) -> Result<Vec<Planned>, ToolError> {
    let program = c_string(start.program.as_os_str())?;
    let environment =
        start.environment.iter().map(|(name, value)| c_string(OsStr::from_bytes(format!("{name}={value}").as_bytes())));
    let environment: Vec<CString> = environment.collect::<Result<_, _>>()?;
    let limit = |resource: Resource, most: u64| {
        let most = resource.ceiling().min(most);
        ProcessOp::Limit { resource: resource.number(), soft: most, hard: most }
    };
    let mut plan = vec![Planned::new(Op::DieWithParent, "tie the program to its first process")];
    if confinement == Confinement::Namespace {
        // The builder's terminal is not to be typed into; without a namespace the first process has left it.
        plan.push(Planned::new(ProcessOp::NewSession, "start a session"));
        // Elsewhere everything that the user runs on the machine would count.
        plan.push(Planned::new(limit(Resource::Processes, PROCESSES), "limit processes"));
    }
    for (from, to) in streams.into_iter().zip(0..) {
        let from = Handle::Fd(from);
        plan.push(Planned::new(FileOp::Redirect { from, to }, "set up the streams"));
    }
    let optional = |op: ProcessOp, what: &str| Planned::optional(vec![op.into()], what);
    let directory = c_string(start.directory.as_os_str())?;
    let execute = ProcessOp::Execute {
        paths: vec![program.clone()],
        argv: Strings::new(vec![program]),
        env: Strings::new(environment),
    };
    plan.extend([
        Planned::new(Op::CloseOthers, "close the builder's descriptors (Linux 5.9 has close_range)"),
        Planned::new(ProcessOp::DefaultSignals, "reset signals"),
        Planned::new(ProcessOp::Umask(0o077), "set the umask"),
        Planned::new(limit(Resource::CoreSize, 0), "forbid core files"),
        Planned::new(limit(Resource::OpenFiles, OPEN_FILES), "limit descriptors"),
        Planned::new(limit(Resource::FileSize, FILE_SIZE), "limit files"),
        // Who has no capability may not do this, and has nothing to lose.
        optional(ProcessOp::KeepBounding(0), "empty the bounding set"),
        Planned::new(ProcessOp::NoNewPrivileges, "set no_new_privs"),
        Planned::new(ProcessOp::ChangeDirectory(directory), "enter its directory"),
        Planned::new(ProcessOp::KeepCapabilities(0), "drop capabilities"),
        Planned::new(execute, "be executed"),
    ]);
    Ok(plan)
}

#[cfg(test)]
mod tests;
