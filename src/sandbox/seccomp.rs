//! The system calls a step is refused, as a BPF program.
//!
//! What comes in: whether owners are forged. What goes out: instructions for seccomp(2). The list
//! denies what containers-common's default denies to a process without special capabilities, and in
//! addition mounts, namespaces and keys: a step has no use for them and they are where kernels break.
//!
//! Assembled here and not by a crate, because one filter has to answer with several error numbers,
//! 32-bit programs on x86-64 must get the same list instead of being killed, and ppc64le and s390x
//! count. It never allows what it cannot name: a foreign ABI is refused whole.

use sys::Instruction;

/// Whether changes of owner are answered with success and not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners {
    /// The kernel changes them.
    Real,
    /// The filter answers 0 (rung `single`).
    Forged,
}

/// A test on one argument, of which the low 32 bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Test {
    Always,
    /// The argument has one of these bits.
    AnyBit {
        argument: u32,
        bits: u32,
    },
    /// The argument is this.
    Equals {
        argument: u32,
        value: u32,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    call: u32,
    test: Test,
    errno: i32,
}

/// All `CLONE_NEW…` flags.
const NEW_NAMESPACES: u32 = 0x7e02_0080;
const TIOCSTI: u32 = 0x5412;
const TIOCLINUX: u32 = 0x541c;
const AF_VSOCK: u32 = 40;

/// `struct seccomp_data` (seccomp(2)): offsets of its fields.
const OFFSET_NUMBER: u32 = 0;
const OFFSET_ARCHITECTURE: u32 = 4;
const OFFSET_ARGUMENTS: u32 = 16;

/// Calls that all architectures count alike (since Linux 5.1), and their answer.
const COMMON: [(u32, i32); 13] = [
    (425, libc::EPERM),  // io_uring_setup
    (426, libc::EPERM),  // io_uring_enter
    (427, libc::EPERM),  // io_uring_register
    (428, libc::EPERM),  // open_tree
    (429, libc::EPERM),  // move_mount
    (430, libc::EPERM),  // fsopen
    (431, libc::EPERM),  // fsconfig
    (432, libc::EPERM),  // fsmount
    (433, libc::EPERM),  // fspick
    (435, libc::ENOSYS), // clone3: its flags lie in memory, so programs must fall back to clone
    (442, libc::EPERM),  // mount_setattr
    (443, libc::EPERM),  // quotactl_fd
    (467, libc::EPERM),  // open_tree_attr
];

/// Calls of this architecture that are refused always.
#[rustfmt::skip]
const NATIVE: &[libc::c_long] = &[
    libc::SYS_mount, libc::SYS_umount2, libc::SYS_pivot_root, libc::SYS_setns,
    libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key,
    libc::SYS_bpf, libc::SYS_perf_event_open, libc::SYS_userfaultfd,
    libc::SYS_kexec_load, libc::SYS_init_module, libc::SYS_finit_module, libc::SYS_delete_module,
    libc::SYS_open_by_handle_at, libc::SYS_fanotify_init,
    libc::SYS_acct, libc::SYS_quotactl, libc::SYS_nfsservctl, libc::SYS_reboot,
    libc::SYS_swapon, libc::SYS_swapoff, libc::SYS_syslog,
    libc::SYS_sethostname, libc::SYS_setdomainname, libc::SYS_vhangup,
    libc::SYS_settimeofday, libc::SYS_clock_settime, libc::SYS_kcmp,
    libc::SYS_migrate_pages, libc::SYS_move_pages, libc::SYS_vmsplice,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))]
    libc::SYS_kexec_file_load,
    // The libc crate does not name it on these.
    #[cfg(target_arch = "s390x")]
    381,
    #[cfg(target_arch = "powerpc64")]
    382,
    #[cfg(any(target_arch = "x86_64", target_arch = "powerpc64", target_arch = "s390x"))]
    libc::SYS_uselib,
    #[cfg(any(target_arch = "x86_64", target_arch = "powerpc64", target_arch = "s390x"))]
    libc::SYS_ustat,
    #[cfg(any(target_arch = "x86_64", target_arch = "powerpc64", target_arch = "s390x"))]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
];

/// Calls of this architecture that change an owner.
#[rustfmt::skip]
const NATIVE_OWNERS: &[libc::c_long] = &[
    libc::SYS_fchown, libc::SYS_fchownat, libc::SYS_setgroups,
    #[cfg(any(target_arch = "x86_64", target_arch = "powerpc64", target_arch = "s390x"))]
    libc::SYS_chown,
    #[cfg(any(target_arch = "x86_64", target_arch = "powerpc64", target_arch = "s390x"))]
    libc::SYS_lchown,
];

/// The same for 32-bit x86 programs on an x86-64 kernel (syscall_32.tbl).
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const COMPAT: &[u32] = &[
    21, 22, 52,             // mount, umount, umount2
    217, 346,               // pivot_root, setns
    286, 287, 288,          // add_key, request_key, keyctl
    357, 336, 374,          // bpf, perf_event_open, userfaultfd
    283, 128, 350, 129,     // kexec_load, init_module, finit_module, delete_module
    342, 338,               // open_by_handle_at, fanotify_init
    51, 131, 169, 88,       // acct, quotactl, nfsservctl, reboot
    87, 115, 103,           // swapon, swapoff, syslog
    74, 121, 111,           // sethostname, setdomainname, vhangup
    79, 25, 264, 404, 349,  // settimeofday, stime, clock_settime, clock_settime64, kcmp
    294, 317, 316,          // migrate_pages, move_pages, vmsplice
    86, 62, 135, 110, 101,  // uselib, ustat, sysfs, iopl, ioperm
    113, 166,               // vm86old, vm86
];
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const COMPAT_OWNERS: &[u32] = &[
    16, 95, 182,            // lchown, fchown, chown with 16-bit ids
    198, 207, 212,          // lchown32, fchown32, chown32
    298, 81, 206,           // fchownat, setgroups, setgroups32
];

/// `AUDIT_ARCH_…` of <linux/audit.h>.
const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
    0xc000_0015
} else if cfg!(target_arch = "s390x") {
    0x8000_0016
} else if cfg!(target_arch = "riscv64") {
    0xc000_00f3
} else {
    // No filter of ours matches: every call of a step is refused rather than let through.
    0
};
#[cfg(target_arch = "x86_64")]
const COMPAT_ARCHITECTURE: u32 = 0x4000_0003;
/// Bit of the numbers of the x32 ABI, which shares x86-64's architecture value.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

fn rule(call: u32, test: Test, errno: i32) -> Rule {
    Rule { call, test, errno }
}

/// Calls refused for an argument: `clone`, `unshare`, `ioctl` and `socket` have these numbers.
fn by_argument(clone: u32, unshare: u32, ioctl: u32, socket: u32) -> Vec<Rule> {
    // The first argument of clone but on s390x, where the stack comes first.
    let flags = u32::from(cfg!(target_arch = "s390x"));
    let any = |argument| Test::AnyBit { argument, bits: NEW_NAMESPACES };
    let is = |argument, value| Test::Equals { argument, value };
    vec![
        rule(clone, any(flags), libc::EPERM),
        rule(unshare, any(0), libc::EPERM),
        rule(ioctl, is(1, TIOCSTI), libc::EPERM),
        rule(ioctl, is(1, TIOCLINUX), libc::EPERM),
        rule(socket, is(0, AF_VSOCK), libc::EPERM),
    ]
}

fn number(call: libc::c_long) -> u32 {
    // System call numbers are small and positive.
    call as u32
}

fn plan_native(owners: Owners) -> Vec<Rule> {
    let mut rules = by_argument(
        number(libc::SYS_clone),
        number(libc::SYS_unshare),
        number(libc::SYS_ioctl),
        number(libc::SYS_socket),
    );
    rules.extend(NATIVE.iter().map(|call| rule(number(*call), Test::Always, libc::EPERM)));
    rules.extend(COMMON.iter().map(|(call, errno)| rule(*call, Test::Always, *errno)));
    if owners == Owners::Forged {
        rules.extend(NATIVE_OWNERS.iter().map(|call| rule(number(*call), Test::Always, 0)));
    }
    rules
}

#[cfg(target_arch = "x86_64")]
fn plan_compat(owners: Owners) -> Vec<Rule> {
    // clone, unshare, ioctl, socket of 32-bit x86; socketcall(2) hides its arguments in memory.
    let mut rules = by_argument(120, 310, 54, 359);
    rules.extend(COMPAT.iter().map(|call| rule(*call, Test::Always, libc::EPERM)));
    rules.extend(COMMON.iter().map(|(call, errno)| rule(*call, Test::Always, *errno)));
    if owners == Owners::Forged {
        rules.extend(COMPAT_OWNERS.iter().map(|call| rule(*call, Test::Always, 0)));
    }
    rules
}

const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_ANY_BIT: u16 = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const ALLOW: u32 = 0x7fff_0000;
const ERRNO: u32 = 0x0005_0000;

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn answer(errno: i32) -> Instruction {
    // Error numbers are below 4096.
    instruction(RETURN, 0, 0, ERRNO | errno as u32)
}

/// The low half of an argument: 64-bit fields, in the machine's byte order.
fn argument_offset(argument: u32) -> u32 {
    let low_half = if cfg!(target_endian = "big") { 4 } else { 0 };
    OFFSET_ARGUMENTS + 8 * argument + low_half
}

fn assemble_rule(rule: &Rule) -> Vec<Instruction> {
    let load_number = instruction(LOAD, 0, 0, OFFSET_NUMBER);
    let test = match rule.test {
        Test::Always => {
            return vec![instruction(JUMP_EQUAL, 0, 1, rule.call), answer(rule.errno)];
        }
        Test::AnyBit { argument, bits } => (JUMP_ANY_BIT, argument, bits),
        Test::Equals { argument, value } => (JUMP_EQUAL, argument, value),
    };
    let (code, argument, k) = test;
    vec![
        instruction(JUMP_EQUAL, 0, 4, rule.call),
        instruction(LOAD, 0, 0, argument_offset(argument)),
        instruction(code, 0, 1, k),
        answer(rule.errno),
        load_number,
    ]
}

/// The rules of one ABI, ending in "allow".
fn assemble_list(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![instruction(LOAD, 0, 0, OFFSET_NUMBER)];
    #[cfg(target_arch = "x86_64")]
    program.extend([instruction(JUMP_ANY_BIT, 0, 1, X32_BIT), answer(libc::ENOSYS)]);
    program.extend(rules.iter().flat_map(assemble_rule));
    program.push(instruction(RETURN, 0, 0, ALLOW));
    program
}

/// `list`, if the architecture is this one; otherwise what follows it.
fn for_architecture(architecture: u32, list: Vec<Instruction>) -> Vec<Instruction> {
    // A conditional jump reaches 255 instructions, which a list may exceed.
    let length = u32::try_from(list.len()).unwrap_or(u32::MAX);
    let mut program = vec![
        instruction(LOAD, 0, 0, OFFSET_ARCHITECTURE),
        instruction(JUMP_EQUAL, 1, 0, architecture),
        instruction(JUMP, 0, 0, length),
    ];
    program.extend(list);
    program
}

/// The filter of a step.
pub(crate) fn plan_filter(owners: Owners) -> Vec<Instruction> {
    let mut program = for_architecture(ARCHITECTURE, assemble_list(&plan_native(owners)));
    #[cfg(target_arch = "x86_64")]
    program.extend(for_architecture(COMPAT_ARCHITECTURE, assemble_list(&plan_compat(owners))));
    program.push(answer(libc::ENOSYS));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel would answer: an error number, or `None` for "allow".
    fn answers(program: &[Instruction], arch: u32, call: u32, args: [u64; 6]) -> Option<u32> {
        let field = |offset: u32| match offset {
            OFFSET_NUMBER => call,
            OFFSET_ARCHITECTURE => arch,
            other => args
                .iter()
                .enumerate()
                .find(|(i, _)| argument_offset(u32::try_from(*i).unwrap()) == other)
                .map(|(_, value)| *value as u32)
                .unwrap(),
        };
        let (mut at, mut accumulator) = (0usize, 0u32);
        loop {
            let i = program[at];
            at += 1;
            match i.code {
                LOAD => accumulator = field(i.k),
                JUMP => at += i.k as usize,
                RETURN if i.k == ALLOW => return None,
                RETURN => return Some(i.k & 0xffff),
                JUMP_EQUAL => at += usize::from(if accumulator == i.k { i.jt } else { i.jf }),
                JUMP_ANY_BIT => at += usize::from(if accumulator & i.k != 0 { i.jt } else { i.jf }),
                other => panic!("no such instruction: {other}"),
            }
        }
    }

    #[track_caller]
    fn check(call: libc::c_long, first: u64, expected: Option<i32>) {
        let program = plan_filter(Owners::Real);
        let args = [first, 0, 0, 0, 0, 0];
        let expected = expected.map(|errno| u32::try_from(errno).unwrap());
        assert_eq!(answers(&program, ARCHITECTURE, number(call), args), expected);
    }

    #[test]
    fn ordinary_calls_are_allowed() {
        for call in [libc::SYS_read, libc::SYS_execve, libc::SYS_chroot, libc::SYS_ptrace] {
            check(call, 0, None);
        }
    }

    #[test]
    fn mounts_keys_and_modules_are_refused() {
        for call in [libc::SYS_mount, libc::SYS_fsopen, libc::SYS_keyctl, libc::SYS_bpf, libc::SYS_init_module] {
            check(call, 0, Some(libc::EPERM));
        }
    }

    #[cfg(not(target_arch = "s390x"))]
    #[test]
    fn a_new_process_is_allowed_and_a_new_namespace_is_not() {
        check(libc::SYS_clone, libc::SIGCHLD as u64, None);
        check(libc::SYS_clone, libc::CLONE_NEWUSER as u64 | 17, Some(libc::EPERM));
        check(libc::SYS_unshare, libc::CLONE_FILES as u64, None);
        check(libc::SYS_unshare, libc::CLONE_NEWNS as u64, Some(libc::EPERM));
        check(libc::SYS_clone3, 0, Some(libc::ENOSYS));
    }

    #[test]
    fn terminal_input_cannot_be_forged() {
        let program = plan_filter(Owners::Real);
        let ioctl = number(libc::SYS_ioctl);
        let with = |request| [0, request, 0, 0, 0, 0];
        assert_eq!(answers(&program, ARCHITECTURE, ioctl, with(0x5412)), Some(1));
        assert_eq!(answers(&program, ARCHITECTURE, ioctl, with(0x1_0000_5412)), Some(1));
        assert_eq!(answers(&program, ARCHITECTURE, ioctl, with(0x5413)), None);
    }

    #[test]
    fn owners_are_forged_only_where_there_is_one_id() {
        let call = number(libc::SYS_fchownat);
        let real = plan_filter(Owners::Real);
        assert_eq!(answers(&real, ARCHITECTURE, call, [0; 6]), None);
        let forged = plan_filter(Owners::Forged);
        assert_eq!(answers(&forged, ARCHITECTURE, call, [0; 6]), Some(0));
    }

    #[test]
    fn a_foreign_abi_is_refused_whole() {
        assert_eq!(answers(&plan_filter(Owners::Real), 0x1234, 0, [0; 6]), Some(38));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn thirty_two_bit_programs_run_under_the_same_list() {
        let program = plan_filter(Owners::Forged);
        let compat = |call, args| answers(&program, COMPAT_ARCHITECTURE, call, args);
        assert_eq!(compat(3, [0; 6]), None); // read
        assert_eq!(compat(21, [0; 6]), Some(1)); // mount
        assert_eq!(compat(212, [0; 6]), Some(0)); // chown32
        assert_eq!(compat(310, [u64::from(NEW_NAMESPACES), 0, 0, 0, 0, 0]), Some(1)); // unshare
        let x32 = X32_BIT | number(libc::SYS_read);
        assert_eq!(answers(&program, ARCHITECTURE, x32, [0; 6]), Some(38));
    }

    #[test]
    fn the_program_is_within_the_kernel_s_limit() {
        // BPF_MAXINSNS of <linux/bpf_common.h>.
        assert!(plan_filter(Owners::Forged).len() <= 4096);
    }
}
