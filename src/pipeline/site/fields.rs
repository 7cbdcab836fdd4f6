//! Values with the path of the key they were given for, so that every complaint names it.

use serde_json::{Map, Number};

use super::error::{Fault, Note, Place};
use super::nearest::nearest;
use super::tree::{Entry, Node, Value, join};

/// Longest text that is repeated in a message, in characters.
const LONGEST_SHOWN: usize = 40;

/// One value.
#[derive(Debug)]
pub struct Item<'a> {
    pub(super) path: String,
    /// The value itself, or its key where the value has no extent of its own.
    pub(super) place: &'a Place,
    value: &'a Value,
}

/// The keys of a map, and which of them somebody asked for.
#[derive(Debug)]
pub struct Fields<'a> {
    pub(super) path: String,
    pub(super) place: &'a Place,
    entries: Vec<&'a Entry>,
    asked: Vec<&'static str>,
}

impl<'a> Item<'a> {
    /// The document itself.
    pub(crate) fn root(node: &'a Node) -> Self {
        Self { path: String::new(), place: &node.place, value: &node.value }
    }

    fn below(path: String, key: &'a Place, node: &'a Node) -> Self {
        let place = match &node.value {
            Value::Boolean(_) | Value::Integer(_) | Value::Float(_) | Value::Text(_) => &node.place,
            Value::Null | Value::List(_) | Value::Map(_) => key,
        };
        Self { path, place, value: &node.value }
    }

    /// A complaint about this value: its path, then `problem`.
    #[must_use]
    pub fn fault(&self, problem: &str) -> Fault {
        let name = if self.path.is_empty() { "the file" } else { self.path.as_str() };
        Fault::new(self.place, format!("{name}: {problem}")).about(&self.path)
    }

    /// A complaint that something else was expected.
    #[must_use]
    pub fn expected(&self, expected: &str) -> Fault {
        let fault = self.fault(&format!("expected {expected}, found {}", describe(self.value)));
        match self.value {
            Value::Null => fault.help("give it a value, or take the key out"),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) if expected.contains("text") => {
                fault.help("put it in quotes")
            }
            Value::Boolean(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Map(_) => fault,
        }
    }

    /// A text that is not empty.
    ///
    /// # Errors
    /// [`Fault`] for anything else.
    pub fn text(&self) -> Result<&'a str, Fault> {
        self.text_of("a text")
    }

    /// A text that is not empty; `kind` says in a complaint what it should be.
    ///
    /// # Errors
    /// [`Fault`] for anything else.
    pub fn text_of(&self, kind: &str) -> Result<&'a str, Fault> {
        match self.any_text(kind)? {
            "" => Err(self.fault(&format!("expected {kind}, found an empty text"))),
            text if text.contains('\0') => Err(self.fault(&format!("expected {kind}, found one with a zero byte"))),
            text => Ok(text),
        }
    }

    /// A text, empty or not.
    ///
    /// # Errors
    /// [`Fault`] for anything else.
    pub fn any_text(&self, kind: &str) -> Result<&'a str, Fault> {
        if let Value::Text(text) = self.value { Ok(text) } else { Err(self.expected(kind)) }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// [`Fault`] for anything else.
    pub fn boolean(&self) -> Result<bool, Fault> {
        if let Value::Boolean(value) = self.value { Ok(*value) } else { Err(self.expected("true or false")) }
    }

    /// A whole number; none where it is something else.
    #[must_use]
    pub fn integer(&self) -> Option<i128> {
        if let Value::Integer(value) = self.value { Some(*value) } else { None }
    }

    /// A number, whole or not; none where it is something else.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self.value {
            #[expect(clippy::cast_precision_loss, reason = "numbers of people are small")]
            Value::Integer(value) => Some(*value as f64),
            Value::Float(value) => Some(*value),
            Value::Null | Value::Boolean(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// Whether nothing stands there.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The line and the column it stands in, from 1.
    #[must_use]
    pub fn position(&self) -> (usize, usize) {
        (self.place.line, self.place.column)
    }

    /// A number from 0.
    ///
    /// # Errors
    /// [`Fault`] for anything else.
    pub fn whole(&self) -> Result<u64, Fault> {
        const KIND: &str = "a whole number from 0";
        let value = self.integer().ok_or_else(|| self.expected(KIND))?;
        u64::try_from(value).map_err(|_| self.expected(KIND))
    }

    /// The items of a list.
    ///
    /// # Errors
    /// [`Fault`] for anything else.
    pub fn list(&self) -> Result<Vec<Item<'a>>, Fault> {
        let Value::List(nodes) = self.value else { return Err(self.expected("a list")) };
        let path = |index| format!("{}[{index}]", self.path);
        let item =
            |(index, node): (usize, &'a Node)| Item { path: path(index), place: &node.place, value: &node.value };
        Ok(nodes.iter().enumerate().map(item).collect())
    }

    /// Every item of a list, read by `read`.
    ///
    /// # Errors
    /// [`Fault`] for anything else.
    pub fn each<T>(&self, read: impl Fn(&Item<'a>) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        self.list()?.iter().map(read).collect()
    }

    /// The keys of a map.
    ///
    /// # Errors
    /// [`Fault`] for anything else.
    pub fn fields(&self) -> Result<Fields<'a>, Fault> {
        let Value::Map(entries) = self.value else { return Err(self.expected("a map of keys and values")) };
        let entries = entries.iter().collect();
        Ok(Fields { path: self.path.clone(), place: self.place, entries, asked: Vec::new() })
    }

    /// The value as JSON, for what somebody else reads.
    ///
    /// # Errors
    /// [`Fault`] for a number that JSON does not have.
    pub fn json(&self) -> Result<serde_json::Value, Fault> {
        Ok(match self.value {
            Value::Null => serde_json::Value::Null,
            Value::Boolean(value) => (*value).into(),
            Value::Integer(value) => Number::from_i128(*value).ok_or_else(|| self.expected("a smaller number"))?.into(),
            Value::Float(value) => Number::from_f64(*value).ok_or_else(|| self.expected("a finite number"))?.into(),
            Value::Text(text) => text.as_str().into(),
            Value::List(_) => self.each(Item::json)?.into(),
            Value::Map(_) => self.fields()?.json()?.into(),
        })
    }
}

impl<'a> Fields<'a> {
    /// The value of `key`, which from now on counts as known.
    pub fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.asked.push(key);
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.remove(at);
        Some(self.item(entry))
    }

    /// The value of `key` read by `read`, where there is one.
    ///
    /// # Errors
    /// That of `read`.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Item<'a>) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        self.take(key).map(|item| read(&item)).transpose()
    }

    /// The value of `key`, which must be there.
    ///
    /// # Errors
    /// [`Fault`] that names the key.
    pub fn need(&mut self, key: &'static str) -> Result<Item<'a>, Fault> {
        let missing = Fault::new(self.place, format!("{}: {key} is missing", self.path)).about(&join(&self.path, key));
        self.take(key).ok_or(missing)
    }

    /// What nobody took.
    pub fn rest(&self) -> impl Iterator<Item = (&'a str, Item<'a>)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), self.item(entry)))
    }

    /// Refuses keys that nobody took: below our own sections a slip must not weaken anything.
    ///
    /// # Errors
    /// [`Fault`] at the first of them, with the nearest key that is known.
    pub fn refuse_rest(self) -> Result<(), Fault> {
        let Some(entry) = self.entries.first() else { return Ok(()) };
        let fault = Fault::new(&entry.place, format!("{}: unknown key", join(&self.path, &entry.key)));
        Err(match nearest(&entry.key, &self.asked) {
            Some(meant) => fault.help(format!("did you mean {meant}?")).about(&join(&self.path, meant)),
            None => fault.help(format!("known keys are {}", self.asked.join(", "))),
        })
    }

    /// Notes keys that nobody took.
    pub(super) fn note_rest(self, notes: &mut Vec<Note>) {
        for entry in &self.entries {
            let text = match nearest(&entry.key, &self.asked) {
                Some(meant) => format!("unknown key; did you mean {meant}?"),
                None => "unknown key".to_owned(),
            };
            notes.push(Note { line: entry.place.line, key: join(&self.path, &entry.key), text });
        }
    }

    /// Refuses a key that looks like a slip for one of `ours`: noted only, it would drop a whole section, such as the
    /// trust anchors, in silence.
    pub(super) fn refuse_slips(&self, ours: &[&str]) -> Result<(), Fault> {
        for entry in &self.entries {
            if let Some(meant) = nearest(&entry.key, &self.asked).filter(|meant| ours.contains(meant)) {
                let fault = Fault::new(&entry.place, format!("{}: unknown key", join(&self.path, &entry.key)));
                return Err(fault.help(format!("did you mean {meant}?")));
            }
        }
        Ok(())
    }

    /// The line of `key`, or of the map where there is none.
    pub(super) fn line_of(&self, key: &str) -> usize {
        self.entries.iter().find(|entry| entry.key == key).map_or(self.place.line, |entry| entry.place.line)
    }

    fn json(&self) -> Result<Map<String, serde_json::Value>, Fault> {
        self.rest().map(|(key, item)| Ok((key.to_owned(), item.json()?))).collect()
    }

    fn item(&self, entry: &'a Entry) -> Item<'a> {
        Item::below(join(&self.path, &entry.key), &entry.place, &entry.node)
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => format!("the number {value}"),
        Value::Float(value) => format!("the number {value}"),
        Value::Text(text) if text.chars().count() > LONGEST_SHOWN => "a longer text".to_owned(),
        Value::Text(text) => format!("the text {text:?}"),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
    }
}
