//! A pod that is told to stop, or fails, says why: in the record, to whoever looks at the pod, and soon enough.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::registry::Registry;
use crate::support::scratch::{Person, Scratch};
use crate::support::testdata;

/// What is left of the thirty seconds a cluster gives.
const SOON: Duration = Duration::from_secs(10);

/// The arguments of a build of `dockerfile` with a site that writes a record, and a termination message demanded.
fn arguments(scratch: &Scratch, dockerfile: &str, output: &str) -> Vec<String> {
    let base = scratch.copy(&testdata("base/oci"), "base");
    let context = scratch.context("context", dockerfile);
    let record = scratch.at("record.json");
    let site =
        scratch.write("site.yaml", format!("version: 1\nrecord: {{path: '{record}'}}\nnetwork: {{mode: none}}\n"));
    let (base, site) = (format!("base=oci:{base}:42"), site.to_str().unwrap().to_owned());
    let words = ["build", "--config", &site, "--tls-verify=false", "--build-context", &base, "-o", output, &context];
    words.map(str::to_owned).to_vec()
}

fn record(scratch: &Scratch) -> Value {
    serde_json::from_str(&std::fs::read_to_string(scratch.at("record.json")).unwrap()).unwrap()
}

fn message(scratch: &Scratch) -> String {
    std::fs::read_to_string(scratch.at("termination-log")).unwrap()
}

#[track_caller]
fn stops(scratch: &Scratch, arguments: &[String], at: &str) {
    let command = scratch.stratum(arguments).env("STRATUM_TERMINATION_LOG", &scratch.at("termination-log"));
    let mut running = command.start();
    running.until(at);
    running.signal("TERM");
    let told = Instant::now();
    running.wait().expect(8).says("cancelled");
    assert!(told.elapsed() < SOON, "it took {:?}", told.elapsed());
    assert_eq!(record(scratch)["result"]["status"], "cancelled");
    assert_eq!(message(scratch), "stratum: cancelled or out of time (exit code 8)\ncancelled\n");
}

#[test]
fn sigterm_in_a_step_runs_the_exit_phase_in_time() {
    for person in [Person::Me, Person::Plain] {
        let Some(scratch) = Scratch::of(person) else { return };
        let output = format!("oci:{}:1", scratch.at("out"));
        let arguments = arguments(&scratch, "FROM base\nRUN trap '' TERM; echo now; sleep 6173\n", &output);
        stops(&scratch, &arguments, "| now");
    }
}

#[test]
fn sigterm_while_a_layer_is_written_runs_the_exit_phase_in_time() {
    let Some(registry) = Registry::start() else { return };
    let Some(scratch) = Scratch::of(Person::Me) else { return };
    // Compressing this takes longer than a story may wait.
    let dockerfile = "FROM base\nRUN head -c 500000000 /dev/urandom > /big\n";
    let output = format!("docker://{}", registry.reference("out:1"));
    let arguments = arguments(&scratch, dockerfile, &output);
    stops(&scratch, &arguments, "[0 1] took");
    assert_eq!(registry.tags("out"), Vec::<String>::new());
}

#[test]
fn a_failure_before_plugins_exist_is_in_the_termination_message() {
    let scratch = Scratch::new();
    scratch.write(
        "termination-log",
        "of somebody before, and longer than what is said now, which is the point of it\n".repeat(9),
    );
    let site = scratch.write("site.yaml", "version: 1\nopenshift: {url: 'http://api.example'}\n");
    let arguments = ["build", "--config", site.to_str().unwrap(), "."];
    let command = scratch.stratum(&arguments).env("STRATUM_TERMINATION_LOG", &scratch.at("termination-log"));
    command.run().expect(2).says("it would show the token");
    let expected = "stratum: usage or configuration (exit code 2)\nhttp://api.example: not the URL of an API server: \
        it would show the token to everybody on the way; say https, or `openshift.insecure: true`\n";
    assert_eq!(message(&scratch), expected);
}

#[test]
fn a_failed_step_is_in_the_termination_message_with_its_last_lines() {
    let scratch = Scratch::new();
    let output = format!("oci:{}:1", scratch.at("out"));
    let arguments = arguments(&scratch, "FROM base\nRUN echo the reason; false\n", &output);
    let command = scratch.stratum(&arguments).env("STRATUM_TERMINATION_LOG", &scratch.at("termination-log"));
    command.run().expect(4);
    let message = message(&scratch);
    assert!(message.starts_with("stratum: a RUN step failed (exit code 4)\n"), "{message}");
    assert!(message.contains("Dockerfile:2") && message.contains("the reason"), "{message}");
    assert!(message.len() <= 4096);
}
