//! OSBS's user parameters (`USER_PARAMS`), read and checked.
//!
//! Comes in: JSON that osbs-client or koji-containerbuild wrote. Goes out: a [`UserParams`] whose values were checked
//! once, with the keys that mean nothing here by name; or a [`TaskError`] that names the first key that is wrong, its
//! value and what is expected. It reads no file and decides nothing about a build.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::Task;

/// Most bytes of user parameters.
const MAX_BYTES: usize = 1 << 20;
/// Characters of the longest `name` (koji-containerbuild has it in names of OpenShift's objects).
const MAX_NAME: usize = 63;
/// Characters of a value that an error shows.
const MAX_SHOWN: usize = 80;

/// Keys that are known and have no effect, with the reason.
const UNUSED: &[(&str, &str)] = &[
    ("base_image", "not used: the parent is read from the Dockerfile"),
    ("build_type", NO_WORKERS),
    ("build_image", NO_WORKERS),
    ("build_imagestream", NO_WORKERS),
    ("build_from", NO_WORKERS),
    ("build_json_dir", "not used: plugins have their own order and arguments"),
    ("builder_build_json_dir", NO_WORKERS),
    ("arrangement_version", "not used: there is one arrangement"),
    ("customize_conf", "not used: plugins have their own order and arguments"),
    ("dependency_replacements", "out of scope"),
    ("filesystem_koji_task_id", NO_WORKERS),
    ("git_commit_depth", "not used: a commit is fetched alone"),
    ("imagestream_name", "not used: no image stream is imported"),
    ("imagestream_url", "not used: no image stream is imported"),
    ("koji_upload_dir", NO_WORKERS),
    ("name", "not used: it names objects of the cluster"),
    ("opentelemetry_info", "not used: no traces are sent"),
    ("operator_bundle_replacement_pullspecs", "out of scope"),
    ("operator_csv_modifications_url", "out of scope"),
    ("operator_manifests_extract_platform", "out of scope"),
    ("orchestrator_deadline", "not used: the pod has a deadline"),
    ("parent_images_digests", NO_WORKERS),
    ("platform_descriptors", NO_WORKERS),
    ("remote_source_build_args", "out of scope"),
    ("remote_source_configs", "out of scope"),
    ("remote_source_url", "out of scope"),
    ("remote_sources", "out of scope"),
    ("skip_build", "not used: what the pod is started for is built"),
    ("trigger_imagestreamtag", "not used: no image stream is imported"),
    ("worker_deadline", NO_WORKERS),
];
const NO_WORKERS: &str = "not used: there are no worker builds";

/// What user parameters say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserParams {
    /// What is demanded of the build.
    pub task: Task,
    /// The source's repository (`git_uri`).
    pub git_uri: Option<String>,
    /// The commit, branch or tag (`git_ref`).
    pub git_ref: Option<String>,
    /// The ConfigMap with the site's configuration (`reactor_config_map`).
    pub config_map: Option<String>,
    /// Configuration that replaces keys of the site's (`reactor_config_override`).
    pub config_override: Option<Map<String, Value>>,
    /// Keys without effect, each with the reason, in the order of their names.
    pub notes: Vec<String>,
}

/// Why user parameters are none.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// They are too long.
    #[error("the user parameters have {size} bytes; at most {MAX_BYTES} are read")]
    TooLarge {
        /// Their bytes.
        size: usize,
    },
    /// They are no JSON.
    #[error("the user parameters are not JSON")]
    Json(#[from] serde_json::Error),
    /// They are JSON, but no object.
    #[error("the user parameters are {found}; expected an object")]
    NoObject {
        /// What they are.
        found: String,
    },
    /// A key that must be there.
    #[error("{key} is missing; expected {expected}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// A value that is not right.
    #[error("{key} is {found}; expected {expected}")]
    Value {
        /// The key.
        key: String,
        /// What is there, shortened.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// Two keys that cannot be there at once.
    #[error(
        "{first} and {second} exclude each other, and both are set: {first} is {first_value}, {second} is {second_value}; leave one out"
    )]
    Exclusive {
        /// One key.
        first: &'static str,
        /// Its value, shortened.
        first_value: String,
        /// The other key.
        second: &'static str,
        /// Its value, shortened.
        second_value: String,
    },
    /// Something this program does not do.
    #[error("{key} is {found}: {why}")]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value, shortened.
        found: String,
        /// Why not.
        why: &'static str,
    },
}

impl Task {
    /// Reads user parameters. `null` demands nothing; otherwise `git_uri`, `git_ref` and `user` must be there.
    ///
    /// # Errors
    /// [`TaskError`] at the first key that is wrong.
    pub fn parse(text: &str) -> Result<UserParams, TaskError> {
        if text.len() > MAX_BYTES {
            return Err(TaskError::TooLarge { size: text.len() });
        }
        let map = match serde_json::from_str(text)? {
            Value::Null => return Ok(UserParams::default()),
            Value::Object(map) => map,
            other @ (Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                return Err(TaskError::NoObject { found: shown(&other) });
            }
        };
        let mut keys = Keys { map };
        check_requirements(&keys)?;
        let parsed = read(&mut keys)?;
        check_rules(&parsed.task)?;
        Ok(UserParams { notes: keys.notes(), ..parsed })
    }
}

fn read(keys: &mut Keys) -> Result<UserParams, TaskError> {
    let is_flatpak = keys.boolean("flatpak")?;
    if is_flatpak {
        let why = "flatpaks are not built here; take the key out or build with the tools of flatpak";
        return Err(TaskError::Unsupported { key: "flatpak", found: "true".to_owned(), why });
    }
    if let Some(kind) = keys.text("kind")?.filter(|kind| kind.contains("source")) {
        let why = "source containers are not built here";
        return Err(TaskError::Unsupported { key: "kind", found: kind, why });
    }
    keys.check_unused()?;
    let task = Task {
        additional_tags: keys.texts("additional_tags")?,
        tags_from_yaml: keys.boolean("tags_from_yaml")?,
        component: keys.text("component")?,
        compose_ids: keys.numbers("compose_ids")?,
        git_branch: keys.text("git_branch")?,
        image_tag: keys.text_where("image_tag", IMAGE_TAG, is_image_tag)?,
        include_koji_repo: keys.boolean("include_koji_repo")?,
        is_isolated: keys.boolean("isolated")?,
        is_scratch: keys.boolean("scratch")?,
        koji_parent_build: keys.text("koji_parent_build")?,
        koji_target: keys.text("koji_target")?,
        koji_task_id: keys.number("koji_task_id")?,
        platform: keys.text("platform")?,
        platforms: keys.texts("platforms")?,
        release: keys.text_where("release", RELEASE, is_release)?,
        signing_intent: keys.text("signing_intent")?,
        user: keys.text("user")?,
        userdata: keys.object("userdata")?.unwrap_or_default(),
        yum_repourls: keys.texts("yum_repourls")?,
        ..Task::default()
    };
    Ok(UserParams {
        task,
        git_uri: keys.text("git_uri")?,
        git_ref: keys.text("git_ref")?,
        config_map: keys.text("reactor_config_map")?,
        config_override: keys.object("reactor_config_override")?,
        notes: Vec::new(),
    })
}

const IMAGE_TAG: &str = "USER/COMPONENT:TARGET-NNNNN-YYYYmmddHHMMSS, perhaps with -PLATFORM";
const RELEASE: &str = "a release such as 3 or 3.1.fc42: numbers and words, dots and underscores between them";
const ISOLATED: &str =
    "a release such as 2.1 or 2.1.el7 (numbers at both sides of the first dot) where isolated is true";

fn check_requirements(keys: &Keys) -> Result<(), TaskError> {
    for (key, expected) in [
        ("git_uri", "the URL of the source's repository"),
        ("git_ref", "the commit to build"),
        ("user", "the name of who asked for the build"),
    ] {
        if !keys.map.contains_key(key) {
            return Err(TaskError::Missing { key, expected });
        }
    }
    Ok(())
}

/// What keys demand of each other.
fn check_rules(task: &Task) -> Result<(), TaskError> {
    if task.is_scratch && task.is_isolated {
        return Err(TaskError::Exclusive {
            first: "scratch",
            first_value: "true".to_owned(),
            second: "isolated",
            second_value: "true".to_owned(),
        });
    }
    if let (Some(intent), false) = (&task.signing_intent, task.compose_ids.is_empty()) {
        return Err(TaskError::Exclusive {
            first: "signing_intent",
            first_value: intent.clone(),
            second: "compose_ids",
            second_value: shown(&Value::from(task.compose_ids.clone())),
        });
    }
    match (&task.release, task.is_isolated) {
        (None, true) => Err(TaskError::Missing { key: "release", expected: ISOLATED }),
        (Some(release), true) if !is_isolated_release(release) => {
            Err(TaskError::Value { key: "release".to_owned(), found: text_shown(release), expected: ISOLATED })
        }
        (Some(_) | None, _) => Ok(()),
    }
}

/// `^\d+([._]?[a-zA-Z0-9]+)*$`
fn is_release(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let starts = text.starts_with(|c: char| c.is_ascii_digit());
    let is_word = |c: char| c.is_ascii_alphanumeric();
    let has_double = rest.as_bytes().windows(2).any(|pair| pair.iter().all(|byte| b"._".contains(byte)));
    starts && !text.ends_with(['.', '_']) && !has_double && rest.chars().all(|c| is_word(c) || matches!(c, '.' | '_'))
}

/// `^\d+\.\d+(\..+)?$`
fn is_isolated_release(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = text.splitn(3, '.');
    let numbers = [parts.next(), parts.next()].into_iter().all(|part| part.is_some_and(is_number));
    numbers && parts.next().is_none_or(|rest| !rest.is_empty())
}

/// A name with a user before it and a tag that ends in five digits and a time, and perhaps a platform.
fn is_image_tag(text: &str) -> bool {
    let Some((name, tag)) = text.rsplit_once(':') else { return false };
    let is_name = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == ':');
    let has_user = name.split_once('/').is_some_and(|(user, component)| is_name(user) && is_name(component));
    let is_tag_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    has_user && tag.len() <= 128 && tag.bytes().all(is_tag_byte) && ends_in_time(tag)
}

/// `…-\d{5}-\d{14}` or that with `-PLATFORM`.
fn ends_in_time(tag: &str) -> bool {
    let is_digits = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = tag.split('-').collect();
    let is_pair = |behind: usize| {
        let end = parts.len().saturating_sub(behind);
        let before = parts.get(..end).unwrap_or_default();
        matches!(before, [target, .., number, time]
            if !target.is_empty() && is_digits(number, 5) && is_digits(time, 14))
    };
    let has_platform = parts.last().is_some_and(|platform| !platform.is_empty());
    is_pair(0) || (has_platform && is_pair(1))
}

/// The keys nobody has taken yet.
struct Keys {
    map: Map<String, Value>,
}

impl Keys {
    fn take<T>(
        &mut self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, TaskError> {
        let Some(value) = self.map.remove(key) else { return Ok(None) };
        let wrong = || TaskError::Value { key: key.to_owned(), found: found(key, &value), expected };
        read(&value).map(Some).ok_or_else(wrong)
    }

    fn text(&mut self, key: &'static str) -> Result<Option<String>, TaskError> {
        self.text_where(key, "a text that is not empty", |text| !text.is_empty())
    }

    fn text_where(
        &mut self,
        key: &'static str,
        expected: &'static str,
        is_right: impl FnOnce(&str) -> bool,
    ) -> Result<Option<String>, TaskError> {
        self.take(key, expected, |value| value.as_str().filter(|text| is_right(text)).map(str::to_owned))
    }

    fn boolean(&mut self, key: &'static str) -> Result<bool, TaskError> {
        Ok(self.take(key, "true or false", Value::as_bool)?.unwrap_or(false))
    }

    fn number(&mut self, key: &'static str) -> Result<Option<u64>, TaskError> {
        self.take(key, "a whole number from 0", Value::as_u64)
    }

    fn numbers(&mut self, key: &'static str) -> Result<Vec<u64>, TaskError> {
        let list = self.take(key, "a list of whole numbers from 0", |value| {
            value.as_array()?.iter().map(Value::as_u64).collect()
        })?;
        Ok(list.unwrap_or_default())
    }

    fn texts(&mut self, key: &'static str) -> Result<Vec<String>, TaskError> {
        let list = self.take(key, "a list of texts", |value| {
            value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
        })?;
        Ok(list.unwrap_or_default())
    }

    fn object(&mut self, key: &'static str) -> Result<Option<Map<String, Value>>, TaskError> {
        self.take(key, "an object", |value| value.as_object().cloned())
    }

    /// The types of keys that have no effect, where the reference checks them.
    fn check_unused(&self) -> Result<(), TaskError> {
        let wrong = |key: &str, value: &Value, expected| {
            Err(TaskError::Value { key: key.to_owned(), found: found(key, value), expected })
        };
        for key in ["base_image", "operator_csv_modifications_url"] {
            match self.map.get(key) {
                Some(value) if !value.is_string() => return wrong(key, value, "a text"),
                Some(_) | None => {}
            }
        }
        match self.map.get("git_commit_depth") {
            Some(value) if !value.is_i64() && !value.is_u64() => {
                return wrong("git_commit_depth", value, "a whole number");
            }
            Some(_) | None => {}
        }
        match self.map.get("name") {
            Some(Value::String(name)) if name.chars().count() <= MAX_NAME => {}
            Some(value) => return wrong("name", value, "a text of 63 characters at most"),
            None => {}
        }
        match self.map.get("opentelemetry_info") {
            Some(value) if !is_telemetry(value) => {
                wrong("opentelemetry_info", value, "an object of traceparent and otel_url, texts both")
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What is left: keys that are known and of no use, and keys that nobody knows.
    fn notes(self) -> Vec<String> {
        let note = |key: &String| match UNUSED.iter().find(|(known, _)| known == key) {
            Some((_, reason)) => format!("{key}: {reason}"),
            None => format!("{key}: unknown key, not used"),
        };
        let mut keys: Vec<&String> = self.map.keys().collect();
        keys.sort();
        keys.into_iter().map(note).collect()
    }
}

fn is_telemetry(value: &Value) -> bool {
    let is_right = |(key, value): (&String, &Value)| {
        matches!(key.as_str(), "traceparent" | "otel_url") && (value.is_string() || value.is_null())
    };
    value.as_object().is_some_and(|map| map.iter().all(is_right))
}

/// A value in a message; a URL may hold a password.
fn found(key: &str, value: &Value) -> String {
    let is_url = key.contains("uri") || key.contains("url");
    if is_url && value.to_string().contains('@') { "a value with a login".to_owned() } else { shown(value) }
}

fn text_shown(text: &str) -> String {
    shown(&Value::from(text))
}

/// A value as JSON, shortened.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(MAX_SHOWN).collect();
    if short.len() < text.len() {
        // Writing to a text cannot fail.
        let _ = write!(short, "… ({} characters)", text.chars().count());
    }
    short
}

#[cfg(test)]
mod tests;
