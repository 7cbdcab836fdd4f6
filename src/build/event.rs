//! What a build tells while it runs.

use std::path::PathBuf;

use gateway::Exchange;
use oci::{Descriptor, DiffId, Digest};
use sandbox::Stream;
use transport::{Location, SourceImage};

/// Something happened. Times are the listener's.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A FROM has a digest now.
    Resolved {
        /// As the Dockerfile has it.
        name: &'a str,
        /// The image, pinned.
        image: &'a SourceImage,
    },
    /// A layer of a base is fetched and unpacked.
    PullStarted {
        /// The layer.
        layer: &'a Descriptor,
    },
    /// It is there.
    PullDone {
        /// The layer.
        layer: &'a Digest,
        /// Entries unpacked.
        entries: u64,
    },
    /// A stage begins.
    StageStarted {
        /// Its name or number.
        stage: &'a str,
        /// What it is built on, as written.
        base: &'a str,
        /// How many instructions it has.
        steps: usize,
    },
    /// An instruction begins.
    StepStarted {
        /// Its stage.
        stage: &'a str,
        /// Its number in the stage, from 1.
        number: usize,
        /// How many there are.
        steps: usize,
        /// The instruction.
        line: &'a str,
    },
    /// A RUN step wrote something.
    Output {
        /// Its stage.
        stage: &'a str,
        /// To which stream.
        stream: Stream,
        /// What.
        bytes: &'a [u8],
    },
    /// Files of the context got into a stage.
    Copied {
        /// Regular ones by their path in the context, if [`crate::Request::hashes_context`].
        files: &'a [(PathBuf, Digest)],
    },
    /// ADD brought something from elsewhere.
    Fetched {
        /// The URL, without credentials.
        what: &'a str,
        /// Of a file's bytes; of a git repository the commit: `sha1:` or `sha256:` and hexadecimal digits.
        digest: &'a str,
        /// Bytes of the file; 0 for a repository.
        bytes: u64,
    },
    /// What a RUN step asked of the gateway.
    Traffic {
        /// Its stage.
        stage: &'a str,
        /// In the order in which it ended.
        exchanges: &'a [Exchange],
    },
    /// The instruction is done.
    StepDone {
        /// Its stage.
        stage: &'a str,
        /// Its number.
        number: usize,
    },
    /// A stage is done.
    StageDone {
        /// Its name or number.
        stage: &'a str,
    },
    /// The writing of a new layer begins.
    LayerStarted {
        /// The stage it comes from.
        stage: &'a str,
    },
    /// A new layer is written.
    LayerDone {
        /// The stage it comes from.
        stage: &'a str,
        /// The blob.
        layer: &'a Descriptor,
        /// Its content.
        diff_id: &'a DiffId,
        /// Bytes before compression.
        uncompressed: u64,
        /// Entries in its tar.
        entries: u64,
    },
    /// A blob or manifest goes out.
    Publishing {
        /// Where to.
        location: &'a Location,
    },
    /// It is out.
    PublishDone {
        /// Where.
        location: &'a Location,
        /// The manifest.
        digest: &'a Digest,
    },
    /// Someone should know.
    Warning(&'a str),
}

/// Who listens.
pub type Observer<'a> = &'a (dyn Fn(Event<'_>) + Sync);
