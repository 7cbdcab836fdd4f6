use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    steps: StepArguments,
}

fn parse(line: &str) -> Result<StepArguments, String> {
    let words = std::iter::once("x").chain(line.split_whitespace());
    Line::try_parse_from(words).map(|line| line.steps).map_err(|error| error.to_string())
}

/// What is wrong with a line, in clap's words or in ours.
#[track_caller]
fn check(line: &str, why: &str) {
    let said = match parse(line) {
        Err(text) => text,
        Ok(steps) => steps.options(StepNetwork::Host).unwrap_err().text,
    };
    assert!(said.contains(why), "{line}: {said}");
}

#[test]
fn what_the_sandbox_does_not_have_is_refused_by_name() {
    check("--cap-add all", "a step never has all of them");
    check("--cap-add SYS_ADMIN", "--cap-add SYS_ADMIN: CAP_SYS_ADMIN would let a step reach the builder");
    check("--cap-drop FLY", "`FLY` is no capability");
    check("--security-opt seccomp=unconfined", "--security-opt seccomp=unconfined: steps always run");
    check("--security-opt apparmor=x", "profile of the builder");
    check("--security-opt label=type:x", "SELinux label of the builder");
    check("--device /dev/fuse", "no device of the machine can be given to steps");
    check("--device /dev/null:/dev/zero", "no device");
    check("--add-host a:host-gateway", "steps have no address at which they reach the machine");
    check("--add-host a:b", "`b` is not an IP address");
    check("--add-host a:1.2.3.4 --no-hosts", "cannot be used with");
    check("--group-add keep-groups", "have no numbers in the sandbox");
    check("--ulimit files=1", "`files` is no limit");
    check("--ulimit nofile=2:1", "above the hard limit");
    check("--dns x", "--dns x: not an IP address");
    check("--dns none --dns 1.1.1.1", "leaves /etc/resolv.conf to the image");
}

#[test]
fn what_the_sandbox_has_is_taken() {
    let line = "--cap-drop all --security-opt no-new-privileges --security-opt label=disable --shm-size 1m \
        --device /dev/null:/dev/null:rwm --add-host a:1.2.3.4,b:[::1] --ulimit core=-1 --group-add 7,wheel";
    let steps = parse(line).unwrap();
    let options = steps.options(StepNetwork::Host).unwrap();
    let mut capabilities = Capabilities::default();
    capabilities.drop_all();
    let expected = StepOptions {
        hosts: vec![("1.2.3.4".to_owned(), "a".to_owned()), ("::1".to_owned(), "b".to_owned())],
        shm_size: Some(1 << 20),
        capabilities,
        privileges: Privileges::Fixed,
        groups: vec!["7".to_owned(), "wheel".to_owned()],
        ..StepOptions::default()
    };
    assert_eq!(options, expected);
    assert_eq!(steps.limits(), [Limit { resource: Resource::CoreSize, soft: u64::MAX, hard: u64::MAX }]);
}

#[test]
fn names_are_not_resolved_where_there_is_no_network() {
    let steps = parse("--dns-search example.com").unwrap();
    assert!(steps.options(StepNetwork::Host).is_ok());
    for network in [StepNetwork::None, StepNetwork::Gateway] {
        assert!(steps.options(network).unwrap_err().text.starts_with("--dns-search cannot be used with --network"));
    }
}

#[test]
fn only_lines_of_a_kind_that_is_given_are_replaced() {
    let machine = b"# machine\nnameserver 192.0.2.1\ndomain old\noptions edns0\n";
    let conf = |line: &str| String::from_utf8(parse(line).unwrap().resolv_conf(machine)).unwrap();
    assert_eq!(conf(""), String::from_utf8_lossy(machine));
    assert_eq!(
        conf("--dns 1.1.1.1,::1 --dns-search a --dns-search b"),
        "nameserver 1.1.1.1\nnameserver ::1\nsearch a b\n# machine\noptions edns0\n"
    );
    assert_eq!(conf("--dns-search ."), "# machine\nnameserver 192.0.2.1\noptions edns0\n");
    assert_eq!(conf("--dns-opt use-vc"), "options use-vc\n# machine\nnameserver 192.0.2.1\ndomain old\n");
}
