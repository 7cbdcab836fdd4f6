//! ONBUILD: the instructions that a base wants executed right after FROM.
//!
//! Comes in: the config of a base image, or the instructions of a stage below. Goes out: [`Trigger`]s in their order.
//! Nothing is executed or expanded here.

use dockerfile::{Instruction, Kind, Span, Stage};

use crate::stage::Failure;
use crate::{BuildError, InstructionError};

/// Bytes of one trigger that are read; Docker has no limit, but no one writes longer ones.
const MAX_BYTES: usize = 1 << 20;
/// Triggers of one image.
const MAX_TRIGGERS: usize = 1024;
/// Characters of a trigger in messages.
const SHOWN: usize = 160;

/// An instruction that a base brings.
#[derive(Clone, Debug)]
pub(crate) struct Trigger {
    pub(crate) instruction: Instruction,
    /// The image it is from and the place of its name; none where it is in this Dockerfile itself.
    image: Option<(String, Span)>,
}

/// The triggers in the config of the image called `name`, whose place in the Dockerfile is `span`.
pub(crate) fn of_image(name: &str, span: Span, on_build: &[String]) -> Result<Vec<Trigger>, BuildError> {
    let unusable = |why: String| BuildError::Unusable { name: name.to_owned(), span, why };
    if on_build.len() > MAX_TRIGGERS {
        return Err(unusable(format!("the image has {} ONBUILD triggers, more than {MAX_TRIGGERS}", on_build.len())));
    }
    let trigger = |text: &String| {
        let shown: String = text.chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        let refused = |why: &str| unusable(format!("its ONBUILD trigger `{shown}` {why}"));
        if text.len() > MAX_BYTES {
            return Err(refused("is longer than 1 MiB"));
        }
        let parsed = dockerfile::parse(text).map_err(|error| refused(&format!("cannot be read: {error}")))?;
        let mut instructions = parsed.instructions.into_iter();
        let (Some(instruction), None) = (instructions.next(), instructions.next()) else {
            return Err(refused("is not one instruction"));
        };
        if matches!(instruction.kind, Kind::From { .. } | Kind::Onbuild(_) | Kind::Maintainer(_)) {
            return Err(refused("is not allowed as a trigger"));
        }
        Ok(Trigger { instruction, image: Some((name.to_owned(), span)) })
    };
    on_build.iter().map(trigger).collect()
}

/// The triggers that a stage leaves to those built on it.
pub(crate) fn of_stage(stage: &Stage<'_>) -> Vec<Trigger> {
    let inner = |instruction: &Instruction| {
        let Kind::Onbuild(inner) = &instruction.kind else { return None };
        Some(Trigger { instruction: inner.as_ref().clone(), image: None })
    };
    stage.instructions.iter().filter_map(inner).collect()
}

impl Trigger {
    /// What it takes files from: `--from` of COPY and of mounts, as written.
    ///
    /// # Errors
    /// [`BuildError`] around [`InstructionError::Unsupported`] for a variable there: nobody could say what has to be built first.
    pub(crate) fn origins(&self) -> Result<Vec<String>, BuildError> {
        let mut origins: Vec<String> = Vec::new();
        if let Kind::Copy(spec) = &self.instruction.kind {
            origins.extend(spec.from.iter().map(|word| word.raw.clone()));
        } else if let Kind::Run { flags, .. } = &self.instruction.kind {
            origins.extend(flags.mounts.iter().filter_map(|mount| mount.from()).map(str::to_owned));
        }
        match origins.iter().find(|origin| origin.contains('$')) {
            None => Ok(origins),
            Some(origin) => {
                let what = format!("a variable in the --from={origin} of an ONBUILD trigger");
                Err(self.at(InstructionError::Unsupported { what }.into()))
            }
        }
    }

    /// Its place in the Dockerfile: its own, or that of the image it is from.
    pub(crate) fn span(&self) -> Span {
        self.image.as_ref().map_or(self.instruction.span, |(_, span)| *span)
    }

    /// A failure of this trigger with its place.
    pub(crate) fn at(&self, failure: Failure) -> BuildError {
        match (failure.at(&self.instruction), &self.image) {
            (BuildError::Instruction { line, source, .. }, Some((image, span))) => {
                BuildError::Trigger { image: image.clone(), line, span: *span, source }
            }
            (error, _) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_single_instructions_that_onbuild_allows() {
        let of = |text: &str| of_image("base", Span::default(), &[text.to_owned()]);
        assert_eq!(of("RUN a \\\n  b").unwrap().len(), 1);
        for (text, why) in [
            ("RUN a\nRUN b", "is not one instruction"),
            ("", "has no instructions"),
            ("FROM x", "is not allowed"),
            ("ONBUILD RUN x", "is not allowed"),
            ("NONSENSE x", "cannot be read"),
        ] {
            let error = of(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn what_has_to_be_built_first_must_be_known() {
        let triggers = |text: &str| of_image("base", Span::default(), &[text.to_owned()]).unwrap();
        let origins = |text: &str| triggers(text).first().map(Trigger::origins).unwrap();
        assert_eq!(origins("COPY --from=tools /a /a").unwrap(), ["tools"]);
        assert_eq!(origins("RUN --mount=from=tools,target=/t x").unwrap(), ["tools"]);
        assert!(origins("COPY --from=$x /a /a").is_err());
    }
}
