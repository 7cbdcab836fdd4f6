//! Phases, plugins, edits, findings, facts; the site's configuration; the record of a build.
//!
//! Comes in: a [`site::Site`], a [`Registry`] of plugins, and what a build is made of. Goes out, phase by phase:
//! files for the context, edits of the Dockerfile, facts, findings with the gate at their end, what is to be pushed,
//! and a [`record::Record`]. A plugin sees a read-only view and returns what should change; only the [`Run`] changes
//! anything, so the record says who changed what and why. Without a configuration no plugin acts. It reads no
//! environment and no clock, and publishes nothing itself.

mod absent;
mod bill;
mod edit;
mod error;
pub mod external;
mod fact;
mod finding;
mod phase;
mod plugin;
pub mod record;
mod repository;
mod run;
pub mod site;
mod task;
pub mod yaml;

pub use absent::{Absent, Without};
pub use bill::{Bill, SbomDemand};
pub use edit::{Added, DirectoryPlace, Edit, Injected, Made as EditMade, Reasoned, RewriteError, rewrite};
pub use error::{Class, PluginError};
pub use fact::{
    Artifacts, Composes, Fact, FactTaken, Facts, Group, Index, KojiFile, Member, Parent, ParentBuilds, Release,
    SourceFact, Tags,
};
pub use finding::{FAILED_TEST, Finding, Severity};
pub use phase::{
    Answer, Changes, Examine, Exit, ExitView, Findings, Found, Order, Orders, Phase, PhaseName, PostBuild,
    PostBuildView, PreBuild, PreBuildView, Publish, PublishView, Source, SourceView, WriteFile,
};
pub use plugin::{Lineup, Made, Plugin, Registered, Registry, Selected, Setup, Wanted};
pub use repository::{fetch_repository_file, file_name as repository_file_name, shown_url};
pub use run::{Clock, Outwards, Refused, Run, Surroundings};
pub use task::{BuildObject, Task, TaskError, UserParams};
