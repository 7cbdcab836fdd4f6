//! The claims about a directory of ours that lies over one of the image while a step runs.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use stratum_sandbox::{Access, Exit, MountSource, Root, Step, StepMount};

use crate::lab::{Lab, shell};

/// A directory of the builder with one file, and a step that has it on `target`, writable.
fn over(lab: &Lab, target: &str, script: &str) -> (PathBuf, Step) {
    let ours = lab.store.join("ours");
    fs::create_dir(&ours).unwrap();
    fs::write(ours.join("a"), "before\n").unwrap();
    let mut step = shell(script);
    let source = MountSource::Bind { source: ours.clone(), access: Access::Writable };
    step.mounts.push(StepMount { target: target.into(), source });
    (ours, step)
}

/// When a directory of the merged tree was changed: seconds and nanoseconds.
fn changed(root: &Root, path: &str) -> (i64, i64) {
    let top = PathBuf::from(format!("/proc/self/fd/{}", root.dir().as_raw_fd()));
    let found = fs::metadata(top.join(path)).unwrap();
    (found.mtime(), found.mtime_nsec())
}

/// Name, owner, group and contents of what is in a directory, sorted.
fn list(directory: &Path) -> Vec<String> {
    let mut lines: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let found = entry.metadata().unwrap();
            let contents = fs::read_to_string(entry.path()).unwrap_or_else(|_| "(directory)".to_owned());
            format!("{} {}:{} {}", entry.file_name().display(), found.uid(), found.gid(), contents.trim_end())
        })
        .collect();
    lines.sort();
    lines
}

const WORK: &str = "cat a; stat -c %u:%g . a; echo after > b && mv b a && mkdir sub && echo new > c; ln a d; rm -f old";

pub(crate) fn existing(lab: &Lab) {
    let inside = lab.store.join("image/etc/repos");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("own"), "the image's\n").unwrap();
    let root = lab.usual_root();
    let before = (changed(&root, "etc"), changed(&root, "etc/repos"));
    let (ours, mut step) = over(lab, "/etc/repos", &format!("cd /etc/repos; {WORK}; rmdir /etc/repos"));
    let outcome = lab.run(&root, &step);
    assert_eq!(outcome.stdout, "before\n0:0\n0:0\n");
    assert_eq!(outcome.exit, Exit::Code(1), "the mount point cannot be removed");
    assert_eq!(list(&ours), ["a 0:0 after", "c 0:0 new", "d 0:0 after", "sub 0:0 (directory)"]);
    assert_eq!(lab.upper(), Vec::<String>::new());
    assert_eq!((changed(&root, "etc"), changed(&root, "etc/repos")), before);
    // What the builder puts there between steps is seen, and without the mount the image's own is.
    fs::remove_file(ours.join("a")).unwrap();
    step.argv = shell("ls /etc/repos").argv;
    assert_eq!(lab.run(&root, &step).stdout, "c\nd\nsub\n");
    assert_eq!(lab.shell(&root, "cat /etc/repos/*"), "the image's\n");
    assert_eq!(lab.upper(), Vec::<String>::new());
}

pub(crate) fn stub(lab: &Lab) {
    let root = lab.usual_root();
    let before = changed(&root, ".");
    let (ours, step) = over(lab, "/srv/stub", &format!("cd /srv/stub; {WORK}"));
    assert_eq!(lab.run(&root, &step).stdout, "before\n0:0\n0:0\n");
    assert_eq!(list(&ours), ["a 0:0 after", "c 0:0 new", "d 0:0 after", "sub 0:0 (directory)"]);
    assert_eq!(changed(&root, "."), before);
    drop(root);
    assert_eq!(lab.upper(), Vec::<String>::new());
}

pub(crate) fn missing(lab: &Lab) {
    let root = lab.root(&["image"]);
    let before = (changed(&root, "."), changed(&root, "etc"));
    let (_, mut step) = over(lab, "/made/by/us", "cat /made/by/us/a");
    assert_eq!(lab.run(&root, &step).stdout, "before\n");
    assert_eq!(lab.upper(), Vec::<String>::new());
    step.mounts[0].target = "/etc/made/by/us".into();
    step.argv = shell("cat /etc/made/by/us/a").argv;
    assert_eq!(lab.run(&root, &step).stdout, "before\n");
    // A directory of the image was copied up, unchanged; a stub spares it that.
    assert_eq!(lab.upper(), ["etc"]);
    assert_eq!((changed(&root, "."), changed(&root, "etc")), before);
}
