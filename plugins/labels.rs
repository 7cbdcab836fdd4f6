//! Labels and their old names, as OSBS knows them (osbs-client, "Labels").

use std::collections::BTreeMap;

use pipeline::{Class, PluginError, PreBuildView};

/// Labels by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// New names, and the old ones that still count.
pub(crate) const ALIASES: [(&str, &str); 11] = [
    ("name", "Name"),
    ("com.redhat.component", "BZComponent"),
    ("version", "Version"),
    ("release", "Release"),
    ("architecture", "Architecture"),
    ("vendor", "Vendor"),
    ("authoritative-source-url", "Authoritative_Registry"),
    ("com.redhat.build-host", "Build_Host"),
    ("run", "RUN"),
    ("install", "INSTALL"),
    ("uninstall", "UNINSTALL"),
];

/// The labels the image will have: those a plugin before has stated, else those of the Dockerfile and the parent.
/// `--label` has the last word, as in the build itself.
pub(crate) fn in_force(view: &PreBuildView<'_>) -> Result<Labels, PluginError> {
    if let Some(labels) = view.facts.labels() {
        return Ok(labels.clone());
    }
    let mut labels = view.preview()?.config.labels;
    labels.extend(view.request.labels.iter().cloned());
    Ok(labels)
}

/// The value of a label under its new or its old name; one that is empty counts as missing.
pub(crate) fn value<'l>(labels: &'l Labels, name: &str) -> Option<&'l str> {
    let old = ALIASES.iter().find(|(new, _)| *new == name).map(|(_, old)| *old);
    let one = |name: &str| labels.get(name).map(String::as_str).filter(|value| !value.is_empty());
    one(name).or_else(|| old.and_then(one))
}

/// The same, where nothing can go on without it.
pub(crate) fn need<'l>(labels: &'l Labels, name: &str) -> Result<&'l str, PluginError> {
    value(labels, name).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> PluginError {
    let text = format!("the image has no label {name}");
    PluginError::new(Class::Source, text).help(format!("add `LABEL {name}=…` to the Dockerfile"))
}

/// `{label}` in a text replaced by the label's value; `{{` and `}}` are braces. `whose` is the class of an error in the
/// text itself; a label that is missing is the source's.
pub(crate) fn fill(format: &str, labels: &Labels, whose: Class) -> Result<String, PluginError> {
    replaced(format, whose, &|name| need(labels, name))
}

/// The same with the labels of exactly these names, which may be empty: a tag cannot do without a value, a text of the
/// site can, and there aliases are labels already.
pub(crate) fn fill_if_there(format: &str, labels: &Labels, whose: Class) -> Result<String, PluginError> {
    replaced(format, whose, &|name| labels.get(name).map(String::as_str).ok_or_else(|| missing(name)))
}

fn replaced<'l>(
    format: &str,
    whose: Class,
    value: &dyn Fn(&str) -> Result<&'l str, PluginError>,
) -> Result<String, PluginError> {
    let malformed = |why: &str| PluginError::new(whose, format!("`{format}`: {why}"));
    let mut filled = String::new();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '{' | '}' if characters.next_if_eq(&character).is_some() => filled.push(character),
            '{' => {
                let name = name(&mut characters).ok_or_else(|| malformed("a brace is not closed"))?;
                let missing = |error: PluginError| PluginError { text: format!("`{format}`: {}", error.text), ..error };
                filled.push_str(value(&name).map_err(missing)?);
            }
            '}' => return Err(malformed("a brace is closed that is not open; write `}}` for a brace")),
            other => filled.push(other),
        }
    }
    Ok(filled)
}

/// What stands before the brace that closes.
fn name(characters: &mut impl Iterator<Item = char>) -> Option<String> {
    let mut name = String::new();
    loop {
        match characters.next()? {
            '}' => return Some(name),
            character => name.push(character),
        }
    }
}

/// Labels of a test.
#[cfg(test)]
pub(crate) fn of(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: &str, expected: Result<&str, &str>) {
        let labels = of(&[("version", "1"), ("Release", "2"), ("empty", "")]);
        let filled = fill(format, &labels, Class::Configuration).map_err(|error| error.text);
        assert_eq!(filled.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn a_label_in_braces_stands_for_its_value() {
        check("{version}-{release}", Ok("1-2"));
        check("{{{version}}}", Ok("{1}"));
        check("plain", Ok("plain"));
    }

    #[test]
    fn what_cannot_be_filled_in_is_named() {
        check("{missing}", Err("`{missing}`: the image has no label missing"));
        check("{empty}", Err("`{empty}`: the image has no label empty"));
        check("a{version", Err("`a{version`: a brace is not closed"));
        check("a}b", Err("`a}b`: a brace is closed that is not open; write `}}` for a brace"));
    }

    #[test]
    fn a_text_of_the_site_may_name_a_label_that_is_empty() {
        let labels = of(&[("version", "1"), ("Release", "2"), ("empty", ""), ("com.redhat.component", "c")]);
        let fill = |format: &str| fill_if_there(format, &labels, Class::Configuration).map_err(|error| error.text);
        assert_eq!(fill("{empty}/{version}/{Release}/{com.redhat.component}").as_deref(), Ok("/1/2/c"));
        assert_eq!(fill("{release}"), Err("`{release}`: the image has no label release".to_owned()));
    }

    #[test]
    fn a_label_that_is_missing_is_for_the_source_to_add() {
        let error = fill("{release}", &Labels::new(), Class::Configuration).unwrap_err();
        assert_eq!(error.class, Class::Source);
        assert_eq!(error.help.as_deref(), Some("add `LABEL release=…` to the Dockerfile"));
    }
}
