//! What one step is, as the builder describes it, and how it ended.
//!
//! Data only. All paths of a step are paths in the image: absolute, and resolved with the image's
//! root as root.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::{Capabilities, Loopback, Privileges};

/// One command to run in a root.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// The program and its arguments. A program without a slash is looked for in the `PATH` of
    /// `env`.
    pub argv: Vec<OsString>,
    /// The whole environment, in order.
    pub env: Vec<(OsString, OsString)>,
    /// The directory to start in. It must exist.
    pub cwd: PathBuf,
    /// User id in the image.
    pub uid: u32,
    /// Group id in the image.
    pub gid: u32,
    /// Supplementary group ids in the image.
    pub groups: Vec<u32>,
    /// Mounts, in order: a later one may lie below an earlier one.
    pub mounts: Vec<StepMount>,
    /// What network it has.
    pub network: Network,
    /// The host name it sees; empty leaves the machine's, and so does a pod whose filter refuses
    /// to change it.
    pub hostname: String,
    /// Files that the step sees and the image never has.
    pub files: Vec<InjectedFile>,
    /// Limits on resources; a limit is only ever lowered.
    pub limits: Vec<Limit>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Bytes of /dev/shm; none means 64 MiB.
    pub shm_size: Option<u64>,
    /// What it has of root's power beside the usual.
    pub capabilities: Capabilities,
    /// Whether it can gain any by executing a program.
    pub privileges: Privileges,
}

/// Something mounted for one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepMount {
    /// Where. A missing mount point is made, and removed after the step.
    pub target: PathBuf,
    /// What.
    pub source: MountSource,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// A file or directory of this machine, mounts below it included. For one whose parents are
    /// out of reach, `/proc/self/fd/N` of a descriptor opened after [`crate::enter`].
    Bind {
        /// Its path.
        source: PathBuf,
        /// Whether the step may write to it.
        access: Access,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Its size in bytes; none means half of the memory.
        size: Option<u64>,
        /// Permission bits of its root.
        mode: u32,
    },
}

/// Whether a step may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It may not.
    ReadOnly,
    /// It may, as far as owners and modes allow.
    Writable,
}

/// What network a step has.
#[derive(Debug, Clone, Default)]
pub enum Network {
    /// That of the builder.
    Host,
    /// A loopback interface and nothing else.
    #[default]
    None,
    /// A loopback interface, and what the builder serves there; several steps may share it.
    Loopback(Arc<Loopback>),
}

/// A file that the step sees read-only and that leaves no trace in the layer.
#[derive(Clone, PartialEq, Eq)]
pub struct InjectedFile {
    /// Where it is seen, over whatever file the image has there.
    pub target: PathBuf,
    /// What it holds. It is kept in memory only, and may be a secret.
    pub contents: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Its owner. With one id (rung `single`) this is root whatever it says.
    pub uid: u32,
    /// Its group, likewise.
    pub gid: u32,
    /// Whether the step goes on without it where a mount of the step's leaves no place for it.
    pub is_dispensable: bool,
}

impl std::fmt::Debug for InjectedFile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("InjectedFile").field("target", &self.target).finish_non_exhaustive()
    }
}

/// An upper limit on a resource (getrlimit(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Which resource.
    pub resource: Resource,
    /// The soft limit, in the resource's unit.
    pub soft: u64,
    /// The hard limit, in the resource's unit.
    pub hard: u64,
}

/// A resource of getrlimit(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of address space.
    AddressSpace,
    /// Bytes of a core file.
    CoreSize,
    /// Seconds of processor time.
    CpuSeconds,
    /// Bytes of a file.
    FileSize,
    /// Descriptors.
    OpenFiles,
    /// Processes of the user.
    Processes,
    /// Bytes of stack.
    Stack,
    /// Bytes of initialised data and heap.
    Data,
    /// Locks on files; the kernel no longer counts them.
    Locks,
    /// Bytes that are locked into memory.
    LockedMemory,
    /// Bytes in message queues.
    MessageQueues,
    /// The ceiling of niceness, counted upwards from 1.
    Nice,
    /// Bytes of resident memory; the kernel no longer looks at it.
    ResidentSet,
    /// The highest real-time priority.
    RealTimePriority,
    /// Microseconds of real-time processor use without a system call that waits.
    RealTimeMicroseconds,
    /// Signals that are waiting.
    PendingSignals,
}

impl Resource {
    /// The most a step can have of it: this process's own hard limit, `u64::MAX` for none.
    #[must_use]
    pub fn ceiling(self) -> u64 {
        // A resource the kernel does not know limits nothing.
        sys::limit(self.number()).map_or(u64::MAX, |(_, hard)| hard)
    }

    pub(crate) fn number(self) -> u32 {
        // The GNU C library gives these constants a type of their own, `u32`; others an `int`.
        #[allow(clippy::unnecessary_cast, reason = "a cast only with some C libraries")]
        let number = (match self {
            Self::AddressSpace => libc::RLIMIT_AS,
            Self::CoreSize => libc::RLIMIT_CORE,
            Self::CpuSeconds => libc::RLIMIT_CPU,
            Self::FileSize => libc::RLIMIT_FSIZE,
            Self::OpenFiles => libc::RLIMIT_NOFILE,
            Self::Processes => libc::RLIMIT_NPROC,
            Self::Stack => libc::RLIMIT_STACK,
            Self::Data => libc::RLIMIT_DATA,
            Self::Locks => libc::RLIMIT_LOCKS,
            Self::LockedMemory => libc::RLIMIT_MEMLOCK,
            Self::MessageQueues => libc::RLIMIT_MSGQUEUE,
            Self::Nice => libc::RLIMIT_NICE,
            Self::ResidentSet => libc::RLIMIT_RSS,
            Self::RealTimePriority => libc::RLIMIT_RTPRIO,
            Self::RealTimeMicroseconds => libc::RLIMIT_RTTIME,
            Self::PendingSignals => libc::RLIMIT_SIGPENDING,
        }) as u32;
        number
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Killed, and the kernel's count of processes killed for memory rose in this container
    /// meanwhile. A good guess, no proof.
    OutOfMemory,
    /// [`Step::timeout`] passed, and it was stopped.
    TimedOut,
    /// The [`crate::Cancel`] flag was set, and it was stopped.
    Cancelled,
}

/// Which stream some output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
