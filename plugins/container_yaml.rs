//! What plugins read of container.yaml (osbs-client, "container.yaml"): platforms and tags.
//!
//! Comes in: the file's text. Goes out: [`ContainerYaml`], or the first thing that is wrong, with line and column.
//! Other keys are somebody else's and are not looked at.

use std::fmt::{self, Formatter};

use pipeline::{Class, PluginError};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Unexpected, Visitor};
use serde_saphyr::{Error, Options};

/// The file's name, beside the Dockerfile.
pub(crate) const NAME: &str = "container.yaml";

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerYaml {
    /// `platforms.only`; empty means all.
    pub(crate) only: Vec<String>,
    /// `platforms.not`.
    pub(crate) not: Vec<String>,
    /// `tags`.
    pub(crate) tags: Option<Vec<String>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct File {
    platforms: Option<Platforms>,
    tags: Option<Many>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Platforms {
    only: Option<OneOrMany>,
    not: Option<OneOrMany>,
}

/// A text, or a list of them.
#[derive(Debug, Default)]
struct OneOrMany(Vec<String>);

/// A list of texts.
#[derive(Debug)]
struct Many(Vec<String>);

/// Reads the text of the file; an empty one says nothing.
pub(crate) fn parse(text: &str) -> Result<ContainerYaml, PluginError> {
    let mut options = Options::default();
    // A number that stands for a text must be in quotes: `1.10` is 1.1.
    options.no_schema = true;
    options.with_snippet = false;
    let file: Option<File> = serde_saphyr::from_str_with_options(text, options).map_err(|error| wrong(&error))?;
    let file = file.unwrap_or_default();
    let platforms = file.platforms.unwrap_or_default();
    let list = |value: Option<OneOrMany>| value.unwrap_or_default().0;
    Ok(ContainerYaml { only: list(platforms.only), not: list(platforms.not), tags: file.tags.map(|tags| tags.0) })
}

/// The library's complaint in our words, behind file, line and column.
fn wrong(error: &Error) -> PluginError {
    let error = error.without_snippet();
    let place = error.location().map_or_else(String::new, |place| format!(":{}:{}", place.line(), place.column()));
    let complain = |what: &str| PluginError::new(Class::Source, format!("{NAME}{place}: {what}"));
    if let Error::QuotingRequired { value, .. } = error {
        return complain(&format!("expected a text, found {value} without quotes")).help("put it in quotes");
    }
    if let Error::Unexpected { expected, .. } = error {
        return match *expected {
            "string scalar" => complain("expected a text"),
            "mapping start" => complain("expected a map of keys and values"),
            other => complain(&format!("expected {other}")),
        };
    }
    let full = error.to_string();
    complain(full.rsplit_once(" at line ").map_or(full.as_str(), |(what, _)| what))
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Texts { expected: "a text or a list of texts", takes_one: true }).map(Self)
    }
}

impl<'de> Deserialize<'de> for Many {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Texts { expected: "a list of texts", takes_one: false }).map(Self)
    }
}

/// Reads texts, and says what it would have liked.
struct Texts {
    expected: &'static str,
    takes_one: bool,
}

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<String>, E> {
        if self.takes_one { Ok(vec![text.to_owned()]) } else { Err(E::invalid_type(Unexpected::Str(text), &self)) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, expected: &str) {
        assert_eq!(parse(text).unwrap_err().text, expected);
    }

    #[test]
    fn platforms_are_one_or_many_and_other_keys_are_left_alone() {
        let yaml = parse("platforms:\n  only: [x86_64, aarch64]\n  not: s390x\ncompose: {packages: []}\n").unwrap();
        let (only, not) = (vec!["x86_64".into(), "aarch64".into()], vec!["s390x".to_owned()]);
        assert_eq!(yaml, ContainerYaml { only, not, tags: None });
    }

    #[test]
    fn nothing_says_nothing() {
        for text in ["", "---\n", "# c\n", "tags:\nplatforms:\n  only:\n"] {
            assert_eq!(parse(text).unwrap(), ContainerYaml::default(), "{text:?}");
        }
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        refused("tags:\n  latest: 1\n", "container.yaml:2:3: invalid type: map, expected a list of texts");
        refused("tags: v1\n", "container.yaml:1:1: invalid type: string \"v1\", expected a list of texts");
        refused("tags: [a, 1.10]\n", "container.yaml:1:11: expected a text, found 1.10 without quotes");
        refused("platforms:\n  only: [x86_64, {a: b}]\n", "container.yaml:2:18: expected a text");
        let kind = "invalid type: integer `7`, expected a text or a list of texts";
        refused("platforms:\n  not: 7\n", &format!("container.yaml:2:3: {kind}"));
        refused("platforms: x86_64\n", "container.yaml:1:12: expected a map of keys and values");
        refused("- a\n", "container.yaml:1:1: expected a map of keys and values");
        refused("a: [\n", "container.yaml:1:4: unclosed bracket '['");
    }
}
