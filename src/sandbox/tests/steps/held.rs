//! What becomes of a step whose builder is killed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use stratum_sandbox::{Network, run as run_step};

use crate::SKIPPED;
use crate::lab::{Lab, processes_with, shell};

/// A builder that another case kills.
pub(crate) fn hold(isolation: &str, scratch: &Path, network: fn(&Lab) -> Network) -> ExitCode {
    let Some(lab) = Lab::new(isolation, scratch) else {
        return ExitCode::from(SKIPPED);
    };
    let root = lab.usual_root();
    let mut held = shell("(setsid sleep 100019 &); sleep 0.1; echo started; sleep 100019");
    held.network = network(&lab);
    let ended = run_step(&root, &held, &lab.cancel, &mut |_, bytes| {
        std::io::stdout().write_all(bytes).unwrap();
        std::io::stdout().flush().unwrap();
    });
    println!("{ended:?}");
    ExitCode::FAILURE
}

pub(crate) fn killed_builder(lab: &Lab) {
    kill_builder(lab, "hold");
}

/// Starts a builder that holds a step, kills it, and expects the step to end.
pub(crate) fn kill_builder(lab: &Lab, hold: &str) {
    // From within this namespace: the builder to be killed stacks a second one.
    let place = lab.store.join("held");
    fs::create_dir(&place).unwrap();
    let mut builder = Command::new("/proc/self/exe")
        .args(["--case", hold, "auto"])
        .arg(fs::canonicalize(&place).unwrap_or(place))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(builder.stdout.take().unwrap()).lines();
    let first = lines.find_map(|line| line.ok().filter(|line| line == "started"));
    assert_eq!(first.as_deref(), Some("started"));
    let both = wait_for(2);
    builder.kill().unwrap();
    builder.wait().unwrap();
    assert!(both && wait_for(0));
}

/// Whether the held step comes to have so many processes.
fn wait_for(count: usize) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while processes_with("100019") != count {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
