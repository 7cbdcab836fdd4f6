//! The mounts of a step, as operations for its first process.
//!
//! What comes in: the step's files and mounts, resolved as far as that is possible before the
//! step's namespace exists. What goes out: operations with a text each, for errors. Pure: nothing
//! here touches the system. All targets are paths in root; the process's current directory is the
//! step's root, and its `/` is still the machine's.

use std::ffi::CString;
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sys::{Attributes, FileOp, Handle, MountOp, Op, Tree};

use crate::step::Network;
use crate::targets::{Follow, Shape, names};

/// An operation and what it does, to follow "cannot".
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) op: Op,
    pub(crate) what: String,
}

impl Planned {
    pub(crate) fn new(op: impl Into<Op>, what: impl Into<String>) -> Self {
        Self { op: op.into(), what: what.into() }
    }

    /// Operations of which the first failure ends the rest, harmlessly.
    pub(crate) fn optional(ops: Vec<Op>, what: impl Into<String>) -> Self {
        Self::new(Op::Either { first: ops, or: Vec::new() }, what)
    }
}

/// A mount of the step, ready to attach.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) target: CString,
    pub(crate) follow: Follow,
    /// Set where the target lies below another mount of the step, which only then has it.
    pub(crate) nested: Option<Shape>,
    pub(crate) source: Source,
    /// Whether a step can do without it: a file of ours below a mount that has no place for it.
    pub(crate) is_optional: bool,
}

/// What a [`Point`] shows.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// A detached tree that the builder holds.
    Tree(RawFd),
    /// A new file system in memory, with these options.
    Memory(Vec<(CString, CString)>),
    /// A file of the step's own.
    File(Content),
}

/// A file of the step's own.
#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // It may be a secret.
        formatter.write_str("Content(***)")
    }
}

/// Descriptors that the child keeps.
mod slot {
    /// The file system that holds the step's files and an empty directory.
    pub(super) const FILES: u8 = 0;
    /// `/dev`.
    pub(super) const DEVICES: u8 = 1;
    /// Whatever is being attached.
    pub(super) const CURRENT: u8 = 2;
}

const FILES: Handle = Handle::Slot(slot::FILES);
const DEVICES: Handle = Handle::Slot(slot::DEVICES);
const CURRENT: Handle = Handle::Slot(slot::CURRENT);

const SAFE: u64 = Attributes::NO_SUID | Attributes::NO_DEV | Attributes::NO_EXEC;

/// Devices of the machine that a step gets; all but the first may be missing.
const DEVICE_NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Bytes of /dev/shm (containers.conf(5), shm_size).
const USUAL_SHARED_MEMORY: u64 = 64 << 20;

/// Links that programs expect in /dev.
const DEVICE_LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Files of /proc and /sys that tell about the machine or steer it (runtime-spec, MaskedPaths, as
/// containers-common fills it).
const MASKED_FILES: [&str; 7] = [
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/timer_list",
    "proc/timer_stats",
];
const MASKED_DIRECTORIES: [&str; 5] =
    ["proc/acpi", "proc/asound", "proc/scsi", "sys/devices/virtual/powercap", "sys/firmware"];
/// The same, ReadonlyPaths.
const READ_ONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

/// What [`plan_mounts`] needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Mounts<'a> {
    pub(crate) points: &'a [Point],
    pub(crate) network: &'a Network,
    /// Whether group 5, `tty`, exists inside.
    pub(crate) has_tty_group: bool,
    /// Bytes of /dev/shm, if they are not the usual.
    pub(crate) shm_size: Option<u64>,
}

/// Everything that is mounted before the root is entered.
pub(crate) fn plan_mounts(mounts: &Mounts<'_>) -> Vec<Planned> {
    let mut plan = plan_files(mounts.points);
    plan.extend(plan_devices(mounts));
    plan.push(plan_proc());
    plan.push(plan_sys(mounts.network));
    plan.extend(plan_masks());
    let mut file = 0;
    for point in mounts.points {
        if matches!(point.source, Source::File(..)) {
            file += 1;
        }
        plan.extend(plan_point(point, file));
    }
    plan
}

/// Our own words as C strings; none of them holds a zero byte.
fn c(text: impl Into<Vec<u8>>) -> CString {
    CString::new(text).unwrap_or_default()
}

fn new_mount(kind: &str, options: &[(&str, &str)], attributes: u64, into: u8) -> Op {
    MountOp::NewMount {
        kind: c(kind),
        options: options.iter().map(|(k, v)| (c(*k), c(*v))).collect(),
        attributes,
        into,
    }
    .into()
}

fn copy(path: &str, recursive: bool) -> Op {
    MountOp::CloneTree { from: Tree::Absolute(c(path)), recursive, into: slot::CURRENT }.into()
}

fn attach(mount: Handle, target: &str) -> Op {
    MountOp::Attach {
        mount,
        target: c(target),
        // An image whose /proc is a link is refused rather than followed.
        follow: false,
    }
    .into()
}

fn seal(attributes: u64) -> Op {
    MountOp::SetAttributes { mount: CURRENT, attributes, recursive: true }.into()
}

/// The name of the n-th file of the step in its file system.
fn file_name(number: usize) -> CString {
    c(format!("file{number}"))
}

/// A file system for the step's files. It is attached where /dev will cover it: a bind mount's
/// source must be attached in this namespace, and the step shall see only the files' targets.
fn plan_files(points: &[Point]) -> Vec<Planned> {
    let what = "make a file system in memory for the step's files";
    let mut plan = vec![
        Planned::new(new_mount("tmpfs", &[("mode", "0755")], Attributes::NO_DEV, slot::FILES), what),
        Planned::new(attach(FILES, "dev"), "mount on /dev"),
        Planned::new(FileOp::MakeDirectory { at: FILES, path: c("empty"), mode: 0o555 }, what),
    ];
    let files = points.iter().filter_map(|point| match &point.source {
        Source::File(content) => Some((&point.target, content)),
        Source::Tree(_) | Source::Memory(_) => None,
    });
    for (index, (target, content)) in files.enumerate() {
        let Content { bytes, mode, uid, gid } = content.clone();
        let path = file_name(index + 1);
        let op = FileOp::MakeFile { at: FILES, path: path.clone(), mode, contents: bytes };
        plan.push(Planned::new(op, format!("write the file for {}", target.display_lossy())));
        if (uid, gid) != (0, 0) {
            let what = format!("give the file for {} to {uid}:{gid}", target.display_lossy());
            plan.push(Planned::new(FileOp::Own { at: FILES, path, uid, gid }, what));
        }
    }
    plan
}

fn plan_devices(mounts: &Mounts<'_>) -> Vec<Planned> {
    let options = [("mode", "0755"), ("size", "65536")];
    let devices = new_mount("tmpfs", &options, Attributes::NO_SUID, slot::DEVICES);
    let mut plan = vec![
        Planned::new(devices, "make a file system in memory for /dev"),
        Planned::new(attach(DEVICES, "dev"), "mount on /dev"),
    ];
    for (index, node) in DEVICE_NODES.iter().enumerate() {
        let what = format!("show /dev/{node}");
        let ops = vec![
            copy(&format!("/dev/{node}"), false),
            FileOp::MakeFile { at: DEVICES, path: c(*node), mode: 0o666, contents: Vec::new() }.into(),
            attach(CURRENT, &format!("dev/{node}")),
        ];
        if index == 0 {
            plan.extend(ops.into_iter().map(|op| Planned::new(op, what.as_str())));
        } else {
            plan.push(Planned::optional(ops, what));
        }
    }
    for (name, target) in DEVICE_LINKS {
        let op = FileOp::MakeSymlink { at: DEVICES, path: c(name), target: c(target) };
        plan.push(Planned::new(op, format!("link /dev/{name}")));
    }
    plan.extend(plan_device_file_systems(mounts));
    plan
}

fn plan_device_file_systems(mounts: &Mounts<'_>) -> Vec<Planned> {
    let directory = |name: &str| -> Op { FileOp::MakeDirectory { at: DEVICES, path: c(name), mode: 0o755 }.into() };
    let mut terminals = vec![("newinstance", ""), ("ptmxmode", "0666"), ("mode", "0620")];
    if mounts.has_tty_group {
        terminals.push(("gid", "5"));
    }
    let no_exec = Attributes::NO_SUID | Attributes::NO_EXEC;
    let size = mounts.shm_size.unwrap_or(USUAL_SHARED_MEMORY).to_string();
    let shared = [("mode", "1777"), ("size", size.as_str())];
    vec![
        Planned::new(directory("pts"), "make /dev/pts"),
        Planned::new(
            Op::Either {
                first: vec![new_mount("devpts", &terminals, no_exec, slot::CURRENT), attach(CURRENT, "dev/pts")],
                or: vec![Op::Either {
                    first: vec![copy("/dev/pts", true), attach(CURRENT, "dev/pts")],
                    or: Vec::new(),
                }],
            },
            "mount terminals on /dev/pts",
        ),
        Planned::new(directory("shm"), "make /dev/shm"),
        Planned::new(new_mount("tmpfs", &shared, SAFE, slot::CURRENT), "make shared memory"),
        Planned::new(attach(CURRENT, "dev/shm"), "mount shared memory on /dev/shm"),
        Planned::new(directory("mqueue"), "make /dev/mqueue"),
        Planned::optional(
            vec![new_mount("mqueue", &[], SAFE, slot::CURRENT), attach(CURRENT, "dev/mqueue")],
            "mount message queues on /dev/mqueue",
        ),
    ]
}

/// What the fall-back of this operation means, for the log.
pub(crate) const MOUNT_PROC: &str = "mount proc on /proc";

/// A fresh /proc, which the kernel refuses where the pod's own has masks; then the pod's.
fn plan_proc() -> Planned {
    let op = Op::Either {
        first: vec![new_mount("proc", &[], SAFE, slot::CURRENT), attach(CURRENT, "proc")],
        or: vec![copy("/proc", true), attach(CURRENT, "proc")],
    };
    Planned::new(op, MOUNT_PROC)
}

/// A fresh /sys only shows what the step's own network has; the pod's is for the pod's network.
/// A step can do without.
fn plan_sys(network: &Network) -> Planned {
    let pods = Op::Either {
        first: vec![copy("/sys", true), seal(Attributes::READ_ONLY), attach(CURRENT, "sys")],
        or: Vec::new(),
    };
    let op = match network {
        Network::Host => pods,
        Network::None | Network::Loopback(_) => Op::Either {
            first: vec![new_mount("sysfs", &[], SAFE | Attributes::READ_ONLY, slot::CURRENT), attach(CURRENT, "sys")],
            or: vec![pods],
        },
    };
    Planned::new(op, "mount on /sys")
}

/// Not every kernel has every path, and a pod may have covered them already.
fn plan_masks() -> Vec<Planned> {
    let file = |path: &&str| {
        let ops = vec![copy("/dev/null", false), attach(CURRENT, path)];
        Planned::optional(ops, format!("mask /{path}"))
    };
    let directory = |path: &&str| {
        let empty = MountOp::CloneTree { from: Tree::Below(FILES, c("empty")), recursive: false, into: slot::CURRENT };
        let ops = vec![empty.into(), seal(Attributes::READ_ONLY), attach(CURRENT, path)];
        Planned::optional(ops, format!("mask /{path}"))
    };
    let read_only = |path: &&str| {
        let itself = MountOp::CloneTree { from: Tree::InRoot(c(*path)), recursive: true, into: slot::CURRENT };
        let ops = vec![itself.into(), seal(Attributes::READ_ONLY), attach(CURRENT, path)];
        Planned::optional(ops, format!("make /{path} read-only"))
    };
    let files = MASKED_FILES.iter().map(file);
    let directories = MASKED_DIRECTORIES.iter().map(directory);
    files.chain(directories).chain(READ_ONLY.iter().map(read_only)).collect()
}

/// One mount of the step; `file` is its number if it is a file.
fn plan_point(point: &Point, file: usize) -> Vec<Planned> {
    let what = format!("mount on {}", point.target.display_lossy());
    let mut plan = Vec::new();
    if let Some(shape) = point.nested {
        plan.extend(plan_nested(&point.target, shape));
    }
    let mount = match &point.source {
        Source::Tree(fd) => Handle::Fd(*fd),
        Source::Memory(options) => {
            let op = MountOp::NewMount {
                kind: c("tmpfs"),
                options: options.clone(),
                attributes: Attributes::NO_SUID | Attributes::NO_DEV,
                into: slot::CURRENT,
            };
            plan.push(Planned::new(op, what.clone()));
            CURRENT
        }
        Source::File(..) => {
            let from =
                MountOp::CloneTree { from: Tree::Below(FILES, file_name(file)), recursive: false, into: slot::CURRENT };
            plan.push(Planned::new(from, what.clone()));
            let attributes = Attributes::READ_ONLY | Attributes::NO_SUID | Attributes::NO_DEV;
            plan.push(Planned::new(seal(attributes), what.clone()));
            CURRENT
        }
    };
    let op = MountOp::Attach { mount, target: point.target.clone(), follow: point.follow == Follow::Links };
    plan.push(if point.is_optional { Planned::optional(vec![op.into()], what) } else { Planned::new(op, what) });
    plan
}

/// Mount points inside another mount of the step, which may have them already.
fn plan_nested(target: &CString, shape: Shape) -> Vec<Planned> {
    let path = Path::new(std::ffi::OsStr::from_bytes(target.as_bytes()));
    let names = names(path);
    let mut parent = b".".to_vec();
    let mut plan = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let at = c(parent.clone());
        let child = c(name.as_bytes());
        let is_file = index + 1 == names.len() && shape == Shape::File;
        let op = if is_file {
            FileOp::MakeFileInRoot { parent: at, name: child }
        } else {
            FileOp::MakeDirectoryInRoot { parent: at, name: child }
        };
        plan.push(Planned::optional(vec![op.into()], "make a mount point"));
        parent.push(b'/');
        parent.extend(name.as_bytes());
    }
    plan
}

/// Paths are shown as they are, with what is no UTF-8 replaced.
trait DisplayLossy {
    fn display_lossy(&self) -> String;
}

impl DisplayLossy for CString {
    fn display_lossy(&self) -> String {
        String::from_utf8_lossy(self.as_bytes()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(points: &[Point], network: &Network) -> Vec<Planned> {
        plan_mounts(&Mounts { points, network, has_tty_group: true, shm_size: None })
    }

    fn file(target: &str, contents: &str) -> Point {
        let content = Content { bytes: contents.into(), mode: 0o644, uid: 0, gid: 0 };
        let source = Source::File(content);
        Point { target: c(target), follow: Follow::Links, nested: None, source, is_optional: false }
    }

    #[test]
    fn the_files_are_covered_by_dev_before_a_step_could_see_them() {
        let plan = plan(&[], &Network::Host);
        let mut on_dev = Vec::new();
        for planned in &plan {
            if let Op::Mount(MountOp::Attach { mount, target, .. }) = &planned.op
                && target.as_c_str() == c"dev"
            {
                on_dev.push(*mount);
            }
        }
        assert_eq!(on_dev, [FILES, DEVICES]);
    }

    #[test]
    fn each_file_is_shown_at_its_own_target() {
        let plan = plan(&[file("/etc/a", "A"), file("/etc/b", "B")], &Network::Host);
        let (mut written, mut shown) = (Vec::new(), Vec::new());
        for planned in &plan {
            if let Op::File(FileOp::MakeFile { path, contents, at: FILES, .. }) = &planned.op {
                written.push((path.clone(), contents.clone()));
            }
            if let Op::Mount(MountOp::CloneTree { from: Tree::Below(FILES, name), .. }) = &planned.op {
                shown.push(name.clone());
            }
        }
        assert_eq!(written, [(c("file1"), b"A".to_vec()), (c("file2"), b"B".to_vec())]);
        assert_eq!(shown, [c("file1"), c("file2")]);
    }

    #[test]
    fn a_step_without_network_tries_a_sysfs_of_its_own() {
        let first = |network| {
            if let Op::Either { first, .. } = plan_sys(network).op {
                return first.len();
            }
            0
        };
        assert_eq!((first(&Network::None), first(&Network::Host)), (2, 3));
    }

    #[test]
    fn a_mount_below_a_mount_gets_its_mount_point_there() {
        let point = Point { nested: Some(Shape::File), ..file("/cache/a/b", "") };
        let mut made = Vec::new();
        for planned in plan_point(&point, 1) {
            if let Op::Either { mut first, .. } = planned.op {
                made.extend(first.pop());
            }
        }
        assert_eq!(made.len(), 3);
        assert!(matches!(
            &made[2],
            Op::File(FileOp::MakeFileInRoot { parent, name })
                if parent.as_c_str() == c"./cache/a" && name.as_c_str() == c"b"
        ));
    }
}
