//! System calls the standard library lacks, one function each.
//!
//! What it is for: namespaces, identity of one thread, mounts, signals, event descriptors, and
//! [`spawn`], which runs a prepared list of operations between `clone` and `exec`. What comes in:
//! descriptors, ready C strings and numbers. What goes out: descriptors and [`std::io::Error`].
//! It never decides, never formats a message, never reads the environment, and it is the only crate
//! of the workspace that holds unsafe code.

mod child;
mod event;
mod mount;
mod op;
mod process;
mod raw;
mod signal;

pub use event::{EventFd, Readiness, wait_readable};
pub use mount::{
    Attributes, FsContext, bind_tree, mount_overlay, move_mount, set_attributes, set_private, unmount_lazily,
    unshare_directory,
};
pub use op::{FileOp, Handle, Instruction, Kind, MountOp, Op, Part, ProcessOp, Program, Record, Strings, Tree};
pub use process::{
    Pid, Spawned, Status, become_groups, become_user, fork_alone, last_capability, limit, loopback_up, set_dumpable,
    spawn, thread_count, unshare,
};
pub use signal::{on_signals, send};
