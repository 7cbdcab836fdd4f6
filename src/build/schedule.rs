//! Which stage is built when: each as soon as all it needs is there, several at the same time.
//!
//! Comes in: a plan in which every base has a digest. Goes out: all stages it needs, built. The result does not depend
//! on how many are built at once: a stage sees only stages that are done. The first failure stops the others.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use dockerfile::{Base, Origin};
use sandbox::Cancel;

use crate::plan::{ResolvedPlan, StagePlan};
use crate::stage::{Builder, Done, Stage};
use crate::{BuildError, Workshop};

/// Builds all stages of the plan, up to [`Workshop::jobs`] at the same time.
pub(crate) fn build_stages<'p>(workshop: Workshop<'_>, plan: &'p ResolvedPlan<'_>) -> Result<Done<'p>, BuildError> {
    let stop = Cancel::new().map_err(BuildError::Threads)?;
    let board = Board { plan, state: Mutex::default(), changed: Condvar::new(), stop: &stop };
    let workers = workshop.jobs.clamp(1, plan.plan().needed.len().max(1));
    let stoppable = Workshop { cancel: &stop, ..workshop };
    let started = thread::scope(|scope| {
        let watch = || follow(workshop.cancel, &stop);
        let mut started = thread::Builder::new().name("watch".to_owned()).spawn_scoped(scope, watch).map(drop);
        let others: Vec<_> = (1..workers).map(|_| scope.spawn(|| board.work(stoppable))).collect();
        if started.is_ok() {
            board.work(stoppable);
        }
        for other in others {
            started = started.and(other.join().map_err(|_| std::io::Error::other("a stage's thread panicked")));
        }
        // Ends the watch too.
        raise(&stop);
        started
    });
    started.map_err(BuildError::Threads)?;
    let state = board.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match state.failure {
        Some(_) if workshop.cancel.is_set() => Err(BuildError::Cancelled),
        Some(failure) => Err(failure),
        None => Ok(state.done),
    }
}

/// Lets `stop` be set when `cancel` is.
fn follow(cancel: &Cancel, stop: &Cancel) {
    if let Err(error) = cancel.wait_for(stop) {
        tracing::warn!(%error, "cannot wait to be cancelled");
    } else if cancel.is_set() {
        raise(stop);
    }
}

fn raise(flag: &Cancel) {
    if let Err(error) = flag.set() {
        tracing::warn!(%error, "cannot stop the other stages");
    }
}

/// What the workers share.
struct Board<'s, 'p, 'r> {
    plan: &'p ResolvedPlan<'r>,
    state: Mutex<State<'p>>,
    changed: Condvar,
    stop: &'s Cancel,
}

#[derive(Default)]
struct State<'p> {
    taken: BTreeSet<usize>,
    done: Done<'p>,
    failure: Option<BuildError>,
}

/// What a worker does next.
enum Turn<'p> {
    Build { position: usize, stage: &'p StagePlan, done: Done<'p> },
    Wait,
    Leave,
}

impl<'p> Board<'_, 'p, '_> {
    fn lock(&self) -> MutexGuard<'_, State<'p>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, workshop: Workshop<'_>) {
        let mut state = self.lock();
        loop {
            match self.turn(&mut state) {
                Turn::Leave => return,
                Turn::Wait => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Turn::Build { position, stage, done } => {
                    drop(state);
                    let built = Builder { workshop, plan: self.plan, done: &done, stage_plan: stage }.build(position);
                    drop(done);
                    state = self.lock();
                    self.note(&mut state, stage.index, built);
                }
            }
        }
    }

    fn note(&self, state: &mut State<'p>, index: usize, built: Result<Stage<'p>, BuildError>) {
        match built {
            Ok(mut stage) => {
                if index != self.plan.plan().target() {
                    // Others see what it changed, not the places that steps needed.
                    drop(stage.take_root());
                }
                state.done.insert(index, Arc::new(stage));
            }
            Err(error) => {
                // What the others say then is only that they were stopped.
                state.failure.get_or_insert(error);
                raise(self.stop);
            }
        }
        self.changed.notify_all();
    }

    fn turn(&self, state: &mut State<'p>) -> Turn<'p> {
        let plan = self.plan.plan();
        if state.failure.is_some() || state.taken.len() == plan.needed.len() {
            return Turn::Leave;
        }
        let is_ready = |stage: &StagePlan| stages_of(stage).all(|index| state.done.contains_key(&index));
        let mut open = plan.needed.iter().enumerate().filter(|(_, stage)| !state.taken.contains(&stage.index));
        let Some((position, stage)) = open.find(|(_, stage)| is_ready(stage)) else { return Turn::Wait };
        state.taken.insert(stage.index);
        Turn::Build { position, stage, done: state.done.clone() }
    }
}

/// The stages that must be done before this one.
fn stages_of(stage: &StagePlan) -> impl Iterator<Item = usize> {
    let base = if let Base::Stage(index) = stage.base { Some(index) } else { None };
    let origins = stage.origins.iter().filter_map(|(origin, _)| match origin {
        Origin::Stage(index) => Some(*index),
        Origin::Image(_) => None,
    });
    base.into_iter().chain(origins)
}
