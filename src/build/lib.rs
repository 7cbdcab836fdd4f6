//! Plan, stages, instructions, layers: from a Dockerfile to an image that waits at the gate.
//!
//! Comes in: a parsed Dockerfile, a context, ways to images, a sandbox already entered. Goes out, in this order and
//! no other: a [`Plan`] (nothing asked of anybody yet), a [`ResolvedPlan`] (every FROM has a digest), an [`Image`]
//! (everything built, its blobs open but without names), an [`Approved`] image (the gate let it pass), a [`Stored`] one
//! (all its parts are where they go), a [`Published`] one. It reads no environment, no clock and no configuration, and publishes nothing that was not
//! approved.

mod added;
mod adjust;
mod base;
mod commit;
mod config;
mod copy;
mod error;
mod event;
mod files;
mod graft;
mod image;
mod instruction;
mod mask;
mod owner;
mod plan;
mod preview;
mod pull;
mod repositories;
mod request;
mod run;
mod schedule;
mod scope;
mod smoke;
mod source_policy;
mod stage;
mod step_inputs;
mod step_options;
mod tree;
mod trigger;
mod unused;

pub use adjust::{ConfigOptions, LayerTimes};
pub use commit::timestamp;
pub use copy::{CopyError, Mtime};
pub use error::{BuildError, Class, InstructionError};
pub use event::{Event, Observer};
pub use image::{Approved, Image, NewLayer, Published, Stored};
pub use owner::{Ids, Owners, UserError};
pub use plan::{Plan, ResolvedBase, ResolvedPlan, StagePlan, plan};
pub use preview::preview;
pub use pull::Pull;
pub use request::{AddedFile, Context, Layering, NamedContext, RepositoryFile, Request, SeenIn, StepNetwork};
pub use run::{MountProblem, StepMountError};
pub use smoke::{Trial, TrialCommand, TrialNetwork, Tried};
pub use source_policy::{SourcePolicy, SourcePolicyError};
pub use stage::{LookedAt, Workshop, build};
pub use step_inputs::{MAX_SECRET, Secret, StepFile, StepInputs, Volume, VolumeAccess};
pub use step_options::StepOptions;
pub use unused::unused_build_args;
