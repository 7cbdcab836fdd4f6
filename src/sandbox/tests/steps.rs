//! Steps really run, in every rung this machine allows.
//!
//! A program of its own instead of the test harness: entering a namespace takes a process without
//! threads. Without arguments it starts itself once a case and rung and prints a line for each;
//! `--scratch DIR` says where the roots are built. It needs /bin/busybox, a static one.

#![expect(clippy::print_stdout, reason = "this is a test harness")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "steps/cases.rs"]
mod cases;
#[path = "steps/held.rs"]
mod held;
#[path = "steps/lab.rs"]
mod lab;
#[path = "steps/loopback.rs"]
mod loopback;
#[path = "steps/mounts.rs"]
mod mounts;
#[path = "steps/over.rs"]
mod over;
#[path = "steps/roots.rs"]
mod roots;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cases::CASES;

/// Exit status of a case that cannot run here.
const SKIPPED: u8 = 77;
/// A user without privilege and without a name.
const NOBODY: u32 = 65_533;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--case", name, isolation, scratch] => cases::run(name, isolation, Path::new(scratch)),
        ["--scratch", scratch, filter @ ..] => run_all(Path::new(scratch), filter),
        // What nextest asks a harness for; it runs the one test as `all --exact`.
        words if words.contains(&"--list") => {
            if !words.contains(&"--ignored") {
                println!("all: test");
            }
            ExitCode::SUCCESS
        }
        filter => {
            let scratch = tempfile::tempdir_in("/var/tmp").or_else(|_| tempfile::tempdir());
            let scratch = scratch.unwrap();
            let mode = PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(scratch.path(), mode).unwrap();
            let filter: Vec<&str> =
                filter.iter().copied().filter(|word| !word.starts_with('-') && *word != "all").collect();
            run_all(scratch.path(), &filter)
        }
    }
}

/// A rung to try, and as whom.
struct Variant {
    isolation: &'static str,
    user: Option<u32>,
}

fn variants(uid: u32) -> Vec<Variant> {
    let own = |isolation| Variant { isolation, user: None };
    if uid != 0 {
        return vec![own("auto"), own("single")];
    }
    vec![own("range"), own("full"), own("single"), Variant { isolation: "auto", user: Some(NOBODY) }]
}

fn run_all(scratch: &Path, filter: &[&str]) -> ExitCode {
    if !Path::new(lab::BUSYBOX).exists() {
        println!("skipped: {} is not installed; nothing was tested", lab::BUSYBOX);
        return ExitCode::SUCCESS;
    }
    let uid = std::fs::metadata("/proc/self").unwrap().uid();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (name, _) in CASES {
        if !filter.is_empty() && !filter.iter().any(|word| name.contains(word)) {
            continue;
        }
        for variant in variants(uid) {
            let verdict = run_one(scratch, name, &variant);
            let user = variant.user.map_or(String::new(), |user| format!(" as {user}"));
            println!("test {name} [{}{user}] ... {verdict}", variant.isolation);
            match verdict {
                "ok" => passed += 1,
                "skipped" => skipped += 1,
                _ => failed += 1,
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    ExitCode::from(u8::from(failed > 0))
}

fn run_one(scratch: &Path, name: &str, variant: &Variant) -> &'static str {
    let user = variant.user.map_or(String::from("own"), |id| id.to_string());
    let place: PathBuf = scratch.join(format!("{name}-{}-{user}", variant.isolation));
    std::fs::create_dir(&place).unwrap();
    let secret = place.join("secret");
    std::fs::write(&secret, "only mine").unwrap();
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--case", name, variant.isolation]).arg(&place);
    if let Some(user) = variant.user {
        chown(&place, Some(user), Some(user)).unwrap();
        chown(&secret, Some(user), Some(user)).unwrap();
        command.uid(user).gid(user);
    }
    let status = match command.status() {
        Ok(status) => status.code(),
        Err(error) => {
            println!("cannot start: {error}");
            return "skipped";
        }
    };
    // What a mapped user left may be out of reach here; the scratch directory is temporary.
    std::fs::remove_dir_all(&place).ok();
    match status {
        Some(0) => "ok",
        Some(code) if code == i32::from(SKIPPED) => "skipped",
        Some(_) | None => "FAILED",
    }
}
