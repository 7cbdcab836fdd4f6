//! What an archive is packed with, and unpacking that: by the first bytes, within bounds of memory and size.

use std::cell::Cell;
use std::fmt::{self, Display, Formatter};
use std::io::{self, BufReader, Read};

use oci::layer::starts_tar;

/// Bytes that tell what a file is: one tar header.
pub(super) const HEAD: usize = 512;
/// zstd's own bound for a window, 128 MiB; xz gets the same, which every preset (up to 64 MiB) fits.
const WINDOW_LOG: u32 = 27;
const XZ_KIB: u32 = 1 << (WINDOW_LOG - 10);
const BUFFER: usize = 256 << 10;

/// The forms an archive travels in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// A tar as it is.
    Tar,
    /// RFC 1952, any number of members.
    Gzip,
    /// bzip2, any number of streams.
    Bzip2,
    /// The .xz format, any number of streams.
    Xz,
    /// RFC 8878, any number of frames.
    Zstd,
}

impl Display for Packing {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tar => "tar",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// What the first 512 bytes of a file say it is; what is compressed need not be a tar ([`super::is_archive`]).
#[must_use]
pub fn detect(start: &[u8]) -> Option<Packing> {
    match start {
        [0x1f, 0x8b, ..] => Some(Packing::Gzip),
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Packing::Bzip2),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Packing::Xz),
        // The second is a skippable frame (RFC 8878, 3.1.2), which may come first.
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Packing::Zstd),
        _ => starts_tar(start).then_some(Packing::Tar),
    }
}

/// What a file that is no archive seems to be, in words.
pub(super) fn described(packing: Option<Packing>, start: &[u8]) -> String {
    let text = start.trim_ascii_start();
    let is_markup = text.first_chunk().is_some_and(|tag: &[u8; 5]| {
        let tag = tag.to_ascii_lowercase();
        tag == *b"<html" || tag == *b"<!doc" || tag == *b"<?xml"
    });
    match packing {
        Some(packing) if packing != Packing::Tar => format!("compressed with {packing}, but there is no tar in it"),
        _ if is_markup => "a web page".to_owned(),
        _ if start.is_empty() => "empty".to_owned(),
        _ if std::str::from_utf8(start).is_ok() => "text".to_owned(),
        _ => "no archive".to_owned(),
    }
}

/// The first bytes, fewer only if there are no more.
pub(super) fn peek(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(HEAD);
    reader.take(HEAD as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// The unpacked bytes.
pub(super) fn decoder<'r>(packing: Packing, reader: impl Read + 'r) -> io::Result<Box<dyn Read + 'r>> {
    let reader = BufReader::with_capacity(BUFFER, reader);
    let decoder: Box<dyn Read + 'r> = match packing {
        Packing::Tar => return Ok(Box::new(reader)),
        Packing::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Packing::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(reader)),
        Packing::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(reader, true, XZ_KIB)),
        Packing::Zstd => {
            let mut decoder = zstd::Decoder::with_buffer(reader)?;
            decoder.window_log_max(WINDOW_LOG)?;
            Box::new(decoder)
        }
    };
    Ok(Box::new(Explained { decoder, packing }))
}

/// A decoder whose errors say what they are about: some libraries say as little as "corrupted".
struct Explained<R> {
    decoder: R,
    packing: Packing,
}

impl<R: Read> Read for Explained<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(into).map_err(|error| {
            let kind = error.kind();
            if kind == io::ErrorKind::Interrupted {
                return error;
            }
            let what = if kind == io::ErrorKind::UnexpectedEof {
                "ends in the middle: the file is incomplete".to_owned()
            } else {
                format!("is damaged: {error}")
            };
            io::Error::new(kind, format!("the {} data {what}", self.packing))
        })
    }
}

/// A reader that fails past a limit.
pub(super) struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
}

impl<R> Limited<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Self { inner, left: limit, limit }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(format!("it unpacks to more than {} bytes", self.limit))),
        }
        Ok(count)
    }
}

/// A reader whose own failure is kept apart from those of what reads through it.
pub(super) struct Watched<'c, R> {
    pub(super) inner: R,
    pub(super) failed: &'c Cell<Option<io::Error>>,
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.inner.read(into).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                let copy = match error.raw_os_error() {
                    Some(code) => io::Error::from_raw_os_error(code),
                    None => io::Error::new(error.kind(), error.to_string()),
                };
                self.failed.set(Some(copy));
            }
        })
    }
}
