//! `--source-policy-file`: which images a build may take, and what is taken instead.
//!
//! Comes in: BuildKit's JSON (its sourcepolicy/pb/policy.proto), of which the rules on `docker-image://` are known.
//! Goes out: what is to become of one image. As in buildah the first rule that fits decides, and what no rule names
//! is allowed. Whatever cannot be obeyed in a policy is refused when it is read: it never lets something pass by
//! not understanding it.

use oci::Reference;
use serde_json::{Map, Value};

/// What identifiers of images begin with.
const IMAGE: &str = "docker-image://";
/// The most rules of one policy.
const MAX_RULES: usize = 10_000;

/// The rules, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourcePolicy {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    pattern: String,
    is_exact: bool,
    action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Allow,
    Deny,
    Convert(String),
}

/// What a policy says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision<'p> {
    Allowed,
    /// By the rule with this number, counted from 1, and its identifier.
    Denied(usize, &'p str),
    /// Another image is taken: its name.
    Converted(&'p str),
}

/// A policy that cannot be obeyed.
#[derive(Debug, thiserror::Error)]
pub enum SourcePolicyError {
    /// No JSON.
    #[error("{file}: not JSON")]
    Json {
        /// The policy's file.
        file: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Not of the form of a policy.
    #[error("{file}: expected an object with a list of rules, no more than {MAX_RULES}")]
    NoPolicy {
        /// The policy's file.
        file: String,
    },
    /// A rule that is malformed or asks for what this program does not do.
    #[error("{file}: rule {number}: {why}")]
    Rule {
        /// The policy's file.
        file: String,
        /// Its place, from 1.
        number: usize,
        /// What is the matter with it.
        why: String,
    },
}

impl SourcePolicy {
    /// Reads a policy; `file` is named in errors.
    ///
    /// # Errors
    /// [`SourcePolicyError`].
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, SourcePolicyError> {
        let json = |source| SourcePolicyError::Json { file: file.to_owned(), source };
        let value: Value = serde_json::from_slice(bytes).map_err(json)?;
        let no_policy = || SourcePolicyError::NoPolicy { file: file.to_owned() };
        let object = value.as_object().ok_or_else(no_policy)?;
        let rules = match object.get("rules") {
            None | Some(Value::Null) => &[][..],
            Some(Value::Array(rules)) if rules.len() <= MAX_RULES => rules,
            Some(_) => return Err(no_policy()),
        };
        let parse = |(index, rule): (usize, &Value)| {
            parse_rule(rule).map_err(|why| SourcePolicyError::Rule { file: file.to_owned(), number: index + 1, why })
        };
        Ok(Self { rules: rules.iter().enumerate().map(parse).collect::<Result<_, _>>()? })
    }

    /// What is to become of `image`, which the Dockerfile calls `name`.
    ///
    /// BuildKit's identifiers always have a tag or digest, buildah's only where the name has one: both are compared.
    pub(crate) fn decide(&self, name: &str, image: &Reference) -> Decision<'_> {
        let mut identifiers = vec![format!("{IMAGE}{image}")];
        if has_no_tag(name) {
            identifiers.push(format!("{IMAGE}{}", image.name()));
        }
        let fits = |rule: &&Rule| identifiers.iter().any(|identifier| rule.fits(identifier));
        match self.rules.iter().zip(1..).find(|(rule, _)| fits(rule)) {
            None => Decision::Allowed,
            Some((rule, number)) => match &rule.action {
                Action::Allow => Decision::Allowed,
                Action::Deny => Decision::Denied(number, &rule.pattern),
                Action::Convert(to) => Decision::Converted(to),
            },
        }
    }
}

fn has_no_tag(name: &str) -> bool {
    let last = name.rsplit_once('/').map_or(name, |(_, last)| last);
    !last.contains([':', '@'])
}

impl Rule {
    fn fits(&self, identifier: &str) -> bool {
        if self.is_exact { self.pattern == identifier } else { matches(&self.pattern, identifier) }
    }
}

fn parse_rule(value: &Value) -> Result<Rule, String> {
    let rule = object(value, "the rule", &["action", "selector", "updates"])?;
    let selector = rule.get("selector").ok_or("it has no selector")?;
    let selector = object(selector, "selector", &["identifier", "matchType"])?;
    let pattern = text(selector, "identifier")?.filter(|text| !text.is_empty());
    let pattern = pattern.ok_or("selector.identifier is missing")?;
    refuse_other_sources(pattern)?;
    let is_exact = match text(selector, "matchType")? {
        None | Some("" | "WILDCARD") => false,
        Some("EXACT") => true,
        Some(other) => return Err(format!("matchType {other} is not supported: use EXACT or WILDCARD")),
    };
    let action = match text(rule, "action")? {
        Some("ALLOW") => Action::Allow,
        Some("DENY") => Action::Deny,
        Some("CONVERT") => Action::Convert(target(rule)?),
        Some(other) => return Err(format!("action {other} is not known: use ALLOW, DENY or CONVERT")),
        None => return Err("it has no action".to_owned()),
    };
    Ok(Rule { pattern: pattern.to_owned(), is_exact, action })
}

/// The image that CONVERT gives, by its name.
fn target(rule: &Map<String, Value>) -> Result<String, String> {
    let updates = rule.get("updates").ok_or("CONVERT needs updates.identifier")?;
    let updates = object(updates, "updates", &["identifier"])?;
    let identifier = text(updates, "identifier")?.ok_or("CONVERT needs updates.identifier")?;
    let name = identifier.strip_prefix(IMAGE).unwrap_or(identifier);
    match name.parse::<Reference>() {
        Ok(_) => Ok(name.to_owned()),
        Err(error) => Err(format!("updates.identifier: {error}")),
    }
}

/// Rules on what no image is would have no effect here, and nobody would notice.
fn refuse_other_sources(pattern: &str) -> Result<(), String> {
    match pattern.split_once("://") {
        Some((scheme, _)) if scheme != "docker-image" && !scheme.contains(['*', '?']) => {
            Err(format!("selector.identifier `{pattern}`: only {IMAGE} sources are judged"))
        }
        Some(_) | None => Ok(()),
    }
}

fn object<'v>(value: &'v Value, what: &str, known: &[&str]) -> Result<&'v Map<String, Value>, String> {
    let object = value.as_object().ok_or_else(|| format!("{what} is no object"))?;
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("`{key}` in {what} is not supported")),
        None => Ok(object),
    }
}

fn text<'v>(object: &'v Map<String, Value>, key: &str) -> Result<Option<&'v str>, String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{key} is no text")),
    }
}

/// `*` stands for any bytes, `?` for one. Takes time in proportion to the product of both lengths at most.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // The last star, and where what it stands for ends.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || text.get(t) == Some(byte) => {
                p += 1;
                t += 1;
            }
            Some(_) | None => {
                let Some((at, end)) = star else { return false };
                star = Some((at, end + 1));
                p = at + 1;
                t = end + 1;
            }
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests;
