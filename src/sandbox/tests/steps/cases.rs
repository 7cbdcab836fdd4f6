//! The claims about steps. Each runs in a process of its own, in one rung.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use stratum_sandbox::{
    Access, Exit, InjectedFile, MountSource, Network, RunError, Rung, StepMount, Stream, run as run_step,
};

use crate::SKIPPED;
use crate::lab::{Lab, processes_with, shell, step};
use crate::{held, loopback, mounts, over, roots};

type Case = fn(&Lab);

pub(crate) const CASES: &[(&str, Case)] = &[
    ("the_exit_status_is_passed_on", exit_status),
    ("a_daemon_ends_with_its_step", daemon),
    ("mount_points_and_files_leave_no_trace", no_trace),
    ("a_missing_target_is_made_and_removed", made_target),
    ("a_file_over_a_link_is_seen_through_it", linked_target),
    ("a_mount_on_a_link_lies_where_the_link_leads", mounts::linked_targets),
    ("nothing_is_mounted_over_what_every_step_has", mounts::reserved_targets),
    ("a_file_in_the_way_of_a_mount_is_named", mounts::a_file_in_the_way),
    ("what_is_written_over_a_tree_is_thrown_away", mounts::discarded),
    ("a_mount_in_memory_has_its_size_and_mode", mounts::memory),
    ("a_file_of_a_step_has_its_owner", mounts::owned_file),
    ("a_file_of_ours_gives_way_to_a_mount_without_it", mounts::no_place_for_our_files),
    ("proc_and_dev_work", proc_and_dev),
    ("the_host_name_is_the_step_s_own", hostname),
    ("owners_can_be_changed", owners),
    ("a_step_without_network_reaches_nothing", network),
    ("a_step_reaches_what_is_served_on_its_loopback_alone", loopback::served),
    ("a_loopback_has_no_way_out", loopback::no_way_out),
    ("two_loopbacks_are_apart", loopback::apart),
    ("steps_share_a_loopback_at_the_same_time", loopback::shared),
    ("a_taken_port_is_the_step_s_own_failure", loopback::taken_port),
    ("a_loopback_ends_with_its_last_holder", loopback::ended),
    ("an_address_that_is_no_loopback_is_named", loopback::foreign_address),
    ("a_refused_loopback_says_why", loopback::refused),
    ("a_step_in_a_loopback_is_stopped_in_time", loopback::stopped),
    ("a_killed_builder_leaves_no_process_in_a_loopback", loopback::killed_builder),
    ("a_panic_ends_the_step", loopback::panicked),
    ("a_directory_over_one_of_the_image_leaves_no_trace", over::existing),
    ("a_directory_over_a_stub_leaves_no_trace", over::stub),
    ("a_missing_directory_is_made_and_removed", over::missing),
    ("resolv_conf_is_the_step_s_in_every_network", loopback::resolver),
    ("capabilities_and_filter_are_as_listed", confinement),
    ("mounts_and_namespaces_are_refused", refused_calls),
    ("a_killed_builder_leaves_no_process", held::killed_builder),
    ("a_private_file_is_read_from_outside", outside),
    ("output_arrives_as_it_is_written", streaming),
    ("much_output_arrives_whole", much_output),
    ("a_step_that_takes_too_long_is_stopped", timeout),
    ("a_step_can_be_cancelled", cancel),
    ("the_environment_is_exact", environment),
    ("the_working_directory_is_entered", working_directory),
    ("a_missing_program_is_named", missing_program),
    ("a_full_disk_is_the_step_s_own_failure", full_disk),
    ("descriptors_do_not_leak", descriptors),
    ("binds_and_tmpfs_are_mounted_in_order", mounts),
    ("another_user_runs_without_capabilities", roots::another_user),
    ("a_user_without_an_id_is_refused_by_number", roots::unmapped_user),
    ("an_image_without_layers_has_a_root", roots::empty_image),
    ("a_root_is_mounted_again_over_left_overs", roots::mounted_again),
    ("steps_run_in_parallel", roots::parallel),
    ("many_layers_are_stacked", roots::many_layers),
];

pub(crate) fn run(name: &str, isolation: &str, scratch: &Path) -> ExitCode {
    match name {
        "hold" => return held::hold(isolation, scratch, |_| Network::Host),
        "hold-loopback" => return held::hold(isolation, scratch, loopback::held),
        _ => {}
    }
    let Some((_, case)) = CASES.iter().find(|(known, _)| *known == name) else {
        panic!("no case {name}");
    };
    let Some(lab) = Lab::new(isolation, scratch) else {
        return ExitCode::from(SKIPPED);
    };
    case(&lab);
    ExitCode::SUCCESS
}

fn exit_status(lab: &Lab) {
    let root = lab.usual_root();
    assert_eq!(lab.run(&root, &shell("exit 37")).exit, Exit::Code(37));
    assert_eq!(lab.run(&root, &shell("exit 255")).exit, Exit::Code(255));
    assert_eq!(lab.run(&root, &shell("kill -9 $$")).exit, Exit::Signal(9));
    assert_eq!(lab.run(&root, &step(&["true"])).exit, Exit::Code(0));
}

fn daemon(lab: &Lab) {
    let root = lab.usual_root();
    let started = Instant::now();
    let outcome = lab.run(&root, &shell("setsid sleep 100017 & echo started"));
    assert_eq!(outcome.stdout, "started\n");
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(processes_with("100017"), 0);
}

fn file(target: &str, contents: &str) -> InjectedFile {
    InjectedFile { target: target.into(), contents: contents.into(), mode: 0o644, uid: 0, gid: 0, is_dispensable: true }
}

fn no_trace(lab: &Lab) {
    let root = lab.usual_root();
    let mut step = shell("cat /etc/resolv.conf /etc/yum.repos.d/x.repo; ls -l /etc/hosts");
    step.files = vec![
        file("/etc/resolv.conf", "nameserver 192.0.2.1\n"),
        file("/etc/yum.repos.d/x.repo", "[x]\n"),
        file("/etc/hosts", ""),
    ];
    let outcome = lab.run(&root, &step);
    assert!(outcome.stdout.starts_with("nameserver 192.0.2.1\n[x]\n-rw-r--r--    1 0        0"), "{}", outcome.stdout);
    assert_eq!(lab.upper(), Vec::<String>::new());
    step.argv = shell("echo x > /etc/resolv.conf").argv;
    assert_eq!(lab.run(&root, &step).exit, Exit::Code(1));
    assert_eq!(lab.upper(), Vec::<String>::new());
}

fn made_target(lab: &Lab) {
    let root = lab.root(&["image"]);
    let mut step = shell("cat /etc/made/by/us; ls /proc/self/status");
    step.files = vec![file("/etc/made/by/us", "here\n")];
    let outcome = lab.run(&root, &step);
    assert_eq!(outcome.stdout, "here\n/proc/self/status\n");
    // The directory was copied up to hold the mount point for a moment.
    assert_eq!(lab.upper(), ["etc"]);
}

fn linked_target(lab: &Lab) {
    let image = lab.store.join("image");
    std::os::unix::fs::symlink("/run/real", image.join("etc/a")).unwrap();
    std::os::unix::fs::symlink("../run/none/at/all", image.join("etc/b")).unwrap();
    std::os::unix::fs::symlink("../../../../../../run/real", image.join("etc/c")).unwrap();
    fs::write(image.join("run/real"), "the image's\n").unwrap();
    let root = lab.usual_root();
    let mut step = shell("cat /etc/a /etc/b; cat /run/real");
    step.files = vec![file("/etc/a", "one\n"), file("/etc/b", "two\n")];
    let outcome = lab.run(&root, &step);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("one\ntwo\none\n", ""));
    let mut step = shell("cat /run/real");
    step.files = vec![file("/etc/c", "three\n")];
    assert_eq!(lab.run(&root, &step).stdout, "three\n");
    assert_eq!(lab.upper(), Vec::<String>::new());
}

fn proc_and_dev(lab: &Lab) {
    let root = lab.usual_root();
    assert_eq!(lab.shell(&root, "readlink /proc/self/exe"), "/bin/busybox\n");
    assert_eq!(lab.shell(&root, "echo x > /dev/null; dd if=/dev/zero bs=3 count=1 2>/dev/null | cat | wc -c"), "3\n");
    assert_eq!(lab.shell(&root, "echo y > /dev/stdout; cat /dev/fd/0"), "y\n");
    assert_eq!(lab.shell(&root, "echo z > /dev/shm/z; cat /dev/shm/z; umask"), "z\n0022\n");
    let written = lab.run(&root, &shell("echo 1 > /proc/sys/vm/swappiness"));
    assert_eq!(written.exit, Exit::Code(1));
    // The init is not to be looked into, and the numbers are the step's own or the pod's.
    let init = lab.run(&root, &shell("cat /proc/1/environ"));
    assert_eq!((init.exit, init.stdout.as_str()), (Exit::Code(1), ""));
    assert_eq!(lab.upper(), Vec::<String>::new());
}

fn hostname(lab: &Lab) {
    let root = lab.usual_root();
    let own = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let seen = lab.shell(&root, "hostname");
    // A pod's filter may keep the pod's.
    assert!(seen == "build\n" || seen == own, "{seen}");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), own);
}

fn owners(lab: &Lab) {
    let root = lab.usual_root();
    let seen = lab.shell(&root, "touch /f; chown 5:6 /f; stat -c %u:%g /f");
    match lab.entered.rung {
        Rung::Single => assert_eq!(seen, "0:0\n"),
        Rung::Sub | Rung::Range | Rung::Full => assert_eq!(seen, "5:6\n"),
        Rung::None => panic!("no step can run"),
    }
}

fn network(lab: &Lab) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!(":{:04X} ", listener.local_addr().unwrap().port());
    let root = lab.usual_root();
    let mut step = shell("cat /proc/net/tcp");
    assert!(lab.run(&root, &step).stdout.contains(&port));
    step.network = Network::None;
    assert!(!lab.run(&root, &step).stdout.contains(&port));
    step.argv = shell("ip -o link").argv;
    let devices = lab.run(&root, &step).stdout;
    let others = devices.lines().filter(|line| !line.contains(": lo:") && line.contains(",UP"));
    assert_eq!(others.count(), 0, "{devices}");
    assert!(devices.contains(": lo: <LOOPBACK,UP"), "{devices}");
}

pub(crate) fn field(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap().trim().to_owned()
}

fn confinement(lab: &Lab) {
    let root = lab.usual_root();
    let status = lab.run(&root, &step(&["cat", "/proc/self/status"])).stdout;
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        assert_eq!(field(&status, set), "00000000800405fb", "{set}");
    }
    for set in ["CapInh:", "CapAmb:"] {
        assert_eq!(field(&status, set), "0000000000000000", "{set}");
    }
    assert_eq!(field(&status, "Seccomp:"), "2");
    // A pod may have set it for the builder already.
    let own = fs::read_to_string("/proc/self/status").unwrap();
    let expected = match lab.entered.rung {
        Rung::Single => "1".to_owned(),
        Rung::Sub | Rung::Range | Rung::Full | Rung::None => field(&own, "NoNewPrivs:"),
    };
    assert_eq!(field(&status, "NoNewPrivs:"), expected);
    assert_eq!(field(&status, "SigBlk:"), "0000000000000000");
    assert_eq!(field(&status, "SigIgn:"), "0000000000000000");
}

fn refused_calls(lab: &Lab) {
    let root = lab.usual_root();
    for script in [
        "mount -t tmpfs none /tmp",
        "umount /proc",
        "unshare -U true",
        "unshare -m true",
        "hostname other",
        "mknod /n c 1 3",
    ] {
        let outcome = lab.run(&root, &shell(script));
        assert_ne!(outcome.exit, Exit::Code(0), "{script}");
        let refused = ["not permitted", "ermission denied"];
        assert!(refused.iter().any(|text| outcome.stderr.contains(text)), "{script}: {}", outcome.stderr);
    }
}

fn outside(lab: &Lab) {
    let secret = lab.scratch.join("secret");
    let read = lab.entered.outside().run(|| fs::read_to_string(&secret));
    assert_eq!(read.unwrap(), "only mine");
    if lab.entered.rung == Rung::Range {
        assert!(fs::read_to_string(&secret).is_err());
    }
    let written = lab.scratch.join("written");
    lab.entered.outside().run(|| fs::write(&written, "x")).unwrap();
    let owner = |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).unwrap());
    assert_eq!(owner(&written), owner(&secret));
    // A thread started later is root inside, whatever the pool is.
    let store = lab.store.join("mine");
    let made = std::thread::scope(|scope| scope.spawn(|| fs::write(&store, "y")).join());
    made.unwrap().unwrap();
    assert_eq!(owner(&store), 0);
}

fn streaming(lab: &Lab) {
    let root = lab.usual_root();
    let mut seen: Vec<(Stream, String, Instant)> = Vec::new();
    let slow = shell("echo a; sleep 0.3; echo b >&2");
    run_step(&root, &slow, &lab.cancel, &mut |stream, bytes| {
        seen.push((stream, String::from_utf8_lossy(bytes).into_owned(), Instant::now()));
    })
    .unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[0].0, seen[0].1.as_str()), (Stream::Stdout, "a\n"));
    assert_eq!((seen[1].0, seen[1].1.as_str()), (Stream::Stderr, "b\n"));
    assert!(seen[1].2 - seen[0].2 > Duration::from_millis(200));
}

fn much_output(lab: &Lab) {
    let root = lab.usual_root();
    let outcome = lab.run(&root, &shell("seq 1 500000; seq 1 1000 >&2"));
    let expected: String = (1..=500_000).map(|n| format!("{n}\n")).collect();
    assert!(outcome.stdout == expected, "{} bytes", outcome.stdout.len());
    assert_eq!(outcome.stderr.lines().count(), 1000);
}

fn timeout(lab: &Lab) {
    let root = lab.usual_root();
    let mut step = shell("sleep 100021");
    step.timeout = Some(Duration::from_millis(200));
    let started = Instant::now();
    assert_eq!(lab.run(&root, &step).exit, Exit::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(processes_with("100021"), 0);
    // One that listens may say good-bye.
    step.argv = shell("trap 'echo bye; exit 0' TERM; while true; do sleep 0.05; done").argv;
    let outcome = lab.run(&root, &step);
    assert_eq!((outcome.exit, outcome.stdout.as_str()), (Exit::TimedOut, "bye\n"));
}

fn cancel(lab: &Lab) {
    let root = lab.usual_root();
    let flag = lab.cancel.clone();
    let setter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        flag.set().unwrap();
    });
    let started = Instant::now();
    assert_eq!(lab.run(&root, &shell("sleep 100023")).exit, Exit::Cancelled);
    assert!(started.elapsed() < Duration::from_secs(5));
    setter.join().unwrap();
    assert_eq!(processes_with("100023"), 0);
    assert_eq!(lab.run(&root, &shell("true")).exit, Exit::Cancelled);
}

fn environment(lab: &Lab) {
    let root = lab.usual_root();
    let mut step = step(&["env"]);
    step.env = vec![("PATH".into(), "/bin".into()), ("A".into(), "b c=d\n".into())];
    assert_eq!(lab.run(&root, &step).stdout, "PATH=/bin\nA=b c=d\n\n");
}

fn working_directory(lab: &Lab) {
    let root = lab.usual_root();
    let mut step = step(&["pwd"]);
    step.cwd = "/etc".into();
    assert_eq!(lab.run(&root, &step).stdout, "/etc\n");
    step.cwd = "/not/there".into();
    let error = lab.try_run(&root, &step).map(|outcome| outcome.exit).unwrap_err();
    assert_eq!(error.to_string(), "/not/there: cannot enter this working directory in the image");
}

fn missing_program(lab: &Lab) {
    let root = lab.usual_root();
    let failed = |argv: &[&str]| lab.try_run(&root, &step(argv)).map(|o| o.exit).unwrap_err();
    let error = failed(&["nothing-like-it"]);
    assert_eq!(error.to_string(), "nothing-like-it: cannot be executed in the image");
    assert!(matches!(error, RunError::Execute { source, .. } if source.kind() == std::io::ErrorKind::NotFound));
    fs::write(lab.store.join("image/bin/text"), "no program").unwrap();
    let error = failed(&["/bin/text"]);
    assert!(matches!(error, RunError::Execute { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied));
}

fn full_disk(lab: &Lab) {
    let root = lab.usual_root();
    let mut step = shell("dd if=/dev/zero of=/tmp/big bs=1024 count=4096");
    step.mounts =
        vec![StepMount { target: "/tmp".into(), source: MountSource::Tmpfs { size: Some(65_536), mode: 0o1777 } }];
    let outcome = lab.run(&root, &step);
    assert_eq!(outcome.exit, Exit::Code(1));
    assert!(outcome.stderr.contains("No space left"), "{}", outcome.stderr);
    assert_eq!(lab.upper(), Vec::<String>::new());
}

fn descriptors(lab: &Lab) {
    let root = lab.usual_root();
    // 3 is the directory that ls itself reads.
    assert_eq!(lab.shell(&root, "ls /proc/self/fd"), "0\n1\n2\n3\n");
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mut step = shell("true");
    step.files = vec![file("/etc/hosts", "h")];
    lab.run(&root, &step);
    let before = count();
    for _ in 0..30 {
        lab.run(&root, &step);
    }
    assert_eq!(count(), before);
}

fn mounts(lab: &Lab) {
    let shared = lab.store.join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("note"), "from outside\n").unwrap();
    let bind = |target: &str, access| StepMount {
        target: target.into(),
        source: MountSource::Bind { source: shared.clone(), access },
    };
    let root = lab.usual_root();
    let mut step = shell("cat /cache/deep/note /ro/note; echo w > /rw/new; echo w > /ro/new; cat /cache/x");
    step.mounts = vec![
        StepMount { target: "/cache".into(), source: MountSource::Tmpfs { size: None, mode: 0o755 } },
        bind("/cache/deep", Access::ReadOnly),
        bind("/ro", Access::ReadOnly),
        bind("/rw", Access::Writable),
    ];
    step.files = vec![file("/cache/x", "a file in a mount\n")];
    let outcome = lab.run(&root, &step);
    assert_eq!(outcome.stdout, "from outside\nfrom outside\na file in a mount\n");
    assert!(outcome.stderr.contains("Read-only"), "{}", outcome.stderr);
    assert_eq!(fs::read_to_string(shared.join("new")).unwrap(), "w\n");
    assert_eq!(lab.upper(), Vec::<String>::new());
}
