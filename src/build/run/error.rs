//! Why a step cannot have a mount, a secret or an agent.

use std::io;
use std::path::PathBuf;

use dockerfile::Span;

use crate::copy::CopyError;
use crate::error::{Class, of_layer};

/// A mount that a step cannot have.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StepMountError {
    /// The mount, as its user knows it.
    pub what: String,
    /// The flag in the Dockerfile; none where it is from the command line.
    pub span: Option<Span>,
    /// What is the matter.
    #[source]
    pub source: MountProblem,
}

/// What is the matter with a mount.
#[derive(Debug, thiserror::Error)]
pub enum MountProblem {
    /// Its options.
    #[error(transparent)]
    Options(#[from] dockerfile::MountError),
    /// It does not say where.
    #[error("it needs a target")]
    NoTarget,
    /// It is where every step has something of its own.
    #[error("nothing can be mounted on {}; every step gets its own /, /dev, /proc and /sys", .target.display())]
    Reserved {
        /// Where.
        target: PathBuf,
    },
    /// It takes files of a context, and there is none.
    #[error("there is no build context to mount from")]
    NoContext,
    /// It names nothing that the build has.
    #[error("from={from}: no such stage, context or image")]
    NoOrigin {
        /// The name.
        from: String,
    },
    /// What it shows is not there, or cannot be reached.
    #[error(transparent)]
    Source(#[from] source::TreeError),
    /// What it shows cannot be copied for the step.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A file of this machine.
    #[error("{}: cannot {action}", .path.display())]
    Io {
        /// The file, as the user knows it.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It cannot be made for the step.
    #[error(transparent)]
    Mount(#[from] sandbox::MountError),
    /// A cache.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// A directory's mount of something that is none, or only directories can be mounted so.
    #[error("{}: only a directory can be mounted so", .path.display())]
    NotADirectory {
        /// The source.
        path: PathBuf,
    },
    /// A secret that must be given and is not.
    #[error("no secret `{id}` was given; give it with --secret id={id},src=FILE or --secret id={id},env=NAME")]
    NoSecret {
        /// Its name.
        id: String,
    },
    /// A secret that no variable can hold.
    #[error("secret `{id}` holds a zero byte, which no variable can; mount it as a file")]
    ZeroByte {
        /// Its name.
        id: String,
    },
    /// A secret that is no text.
    #[error("secret `{id}` is not UTF-8, which a variable must be here; mount it as a file")]
    NoText {
        /// Its name.
        id: String,
    },
    /// A variable that cannot be called that.
    #[error("`{name}` cannot be the name of a variable")]
    VariableName {
        /// The name.
        name: String,
    },
    /// An agent that must be given and is not.
    #[error("no SSH agent `{id}` was given; give it with --ssh {id} (the agent of SSH_AUTH_SOCK) or --ssh {id}=SOCKET")]
    NoAgent {
        /// Its name.
        id: String,
    },
}

impl StepMountError {
    pub(crate) fn class(&self) -> Class {
        match &self.source {
            MountProblem::Options(_)
            | MountProblem::NoTarget
            | MountProblem::Reserved { .. }
            | MountProblem::NoContext
            | MountProblem::NoOrigin { .. }
            | MountProblem::Source(_)
            | MountProblem::NotADirectory { .. }
            | MountProblem::VariableName { .. } => Class::Source,
            MountProblem::NoSecret { .. }
            | MountProblem::ZeroByte { .. }
            | MountProblem::NoText { .. }
            | MountProblem::NoAgent { .. } => Class::Configuration,
            MountProblem::Copy(error) => of_layer(error),
            MountProblem::Io { .. } | MountProblem::Mount(_) | MountProblem::Store(_) => Class::Environment,
        }
    }
}
