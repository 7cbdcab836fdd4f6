//! The upper of two layers: from nodes to typed instructions, each with its own rules.

mod files;
mod flags;
mod health;
mod run;

use flags::Flags;

use crate::Keyword;
use crate::error::ParseError;
use crate::instruction::{ArgDecl, Command, Dockerfile, Instruction, Kind, Pair};
use crate::span::{Span, Word};
use crate::suggest::nearest;
use crate::tree::{Node, Tree, parse_tree, parse_tree_bytes};

/// Reads a Dockerfile.
///
/// A file without FROM is read too; [`crate::stages()`] refuses it.
///
/// # Errors
/// [`ParseError`] with the first place that is wrong.
pub fn parse(text: &str) -> Result<Dockerfile, ParseError> {
    Dockerfile::from_tree(parse_tree(text)?)
}

/// Reads a Dockerfile that may not be UTF-8.
///
/// # Errors
/// As [`parse`], and [`ParseError::NotUtf8`] with the first byte that is not.
pub fn parse_bytes(bytes: &[u8]) -> Result<Dockerfile, ParseError> {
    Dockerfile::from_tree(parse_tree_bytes(bytes)?)
}

impl Dockerfile {
    /// Checks the nodes of `tree` and gives them their types.
    ///
    /// # Errors
    /// [`ParseError`] with the first node that is not a well-formed instruction.
    pub fn from_tree(tree: Tree) -> Result<Self, ParseError> {
        let Tree { text, directives, nodes, warnings } = tree;
        let instructions = nodes.into_iter().map(instruction).collect::<Result<_, _>>()?;
        Ok(Self { text, directives, instructions, warnings })
    }
}

fn instruction(mut node: Node) -> Result<Instruction, ParseError> {
    let Some(keyword) = node.keyword else {
        let suggestion = nearest(&node.word.raw, Keyword::ALL.map(Keyword::name));
        return Err(ParseError::UnknownInstruction { name: node.word.raw, suggestion, span: node.word.span });
    };
    let flags = std::mem::take(&mut node.flags);
    let kind = kind(keyword, Flags::new(keyword, &flags), &mut node)?;
    Ok(Instruction {
        word: node.word,
        keyword,
        flags,
        kind,
        line: node.line,
        span: node.span,
        first_line: node.first_line,
        last_line: node.last_line,
        comments: node.comments,
    })
}

fn kind(keyword: Keyword, flags: Flags<'_>, node: &mut Node) -> Result<Kind, ParseError> {
    match keyword {
        Keyword::Add => return files::add(flags, node),
        Keyword::Copy => return files::copy(flags, node),
        Keyword::From => return from(flags, node),
        Keyword::Healthcheck => return health::healthcheck(flags, node),
        Keyword::Run => return run::run(flags, node),
        Keyword::Arg
        | Keyword::Cmd
        | Keyword::Entrypoint
        | Keyword::Env
        | Keyword::Expose
        | Keyword::Label
        | Keyword::Maintainer
        | Keyword::Onbuild
        | Keyword::Shell
        | Keyword::Stopsignal
        | Keyword::User
        | Keyword::Volume
        | Keyword::Workdir => {
            flags.accept(&[])?;
        }
    }
    flagless(keyword, node)
}

/// The instructions that have no flags.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others have flags and are matched by `kind`")]
fn flagless(keyword: Keyword, node: &mut Node) -> Result<Kind, ParseError> {
    Ok(match keyword {
        Keyword::Arg => Kind::Arg(declarations(node)?),
        Keyword::Cmd => Kind::Cmd(command(node)),
        Keyword::Entrypoint => Kind::Entrypoint(command(node)),
        Keyword::Env => Kind::Env(pairs(keyword, node)?),
        Keyword::Expose => Kind::Expose(some(keyword, node)?),
        Keyword::Label => Kind::Label(pairs(keyword, node)?),
        Keyword::Maintainer => Kind::Maintainer(one(keyword, node)?),
        Keyword::Shell => Kind::Shell(shell(node)?),
        Keyword::Stopsignal => Kind::Stopsignal(one(keyword, node)?),
        Keyword::User => Kind::User(one(keyword, node)?),
        Keyword::Volume => Kind::Volume(volumes(node)?),
        Keyword::Workdir => Kind::Workdir(one(keyword, node)?),
        _ => onbuild(node)?,
    })
}

fn count(instruction: Keyword, expected: &'static str, node: &Node) -> ParseError {
    ParseError::Arguments { instruction, expected, span: node.span }
}

fn one(keyword: Keyword, node: &mut Node) -> Result<Word, ParseError> {
    node.args.pop().ok_or_else(|| count(keyword, "exactly one argument", node))
}

fn some(keyword: Keyword, node: &mut Node) -> Result<Vec<Word>, ParseError> {
    if node.args.is_empty() {
        return Err(count(keyword, "at least one argument", node));
    }
    Ok(std::mem::take(&mut node.args))
}

fn pairs(instruction: Keyword, node: &mut Node) -> Result<Vec<Pair>, ParseError> {
    if node.pairs.is_empty() {
        return Err(count(instruction, "at least one argument", node));
    }
    if let Some(blank) = node.pairs.iter().find(|pair| pair.key.raw.is_empty()) {
        return Err(ParseError::BlankName { instruction, span: blank.key.span });
    }
    Ok(std::mem::take(&mut node.pairs))
}

fn declarations(node: &mut Node) -> Result<Vec<ArgDecl>, ParseError> {
    some(Keyword::Arg, node)?.into_iter().map(declaration).collect()
}

fn declaration(word: Word) -> Result<ArgDecl, ParseError> {
    let Some((name, value)) = word.raw.split_once('=') else { return Ok(ArgDecl { name: word, value: None }) };
    if name.is_empty() {
        return Err(ParseError::BlankName { instruction: Keyword::Arg, span: word.span });
    }
    let Span { start, end } = word.span;
    Ok(ArgDecl {
        name: Word { raw: name.to_owned(), span: Span::new(start, (start + name.len()).min(end)) },
        value: Some(Word { raw: value.to_owned(), span: Span::new(end.saturating_sub(value.len()).max(start), end) }),
    })
}

/// The arguments as a command: a text where they are not a JSON form.
fn command(node: &mut Node) -> Command {
    let args = std::mem::take(&mut node.args).into_iter().map(|word| word.raw);
    if node.json { Command::Exec(args.collect()) } else { Command::Shell(args.collect::<Vec<_>>().join(" ")) }
}

fn shell(node: &mut Node) -> Result<Vec<String>, ParseError> {
    let args = some(Keyword::Shell, node)?;
    if !node.json {
        return Err(ParseError::ShellNotJson { span: node.span });
    }
    Ok(args.into_iter().map(|word| word.raw).collect())
}

fn volumes(node: &mut Node) -> Result<Vec<Word>, ParseError> {
    let mut volumes = some(Keyword::Volume, node)?;
    for volume in &mut volumes {
        volume.raw = volume.raw.trim().to_owned();
        if volume.raw.is_empty() {
            return Err(ParseError::EmptyVolume { span: volume.span });
        }
    }
    Ok(volumes)
}

/// The trigger is checked like any instruction, though BuildKit only checks it in the build that it fires in: a
/// trigger that cannot work would break every image on top of this one.
fn onbuild(node: &mut Node) -> Result<Kind, ParseError> {
    let Some(mut child) = node.child.take() else {
        return Err(count(Keyword::Onbuild, "an instruction", node));
    };
    if let Some(trigger @ (Keyword::From | Keyword::Maintainer | Keyword::Onbuild)) = child.keyword {
        return Err(ParseError::BadTrigger { trigger, span: child.word.span });
    }
    child.heredocs = std::mem::take(&mut node.heredocs);
    Ok(Kind::Onbuild(Box::new(instruction(*child)?)))
}

fn from(flags: Flags<'_>, node: &mut Node) -> Result<Kind, ParseError> {
    let mut flags = flags.accept(&[("platform", flags::Shape::Text)])?;
    let platform = flags.text("platform");
    let mut args = std::mem::take(&mut node.args).into_iter();
    let (image, name) = match (args.next(), args.next(), args.next(), args.next()) {
        (Some(image), None, None, None) => return Ok(Kind::From { platform, image, name: None }),
        (Some(image), Some(word), Some(name), None) if word.raw.eq_ignore_ascii_case("as") => (image, name),
        _ => return Err(count(Keyword::From, "an image, or an image, AS and a name", node)),
    };
    if !is_stage_name(&name.raw) {
        return Err(ParseError::BadStageName { name: name.raw, span: name.span });
    }
    Ok(Kind::From { platform, image, name: Some(name) })
}

fn is_stage_name(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests;
