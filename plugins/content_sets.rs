//! `content_sets.yml`: which content sets the packages of an image come from, for each platform (OSBS, "Content sets").
//!
//! Comes in: the file's text. Goes out: the names by platform, or the first thing that is wrong, with its place. Whether
//! such content sets exist is not asked.

use std::collections::BTreeMap;

use pipeline::PluginError;
use pipeline::yaml::{self, Fault, Item, Meanings};

/// The file's name, beside the Dockerfile.
pub(crate) const NAME: &str = "content_sets.yml";

const NO_MEANINGS: &Meanings = &[];
const MEANING: &str =
    "a key is a platform such as x86_64, its value the list of content sets that its packages come from";

/// Names of content sets by platform.
type ContentSets = BTreeMap<String, Vec<String>>;

/// Reads the text of the file; an empty one says nothing.
///
/// # Errors
/// [`pipeline::Class::Source`] names what is wrong, with file, line and column.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Vec<String>>, PluginError> {
    let (sets, complaints) = read(text)?;
    complaints.into_iter().next().map_or(Ok(sets), Err)
}

/// The same, and a complaint about each name that OSBS would not accept.
///
/// # Errors
/// The first thing that can mean nothing.
pub(crate) fn read(text: &str) -> Result<(ContentSets, Vec<PluginError>), PluginError> {
    yaml::read_with_complaints((NAME, text), NO_MEANINGS, |item, complaints| match item {
        Some(item) => platforms(&item, complaints),
        None => Ok(BTreeMap::new()),
    })
}

fn platforms(item: &Item<'_>, complaints: &mut Vec<Fault>) -> Result<BTreeMap<String, Vec<String>>, Fault> {
    let mut platform = |(key, value): (&str, Item<'_>)| {
        if !key.starts_with(|first: char| first.is_ascii_lowercase()) {
            return Err(value.fault("the name of a platform begins with a small letter").help(MEANING));
        }
        let names = value.list()?.iter().map(|item| name(item, complaints)).collect::<Result<Vec<_>, _>>()?;
        if names.is_empty() {
            let help = format!("{MEANING}; take the platform out where there is none");
            return Err(value.fault("expected at least one content set, found none").help(help));
        }
        Ok((key.to_owned(), names))
    };
    item.fields()?.rest().map(&mut platform).collect()
}

fn name(item: &Item<'_>, complaints: &mut Vec<Fault>) -> Result<String, Fault> {
    const KIND: &str = "the name of a content set, a text that ends in -rpms or in -rpms__SUFFIX";
    let text = item.any_text(KIND)?;
    if !is_name(text) {
        complaints.push(item.expected(KIND).help(MEANING));
    }
    Ok(text.to_owned())
}

/// `*-rpms`, and maybe `__` with letters, digits and underscores behind it.
fn is_name(text: &str) -> bool {
    let Some((before, after)) = text.rsplit_once("-rpms") else { return false };
    let is_word = |suffix: &str| !suffix.is_empty() && suffix.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    !before.contains('\n') && (after.is_empty() || after.strip_prefix("__").is_some_and(is_word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        let error = parse(text).unwrap_err();
        assert_eq!(error.text, expected);
    }

    #[test]
    fn names_are_listed_by_platform() {
        let found = parse("x86_64:\n- a-rpms\n- a-debug-rpms__x_1\nppc64le: [b-rpms]\n").unwrap();
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let expected = [("ppc64le", names(&["b-rpms"])), ("x86_64", names(&["a-rpms", "a-debug-rpms__x_1"]))];
        assert_eq!(found, expected.map(|(platform, names)| (platform.to_owned(), names)).into());
        assert_eq!(parse("---\n").unwrap(), BTreeMap::new());
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        const KIND: &str = "expected the name of a content set, a text that ends in -rpms or in -rpms__SUFFIX";
        refused("x86_64:\n- a-debs\n", &format!("content_sets.yml:2:3: x86_64[0]: {KIND}, found the text \"a-debs\""));
        refused("x86_64: a-rpms", "content_sets.yml:1:9: x86_64: expected a list, found the text \"a-rpms\"");
        refused("a: []", "content_sets.yml:1:1: a: expected at least one content set, found none");
        refused("X: [a-rpms]", "content_sets.yml:1:1: X: the name of a platform begins with a small letter");
        refused("a: [1]", &format!("content_sets.yml:1:5: a[0]: {KIND}, found the number 1"));
        refused("- a", "content_sets.yml:1:1: the file: expected a map of keys and values, found a list");
    }

    #[test]
    fn a_suffix_follows_two_underscores() {
        for name in ["a-rpms", "-rpms", "a-rpms__x", "a-rpms__x-rpms", "a-rpms___"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a", "rpms", "a-rpms_x", "a-rpms__", "a-rpms__é", "a-rpms__x-y", "a-rpms "] {
            assert!(!is_name(name), "{name}");
        }
    }
}
