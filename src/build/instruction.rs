//! One instruction.

use std::path::PathBuf;
use std::sync::Arc;

use dockerfile::{Command, Instruction, Kind, Word};
use oci::config::ContainerConfig;
use serde_json::json;
use source::Tree;

use crate::copy::{self, CopyRequest, Digests, Mtime};
use crate::owner::{self, Ids};
use crate::plan::ResolvedPlan;
use crate::request::{Context, NamedContext};
use crate::stage::{Done, Failure, Stage, Workshop, inside};
use crate::{BuildError, Event, InstructionError, Request, config, run, stage};

/// What an instruction may look at.
pub(crate) struct Surroundings<'s, 'w, 'r> {
    pub(crate) workshop: Workshop<'w>,
    pub(crate) request: &'r Request,
    pub(crate) plan: &'s ResolvedPlan<'r>,
    pub(crate) done: &'s Done<'r>,
    /// The number of the stage the instruction is in.
    pub(crate) stage_index: usize,
}

/// Executes an instruction in a stage.
pub(crate) fn execute(
    around: &Surroundings<'_, '_, '_>,
    stage: &mut Stage<'_>,
    instruction: &Instruction,
) -> Result<(), Failure> {
    let mut changes_files = true;
    match &instruction.kind {
        Kind::Run { flags, command, heredocs } => run::run(around, stage, flags, command, heredocs)?,
        Kind::Copy(spec) => copy_files(around, stage, &Files::of_copy(spec)?)?,
        Kind::Add(spec) => copy_files(around, stage, &Files::of_add(spec)?)?,
        Kind::Workdir(word) => workdir(around, stage, word)?,
        Kind::Volume(words) => volume(around, stage, words)?,
        Kind::From { .. }
        | Kind::Arg(_)
        | Kind::Env(_)
        | Kind::User(_)
        | Kind::Label(_)
        | Kind::Cmd(_)
        | Kind::Entrypoint(_)
        | Kind::Expose(_)
        | Kind::Stopsignal(_)
        | Kind::Healthcheck(_)
        | Kind::Shell(_)
        | Kind::Onbuild(_)
        | Kind::Maintainer(_) => {
            changes_files = false;
            configure(stage, &instruction.kind)?;
        }
    }
    stage.note(around.request, &instruction.line, changes_files);
    Ok(())
}

/// Instructions that change nothing but the config.
pub(crate) fn configure(stage: &mut Stage<'_>, kind: &Kind) -> Result<(), InstructionError> {
    let (image, scope) = (&mut stage.config, &stage.scope);
    let container: &mut ContainerConfig = &mut image.config;
    match kind {
        Kind::Env(pairs) => config::env(container, scope, pairs)?,
        Kind::Label(pairs) => config::label(container, scope, pairs)?,
        Kind::Expose(words) => config::expose(container, scope, words)?,
        Kind::User(word) => container.user = scope.word(container, word)?,
        Kind::Stopsignal(word) => container.stop_signal = Some(scope.word(container, word)?),
        Kind::Maintainer(word) => image.author = Some(scope.word(container, word)?),
        Kind::Shell(argv) => container.shell = Some(argv.clone()),
        Kind::Healthcheck(check) => config::healthcheck(container, check),
        Kind::Onbuild(inner) => container.on_build.push(inner.expression()),
        Kind::Cmd(command) => {
            container.cmd = Some(config::argv(container, command));
            stage.has_cmd = true;
        }
        Kind::Entrypoint(command) => {
            container.entrypoint = Some(config::argv(container, command)).filter(|argv| !argv.is_empty());
            if matches!(command, Command::Shell(text) if text.is_empty()) {
                container.entrypoint = None;
            }
            if !stage.has_cmd {
                container.cmd = None;
            }
        }
        Kind::Arg(declarations) => {
            for declaration in declarations {
                stage.scope.declare(&stage.config.config, declaration)?;
            }
        }
        Kind::From { .. } | Kind::Run { .. } | Kind::Copy(_) | Kind::Add(_) | Kind::Workdir(_) | Kind::Volume(_) => {}
    }
    Ok(())
}

fn workdir(around: &Surroundings<'_, '_, '_>, stage: &mut Stage<'_>, word: &Word) -> Result<(), Failure> {
    let container = &stage.config.config;
    let text = stage.scope.word(container, word)?;
    let path = config::workdir(&container.working_dir, &text);
    let user = container.user.clone();
    let owners = around.workshop.owners;
    let root = stage.root(&around.workshop)?;
    // Owned by USER, as in buildah.
    let ids = owner::user(root.dir(), &user).map_err(InstructionError::from)?.ids;
    copy::make_directories(root.dir(), path.as_ref(), ids, owners)?;
    stage.config.config.working_dir = path;
    Ok(())
}

fn volume(around: &Surroundings<'_, '_, '_>, stage: &mut Stage<'_>, words: &[Word]) -> Result<(), Failure> {
    for word in words {
        let text = stage.scope.word(&stage.config.config, word)?;
        if text.is_empty() {
            return Err(InstructionError::Invalid { what: format!("`{}` expands to nothing", word.raw) }.into());
        }
        let path = inside(&stage.config.config.working_dir, &text);
        let owners = around.workshop.owners;
        let root = stage.root(&around.workshop)?;
        copy::make_directories(root.dir(), &path, Ids::ROOT, owners)?;
        stage.config.config.volumes.insert(text, json!({}));
    }
    Ok(())
}

/// What COPY and ADD have in common.
struct Files<'a> {
    from: Option<&'a Word>,
    chown: Option<&'a Word>,
    chmod: Option<&'a Word>,
    sources: &'a [Word],
    destination: &'a Word,
    /// ADD would unpack an archive where COPY copies it.
    unpacks: bool,
}

impl<'a> Files<'a> {
    fn of_copy(spec: &'a dockerfile::CopySpec) -> Result<Self, InstructionError> {
        refuse(&[
            ("COPY --link", spec.link),
            ("COPY --parents", spec.parents),
            ("COPY --exclude", !spec.exclude.is_empty()),
            ("COPY with a heredoc", !spec.inline.is_empty()),
        ])?;
        let (chown, chmod) = (spec.chown.as_ref(), spec.chmod.as_ref());
        let (from, sources, destination) = (spec.from.as_ref(), spec.sources.as_slice(), &spec.dest);
        Ok(Self { from, chown, chmod, sources, destination, unpacks: false })
    }

    fn of_add(spec: &'a dockerfile::AddSpec) -> Result<Self, InstructionError> {
        refuse(&[
            ("ADD --link", spec.link),
            ("ADD --keep-git-dir", spec.keep_git_dir.is_some()),
            ("ADD --checksum", spec.checksum.is_some()),
            ("ADD --unpack", spec.unpack.is_some()),
            ("ADD --exclude", !spec.exclude.is_empty()),
            ("ADD with a heredoc", !spec.inline.is_empty()),
        ])?;
        let (chown, chmod) = (spec.chown.as_ref(), spec.chmod.as_ref());
        let (sources, destination) = (spec.sources.as_slice(), &spec.dest);
        Ok(Self { from: None, chown, chmod, sources, destination, unpacks: true })
    }
}

fn refuse(features: &[(&str, bool)]) -> Result<(), InstructionError> {
    match features.iter().find(|(_, is_used)| *is_used) {
        Some((what, _)) => Err(InstructionError::Unsupported { what: (*what).to_owned() }),
        None => Ok(()),
    }
}

fn copy_files(around: &Surroundings<'_, '_, '_>, stage: &mut Stage<'_>, files: &Files<'_>) -> Result<(), Failure> {
    let container = &stage.config.config;
    let expand = |word: &Word| stage.scope.word(container, word);
    let destination = expand(files.destination)?;
    let sources = files.sources.iter().map(expand).collect::<Result<Vec<String>, _>>()?;
    let chown = files.chown.map(expand).transpose()?;
    let mode = files.chmod.map(expand).transpose()?.map(|text| octal(&text)).transpose()?;
    let from = files.from.map(expand).transpose()?;
    let is_remote = |source: &&String| source.contains("://") || source.starts_with("git@");
    if let Some(source) = sources.iter().find(is_remote) {
        let what = if files.unpacks { "ADD of a URL" } else { "COPY of a URL" };
        return Err(InstructionError::Unsupported { what: format!("{what} ({source})") }.into());
    }
    let tree = tree(around, from.as_deref())?;
    let mut paths: Vec<PathBuf> = Vec::new();
    for source in &sources {
        paths.extend(tree.matches(source.as_ref())?);
    }
    if files.unpacks {
        refuse_archives(&tree, &paths)?;
    }
    let is_directory = destination.ends_with('/') || destination.ends_with("/.") || destination == ".";
    let mut request = CopyRequest {
        destination: inside(&container.working_dir, &destination),
        into_directory: is_directory || destination.is_empty() || paths.len() > 1 || sources.len() > 1,
        owner: from.is_none().then_some(Ids::ROOT),
        mode,
        mtime: if from.is_none() { around.request.context_mtime } else { Mtime::Kept },
        drops_set_id: from.is_none(),
        digests: match (from.is_none(), around.request.hashes_context) {
            (true, true) => Digests::Wanted,
            (true, false) | (false, _) => Digests::Unwanted,
        },
    };
    let owners = around.workshop.owners;
    let root = stage.root(&around.workshop)?;
    if let Some(chown) = chown {
        request.owner = Some(owner::user(root.dir(), &chown).map_err(InstructionError::from)?.ids);
    }
    let copied = copy::copy(root.dir(), &tree, &paths, &request, owners)?;
    tracing::debug!(files = copied.files, bytes = copied.bytes, "copied");
    (around.workshop.observer)(Event::Copied { files: &copied.digests });
    Ok(())
}

fn octal(text: &str) -> Result<u32, InstructionError> {
    let invalid = || InstructionError::Invalid { what: format!("--chmod={text} is not an octal mode such as 0755") };
    u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(invalid)
}

/// Where COPY takes from: the context, a stage, a named context or an image.
fn tree(around: &Surroundings<'_, '_, '_>, from: Option<&str>) -> Result<Arc<Tree>, Failure> {
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
    let (root, _) = stage::mount(&around.workshop, lowers, name, stage::Stubs::Absent)?;
    duplicate(&root, name)
}

fn duplicate(root: &sandbox::Root, name: &str) -> Result<Arc<Tree>, Failure> {
    let directory = root.dir().try_clone_to_owned().map_err(|source| {
        BuildError::Store(store::StoreError::Io { path: name.into(), action: "open the tree of a stage", source })
    })?;
    Ok(Arc::new(Tree::new(directory, name.as_ref(), None)))
}

/// ADD unpacks local archives; until that is executed they are refused rather than copied.
fn refuse_archives(tree: &Tree, paths: &[PathBuf]) -> Result<(), InstructionError> {
    use std::io::Read;
    for path in paths {
        let entries = tree.walk(path)?;
        if !matches!(entries.first().map(|entry| &entry.kind), Some(source::Kind::File(_))) {
            continue;
        }
        let mut start = Vec::new();
        // A file that cannot be read fails when it is copied.
        drop(tree.open(path)?.take(512).read_to_end(&mut start));
        if is_archive(&start) {
            let what = format!("ADD of an archive ({}), which would be unpacked,", path.display());
            return Err(InstructionError::Unsupported { what });
        }
    }
    Ok(())
}

/// gzip, bzip2, xz, zstd by their magic numbers, tar by its own at offset 257.
fn is_archive(start: &[u8]) -> bool {
    const MAGIC: [&[u8]; 4] = [&[0x1f, 0x8b], b"BZh", &[0xfd, b'7', b'z', b'X', b'Z'], &[0x28, 0xb5, 0x2f, 0xfd]];
    MAGIC.iter().any(|magic| start.starts_with(magic)) || start.get(257..262) == Some(b"ustar")
}
