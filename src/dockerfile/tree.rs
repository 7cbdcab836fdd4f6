//! The lower of two layers: a Dockerfile as a list of nodes, each cut into words but not yet checked.
//!
//! This accepts what BuildKit's line parser accepts, among it unknown instructions and flags. [`crate::parse`] goes
//! on from here to typed instructions.

use crate::directive::{Directives, Reader, Taken};
use crate::error::ParseError;
use crate::heredoc::{self, Heredoc};
use crate::instruction::{Pair, Warning};
use crate::json_form::{self, Form};
use crate::lines::{Line, Lines, Logical, Slice, continued};
use crate::span::{Span, Word};
use crate::{Escape, Keyword, MAX_FILE_BYTES, MAX_INSTRUCTIONS, words};

/// A Dockerfile cut into nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The text as it was given.
    pub text: String,
    /// The parser directives at its top.
    pub directives: Directives,
    /// The instructions in order.
    pub nodes: Vec<Node>,
    /// What someone should change, though it parses.
    pub warnings: Vec<Warning>,
}

/// One instruction, cut into words by the rule of its keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The instruction's name as written.
    pub word: Word,
    /// The instruction, if it is a known one.
    pub keyword: Option<Keyword>,
    /// The `--flags` between name and arguments.
    pub flags: Vec<Flag>,
    /// The arguments: the elements of a JSON form, the words, or the whole rest of the line as one word. Empty for
    /// ENV, LABEL and ONBUILD. HEALTHCHECK has its kind first. An unknown instruction has one empty word.
    pub args: Vec<Word>,
    /// The pairs of ENV and LABEL.
    pub pairs: Vec<Pair>,
    /// Whether the arguments are a JSON form.
    pub json: bool,
    /// The instruction below ONBUILD.
    pub child: Option<Box<Node>>,
    /// The heredocs in order. Those of an instruction below ONBUILD are here too.
    pub heredocs: Vec<Heredoc>,
    /// The line with its continuations joined, without white space around it.
    pub line: String,
    /// From the name to the end of the last argument; heredoc bodies have their own spans.
    pub span: Span,
    /// The first line, from 1; below ONBUILD that of the ONBUILD.
    pub first_line: usize,
    /// The last line, with heredoc bodies and their delimiters.
    pub last_line: usize,
    /// The comments right above, without `#`. A bare `#` starts them anew.
    pub comments: Vec<Span>,
}

impl Node {
    fn set_lines(&mut self, first: usize, last: usize) {
        (self.first_line, self.last_line) = (first, last);
        if let Some(child) = &mut self.child {
            child.set_lines(first, last);
        }
    }
}

/// A flag of an instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// `--name` or `--name=value`, quotes and escapes resolved.
    pub text: String,
    /// Where it stands, quotes included.
    pub span: Span,
}

impl Flag {
    /// The name without dashes.
    pub fn name(&self) -> &str {
        let flag = self.text.strip_prefix("--").unwrap_or(&self.text);
        flag.split_once('=').map_or(flag, |(name, _)| name)
    }

    /// What is after `=`, if there is one.
    pub fn value(&self) -> Option<Word> {
        let (_, value) = self.text.split_once('=')?;
        Some(Word { raw: value.to_owned(), span: self.span })
    }
}

/// Cuts `text` into nodes.
///
/// # Errors
/// [`ParseError`] with the first place that BuildKit's line parser refuses, or a limit of this crate.
pub fn parse_tree(text: &str) -> Result<Tree, ParseError> {
    if text.len() > MAX_FILE_BYTES {
        return Err(ParseError::TooLarge { bytes: text.len() });
    }
    let mut parser = Parser::new(text);
    let mut nodes = Vec::new();
    while let Some(line) = parser.lines.read()? {
        let Some(node) = parser.line(line)? else { continue };
        if nodes.len() == MAX_INSTRUCTIONS {
            return Err(ParseError::TooManyInstructions { span: node.span });
        }
        nodes.push(node);
    }
    if nodes.is_empty() {
        return Err(ParseError::NoInstructions);
    }
    let Parser { directives, warnings, .. } = parser;
    Ok(Tree { text: text.to_owned(), directives: directives.into_directives(), nodes, warnings })
}

/// Cuts a text that may not be UTF-8 into nodes.
///
/// # Errors
/// As [`parse_tree`], and [`ParseError::NotUtf8`] with the first byte that is not.
pub fn parse_tree_bytes(bytes: &[u8]) -> Result<Tree, ParseError> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(ParseError::TooLarge { bytes: bytes.len() });
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let bad = error.valid_up_to();
        ParseError::NotUtf8 { span: Span::new(bad, bad + 1) }
    })?;
    parse_tree(text)
}

struct Parser<'a> {
    lines: Lines<'a>,
    directives: Reader,
    comments: Vec<Span>,
    warnings: Vec<Warning>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let (directives, comments, warnings) = (Reader::default(), Vec::new(), Vec::new());
        Self { lines: Lines::new(text), directives, comments, warnings }
    }

    /// The instruction that starts on `line`, if one does.
    fn line(&mut self, line: Line<'a>) -> Result<Option<Node>, ParseError> {
        let mut logical = Logical::default();
        let text = line.without_ending().trim_start();
        let source = line.start + line.without_ending().len() - text.len();
        logical.push(text, source);
        let is_directive = self.directives.read(logical.slice())? == Taken::Directive;
        if line.is_comment() {
            if !is_directive {
                self.comment(logical.slice());
            }
            return Ok(None);
        }
        if text.is_empty() {
            return Ok(None);
        }
        let logical = self.join(text, source)?;
        let mut node = node(logical.slice().trim(), self.directives.directives().escape(), Level::Top)?;
        self.heredocs(&mut node, logical.slice())?;
        node.set_lines(line.number, self.lines.number());
        node.comments = std::mem::take(&mut self.comments);
        Ok(Some(node))
    }

    fn comment(&mut self, line: Slice<'_>) {
        let comment = line.after(1).trim();
        if comment.text().is_empty() {
            self.comments.clear();
        } else {
            self.comments.push(comment.span());
        }
    }

    /// Joins `text` with the lines that continue it.
    ///
    /// Comments and blank lines among them are left out; white space at their start stays.
    fn join(&mut self, text: &'a str, source: usize) -> Result<Logical, ParseError> {
        let escape = self.directives.directives().escape();
        let mut logical = Logical::default();
        let mut kept = continued(text, escape);
        logical.push(kept.unwrap_or(text), source);
        while kept.is_some() {
            let Some(line) = self.lines.read()? else { break };
            if line.is_comment() {
                continue;
            }
            if line.is_blank() {
                self.warnings.push(Warning::EmptyContinuation { span: line.span() });
                continue;
            }
            let text = line.without_ending();
            kept = continued(text, escape);
            logical.push(kept.unwrap_or(text), line.start);
        }
        Ok(logical)
    }

    fn heredocs(&mut self, node: &mut Node, line: Slice<'_>) -> Result<(), ParseError> {
        let inner = node.child.as_deref().unwrap_or(node);
        if inner.json || !matches!(inner.keyword, Some(Keyword::Run | Keyword::Copy | Keyword::Add)) {
            return Ok(());
        }
        node.heredocs = heredoc::announced(line)?;
        for heredoc in &mut node.heredocs {
            heredoc::read_body(heredoc, &mut self.lines, node.span)?;
        }
        Ok(())
    }
}

/// Where a node stands: ONBUILD takes an instruction, but not another ONBUILD.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Top,
    Trigger,
}

/// The node that `line` is, without heredocs and line numbers.
fn node(line: Slice<'_>, escape: Escape, level: Level) -> Result<Node, ParseError> {
    let (name, rest) = words::split_first(line);
    let (flags, rest) = match rest {
        Some(rest) => words::flags(rest, escape),
        None => (Vec::new(), line.after(line.text().len())),
    };
    let mut node = Node {
        word: name.word(),
        keyword: Keyword::parse(name.text()),
        flags,
        args: Vec::new(),
        pairs: Vec::new(),
        json: false,
        child: None,
        heredocs: Vec::new(),
        line: line.text().to_owned(),
        span: line.span(),
        first_line: 0,
        last_line: 0,
        comments: Vec::new(),
    };
    arguments(&mut node, rest.trim(), escape, level)?;
    Ok(node)
}

/// Cuts `rest` by the rule of the node's keyword.
fn arguments(node: &mut Node, rest: Slice<'_>, escape: Escape, level: Level) -> Result<(), ParseError> {
    let Some(keyword) = node.keyword else {
        node.args = vec![rest.until(0).word()];
        return Ok(());
    };
    match keyword {
        Keyword::Add | Keyword::Copy | Keyword::Volume => match json_form::read(rest) {
            Form::Shell => node.args = words::list(rest),
            form @ (Form::Strings(_) | Form::NotStrings) => json(node, keyword, form, rest)?,
        },
        Keyword::Cmd | Keyword::Entrypoint | Keyword::Run | Keyword::Shell => command(node, keyword, rest)?,
        Keyword::Arg => node.args = words::quoted(rest, escape).into_iter().map(Slice::word).collect(),
        Keyword::Env | Keyword::Label => node.pairs = words::pairs(rest, keyword, escape)?,
        Keyword::Expose | Keyword::From => node.args = words::list(rest),
        Keyword::Maintainer | Keyword::Stopsignal | Keyword::User | Keyword::Workdir => node.args = whole(rest),
        Keyword::Healthcheck => healthcheck(node, rest)?,
        Keyword::Onbuild if level == Level::Trigger => {
            return Err(ParseError::BadTrigger { trigger: keyword, span: node.word.span });
        }
        Keyword::Onbuild if rest.text().is_empty() => {}
        Keyword::Onbuild => node.child = Some(Box::new(self::node(rest, escape, Level::Trigger)?)),
    }
    Ok(())
}

fn whole(rest: Slice<'_>) -> Vec<Word> {
    if rest.text().is_empty() { Vec::new() } else { vec![rest.word()] }
}

fn json(node: &mut Node, instruction: Keyword, form: Form, rest: Slice<'_>) -> Result<(), ParseError> {
    match form {
        Form::Strings(strings) => {
            node.args.extend(strings);
            node.json = true;
        }
        Form::NotStrings => return Err(ParseError::NotStrings { instruction, span: rest.span() }),
        Form::Shell => node.args.extend(whole(rest)),
    }
    Ok(())
}

fn command(node: &mut Node, instruction: Keyword, rest: Slice<'_>) -> Result<(), ParseError> {
    json(node, instruction, json_form::read(rest), rest)
}

/// The kind (CMD, NONE), then a command.
fn healthcheck(node: &mut Node, rest: Slice<'_>) -> Result<(), ParseError> {
    let Some(end) = rest.text().find(char::is_whitespace) else {
        node.args = whole(rest);
        return Ok(());
    };
    node.args.push(rest.until(end).word());
    command(node, Keyword::Healthcheck, rest.after(end).trim_start())
}
