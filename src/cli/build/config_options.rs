//! Options on the image's config, its annotations and its times.

use ::build::{ConfigOptions, LayerTimes};
use clap::ArgAction;
use clap::builder::BoolishValueParser;
use dockerfile::edit::{self, EditError};
use dockerfile::{Dockerfile, Edit, Escape, Span};

use crate::environment::Environment;

/// What the config and the manifest have beside what the Dockerfile says.
#[derive(Debug, clap::Args)]
pub(crate) struct ConfigArguments {
    /// Set a variable at the beginning of every stage; without a value, that of the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Leave this variable out of the image; RUN still sees it
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    unsetenv: Vec<String>,
    /// Leave this label out of the image, whoever set it
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    unsetlabel: Vec<String>,
    /// Leave this annotation of the base out
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    unsetannotation: Vec<String>,
    /// Whether stages have the labels of what they are built on
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    inherit_labels: bool,
    /// Whether the image has the annotations of its base, and those that name the base
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    inherit_annotations: bool,
    /// Whether the annotation org.opencontainers.image.created is set
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    created_annotation: bool,
    /// Write an image without history
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    omit_history: bool,
    /// The version of the operating system that the image needs
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// A feature of the operating system that the image needs; NAME- takes the base's away
    #[arg(long, value_name = "NAME")]
    os_feature: Vec<String>,
    /// The time of the image and of every file in its new layers, in seconds since 1970
    #[arg(long, value_name = "SECONDS", conflicts_with = "source_date_epoch")]
    pub(crate) timestamp: Option<u64>,
    /// Let no file of the new layers be newer than the image
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    rewrite_timestamp: bool,
}

impl ConfigArguments {
    /// As the build takes them.
    pub(crate) fn options(&self) -> ConfigOptions {
        ConfigOptions {
            unset_env: self.unsetenv.clone(),
            unset_labels: self.unsetlabel.clone(),
            unset_annotations: self.unsetannotation.clone(),
            drops_base_labels: !self.inherit_labels,
            drops_base_annotations: !self.inherit_annotations,
            omits_created_annotation: !self.created_annotation,
            omits_history: self.omit_history,
            os_version: self.os_version.clone(),
            os_features: self.os_feature.clone(),
        }
    }

    /// What becomes of file times.
    pub(crate) fn layer_times(&self) -> LayerTimes {
        match (self.timestamp, self.rewrite_timestamp) {
            (Some(_), _) => LayerTimes::Image,
            (None, true) => LayerTimes::AtMostImage,
            (None, false) => LayerTimes::OfBuild,
        }
    }

    /// `--env` with its values: `NAME` is the environment's, `PREFIX*` all of it that begins so, as in buildah.
    pub(crate) fn variables(&self, environment: &Environment) -> Vec<(String, String)> {
        let known = |prefix: &str| environment.beginning_with(prefix);
        let pairs = |text: &String| match (text.split_once('='), text.strip_suffix('*')) {
            (Some((name, value)), _) => vec![(name.to_owned(), value.to_owned())],
            (None, Some(prefix)) => known(prefix),
            (None, None) => known(text).into_iter().filter(|(name, _)| name == text).collect(),
        };
        self.env.iter().flat_map(pairs).collect()
    }
}

/// The Dockerfile's text with other images in its first and last FROM and an ENV of `variables` after every FROM.
///
/// The text is changed and not what is made of it, so that history, record and `--dry-run` show what is executed.
pub(crate) fn edited(
    file: &Dockerfile,
    (first, last): (Option<&str>, Option<&str>),
    variables: &[(String, String)],
) -> Result<String, EditError> {
    let mut edits = Vec::new();
    let last_stage = dockerfile::stages(file)?.stages.len().saturating_sub(1);
    if let Some(from) = first.filter(|_| last.is_none() || last_stage > 0) {
        edits.push(edit::pin_from(file, 0, from)?);
    }
    if let Some(from) = last {
        edits.push(edit::pin_from(file, last_stage, from)?);
    }
    if !variables.is_empty() {
        let line = env_line(variables, file.escape());
        edits.extend(dockerfile::stages(file)?.stages.iter().map(|stage| insert(file, stage.from.span.end, &line)));
    }
    edit::apply(&file.text, &edits)
}

/// A line of its own after the one that ends at or behind `end`.
fn insert(file: &Dockerfile, end: usize, line: &str) -> Edit {
    let ending = if file.text.contains("\r\n") { "\r\n" } else { "\n" };
    let rest = file.text.get(end..).unwrap_or_default();
    match rest.find('\n') {
        Some(length) => Edit { span: Span::at(end + length + 1), replacement: format!("{line}{ending}") },
        None => Edit { span: Span::at(file.text.len()), replacement: format!("{ending}{line}{ending}") },
    }
}

/// `ENV "name"="value" …`. Variables in a value are expanded, as in buildah.
fn env_line(variables: &[(String, String)], escape: Escape) -> String {
    let quoted = |text: &str| {
        let mut quoted = String::from("\"");
        for character in text.chars() {
            if character == '"' || character == escape.as_char() {
                quoted.push(escape.as_char());
            }
            // A line end would end the instruction.
            quoted.push(if character.is_control() { ' ' } else { character });
        }
        quoted.push('"');
        quoted
    };
    let pairs = variables.iter().map(|(name, value)| format!("{}={}", quoted(name), quoted(value)));
    format!("ENV {}", pairs.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, from: Option<&str>, variables: &[(&str, &str)], expected: &str) {
        let file = dockerfile::parse(text).unwrap();
        let variables: Vec<_> = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(edited(&file, (from, None), &variables).unwrap(), expected);
    }

    #[test]
    fn only_the_first_from_is_replaced() {
        check("FROM a AS x\nFROM b\n", Some("c:1"), &[], "FROM c:1 AS x\nFROM b\n");
        check("ARG V=1\nFROM a:$V\n", Some("b"), &[], "ARG V=1\nFROM b\n");
    }

    #[test]
    fn the_last_from_is_replaced_too() {
        let edited = |text: &str, first| edited(&dockerfile::parse(text).unwrap(), (first, Some("c:1")), &[]).unwrap();
        assert_eq!(edited("FROM a AS x\nFROM b\n", None), "FROM a AS x\nFROM c:1\n");
        assert_eq!(edited("FROM a\nFROM b\n", Some("d")), "FROM d\nFROM c:1\n");
        assert_eq!(edited("FROM a\n", Some("d")), "FROM c:1\n");
    }

    #[test]
    fn variables_are_set_in_every_stage() {
        check(
            "FROM a\nRUN x\nFROM b",
            None,
            &[("A", "1 2"), ("B", "\"")],
            "FROM a\nENV \"A\"=\"1 2\" \"B\"=\"\\\"\"\nRUN x\nFROM b\nENV \"A\"=\"1 2\" \"B\"=\"\\\"\"\n",
        );
        check("FROM \\\n  a\r\nRUN x\r\n", None, &[("A", "$B")], "FROM \\\n  a\r\nENV \"A\"=\"$B\"\r\nRUN x\r\n");
    }

    #[test]
    fn an_image_that_cannot_stand_after_from_is_refused() {
        let file = dockerfile::parse("FROM a\n").unwrap();
        assert!(edited(&file, (Some("a b"), None), &[]).is_err());
    }
}
