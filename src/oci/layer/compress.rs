//! Compressing a layer on several threads while it is written.
//!
//! Comes in: the bytes of a tar. Goes out: the blob to a sink, and the digests of both. The bytes of the blob
//! depend on the tar, the compression and the level, never on the number of threads or on timing. Memory is
//! bounded whatever the size: the writer waits when the sink or the threads fall behind.

mod gzip;
mod pool;

use std::io::{self, Write};

use libdeflater::CompressionLvl;
use zstd::zstd_safe::CParameter;

use self::gzip::Members;
use self::pool::Pool;
use crate::digest::Hasher;
use crate::manifest::Compression;
use crate::{DiffId, Digest};

/// Bytes of tar in one gzip member. Part of the format: changing it changes every digest.
pub(crate) const BLOCK: usize = 1 << 20;
/// Bytes of tar in one zstd job, for the same reason.
const ZSTD_JOB: u32 = 2 << 20;
/// More threads would take more memory than a build pod has for this.
const MAX_THREADS: usize = 14;
const GZIP_LEVEL: i32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// How to compress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompressOptions {
    /// The format of the blob.
    pub compression: Compression,
    /// 1 to 12 for gzip (default 6), 1 to 22 for zstd (default 3); of no meaning for none.
    pub level: Option<i32>,
    /// Threads that compress, beside the one that writes; at least 1 and at most 14 are used.
    pub threads: usize,
}

impl Default for CompressOptions {
    fn default() -> Self {
        Self { compression: Compression::Gzip, level: None, threads: 1 }
    }
}

/// Why compression cannot start.
#[derive(Debug, thiserror::Error)]
pub enum CompressError {
    /// A level the format does not have.
    #[error("{compression:?} has no level {level}: use 1 to {highest}")]
    Level {
        /// The format.
        compression: Compression,
        /// The level asked for.
        level: i32,
        /// The highest there is.
        highest: i32,
    },
    /// The encoder could not be set up.
    #[error("cannot set up the compressor: {source}")]
    Setup {
        /// What the library said.
        source: io::Error,
    },
}

/// A writer that compresses; made by [`compressing`].
///
/// After an error every further write fails. Dropping it without [`Compressing::finish`] ends its threads and
/// leaves the blob incomplete.
pub struct Compressing<S: Write> {
    engine: Engine<S>,
    /// Always [`BLOCK`] long.
    block: Vec<u8>,
    filled: usize,
    tar: Hasher,
    has_failed: bool,
}

enum Engine<S: Write> {
    None(Output<S>),
    Gzip(Box<Pool<S>>),
    Zstd(Box<zstd::Encoder<'static, Output<S>>>),
}

/// What was compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compressed {
    /// Of the tar.
    pub diff_id: DiffId,
    /// Bytes of the tar.
    pub uncompressed: u64,
    /// Of the blob.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
}

/// The sink, and the digest of what went into it.
struct Output<S> {
    sink: S,
    hasher: Hasher,
    is_hashed: bool,
}

impl<S: Write> Write for Output<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write_all(bytes)?;
        if self.is_hashed {
            self.hasher.update(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// A writer that compresses what it is given into `sink`.
///
/// The sink is only written to by the thread that writes, so it need not be [`Send`].
///
/// # Errors
/// [`CompressError`] for a level that does not exist.
pub fn compressing<S: Write>(sink: S, options: &CompressOptions) -> Result<Compressing<S>, CompressError> {
    let threads = options.threads.clamp(1, MAX_THREADS);
    // Uncompressed, the blob is the tar: hashing it once will do.
    let is_hashed = options.compression != Compression::None;
    let output = Output { sink, hasher: Hasher::default(), is_hashed };
    let engine = match options.compression {
        Compression::None => Engine::None(output),
        Compression::Gzip => {
            let level = level(options, GZIP_LEVEL, 12)?;
            let level = CompressionLvl::new(level).unwrap_or_default();
            Engine::Gzip(Box::new(Pool::new(output, Members::new(level), threads)))
        }
        Compression::Zstd => Engine::Zstd(Box::new(zstd_encoder(output, level(options, ZSTD_LEVEL, 22)?, threads)?)),
    };
    Ok(Compressing { engine, block: vec![0; BLOCK], filled: 0, tar: Hasher::default(), has_failed: false })
}

fn level(options: &CompressOptions, default: i32, highest: i32) -> Result<i32, CompressError> {
    let level = options.level.unwrap_or(default);
    let is_there = (1..=highest).contains(&level);
    if is_there { Ok(level) } else { Err(CompressError::Level { compression: options.compression, level, highest }) }
}

fn zstd_encoder<S: Write>(
    output: Output<S>,
    level: i32,
    threads: usize,
) -> Result<zstd::Encoder<'static, Output<S>>, CompressError> {
    let set_up = || {
        let mut encoder = zstd::Encoder::new(output, level)?;
        // Without workers zstd cuts its input otherwise and writes other bytes.
        encoder.multithread(u32::try_from(threads).unwrap_or(1))?;
        encoder.set_parameter(CParameter::JobSize(ZSTD_JOB))?;
        Ok(encoder)
    };
    set_up().map_err(|source| CompressError::Setup { source })
}

impl<S: Write> std::fmt::Debug for Compressing<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Compressing").field("tar_bytes", &self.tar.length()).finish_non_exhaustive()
    }
}

impl<S: Write> Compressing<S> {
    /// Where the next bytes go, never empty: read into it and say how much with [`Self::advance`].
    ///
    /// # Errors
    /// Whatever the sink gave.
    pub fn space(&mut self) -> io::Result<&mut [u8]> {
        if self.filled == self.block.len() {
            self.submit()?;
        }
        Ok(self.block.get_mut(self.filled..).unwrap_or_default())
    }

    /// Takes the first `count` bytes of [`Self::space`] as written.
    pub fn advance(&mut self, count: usize) {
        self.filled = self.filled.saturating_add(count).min(self.block.len());
    }

    fn submit(&mut self) -> io::Result<()> {
        if self.has_failed {
            return Err(io::Error::other("writing the layer failed before"));
        }
        let bytes = self.block.get(..self.filled).unwrap_or_default();
        // Hashing costs a tenth of compressing: done here, it never keeps the threads waiting.
        self.tar.update(bytes);
        let result = match &mut self.engine {
            Engine::None(output) => output.write_all(bytes),
            Engine::Zstd(encoder) => encoder.write_all(bytes),
            Engine::Gzip(pool) => pool.submit(&mut self.block),
        };
        self.has_failed = result.is_err();
        self.filled = 0;
        result
    }

    /// Ends the blob.
    ///
    /// # Errors
    /// Whatever the sink gave.
    pub fn finish(mut self) -> io::Result<Compressed> {
        if self.has_failed {
            return Err(io::Error::other("writing the layer failed before"));
        }
        let rest = self.block.get(..self.filled).unwrap_or_default();
        self.tar.update(rest);
        let mut output = match self.engine {
            Engine::None(mut output) => {
                output.write_all(rest)?;
                output
            }
            Engine::Gzip(pool) => pool.finish(rest)?,
            Engine::Zstd(mut encoder) => {
                encoder.write_all(rest)?;
                encoder.finish()?
            }
        };
        output.flush()?;
        let uncompressed = self.tar.length();
        let diff_id = DiffId(self.tar.finish());
        let (size, digest) = if output.is_hashed {
            (output.hasher.length(), output.hasher.finish())
        } else {
            (uncompressed, diff_id.0.clone())
        };
        Ok(Compressed { diff_id, uncompressed, digest, size })
    }
}

impl<S: Write> Write for Compressing<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let space = self.space()?;
        let count = bytes.len().min(space.len());
        if let (Some(space), Some(bytes)) = (space.get_mut(..count), bytes.get(..count)) {
            space.copy_from_slice(bytes);
        }
        self.advance(count);
        Ok(count)
    }

    /// Does nothing: members are cut by size, never by flushing.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
