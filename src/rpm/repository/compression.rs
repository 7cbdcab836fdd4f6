//! Decompression of metadata, told by its first bytes.
//!
//! What comes in: a reader of the file as it is served. What goes out: a reader of the XML in it. A
//! decoder's memory is bounded here; how much it gives out is bounded by who reads (`xml`).

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};

/// How a metadata file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Plain,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// The .xz format, any number of streams.
    Xz,
    /// bzip2, any number of streams.
    Bzip2,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain XML",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        })
    }
}

/// What the first bytes of a file say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    Metadata(Compression),
    Zchunk,
    Unknown,
}

/// How many bytes [`Beginning::of`] looks at.
const MAGIC: u64 = 8;
/// zstd's own bound for a window, 128 MiB; xz gets the same, so that every preset (up to 64 MiB) fits.
const WINDOW_LOG: u32 = 27;
const XZ_KIB: u32 = 1 << (WINDOW_LOG - 10);
const BUFFER: usize = 64 * 1024;

impl Beginning {
    fn of(bytes: &[u8]) -> Self {
        // RFC 8878, 3.1.2: a skippable frame may come first.
        let is_skippable = matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
        let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
        match bytes {
            [0x1f, 0x8b, ..] => Self::Metadata(Compression::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Metadata(Compression::Zstd),
            _ if is_skippable => Self::Metadata(Compression::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Metadata(Compression::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Metadata(Compression::Bzip2),
            // A file, and a header that travels alone.
            [0, b'Z', b'C', b'K', b'1', ..] | [0, b'Z', b'H', b'R', b'1', ..] => Self::Zchunk,
            _ if text.starts_with(b"<") => Self::Metadata(Compression::Plain),
            _ => Self::Unknown,
        }
    }
}

/// Looks at the beginning of a file; the reader given back still has it.
pub(super) fn peek<'r>(mut reader: impl Read + 'r) -> io::Result<(Beginning, impl Read + 'r)> {
    let mut first = Vec::new();
    reader.by_ref().take(MAGIC).read_to_end(&mut first)?;
    let beginning = Beginning::of(&first);
    Ok((beginning, io::Cursor::new(first).chain(reader)))
}

/// The decompressed bytes.
pub(super) fn decode<'r>(compression: Compression, reader: impl Read + 'r) -> io::Result<Box<dyn BufRead + 'r>> {
    let reader = BufReader::with_capacity(BUFFER, reader);
    Ok(match compression {
        Compression::Plain => Box::new(reader),
        Compression::Gzip => buffered(flate2::bufread::MultiGzDecoder::new(reader)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(WINDOW_LOG)?;
            buffered(decoder)
        }
        Compression::Xz => buffered(lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_KIB)),
        Compression::Bzip2 => buffered(bzip2::bufread::MultiBzDecoder::new(reader)),
    })
}

fn buffered<'r>(decoder: impl Read + 'r) -> Box<dyn BufRead + 'r> {
    Box::new(BufReader::with_capacity(BUFFER, decoder))
}
