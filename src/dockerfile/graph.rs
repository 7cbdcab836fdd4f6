//! What the stages need: their expanded bases, the stages and images they copy from, and the order to build them in.
//!
//! Bases and platforms see the arguments before the first FROM and the platform arguments. `--from` may hold
//! variables too (BuildKit has only constants there, buildah expands them): it sees what ARG and ENV of the stage and
//! of the stages below it have set up to that line, but nothing of an image's environment.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};

use crate::expand::{self, Lookup};
use crate::instruction::{ArgDecl, Instruction, Kind};
use crate::span::{Span, Word};
use crate::stages::{Stage, StageError, Stages};

/// Where the values of arguments come from.
#[derive(Clone, Copy)]
pub struct Arguments<'a> {
    /// `--build-arg` and the like: only seen where an ARG declares the name.
    pub build: Lookup<'a>,
    /// The platform arguments (`TARGETARCH`, `BUILDPLATFORM`, …): seen by FROM without a declaration.
    pub platform: Lookup<'a>,
}

impl std::fmt::Debug for Arguments<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Arguments")
    }
}

/// What a stage is built on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// An earlier stage.
    Stage(usize),
    /// Nothing.
    Scratch,
    /// An image, or a named context.
    Image(String),
}

/// Where COPY or a mount takes files from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An earlier stage.
    Stage(usize),
    /// An image, or a named context.
    Image(String),
}

/// What one stage needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// What it is built on.
    pub base: Base,
    /// The platform that it asks for.
    pub platform: Option<String>,
    /// What COPY and mounts take from, in order of their first use, each with that place.
    pub origins: Vec<(Origin, Span)>,
}

/// What all stages need, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graph {
    /// One for each stage.
    pub needs: Vec<Needs>,
}

impl Graph {
    /// The stages that `target` needs and the target itself, in an order in which they can be built.
    pub fn order(&self, target: usize) -> Vec<usize> {
        let mut is_needed = vec![false; self.needs.len()];
        let mut open = vec![target];
        while let Some(index) = open.pop() {
            let Some(seen) = is_needed.get_mut(index) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            open.extend(self.needs.get(index).into_iter().flat_map(Needs::stages));
        }
        (0..self.needs.len()).filter(|&index| is_needed.get(index) == Some(&true)).collect()
    }
}

impl Needs {
    /// The stages among what is needed, as often as they are.
    pub fn stages(&self) -> impl Iterator<Item = usize> {
        let base = match &self.base {
            Base::Stage(index) => Some(*index),
            Base::Scratch | Base::Image(_) => None,
        };
        let origins = self.origins.iter().filter_map(|(origin, _)| match origin {
            Origin::Stage(index) => Some(*index),
            Origin::Image(_) => None,
        });
        base.into_iter().chain(origins)
    }
}

/// Variables by name.
pub type Variables = BTreeMap<String, String>;

/// The most bytes that all expansions of one [`Stages::resolve`] may give together.
pub const MAX_RESOLVED_BYTES: usize = 64 << 20;

impl Stages<'_> {
    /// The values of the arguments declared before the first FROM. One without default and value is left out.
    ///
    /// # Errors
    /// [`StageError::Expand`] names the default that cannot be expanded, [`StageError::TooLarge`].
    pub fn globals(&self, arguments: Arguments<'_>) -> Result<Variables, StageError> {
        Resolver { stages: self, arguments, bytes: Cell::new(0) }.globals()
    }

    /// Expands what each stage names and finds the stages that are meant.
    ///
    /// # Errors
    /// [`StageError`] names the base or `--from` that cannot be expanded, is blank, or means a stage that is not
    /// there or not before this one.
    pub fn resolve(&self, arguments: Arguments<'_>) -> Result<Graph, StageError> {
        Resolver { stages: self, arguments, bytes: Cell::new(0) }.graph()
    }
}

struct Resolver<'a> {
    stages: &'a Stages<'a>,
    arguments: Arguments<'a>,
    bytes: Cell<usize>,
}

impl Resolver<'_> {
    fn globals(&self) -> Result<Variables, StageError> {
        let mut globals = Variables::new();
        for declaration in &self.stages.globals {
            let seen = |name: &str| self.global(&globals, name);
            if let Some((name, value)) = self.argument(declaration, &seen, &|_| None)? {
                globals.insert(name, value);
            }
        }
        Ok(globals)
    }

    fn global(&self, globals: &Variables, name: &str) -> Option<String> {
        globals.get(name).cloned().or_else(|| (self.arguments.platform)(name))
    }

    fn graph(&self) -> Result<Graph, StageError> {
        let globals = self.globals()?;
        let seen = |name: &str| self.global(&globals, name);
        let mut graph = Graph { needs: Vec::with_capacity(self.stages.stages.len()) };
        for stage in &self.stages.stages {
            let base = self.base(stage, &seen)?;
            let platform = stage.platform.map(|word| self.filled(word, &seen)).transpose()?;
            let below = self.below(&base, &graph);
            let origins = self.origins(stage, &below, &seen)?;
            graph.needs.push(Needs { base, platform, origins });
        }
        Ok(graph)
    }

    fn base(&self, stage: &Stage<'_>, lookup: Lookup<'_>) -> Result<Base, StageError> {
        let base = self.filled(stage.base, lookup)?;
        Ok(match self.stages.base_stage(&base, stage.index) {
            Some(index) => Base::Stage(index),
            None if base == "scratch" => Base::Scratch,
            None => Base::Image(base),
        })
    }

    /// The stages that a stage with this base is built on, the lowest first.
    fn below(&self, base: &Base, graph: &Graph) -> Vec<&Stage<'_>> {
        let mut chain = Vec::new();
        let mut at = Some(base);
        while let Some(Base::Stage(index)) = at {
            chain.extend(self.stages.stages.get(*index));
            at = graph.needs.get(*index).map(|needs| &needs.base);
        }
        chain.reverse();
        chain
    }

    /// What `stage` takes files from; `inherited` gives the arguments before the first FROM.
    fn origins(
        &self,
        stage: &Stage<'_>,
        below: &[&Stage<'_>],
        inherited: Lookup<'_>,
    ) -> Result<Vec<(Origin, Span)>, StageError> {
        let has_variables = stage.instructions.iter().flat_map(froms).any(|from| from.raw.contains('$'));
        let mut variables = Variables::new();
        for step in below.iter().flat_map(|stage| stage.instructions).filter(|_| has_variables) {
            self.set(step, &mut variables, inherited)?;
        }
        let mut origins: Vec<(Origin, Span)> = Vec::new();
        let mut known = HashSet::new();
        for step in stage.instructions {
            for from in froms(step) {
                let reference = self.filled(&from, &|name| variables.get(name).cloned())?;
                if known.insert(reference.clone()) {
                    origins.push((self.origin(reference, stage, from.span)?, from.span));
                }
            }
            if has_variables {
                self.set(step, &mut variables, inherited)?;
            }
        }
        Ok(origins)
    }

    fn origin(&self, reference: String, stage: &Stage<'_>, span: Span) -> Result<Origin, StageError> {
        Ok(match self.stages.referenced(&reference, stage.index, span)? {
            Some(index) => Origin::Stage(index),
            None => Origin::Image(reference),
        })
    }

    /// Lets ARG and ENV set their variables.
    fn set(&self, step: &Instruction, variables: &mut Variables, inherited: Lookup<'_>) -> Result<(), StageError> {
        if let Kind::Arg(declarations) = &step.kind {
            for declaration in declarations {
                let argument = self.argument(declaration, &|name| variables.get(name).cloned(), inherited)?;
                variables.extend(argument);
            }
        } else if let Kind::Env(pairs) = &step.kind {
            // All pairs of one ENV see the variables as they were before it.
            let seen = |name: &str| variables.get(name).cloned();
            let set = pairs
                .iter()
                .map(|pair| Ok((self.expanded(&pair.key, &seen)?, self.expanded(&pair.value, &seen)?)))
                .collect::<Result<Vec<_>, StageError>>()?;
            variables.extend(set);
        }
        Ok(())
    }

    /// The name and value of one ARG; `inherited` gives the value of one that has neither value nor default.
    fn argument(
        &self,
        declaration: &ArgDecl,
        seen: Lookup<'_>,
        inherited: Lookup<'_>,
    ) -> Result<Option<(String, String)>, StageError> {
        let name = self.expanded(&declaration.name, seen)?;
        let value = match ((self.arguments.build)(&name), &declaration.value) {
            (Some(given), _) => Some(given),
            (None, Some(default)) => Some(self.expanded(default, seen)?),
            (None, None) => inherited(&name),
        };
        Ok(value.map(|value| (name, value)))
    }

    fn expanded(&self, word: &Word, lookup: Lookup<'_>) -> Result<String, StageError> {
        let (expression, span) = (|| word.raw.clone(), word.span);
        let text = expand::word(&word.raw, self.stages.escape, lookup).map_err(|source| StageError::Expand {
            expression: expression(),
            source,
            span,
        })?;
        self.bytes.set(self.bytes.get() + text.len());
        if self.bytes.get() > MAX_RESOLVED_BYTES {
            return Err(StageError::TooLarge { span });
        }
        Ok(text)
    }

    /// As `expanded`, but the result must not be empty.
    fn filled(&self, word: &Word, lookup: Lookup<'_>) -> Result<String, StageError> {
        match self.expanded(word, lookup)? {
            text if text.is_empty() => Err(StageError::Blank { expression: word.raw.clone(), span: word.span }),
            text => Ok(text),
        }
    }
}

/// What an instruction takes files from, before expansion.
fn froms(step: &Instruction) -> Vec<Word> {
    if let Kind::Copy(spec) = &step.kind {
        spec.from.iter().cloned().collect()
    } else if let Kind::Run { flags, .. } = &step.kind {
        let word = |from: &str, span| Word { raw: from.to_owned(), span };
        flags.mounts.iter().filter_map(|mount| Some(word(mount.from()?, mount.span))).collect()
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
