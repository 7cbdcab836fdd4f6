//! One gzip member from one block (RFC 1952), deflated by libdeflate or stored.

use libdeflater::{CompressionLvl, Compressor, crc32};

/// Bytes looked at to see whether a block shrinks at all, in four pieces.
const SAMPLE: usize = 64 << 10;
const PIECES: usize = 4;
/// RFC 1951, 3.2.4.
const STORED_MAX: usize = 0xffff;
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Makes gzip members; each thread has its own.
pub(super) struct Members {
    level: CompressionLvl,
    compressor: Compressor,
    /// For a first look only.
    fast: Compressor,
    sample: Vec<u8>,
    scratch: Vec<u8>,
}

impl Members {
    pub(super) fn new(level: CompressionLvl) -> Self {
        let fast = Compressor::new(CompressionLvl::fastest());
        Self { level, compressor: Compressor::new(level), fast, sample: Vec::new(), scratch: Vec::new() }
    }

    /// Another of the same kind.
    pub(super) fn another(&self) -> Self {
        Self::new(self.level)
    }

    /// Puts the member holding `block` at the start of `output` and gives its length; `output` only grows.
    pub(super) fn encode(&mut self, block: &[u8], output: &mut Vec<u8>) -> usize {
        if !self.looks_random(block) {
            let bound = self.compressor.gzip_compress_bound(block.len());
            if output.len() < bound {
                output.resize(bound, 0);
            }
            match self.compressor.gzip_compress(block, output) {
                Ok(length) if length < stored_length(block) => return length,
                Ok(_) | Err(_) => {}
            }
        }
        store(block, output)
    }

    /// Whether a sample does not shrink. A histogram settles it for most data, at a fraction of the cost.
    fn looks_random(&mut self, block: &[u8]) -> bool {
        if block.len() < 2 * SAMPLE {
            return false;
        }
        self.sample.clear();
        for piece in block.chunks(block.len() / PIECES) {
            self.sample.extend(piece.iter().take(SAMPLE / PIECES));
        }
        if !has_flat_histogram(&self.sample) {
            return false;
        }
        let bound = self.fast.deflate_compress_bound(self.sample.len());
        self.scratch.resize(bound, 0);
        let length = self.fast.deflate_compress(&self.sample, &mut self.scratch).unwrap_or(bound);
        length * 100 > self.sample.len() * 98
    }
}

/// Whether all byte values are about as frequent, by the sum of squares: integers only, so that every machine
/// comes to the same answer. Random bytes give 1/256 of the length squared; 1.25 times that still counts.
fn has_flat_histogram(sample: &[u8]) -> bool {
    let mut counts = [0_u64; 256];
    for byte in sample {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let squares: u64 = counts.iter().map(|count| count * count).sum();
    let length = sample.len() as u64;
    squares * 256 * 4 <= length * length * 5
}

fn stored_length(block: &[u8]) -> usize {
    let pieces = block.len().div_ceil(STORED_MAX).max(1);
    HEADER.len() + block.len() + 5 * pieces + 8
}

fn store(block: &[u8], output: &mut Vec<u8>) -> usize {
    let kept = output.len();
    output.clear();
    output.extend_from_slice(&HEADER);
    let last = block.len().div_ceil(STORED_MAX).max(1) - 1;
    let pieces: &mut dyn Iterator<Item = &[u8]> =
        if block.is_empty() { &mut std::iter::once(block) } else { &mut block.chunks(STORED_MAX) };
    for (at, piece) in pieces.enumerate() {
        let length = u16::try_from(piece.len()).unwrap_or(u16::MAX);
        output.push(u8::from(at == last));
        output.extend_from_slice(&length.to_le_bytes());
        output.extend_from_slice(&(!length).to_le_bytes());
        output.extend_from_slice(piece);
    }
    output.extend_from_slice(&crc32(block).to_le_bytes());
    let size = u32::try_from(block.len()).unwrap_or(u32::MAX);
    output.extend_from_slice(&size.to_le_bytes());
    let length = output.len();
    if length < kept {
        output.resize(kept, 0);
    }
    length
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn round_trip(block: &[u8]) -> usize {
        let mut output = Vec::new();
        let length = Members::new(CompressionLvl::default()).encode(block, &mut output);
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(output.get(..length).unwrap()).read_to_end(&mut back).unwrap();
        assert_eq!(back, block);
        length
    }

    /// The same noise everywhere (xorshift64).
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    #[test]
    fn what_does_not_shrink_is_stored() {
        let block = noise(1 << 20);
        assert_eq!(round_trip(&block), stored_length(&block));
        assert!(Members::new(CompressionLvl::default()).looks_random(&block));
        let small = noise(1000);
        assert_eq!(round_trip(&small), stored_length(&small));
    }

    #[test]
    fn text_and_zeros_shrink() {
        assert!(round_trip(&b"the same line again\n".repeat(50_000)) < 10_000);
        assert!(round_trip(&vec![0; 1 << 20]) < 2000);
        assert!(round_trip(&noise(100_000).repeat(10)) < 1_000_100);
    }

    #[test]
    fn nothing_is_a_member_too() {
        assert!(round_trip(b"") > 0);
        let mut output = Vec::new();
        assert_eq!(store(b"", &mut output), stored_length(b""));
    }
}
