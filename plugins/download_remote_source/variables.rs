//! The variables that go with a remote source: `env.json` and `cachito.env` as Cachito writes them.
//!
//! Comes in: the text of the file. Goes out: names and values in the order of names, or in words why not. No shell reads
//! it.

use std::collections::BTreeMap;

use serde_json::Value;

/// `{NAME: {kind: path|literal, value: …}}` or `{NAME: value}`; a path is below `target`.
pub(super) fn from_json(text: &str, target: &str) -> Result<Vec<(String, String)>, String> {
    let Ok(Value::Object(map)) = serde_json::from_str(text) else { return Err("it is no JSON object".to_owned()) };
    let one = |(name, value): (String, Value)| {
        let kind = value.get("kind").and_then(Value::as_str);
        let found = value.as_str().or_else(|| value.get("value").and_then(Value::as_str));
        let found = found.ok_or_else(|| format!("{name} has no value that is a text"))?;
        let value = if kind == Some("path") { format!("{target}/{found}") } else { found.to_owned() };
        checked(name, value)
    };
    map.into_iter().map(one).collect::<Result<BTreeMap<_, _>, _>>().map(|map| map.into_iter().collect())
}

/// Lines `export NAME=VALUE`; a value may be in quotes, and `#!` and `#` begin comments.
pub(super) fn from_shell(text: &str, _: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = BTreeMap::new();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        let assignment = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = assignment.split_once('=').ok_or_else(|| format!("`{line}` is no NAME=VALUE"))?;
        let (name, value) = checked(name.trim().to_owned(), unquoted(value.trim())?)?;
        found.insert(name, value);
    }
    Ok(found.into_iter().collect())
}

/// A value without the quotes around it; what else a shell would do with it is refused.
fn unquoted(value: &str) -> Result<String, String> {
    let inner = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    let (text, is_raw) = match (inner('\''), inner('"')) {
        (Some(text), _) => (text, true),
        (None, Some(text)) => (text, false),
        (None, None) => (value, false),
    };
    let is_for_shell = |c: char| matches!(c, '"' | '\'' | '\\') || (!is_raw && matches!(c, '$' | '`'));
    if text.contains(is_for_shell) {
        Err(format!("`{value}` needs a shell to be understood"))
    } else {
        Ok(text.to_owned())
    }
}

fn checked(name: String, value: String) -> Result<(String, String), String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_word);
    if is_name { Ok((name, value)) } else { Err(format!("{name:?} is no name of a variable")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_file_is_read_without_a_shell() {
        let found =
            from_shell("#!/bin/bash\nexport GOCACHE=/remote-source/deps\nexport A='x y'\nB=\"z\"\n", "/t").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(found, [pair("A", "x y"), pair("B", "z"), pair("GOCACHE", "/remote-source/deps")]);
        assert_eq!(from_shell("A=$(id)", "").unwrap_err(), "`$(id)` needs a shell to be understood");
        assert_eq!(from_shell("exit 1", "").unwrap_err(), "`exit 1` is no NAME=VALUE");
    }

    #[test]
    fn json_says_which_values_are_paths() {
        let found = from_json(r#"{"B": {"kind": "path", "value": "deps"}, "A": "x"}"#, "/t").unwrap();
        assert_eq!(found, [("A".to_owned(), "x".to_owned()), ("B".to_owned(), "/t/deps".to_owned())]);
        assert_eq!(from_json("[]", "").unwrap_err(), "it is no JSON object");
        assert_eq!(from_json(r#"{"A": 1}"#, "").unwrap_err(), "A has no value that is a text");
        assert_eq!(from_json(r#"{"A B": "1"}"#, "").unwrap_err(), "\"A B\" is no name of a variable");
    }
}
