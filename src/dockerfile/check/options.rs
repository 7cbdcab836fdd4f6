//! `# check=skip=RULE,…;experimental=RULE,…;error=true`: which rules are applied, and whether findings fail the build.

use std::collections::BTreeSet;

use super::Rule;

/// What a check directive says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `skip=`: rules that are not applied.
    pub skip: Names,
    /// `experimental=`: experimental rules that are applied all the same.
    pub experimental: Names,
    /// `error=true`: a finding fails the build.
    pub error: bool,
}

/// A list of rules, or all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// `all`.
    pub all: bool,
    /// The names as written, known or not.
    pub names: BTreeSet<String>,
}

/// A check directive that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are those of the message")]
pub enum OptionsError {
    /// A part without `=`, or one that nobody knows.
    #[error("`{option}` is no option of a check; expected skip=, experimental= or error=")]
    Unknown { option: String },
    /// `error=` of something else.
    #[error("error={value}: expected true or false")]
    NotBoolean { value: String },
}

impl Options {
    /// Reads the value of a check directive, or of docker's `BUILDKIT_DOCKERFILE_CHECK`.
    ///
    /// # Errors
    /// [`OptionsError`] names the first part that means nothing. Rules that do not exist are no error: see
    /// [`Options::unknown`].
    pub fn parse(text: &str) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        for part in text.trim().split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let unknown = || OptionsError::Unknown { option: part.to_owned() };
            let (key, value) = part.split_once('=').ok_or_else(unknown)?;
            match (key.trim(), value.trim()) {
                ("skip", value) => options.skip.add(value),
                ("experimental", value) => options.experimental.add(value),
                ("error", value) => options.error = boolean(value)?,
                _ => return Err(unknown()),
            }
        }
        Ok(options)
    }

    /// The rules that are named but do not exist.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        let names = self.skip.names.iter().chain(&self.experimental.names);
        names.map(String::as_str).filter(|name| Rule::parse(name).is_none())
    }

    /// Whether `rule` is applied.
    pub fn applies(&self, rule: Rule) -> bool {
        if rule.is_experimental() { self.experimental.has(rule) } else { !self.skip.has(rule) }
    }

    /// These options with what a comment above one instruction adds; it cannot turn findings into errors.
    pub(super) fn with(&self, more: &Self) -> Self {
        let mut merged = self.clone();
        merged.skip.merge(&more.skip);
        merged.experimental.merge(&more.experimental);
        merged
    }
}

impl Names {
    fn add(&mut self, value: &str) {
        if value == "all" {
            self.all = true;
        } else {
            self.names.extend(value.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()));
        }
    }

    fn merge(&mut self, more: &Self) {
        self.all |= more.all;
        self.names.extend(more.names.iter().cloned());
    }

    fn has(&self, rule: Rule) -> bool {
        self.all || self.names.contains(rule.name())
    }
}

/// The spellings of Go's `strconv.ParseBool`, which BuildKit reads this with.
fn boolean(value: &str) -> Result<bool, OptionsError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(OptionsError::NotBoolean { value: value.to_owned() }),
    }
}

/// The options in the comments above an instruction: the first `check=` up to a blank. One that is wrong is a comment.
pub(super) fn in_comments<'a>(comments: impl Iterator<Item = &'a str>) -> Option<Options> {
    let value = |comment: &'a str| {
        let (name, value) = comment.split_once('=')?;
        let is_check = name.trim_end().eq_ignore_ascii_case("check");
        is_check.then(|| value.trim().split(' ').next().unwrap_or_default())
    };
    // A comment that says `check=` wrongly must not fail a build that ran before.
    comments.filter_map(value).next().and_then(|value| Options::parse(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directive_names_rules_and_the_outcome() {
        let options = Options::parse(" skip=UndefinedVar, StageNameCasing ; error=true;experimental=all").unwrap();
        assert!(!options.applies(Rule::UndefinedVar) && !options.applies(Rule::StageNameCasing));
        assert!(options.applies(Rule::FromAsCasing) && options.applies(Rule::InvalidDefinitionDescription));
        assert!(options.error);
        assert!(!Options::parse("skip=all").unwrap().applies(Rule::UndefinedVar));
        assert!(!Options::default().applies(Rule::InvalidDefinitionDescription));
        assert!(
            Options::parse("skip=all;experimental=InvalidDefinitionDescription")
                .unwrap()
                .applies(Rule::InvalidDefinitionDescription)
        );
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        let refused = |text: &str| Options::parse(text).unwrap_err().to_string();
        assert_eq!(refused("skip"), "`skip` is no option of a check; expected skip=, experimental= or error=");
        assert_eq!(refused("ski=A"), "`ski=A` is no option of a check; expected skip=, experimental= or error=");
        assert_eq!(refused("error=yes"), "error=yes: expected true or false");
        assert_eq!(Options::parse("skip=UndefinedVra").unwrap().unknown().collect::<Vec<_>>(), ["UndefinedVra"]);
    }

    #[test]
    fn a_comment_above_an_instruction_can_skip_too() {
        let found = in_comments(["why", "check=skip=UndefinedVar because"].into_iter()).unwrap();
        assert_eq!(found, Options::parse("skip=UndefinedVar").unwrap());
        assert_eq!(in_comments(["check=nothing"].into_iter()), None);
        assert_eq!(in_comments(["check this = that"].into_iter()), None);
    }
}
