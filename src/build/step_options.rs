//! What the command line says of RUN, for all steps alike.
//!
//! Comes in: options already parsed and found possible. Goes out: what of it a [`sandbox::Step`] takes. It gives a
//! step nothing that the sandbox does not have.

use std::path::Path;

use sandbox::{Capabilities, InjectedFile, Privileges, Step};

use crate::Request;

/// Options on RUN. The default changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepOptions {
    /// `--hostname`, instead of our own.
    pub hostname: Option<String>,
    /// `--no-hosts`: the image's own /etc/hosts is seen.
    pub keeps_hosts: bool,
    /// `--no-hostname`: the image's own /etc/hostname is seen.
    pub keeps_hostname: bool,
    /// `--dns none`: the image's own /etc/resolv.conf is seen.
    pub keeps_resolv_conf: bool,
    /// `--add-host`: address and name, after the machine's own lines.
    pub hosts: Vec<(String, String)>,
    /// `--shm-size`: bytes of /dev/shm.
    pub shm_size: Option<u64>,
    /// `--cap-add`, `--cap-drop`.
    pub capabilities: Capabilities,
    /// `--security-opt no-new-privileges`.
    pub privileges: Privileges,
    /// `--group-add`: groups by name or number, as the image knows them.
    pub groups: Vec<String>,
}

/// The host name every step sees, so that none leaks into an image.
const HOSTNAME: &str = "stratum-build";

/// The host name of steps.
pub(crate) fn hostname(options: &StepOptions) -> &str {
    options.hostname.as_deref().unwrap_or(HOSTNAME)
}

/// Files that are mounted on in a step and must not appear in a layer for it.
pub(crate) fn mount_points<'p>(options: &StepOptions) -> Vec<&'p Path> {
    let all = [
        ("/etc/resolv.conf", options.keeps_resolv_conf),
        ("/etc/hosts", options.keeps_hosts),
        ("/etc/hostname", options.keeps_hostname),
    ];
    all.into_iter().filter(|(_, is_kept)| !is_kept).map(|(path, _)| Path::new(path)).collect()
}

/// What is seen on [`mount_points`], and what is injected where the stage sees that.
pub(crate) fn files(request: &Request, sees_injected: bool) -> Vec<InjectedFile> {
    let options = &request.steps;
    let contents = |path: &Path| match path.file_name().and_then(std::ffi::OsStr::to_str) {
        Some("resolv.conf") => request.resolv_conf.clone(),
        Some("hosts") => hosts(&request.hosts, options),
        Some(_) | None => format!("{}\n", hostname(options)).into_bytes(),
    };
    let file = |path: &Path, contents, is_dispensable| InjectedFile {
        target: path.to_owned(),
        contents,
        mode: 0o644,
        uid: 0,
        gid: 0,
        is_dispensable,
    };
    let injected = request.step_inputs.files.iter().filter(|_| sees_injected);
    let injected = injected.map(|one| file(&one.target, one.contents.clone(), false));
    mount_points(options).into_iter().map(|path| file(path, contents(path), true)).chain(injected).collect()
}

fn hosts(machine: &[u8], options: &StepOptions) -> Vec<u8> {
    let name = hostname(options);
    let mut hosts = machine.to_vec();
    hosts.push(b'\n');
    for (address, name) in &options.hosts {
        hosts.extend_from_slice(format!("{address} {name}\n").as_bytes());
    }
    hosts.extend_from_slice(format!("127.0.0.1 {name}\n::1 {name}\n").as_bytes());
    hosts
}

/// A step with the options that concern no file.
pub(crate) fn apply(step: &mut Step, options: &StepOptions) {
    step.shm_size = options.shm_size;
    step.capabilities = options.capabilities;
    step.privileges = options.privileges;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_hosts_stand_between_the_machines_and_our_own() {
        let hosts_of = |options: &StepOptions| String::from_utf8(hosts(b"127.0.0.1 localhost", options)).unwrap();
        let options = StepOptions {
            hosts: vec![("192.0.2.1".to_owned(), "db".to_owned())],
            hostname: Some("me".to_owned()),
            ..StepOptions::default()
        };
        assert_eq!(hosts_of(&options), "127.0.0.1 localhost\n192.0.2.1 db\n127.0.0.1 me\n::1 me\n");
    }

    #[test]
    fn files_of_the_image_that_are_kept_are_not_mounted_on() {
        let options = StepOptions { keeps_hosts: true, keeps_resolv_conf: true, ..StepOptions::default() };
        assert_eq!(mount_points(&options), [Path::new("/etc/hostname")]);
        assert_eq!(mount_points(&StepOptions::default()).len(), 3);
    }
}
