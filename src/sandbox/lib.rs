//! The isolation ladder: find the best rung, enter it, mount a root, run one process in it.
//!
//! What it is for: RUN steps without privilege. [`enter`] probes the rungs in forked children and
//! takes this process into the best one, before any thread exists; [`mount_root`] stacks unpacked
//! layers as an overlay; [`run`] starts one command in namespaces of its own and waits for it;
//! [`doctor`] says what is possible here and why not more. Deciding is in pure `plan_*` functions
//! that return data, acting in short loops over `sys`.
//!
//! It never reads the environment, never prints, and never changes an image's files but through
//! the step it runs.

mod cancel;
mod capability;
mod doctor;

mod enter;
mod facts;
mod ids;
mod loopback;
mod map;
mod mounts;
mod outside;
mod plan;
mod prepared;
mod resolve;
mod root;
mod run;
mod rung;
mod seccomp;
mod step;
mod targets;
mod tool;
mod transient;

pub use cancel::Cancel;
pub use capability::{Capabilities, Capability, CapabilityError, Privileges};
pub use doctor::{Facility, RungReport, Verdict, doctor};

pub use enter::{EnterError, EnterOptions, Entered, enter};
pub use ids::{Extent, IdMaps};
pub use loopback::{Loopback, LoopbackError};
pub use outside::Outside;
pub use root::{MountError, Root, RootSpec, mount_root, write_stubs};
pub use run::{RunError, run};
pub use rung::{Isolation, Refused, Rung, UnknownIsolation};
pub use step::{Access, Exit, InjectedFile, Limit, MountSource, Network, Resource, Step, StepMount, Stream};
pub use tool::{Ask, Tool, ToolError, ToolExit, ToolStart, Turn};
pub use transient::{mount_discarding, mount_memory};
