//! Where COPY takes from: the context, a stage, a named context or an image.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use source::Tree;

use super::remote::Source;
use super::spec::Asked;
use crate::instruction::Surroundings;
use crate::request::{Context, NamedContext};
use crate::stage::{self, Failure, Stage, Stubs};
use crate::{BuildError, InstructionError};

/// The tree that `--from` names; the context without it.
pub(super) fn tree(around: &Surroundings<'_, '_, '_>, from: Option<&str>) -> Result<Arc<Tree>, Failure> {
    let Some(from) = from else {
        return match &around.request.context {
            Context::Tree(tree) => Ok(Arc::clone(tree)),
            Context::Absent => Err(InstructionError::NoContext.into()),
        };
    };
    let stages = &around.plan.plan().stages;
    if let Ok(Some(index)) = stages.referenced(from, around.stage_index, dockerfile::Span::default())
        && let Some(stage) = around.done.get(&index)
    {
        return stage_tree(around, stage);
    }
    if let Some(NamedContext::Tree(tree)) = around.request.contexts.get(from) {
        return Ok(Arc::clone(tree));
    }
    match around.plan.origins.get(from) {
        Some(image) => image_tree(around, image, from),
        None => {
            Err(InstructionError::Invalid { what: format!("--from={from}: no such stage, context or image") }.into())
        }
    }
}

/// The context that all paths of `asked` are in where they begin with a folder that is another context; they are
/// relative to that one afterwards. None where they are in the build context itself.
pub(super) fn folder(around: &Surroundings<'_, '_, '_>, asked: &mut Asked) -> Result<Option<Arc<Tree>>, Failure> {
    let folders = &around.request.folders;
    if asked.from.is_some() || folders.is_empty() {
        return Ok(None);
    }
    let mut found = asked.sources.iter_mut().map(|source| match source {
        Source::Path(path) => strip(folders, path),
        Source::Url(_) | Source::Git(_) => None,
    });
    let first = found.next().flatten();
    if found.all(|other| other == first) {
        let context = first.and_then(|name| around.request.contexts.get(&name));
        return Ok(if let Some(NamedContext::Tree(tree)) = context { Some(Arc::clone(tree)) } else { None });
    }
    let what = "sources of the context and of a folder that the build system adds to it cannot be mixed: \
                write an instruction for each";
    Err(InstructionError::Invalid { what: what.to_owned() }.into())
}

/// The context whose folder `path` is in, and `path` below that.
fn strip(folders: &BTreeMap<String, String>, path: &mut String) -> Option<String> {
    let clean = super::local::clean(path);
    let (first, rest) = clean.split_once('/').unwrap_or((&clean, ""));
    let context = folders.get(first)?.clone();
    *path = rest.to_owned();
    Some(context)
}

fn stage_tree(around: &Surroundings<'_, '_, '_>, other: &Stage<'_>) -> Result<Arc<Tree>, Failure> {
    let lowers = stage::lowers(&around.workshop, &other.whole_chain())?;
    mounted_tree(around, &lowers, &format!("stage {}", other.label))
}

fn image_tree(
    around: &Surroundings<'_, '_, '_>,
    image: &transport::SourceImage,
    name: &str,
) -> Result<Arc<Tree>, Failure> {
    let lowers = crate::base::unpack(&around.workshop, image)?;
    mounted_tree(around, &lowers, &format!("image {name}"))
}

/// A tree as its image would have it, mounted for as long as something of it is open: the mount itself goes at once,
/// lazily.
fn mounted_tree(around: &Surroundings<'_, '_, '_>, lowers: &[PathBuf], name: &str) -> Result<Arc<Tree>, Failure> {
    let (root, _) = stage::mount(&around.workshop, lowers, name, Stubs::Absent)?;
    let directory = root.dir().try_clone_to_owned().map_err(|source| {
        BuildError::Store(store::StoreError::Io { path: name.into(), action: "open the tree of a stage", source })
    })?;
    Ok(Arc::new(Tree::new(directory, name.as_ref(), None)))
}
