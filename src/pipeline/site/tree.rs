//! YAML as a tree whose every node knows its place.
//!
//! Comes in: bytes nobody has checked. Goes out: a [`Node`], or the first thing that is wrong. Size, depth, and what
//! aliases unfold to are limited. What a value means is not decided here.

use std::collections::BTreeMap;
use std::fmt::{self, Formatter};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::AliasLimits;
use serde_saphyr::{Budget, DuplicateKeyPolicy, Error, Location, NonFiniteFloatPolicy, Options, Spanned};

use super::error::{Fault, Place};

/// Largest file, in bytes.
pub(super) const MAX_BYTES: usize = 1024 * 1024;
/// Most values in a file, and most that its aliases may add.
const MAX_NODES: usize = 50_000;
const MAX_ALIASED: usize = 20_000;
const MAX_DEPTH: usize = 32;
const MAX_ANCHORS: usize = 1000;

#[derive(Debug)]
pub(crate) struct Node {
    pub(super) value: Value,
    /// Where it is used; of an alias the alias.
    pub(super) place: Place,
}

#[derive(Debug)]
pub(super) enum Value {
    Null,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

/// The one document in `bytes`, or nothing where there is none.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Node>, Fault> {
    if bytes.len() > MAX_BYTES {
        return Err(Fault::new(
            &Place::first(),
            format!("the file has {} bytes; at most {MAX_BYTES} are read", bytes.len()),
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| not_text(bytes, error.valid_up_to()))?;
    let node: Option<Node> = serde_saphyr::from_str_with_options(text, options()).map_err(|error| fault(&error))?;
    if let Some(node) = &node {
        refuse_doubles(node, "")?;
    }
    Ok(node)
}

fn options() -> Options {
    let mut limits = AliasLimits::default();
    limits.max_total_replayed_events = MAX_ALIASED;
    limits.max_replay_stack_depth = MAX_DEPTH;
    let mut budget = Budget::default();
    budget.max_events = 4 * MAX_NODES;
    budget.max_nodes = MAX_NODES;
    budget.max_depth = MAX_DEPTH;
    budget.flow_nesting_limit = MAX_DEPTH;
    budget.max_aliases = MAX_ANCHORS;
    budget.max_anchors = MAX_ANCHORS;
    budget.max_merge_keys = MAX_ANCHORS;
    budget.max_recorded_anchor_events = MAX_NODES;
    budget.max_recorded_anchor_bytes = 4 * MAX_BYTES;
    budget.max_total_scalar_bytes = 4 * MAX_BYTES;
    let mut options = Options::default();
    options.budget = Some(budget);
    options.alias_limits = limits;
    // Both are handed over, so that we name the path and the first place.
    options.duplicate_keys = DuplicateKeyPolicy::LastWins;
    options.non_finite_float_policy = NonFiniteFloatPolicy::PassThrough;
    options.reject_unsupported_tags = true;
    options.with_snippet = false;
    options
}

fn not_text(bytes: &[u8], at: usize) -> Fault {
    let before = bytes.get(..at).unwrap_or_default();
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let last = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    let column = 1 + String::from_utf8_lossy(last).chars().count();
    Fault::new(&Place { line, column, span: at..at }, "the file is not UTF-8 text")
}

/// The library's complaint in our words, without its line and column, which come as a [`Place`].
fn fault(error: &Error) -> Fault {
    let error = error.without_snippet();
    let place = error.location().map_or_else(Place::first, place);
    if matches!(error, Error::MultipleDocuments { .. }) {
        return Fault::new(&place, "a second document starts here; a file holds one configuration");
    }
    let is_too_much = matches!(
        error,
        Error::Budget { .. }
            | Error::AliasReplayCounterOverflow { .. }
            | Error::AliasReplayLimitExceeded { .. }
            | Error::AliasExpansionLimitExceeded { .. }
            | Error::AliasReplayStackDepthExceeded { .. }
    );
    if is_too_much {
        let limits = format!(
            "at most {MAX_NODES} values, {MAX_ALIASED} of them by aliases, nested at most {MAX_DEPTH} deep, are read"
        );
        return Fault::new(&place, format!("this is too much for a configuration: {limits}"));
    }
    if matches!(error, Error::NullIntoString { .. } | Error::Unexpected { expected: "string scalar", .. }) {
        return Fault::new(&place, "expected a key that is a text");
    }
    let full = error.to_string();
    let message = full.rsplit_once(" at line ").map_or(full.as_str(), |(message, _)| message);
    let fault = Fault::new(&place, format!("this is not YAML: {message}"));
    if message.contains("tab") { fault.help("indent with spaces") } else { fault }
}

/// Where `location` is, in bytes.
fn place(location: Location) -> Place {
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let span = location.span();
    let start = number(span.byte_offset().unwrap_or_default());
    let end = start.saturating_add(number(span.byte_len().unwrap_or_default()));
    Place { line: number(location.line()).max(1), column: number(location.column()).max(1), span: start..end }
}

fn refuse_doubles(node: &Node, path: &str) -> Result<(), Fault> {
    match &node.value {
        Value::Null | Value::Boolean(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => Ok(()),
        Value::List(items) => {
            items.iter().enumerate().try_for_each(|(index, item)| refuse_doubles(item, &format!("{path}[{index}]")))
        }
        Value::Map(entries) => {
            let mut seen = BTreeMap::new();
            for entry in entries {
                let path = join(path, &entry.key);
                if let Some(first) = seen.insert(&entry.key, entry.place.line) {
                    return Err(Fault::new(&entry.place, format!("{path} is given twice, first in line {first}")));
                }
                refuse_doubles(&entry.node, &path)?;
            }
            Ok(())
        }
    }
}

/// The path of `key` below `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { value: found.value, place: place(found.referenced) })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, node)) = access.next_entry::<Spanned<String>, Node>()? {
            entries.push(Entry { key: key.value, place: place(key.referenced), node });
        }
        Ok(Value::Map(entries))
    }
}
