//! Processes and the identity of one thread.
//!
//! What comes in: flags, ids, prepared programs. What goes out: process ids and wait statuses. It
//! never uses the C library's set*id functions, because those change every thread of the process.

use std::io::{self, Read};
use std::os::fd::AsRawFd;

use crate::op::{Program, Record};
use crate::raw::{self, Errno};

/// A child of this process that has not been waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pid(i32);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Status {
    /// Reads a wait status (wait(2)).
    #[must_use]
    pub fn from_wait(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

impl Pid {
    /// The number.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// Waits until the child has ended. To be called once.
    ///
    /// # Errors
    /// ECHILD where somebody else has waited for it.
    pub fn wait(self) -> io::Result<Status> {
        loop {
            let mut status = 0i32;
            // SAFETY: waitpid writes one int.
            let pid = unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) };
            if pid == self.0 {
                return Ok(Status::from_wait(status));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

/// A running [`Program`].
#[derive(Debug)]
pub struct Spawned {
    /// Its first process.
    pub pid: Pid,
    /// Where its records arrive; it ends when the first process does.
    pub report: io::PipeReader,
}

impl Spawned {
    /// Reads one record; none at the end of the pipe.
    ///
    /// # Errors
    /// What the pipe says.
    pub fn record(&mut self) -> io::Result<Option<Record>> {
        let mut bytes = [0; Record::SIZE];
        match self.report.read_exact(&mut bytes) {
            Ok(()) => Ok(Record::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Starts `program` in a copy of this process. Any thread may call it, and must live as long as
/// the child shall (the child asks to die with it, [`crate::Op::DieWithParent`]).
///
/// # Errors
/// What pipe(2) and clone(2) say. Failures of operations arrive as records.
pub fn spawn(program: &Program) -> io::Result<Spawned> {
    let (report, child_report) = io::pipe()?;
    let reading_end = report.as_raw_fd();
    let writing_end = child_report.as_raw_fd();
    let blocked = block_signals()?;
    let cloned = raw_clone(program.namespaces);
    if cloned == Ok(0) {
        // Its own copy of the reading end would hide the parent's end from the child.
        raw::close(reading_end);
        crate::child::run(program, writing_end);
    }
    restore_signals(&blocked)?;
    let pid = cloned.map_err(io::Error::from_raw_os_error)?;
    Ok(Spawned { pid: Pid(pid), report })
}

/// clone(2) as fork(2) with namespaces: 0 in the child. The child may only make system calls.
pub(crate) fn raw_clone(namespaces: i32) -> Result<i32, Errno> {
    let flags = (namespaces | libc::SIGCHLD) as usize;
    // The one architecture of ours that takes the stack first (clone(2), "C library/kernel
    // differences").
    let args = if cfg!(target_arch = "s390x") { [0, flags, 0, 0, 0, 0] } else { [flags, 0, 0, 0, 0, 0] };
    // SAFETY: without CLONE_VM and with no stack given the child goes on in a copy of this one.
    unsafe { raw::call(libc::SYS_clone, args) }.map(|pid| i32::try_from(pid).unwrap_or(-1))
}

/// Runs `work` in a copy of this process and leaves with the code it returns.
///
/// # Errors
/// `ResourceBusy` if another thread exists: the copy might wait for its locks for ever.
pub fn fork_alone(work: impl FnOnce() -> u8) -> io::Result<Pid> {
    if thread_count()? != 1 {
        return Err(io::ErrorKind::ResourceBusy.into());
    }
    // SAFETY: no other thread can hold a lock, so the child may run anything.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = work();
            // SAFETY: leaves without running the destructors of the program that was copied.
            unsafe { libc::_exit(i32::from(code)) }
        }
        pid => Ok(Pid(pid)),
    }
}

/// How many threads this process has, itself included.
///
/// # Errors
/// What reading /proc/self/task says.
pub fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// unshare(2) with these `CLONE_…` flags.
///
/// # Errors
/// What the kernel says; for CLONE_NEWUSER see user_namespaces(7).
pub fn unshare(flags: i32) -> io::Result<()> {
    raw::unshare(flags).map_err(io::Error::from_raw_os_error)
}

/// Takes the interface `lo` of the calling thread's network up.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN over it.
pub fn loopback_up() -> io::Result<()> {
    crate::child::loopback_up().map_err(io::Error::from_raw_os_error)
}

/// Sets the supplementary groups of the calling thread, and of no other.
///
/// # Errors
/// EPERM without privilege or where the namespace denies it.
pub fn become_groups(groups: &[u32]) -> io::Result<()> {
    raw::setgroups(groups).map_err(io::Error::from_raw_os_error)
}

/// Sets all group and user ids of the calling thread, and of no other.
///
/// # Errors
/// EINVAL for an id without a mapping, EPERM without privilege.
pub fn become_user(user: u32, group: u32) -> io::Result<()> {
    raw::setresgid(group).and_then(|()| raw::setresuid(user)).map_err(io::Error::from_raw_os_error)
}

/// Whether other processes of the same user may look into this one (PR_SET_DUMPABLE).
///
/// # Errors
/// None that prctl(2) documents for these values.
pub fn set_dumpable(dumpable: bool) -> io::Result<()> {
    raw::prctl(libc::PR_SET_DUMPABLE, usize::from(dumpable)).map(drop).map_err(io::Error::from_raw_os_error)
}

/// The number of the kernel's last capability.
///
/// # Errors
/// What reading /proc/sys/kernel/cap_last_cap says.
pub fn last_capability() -> io::Result<u32> {
    let text = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap")?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The soft and the hard limit of a resource (`RLIMIT_…`).
///
/// # Errors
/// EINVAL for a resource the kernel does not know.
pub fn limit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limits = [0u64; 2];
    let args = [0, resource as usize, 0, limits.as_mut_ptr() as usize, 0, 0];
    // SAFETY: the kernel writes one rlimit64, two 64-bit words.
    unsafe { raw::call(libc::SYS_prlimit64, args) }.map_err(io::Error::from_raw_os_error)?;
    let [soft, hard] = limits;
    Ok((soft, hard))
}

fn block_signals() -> io::Result<libc::sigset_t> {
    // SAFETY: both sets live on the stack and are filled before they are read.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        match libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) {
            0 => Ok(before),
            errno => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

fn restore_signals(before: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: `before` was filled by block_signals.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) } {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Kind, Op, Part, ProcessOp, Strings};

    fn ends_with(command: Vec<Op>) -> Record {
        let mut spawned = spawn(&Program { namespaces: 0, setup: vec![], command }).unwrap();
        let record = spawned.record().unwrap().unwrap();
        spawned.pid.wait().unwrap();
        record
    }

    fn execute(program: &std::ffi::CStr, argument: &std::ffi::CStr) -> Op {
        ProcessOp::Execute {
            paths: vec![program.to_owned()],
            argv: Strings::new(vec![program.to_owned(), c"-c".into(), argument.to_owned()]),
            env: Strings::new(vec![]),
        }
        .into()
    }

    #[test]
    fn the_command_s_status_arrives_as_a_record() {
        let record = ends_with(vec![ProcessOp::DefaultSignals.into(), execute(c"/bin/sh", c"exit 3")]);
        assert_eq!(record.kind, Kind::Exited);
        assert_eq!(Status::from_wait(record.value), Status::Code(3));
    }

    #[test]
    fn a_failing_operation_is_named_by_its_index() {
        let record = ends_with(vec![ProcessOp::NewSession.into(), execute(c"/nonexistent", c"")]);
        let expected = Record { kind: Kind::Failed, part: Part::Command, index: 1, value: libc::ENOENT };
        assert_eq!(record, expected);
    }

    #[test]
    fn a_killed_command_tells_its_signal() {
        let record = ends_with(vec![ProcessOp::DefaultSignals.into(), execute(c"/bin/sh", c"kill -9 $$")]);
        assert_eq!(Status::from_wait(record.value), Status::Signal(9));
    }

    #[test]
    fn a_fork_is_refused_while_another_thread_lives() {
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || wait.recv());
        assert_eq!(fork_alone(|| 0).unwrap_err().kind(), io::ErrorKind::ResourceBusy);
        drop(end);
        assert!(other.join().unwrap().is_err());
    }
}
