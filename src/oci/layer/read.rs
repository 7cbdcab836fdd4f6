//! Layer blobs as streams: decompressed, hashed on the way, limited.
//!
//! Comes in: the bytes of a blob. Goes out: its tar, and after the end both digests and sizes. It never trusts a
//! media type over the bytes, and compares nothing unless asked.

use std::io::{self, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::Limits;
use crate::digest::{Algorithm, Hasher};
use crate::manifest::Compression;
use crate::{Descriptor, DiffId, Digest};

const BUFFER: usize = 256 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The tar in a compressed layer; made by [`decompressor`].
pub struct Decompressor<R: Read> {
    kind: Kind<Source<R>>,
}

type Source<R> = BufReader<Whole<R>>;

/// A stream whose first bytes were looked at.
pub type Whole<R> = Chain<Cursor<Vec<u8>>, R>;

enum Kind<S: io::BufRead> {
    None(S),
    Gzip(Box<MultiGzDecoder<S>>),
    Zstd(Box<zstd::Decoder<'static, S>>),
}

/// The tar in `bytes`. The magic number decides if it contradicts `compression`.
///
/// gzip may have several members and zstd several frames (also skippable ones).
///
/// # Errors
/// Whatever reading the first bytes gives.
pub fn decompressor<R: Read>(compression: Compression, bytes: R) -> io::Result<Decompressor<R>> {
    let (found, bytes) = compression_of(bytes)?;
    if found != compression && !bytes.get_ref().0.get_ref().is_empty() {
        tracing::warn!(said = ?compression, ?found, "the layer is not compressed as its media type says");
    }
    let source = BufReader::with_capacity(BUFFER, bytes);
    let kind = match found {
        Compression::None => Kind::None(source),
        Compression::Gzip => Kind::Gzip(Box::new(MultiGzDecoder::new(source))),
        Compression::Zstd => Kind::Zstd(Box::new(zstd::Decoder::with_buffer(source)?)),
    };
    Ok(Decompressor { kind })
}

/// How `bytes` are compressed, by their magic number, and all of them again.
///
/// # Errors
/// Whatever reading the first bytes gives.
pub fn compression_of<R: Read>(mut bytes: R) -> io::Result<(Compression, Whole<R>)> {
    let mut head = Vec::with_capacity(ZSTD_MAGIC.len());
    bytes.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut head)?;
    let found = sniff(&head);
    Ok((found, Cursor::new(head).chain(bytes)))
}

fn sniff(head: &[u8]) -> Compression {
    // RFC 8878, 3.1.2: skippable frames, which zstd files may start with.
    let is_skippable = matches!(head, [low, 0x2a, 0x4d, 0x18] if low & 0xf0 == 0x50);
    if head.starts_with(&GZIP_MAGIC) {
        Compression::Gzip
    } else if head.starts_with(&ZSTD_MAGIC) || is_skippable {
        Compression::Zstd
    } else {
        Compression::None
    }
}

impl<R: Read> std::fmt::Debug for Decompressor<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

impl<R: Read> Decompressor<R> {
    /// The source, with all that was read from it taken out.
    fn into_source(self) -> R {
        let source = match self.kind {
            Kind::None(source) => source,
            Kind::Gzip(decoder) => decoder.into_inner(),
            Kind::Zstd(decoder) => decoder.finish(),
        };
        source.into_inner().into_inner().1
    }
}

impl<R: Read> Read for Decompressor<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.kind {
            Kind::None(source) => source.read(into),
            Kind::Gzip(decoder) => decoder.read(into),
            Kind::Zstd(decoder) => decoder.read(into),
        }
    }
}

/// Reads and hashes.
struct Tee<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.hasher.update(into.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// The tar of a layer, hashed before and after decompression while it is read.
///
/// Nothing read from it is to be trusted before [`Sums::check`] has passed.
pub struct LayerReader<R: Read> {
    tar: Tee<Decompressor<Tee<R>>>,
    limit: u64,
}

impl<R: Read> std::fmt::Debug for LayerReader<R> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LayerReader").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// What a layer turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Of the blob, with the algorithm of the descriptor.
    pub digest: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Of the tar, SHA-256 unless the config says otherwise.
    pub diff_id: DiffId,
    /// Bytes of the tar.
    pub uncompressed: u64,
}

/// A layer that is not what its manifest or config says.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// Other bytes than the descriptor says.
    #[error("the layer {expected} has the digest {found}: it was damaged or exchanged on the way")]
    Digest {
        /// What the descriptor says.
        expected: Digest,
        /// What was read.
        found: Digest,
    },
    /// More or fewer bytes than the descriptor says.
    #[error("the layer {digest} should have {expected} bytes and has {found}")]
    Size {
        /// The layer.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// What was read.
        found: u64,
    },
    /// The right blob, but the config names another tar.
    #[error("the layer {digest} unpacks to {found}, but the image config says {expected}")]
    DiffId {
        /// The layer.
        digest: Digest,
        /// What the config says.
        expected: DiffId,
        /// What was read.
        found: DiffId,
    },
}

impl<R: Read> LayerReader<R> {
    /// Starts reading the layer `descriptor` from `bytes`; `diff_id` only chooses the hash function.
    ///
    /// # Errors
    /// Whatever reading the first bytes gives.
    pub fn new(descriptor: &Descriptor, diff_id: Option<&DiffId>, limits: &Limits, bytes: R) -> io::Result<Self> {
        let compression = descriptor.compression().unwrap_or(Compression::None);
        let blob = Tee { inner: bytes, hasher: Hasher::new(descriptor.digest.algorithm()) };
        let algorithm = diff_id.map_or(Algorithm::Sha256, |diff_id| diff_id.0.algorithm());
        let tar = Tee { inner: decompressor(compression, blob)?, hasher: Hasher::new(algorithm) };
        Ok(Self { tar, limit: limits.unpacked_bytes })
    }

    /// Reads what is left of tar and blob and gives the sums.
    ///
    /// # Errors
    /// Whatever reading or decompressing gives, and the limit on the tar's size.
    pub fn finish(mut self) -> io::Result<Sums> {
        drain(&mut self)?;
        let Tee { inner, hasher } = self.tar;
        let (uncompressed, diff_id) = (hasher.length(), DiffId(hasher.finish()));
        let mut blob = inner.into_source();
        drain(&mut blob)?;
        let size = blob.hasher.length();
        Ok(Sums { digest: blob.hasher.finish(), size, diff_id, uncompressed })
    }
}

fn drain(reader: &mut impl Read) -> io::Result<()> {
    let mut rest = vec![0; BUFFER];
    loop {
        match reader.read(&mut rest) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl<R: Read> Read for LayerReader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.tar.read(into)?;
        if self.tar.hasher.length() > self.limit {
            return Err(io::Error::other(format!("the layer unpacks to more than the {} bytes allowed", self.limit)));
        }
        Ok(count)
    }
}

impl Sums {
    /// Whether this is the layer the manifest and the config speak of.
    ///
    /// # Errors
    /// [`Mismatch`], the blob's digest first.
    pub fn check(&self, descriptor: &Descriptor, diff_id: Option<&DiffId>) -> Result<(), Mismatch> {
        let digest = || descriptor.digest.clone();
        if self.size != descriptor.size {
            return Err(Mismatch::Size { digest: digest(), expected: descriptor.size, found: self.size });
        }
        if self.digest != descriptor.digest {
            return Err(Mismatch::Digest { expected: digest(), found: self.digest.clone() });
        }
        match diff_id.filter(|expected| **expected != self.diff_id) {
            Some(expected) => {
                Err(Mismatch::DiffId { digest: digest(), expected: expected.clone(), found: self.diff_id.clone() })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::manifest::media_type;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn sums(media_type: &str, blob: &[u8]) -> io::Result<(Descriptor, Sums)> {
        let descriptor = Descriptor::new(media_type, Digest::of(blob), blob.len() as u64);
        let limits = Limits { unpacked_bytes: 1 << 20, ..Limits::default() };
        let mut reader = LayerReader::new(&descriptor, None, &limits, blob)?;
        reader.read_exact(&mut [0; 3])?;
        Ok((descriptor, reader.finish()?))
    }

    #[track_caller]
    fn check(media_type: &str, blob: &[u8], tar: &[u8]) {
        let (descriptor, sums) = sums(media_type, blob).unwrap();
        assert_eq!((sums.diff_id.0.clone(), sums.uncompressed), (Digest::of(tar), tar.len() as u64));
        sums.check(&descriptor, Some(&DiffId(Digest::of(tar)))).unwrap();
        let other = DiffId(Digest::of(b"other"));
        assert!(matches!(sums.check(&descriptor, Some(&other)), Err(Mismatch::DiffId { .. })));
    }

    #[test]
    fn all_members_of_a_gzip_and_all_frames_of_a_zstd_are_read() {
        check(media_type::OCI_LAYER_GZIP, &[gzip(b"abc"), gzip(b""), gzip(b"def")].concat(), b"abcdef");
        let frame = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, b'h', b'i'];
        check(media_type::OCI_LAYER_ZSTD, &[frame(b"abc"), frame(b"def"), skippable.to_vec()].concat(), b"abcdef");
        check(media_type::OCI_LAYER_ZSTD, &[skippable.to_vec(), frame(b"abcd")].concat(), b"abcd");
    }

    #[test]
    fn the_magic_number_is_believed_over_the_media_type() {
        check(media_type::OCI_LAYER, &gzip(b"abc"), b"abc");
        check(media_type::DOCKER_LAYER_GZIP, b"plain", b"plain");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let error = sums(media_type::OCI_LAYER_GZIP, &gzip(&vec![0; 2 << 20])).unwrap_err().to_string();
        assert_eq!(error, "the layer unpacks to more than the 1048576 bytes allowed");
    }

    #[test]
    fn a_blob_that_is_longer_than_its_descriptor_is_noticed() {
        let (mut descriptor, sums) = sums(media_type::OCI_LAYER, b"abcdef").unwrap();
        descriptor.size = 5;
        let error = sums.check(&descriptor, None).unwrap_err().to_string();
        assert!(error.ends_with("should have 5 bytes and has 6"), "{error}");
    }

    #[test]
    fn a_gzip_that_is_cut_short_is_an_error() {
        let blob = gzip(&[b'x'; 5000]);
        assert!(sums(media_type::OCI_LAYER_GZIP, blob.get(..blob.len() - 3).unwrap()).is_err());
    }
}
