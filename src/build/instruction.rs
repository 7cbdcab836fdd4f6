//! One instruction.

use dockerfile::{Command, Instruction, Kind, Word};
use oci::config::ContainerConfig;
use serde_json::json;

use crate::copy::{self, Touch};
use crate::owner::{self, Ids};
use crate::plan::ResolvedPlan;
use crate::stage::{Done, Failure, Stage, Workshop, inside};
use crate::{InstructionError, Request, config, files, run};

/// What an instruction may look at.
pub(crate) struct Surroundings<'s, 'w, 'r> {
    pub(crate) workshop: Workshop<'w>,
    pub(crate) request: &'r Request,
    pub(crate) plan: &'s ResolvedPlan<'r>,
    pub(crate) done: &'s Done<'r>,
    /// The number of the stage the instruction is in.
    pub(crate) stage_index: usize,
    /// The instruction, if its files may be copied later: no other stage sees them.
    pub(crate) deferrable: Option<&'s Instruction>,
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
        Kind::Copy(spec) => files::copy(around, stage, spec)?,
        Kind::Add(spec) => files::add(around, stage, spec)?,
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
    let mut touched = vec![Touch::Of(path.as_ref())];
    touched.extend(owner::FILES.map(|file| Touch::Of(file.as_ref())));
    stage.prepare(&around.workshop, &touched)?;
    let (root, _) = stage.mounted(&around.workshop)?;
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
        stage.prepare(&around.workshop, &[Touch::Of(&path)])?;
        let (root, _) = stage.mounted(&around.workshop)?;
        copy::make_directories(root.dir(), &path, Ids::ROOT, owners)?;
        stage.config.config.volumes.insert(text, json!({}));
    }
    Ok(())
}
