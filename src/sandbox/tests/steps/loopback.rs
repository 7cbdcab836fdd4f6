//! The claims about a network of its own in which the builder listens.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use stratum_sandbox::{Exit, InjectedFile, Loopback, Network, Root, Step, run as run_step};

use crate::held::kill_builder;
use crate::lab::{Lab, Outcome, processes_with, shell};

const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 3128);
const ASK: &str = "nc 127.0.0.1 3128 </dev/null";

/// A network in which the builder answers with a word until this process ends.
fn answering(word: &'static str) -> Network {
    let (loopback, listener) = Loopback::listen(ADDRESS).unwrap();
    answer(listener, word);
    Network::Loopback(Arc::new(loopback))
}

fn answer(listener: TcpListener, word: &'static str) {
    // A step that does not wait for its answer is no concern of ours.
    thread::spawn(move || listener.incoming().flatten().for_each(|mut peer| drop(writeln!(peer, "{word}"))));
}

pub(crate) fn held(_: &Lab) -> Network {
    answering("held")
}

fn within(network: &Network, script: &str) -> Step {
    Step { network: network.clone(), timeout: Some(Duration::from_secs(20)), ..shell(script) }
}

fn ask(lab: &Lab, root: &Root, network: &Network, script: &str) -> Outcome {
    lab.run(root, &within(network, script))
}

pub(crate) fn served(lab: &Lab) {
    let root = lab.usual_root();
    let network = answering("one");
    for _ in 0..2 {
        assert_eq!(ask(lab, &root, &network, ASK).stdout, "one\n");
    }
    let mut other = within(&network, ASK);
    (other.uid, other.gid) = (1000, 1000);
    assert_eq!(lab.run(&root, &other).stdout, "one\n");
    assert_eq!(lab.upper(), Vec::<String>::new());
}

pub(crate) fn no_way_out(lab: &Lab) {
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    answer(host, "machine");
    let root = lab.usual_root();
    let network = answering("one");
    for target in [format!("127.0.0.1 {port}"), "192.0.2.1 80".to_owned()] {
        let script = format!("nc -w 2 {target} </dev/null");
        assert_ne!(ask(lab, &root, &network, &script).exit, Exit::Code(0), "{target}");
    }
    let devices = ask(lab, &root, &network, "ip -o link").stdout;
    let up: Vec<&str> = devices.lines().filter(|line| line.contains(",UP")).collect();
    assert_eq!(up.len(), 1, "{devices}");
    assert!(up[0].contains(": lo: <LOOPBACK,UP"), "{devices}");
    assert_eq!(ask(lab, &root, &network, "cat /proc/net/route").stdout.lines().count(), 1);
    // The network's thread has left the machine's network, and nobody else.
    assert_eq!(lab.shell(&root, &format!("nc 127.0.0.1 {port} </dev/null")), "machine\n");
}

pub(crate) fn apart(lab: &Lab) {
    let root = lab.usual_root();
    let networks = [("one", answering("one")), ("two", answering("two"))];
    for (word, network) in networks.iter().chain(&networks) {
        assert_eq!(ask(lab, &root, network, ASK).stdout, format!("{word}\n"));
    }
    let (silent, listener) = Loopback::listen(([127, 0, 0, 1], 0).into()).unwrap();
    let network = Network::Loopback(Arc::new(silent));
    assert_ne!(ask(lab, &root, &network, ASK).exit, Exit::Code(0));
    drop(listener);
}

pub(crate) fn shared(lab: &Lab) {
    let root = lab.usual_root();
    let network = answering("builder");
    thread::scope(|scope| {
        let listening = scope.spawn(|| ask(lab, &root, &network, "nc -l -p 4000 -e echo other step").exit);
        let script = format!("until nc 127.0.0.1 4000 </dev/null | grep other; do sleep 0.05; done; {ASK}");
        let asking = ask(lab, &root, &network, &script);
        assert_eq!((asking.exit, asking.stdout.as_str()), (Exit::Code(0), "other step\nbuilder\n"));
        assert_eq!(listening.join().unwrap(), Exit::Code(0));
    });
    thread::scope(|scope| {
        for _ in 0..4 {
            let (root, network) = (&root, &network);
            scope.spawn(move || (0..5).for_each(|_| assert_eq!(ask(lab, root, network, ASK).stdout, "builder\n")));
        }
    });
}

pub(crate) fn taken_port(lab: &Lab) {
    let root = lab.usual_root();
    let network = answering("still");
    let outcome = ask(lab, &root, &network, "nc -l -p 3128 </dev/null");
    assert_eq!(outcome.exit, Exit::Code(1));
    assert!(outcome.stderr.contains("Address already in use"), "{}", outcome.stderr);
    assert_eq!(ask(lab, &root, &network, ASK).stdout, "still\n");
}

pub(crate) fn ended(lab: &Lab) {
    let root = lab.usual_root();
    let count = |of: &str| fs::read_dir(format!("/proc/self/{of}")).unwrap().count();
    let round = || {
        let (loopback, listener) = Loopback::listen(ADDRESS).unwrap();
        let network = Network::Loopback(Arc::new(loopback));
        assert_eq!(ask(lab, &root, &network, "true").exit, Exit::Code(0));
        drop(listener);
    };
    round();
    let before = (count("fd"), count("task"));
    (0..10).for_each(|_| round());
    assert!(Loopback::listen(([192, 0, 2, 1], 1).into()).is_err());
    assert_eq!((count("fd"), count("task")), before);
}

pub(crate) fn foreign_address(_: &Lab) {
    let error = Loopback::listen(([192, 0, 2, 1], 3128).into()).unwrap_err();
    assert_eq!(error.to_string(), "192.0.2.1:3128: cannot listen there in the network of steps");
    assert!(error.source().unwrap().to_string().contains("Cannot assign requested address"));
}

pub(crate) fn refused(_: &Lab) {
    // A pod may show its sysctls read-only.
    if fs::write("/proc/sys/user/max_net_namespaces", "0").is_err() {
        println!("  the limit cannot be set here");
        return;
    }
    let error = Loopback::listen(ADDRESS).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot make a network for steps: all network namespaces that user.max_net_namespaces allows are in use; \
         raise that sysctl, or use --network host"
    );
}

pub(crate) fn stopped(lab: &Lab) {
    let root = lab.usual_root();
    let network = answering("one");
    let started = Instant::now();
    let mut step = within(&network, "(setsid sleep 100031 &); sleep 100031");
    step.timeout = Some(Duration::from_millis(200));
    assert_eq!(lab.run(&root, &step).exit, Exit::TimedOut);
    assert_eq!(processes_with("100031"), 0);
    let flag = lab.cancel.clone();
    let setter = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        flag.set().unwrap();
    });
    step.timeout = None;
    assert_eq!(lab.run(&root, &step).exit, Exit::Cancelled);
    setter.join().unwrap();
    assert_eq!(processes_with("100031"), 0);
    assert!(started.elapsed() < Duration::from_secs(10));
}

pub(crate) fn killed_builder(lab: &Lab) {
    kill_builder(lab, "hold-loopback");
}

pub(crate) fn panicked(lab: &Lab) {
    let root = lab.usual_root();
    for network in [Network::Host, answering("one")] {
        let step = within(&network, "(setsid sleep 100033 &); echo started; sleep 100033");
        let ran = catch_unwind(AssertUnwindSafe(|| {
            // As a panic, but without its message.
            run_step(&root, &step, &lab.cancel, &mut |_, _| resume_unwind(Box::new(())))
        }));
        assert!(ran.is_err());
        assert_eq!(processes_with("100033"), 0);
    }
    assert_eq!(lab.upper(), Vec::<String>::new());
}

pub(crate) fn resolver(lab: &Lab) {
    let root = lab.usual_root();
    for network in [Network::Host, Network::None, answering("one")] {
        let mut step = within(&network, "cat /etc/resolv.conf");
        let outcome = lab.run(&root, &step);
        // The empty mount point of an image that has none.
        assert_eq!((outcome.exit, outcome.stdout.as_str()), (Exit::Code(0), ""));
        let contents = b"nameserver 192.0.2.1\n".to_vec();
        step.files = vec![InjectedFile {
            target: "/etc/resolv.conf".into(),
            contents,
            mode: 0o644,
            uid: 0,
            gid: 0,
            is_dispensable: true,
        }];
        assert_eq!(lab.run(&root, &step).stdout, "nameserver 192.0.2.1\n");
    }
    assert_eq!(lab.upper(), Vec::<String>::new());
}
