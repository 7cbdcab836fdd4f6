//! Capabilities by name, and which of them a step may be given.
//!
//! What comes in: names as buildah and docker write them. What goes out: [`Capabilities`], a change of the usual set.
//! A step shares its user namespace with the builder, so what would let it reach the builder is never given.

use std::str::FromStr;

use thiserror::Error;

/// All names, by number (capability.h).
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// With these a step could look into the builder, or mount and enter what is not its own.
const NEVER: [&str; 5] = ["SYS_ADMIN", "SYS_PTRACE", "BPF", "PERFMON", "CHECKPOINT_RESTORE"];

/// One capability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability(u8);

/// A name that stands for no capability.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CapabilityError {
    /// Nothing is called that.
    #[error("`{0}` is no capability; capabilities(7) lists them")]
    Unknown(String),
    /// A step is never given it.
    #[error(
        "CAP_{0} would let a step reach the builder, so no step has it; in a build it is needed for mounts, namespaces or tracing, which steps cannot do here"
    )]
    Never(&'static str),
}

impl FromStr for Capability {
    type Err = CapabilityError;

    /// With or without `CAP_`, in either case.
    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        let number = NAMES.iter().zip(0..).find(|(known, _)| **known == name).map(|(_, number)| number);
        number.map(Self).ok_or_else(|| CapabilityError::Unknown(text.to_owned()))
    }
}

/// What a step has beside the usual set, and what it lacks of it. What is in both is lacking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    added: u64,
    dropped: u64,
}

impl Capabilities {
    /// Gives a capability to steps that run as root. It counts for what belongs to the sandbox; the machine's own
    /// clock, devices and modules stay out of reach.
    ///
    /// # Errors
    /// [`CapabilityError::Never`].
    pub fn add(&mut self, Capability(number): Capability) -> Result<(), CapabilityError> {
        let name = NAMES.get(usize::from(number));
        if let Some(name) = name.and_then(|name| NEVER.iter().find(|never| *never == name)) {
            return Err(CapabilityError::Never(name));
        }
        self.added |= 1 << number;
        Ok(())
    }

    /// Takes a capability away.
    pub fn drop(&mut self, Capability(number): Capability) {
        self.dropped |= 1 << number;
    }

    /// Takes all away, those that were added too.
    pub fn drop_all(&mut self) {
        self.dropped = u64::MAX;
    }

    /// The set that becomes of the usual one.
    pub(crate) fn of(self, usual: u64) -> u64 {
        (usual | self.added) & !self.dropped
    }
}

/// Whether a program can give its process more than it had (`no_new_privs`, prctl(2)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Privileges {
    /// Set-user-id programs and file capabilities work.
    #[default]
    Gained,
    /// They do not.
    Fixed,
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: u64 = 0b1011;

    fn capability(name: &str) -> Capability {
        name.parse().unwrap()
    }

    #[test]
    fn names_are_read_as_people_write_them() {
        assert_eq!(capability("CAP_CHOWN"), Capability(0));
        assert_eq!(capability("net_raw"), Capability(13));
        assert_eq!(capability("cap_checkpoint_restore"), Capability(40));
        assert_eq!("CAP_FLY".parse::<Capability>(), Err(CapabilityError::Unknown("CAP_FLY".to_owned())));
    }

    #[test]
    fn what_is_dropped_is_gone_even_if_it_was_added() {
        let mut capabilities = Capabilities::default();
        assert_eq!(capabilities.of(USUAL), USUAL);
        capabilities.add(capability("DAC_READ_SEARCH")).unwrap();
        assert_eq!(capabilities.of(USUAL), 0b1111);
        capabilities.drop(capability("DAC_READ_SEARCH"));
        capabilities.drop(capability("CHOWN"));
        assert_eq!(capabilities.of(USUAL), 0b1010);
    }

    #[test]
    fn of_all_nothing_stays() {
        let mut capabilities = Capabilities::default();
        capabilities.add(capability("CHOWN")).unwrap();
        capabilities.drop_all();
        assert_eq!(capabilities.of(USUAL), 0);
    }

    #[test]
    fn no_step_is_given_what_reaches_the_builder() {
        for name in NEVER {
            assert_eq!(Capabilities::default().add(capability(name)), Err(CapabilityError::Never(name)));
        }
    }
}
