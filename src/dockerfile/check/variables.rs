//! What a variable is worth at a place, and which names nobody has set.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::Escape;
use crate::expand::{self, ExpandError};
use crate::graph::MAX_RESOLVED_BYTES;
use crate::span::Span;

/// The variables of a stage, with those of the stages it is built on.
///
/// Stages are linked, not copied: a thousand stages on one with ten thousand variables are no problem.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    own: BTreeMap<String, String>,
    /// Declared by ARG, whether it has a value or not.
    declared: BTreeSet<String>,
    below: Option<Rc<Variables>>,
    /// How many stages are below.
    height: usize,
}

impl Variables {
    /// Those of a stage on an image.
    pub(super) fn of_image(env: Vec<(String, String)>) -> Self {
        Self { own: env.into_iter().collect(), ..Self::default() }
    }

    /// Those of a stage on another stage.
    pub(super) fn above(below: &Rc<Self>) -> Self {
        Self { below: Some(Rc::clone(below)), height: below.height + 1, ..Self::default() }
    }

    pub(super) fn set(&mut self, name: String, value: String) {
        self.own.insert(name, value);
    }

    pub(super) fn declare(&mut self, name: String) {
        self.declared.insert(name);
    }

    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |variables| variables.below.as_deref())
    }

    fn value(&self, name: &str) -> Option<&String> {
        self.chain().find_map(|variables| variables.own.get(name))
    }

    fn is_declared(&self, name: &str) -> bool {
        self.chain().any(|variables| variables.declared.contains(name))
    }

    /// The names that are set, and those that are declared.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.chain().flat_map(|variables| variables.own.keys().chain(&variables.declared)).map(String::as_str)
    }
}

/// Expands words and remembers which names were missing.
pub(super) struct Expander<'a> {
    variables: &'a Variables,
    escape: Escape,
    missing: RefCell<BTreeSet<String>>,
    budget: &'a Budget,
}

impl<'a> Expander<'a> {
    pub(super) fn new(variables: &'a Variables, escape: Escape, budget: &'a Budget) -> Self {
        Self { variables, escape, missing: RefCell::default(), budget }
    }

    pub(super) fn lookup(&self, name: &str) -> Option<String> {
        let value = self.variables.value(name);
        if value.is_none() && !self.variables.is_declared(name) {
            self.missing.borrow_mut().insert(name.to_owned());
        }
        self.budget.spend(self.variables.height + value.map_or(0, String::len));
        value.filter(|_| !self.budget.is_spent()).cloned()
    }

    /// `text` expanded; none where it cannot be, or where the budget is used up.
    pub(super) fn word(&self, text: &str) -> Option<String> {
        if self.budget.is_spent() {
            return None;
        }
        self.counted(expand::word(text, self.escape, &|name| self.lookup(name)))
    }

    pub(super) fn words(&self, text: &str) -> Vec<String> {
        let words = expand::words(text, self.escape, &|name| self.lookup(name)).map(|words| words.join("\n"));
        self.counted(words).map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// Looks at the body of a heredoc.
    pub(super) fn body(&self, text: &str) {
        self.counted(expand::body(text, &|name| self.lookup(name)));
    }

    fn counted(&self, text: Result<String, ExpandError>) -> Option<String> {
        let text = text.ok()?;
        self.budget.spend(text.len());
        Some(text).filter(|_| !self.budget.is_spent())
    }

    /// The names that were looked at since the last call and that nobody has set.
    pub(super) fn take_missing(&self) -> BTreeSet<String> {
        self.missing.take()
    }
}

/// The bytes that all expansions of one file may still make and the look-ups they may still need; when it is spent the
/// rest of the file is not looked at.
#[derive(Debug)]
pub(super) struct Budget(Cell<usize>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Cell::new(MAX_RESOLVED_BYTES))
    }

    pub(super) fn spend(&self, amount: usize) {
        self.0.set(self.0.get().saturating_sub(amount));
    }

    pub(super) fn is_spent(&self) -> bool {
        self.0.get() == 0
    }
}

/// Where `$name` or `${name` stands within `span`; the whole of it where it is not written that way.
pub(super) fn find(text: &str, span: Span, name: &str) -> Span {
    let within = span.of(text);
    let is_end = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let plain = format!("${name}");
    let braced = format!("${{{name}");
    for form in [&braced, &plain] {
        for (at, _) in within.match_indices(form.as_str()) {
            let end = at + form.len();
            let rest = within.get(end..).unwrap_or_default();
            if is_end(rest) {
                let brace = usize::from(form == &braced && rest.starts_with('}'));
                return Span::new(span.start + at, span.start + end + brace);
            }
        }
    }
    span
}
