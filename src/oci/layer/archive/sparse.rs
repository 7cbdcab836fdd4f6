//! Files with holes: the maps of GNU tar's old format and of the PAX formats 0.0, 0.1 and 1.0.

use std::collections::VecDeque;

use tar::GnuSparseHeader;

use super::fields::number;
use super::{Segment, pax};

/// Pieces in the most scattered file read.
pub(super) const MAX_EXTENTS: usize = 1 << 18;

const TOO_MANY: &str = "a sparse file of too many pieces";

/// A piece of a sparse file that is not a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Adds the used entries of an old-style map; `true` if an unused one ended it.
pub(super) fn old_extents(map: &[GnuSparseHeader], extents: &mut Vec<Extent>) -> Result<bool, &'static str> {
    for entry in map {
        if entry.offset[0] == 0 || entry.numbytes[0] == 0 {
            return Ok(true);
        }
        let value = |field: &[u8]| number(field).and_then(|value| u64::try_from(value).ok());
        let (offset, length) = (value(&entry.offset), value(&entry.numbytes));
        let (offset, length) = offset.zip(length).ok_or("the map of a sparse file is malformed")?;
        extents.push(Extent { offset, length });
        if extents.len() > MAX_EXTENTS {
            return Err(TOO_MANY);
        }
    }
    Ok(false)
}

/// How to put a file together from `stored` bytes.
pub(super) fn segments(extents: &[Extent], stored: u64, size: u64) -> Result<VecDeque<Segment>, &'static str> {
    let mut segments = VecDeque::new();
    let (mut at, mut left) = (0_u64, stored);
    for extent in extents {
        let hole = extent.offset.checked_sub(at).ok_or("the pieces of a sparse file overlap")?;
        if hole > 0 {
            segments.push_back(Segment::Hole(hole));
        }
        left = left.checked_sub(extent.length).ok_or("a sparse file has less content than its map says")?;
        segments.push_back(Segment::Bytes(extent.length));
        at = extent.offset.checked_add(extent.length).ok_or("a sparse file is larger than any file")?;
    }
    match size.checked_sub(at) {
        Some(0) => {}
        Some(hole) => segments.push_back(Segment::Hole(hole)),
        None => return Err("a sparse file is larger than it says"),
    }
    if left == 0 { Ok(segments) } else { Err("a sparse file has more content than its map says") }
}

/// The map of format 1.0: decimal numbers, one a line; first how many pairs follow.
#[derive(Debug, Default)]
pub(super) struct EmbeddedMap {
    count: Option<usize>,
    offset: Option<u64>,
    digits: Vec<u8>,
    extents: Vec<Extent>,
}

impl EmbeddedMap {
    pub(super) fn is_complete(&self) -> bool {
        self.count == Some(self.extents.len())
    }

    pub(super) fn add(&mut self, block: &[u8]) -> Result<(), &'static str> {
        for byte in block {
            if self.is_complete() {
                return Ok(());
            }
            match byte {
                b'\n' => {
                    let line = std::mem::take(&mut self.digits);
                    let number = pax::decimal(&line).ok_or("the map of a sparse file is malformed")?;
                    self.take(number)?;
                }
                digit if self.digits.len() < 20 => self.digits.push(*digit),
                _ => return Err("the map of a sparse file is malformed"),
            }
        }
        Ok(())
    }

    fn take(&mut self, number: u64) -> Result<(), &'static str> {
        match (self.count, self.offset.take()) {
            (None, _) => self.count = Some(usize::try_from(number).ok().filter(|n| *n <= MAX_EXTENTS).ok_or(TOO_MANY)?),
            (Some(_), None) => self.offset = Some(number),
            (Some(_), Some(offset)) => self.extents.push(Extent { offset, length: number }),
        }
        Ok(())
    }

    pub(super) fn into_extents(self) -> Vec<Extent> {
        self.extents
    }
}
