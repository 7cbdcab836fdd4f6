//! One pattern: `*`, `?`, `[…]`, `**`, escapes, matched against a whole path.
//!
//! moby/patternmatcher makes a regular expression of most patterns but compares the simple ones as text, and the two
//! differ: `**foo` as text is "ends in foo". Both ways are kept. A match is one pass over the path with the set of
//! places in the pattern that it can be at, so no pattern is slow.

/// A compiled pattern.
#[derive(Clone, Debug)]
pub(super) enum Glob {
    /// No special characters: the path itself.
    Exact(String),
    /// `text**`: what starts with the text.
    Prefix(String),
    /// `**text`: what ends in the text, or for `**/text` is the text.
    Suffix(String),
    /// All else.
    Tokens(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Literal(char),
    /// `?`: any character but `/`.
    AnyCharacter,
    /// `*`: any characters but `/`.
    AnyName,
    /// `**`, or `**/` at the end: any characters.
    Anything,
    /// `**/` or `**` before something else: goes past the [`Token::Directories`] that always follows, or into it.
    MaybeDirectories,
    /// Any characters up to a `/`.
    Directories,
    Class(Class),
}

/// `[…]`. As in moby's regular expressions, a negated class can be `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    is_negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn has(&self, c: char) -> bool {
        self.is_negated != self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c))
    }
}

impl Glob {
    /// Compiles a cleaned pattern, or says what is wrong with it.
    pub(super) fn new(pattern: &str) -> Result<Self, &'static str> {
        let tokens = tokens(pattern)?;
        let literal = |tokens: &[Token]| tokens.iter().map(literal).collect::<Option<String>>();
        // moby takes these for regular expressions even where nothing else in the pattern is special.
        let is_regex = pattern.contains(['\\', ']']);
        let simple = match tokens.as_slice() {
            _ if is_regex => None,
            [Token::Anything] => Some(Self::Suffix(String::new())),
            [Token::MaybeDirectories, Token::Directories, rest @ ..] if literal(rest).is_some() => {
                pattern.strip_prefix("**").map(|text| Self::Suffix(text.to_owned()))
            }
            [rest @ .., Token::Anything] => literal(rest).map(Self::Prefix),
            all => literal(all).map(Self::Exact),
        };
        Ok(simple.unwrap_or(Self::Tokens(tokens)))
    }

    /// Whether the whole of `path` matches.
    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(text) => path.starts_with(text.as_str()),
            Self::Suffix(text) => path.ends_with(text.as_str()) || text.strip_prefix('/') == Some(path),
            Self::Tokens(tokens) => {
                let mut places = Places::new(tokens);
                path.chars().for_each(|c| places.step(c));
                places.has(tokens.len())
            }
        }
    }

    /// Whether a path below `dir` can match.
    pub(super) fn could_match_below(&self, dir: &str) -> bool {
        let below = format!("{dir}/");
        match self {
            Self::Exact(text) => text.starts_with(&below),
            Self::Prefix(text) => text.starts_with(&below) || below.starts_with(text.as_str()),
            Self::Suffix(_) => true,
            Self::Tokens(tokens) => {
                let mut places = Places::new(tokens);
                below.chars().for_each(|c| places.step(c));
                places.is_any()
            }
        }
    }
}

fn literal(token: &Token) -> Option<char> {
    match token {
        Token::Literal(c) => Some(*c),
        Token::AnyCharacter
        | Token::AnyName
        | Token::Anything
        | Token::MaybeDirectories
        | Token::Directories
        | Token::Class(_) => None,
    }
}

/// The places in a pattern that a path read so far can be at.
struct Places<'a> {
    tokens: &'a [Token],
    now: Vec<usize>,
    next: Vec<usize>,
    /// For each place the step in which it was last reached.
    reached: Vec<usize>,
    steps: usize,
}

impl<'a> Places<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        let reached = vec![0; tokens.len() + 1];
        let mut places = Self { tokens, now: Vec::new(), next: Vec::new(), reached, steps: 1 };
        places.reach(0);
        std::mem::swap(&mut places.now, &mut places.next);
        places
    }

    /// Adds a place, and those that can be reached from it without a character.
    fn reach(&mut self, place: usize) {
        let mut place = place;
        while self.add(place) {
            match self.tokens.get(place) {
                Some(Token::AnyName | Token::Anything) => place += 1,
                Some(Token::MaybeDirectories) => {
                    self.add(place + 1);
                    place += 2;
                }
                Some(Token::Literal(_) | Token::AnyCharacter | Token::Directories | Token::Class(_)) | None => return,
            }
        }
    }

    /// Whether the place was not there yet.
    fn add(&mut self, place: usize) -> bool {
        let Some(reached) = self.reached.get_mut(place) else { return false };
        let is_new = std::mem::replace(reached, self.steps) != self.steps;
        if is_new {
            self.next.push(place);
        }
        is_new
    }

    fn step(&mut self, c: char) {
        self.steps += 1;
        let mut now = std::mem::take(&mut self.now);
        for place in now.drain(..) {
            match self.tokens.get(place) {
                Some(Token::Literal(expected)) if *expected == c => self.reach(place + 1),
                Some(Token::AnyCharacter) if c != '/' => self.reach(place + 1),
                Some(Token::Class(class)) if class.has(c) => self.reach(place + 1),
                Some(Token::AnyName) if c != '/' => self.reach(place),
                Some(Token::Anything) => self.reach(place),
                Some(Token::Directories) => {
                    self.reach(place);
                    if c == '/' {
                        self.reach(place + 1);
                    }
                }
                Some(
                    Token::Literal(_)
                    | Token::AnyCharacter
                    | Token::Class(_)
                    | Token::AnyName
                    | Token::MaybeDirectories,
                )
                | None => {}
            }
        }
        self.now = std::mem::replace(&mut self.next, now);
    }

    fn has(&self, place: usize) -> bool {
        self.now.contains(&place)
    }

    fn is_any(&self) -> bool {
        !self.now.is_empty()
    }
}

fn tokens(pattern: &str) -> Result<Vec<Token>, &'static str> {
    let mut tokens = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => match chars.as_str().strip_prefix('*') {
                Some(after) => {
                    chars = after.strip_prefix('/').unwrap_or(after).chars();
                    match chars.as_str() {
                        "" => tokens.push(Token::Anything),
                        _ => tokens.extend([Token::MaybeDirectories, Token::Directories]),
                    }
                }
                None => tokens.push(Token::AnyName),
            },
            '?' => tokens.push(Token::AnyCharacter),
            '[' => {
                let (class, after) = class(chars.as_str())?;
                tokens.push(Token::Class(class));
                chars = after.chars();
            }
            '\\' => tokens.push(Token::Literal(chars.next().ok_or("an escape stands at the end")?)),
            c => tokens.push(Token::Literal(c)),
        }
    }
    Ok(tokens)
}

/// The class whose `[` was just read, and what is after its `]`.
fn class(text: &str) -> Result<(Class, &str), &'static str> {
    let (is_negated, mut rest) = text.strip_prefix('^').map_or((false, text), |rest| (true, rest));
    let mut ranges = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix(']').filter(|_| !ranges.is_empty()) {
            return Ok((Class { is_negated, ranges }, after));
        }
        let (low, after) = class_character(rest)?;
        let (high, after) = match after.strip_prefix('-') {
            Some(after) => class_character(after)?,
            None => (low, after),
        };
        if high < low {
            return Err("a range in brackets runs backwards");
        }
        ranges.push((low, high));
        rest = after;
    }
}

fn class_character(text: &str) -> Result<(char, &str), &'static str> {
    let mut chars = text.chars();
    let c = match chars.next() {
        Some('\\') => chars.next(),
        Some(']' | '-') => return Err("brackets are empty, or have a `-` without both its ends"),
        other => other,
    };
    Ok((c.ok_or("a bracket is not closed")?, chars.as_str()))
}
