//! The Dockerfile language: parse, stage, expand, edit, ignore.
//!
//! In comes the text of a Dockerfile or of an ignore file, out come typed instructions, stages, expanded words and
//! edits of single byte ranges. The grammar is BuildKit's (`frontend/dockerfile`). Everything here is pure: no file,
//! no environment, no clock is read, and nothing is executed. Text is untrusted: every function ends in linear time
//! or within a named limit, and refuses with an error that names the place.
//!
//! ```
//! use stratum_dockerfile as dockerfile;
//! let file = dockerfile::parse("FROM busybox AS base\nRUN echo \\\n  hi\n")?;
//! assert_eq!(file.instructions.len(), 2);
//! assert_eq!(dockerfile::stages(&file)?.stages[0].base.raw, "busybox");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod check;
pub mod directive;
pub mod edit;
mod error;
pub mod expand;
pub mod graph;
mod heredoc;
pub mod ignore;
mod instruction;
pub mod json;
mod json_form;
mod keyword;
mod lines;
pub mod mount;
mod pattern;
mod span;
pub mod stages;
mod suggest;
mod tree;
mod typed;
mod words;

pub use directive::{Directives, Escape};
pub use edit::{Edit, apply, pin_from};
pub use error::ParseError;
pub use expand::Lookup;
pub use graph::{Arguments, Base, Graph, Needs, Origin};
pub use heredoc::Heredoc;
pub use instruction::{
    AddSpec, ArgDecl, Command, CopySpec, Device, Dockerfile, Healthcheck, InlineFile, Instruction, Invocation, Kind,
    Network, Pair, Probe, RunFlags, Security, Separator, Warning,
};
pub use keyword::Keyword;
pub use mount::{Mount, MountError, MountKind, MountSpec};
pub use span::{Diagnostic, Position, Span, Word, position};
pub use stages::{Stage, StageError, Stages, stages};
pub use suggest::nearest;
pub use tree::{Flag, Node, Tree, parse_tree, parse_tree_bytes};
pub use typed::{parse, parse_bytes};

/// The largest Dockerfile that is read, in bytes.
pub const MAX_FILE_BYTES: usize = 4 << 20;
/// The longest line that is read, in bytes with its line ending.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// The largest number of instructions in one Dockerfile.
pub const MAX_INSTRUCTIONS: usize = 1 << 16;
