//! A layer blob, entry by entry.
//!
//! Comes in: entries and their contents. Goes out: the blob to a sink while it grows, and what it is. It never
//! holds more than its blocks in memory and decides nothing about order.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::compress::{CompressError, CompressOptions, Compressing, compressing};
use super::shown;
use super::tar_write::{BLOCK, END, EncodeError, Entry, EntryKind, encode};
use crate::manifest::{Compression, Format};
use crate::{Descriptor, DiffId};

/// A layer that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Of the tar.
    pub diff_id: DiffId,
    /// Bytes of the tar.
    pub uncompressed: u64,
    /// Of the blob, with the media type of the format and compression.
    pub descriptor: Descriptor,
    /// Entries in the tar. With 0 the layer changes nothing and should be left out.
    pub entries: u64,
    /// Sockets that were left out: tars cannot hold them.
    pub skipped_sockets: u64,
}

/// Why a layer could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The compressor could not be set up.
    #[error(transparent)]
    Compress(#[from] CompressError),
    /// Docker's manifests know no zstd.
    #[error("{format:?} manifests have no media type for {compression:?} layers: use gzip, or --format oci")]
    MediaType {
        /// The family of media types.
        format: Format,
        /// The compression asked for.
        compression: Compression,
    },
    /// An entry that no tar can hold.
    #[error("{path}: cannot be put into a layer: {source}", path = path.display())]
    Entry {
        /// The entry.
        path: PathBuf,
        /// Why not.
        source: EncodeError,
    },
    /// A file that could not be read.
    #[error("{path}: cannot read the file: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file that became shorter.
    #[error("{path}: the file changed while it was read", path = path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The blob could not be handed on.
    #[error("cannot write the layer: {source}")]
    Sink {
        /// What the sink said.
        source: io::Error,
    },
}

impl From<io::Error> for WriteError {
    fn from(source: io::Error) -> Self {
        Self::Sink { source }
    }
}

/// Writes a layer.
pub struct LayerWriter<S: Write> {
    stream: Compressing<S>,
    media_type: &'static str,
    entries: u64,
    header: Vec<u8>,
}

impl<S: Write> std::fmt::Debug for LayerWriter<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LayerWriter").field("entries", &self.entries).finish_non_exhaustive()
    }
}

impl<S: Write> LayerWriter<S> {
    /// Starts a layer that goes to `sink`.
    ///
    /// # Errors
    /// [`WriteError::MediaType`] and [`WriteError::Compress`].
    pub fn new(sink: S, format: Format, options: &CompressOptions) -> Result<Self, WriteError> {
        let compression = options.compression;
        let media_type = format.layer(compression).ok_or(WriteError::MediaType { format, compression })?;
        Ok(Self { stream: compressing(sink, options)?, media_type, entries: 0, header: Vec::new() })
    }

    /// Adds an entry; `content` is read to the size the entry says, and not at all unless it is a regular file.
    ///
    /// # Errors
    /// [`WriteError`] names the entry. The layer is then useless.
    pub fn add(&mut self, entry: &Entry<'_>, content: &mut impl Read) -> Result<(), WriteError> {
        self.header.clear();
        encode(entry, &mut self.header).map_err(|source| WriteError::Entry { path: shown(entry.path), source })?;
        self.stream.write_all(&self.header)?;
        self.entries += 1;
        match entry.kind {
            EntryKind::Regular { size } => self.content(entry, size, content),
            EntryKind::Directory
            | EntryKind::Symlink { .. }
            | EntryKind::HardLink { .. }
            | EntryKind::Fifo
            | EntryKind::Character { .. }
            | EntryKind::Block { .. } => Ok(()),
        }
    }

    /// Reads straight into the stream's block: a byte is copied once, by the kernel.
    fn content(&mut self, entry: &Entry<'_>, size: u64, content: &mut impl Read) -> Result<(), WriteError> {
        let mut left = size;
        while left > 0 {
            let space = self.stream.space()?;
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(space.len());
            match content.read(space.get_mut(..most).unwrap_or_default()) {
                Ok(0) => return Err(WriteError::Changed { path: shown(entry.path) }),
                Ok(count) => {
                    self.stream.advance(count);
                    left = left.saturating_sub(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(WriteError::Read { path: shown(entry.path), source }),
            }
        }
        let padding = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or_default();
        Ok(self.stream.write_all(END.get(..padding).unwrap_or_default())?)
    }

    /// How many entries there are so far.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Ends the layer.
    ///
    /// # Errors
    /// [`WriteError::Sink`].
    pub fn finish(mut self) -> Result<Written, WriteError> {
        self.stream.write_all(&END)?;
        let done = self.stream.finish()?;
        Ok(Written {
            diff_id: done.diff_id,
            uncompressed: done.uncompressed,
            descriptor: Descriptor::new(self.media_type, done.digest, done.size),
            entries: self.entries,
            skipped_sockets: 0,
        })
    }
}
