//! The rules for labels, and every combination of them.

use serde_json::{Value, json};

use super::*;
use crate::labels::{ALIASES, of};

/// Rules without a site: those that arguments have by default.
fn usual() -> Rules {
    Rules::of(&Site::default(), &Options::read(None, None).unwrap())
}

fn options(args: Value) -> Result<Options, PluginError> {
    Options::read(args.as_object(), None)
}

type Pairs<'a> = &'a [(&'a str, &'a str)];

#[track_caller]
fn check(site: Pairs<'_>, parent: Pairs<'_>, written: Pairs<'_>, expected: Pairs<'_>) {
    let rules = Rules { labels: of(site), ..usual() };
    let before = Before { parent: of(parent), written: of(written), ..Before::default() };
    assert_eq!(decide(&rules, &before).unwrap(), of(expected));
}

#[test]
fn the_site_beats_the_dockerfile_but_for_the_scope() {
    let site = [("distribution-scope", "public"), ("vendor", "corp")];
    check(&site, &[], &[("distribution-scope", "private"), ("vendor", "me")], &[("vendor", "corp")]);
    check(&site, &[("distribution-scope", "private")], &[], &site);
    check(&[("release", "6")], &[], &[("release", "5")], &[("release", "6")]);
}

#[test]
fn what_the_dockerfile_says_is_not_repeated() {
    check(&[("vendor", "corp")], &[], &[("vendor", "corp")], &[]);
    check(&[], &[], &[("name", "n"), ("version", "1")], &[]);
    check(&[("vendor", "corp")], &[("vendor", "corp")], &[], &[("vendor", "corp")]);
}

#[test]
fn an_old_name_gives_the_new_one_its_value() {
    check(&[], &[], &[("Name", "n")], &[("name", "n")]);
    check(&[], &[("Name", "n")], &[], &[("name", "n")]);
    check(&[], &[("name", "basename"), ("Name", "basename")], &[("Name", "old")], &[("name", "old")]);
    check(&[], &[("name", "base")], &[("Name", "old")], &[("name", "old")]);
}

#[test]
fn where_both_names_differ_the_new_one_wins() {
    check(&[], &[], &[("Name", "old"), ("name", "new")], &[("Name", "new")]);
    check(&[], &[("Name", "old"), ("name", "new")], &[], &[("Name", "new")]);
    check(&[], &[("Name", "old")], &[("name", "new")], &[("Name", "new")]);
    check(&[("name", "site")], &[], &[("Name", "old")], &[("name", "site"), ("Name", "site")]);
    check(&[], &[], &[("Name", "same"), ("name", "same")], &[]);
}

#[test]
fn what_is_known_of_the_build_beats_the_site() {
    let rules = Rules { labels: of(&[("architecture", "any")]), ..usual() };
    let before = Before { automatic: of(&[("architecture", "x86_64")]), ..Before::default() };
    assert_eq!(decide(&rules, &before).unwrap(), of(&[("architecture", "x86_64")]));
}

#[test]
fn what_is_demanded_is_the_builds_to_add_and_gives_its_aliases() {
    let rules = Rules { labels: of(&[("vendor", "corp")]), ..usual() };
    let before = Before { demanded: of(&[("vendor", "me"), ("Release", "7")]), ..Before::default() };
    assert_eq!(decide(&rules, &before).unwrap(), of(&[("release", "7")]));
}

#[test]
fn the_url_is_made_of_other_labels_aliases_too() {
    let rules = Rules { url_format: Some("https://c.example/{name}-{version}".to_owned()), ..usual() };
    let before = Before { written: of(&[("Name", "n"), ("version", "1")]), ..Before::default() };
    assert_eq!(decide(&rules, &before).unwrap(), of(&[("name", "n"), ("url", "https://c.example/n-1")]));
    let error = decide(&rules, &Before::default()).unwrap_err();
    assert_eq!(error.text, "`https://c.example/{name}-{version}`: the image has no label name");
}

#[test]
fn equal_labels_get_the_value_of_the_first_that_is_ours_else_of_the_first_inherited() {
    let rules = Rules { equal: vec![vec!["description".into(), "summary".into()]], ..usual() };
    let decided = |parent: Pairs<'_>, written: Pairs<'_>| {
        let before = Before { parent: of(parent), written: of(written), ..Before::default() };
        decide(&rules, &before).unwrap()
    };
    assert_eq!(decided(&[], &[("summary", "s")]), of(&[("description", "s")]));
    assert_eq!(decided(&[("description", "s")], &[("summary", "s")]), of(&[]));
    assert_eq!(decided(&[("description", "p")], &[("summary", "s")]), of(&[("description", "s")]));
    assert_eq!(decided(&[("description", "p")], &[]), of(&[("summary", "p")]));
    assert_eq!(decided(&[("description", "p"), ("summary", "q")], &[]), of(&[]));
    assert_eq!(decided(&[], &[]), of(&[]));
}

#[test]
fn a_build_knows_its_platform_time_and_commit() {
    let names = ["architecture", "build-date", "vcs-ref", "vcs-type", "vcs-url", "nosuch"].map(str::to_owned);
    let known = Known {
        platform: "aarch64".to_owned(),
        epoch: 1_767_323_045,
        commit: Some("0123".to_owned()),
        uri: Some("https://git.example/r.git".to_owned()),
    };
    let expected = of(&[
        ("architecture", "aarch64"),
        ("build-date", "2026-01-02T03:04:05Z"),
        ("vcs-ref", "0123"),
        ("vcs-type", "git"),
        ("vcs-url", "https://git.example/r.git"),
    ]);
    let warnings = vec!["nothing is known that the label nosuch could say".to_owned()];
    assert_eq!(automatic(&names, &known), (expected, warnings));
    let (labels, _) = automatic(&names, &Known::default());
    assert!(!labels.contains_key("vcs-type"));
}

#[test]
fn a_release_that_the_site_replaces_is_mentioned() {
    let rules = Rules { labels: of(&[("release", "6"), ("version", "1"), ("vendor", "corp")]), ..usual() };
    let written = of(&[("release", "5"), ("version", "1"), ("vendor", "me")]);
    let warnings = replaced(&rules, &Before { written, ..Before::default() });
    let expected = "the label release is 6, as the site's image_labels say; the Dockerfile's 5 has no effect";
    assert_eq!(warnings, [expected]);
}

/// What becomes of a label that has a new and an old name, by what parent and Dockerfile say under them.
fn alias_rule(parent: (Option<&str>, Option<&str>), written: (Option<&str>, Option<&str>)) -> [Option<String>; 2] {
    let own = |text: Option<&str>| text.map(str::to_owned);
    let (new, old) = (written.0.or(parent.0), written.1.or(parent.1));
    match (new, old) {
        // Only the old one is said here.
        (Some(_), Some(old)) if written.1.is_some() && written.0.is_none() => [own(Some(old)), own(Some(old))],
        (Some(new), Some(_)) => [own(Some(new)), own(Some(new))],
        (None, Some(old)) => [own(Some(old)), own(Some(old))],
        (new, None) => [own(new), None],
    }
}

/// Each of the four places says nothing, or one of two values: every combination for every label with an old name.
#[test]
fn every_combination_of_old_and_new_names_follows_the_rule() {
    let values = [None, Some("one"), Some("two")];
    for (new, old) in ALIASES {
        for combination in 0..81 {
            let at = |place: u32| values[(combination / 3_usize.pow(place)) % 3];
            let (parent, written) = ((at(0), at(1)), (at(2), at(3)));
            let labels = |pair: (Option<&str>, Option<&str>)| {
                let pairs = [(new, pair.0), (old, pair.1)].into_iter();
                pairs.filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect::<Labels>()
            };
            let before = Before { parent: labels(parent), written: labels(written), ..Before::default() };
            let added = decide(&usual(), &before).unwrap();
            let all = union(&[&before.parent, &before.written, &added]);
            let found = [all.get(new).cloned(), all.get(old).cloned()];
            assert_eq!(found, alias_rule(parent, written), "{new} {parent:?} {written:?}");
            assert!(added.iter().all(|(name, value)| before.written.get(name) != Some(value)), "{added:?}");
        }
    }
}

/// A group of three, where each member is said by nobody, the parent, the Dockerfile or both, with values of their own.
#[test]
fn every_combination_of_a_group_of_equal_labels_follows_the_rule() {
    let group = ["a", "b", "c"];
    let rules = Rules { equal: vec![group.map(str::to_owned).to_vec()], ..usual() };
    for combination in 0..64_usize {
        let at = |place: usize| (combination >> (2 * place)) & 3;
        let said = |bit: usize, whose: &str| {
            let names = (0..3).filter(|place| at(*place) & bit != 0);
            names.map(|place| (group[place].to_owned(), format!("{whose}-{}", group[place]))).collect::<Labels>()
        };
        let (parent, written) = (said(1, "parent"), said(2, "here"));
        let before = Before { parent: parent.clone(), written: written.clone(), ..Before::default() };
        let added = decide(&rules, &before).unwrap();
        let first = |labels: &Labels| group.iter().find_map(|name| labels.get(*name).cloned());
        for name in group {
            let expected = match (first(&written), first(&parent)) {
                (_, _) if written.contains_key(name) => None,
                // Where the Dockerfile says one, all others follow it.
                (Some(value), _) => Some(value),
                (None, Some(value)) if !parent.contains_key(name) => Some(value),
                (None, _) => None,
            };
            assert_eq!(added.get(name), expected.as_ref(), "{name} {parent:?} {written:?}");
        }
    }
}

#[test]
fn the_site_beats_what_a_build_demands_and_that_beats_the_dockerfile() {
    let decided = |site: Pairs<'_>, automatic: Pairs<'_>| {
        let options = Options::read(json!({"labels": {"release": "7", "x": "1"}}).as_object(), None).unwrap();
        let rules = Rules { labels: of(site), ..Rules::of(&Site::default(), &options) };
        let written = of(&[("release", "5")]);
        decide(&rules, &Before { written, automatic: of(automatic), ..Before::default() }).unwrap()
    };
    assert_eq!(decided(&[], &[]), of(&[("release", "7"), ("x", "1")]));
    assert_eq!(decided(&[("release", "6")], &[]), of(&[("release", "6"), ("x", "1")]));
    assert_eq!(decided(&[("release", "6")], &[("x", "auto")]), of(&[("release", "6"), ("x", "auto")]));
}

#[test]
fn arguments_of_older_lists_are_read() {
    let read = options(json!({
        "labels": "{\"a\": \"1\", \"b\": 2}",
        "auto_labels": ["vcs-ref"],
        "aliases": {"Old": "new"},
        "dont_overwrite": ["architecture"],
        "dont_overwrite_if_in_dockerfile": ["vendor"],
        "info_url_format": "https://c.example/{a}",
        "equal_labels": [["a", "c"]],
    }));
    let rules = Rules::of(&Site::default(), &read.unwrap());
    let before = Before {
        parent: of(&[("architecture", "s390x"), ("Old", "x")]),
        automatic: of(&[("architecture", "x86_64")]),
        ..Before::default()
    };
    let url = ("url", "https://c.example/1");
    assert_eq!(decide(&rules, &before).unwrap(), of(&[("a", "1"), ("b", "2"), ("c", "1"), ("new", "x"), url]));
}

#[test]
fn no_automatic_labels_are_none_and_no_aliases_are_the_usual_ones() {
    let read = options(json!({"auto_labels": null, "aliases": {}})).unwrap();
    assert_eq!((read.automatic.len(), read.aliases.len()), (0, ALIASES.len()));
    let read = options(json!({"aliases": null})).unwrap();
    assert_eq!((read.automatic.len(), read.aliases.len()), (AUTOMATIC.len(), ALIASES.len()));
}

#[test]
fn the_urls_format_may_name_a_label_that_is_empty() {
    let rules = Rules { url_format: Some("u/{name}/{a.b}".to_owned()), ..usual() };
    let before = Before { written: of(&[("name", ""), ("a.b", "c")]), ..Before::default() };
    assert_eq!(decide(&rules, &before).unwrap(), of(&[("url", "u//c")]));
}

#[test]
fn wrong_arguments_are_named() {
    for (args, text) in [
        (json!({"labels": "x"}), "argument labels is \"x\"; it must be a map of texts, or its JSON"),
        (json!({"labels": {"a": []}}), "argument labels has [] for a; it must be a text"),
        (json!({"auto_labels": 5}), "argument auto_labels is 5; it must be a list of texts"),
        (json!({"aliases": []}), "argument aliases is []; it must be a map of texts, or its JSON"),
        (json!({"equal_labels": ["a"]}), "argument equal_labels is [\"a\"]; it must be a list of lists of texts"),
        (json!({"info_url_format": 1}), "argument info_url_format is 1; it must be a text"),
    ] {
        assert_eq!(options(args).unwrap_err().text, text);
    }
}

#[test]
fn the_release_a_build_demands_is_a_label() {
    assert_eq!(Options::read(None, Some("7")).unwrap().labels, of(&[("release", "7")]));
}

#[test]
fn a_variable_holds_the_release_if_there_is_one() {
    let edit = release_env("REL", &of(&[("release", "3.fc40")])).unwrap().edit;
    assert_eq!(edit, Edit::Environment { name: "REL".to_owned(), value: "3.fc40".to_owned() });
    let warning = "container.yaml: set_release_env: REL is not set, for the image has no label release";
    assert_eq!(release_env("REL", &Labels::new()).unwrap_err(), warning);
    assert!(release_env("A B", &of(&[("release", "3")])).is_err());
}
