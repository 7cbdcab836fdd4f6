//! A step as a program for `sys::spawn`.
//!
//! What comes in: the step, its mounts ready to attach, and the descriptors of its root and
//! streams. What goes out: a [`sys::Program`] and a text for each operation. Pure. The order is
//! the security of the step: the filter goes in last of what needs privilege, and identity after it.

use std::ffi::{CString, OsStr};
use std::os::fd::RawFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use sys::{FileOp, Handle, MountOp, Op, ProcessOp, Program, Strings};

use crate::capability::Privileges;
use crate::ids::IdMaps;
use crate::mounts::{Mounts, Planned, Point, plan_mounts};
use crate::seccomp::{Owners, plan_filter};
use crate::step::{Network, Step};

/// CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP:
/// podman's default set (capability.h has the numbers).
pub(crate) const CAPABILITIES: u64 = {
    let numbers: [u64; 11] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 31];
    let mut mask = 0;
    let mut index = 0;
    while index < numbers.len() {
        mask |= 1 << numbers[index];
        index += 1;
    }
    mask
};

/// Where programs are looked for in an image that sets no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Descriptors of the builder that the step uses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descriptors {
    pub(crate) root: RawFd,
    pub(crate) stdin: RawFd,
    pub(crate) stdout: RawFd,
    pub(crate) stderr: RawFd,
}

/// A limit to set: resource number, soft, hard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ceiling {
    pub(crate) resource: u32,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

/// Everything a plan is made from.
#[derive(Debug, Clone)]
pub(crate) struct Inputs<'a> {
    pub(crate) step: &'a Step,
    pub(crate) points: &'a [Point],
    pub(crate) ids: &'a IdMaps,
    pub(crate) descriptors: Descriptors,
    pub(crate) ceilings: &'a [Ceiling],
}

/// A program, with what each operation does, to follow "cannot".
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) program: Arc<Program>,
    pub(crate) setup: Vec<String>,
    pub(crate) command: Vec<String>,
}

/// A word of a step that holds a zero byte, which no system call can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZeroByte(pub(crate) String);

/// The whole step.
pub(crate) fn plan_step(inputs: &Inputs<'_>) -> Result<Plan, ZeroByte> {
    let (setup, setup_texts) = split(plan_setup(inputs));
    let (command, command_texts) = split(plan_command(inputs)?);
    let program = Program { namespaces: plan_namespaces(&inputs.step.network), setup, command };
    Ok(Plan { program: Arc::new(program), setup: setup_texts, command: command_texts })
}

fn split(plan: Vec<Planned>) -> (Vec<Op>, Vec<String>) {
    plan.into_iter().map(|planned| (planned.op, planned.what)).unzip()
}

/// All but the mount namespace: the first process makes that itself, because only its current
/// directory, and no descriptor, moves into a new one.
fn plan_namespaces(network: &Network) -> i32 {
    let always = libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;
    match network {
        // Who starts the step is in its network already.
        Network::Host | Network::Loopback(_) => always,
        Network::None => always | libc::CLONE_NEWNET,
    }
}

fn plan_setup(inputs: &Inputs<'_>) -> Vec<Planned> {
    let root = Handle::Fd(inputs.descriptors.root);
    let mut plan = vec![
        Planned::new(Op::DieWithParent, "tie the step to the builder"),
        Planned::new(FileOp::EnterDirectory(root), "enter the image's root"),
        Planned::new(ProcessOp::Unshare(libc::CLONE_NEWNS), "make a mount namespace"),
        Planned::new(ProcessOp::Umask(0), "set the umask"),
    ];
    plan.extend(plan_mounts(&Mounts {
        points: inputs.points,
        network: &inputs.step.network,
        has_tty_group: inputs.ids.has_gid(5),
        shm_size: inputs.step.shm_size,
    }));
    if !inputs.step.hostname.is_empty() {
        let name = inputs.step.hostname.clone().into_bytes();
        // The default filter of podman's pods refuses this even to root of an own namespace.
        plan.push(Planned::optional(
            vec![ProcessOp::Hostname(name).into()],
            format!("set the host name {:?}", inputs.step.hostname),
        ));
    }
    if matches!(inputs.step.network, Network::None) {
        let what = "take the loopback interface up";
        plan.push(Planned::new(ProcessOp::LoopbackUp, what));
    }
    plan.push(Planned::new(MountOp::PivotRoot, "make the image's root the root"));
    plan
}

/// What the text of [`plan_command`]'s change of directory begins with.
pub(crate) const ENTER_CWD: &str = "enter the working directory";
/// What the text of [`plan_command`]'s last operation begins with.
pub(crate) const EXECUTE: &str = "execute";

fn plan_command(inputs: &Inputs<'_>) -> Result<Vec<Planned>, ZeroByte> {
    let step = inputs.step;
    let streams = inputs.descriptors;
    let mut plan = vec![Planned::new(ProcessOp::NewSession, "start a session")];
    for (from, to) in [(streams.stdin, 0), (streams.stdout, 1), (streams.stderr, 2)] {
        let from = Handle::Fd(from);
        plan.push(Planned::new(FileOp::Redirect { from, to }, "set up the streams"));
    }
    plan.push(Planned::new(Op::CloseOthers, "close the builder's descriptors (Linux 5.9 has close_range)"));
    plan.push(Planned::new(ProcessOp::DefaultSignals, "reset signals"));
    plan.push(Planned::new(ProcessOp::Umask(0o022), "set the umask"));
    plan.push(Planned::new(
        ProcessOp::ChangeDirectory(c_string(step.cwd.as_os_str())?),
        format!("{ENTER_CWD} {}", step.cwd.display()),
    ));
    for ceiling in inputs.ceilings {
        let op = ProcessOp::Limit { resource: ceiling.resource, soft: ceiling.soft, hard: ceiling.hard };
        plan.push(Planned::new(op, "lower a resource limit"));
    }
    plan.extend(plan_identity(step, inputs.ids));
    plan.push(plan_execute(step)?);
    Ok(plan)
}

/// Capabilities, filter and ids, in the only order that works: the bounding set needs SETPCAP, a
/// filter without no_new_privs needs SYS_ADMIN, and a user other than root has neither.
fn plan_identity(step: &Step, ids: &IdMaps) -> Vec<Planned> {
    let capabilities = step.capabilities.of(CAPABILITIES);
    let mut plan = vec![Planned::new(ProcessOp::KeepBounding(capabilities), "drop capabilities")];
    let is_single = ids.is_single();
    if is_single || step.privileges == Privileges::Fixed {
        plan.push(Planned::new(ProcessOp::NoNewPrivileges, "set no_new_privs"));
    }
    let owners = if is_single { Owners::Forged } else { Owners::Real };
    plan.push(Planned::new(ProcessOp::Filter(plan_filter(owners)), "install the seccomp filter"));
    // With one id there is nobody else to be, and groups were given up with the map.
    if !is_single {
        let (uid, gid) = (step.uid, step.gid);
        plan.push(Planned::new(ProcessOp::Groups(step.groups.clone()), format!("set the groups {:?}", step.groups)));
        plan.push(Planned::new(ProcessOp::Group(gid), format!("become group {gid}")));
        plan.push(Planned::new(ProcessOp::User(uid), format!("become user {uid}")));
    }
    let keep = if step.uid == 0 || is_single { capabilities } else { 0 };
    plan.push(Planned::new(ProcessOp::KeepCapabilities(keep), "drop capabilities"));
    plan
}

fn plan_execute(step: &Step) -> Result<Planned, ZeroByte> {
    let argv: Vec<CString> = step.argv.iter().map(|word| c_string(word)).collect::<Result<_, _>>()?;
    let env: Vec<CString> = step
        .env
        .iter()
        .map(|(name, value)| {
            let mut entry = name.clone();
            entry.push("=");
            entry.push(value);
            c_string(&entry)
        })
        .collect::<Result<_, _>>()?;
    let program = step.argv.first().cloned().unwrap_or_default();
    let op =
        ProcessOp::Execute { paths: plan_paths(&program, step)?, argv: Strings::new(argv), env: Strings::new(env) };
    Ok(Planned::new(op, format!("{EXECUTE} {}", program.display())))
}

/// Where the program may be, as execvp(3) looks for it, in the step's own PATH.
fn plan_paths(program: &OsStr, step: &Step) -> Result<Vec<CString>, ZeroByte> {
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    let path =
        step.env.iter().rev().find(|(name, _)| name == "PATH").map_or(OsStr::new(DEFAULT_PATH), |(_, value)| value);
    path.as_bytes()
        .split(|byte| *byte == b':')
        .map(|directory| {
            let directory = if directory.is_empty() { b"." } else { directory };
            c_string(OsStr::from_bytes(&[directory, b"/", program.as_bytes()].concat()))
        })
        .collect()
}

/// A word as the kernel takes it.
pub(crate) fn c_string(word: &OsStr) -> Result<CString, ZeroByte> {
    CString::new(word.as_bytes()).map_err(|_| ZeroByte(word.to_string_lossy().into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Extent;

    fn step(argv: &[&str], env: &[(&str, &str)]) -> Step {
        Step {
            argv: argv.iter().map(Into::into).collect(),
            env: env.iter().map(|(k, v)| (k.into(), v.into())).collect(),
            cwd: "/".into(),
            ..Step::default()
        }
    }

    fn ids(count: u32) -> IdMaps {
        let extent = Extent { inside: 0, outside: 1, count };
        IdMaps { uids: vec![extent], gids: vec![extent] }
    }

    fn identity(step: &Step, count: u32) -> Vec<String> {
        plan_identity(step, &ids(count)).into_iter().map(|p| p.what).collect()
    }

    #[test]
    fn the_filter_goes_in_before_privilege_is_gone() {
        assert_eq!(
            identity(&step(&["a"], &[]), 65_536),
            [
                "drop capabilities",
                "install the seccomp filter",
                "set the groups []",
                "become group 0",
                "become user 0",
                "drop capabilities"
            ]
        );
    }

    #[test]
    fn with_one_id_nobody_is_changed_to() {
        assert_eq!(
            identity(&step(&["a"], &[]), 1),
            ["drop capabilities", "set no_new_privs", "install the seccomp filter", "drop capabilities"]
        );
    }

    #[test]
    fn a_program_is_looked_for_in_the_step_s_last_path() {
        let step = step(&["cc"], &[("PATH", "/x"), ("PATH", "/bin::/usr/bin")]);
        let paths = plan_paths(OsStr::new("cc"), &step).unwrap();
        assert_eq!(paths, [c"/bin/cc".into(), c"./cc".into(), CString::from(c"/usr/bin/cc")]);
        assert_eq!(plan_paths(OsStr::new("/a/b"), &step).unwrap(), [CString::from(c"/a/b")]);
    }

    #[test]
    fn a_zero_byte_is_named_before_anything_runs() {
        let step = step(&["a\0b"], &[]);
        assert_eq!(plan_execute(&step).unwrap_err(), ZeroByte("a\0b".to_owned()));
    }

    #[test]
    fn the_capabilities_are_those_of_podman() {
        assert_eq!(CAPABILITIES, 0x8004_05fb);
    }

    #[test]
    fn only_a_step_without_network_has_a_network_namespace() {
        assert_eq!(plan_namespaces(&Network::Host) & libc::CLONE_NEWNET, 0);
        assert_ne!(plan_namespaces(&Network::None) & libc::CLONE_NEWNET, 0);
    }
}
