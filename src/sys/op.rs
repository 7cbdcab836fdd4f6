//! What [`crate::spawn`] does between `clone` and `exec`, as data.
//!
//! A [`Program`] is built before the clone, where memory may be allocated and mistakes explained;
//! the child only walks it. What comes in: C strings and descriptors of the caller. What goes out
//! of the child: [`Record`]s over a pipe. Nothing here runs anything.

use std::ffi::CString;
use std::os::fd::RawFd;

/// One instruction of a classic BPF program, as seccomp(2) takes it.
pub type Instruction = libc::sock_filter;

/// A descriptor an operation uses: the caller's, or one that an earlier operation opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handle {
    /// A descriptor of the spawning process. It must stay open until [`crate::spawn`] returns.
    Fd(RawFd),
    /// A place in the child's table of at most 16 descriptors.
    Slot(u8),
}

/// Where [`MountOp::CloneTree`] finds the tree it copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree {
    /// An absolute path in the namespace as it is at that moment.
    Absolute(CString),
    /// A path with the current directory as the root nothing leaves.
    InRoot(CString),
    /// A name below a descriptor.
    Below(Handle, CString),
}

/// C strings with the array of pointers that `execve` wants, prepared before the clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strings {
    // Held for the memory that `pointers` names; a CString's bytes do not move with it.
    strings: Vec<CString>,
    // Addresses, so that the type may cross threads; the last is null.
    pointers: Vec<usize>,
}

impl Strings {
    /// The array for these strings, in order.
    #[must_use]
    pub fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<usize> = strings.iter().map(|s| s.as_ptr() as usize).collect();
        pointers.push(0);
        Self { strings, pointers }
    }

    /// The strings, in order.
    #[must_use]
    pub fn strings(&self) -> &[CString] {
        &self.strings
    }

    pub(crate) fn address(&self) -> usize {
        self.pointers.as_ptr() as usize
    }
}

/// One operation of the child.
#[derive(Debug, Clone)]
pub enum Op {
    /// Asks for SIGKILL when the spawning thread ends, and fails with ESRCH if it has ended.
    DieWithParent,
    /// Closes every descriptor from 3 on but the report pipe.
    CloseOthers,
    /// The first list or, from its first failure on, the second. A failure of the first is
    /// reported as [`Kind::Fallback`]; an empty second list means that failing is harmless.
    Either {
        /// Tried first.
        first: Vec<Op>,
        /// Done if an operation of `first` fails.
        or: Vec<Op>,
    },
    /// See [`MountOp`].
    Mount(MountOp),
    /// See [`FileOp`].
    File(FileOp),
    /// See [`ProcessOp`].
    Process(ProcessOp),
}

/// Operations on mounts.
///
/// Paths "in root" have the current directory as root: no `..` and no symbolic link leaves it.
#[derive(Debug, Clone)]
pub enum MountOp {
    /// A new file system that is not attached anywhere yet.
    NewMount {
        /// Its type, as in /proc/filesystems.
        kind: CString,
        /// Options; one with an empty value is a flag.
        options: Vec<(CString, CString)>,
        /// [`crate::Attributes`].
        attributes: u64,
        /// Where the new mount's descriptor goes.
        into: u8,
    },
    /// A detached copy of a mount tree.
    CloneTree {
        /// What is copied.
        from: Tree,
        /// Whether mounts below come along.
        recursive: bool,
        /// Where the copy's descriptor goes.
        into: u8,
    },
    /// Adds attributes to a mount that an earlier operation made.
    SetAttributes {
        /// The mount.
        mount: Handle,
        /// [`crate::Attributes`].
        attributes: u64,
        /// Whether the mounts below get them too.
        recursive: bool,
    },
    /// Attaches a detached mount on a path in root.
    Attach {
        /// The mount.
        mount: Handle,
        /// Where, relative to the current directory as root.
        target: CString,
        /// Whether a symbolic link at the end of `target` is followed or covered itself.
        follow: bool,
    },
    /// Makes the current directory, a mount point, the root, and lets the old root go.
    PivotRoot,
    /// Makes every mount of the namespace private: nothing goes out, nothing comes in.
    MakePrivate,
}

/// Operations on files, directories and descriptors.
///
/// Paths "in root" have the current directory as root: no `..` and no symbolic link leaves it.
#[derive(Debug, Clone)]
pub enum FileOp {
    /// Changes to an open directory.
    EnterDirectory(Handle),
    /// A directory; one that exists is left alone.
    MakeDirectory {
        /// The descriptor `path` is relative to.
        at: Handle,
        /// One or more names.
        path: CString,
        /// Permission bits, past the umask only if that was cleared before.
        mode: u32,
    },
    /// A directory in root; one that exists is left alone.
    MakeDirectoryInRoot {
        /// The directory it lies in, in root.
        parent: CString,
        /// Its name.
        name: CString,
    },
    /// An empty file in root; one that exists is left alone.
    MakeFileInRoot {
        /// The directory it lies in, in root.
        parent: CString,
        /// Its name.
        name: CString,
    },
    /// A new file.
    MakeFile {
        /// The descriptor `path` is relative to.
        at: Handle,
        /// Its name.
        path: CString,
        /// Its permission bits, whatever the umask.
        mode: u32,
        /// What it holds.
        contents: Vec<u8>,
    },
    /// A symbolic link.
    MakeSymlink {
        /// The descriptor `path` is relative to.
        at: Handle,
        /// Its name.
        path: CString,
        /// What it says.
        target: CString,
    },
    /// Gives a file an owner; a symbolic link is not followed.
    Own {
        /// The descriptor `path` is relative to.
        at: Handle,
        /// Its name.
        path: CString,
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
    /// Makes descriptor number `to` a copy that survives `exec`.
    Redirect {
        /// What is copied.
        from: Handle,
        /// The number it gets.
        to: i32,
    },
}

/// Operations on the process itself.
#[derive(Debug, Clone)]
pub enum ProcessOp {
    /// unshare(2).
    Unshare(i32),
    /// sethostname(2).
    Hostname(Vec<u8>),
    /// Takes the interface `lo` up.
    LoopbackUp,
    /// umask(2).
    Umask(u32),
    /// setrlimit(2); a refusal is ignored, because limits are only ever lowered.
    Limit {
        /// `RLIMIT_…`.
        resource: u32,
        /// The soft limit.
        soft: u64,
        /// The hard limit.
        hard: u64,
    },
    /// setsid(2).
    NewSession,
    /// chdir(2).
    ChangeDirectory(CString),
    /// Takes every capability but those of the mask out of the bounding set.
    KeepBounding(u64),
    /// Empties the ambient and inheritable sets and cuts permitted and effective to the mask.
    KeepCapabilities(u64),
    /// PR_SET_NO_NEW_PRIVS.
    NoNewPrivileges,
    /// Installs a seccomp filter.
    Filter(Vec<Instruction>),
    /// setgroups(2), one thread.
    Groups(Vec<u32>),
    /// setresgid(2), one thread.
    Group(u32),
    /// setresuid(2), one thread.
    User(u32),
    /// Default signal actions and an empty signal mask.
    DefaultSignals,
    /// execve(2) of the first of the paths that can be executed.
    Execute {
        /// Tried in order, as execvp(3) does.
        paths: Vec<CString>,
        /// Arguments, the name first.
        argv: Strings,
        /// The whole environment.
        env: Strings,
    },
}

impl From<MountOp> for Op {
    fn from(op: MountOp) -> Self {
        Self::Mount(op)
    }
}

impl From<FileOp> for Op {
    fn from(op: FileOp) -> Self {
        Self::File(op)
    }
}

impl From<ProcessOp> for Op {
    fn from(op: ProcessOp) -> Self {
        Self::Process(op)
    }
}

/// What a child does: `setup` as the first process of its namespaces, which then stays as their
/// init, and `command` in the one process it starts.
#[derive(Debug, Clone)]
pub struct Program {
    /// `CLONE_NEW…` flags of the first process. With CLONE_NEWPID its end is the end of everything
    /// that was started in it.
    pub namespaces: i32,
    /// Operations of the first process.
    pub setup: Vec<Op>,
    /// Operations of the command's process; the last is [`ProcessOp::Execute`]. Without any, the first
    /// process ends after `setup` and reports [`Kind::Exited`] with status 0.
    pub command: Vec<Op>,
}

/// Which list of a [`Program`] a record speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// `setup`.
    Setup,
    /// `command`.
    Command,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The operation failed and the child gave up.
    Failed,
    /// The first half of an [`Op::Either`] failed and the second was taken.
    Fallback,
    /// The command ended; `value` is its wait status.
    Exited,
}

/// One message of the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// What happened.
    pub kind: Kind,
    /// In which list.
    pub part: Part,
    /// Index of the operation in that list.
    pub index: usize,
    /// An error number, or a wait status.
    pub value: i32,
}

impl Record {
    /// Bytes of one record on the pipe.
    pub const SIZE: usize = 16;

    pub(crate) fn encode(self) -> [u8; Self::SIZE] {
        let kind = match self.kind {
            Kind::Failed => 1i32,
            Kind::Fallback => 2,
            Kind::Exited => 3,
        };
        let part = match self.part {
            Part::Setup => 0i32,
            Part::Command => 1,
        };
        let index = i32::try_from(self.index).unwrap_or(i32::MAX);
        let mut bytes = [0; Self::SIZE];
        let words = [kind, part, index, self.value];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// The record that these bytes hold, if they hold one.
    #[must_use]
    pub fn decode(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let word = |at: usize| {
            let four = bytes.get(at..at.checked_add(4)?)?;
            Some(i32::from_ne_bytes(four.try_into().ok()?))
        };
        let kind = match word(0)? {
            1 => Kind::Failed,
            2 => Kind::Fallback,
            3 => Kind::Exited,
            _ => return None,
        };
        let part = match word(4)? {
            0 => Part::Setup,
            1 => Part::Command,
            _ => return None,
        };
        Some(Self { kind, part, index: usize::try_from(word(8)?).ok()?, value: word(12)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_from_its_bytes() {
        let record = Record { kind: Kind::Fallback, part: Part::Command, index: 7, value: libc::EPERM };
        assert_eq!(Record::decode(&record.encode()), Some(record));
    }

    #[test]
    fn foreign_bytes_are_no_record() {
        assert_eq!(Record::decode(&[0xff; Record::SIZE]), None);
    }

    #[test]
    fn an_array_of_strings_ends_in_a_null_pointer() {
        let strings = Strings::new(vec![c"a".to_owned(), c"b".to_owned()]);
        assert_eq!(strings.pointers.len(), 3);
        assert_eq!(strings.pointers.last(), Some(&0));
    }
}
