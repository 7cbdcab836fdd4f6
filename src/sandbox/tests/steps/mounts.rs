//! Mounts of a step: where they may lie, what is thrown away, and that nothing of them stays.

use std::fs::{self, File};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use stratum_sandbox::{Access, InjectedFile, MountSource, RunError, Rung, StepMount, mount_discarding, mount_memory};

use crate::lab::{Lab, shell};

fn tmpfs(target: &str) -> StepMount {
    StepMount { target: target.into(), source: MountSource::Tmpfs { size: None, mode: 0o755 } }
}

fn bind(source: impl Into<PathBuf>, target: &str, access: Access) -> StepMount {
    StepMount { target: target.into(), source: MountSource::Bind { source: source.into(), access } }
}

pub(crate) fn linked_targets(lab: &Lab) {
    let image = lab.store.join("image");
    fs::create_dir_all(image.join("srv/real")).unwrap();
    symlink("/srv/real", image.join("link")).unwrap();
    symlink("/none/at/all", image.join("nowhere")).unwrap();
    let root = lab.usual_root();
    let mut step =
        shell("touch /link/a /link/deep/b; ls /srv/real /srv/real/deep; test -d /none/at/all && ls /nowhere");
    // The second lies below the first, which only shows when the link is followed.
    step.mounts = vec![tmpfs("/link"), tmpfs("/link/deep"), tmpfs("/nowhere")];
    let outcome = lab.run(&root, &step);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("/srv/real:\na\ndeep\n\n/srv/real/deep:\nb\n", ""));
    assert!(!lab.store.join("upper/none").exists() && !lab.store.join("upper/srv/real/deep").exists());
}

pub(crate) fn reserved_targets(lab: &Lab) {
    symlink("/proc", lab.store.join("image/link")).unwrap();
    let root = lab.usual_root();
    for target in ["/", "/dev", "/proc", "/proc/fs", "/sys", "/link", "/link/x"] {
        let mut step = shell("true");
        step.mounts = vec![tmpfs(target)];
        let error = lab.try_run(&root, &step).err().unwrap();
        assert!(matches!(error, RunError::Reserved { .. }), "{target}: {error}");
    }
    let mut step = shell("touch /dev/mine/x && ls /dev/mine");
    step.mounts = vec![tmpfs("/dev/mine")];
    assert_eq!(lab.run(&root, &step).stdout, "x\n");
}

pub(crate) fn a_file_in_the_way(lab: &Lab) {
    let root = lab.usual_root();
    let mut step = shell("true");
    step.mounts = vec![tmpfs("/bin/busybox/x")];
    let error = lab.try_run(&root, &step).err().unwrap();
    assert!(matches!(error, RunError::Target { .. }), "{error}");
    assert_eq!(lab.upper(), Vec::<String>::new());
}

pub(crate) fn discarded(lab: &Lab) {
    let root = lab.usual_root();
    let below = lab.store.join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("kept"), "kept").unwrap();
    let (base, lower) = (File::open(&lab.store).unwrap(), File::open(&below).unwrap());
    let merged = mount_discarding(base.as_fd(), lower.as_fd(), Path::new("thrown")).unwrap();
    let mut step = shell("rm /m/kept; touch /m/new; ls /m");
    let at = format!("/proc/self/fd/{}", merged.dir().as_raw_fd());
    step.mounts = vec![bind(at, "/m", Access::Writable)];
    assert_eq!(lab.run(&root, &step).stdout, "new\n");
    drop(merged);
    assert!(below.join("kept").exists() && !below.join("new").exists());
    assert!(!lab.store.join("upper/m").exists());
}

pub(crate) fn memory(lab: &Lab) {
    let root = lab.usual_root();
    let base = File::open(&lab.store).unwrap();
    let made = mount_memory(base.as_fd(), Path::new("memory"), Some(65536), 0o700).unwrap();
    fs::write(lab.store.join("memory/file"), "x").unwrap();
    let mut step =
        shell("cat /m/file; stat -c %a /m; dd if=/dev/zero of=/m/full bs=128k count=1 2>/dev/null || echo full");
    let at = format!("/proc/self/fd/{}", made.dir().as_raw_fd());
    step.mounts = vec![bind(at, "/m", Access::Writable)];
    assert_eq!(lab.run(&root, &step).stdout, "x700\nfull\n");
    drop(made);
    assert!(!lab.store.join("memory/file").exists());
}

pub(crate) fn owned_file(lab: &Lab) {
    let root = lab.usual_root();
    let mut step = shell("stat -c %u:%g:%a /run/secrets/s; cat /run/secrets/s");
    let contents = b"x".to_vec();
    let target = PathBuf::from("/run/secrets/s");
    step.files = vec![InjectedFile { target, contents, mode: 0o440, uid: 5, gid: 6, is_dispensable: false }];
    let owner = if lab.entered.rung == Rung::Single { "0:0" } else { "5:6" };
    assert_eq!(lab.run(&root, &step).stdout, format!("{owner}:440\nx"));
    assert!(!lab.store.join("upper/run/secrets").exists());
}

pub(crate) fn no_place_for_our_files(lab: &Lab) {
    let root = lab.usual_root();
    let empty = lab.store.join("empty");
    fs::create_dir(&empty).unwrap();
    let mut step = shell("ls /etc");
    step.mounts = vec![bind(&empty, "/etc", Access::ReadOnly)];
    let target = PathBuf::from("/etc/hosts");
    let file = InjectedFile { target, contents: Vec::new(), mode: 0o644, uid: 0, gid: 0, is_dispensable: true };
    step.files = vec![file.clone()];
    assert_eq!(lab.run(&root, &step).stdout, "");
    step.files = vec![InjectedFile { is_dispensable: false, ..file }];
    assert!(lab.try_run(&root, &step).is_err());
}
