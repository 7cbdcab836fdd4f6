use std::collections::BTreeSet;

use clap::{Args, FromArgMatches};

use super::*;

fn check_line(line: &str) -> Result<(), String> {
    let command = ForeignArguments::augment_args(Command::new("x").arg(Arg::new("source")));
    let matches = command.try_get_matches_from(std::iter::once("x").chain(line.split_whitespace())).unwrap();
    let given = ForeignArguments::from_arg_matches(&matches).unwrap();
    given.check().map_err(|failure| format!("{}; {}", failure.text, failure.help.unwrap_or_default()))
}

#[track_caller]
fn check(line: &str, text: &str) {
    let refused = check_line(line).unwrap_err();
    assert!(refused.starts_with(text), "{line}: {refused}");
}

#[test]
fn what_is_not_done_is_refused_with_reason_and_remedy() {
    check("--memory 1g", "--memory 1g: a build without privilege may not change control groups; limit the pod");
    check("-m 1g", "--memory 1g: ");
    check("--sign-by 0xABC", "--sign-by 0xABC: images are not signed here; sign the digest");
    check("--stdin .", "--stdin=true: steps read nothing");
    check("--identity-label=T", "--identity-label=true: no label names the builder");
    check("--cpu-quota -5", "--cpu-quota -5: ");
    check("--userns host", "--userns host: a step always has namespaces of its own");
    check("--cache-from a --cache-from b", "--cache-from a: ");
}

#[test]
fn what_is_so_anyway_is_accepted() {
    for line in [
        "--no-cache --rm --force-rm=false --compress .",
        "--memory 0 --memory-swap -1 --cpu-shares 0 --cgroup-parent=",
        "--pid private --ipc container --uts= --cgroupns private --userns auto",
        "--identity-label=false --provenance=false --stdin=0 --cache-ttl 0s",
        "--allow network.host",
    ] {
        assert_eq!(check_line(line), Ok(()), "{line}");
    }
}

#[test]
fn every_refusal_says_why_and_what_to_do_without_a_full_stop() {
    for option in TABLE {
        if let Answer::Refused { why, instead, .. } = option.answer {
            assert!(!why.is_empty() && !instead.is_empty(), "{}", option.name);
            assert!(!why.ends_with('.') && !instead.ends_with('.'), "{}", option.name);
        }
    }
}

#[test]
fn every_option_is_in_the_documentation() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/options.md");
    let text = std::fs::read_to_string(path).unwrap();
    let documented: BTreeSet<&str> = text.split('`').filter_map(|word| word.strip_prefix("--")).collect();
    let command = super::super::Arguments::augment_args(Command::new("build"));
    let missing: Vec<&str> =
        command.get_arguments().filter_map(Arg::get_long).filter(|name| !documented.contains(name)).collect();
    assert_eq!(missing, <[&str; 0]>::default(), "docs/options.md says nothing of these options");
}
