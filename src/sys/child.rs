//! The child's side of [`crate::spawn`]: it walks the operations, then is init for the command.
//!
//! Everything here runs in a copy of a possibly multi-threaded process, where any lock may be held
//! for ever: only [`crate::raw`] is called, nothing allocates, nothing panics. Failures leave over
//! the report pipe. It never returns to the code that was copied.

use std::os::fd::RawFd;

use crate::op::{FileOp, Handle, Instruction, Kind, MountOp, Op, Part, ProcessOp, Program, Record, Strings, Tree};
use crate::raw::{self, Errno};

const SLOTS: usize = 16;

/// What the operations share: descriptors they opened, and the pipe to the parent.
struct State {
    slots: [RawFd; SLOTS],
    report: RawFd,
}

/// Status of a first process that could not do its part; the record on the pipe says why.
const FAILED: i32 = 125;

/// Everything the first process does. `report` is the pipe's writing end.
pub(crate) fn run(program: &Program, report: RawFd) -> ! {
    let mut state = State { slots: [-1; SLOTS], report };
    if !state.all(&program.setup, Part::Setup) {
        exit(FAILED);
    }
    if program.command.is_empty() {
        state.send(Kind::Exited, Part::Setup, 0, 0);
        exit(0);
    }
    match fork() {
        Err(errno) => {
            state.send(Kind::Failed, Part::Command, 0, errno);
            exit(FAILED)
        }
        Ok(0) => {
            state.all(&program.command, Part::Command);
            exit(FAILED)
        }
        Ok(command) => init(&state, command),
    }
}

/// Reaps until the command is gone, and passes SIGTERM on to all.
fn init(state: &State, command: i32) -> ! {
    // Descriptors of the parent would keep its pipes open; a kernel without close_range has
    // failed in the command already.
    let _ = close_others(state.report);
    loop {
        if wait_signal() == Ok(libc::SIGTERM) {
            kill_all(libc::SIGTERM);
        }
        while let Some((pid, status)) = reap() {
            if pid == command {
                state.send(Kind::Exited, Part::Command, 0, status);
                exit(0);
            }
        }
    }
}

impl State {
    fn all(&mut self, ops: &[Op], part: Part) -> bool {
        for (index, op) in ops.iter().enumerate() {
            if let Err(errno) = self.one(op, part, index) {
                self.send(Kind::Failed, part, index, errno);
                return false;
            }
        }
        true
    }

    fn sequence(&mut self, ops: &[Op], part: Part, index: usize) -> Result<(), Errno> {
        ops.iter().try_for_each(|op| self.one(op, part, index))
    }

    fn one(&mut self, op: &Op, part: Part, index: usize) -> Result<(), Errno> {
        match op {
            Op::Either { first, or } => match self.sequence(first, part, index) {
                Ok(()) => Ok(()),
                Err(errno) => {
                    self.send(Kind::Fallback, part, index, errno);
                    self.sequence(or, part, index)
                }
            },
            Op::DieWithParent => die_with_parent(self.report),
            Op::CloseOthers => close_others(self.report),
            Op::Mount(op) => self.mount(op),
            Op::File(op) => self.file(op),
            Op::Process(op) => process(op),
        }
    }

    fn mount(&mut self, op: &MountOp) -> Result<(), Errno> {
        match op {
            MountOp::NewMount { kind, options, attributes, into } => {
                let context = raw::fsopen(kind)?;
                let mount = options
                    .iter()
                    .try_for_each(|(key, value)| raw::fsconfig_set(context, key, value))
                    .and_then(|()| raw::fsconfig_create(context))
                    .and_then(|()| raw::fsmount(context, *attributes));
                raw::close(context);
                self.put(*into, mount?)
            }
            MountOp::CloneTree { from, recursive, into } => {
                let tree = self.clone_tree(from, *recursive)?;
                self.put(*into, tree)
            }
            MountOp::SetAttributes { mount, attributes, recursive } => {
                raw::mount_setattr(self.fd(*mount)?, *attributes, *recursive)
            }
            MountOp::Attach { mount, target, follow } => {
                let target = raw::open_in_root(libc::AT_FDCWD, target, *follow)?;
                let moved = raw::move_mount(self.fd(*mount)?, target);
                raw::close(target);
                moved
            }
            MountOp::PivotRoot => raw::pivot_to_current_directory(),
            MountOp::MakePrivate => raw::make_private(),
        }
    }

    fn clone_tree(&self, from: &Tree, recursive: bool) -> Result<RawFd, Errno> {
        match from {
            Tree::Absolute(path) => raw::open_tree(libc::AT_FDCWD, path, recursive),
            Tree::Below(handle, name) => raw::open_tree(self.fd(*handle)?, name, recursive),
            Tree::InRoot(path) => {
                let place = raw::open_in_root(libc::AT_FDCWD, path, true)?;
                let tree = raw::open_tree(place, c"", recursive);
                raw::close(place);
                tree
            }
        }
    }

    fn file(&self, op: &FileOp) -> Result<(), Errno> {
        match op {
            FileOp::EnterDirectory(at) => raw::fchdir(self.fd(*at)?),
            FileOp::MakeDirectory { at, path, mode } => existing_is_fine(raw::mkdirat(self.fd(*at)?, path, *mode)),
            FileOp::MakeDirectoryInRoot { parent, name } => {
                in_parent(parent, |fd| existing_is_fine(raw::mkdirat(fd, name, 0o755)))
            }
            FileOp::MakeFileInRoot { parent, name } => {
                in_parent(parent, |fd| existing_is_fine(raw::make_file(fd, name, 0o644, &[])))
            }
            FileOp::MakeFile { at, path, mode, contents } => raw::make_file(self.fd(*at)?, path, *mode, contents),
            FileOp::MakeSymlink { at, path, target } => raw::symlinkat(target, self.fd(*at)?, path),
            FileOp::Own { at, path, uid, gid } => raw::lchownat(self.fd(*at)?, path, *uid, *gid),
            FileOp::Redirect { from, to } => redirect(self.fd(*from)?, *to),
        }
    }

    fn fd(&self, handle: Handle) -> Result<RawFd, Errno> {
        match handle {
            Handle::Fd(fd) => Ok(fd),
            Handle::Slot(slot) => match self.slots.get(usize::from(slot)) {
                Some(fd) if *fd >= 0 => Ok(*fd),
                Some(_) | None => Err(libc::EBADF),
            },
        }
    }

    fn put(&mut self, slot: u8, fd: RawFd) -> Result<(), Errno> {
        let place = self.slots.get_mut(usize::from(slot)).ok_or(libc::EBADF)?;
        if *place >= 0 {
            raw::close(*place);
        }
        *place = fd;
        Ok(())
    }

    fn send(&self, kind: Kind, part: Part, index: usize, value: i32) {
        let record = Record { kind, part, index, value };
        // A parent that is gone has nobody to tell, and its end kills this process.
        let _ = raw::write_all(self.report, &record.encode());
    }
}

fn process(op: &ProcessOp) -> Result<(), Errno> {
    match op {
        ProcessOp::Unshare(flags) => raw::unshare(*flags),
        ProcessOp::Hostname(name) => set_hostname(name),
        ProcessOp::LoopbackUp => loopback_up(),
        ProcessOp::Umask(mask) => {
            // SAFETY: an integer; umask(2) cannot fail.
            unsafe { raw::call(libc::SYS_umask, [*mask as usize, 0, 0, 0, 0, 0]) }.map(drop)
        }
        ProcessOp::Limit { resource, soft, hard } => lower_limit(*resource, *soft, *hard),
        ProcessOp::NewSession => {
            // SAFETY: no arguments.
            unsafe { raw::call(libc::SYS_setsid, [0; 6]) }.map(drop)
        }
        ProcessOp::ChangeDirectory(path) => raw::chdir(path),
        ProcessOp::KeepBounding(mask) => keep_bounding(*mask),
        ProcessOp::KeepCapabilities(mask) => keep_capabilities(*mask),
        ProcessOp::NoNewPrivileges => raw::prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop),
        ProcessOp::Filter(program) => install_filter(program),
        ProcessOp::Groups(groups) => raw::setgroups(groups),
        ProcessOp::Group(id) => raw::setresgid(*id),
        ProcessOp::User(id) => raw::setresuid(*id),
        ProcessOp::DefaultSignals => default_signals(),
        ProcessOp::Execute { paths, argv, env } => execute(paths, argv, env),
    }
}

fn in_parent(parent: &std::ffi::CStr, make: impl FnOnce(RawFd) -> Result<(), Errno>) -> Result<(), Errno> {
    let directory = raw::open_in_root(libc::AT_FDCWD, parent, true)?;
    let made = make(directory);
    raw::close(directory);
    made
}

fn existing_is_fine(made: Result<(), Errno>) -> Result<(), Errno> {
    match made {
        Err(libc::EEXIST) => Ok(()),
        other => other,
    }
}

fn redirect(from: RawFd, to: RawFd) -> Result<(), Errno> {
    if from == to {
        // dup3 refuses this, and what is wanted is only that exec keeps the descriptor.
        let args = [from as usize, libc::F_SETFD as usize, 0, 0, 0, 0];
        // SAFETY: integers.
        return unsafe { raw::call(libc::SYS_fcntl, args) }.map(drop);
    }
    // SAFETY: integers.
    unsafe { raw::call(libc::SYS_dup3, [from as usize, to as usize, 0, 0, 0, 0]) }.map(drop)
}

fn die_with_parent(report: RawFd) -> Result<(), Errno> {
    raw::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize)?;
    // In a new pid namespace getppid(2) says 0 whether the parent lives or not; the report pipe
    // without a reader tells that it ended before the line above.
    let mut poll = libc::pollfd { fd: report, events: 0, revents: 0 };
    // SAFETY: one pollfd; poll(2) is async-signal-safe.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    if ready > 0 && poll.revents & libc::POLLERR != 0 {
        return Err(libc::ESRCH);
    }
    Ok(())
}

fn close_others(keep: RawFd) -> Result<(), Errno> {
    let keep = u32::try_from(keep).map_err(|_| libc::EBADF)?;
    if keep > 3 {
        raw::close_range(3, keep - 1)?;
    }
    raw::close_range(keep.max(2) + 1, u32::MAX)
}

fn set_hostname(name: &[u8]) -> Result<(), Errno> {
    // SAFETY: the kernel reads `len` bytes.
    unsafe { raw::call(libc::SYS_sethostname, [name.as_ptr() as usize, name.len(), 0, 0, 0, 0]) }.map(drop)
}

pub(crate) fn loopback_up() -> Result<(), Errno> {
    // SAFETY: an all-zero ifreq is a valid one; the name ends in zeros.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (place, byte) in request.ifr_name.iter_mut().zip(b"lo") {
        *place = *byte as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
    // SAFETY: integers, then a pointer to a whole ifreq.
    unsafe {
        let socket = libc::socket(libc::AF_INET, kind, 0);
        if socket < 0 {
            return Err(raw::last_errno());
        }
        let args = [socket as usize, libc::SIOCSIFFLAGS as usize, &raw mut request as usize, 0, 0, 0];
        let done = raw::call(libc::SYS_ioctl, args).map(drop);
        raw::close(socket);
        done
    }
}

fn lower_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = [soft, hard];
    let args = [0, resource as usize, limit.as_ptr() as usize, 0, 0, 0];
    // SAFETY: the kernel reads one rlimit64, two 64-bit words.
    match unsafe { raw::call(libc::SYS_prlimit64, args) } {
        Ok(_) | Err(libc::EPERM) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn keep_bounding(mask: u64) -> Result<(), Errno> {
    for capability in 0..64usize {
        if mask >> capability & 1 == 1 {
            continue;
        }
        match raw::prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(_) => {}
            // Past the kernel's last capability.
            Err(libc::EINVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn keep_capabilities(mask: u64) -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    const PR_CAP_AMBIENT_CLEAR_ALL: usize = 4;
    match raw::prctl(libc::PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL) {
        Ok(_) | Err(libc::EINVAL) => {}
        Err(errno) => return Err(errno),
    }
    let header = [VERSION_3, 0];
    let mut sets = [0u32; 6];
    // SAFETY: the kernel reads a header of two words and writes two triples of words.
    unsafe {
        raw::call(libc::SYS_capget, [header.as_ptr() as usize, sets.as_mut_ptr() as usize, 0, 0, 0, 0])?;
    }
    let [_, permitted_low, _, _, permitted_high, _] = sets;
    let low = permitted_low & (mask as u32);
    let high = permitted_high & ((mask >> 32) as u32);
    let sets = [low, low, 0, high, high, 0];
    // SAFETY: as above, read only.
    unsafe { raw::call(libc::SYS_capset, [header.as_ptr() as usize, sets.as_ptr() as usize, 0, 0, 0, 0]) }.map(drop)
}

fn install_filter(program: &[Instruction]) -> Result<(), Errno> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| libc::E2BIG)?,
        filter: program.as_ptr().cast_mut(),
    };
    let args = [libc::SECCOMP_SET_MODE_FILTER as usize, 0, &raw const filter as usize, 0, 0, 0];
    // SAFETY: the kernel reads `len` instructions and writes none.
    unsafe { raw::call(libc::SYS_seccomp, args) }.map(drop)
}

fn default_signals() -> Result<(), Errno> {
    /// `sizeof(sigset_t)` of the kernel, everywhere we run.
    const SET_SIZE: usize = 8;
    // The kernel's own call, because the C library does not let anyone touch its internal signals
    // 32 and 33, which a parent may have left ignored. All zeros is SIG_DFL without flags, and an
    // empty set; the buffer is larger than the kernel's structure on every architecture.
    let zeros = [0u64; 16];
    let address = zeros.as_ptr() as usize;
    for signal in 1..=64usize {
        // SAFETY: the kernel reads one structure. SIGKILL and SIGSTOP are refused without harm.
        let _ = unsafe { raw::call(libc::SYS_rt_sigaction, [signal, address, 0, SET_SIZE, 0, 0]) };
    }
    let args = [libc::SIG_SETMASK as usize, address, 0, SET_SIZE, 0, 0];
    // SAFETY: the kernel reads one signal set.
    unsafe { raw::call(libc::SYS_rt_sigprocmask, args) }.map(drop)
}

/// Tries the paths as execvp(3) does; returns only a failure.
fn execute(paths: &[std::ffi::CString], argv: &Strings, env: &Strings) -> Result<(), Errno> {
    let mut answer = libc::ENOENT;
    for path in paths {
        let args = [path.as_ptr() as usize, argv.address(), env.address(), 0, 0, 0];
        // SAFETY: a C string and two arrays of C strings that end in null.
        match unsafe { raw::call(libc::SYS_execve, args) } {
            Err(libc::ENOENT | libc::ENOTDIR) => {}
            // A file that may not be executed is the answer only if no later one can.
            Err(libc::EACCES) => answer = libc::EACCES,
            Err(errno) => return Err(errno),
            Ok(_) => {}
        }
    }
    Err(answer)
}

fn fork() -> Result<i32, Errno> {
    crate::process::raw_clone(0)
}

fn wait_signal() -> Result<i32, Errno> {
    // SAFETY: a signal set on the stack; without a timeout the call only ends with a signal.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        let signal = libc::sigtimedwait(&raw const set, std::ptr::null_mut(), std::ptr::null());
        if signal < 0 {
            return Err(raw::last_errno());
        }
        Ok(signal)
    }
}

fn kill_all(signal: i32) {
    // To anybody but the first process of a pid namespace, -1 is everybody on the machine.
    // SAFETY: no arguments.
    if unsafe { raw::call(libc::SYS_getpid, [0; 6]) } != Ok(1) {
        return;
    }
    // -1 from the first process of a pid namespace is everybody else in it; nobody there is fine.
    // SAFETY: integers.
    let _ = unsafe { raw::call(libc::SYS_kill, [usize::MAX, signal as usize, 0, 0, 0, 0]) };
}

fn reap() -> Option<(i32, i32)> {
    let mut status = 0i32;
    // SAFETY: waitpid writes one int; it is async-signal-safe.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
    (pid > 0).then_some((pid, status))
}

fn exit(status: i32) -> ! {
    // SAFETY: ends the process without running anything of the copied program.
    unsafe { libc::_exit(status) }
}
