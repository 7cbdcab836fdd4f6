//! What can go wrong, where, and whose turn it is.

mod class;

use std::path::{Path, PathBuf};

use dockerfile::expand::ExpandError;
use dockerfile::{Diagnostic, Span, StageError};
use gateway::GatewayError;
use oci::layer::{ApplyError, DiffError};
use sandbox::{Exit, LoopbackError, MountError, RunError};
use store::StoreError;
use transport::{Location, TransportError};

pub use class::Class;
pub(crate) use class::of_layer;
use class::{is_forbidden, is_full_within, of_store};

use crate::copy::CopyError;
use crate::owner::UserError;
use crate::run::StepMountError;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile's stages do not fit together.
    #[error(transparent)]
    Stages(#[from] StageError),
    /// An instruction failed.
    #[error("{line}")]
    Instruction {
        /// The instruction.
        line: String,
        /// Its place.
        span: Span,
        /// What went wrong.
        #[source]
        source: Box<InstructionError>,
    },
    /// An instruction that the base brings (ONBUILD) failed.
    #[error("{line}: an ONBUILD trigger of {image}")]
    Trigger {
        /// The base image.
        image: String,
        /// The instruction.
        line: String,
        /// The place of the base in the Dockerfile.
        span: Span,
        /// What went wrong.
        #[source]
        source: Box<InstructionError>,
    },
    /// A base cannot be had.
    #[error("{name}: the base image cannot be had")]
    Base {
        /// As the Dockerfile has it.
        name: String,
        /// Its place.
        span: Span,
        /// What may have been meant.
        advice: Option<String>,
        /// What went wrong.
        #[source]
        source: TransportError,
    },
    /// A text of the Dockerfile is no location of an image.
    #[error("{name}: not an image")]
    Name {
        /// The text.
        name: String,
        /// Its place.
        span: Span,
        /// What is wrong with it.
        #[source]
        source: transport::LocationError,
    },
    /// An image of the wrong kind.
    #[error("{name}: {why}")]
    Unusable {
        /// The image.
        name: String,
        /// Its place.
        span: Span,
        /// What is the matter.
        why: String,
    },
    /// A layer cannot be fetched or unpacked.
    #[error("layer {digest}: cannot be unpacked")]
    Unpack {
        /// The layer.
        digest: oci::Digest,
        /// What went wrong.
        #[source]
        source: UnpackError,
    },
    /// A stage's tree cannot be mounted.
    #[error("the tree of stage {stage} cannot be mounted")]
    Mount {
        /// The stage.
        stage: String,
        /// What went wrong.
        #[source]
        source: MountError,
    },
    /// The new layer cannot be written.
    #[error("the new layer cannot be written")]
    Layer(#[from] DiffError),
    /// An image cannot be read or written.
    #[error("{location}: cannot be written")]
    Publish {
        /// Where to.
        location: Location,
        /// What went wrong.
        #[source]
        source: TransportError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Manifest or config cannot be written down.
    #[error("the image's manifest cannot be written")]
    Manifest(#[from] oci::ManifestError),
    /// A format without a media type for what is asked.
    #[error("{what} cannot be written with --format docker; use --format oci")]
    Format {
        /// The thing.
        what: String,
    },
    /// No threads to build with.
    #[error("cannot start the threads that build")]
    Threads(#[source] std::io::Error),
    /// The build was told to stop.
    #[error("cancelled")]
    Cancelled,
    /// The source policy forbids an image.
    #[error("{name}: the source policy denies this image (rule {number}, `{rule}`)")]
    Denied {
        /// As the Dockerfile has it.
        name: String,
        /// Its place.
        span: Span,
        /// The rule's number, from 1.
        number: usize,
        /// The rule's identifier.
        rule: String,
    },
    /// The image cannot be tried.
    #[error("the image cannot be tried")]
    Trial {
        /// What went wrong.
        #[source]
        source: Box<InstructionError>,
    },
}

/// What can go wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Fetching.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// Unpacking.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Keeping.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The content is not what the config says.
    #[error("its content has the diff_id {got}, the image's config says {expected}")]
    DiffId {
        /// In the config.
        expected: oci::DiffId,
        /// Of the bytes.
        got: oci::DiffId,
    },
    /// The bytes end early, or are not those of the digest.
    #[error("it cannot be read to its end")]
    Read {
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A layer that hides all layers below it as a whole.
    #[error("it hides everything below it (an opaque whiteout at its root), which is not supported")]
    OpaqueRoot,
    /// A file operation in the store.
    #[error("{path}: cannot {action}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
}

/// What can go wrong with one instruction.
#[derive(Debug, thiserror::Error)]
pub enum InstructionError {
    /// A word cannot be expanded.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// Something this version does not execute.
    #[error("{what} is not supported yet")]
    Unsupported {
        /// The thing.
        what: String,
    },
    /// A value that is none.
    #[error("{what}")]
    Invalid {
        /// What is wrong.
        what: String,
    },
    /// Copying.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Reading a source.
    #[error(transparent)]
    Source(#[from] source::TreeError),
    /// An archive cannot be unpacked.
    #[error("{name}: the archive cannot be unpacked")]
    Archive {
        /// Its path in the source, or its URL.
        name: String,
        /// What went wrong.
        #[source]
        source: Box<source::archive::ArchiveError>,
    },
    /// A file cannot be downloaded.
    #[error(transparent)]
    Download(Box<source::download::DownloadError>),
    /// A text looks like a git source and is none.
    #[error(transparent)]
    GitUrl(#[from] source::git::GitUrlError),
    /// A git repository cannot be had.
    #[error(transparent)]
    Git(Box<source::git::GitError>),
    /// A server that is not to be reached.
    #[error("{url}: {why}")]
    OutOfReach {
        /// What was asked for.
        url: String,
        /// Why not, and who can change it.
        why: String,
    },
    /// There is no context to copy from.
    #[error("there is no build context to copy from")]
    NoContext,
    /// A user is not known.
    #[error(transparent)]
    User(#[from] UserError),
    /// The step could not be started.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The step has no network to be had.
    #[error(transparent)]
    Loopback(#[from] LoopbackError),
    /// The gateway.
    #[error(transparent)]
    Gateway(#[from] GatewayError),
    /// RUN asks for more than the build has.
    #[error("--network=host is not allowed here: steps of this build have no access to the machine's network")]
    HostNetwork,
    /// RUN asks for what would be no sandbox.
    #[error(
        "--security=insecure is refused: steps run with all the privilege this builder has, and there is none beyond it; leave the flag out, or build this Dockerfile with a privileged builder"
    )]
    Insecure,
    /// RUN cannot do without a device.
    #[error("--device={name} cannot be given: steps have no devices of the machine; make it required=false")]
    Device {
        /// As the Dockerfile has it.
        name: String,
        /// The flag.
        span: Span,
    },
    /// A step cannot have one of its mounts.
    #[error(transparent)]
    Mount(#[from] StepMountError),
    /// The step ended badly.
    #[error("{}", ended(.exit, .full.as_deref()))]
    Failed {
        /// How.
        exit: Exit,
        /// The store, if it has no room left.
        full: Option<PathBuf>,
        /// Its last lines, both streams together.
        tail: String,
        /// What it asked of the gateway in vain.
        refused: Vec<String>,
    },
}

fn ended(exit: &Exit, full: Option<&Path>) -> String {
    let how = match exit {
        Exit::Code(code) => format!("the command ended with status {code}"),
        Exit::Signal(9) => "the command was killed by signal 9".to_owned(),
        Exit::Signal(signal) => format!("the command was ended by signal {signal}"),
        Exit::OutOfMemory => "the command was killed because memory ran out".to_owned(),
        Exit::TimedOut => "the command ran out of time".to_owned(),
        Exit::Cancelled => "the command was cancelled".to_owned(),
    };
    match full {
        Some(store) => format!("{how}; the store has no room left ({})", store.display()),
        None => how,
    }
}

impl BuildError {
    /// Whose turn it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Stages(_) | Self::Name { .. } | Self::Unusable { .. } | Self::Format { .. } => Class::Source,
            Self::Instruction { source, .. } | Self::Trigger { source, .. } | Self::Trial { source } => source.class(),
            Self::Base { source, .. } | Self::Publish { source, .. } => source.kind().into(),
            Self::Unpack { source, .. } => source.class(),
            Self::Mount { .. } | Self::Threads(_) => Class::Environment,
            Self::Layer(error) => of_layer(error),
            Self::Store(error) => of_store(error),
            Self::Manifest(_) => Class::Bug,
            Self::Cancelled => Class::Cancelled,
            Self::Denied { .. } => Class::Refused,
        }
    }

    /// The place in the Dockerfile, where there is one.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Stages(error) => Some(error.span()),
            Self::Instruction { span, .. }
            | Self::Trigger { span, .. }
            | Self::Base { span, .. }
            | Self::Name { span, .. }
            | Self::Unusable { span, .. }
            | Self::Denied { span, .. } => Some(*span),
            Self::Unpack { .. }
            | Self::Mount { .. }
            | Self::Layer(_)
            | Self::Publish { .. }
            | Self::Store(_)
            | Self::Manifest(_)
            | Self::Format { .. }
            | Self::Threads(_)
            | Self::Cancelled
            | Self::Trial { .. } => None,
        }
    }

    /// The error with its causes, as a renderer shows it beside the source; `None` where it has no place there.
    #[must_use]
    pub fn diagnostic(&self) -> Option<Diagnostic> {
        if let Self::Stages(error) = self {
            return Some(error.diagnostic());
        }
        let span = self.span()?;
        // Of an instruction the line is shown anyway.
        let shown: &dyn std::error::Error =
            if let Self::Instruction { source, .. } = self { source.as_ref() } else { self };
        let message = http::with_causes(shown);
        Some(Diagnostic { message, span, help: self.help() })
    }

    /// What to do about it, if something is known.
    fn help(&self) -> Option<String> {
        if let Self::Base { advice, .. } = self {
            return advice.clone();
        }
        let InstructionError::Failed { refused, .. } = self.instruction()? else { return None };
        let list = refused.join("\n  ");
        (!refused.is_empty()).then(|| format!("the gateway refused some of what the step asked for:\n  {list}"))
    }

    /// The last lines of the step that failed.
    #[must_use]
    pub fn tail(&self) -> Option<&str> {
        match self.instruction() {
            Some(InstructionError::Failed { tail, .. }) => Some(tail),
            Some(_) | None => None,
        }
    }

    fn instruction(&self) -> Option<&InstructionError> {
        if let Self::Instruction { source, .. } | Self::Trigger { source, .. } = self { Some(source) } else { None }
    }
}

impl InstructionError {
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Failed { exit: Exit::Cancelled, .. }) || self.class() == Class::Cancelled
    }

    /// The part of the instruction that is to blame, where that is known.
    pub(crate) fn span(&self) -> Option<Span> {
        match self {
            Self::Device { span, .. } => Some(*span),
            Self::Mount(error) => error.span,
            Self::Expand(_)
            | Self::Unsupported { .. }
            | Self::Invalid { .. }
            | Self::Copy(_)
            | Self::Source(_)
            | Self::NoContext
            | Self::Archive { .. }
            | Self::Download(_)
            | Self::GitUrl(_)
            | Self::Git(_)
            | Self::OutOfReach { .. }
            | Self::User(_)
            | Self::Run(_)
            | Self::Loopback(_)
            | Self::Gateway(_)
            | Self::HostNetwork
            | Self::Insecure
            | Self::Failed { .. } => None,
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Expand(_)
            | Self::Unsupported { .. }
            | Self::Invalid { .. }
            | Self::Source(_)
            | Self::NoContext
            | Self::User(_)
            | Self::GitUrl(_) => Class::Source,
            Self::Archive { source, .. } if is_full_within(source.as_ref()) => Class::Environment,
            Self::Archive { source, .. } => source.class().into(),
            Self::Download(error) if is_forbidden(error) => Class::Refused,
            Self::Download(error) => error.class().into(),
            Self::Git(error) => error.class().into(),
            Self::OutOfReach { .. } => Class::Refused,
            Self::Copy(CopyError::Store { .. }) => Class::Environment,
            Self::Copy(error) => of_layer(error),
            // A program that is not there, or is none, is the step's own failure.
            Self::Run(RunError::Execute { .. } | RunError::NoProgram) => Class::Step,
            Self::Run(RunError::Target { .. } | RunError::Reserved { .. }) => Class::Source,
            Self::Run(_) | Self::Loopback(_) => Class::Environment,
            Self::Gateway(_) => Class::Configuration,
            Self::HostNetwork | Self::Insecure => Class::Refused,
            Self::Device { .. } => Class::Source,
            Self::Mount(error) => error.class(),
            Self::Failed { full: Some(_), .. } => Class::Environment,
            Self::Failed { .. } => Class::Step,
        }
    }
}
