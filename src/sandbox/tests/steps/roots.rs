//! Whose identity a step has, and what its root is made of.

use std::fs;

use stratum_sandbox::{Access, Exit, MountSource, RunError, Rung, StepMount};

use crate::cases::field;
use crate::lab::{Lab, shell, step};

pub(crate) fn another_user(lab: &Lab) {
    let root = lab.usual_root();
    let mut step = shell("id -u; id -g; id -G; cat /proc/self/status; echo again > /dev/stdout");
    (step.uid, step.gid, step.groups) = (1000, 1001, vec![1002]);
    let outcome = lab.run(&root, &step);
    assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr);
    let lines: Vec<&str> = outcome.stdout.lines().take(3).collect();
    if lab.entered.rung == Rung::Single {
        assert_eq!(lines[..2], ["0", "0"]);
    } else {
        assert_eq!(lines, ["1000", "1001", "1001 1002"]);
        assert_eq!(field(&outcome.stdout, "CapEff:"), "0000000000000000");
    }
    assert!(outcome.stdout.ends_with("again\n"));
}

pub(crate) fn unmapped_user(lab: &Lab) {
    let mut step = shell("id -u");
    step.uid = u32::MAX - 1;
    let outcome = lab.try_run(&lab.usual_root(), &step).map(|outcome| outcome.stdout);
    match (lab.entered.rung, outcome) {
        (Rung::Single, Ok(id)) => assert_eq!(id, "0\n"),
        (Rung::Full, Ok(id)) => assert_eq!(id, "4294967294\n"),
        (_, outcome) => assert!(matches!(outcome, Err(RunError::Unmapped { .. })), "{outcome:?}"),
    }
}

pub(crate) fn empty_image(lab: &Lab) {
    let root = lab.root(&[]);
    fs::copy(lab.store.join("image/bin/busybox"), lab.store.join("busybox")).unwrap();
    let mut step = step(&["/busybox", "echo", "hello"]);
    step.mounts = vec![StepMount {
        target: "/busybox".into(),
        source: MountSource::Bind { source: lab.store.join("busybox"), access: Access::ReadOnly },
    }];
    assert_eq!(lab.run(&root, &step).stdout, "hello\n");
    assert_eq!(lab.upper(), Vec::<String>::new());
}

pub(crate) fn mounted_again(lab: &Lab) {
    for round in 0..3 {
        let root = lab.usual_root();
        lab.shell(&root, &format!("echo {round} > /etc/round{round}"));
    }
    assert_eq!(lab.upper(), ["etc", "etc/round0", "etc/round1", "etc/round2"]);
}

pub(crate) fn parallel(lab: &Lab) {
    let root = lab.usual_root();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let root = &root;
            scope.spawn(move || {
                for n in 0..10 {
                    let text = lab.shell(root, &format!("echo {thread}-{n}"));
                    assert_eq!(text, format!("{thread}-{n}\n"));
                }
            });
        }
    });
}

pub(crate) fn many_layers(lab: &Lab) {
    let mut lowers = Vec::new();
    for n in 0..150 {
        let name = format!("{n:060}");
        fs::create_dir(lab.store.join(&name)).unwrap();
        fs::write(lab.store.join(&name).join(format!("file{n}")), "").unwrap();
        lowers.push(name);
    }
    let mut names: Vec<&str> = lowers.iter().map(String::as_str).collect();
    names.extend(["image", "stubs"]);
    let root = lab.root(&names);
    assert_eq!(lab.shell(&root, "ls -d /file* | wc -l"), "150\n");
}
