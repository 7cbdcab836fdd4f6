//! A build that is killed, or told to stop, leaves nothing behind.

use std::path::Path;

use crate::support::registry::Registry;
use crate::support::scratch::{Person, Scratch};
use crate::support::testdata;

const DOCKERFILE: &str = "FROM base\nRUN head -c 20000000 /dev/urandom > /big\nRUN echo now; sleep 60\n";

struct Story {
    scratch: Scratch,
    registry: Registry,
    arguments: Vec<String>,
}

fn story(person: Person, dockerfile: &str) -> Option<Story> {
    let registry = Registry::start()?;
    let scratch = Scratch::of(person)?;
    let base = scratch.copy(&testdata("base/oci"), "base");
    let context = scratch.context("context", dockerfile);
    let tag = registry.reference("out:1");
    let base = format!("base=oci:{base}:42");
    let arguments = ["build", "--tls-verify=false", "--build-context", &base, "-t", &tag, "--push", &context];
    let arguments = arguments.map(str::to_owned).to_vec();
    Some(Story { scratch, registry, arguments })
}

fn scratch_folders(story: &Story) -> usize {
    let parts = std::fs::read_dir(story.scratch.path().join("store")).into_iter().flatten().flatten();
    parts.map(|part| std::fs::read_dir(part.path().join("scratch")).map_or(0, Iterator::count)).sum()
}

/// Processes that have `word` among their arguments.
fn processes(word: &str) -> usize {
    let lines =
        std::fs::read_dir("/proc").unwrap().flatten().filter_map(|e| std::fs::read(e.path().join("cmdline")).ok());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())).count()
}

fn mounts_below(path: &Path) -> usize {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    mounts.lines().filter(|line| line.contains(path.to_str().unwrap())).count()
}

#[test]
fn sigterm_in_a_step_ends_with_8_and_cleans_up() {
    let Some(story) = story(Person::Me, &DOCKERFILE.replace("sleep 60", "sleep 6171")) else { return };
    let mut running = story.scratch.stratum(&story.arguments).start();
    running.until("| now");
    running.signal("TERM");
    running.wait().expect(8).says("cancelled");
    assert_eq!(processes("6171"), 0);
    assert_eq!(scratch_folders(&story), 0, "the scratch folder is still there");
    assert_eq!(mounts_below(story.scratch.path()), 0);
    assert_eq!(story.registry.tags("out"), Vec::<String>::new());
}

#[test]
fn sigkill_leaves_no_process_and_the_next_build_cleans_the_store() {
    for person in [Person::Me, Person::Plain] {
        let Some(story) = story(person, &DOCKERFILE.replace("sleep 60", "sleep 6172")) else { return };
        let mut running = story.scratch.stratum(&story.arguments).start();
        running.until("| now");
        running.signal("KILL");
        running.wait();
        for _ in 0..200 {
            if processes("6172") == 0 {
                break;
            }
            std::thread::yield_now();
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(processes("6172"), 0, "the step survived");
        assert_eq!(mounts_below(story.scratch.path()), 0);
        assert_eq!(story.registry.committed().len(), 0);
        let context = story.scratch.context("context", "FROM base\nRUN true\n");
        assert_eq!(story.arguments.last(), Some(&context));
        story.scratch.stratum(&story.arguments).run().expect(0);
        assert_eq!(scratch_folders(&story), 0, "what the killed build left is still there");
    }
}

#[test]
fn a_registry_killed_in_the_middle_is_a_remote_failure() {
    let Some(mut story) = story(Person::Me, DOCKERFILE.replace("sleep 60", "sleep 2").as_str()) else { return };
    let mut running = story.scratch.stratum(&story.arguments).start();
    running.until("| now");
    story.registry.kill();
    running.wait().expect(7);
    assert_eq!(scratch_folders(&story), 0);
}

#[test]
fn a_build_with_proof_leaves_nothing_in_the_scratch() {
    let Some(mut story) = story(Person::Me, "FROM base\nRUN true\n") else { return };
    let keys = story.scratch.copy(&testdata("base/keys"), "keys");
    story.arguments.splice(1..1, ["--keys".to_owned(), keys]);
    story.scratch.stratum(&story.arguments).run().expect(0);
    assert_eq!(scratch_folders(&story), 0);
}
