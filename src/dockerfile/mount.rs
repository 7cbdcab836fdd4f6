//! `RUN --mount`: from the flag's text to a mount that can be made or refused.
//!
//! Two steps, because values may hold variables: [`Mount`] is what the parser keeps, [`Mount::resolve`] expands and
//! checks it. The options are BuildKit's and, of buildah's, `z`, `Z` and `tmpcopyup`; all others are refused by name.

use crate::expand::{self, ExpandError, Lookup};
use crate::suggest::nearest;
use crate::{Diagnostic, Escape, Span};

/// A `--mount` flag before expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The fields between commas, quotes resolved: `key=value` or `key`.
    pub fields: Vec<String>,
    /// The flag.
    pub span: Span,
}

/// What kind of mount it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    #[default]
    Bind,
    /// A directory kept between builds.
    Cache,
    /// An empty directory in memory.
    Tmpfs,
    /// A secret, as file or variable.
    Secret,
    /// An SSH agent's socket.
    Ssh,
}

impl MountKind {
    const NAMES: [&'static str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "bind" => Some(Self::Bind),
            "cache" => Some(Self::Cache),
            "tmpfs" => Some(Self::Tmpfs),
            "secret" => Some(Self::Secret),
            "ssh" => Some(Self::Ssh),
            _ => None,
        }
    }

    /// The name as it is written in `type=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Cache => "cache",
            Self::Tmpfs => "tmpfs",
            Self::Secret => "secret",
            Self::Ssh => "ssh",
        }
    }
}

impl std::fmt::Display for MountKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Who may use a cache at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All steps at once.
    Shared,
    /// Each step gets its own.
    Private,
    /// One step after the other.
    Locked,
}

/// The SELinux label that the mounted files get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relabel {
    /// `z`: one that all containers may use.
    Shared,
    /// `Z`: one for this container alone.
    Private,
}

/// A `--mount` with all its options expanded and checked. An empty value counts as not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountSpec {
    /// `type`.
    pub kind: MountKind,
    /// `from`: a stage's name or number, an image, or a named context.
    pub from: Option<String>,
    /// `source`, `src`.
    pub source: Option<String>,
    /// `target`, `dst`, `destination`; relative to the working directory where it is not absolute.
    pub target: Option<String>,
    /// `ro`, `rw` and their long forms. By default all but caches and tmpfs are read-only.
    pub read_only: bool,
    /// `size` of a tmpfs, in bytes.
    pub size: Option<u64>,
    /// `id` of a cache, secret or SSH agent.
    pub id: Option<String>,
    /// `sharing` of a cache.
    pub sharing: Option<Sharing>,
    /// `required`: fail where the secret or agent is not there.
    pub required: bool,
    /// `env`: the variable that holds the secret; empty for the secret's name.
    pub env: Option<String>,
    /// `mode` of a cache, secret or socket.
    pub mode: Option<u32>,
    /// `uid` of its owner.
    pub uid: Option<u32>,
    /// `gid` of its owner.
    pub gid: Option<u32>,
    /// `z` or `Z`.
    pub relabel: Option<Relabel>,
    /// `tmpcopyup`: the tmpfs starts with what the image has there.
    pub copy_up: bool,
}

/// A mount that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are those of the message")]
pub enum MountError {
    /// A value cannot be expanded.
    #[error("--mount option `{key}`: {source}")]
    Expand { key: String, source: ExpandError },
    /// No such type.
    #[error("--mount type `{kind}` does not exist{}", suggested(*suggestion))]
    UnknownKind { kind: String, suggestion: Option<&'static str> },
    /// No such option.
    #[error("--mount has no option `{key}`{}", suggested(*suggestion))]
    UnknownOption { key: String, suggestion: Option<&'static str> },
    /// An option without its value.
    #[error("--mount option `{key}` needs a value")]
    NoValue { key: String },
    /// A value that the option cannot have.
    #[error("--mount option `{key}` cannot be `{value}`, only {expected}")]
    BadValue { key: String, value: String, expected: &'static str },
    /// An option that mounts of this type do not have.
    #[error("--mount of type {kind} has no option `{key}`")]
    NotForKind { kind: MountKind, key: &'static str },
    /// A secret with neither name nor place.
    #[error("--mount of type secret needs an id, a source or a target")]
    NamelessSecret,
    /// A secret with two names.
    #[error("--mount of type secret has both an id and a source")]
    SecretNamedTwice,
}

impl MountError {
    /// The error as a renderer shows it; `span` is the flag's place.
    pub fn diagnostic(&self, span: Span) -> Diagnostic {
        Diagnostic { message: self.to_string(), span, help: None }
    }
}

fn suggested(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

const OPTIONS: [&str; 22] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "required",
    "size",
    "id",
    "sharing",
    "mode",
    "uid",
    "gid",
    "env",
    "z",
    "Z",
    "tmpcopyup",
];

impl Mount {
    /// Reads the value of the flag at `span`; `None` where its quotes do not balance.
    pub(crate) fn parse(value: &str, span: Span) -> Option<Self> {
        Some(Self { fields: csv(value)?, span })
    }

    /// What `from` names, before expansion.
    pub fn from(&self) -> Option<&str> {
        self.fields
            .iter()
            .filter_map(|field| field.split_once('='))
            .rfind(|(key, _)| key.eq_ignore_ascii_case("from"))
            .map(|(_, value)| value)
            .filter(|value| !value.is_empty())
    }

    /// Expands and checks all options.
    ///
    /// # Errors
    /// [`MountError`] names the first option that does not exist, that has a bad value or that this type does not have.
    pub fn resolve(&self, escape: Escape, lookup: Lookup<'_>) -> Result<MountSpec, MountError> {
        let mut spec = MountSpec::default();
        let mut read_only = None;
        for field in &self.fields {
            match field.split_once('=') {
                None => bare_option(&mut spec, &mut read_only, field)?,
                Some((key, value)) => {
                    let value = expand::word(value, escape, lookup)
                        .map_err(|source| MountError::Expand { key: key.to_owned(), source })?;
                    option(&mut spec, &mut read_only, key, value)?;
                }
            }
        }
        spec.read_only = read_only.unwrap_or(!matches!(spec.kind, MountKind::Cache | MountKind::Tmpfs));
        check(spec)
    }
}

/// An option without a value.
fn bare_option(spec: &mut MountSpec, read_only: &mut Option<bool>, key: &str) -> Result<(), MountError> {
    match key {
        "z" => spec.relabel = Some(Relabel::Shared),
        "Z" => spec.relabel = Some(Relabel::Private),
        _ => match key.to_ascii_lowercase().as_str() {
            "readonly" | "ro" => *read_only = Some(true),
            "readwrite" | "rw" => *read_only = Some(false),
            "required" => spec.required = true,
            "tmpcopyup" => spec.copy_up = true,
            lower if OPTIONS.contains(&lower) => return Err(MountError::NoValue { key: key.to_owned() }),
            _ => return Err(unknown(key)),
        },
    }
    Ok(())
}

/// `key=value`, where the value is expanded.
fn option(spec: &mut MountSpec, ro: &mut Option<bool>, key: &str, value: String) -> Result<(), MountError> {
    let given = |value: String| (!value.is_empty()).then_some(value);
    match key.to_ascii_lowercase().as_str() {
        "type" => spec.kind = MountKind::parse(&value).ok_or_else(|| unknown_kind(value))?,
        "from" => spec.from = given(value),
        "source" | "src" => spec.source = given(value),
        "target" | "dst" | "destination" => spec.target = given(value),
        "readonly" | "ro" => *ro = Some(boolean(key, &value)?),
        "readwrite" | "rw" => *ro = Some(!boolean(key, &value)?),
        "required" => spec.required = boolean(key, &value)?,
        "size" => spec.size = Some(size(&value).ok_or_else(|| bad(key, &value, "a size such as 64m or 1GiB"))?),
        "id" => spec.id = given(value),
        "sharing" => spec.sharing = Some(sharing(key, &value)?),
        "mode" => {
            let mode = u32::from_str_radix(&value, 8).ok().filter(|_| !value.starts_with('+'));
            spec.mode = Some(mode.ok_or_else(|| bad(key, &value, "an octal number"))?);
        }
        "uid" => spec.uid = Some(number(key, &value)?),
        "gid" => spec.gid = Some(number(key, &value)?),
        "env" => spec.env = Some(value),
        _ => return Err(unknown(key)),
    }
    Ok(())
}

fn unknown(key: &str) -> MountError {
    MountError::UnknownOption { key: key.to_owned(), suggestion: nearest(key, OPTIONS) }
}

fn unknown_kind(kind: String) -> MountError {
    MountError::UnknownKind { suggestion: nearest(&kind, MountKind::NAMES), kind }
}

fn bad(key: &str, value: &str, expected: &'static str) -> MountError {
    MountError::BadValue { key: key.to_owned(), value: value.to_owned(), expected }
}

fn boolean(key: &str, value: &str) -> Result<bool, MountError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(bad(key, value, "true or false")),
    }
}

fn number(key: &str, value: &str) -> Result<u32, MountError> {
    let number = value.parse().ok().filter(|_| !value.starts_with('+'));
    number.ok_or_else(|| bad(key, value, "a number"))
}

fn sharing(key: &str, value: &str) -> Result<Sharing, MountError> {
    match value.to_ascii_lowercase().as_str() {
        "shared" => Ok(Sharing::Shared),
        "private" => Ok(Sharing::Private),
        "locked" => Ok(Sharing::Locked),
        _ => Err(bad(key, value, "shared, private or locked")),
    }
}

/// A size in bytes: a number, perhaps with a fraction, and a binary unit from `b` to `p`.
fn size(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = lower.strip_prefix(digits)?;
    let power = match unit {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return None,
    };
    let is_number =
        digits.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit() || c == '.');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
    let bytes = whole.parse::<u64>().ok()?.checked_mul(1 << power)?;
    let rest = (fraction * (1_u64 << power) as f64) as u64;
    if is_number { bytes.checked_add(rest) } else { None }
}

/// The rules that depend on the type, which may stand last.
fn check(spec: MountSpec) -> Result<MountSpec, MountError> {
    let kind = spec.kind;
    let owned = matches!(kind, MountKind::Secret | MountKind::Ssh | MountKind::Cache);
    let named = matches!(kind, MountKind::Secret | MountKind::Ssh);
    let rules = [
        ("mode", spec.mode.is_some() && !owned),
        ("uid", spec.uid.is_some() && !owned),
        ("gid", spec.gid.is_some() && !owned),
        ("required", spec.required && !named),
        ("size", spec.size.is_some() && kind != MountKind::Tmpfs),
        ("tmpcopyup", spec.copy_up && kind != MountKind::Tmpfs),
        ("sharing", spec.sharing.is_some() && kind != MountKind::Cache),
        ("from", spec.from.is_some() && kind == MountKind::Secret),
        ("env", spec.env.is_some() && kind != MountKind::Secret),
    ];
    if let Some((key, _)) = rules.into_iter().find(|(_, is_broken)| *is_broken) {
        return Err(MountError::NotForKind { kind, key });
    }
    if kind == MountKind::Secret {
        if spec.source.is_none() && spec.target.is_none() && spec.id.is_none() {
            return Err(MountError::NamelessSecret);
        }
        if spec.source.is_some() && spec.id.is_some() {
            return Err(MountError::SecretNamedTwice);
        }
    }
    Ok(spec)
}

/// The fields of one line of comma-separated values; `None` where its quotes do not balance.
///
/// A field that starts with `"` ends at the next `"` that is not doubled, and only a comma may follow (RFC 4180).
pub(crate) fn csv(line: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = line;
    while !rest.is_empty() || !fields.is_empty() {
        let (field, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let (field, after) = rest.split_once(',').map_or((rest, None), |(field, after)| (field, Some(after)));
                if field.contains('"') {
                    return None;
                }
                (field.to_owned(), after)
            }
        };
        fields.push(field);
        let Some(after) = after else { break };
        rest = after;
    }
    Some(fields)
}

/// The field whose opening quote was just read, and what is after its comma.
fn quoted_field(text: &str) -> Option<(String, Option<&str>)> {
    let mut field = String::new();
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        field.push_str(part);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None if after.is_empty() => return Some((field, None)),
            None => return Some((field, Some(after.strip_prefix(',')?))),
        }
    }
}

#[cfg(test)]
mod tests;
