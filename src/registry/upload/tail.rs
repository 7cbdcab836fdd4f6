//! The last bytes of an upload, kept until it is clear that nobody needs them again.

use std::collections::VecDeque;

use http::Bytes;

/// Bytes with their place in the blob.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pieces: VecDeque<Bytes>,
    start: u64,
    end: u64,
}

impl Tail {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.end += piece.len() as u64;
            self.pieces.push_back(piece);
        }
    }

    /// Where the next byte of the blob goes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Whether everything from the first byte of the blob on is still here.
    pub(crate) fn is_whole(&self) -> bool {
        self.start == 0
    }

    /// Whether an upload that has `offset` bytes can be continued from here.
    pub(crate) fn reaches(&self, offset: u64) -> bool {
        (self.start..=self.end).contains(&offset)
    }

    /// The bytes at `offset`, up to the end of their piece; `None` at the end.
    pub(crate) fn at(&self, offset: u64) -> Option<Bytes> {
        let mut start = self.start;
        for piece in &self.pieces {
            let skipped = usize::try_from(offset.checked_sub(start)?).ok()?;
            if skipped < piece.len() {
                return Some(piece.slice(skipped..));
            }
            start += piece.len() as u64;
        }
        None
    }

    /// Everything from `offset` on, which is not here afterwards.
    pub(crate) fn take(&mut self, offset: u64) -> Vec<u8> {
        let mut taken = Vec::new();
        while let Some(piece) = self.at(offset + taken.len() as u64) {
            taken.extend_from_slice(&piece);
        }
        let mut kept = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        for piece in &mut self.pieces {
            piece.truncate(kept);
            kept -= piece.len();
        }
        self.pieces.retain(|piece| !piece.is_empty());
        self.end -= taken.len() as u64;
        taken
    }

    /// Lets go of what lies before `offset`, except for the last `window` bytes of everything.
    pub(crate) fn forget(&mut self, offset: u64, window: u64) {
        while let Some(first) = self.pieces.front() {
            let start = self.start + first.len() as u64;
            if start > offset || self.end - start < window {
                return;
            }
            self.start = start;
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(pieces: &[&'static [u8]]) -> Tail {
        let mut tail = Tail::default();
        pieces.iter().for_each(|piece| tail.push(Bytes::from_static(piece)));
        tail
    }

    #[test]
    fn bytes_are_found_by_their_offset() {
        let tail = tail(&[b"abc", b"", b"de"]);
        let at = |offset| tail.at(offset).map(|bytes| bytes.to_vec());
        assert_eq!((at(0), at(2), at(3)), (Some(b"abc".to_vec()), Some(b"c".to_vec()), Some(b"de".to_vec())));
        assert_eq!((at(5), tail.end(), tail.reaches(5), tail.reaches(6)), (None, 5, true, false));
    }

    #[test]
    fn what_is_taken_is_gone() {
        let mut tail = tail(&[b"abc", b"de"]);
        assert_eq!((tail.take(2), tail.end(), tail.at(0)), (b"cde".to_vec(), 2, Some(Bytes::from_static(b"ab"))));
        tail.push(Bytes::from_static(b"x"));
        assert_eq!((tail.at(2), tail.take(0)), (Some(Bytes::from_static(b"x")), b"abx".to_vec()));
    }

    #[test]
    fn a_window_stays_and_what_was_not_sent_stays() {
        let mut tail = Tail::default();
        let piece = Bytes::from(vec![0; 1 << 20]);
        (0..20).for_each(|_| tail.push(piece.clone()));
        tail.forget(0, 8 << 20);
        assert!(tail.is_whole());
        tail.forget(20 << 20, 8 << 20);
        assert!(tail.reaches(12 << 20) && !tail.reaches((12 << 20) - 1));
        assert!(tail.at(0).is_none());
    }
}
