//! Releases against a hub that answers from a script.

use std::cell::Cell;

use koji::{BuildInfo, HubError, Nvr, Reservation};
use serde_json::json;

use super::*;
use crate::decisions::koji::Scripted;
use crate::labels::of;

const NAMED: [(&str, &str); 2] = [("com.redhat.component", "c"), ("version", "1")];

fn build(release: &str, state: BuildState) -> BuildInfo {
    BuildInfo { id: 7, nvr: format!("c-1-{release}"), state, extra: None }
}

fn hub(next: &str, builds: Vec<BuildInfo>) -> Scripted {
    Scripted { next_release: Some(next.to_owned()), builds, reserves: 9, ..Scripted::default() }
}

fn decided(rules: &Rules, more: &[(&str, &str)], hub: &Scripted) -> Result<Decided, PluginError> {
    let labels = of(&[&NAMED, more].concat());
    decide(rules, &labels, (hub, &|_| true))
}

fn reserving() -> Rules {
    Rules { reserves_for: Some("cg".to_owned()), ..Rules::default() }
}

#[test]
fn the_next_release_loses_a_number_in_second_place_and_counts_until_it_is_free() {
    for (next, expected) in [("5", "5"), ("3.2.fc40", "3.fc40"), ("3.fc40", "3.fc40"), ("7.1", "7")] {
        let found = decided(&Rules::default(), &[], &hub(next, Vec::new())).unwrap();
        assert_eq!(found.label.as_deref(), Some(expected), "{next}");
    }
    let taken = vec![build("3.fc40", BuildState::Complete), build("4.fc40", BuildState::Failed)];
    let found = decided(&Rules::default(), &[], &hub("3.2.fc40", taken.clone())).unwrap();
    assert_eq!(found.label.as_deref(), Some("5.fc40"));
    let found = decided(&reserving(), &[], &hub("3.2.fc40", taken)).unwrap();
    assert_eq!(found.nvr.unwrap().to_string(), "c-1-4.fc40");
}

#[test]
fn a_release_that_is_said_must_be_free() {
    let taken = hub("9", vec![build("7", BuildState::Building)]);
    let error = decided(&Rules::default(), &[("release", "7")], &taken).unwrap_err();
    assert_eq!((error.class, error.text.as_str()), (Class::Refused, "c-1-7 is in Koji already, as build 7"));
    let task = Task { release: Some("7".to_owned()), ..Task::default() };
    let rules = Rules { task, ..Rules::default() };
    assert_eq!(decided(&rules, &[("release", "8")], &taken).unwrap_err().class, Class::Refused);
    let found = decided(&Rules::default(), &[("Release", "8")], &taken).unwrap();
    assert_eq!(found.label.as_deref(), Some("8"), "the new name is always there");
}

#[test]
fn builds_that_are_thrown_away_ask_nobody() {
    let build = pipeline::BuildObject { name: "run-1".to_owned(), ..pipeline::BuildObject::default() };
    let task = Task { is_scratch: true, build: Some(build), ..Task::default() };
    let (rules, hub) = (Rules { task, ..reserving() }, hub("1", Vec::new()));
    assert_eq!(decided(&rules, &[], &hub).unwrap().label.as_deref(), Some("run-1"));
    let tagged = Task { is_scratch: true, image_tag: Some("u/c:t-1".to_owned()), ..Task::default() };
    assert_eq!(scratch(&tagged), "t-1");
    assert!(hub.calls().is_empty());
}

#[test]
fn labels_that_are_missing_or_empty_are_named() {
    let labels = of(&[("version", "1")]);
    let error = decide(&Rules::default(), &labels, (&Scripted::default(), &|_| true)).unwrap_err();
    assert_eq!(error.text, "the image has no label com.redhat.component");
    let error = decided(&Rules::default(), &[("release", "")], &Scripted::default()).unwrap_err();
    assert_eq!(error.text, "the image has no label release: it is empty");
    let error = decided(&Rules::default(), &[("release", "1-2")], &Scripted::default()).unwrap_err();
    assert_eq!(error.text, "`1-2` cannot be the release of a build in Koji: it has a dash");
}

#[test]
fn a_release_that_nobody_can_count_is_looked_for() {
    let hub = Scripted { newest: Some(7), builds: vec![build("8.1", BuildState::Complete)], ..Scripted::default() };
    assert_eq!(decided(&Rules::default(), &[], &hub).unwrap().label.as_deref(), Some("9"));
    assert_eq!(hub.calls().get(1), Some(&json!(["search", r"^c-1-\d+(\.\d+)?$"])));
    assert_eq!(decided(&Rules::default(), &[], &Scripted::default()).unwrap().label.as_deref(), Some("1"));
    assert_eq!(counted("abc", 1).unwrap_err().class, Class::Source);
}

/// A hub where others are faster so many times.
#[derive(Debug)]
struct Busy {
    inner: Scripted,
    faults: std::sync::atomic::AtomicUsize,
}

impl Hub for Busy {
    fn build(&self, nvr: &str) -> Result<Option<BuildInfo>, HubError> {
        self.inner.build(nvr)
    }

    fn build_target(&self, name: &str) -> Result<Option<koji::BuildTarget>, HubError> {
        self.inner.build_target(name)
    }

    fn architectures(&self, tag: &str) -> Result<Vec<String>, HubError> {
        self.inner.architectures(tag)
    }

    fn repository(&self, tag: &str) -> Result<Option<u64>, HubError> {
        self.inner.repository(tag)
    }

    fn next_release(&self, name: &str, version: &str) -> Result<String, HubError> {
        self.inner.next_release(name, version)
    }

    fn reserve(&self, generator: &str, nvr: &Nvr) -> Result<Reservation, HubError> {
        use std::sync::atomic::Ordering::Relaxed;
        if self.faults.load(Relaxed) == 0 {
            return self.inner.reserve(generator, nvr);
        }
        self.faults.fetch_sub(1, Relaxed);
        Err(HubError::Fault { call: "CGInitBuild", code: 1000, text: "taken".to_owned() })
    }
}

#[track_caller]
fn reserved(faults: usize, more: &[(&str, &str)], (waits, is_reserved): (u32, bool)) {
    let busy = Busy { inner: hub("5", Vec::new()), faults: faults.into() };
    let waited = Cell::new(0);
    let pause = |_| {
        waited.set(waited.get() + 1);
        true
    };
    let found = decide(&reserving(), &of(&[&NAMED, more].concat()), (&busy, &pause));
    assert_eq!((waited.get(), found.is_ok()), (waits, is_reserved));
}

#[test]
fn a_reservation_is_tried_again_for_releases_that_nobody_chose() {
    reserved(3, &[], (3, true));
    reserved(20, &[], (20, true));
    reserved(21, &[], (20, false));
    reserved(1, &[("release", "7")], (0, false));
}
