//! What the Dockerfile's text says of the image, before anything is built.

use std::collections::BTreeMap;

use dockerfile::{Base, Kind};
use oci::ImageConfig;

use crate::instruction::configure;
use crate::scope::Scope;
use crate::stage::{Failure, Stage};
use crate::{BuildError, Plan, config};

/// The config of the plan's target as far as instructions say it that change no file: labels, environment, user.
///
/// `parent` gives the config of the image that a stage, named by its number, is built on.
///
/// # Errors
/// [`BuildError::Instruction`] for a value that cannot be expanded; [`BuildError::Unusable`] where `parent` does not
/// know an image that the target is built on.
pub fn preview(plan: &Plan<'_>, parent: &dyn Fn(usize) -> Option<ImageConfig>) -> Result<ImageConfig, BuildError> {
    let chain = chain(plan);
    let mut below: Option<Stage<'_>> = None;
    for index in chain {
        let Some(stage_plan) = plan.needed.iter().find(|stage| stage.index == index) else { continue };
        let Some(source) = plan.stages.stages.get(index) else { continue };
        let (image, args) = match (&stage_plan.base, below.take()) {
            (Base::Stage(_), Some(below)) => (below.config.clone(), below.scope.args()),
            (Base::Image(name), _) => {
                let known = parent(index).ok_or_else(|| BuildError::Unusable {
                    name: name.clone(),
                    span: stage_plan.base_span,
                    why: "nobody has looked at this image yet, so its labels are not known".to_owned(),
                })?;
                (known, BTreeMap::new())
            }
            (Base::Scratch | Base::Stage(_), _) => (ImageConfig::scratch(&plan.request.platform), BTreeMap::new()),
        };
        let mut image = image;
        crate::adjust::begin(&mut image, &plan.request.config);
        let scope = Scope::new(plan.request, &plan.globals, args);
        let mut stage = Stage::new(&stage_plan.label, image, scope, Vec::new());
        for instruction in source.instructions {
            if let Kind::Workdir(word) = &instruction.kind {
                let at = |error| Failure::from(error).at(instruction);
                let text = stage.scope.word(&stage.config.config, word).map_err(at)?;
                stage.config.config.working_dir = config::workdir(&stage.config.config.working_dir, &text);
            } else {
                configure(&mut stage, &instruction.kind).map_err(|error| Failure::from(error).at(instruction))?;
            }
        }
        below = Some(stage);
    }
    if let Some(stage) = &mut below {
        crate::adjust::unset(&mut stage.config.config, &plan.request.config);
    }
    Ok(below.map_or_else(|| ImageConfig::scratch(&plan.request.platform), |stage| stage.config))
}

/// The stages the target is built on, the lowest first, and itself.
fn chain(plan: &Plan<'_>) -> Vec<usize> {
    let mut chain = vec![plan.target()];
    while let Some(Base::Stage(below)) = chain
        .last()
        .and_then(|index| plan.needed.iter().find(|stage| stage.index == *index))
        .map(|stage| stage.base.clone())
    {
        chain.push(below);
    }
    chain.reverse();
    chain
}
