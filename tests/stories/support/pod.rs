//! Runs the binary inside a simulated build pod of `../shared/pods`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::binary::Stratum;
use super::scratch::Scratch;
use super::{is_root, program, shared, skip};

/// A kind of pod, such as `restricted-v2`, `anyuid` or `laptop-nosubuid`.
pub(crate) struct Pod {
    harness: PathBuf,
    profile: String,
}

impl Pod {
    /// Skips aloud where the harness, its tools or the right to make pods is missing.
    pub(crate) fn new(profile: &str) -> Option<Self> {
        let harness = shared("pods/pod.sh")?;
        for tool in ["crun", "python3", "setpriv", "unshare"] {
            program(tool)?;
        }
        if !is_root() {
            return skip("only root can simulate a pod");
        }
        Some(Self { harness, profile: profile.to_owned() })
    }

    /// One run in the pod. `scratch` is readable and writable there at the same path, and its `out` folder by anyone;
    /// the store is the pod's own business unless an argument names it.
    pub(crate) fn stratum<S: AsRef<str>>(&self, scratch: &Scratch, arguments: &[S]) -> Stratum {
        self.stratum_with(scratch, &[], arguments)
    }

    /// The same with these variables in the pod.
    pub(crate) fn stratum_with<S: AsRef<str>>(
        &self,
        scratch: &Scratch,
        environment: &[(&str, String)],
        arguments: &[S],
    ) -> Stratum {
        let binary = scratch.path().join("stratum");
        if !binary.exists() {
            fs::copy(env!("CARGO_BIN_EXE_stratum"), &binary).unwrap();
            fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let out = scratch.folder("out");
        fs::set_permissions(out, fs::Permissions::from_mode(0o1777)).unwrap();
        let mut command = Command::new(&self.harness);
        command.arg("-w").arg(scratch.path());
        for (name, value) in environment {
            command.arg("-e").arg(format!("{name}={value}"));
        }
        command.arg(&self.profile).arg("--").arg(binary);
        command.args(arguments.iter().map(AsRef::as_ref)).current_dir(scratch.path()).env_clear();
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        Stratum::from_command(command)
    }
}

#[test]
fn the_binary_starts_in_a_pod() {
    let Some(pod) = Pod::new("anyuid") else { return };
    let scratch = Scratch::new();
    pod.stratum(&scratch, &["--help"]).run().expect(0);
}
