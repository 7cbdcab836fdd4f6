//! What this machine and this process say about themselves, for choosing maps and explaining errors.
//!
//! What comes in: files of /proc and /etc. What goes out: [`Facts`], and two lines of text for a
//! [`Problem`]. No rung is ever ruled out from facts alone: they explain what was tried.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::ids::{self, Extent, Ids};
use crate::rung::Rung;

/// How newuidmap gets its privilege.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// `cap_setuid=ep` on the file.
    FileCapability,
    /// The set-user-id bit.
    SetUserId,
    /// Neither can be seen.
    Unknown,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) uid_map: Vec<Extent>,
    pub(crate) gid_map: Vec<Extent>,
    pub(crate) sub_uids: Vec<Ids>,
    pub(crate) sub_gids: Vec<Ids>,
    pub(crate) newuidmap: Option<(PathBuf, Privilege)>,
    pub(crate) newgidmap: Option<PathBuf>,
    pub(crate) has_filter: bool,
    pub(crate) has_no_new_privileges: bool,
    pub(crate) effective: u64,
    pub(crate) max_user_namespaces: Option<u64>,
    pub(crate) apparmor_restricts: bool,
    pub(crate) userns_clone_off: bool,
    pub(crate) is_chrooted: bool,
}

/// Where newuidmap is looked for; the search path of the environment is not ours to read.
const PROGRAM_DIRECTORIES: [&str; 4] = ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/bin"];

impl Facts {
    /// Reads them. A file that is missing leaves its fact out.
    pub(crate) fn load() -> Self {
        let status = read("/proc/self/status");
        let uid = rustix::process::geteuid().as_raw();
        let passwd = read("/etc/passwd");
        let name = ids::parse_user_name(&passwd, uid);
        Self {
            uid,
            gid: rustix::process::getegid().as_raw(),
            uid_map: ids::parse_map(&read("/proc/self/uid_map")),
            gid_map: ids::parse_map(&read("/proc/self/gid_map")),
            sub_uids: ids::parse_subordinate(&read("/etc/subuid"), uid, name),
            sub_gids: ids::parse_subordinate(&read("/etc/subgid"), uid, name),
            newuidmap: find("newuidmap").map(|path| {
                let privilege = privilege(&path);
                (path, privilege)
            }),
            newgidmap: find("newgidmap"),
            has_filter: status_field(&status, "Seccomp:") == Some("2"),
            has_no_new_privileges: status_field(&status, "NoNewPrivs:") == Some("1"),
            effective: status_field(&status, "CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0),
            max_user_namespaces: number("/proc/sys/user/max_user_namespaces"),
            apparmor_restricts: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1),
            userns_clone_off: number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0),
            is_chrooted: !has_root_mount(&read("/proc/self/mountinfo")),
        }
    }

    fn has(&self, capability: u32) -> bool {
        self.effective >> capability & 1 == 1
    }
}

fn read(path: &str) -> String {
    // An unreadable file is a fact that is not known; what is tried tells the rest.
    std::fs::read_to_string(path).unwrap_or_default()
}

fn number(path: &str) -> Option<u64> {
    read(path).trim().parse().ok()
}

fn find(program: &str) -> Option<PathBuf> {
    PROGRAM_DIRECTORIES.iter().map(|directory| Path::new(directory).join(program)).find(|path| path.is_file())
}

fn privilege(path: &Path) -> Privilege {
    const SET_USER_ID: u32 = 0o4000;
    let mut value = [0u8; 64];
    if rustix::fs::getxattr(path, "security.capability", &mut value).is_ok() {
        return Privilege::FileCapability;
    }
    match path.metadata() {
        Ok(found) if found.permissions().mode() & SET_USER_ID != 0 && found.uid() == 0 => Privilege::SetUserId,
        Ok(_) | Err(_) => Privilege::Unknown,
    }
}

/// The first word after `name` in `/proc/<pid>/status`.
pub(crate) fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_ascii_whitespace().next())
}

/// Whether `/` is the root of a mount; below a chroot(2) into a plain directory it is not, and
/// without the file nothing can be said.
fn has_root_mount(mountinfo: &str) -> bool {
    mountinfo.is_empty() || mountinfo.lines().any(|line| line.split(' ').nth(4) == Some("/"))
}

/// What went wrong on a rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Rung `sub` is for users other than root.
    IsRoot,
    /// No line of /etc/subuid or /etc/subgid is for this user.
    NoSubordinateIds,
    /// newuidmap or newgidmap is not installed.
    NoNewuidmap,
    /// There are no ids here but 0.
    NoRange,
    /// `unshare` failed.
    Unshare(i32),
    /// Writing a map failed.
    WriteMap(i32),
    /// newuidmap or newgidmap failed and said this.
    Newuidmap(String),
    /// In the namespace, this could not be done.
    Inside(&'static str, i32),
    /// The probe itself could not be made.
    Probe(String),
}

const ASK_SCC: &str = "run the build with SCC nested-container (hostUsers: false) or anyuid, or as \
                       a custom strategy with BUILD_PRIVILEGED; see stratum doctor";
const ASK_APPARMOR: &str = "install an AppArmor profile with `userns,` for this program, or set \
                            kernel.apparmor_restrict_unprivileged_userns=0";
const CAP_SETUID: u32 = 7;
const CAP_SETFCAP: u32 = 31;

/// One line of cause and one of remedy.
pub(crate) fn explain(rung: Rung, problem: &Problem, facts: &Facts) -> (String, String) {
    match problem {
        Problem::IsRoot => ("root needs no subordinate ids".to_owned(), "use range or full".to_owned()),
        Problem::NoSubordinateIds => (
            format!("/etc/subuid and /etc/subgid have no range for uid {}", facts.uid),
            "add one line to each, for example `build:100000:65536`, and install newuidmap".to_owned(),
        ),
        Problem::NoNewuidmap => (
            "newuidmap and newgidmap are not installed".to_owned(),
            "install the package uidmap or shadow-utils".to_owned(),
        ),
        Problem::NoRange => (
            "this namespace has no ids but 0 to map".to_owned(),
            "run in a pod whose user namespace has 65536 ids".to_owned(),
        ),
        Problem::Unshare(errno) => explain_unshare(*errno, facts),
        Problem::WriteMap(errno) => explain_map(rung, *errno, facts),
        Problem::Newuidmap(text) => explain_newuidmap(text, facts),
        Problem::Inside(what, errno) => (
            format!("cannot {what} in the user namespace: {}", describe(*errno)),
            if facts.apparmor_restricts {
                ASK_APPARMOR.to_owned()
            } else {
                "check the pod's seccomp, AppArmor and SELinux policy".to_owned()
            },
        ),
        Problem::Probe(text) => {
            (format!("cannot try it: {text}"), "check the limits on processes and descriptors".to_owned())
        }
    }
}

fn explain_unshare(errno: i32, facts: &Facts) -> (String, String) {
    let cause = |why: String| format!("cannot create a user namespace: {why}");
    match errno {
        libc::ENOSYS if facts.has_filter => {
            (cause("the pod's seccomp filter answers ENOSYS (CRI-O RuntimeDefault)".to_owned()), ASK_SCC.to_owned())
        }
        libc::ENOSYS | libc::EINVAL => (
            cause("this kernel has none (CONFIG_USER_NS)".to_owned()),
            "run on a kernel that has user namespaces".to_owned(),
        ),
        libc::ENOSPC | libc::EUSERS if facts.max_user_namespaces == Some(0) => (
            cause("user.max_user_namespaces is 0".to_owned()),
            "set the node's sysctl user.max_user_namespaces to 10000 or more".to_owned(),
        ),
        libc::ENOSPC | libc::EUSERS => (
            cause("all that user.max_user_namespaces allows are in use, or they are nested too deep".to_owned()),
            "raise the sysctl user.max_user_namespaces".to_owned(),
        ),
        libc::EPERM if facts.userns_clone_off => (
            cause("kernel.unprivileged_userns_clone is 0".to_owned()),
            "set the sysctl kernel.unprivileged_userns_clone to 1".to_owned(),
        ),
        libc::EPERM if facts.has_filter => (
            cause("the seccomp filter answers EPERM (Docker or containerd RuntimeDefault)".to_owned()),
            "run the container with --security-opt seccomp=unconfined, or the pod with \
             seccompProfile Unconfined"
                .to_owned(),
        ),
        libc::EPERM if facts.is_chrooted => (
            cause("this process is in a chroot, where the kernel refuses it".to_owned()),
            "start the build outside the chroot, or enter it with pivot_root".to_owned(),
        ),
        other => (cause(describe(other)), "check the SELinux and AppArmor policy of this process".to_owned()),
    }
}

fn explain_map(rung: Rung, errno: i32, facts: &Facts) -> (String, String) {
    let cause = |why: &str| format!("cannot map ids: {why}");
    if errno == libc::EPERM && facts.apparmor_restricts && facts.uid != 0 {
        let why = "AppArmor restricts unprivileged user namespaces";
        return (cause(why), ASK_APPARMOR.to_owned());
    }
    if errno == libc::EPERM && rung == Rung::Range && !facts.has(CAP_SETUID) {
        return (
            cause(&format!("uid {} has no CAP_SETUID", facts.uid)),
            "use uid 0 (SCC anyuid), or /etc/subuid with newuidmap".to_owned(),
        );
    }
    if errno == libc::EPERM && !facts.has(CAP_SETFCAP) && (rung == Rung::Full || facts.uid == 0) {
        return (
            cause("the parent's id 0 takes CAP_SETFCAP (Linux 5.12)"),
            "add SETFCAP to the pod's capabilities, or use range".to_owned(),
        );
    }
    (cause(&describe(errno)), "check the capabilities SETUID and SETGID of this process".to_owned())
}

fn explain_newuidmap(text: &str, facts: &Facts) -> (String, String) {
    let remedy = if facts.has_no_new_privileges {
        "set allowPrivilegeEscalation: true, because no_new_privs disarms newuidmap"
    } else {
        match facts.newuidmap.as_ref().map(|(_, privilege)| *privilege) {
            Some(Privilege::SetUserId) => {
                "install newuidmap with file capabilities instead of the set-user-id bit \
                 (setcap cap_setuid=ep newuidmap; setcap cap_setgid=ep newgidmap)"
            }
            Some(Privilege::FileCapability) => {
                "check that /etc/subuid lies within the ids of this pod and that SETUID and SETGID \
                 are in its bounding set"
            }
            Some(Privilege::Unknown) | None => {
                "give newuidmap the file capability cap_setuid=ep and newgidmap cap_setgid=ep"
            }
        }
    };
    (format!("newuidmap failed: {text}"), remedy.to_owned())
}

/// The kernel's text for an error number.
pub(crate) fn describe(errno: i32) -> String {
    io::Error::from_raw_os_error(errno).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(rung: Rung, problem: Problem, facts: Facts) -> String {
        explain(rung, &problem, &facts).0
    }

    #[test]
    fn the_filter_of_cri_o_is_told_from_the_one_of_docker() {
        let facts = Facts { has_filter: true, ..Facts::default() };
        assert_eq!(
            cause(Rung::Range, Problem::Unshare(libc::ENOSYS), facts.clone()),
            "cannot create a user namespace: the pod's seccomp filter answers ENOSYS (CRI-O RuntimeDefault)"
        );
        assert_eq!(
            cause(Rung::Range, Problem::Unshare(libc::EPERM), facts),
            "cannot create a user namespace: the seccomp filter answers EPERM (Docker or containerd RuntimeDefault)"
        );
    }

    #[test]
    fn a_sysctl_that_forbids_namespaces_is_named() {
        let none = Facts { max_user_namespaces: Some(0), ..Facts::default() };
        assert_eq!(
            cause(Rung::Single, Problem::Unshare(libc::ENOSPC), none),
            "cannot create a user namespace: user.max_user_namespaces is 0"
        );
        let debian = Facts { userns_clone_off: true, has_filter: true, ..Facts::default() };
        assert_eq!(
            cause(Rung::Single, Problem::Unshare(libc::EPERM), debian),
            "cannot create a user namespace: kernel.unprivileged_userns_clone is 0"
        );
    }

    #[test]
    fn a_chroot_is_the_last_guess() {
        let facts = Facts { is_chrooted: true, ..Facts::default() };
        assert_eq!(
            cause(Rung::Single, Problem::Unshare(libc::EPERM), facts),
            "cannot create a user namespace: this process is in a chroot, where the kernel refuses it"
        );
    }

    #[test]
    fn apparmor_shows_at_the_map_not_at_the_namespace() {
        let facts = Facts { uid: 1000, apparmor_restricts: true, ..Facts::default() };
        assert_eq!(
            cause(Rung::Single, Problem::WriteMap(libc::EPERM), facts),
            "cannot map ids: AppArmor restricts unprivileged user namespaces"
        );
    }

    #[test]
    fn the_capability_that_a_map_takes_is_named() {
        let user = Facts { uid: 1000, ..Facts::default() };
        assert_eq!(
            cause(Rung::Range, Problem::WriteMap(libc::EPERM), user),
            "cannot map ids: uid 1000 has no CAP_SETUID"
        );
        assert_eq!(
            cause(Rung::Single, Problem::WriteMap(libc::EPERM), Facts::default()),
            "cannot map ids: the parent's id 0 takes CAP_SETFCAP (Linux 5.12)"
        );
    }

    #[test]
    fn a_set_user_id_newuidmap_is_blamed_for_its_failure() {
        let facts =
            Facts { newuidmap: Some((PathBuf::from("/usr/bin/newuidmap"), Privilege::SetUserId)), ..Facts::default() };
        let (_, remedy) = explain(Rung::Sub, &Problem::Newuidmap("no".to_owned()), &facts);
        assert!(remedy.contains("file capabilities"), "{remedy}");
    }

    #[test]
    fn a_chroot_has_no_mount_at_its_root() {
        assert!(has_root_mount("22 1 8:1 / / rw - ext4 /dev/a rw\n"));
        assert!(!has_root_mount("23 22 0:5 / /proc rw - proc proc rw\n"));
        assert!(has_root_mount(""));
    }
}
