//! COPY and ADD.

use std::collections::HashMap;

use super::count;
use super::flags::{Flags, Shape};
use crate::Keyword;
use crate::error::ParseError;
use crate::heredoc::{self, Heredoc};
use crate::instruction::{AddSpec, CopySpec, InlineFile, Kind};
use crate::span::{Span, Word};
use crate::tree::Node;

pub(super) fn copy(flags: Flags<'_>, node: &mut Node) -> Result<Kind, ParseError> {
    let known = [
        ("chown", Shape::Text),
        ("from", Shape::Text),
        ("chmod", Shape::Text),
        ("link", Shape::Switch),
        ("exclude", Shape::Texts),
        ("parents", Shape::Switch),
    ];
    let Paths { sources, inline, dest, heredocs } = paths(Keyword::Copy, node)?;
    let mut flags = flags.accept(&known)?;
    Ok(Kind::Copy(CopySpec {
        from: flags.text("from"),
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.switch("link").unwrap_or_default(),
        parents: flags.switch("parents").unwrap_or_default(),
        exclude: flags.texts("exclude"),
        sources,
        inline,
        dest,
        heredocs,
    }))
}

pub(super) fn add(flags: Flags<'_>, node: &mut Node) -> Result<Kind, ParseError> {
    let known = [
        ("chown", Shape::Text),
        ("chmod", Shape::Text),
        ("link", Shape::Switch),
        ("keep-git-dir", Shape::Switch),
        ("checksum", Shape::Text),
        ("unpack", Shape::Switch),
        ("exclude", Shape::Texts),
    ];
    let Paths { sources, inline, dest, heredocs } = paths(Keyword::Add, node)?;
    let mut flags = flags.accept(&known)?;
    Ok(Kind::Add(AddSpec {
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        link: flags.switch("link").unwrap_or_default(),
        keep_git_dir: flags.switch("keep-git-dir"),
        checksum: flags.text("checksum"),
        unpack: flags.switch("unpack"),
        exclude: flags.texts("exclude"),
        sources,
        inline,
        dest,
        heredocs,
    }))
}

struct Paths {
    sources: Vec<Word>,
    inline: Vec<InlineFile>,
    dest: Word,
    heredocs: Vec<Heredoc>,
}

fn paths(instruction: Keyword, node: &mut Node) -> Result<Paths, ParseError> {
    if node.args.len() < 2 {
        return Err(count(instruction, "at least one source and a destination", node));
    }
    let mut sources = std::mem::take(&mut node.args);
    let heredocs = std::mem::take(&mut node.heredocs);
    let dest = sources.pop().unwrap_or_default();
    if announced(&dest).is_some() {
        return Err(ParseError::HeredocDestination { instruction, span: dest.span });
    }
    // Of two heredocs with one name both files get the last body.
    let bodies: HashMap<&str, &Heredoc> = heredocs.iter().map(|heredoc| (heredoc.name.as_str(), heredoc)).collect();
    let mut inline = Vec::new();
    sources.retain(|source| {
        let file = announced(source).map(|heredoc| file(heredoc, &bodies, source.span));
        let is_path = file.is_none();
        inline.extend(file);
        is_path
    });
    Ok(Paths { sources, inline, dest, heredocs })
}

/// A word of a JSON form can look like a heredoc too; it then has no body, as in BuildKit.
fn announced(word: &Word) -> Option<Heredoc> {
    heredoc::parse(&word.raw).ok().flatten()
}

fn file(announced: Heredoc, bodies: &HashMap<&str, &Heredoc>, span: Span) -> InlineFile {
    let body = bodies.get(announced.name.as_str());
    let content = body.map(|heredoc| heredoc.body().into_owned()).unwrap_or_default();
    InlineFile { name: announced.name, content, expand: announced.expand, span }
}
