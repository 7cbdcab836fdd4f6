//! Running one step: start it, pass its output on, stop it in time, tell how it ended.
//!
//! What comes in: a [`Root`], a [`Step`], a [`Cancel`] flag, and a function for the output. What
//! goes out: an [`Exit`]. The step is the only process of its namespaces but a small init; when
//! [`run`] returns nothing that it started is left. It never interprets what a step writes.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Once;
use std::time::{Duration, Instant};

use rustix::fs::{Gid, Uid};
use sys::{Kind, Part, Pid, Record, Status};
use thiserror::Error;
use tracing::{debug, info};

use crate::cancel::Cancel;
use crate::mounts::MOUNT_PROC;
use crate::plan::{Descriptors, ENTER_CWD, EXECUTE, Inputs, Plan, ZeroByte, plan_step};
use crate::prepared::Prepared;
use crate::root::Root;
use crate::step::{Exit, Network, Step, Stream};

/// How long a step has between SIGTERM and SIGKILL. What it does then is thrown away, and a pod has thirty seconds for
/// everything.
const GRACE: Duration = Duration::from_secs(2);
/// Bytes read at once: what a pipe holds.
const CHUNK: usize = 64 * 1024;

/// Why a step could not be run. A step that ran and failed is no error but an [`Exit`].
#[derive(Debug, Error)]
pub enum RunError {
    /// No program was given.
    #[error("the step has no program to run")]
    NoProgram,
    /// A word that no system call can take.
    #[error("{0:?} holds a zero byte; no program can be given that")]
    ZeroByte(String),
    /// A mount point in the image.
    #[error("{}: cannot be mounted on in the image", .path.display())]
    Target {
        /// The path in the image.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: io::Error,
    },
    /// A place where every step has something of its own.
    #[error("{}: nothing can be mounted there; every step gets its own /dev, /proc, /sys and root", .path.display())]
    Reserved {
        /// The path in the image, all its symbolic links followed.
        path: PathBuf,
    },
    /// A user or group that has no id here.
    #[error(
        "user {uid} and group {gid} are not both mapped on this rung; map more ids in /etc/subuid and /etc/subgid, or use another USER"
    )]
    Unmapped {
        /// The step's user.
        uid: u32,
        /// The step's group.
        gid: u32,
    },
    /// Something of this machine that was to be mounted.
    #[error("{}: cannot be mounted into the step", .path.display())]
    Source {
        /// The path on this machine.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The step's process could not be started.
    #[error("cannot start a process for the step; check the limits on processes and namespaces")]
    Start(#[source] io::Error),
    /// The step's surroundings could not be made.
    #[error("cannot {what}")]
    Setup {
        /// What was tried, on what.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The working directory cannot be entered.
    #[error("{}: cannot enter this working directory in the image", .path.display())]
    WorkingDirectory {
        /// The directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The program cannot be executed.
    #[error("{program}: cannot be executed in the image")]
    Execute {
        /// The program.
        program: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The step's streams failed.
    #[error("lost touch with the step")]
    Streams(#[source] io::Error),
}

impl From<ZeroByte> for RunError {
    fn from(word: ZeroByte) -> Self {
        Self::ZeroByte(word.0)
    }
}

/// Runs one step and waits for its end. Output arrives as it is written, in pieces of any size.
///
/// The step's life hangs on this call: if it panics or the builder dies, the step is killed. Steps on one
/// root may run at the same time only if the root has all their mount points, which is what
/// [`crate::write_stubs`] is for: otherwise the first to end takes the mount points away.
///
/// With one id (rung `single`) the step runs as root whatever its user is.
///
/// # Errors
/// [`RunError`] where the step could not be started; nothing of it is left then.
pub fn run(root: &Root, step: &Step, cancel: &Cancel, output: &mut dyn FnMut(Stream, &[u8])) -> Result<Exit, RunError> {
    if step.argv.is_empty() {
        return Err(RunError::NoProgram);
    }
    let ids = root.ids();
    let can_be = ids.is_single() || (ids.has_uid(step.uid) && ids.has_gid(step.gid));
    if !can_be {
        return Err(RunError::Unmapped { uid: step.uid, gid: step.gid });
    }
    if cancel.is_set() {
        return Ok(Exit::Cancelled);
    }
    let prepared = Prepared::new(root, step)?;
    let killed_before = oom_kills();
    let mut running = start(root, step, &prepared)?;
    let ended = running.follow(step.timeout, cancel, output);
    // In this order: the mount points go only when nothing is mounted on them any more.
    drop(prepared);
    let exit = running.explain(step, ended?)?;
    let was_killed = matches!(exit, Exit::Signal(libc::SIGKILL) | Exit::Code(137));
    if was_killed && oom_kills() > killed_before {
        return Ok(Exit::OutOfMemory);
    }
    Ok(exit)
}

/// A step that runs. Dropping it ends it, because with a network of its own it is not the calling
/// thread that the step dies with.
#[derive(Debug)]
struct Running {
    spawned: sys::Spawned,
    has_ended: bool,
    stdout: Option<io::PipeReader>,
    stderr: Option<io::PipeReader>,
    plan: Plan,
}

fn start(root: &Root, step: &Step, prepared: &Prepared) -> Result<Running, RunError> {
    let stdin = File::open("/dev/null").map_err(RunError::Streams)?;
    let (stdout, step_stdout) = stream(step).map_err(RunError::Streams)?;
    let (stderr, step_stderr) = stream(step).map_err(RunError::Streams)?;
    let plan = plan_step(&Inputs {
        step,
        points: &prepared.points,
        ids: root.ids(),
        descriptors: Descriptors {
            root: root.dir().as_raw_fd(),
            stdin: stdin.as_raw_fd(),
            stdout: step_stdout.as_raw_fd(),
            stderr: step_stderr.as_raw_fd(),
        },
        ceilings: &prepared.ceilings,
    })?;
    let spawned = match &step.network {
        Network::Host | Network::None => sys::spawn(&plan.program),
        Network::Loopback(loopback) => loopback.spawn(&plan.program),
    };
    let spawned = spawned.map_err(RunError::Start)?;
    Ok(Running { spawned, has_ended: false, stdout: Some(stdout), stderr: Some(stderr), plan })
}

/// A pipe that the step's user may open again by way of /dev/stdout.
fn stream(step: &Step) -> io::Result<(io::PipeReader, io::PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    let (uid, gid) = (Uid::from_raw(step.uid), Gid::from_raw(step.gid));
    if let Err(error) = rustix::fs::fchown(&writer, Some(uid), Some(gid)) {
        debug!(%error, "the step's user cannot open its own streams again");
    }
    Ok((reader, writer))
}

/// How following a step came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ended {
    /// Set if we stopped it.
    reason: Option<Exit>,
    failed: Option<Record>,
    exited: Option<i32>,
    init: Status,
}

/// When to stop a step, and how far that is.
#[derive(Debug)]
struct Deadline {
    at: Option<Instant>,
    reason: Option<Exit>,
}

impl Deadline {
    fn new(timeout: Option<Duration>) -> Self {
        Self { at: timeout.and_then(|limit| Instant::now().checked_add(limit)), reason: None }
    }

    fn left(&self) -> Option<Duration> {
        self.at.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn is_over(&self) -> bool {
        self.at.is_some_and(|at| Instant::now() >= at)
    }

    /// Asks the step to stop for `reason`, or kills it if it was asked before.
    fn stop(&mut self, init: Pid, reason: Exit) -> io::Result<()> {
        let signal = if self.reason.is_none() {
            self.reason = Some(reason);
            self.at = Instant::now().checked_add(GRACE);
            libc::SIGTERM
        } else {
            self.at = None;
            libc::SIGKILL
        };
        sys::send(init, signal)
    }
}

impl Running {
    /// Passes output on until the step has ended; then nothing of it is left.
    fn follow(
        &mut self,
        timeout: Option<Duration>,
        cancel: &Cancel,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> Result<Ended, RunError> {
        let mut deadline = Deadline::new(timeout);
        let followed = self.follow_records(&mut deadline, cancel, output);
        if followed.is_err() {
            self.kill();
        }
        let init = self.wait_for_end().map_err(RunError::Streams)?;
        let (failed, exited) = followed.map_err(RunError::Streams)?;
        self.drain(output).map_err(RunError::Streams)?;
        Ok(Ended { reason: deadline.reason, failed, exited, init })
    }

    /// To be followed by waiting; it may still run, and what led here matters more than an error of this.
    fn kill(&self) {
        let _ = sys::send(self.spawned.pid, libc::SIGKILL);
    }

    fn wait_for_end(&mut self) -> io::Result<Status> {
        self.has_ended = true;
        self.spawned.pid.wait()
    }

    fn follow_records(
        &mut self,
        deadline: &mut Deadline,
        cancel: &Cancel,
        output: &mut dyn FnMut(Stream, &[u8]),
    ) -> io::Result<(Option<Record>, Option<i32>)> {
        loop {
            let may_cancel = !matches!(deadline.reason, Some(Exit::Cancelled));
            let ready = self.wait(deadline.left(), may_cancel.then_some(cancel))?;
            self.read(ready, output)?;
            if ready.cancel {
                deadline.stop(self.spawned.pid, Exit::Cancelled)?;
            } else if deadline.is_over() {
                deadline.stop(self.spawned.pid, Exit::TimedOut)?;
            }
            if !ready.report {
                continue;
            }
            match self.spawned.record()? {
                None => return Ok((None, None)),
                Some(record) => match record.kind {
                    Kind::Failed => return Ok((Some(record), None)),
                    Kind::Exited => return Ok((None, Some(record.value))),
                    Kind::Fallback => self.note(record),
                },
            }
        }
    }

    fn wait(&self, limit: Option<Duration>, cancel: Option<&Cancel>) -> io::Result<Ready> {
        let mut fds: Vec<BorrowedFd<'_>> = vec![self.spawned.report.as_fd()];
        fds.extend(cancel.map(AsFd::as_fd));
        fds.extend(self.stdout.as_ref().map(AsFd::as_fd));
        fds.extend(self.stderr.as_ref().map(AsFd::as_fd));
        let mut ready = sys::wait_readable(&fds, limit)?.into_iter();
        let mut next = |is_watched: bool| is_watched && ready.next().unwrap_or(false);
        Ok(Ready {
            report: next(true),
            cancel: next(cancel.is_some()),
            stdout: next(self.stdout.is_some()),
            stderr: next(self.stderr.is_some()),
        })
    }

    fn read(&mut self, ready: Ready, output: &mut dyn FnMut(Stream, &[u8])) -> io::Result<()> {
        if ready.stdout {
            read_once(&mut self.stdout, Stream::Stdout, output)?;
        }
        if ready.stderr {
            read_once(&mut self.stderr, Stream::Stderr, output)?;
        }
        Ok(())
    }

    /// What is left in the pipes. Nobody writes any more, but a step that is being started on
    /// another thread may still hold a copy of a writing end, so their end is not waited for.
    fn drain(&mut self, output: &mut dyn FnMut(Stream, &[u8])) -> io::Result<()> {
        loop {
            let ready = self.wait(Some(Duration::ZERO), None)?;
            if !ready.stdout && !ready.stderr {
                return Ok(());
            }
            self.read(ready, output)?;
        }
    }

    fn note(&self, record: Record) {
        static PROC: Once = Once::new();
        let what = self.text(record);
        let error = io::Error::from_raw_os_error(record.value);
        if what == MOUNT_PROC {
            PROC.call_once(|| info!(%error, "steps see the pod's /proc: the process numbers in it are not their own"));
        } else if record.value != libc::ENOENT {
            debug!(what, %error, "fall-back taken");
        }
    }

    fn text(&self, record: Record) -> &str {
        let texts = match record.part {
            Part::Setup => &self.plan.setup,
            Part::Command => &self.plan.command,
        };
        texts.get(record.index).map_or("start the command", String::as_str)
    }

    fn explain(&self, step: &Step, ended: Ended) -> Result<Exit, RunError> {
        if let Some(reason) = ended.reason {
            return Ok(reason);
        }
        if let Some(record) = ended.failed {
            return Err(self.explain_failure(step, record));
        }
        // Without a status the init itself was killed, from outside or for memory.
        let status = ended.exited.map_or(ended.init, Status::from_wait);
        Ok(match status {
            Status::Code(code) => Exit::Code(code),
            Status::Signal(signal) => Exit::Signal(signal),
        })
    }

    fn explain_failure(&self, step: &Step, record: Record) -> RunError {
        let source = io::Error::from_raw_os_error(record.value);
        let what = self.text(record);
        if what.starts_with(ENTER_CWD) {
            return RunError::WorkingDirectory { path: step.cwd.clone(), source };
        }
        if what.starts_with(EXECUTE) {
            let program = step.argv.first().map(|word| word.display().to_string());
            return RunError::Execute { program: program.unwrap_or_default(), source };
        }
        RunError::Setup { what: what.to_owned(), source }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.kill();
            // Only a panic leads here, and nothing could be done about a child that is not ours.
            let _ = self.wait_for_end();
        }
    }
}

/// Which of a step's descriptors can be read.
#[derive(Debug, Clone, Copy)]
struct Ready {
    report: bool,
    cancel: bool,
    stdout: bool,
    stderr: bool,
}

/// One piece of output; at its end the pipe is let go.
fn read_once(
    pipe: &mut Option<io::PipeReader>,
    stream: Stream,
    output: &mut dyn FnMut(Stream, &[u8]),
) -> io::Result<()> {
    let Some(reader) = pipe else {
        return Ok(());
    };
    let mut chunk = vec![0; CHUNK];
    let count = reader.read(&mut chunk)?;
    match chunk.get(..count) {
        Some(bytes) if count > 0 => output(stream, bytes),
        Some(_) | None => *pipe = None,
    }
    Ok(())
}

/// How often the kernel killed something of this container for memory; 0 where it does not tell.
fn oom_kills() -> u64 {
    ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"]
        .iter()
        .find_map(|path| parse_oom_kills(&std::fs::read_to_string(path).ok()?))
        .unwrap_or(0)
}

fn parse_oom_kills(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_kills_for_memory_is_read_from_both_hierarchies() {
        assert_eq!(parse_oom_kills("low 0\noom 3\noom_kill 2\n"), Some(2));
        assert_eq!(parse_oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), Some(5));
        assert_eq!(parse_oom_kills(""), None);
    }
}
