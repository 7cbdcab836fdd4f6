//! From the bytes of a row to a checked [`Header`].
//!
//! Every entry is placed before any is read: its type is known, its values lie inside its own part of
//! the data, are aligned, and share no byte with another entry. Work is linear in the blob's length,
//! because the search for a string's end never passes the next entry's beginning.

use super::section::{Entry, Kind};
use super::{Header, HeaderError, MAX_BYTES, MAX_ENTRIES, tag};

/// Bytes of an index entry and of the region's trailer.
const ENTRY_BYTES: usize = 16;
/// Type number of binary data.
const BINARY: u32 = 7;

/// An index entry as stored, big endian.
#[derive(Clone, Copy)]
struct Stored {
    tag: u32,
    kind: u32,
    offset: u32,
    count: u32,
}

impl Stored {
    fn read(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let (words, _) = bytes.as_chunks();
        let [tag, kind, offset, count] = [0, 1, 2, 3].map(|at: usize| word(words, at));
        Self { tag, kind, offset, count }
    }

    /// Whether this is the entry or the trailer of an immutable region.
    fn is_region(&self) -> bool {
        (self.tag, self.kind, self.count) == (tag::HEADER_IMMUTABLE, BINARY, 16)
    }
}

fn word(words: &[[u8; 4]], at: usize) -> u32 {
    words.get(at).map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

pub(super) fn header(blob: &[u8]) -> Result<Header<'_>, HeaderError> {
    let (index, data) = split(blob)?;
    let (stored, _) = index.as_chunks();
    let stored: Vec<Stored> = stored.iter().map(Stored::read).collect();
    let region = Region::find(&stored, data)?;
    let ordinary = stored.get(1..).unwrap_or_default();
    let (signed, added) = ordinary.split_at(region.entries.min(ordinary.len()));
    let trailer = region.bytes - ENTRY_BYTES;
    let header = Header {
        index,
        data,
        region_bytes: region.bytes,
        region: place(signed, data, 0..trailer)?,
        dribbles: place(added, data, region.bytes..data.len())?,
    };
    match header.region.windows(2).find(|pair| matches!(pair, [a, b] if a.tag == b.tag)) {
        Some([first, ..]) => Err(HeaderError::Duplicate { tag: first.tag }),
        Some([]) | None => Ok(header),
    }
}

/// The index and the data of a blob.
fn split(blob: &[u8]) -> Result<(&[u8], &[u8]), HeaderError> {
    let bytes = blob.len();
    if bytes > MAX_BYTES {
        return Err(HeaderError::TooLarge { bytes });
    }
    let (words, _) = blob.get(..8).unwrap_or_default().as_chunks();
    let (entries, data) = (word(words, 0), word(words, 1));
    let wrong = HeaderError::Length { bytes, entries, data };
    let count = usize::try_from(entries).unwrap_or(usize::MAX);
    if bytes < 8 || count == 0 || count > MAX_ENTRIES {
        return Err(wrong);
    }
    let (Some(index), Some(rest)) = (blob.get(8..8 + count * ENTRY_BYTES), blob.get(8 + count * ENTRY_BYTES..)) else {
        return Err(wrong);
    };
    if u32::try_from(rest.len()) == Ok(data) { Ok((index, rest)) } else { Err(wrong) }
}

/// What the region's entry and trailer say.
struct Region {
    /// Entries it spans, itself not counted.
    entries: usize,
    /// Data bytes it spans, trailer included.
    bytes: usize,
}

impl Region {
    fn find(stored: &[Stored], data: &[u8]) -> Result<Self, HeaderError> {
        let first = stored.first().filter(|first| first.is_region());
        let first = first.ok_or(HeaderError::NoRegion)?;
        let at = usize::try_from(first.offset).map_err(|_| HeaderError::Trailer)?;
        let trailer = data.get(at..).and_then(|rest| rest.first_chunk()).map(Stored::read);
        let trailer = trailer.filter(Stored::is_region).ok_or(HeaderError::Trailer)?;
        // The trailer's offset points back from itself to the beginning of its index, in bytes.
        let back = usize::try_from(trailer.offset.wrapping_neg()).map_err(|_| HeaderError::Trailer)?;
        let spanned = back / ENTRY_BYTES;
        if back % ENTRY_BYTES != 0 || spanned == 0 || spanned > stored.len() {
            return Err(HeaderError::Trailer);
        }
        Ok(Self { entries: spanned - 1, bytes: at + ENTRY_BYTES })
    }
}

/// The entries with their values, all inside `part` of the data and apart from each other, by tag.
fn place<'a>(stored: &[Stored], data: &'a [u8], part: std::ops::Range<usize>) -> Result<Vec<Entry<'a>>, HeaderError> {
    if let Some((index, entry)) = stored.iter().enumerate().find(|(_, entry)| entry.tag < tag::FIRST_ORDINARY) {
        return Err(HeaderError::ReservedTag { tag: entry.tag, index });
    }
    let mut ordered = stored.to_vec();
    ordered.sort_by_key(|entry| entry.offset);
    let mut placed = Vec::with_capacity(ordered.len());
    let mut free = part.start;
    for (at, entry) in ordered.iter().enumerate() {
        let next = ordered.get(at + 1).map_or(part.end, |next| offset(next).min(part.end));
        let values = extent(entry, data, free..part.end, next)?;
        free = offset(entry) + values.values.len();
        placed.push(values);
    }
    placed.sort_by_key(|entry| entry.tag);
    Ok(placed)
}

fn offset(entry: &Stored) -> usize {
    usize::try_from(entry.offset).unwrap_or(usize::MAX)
}

/// The values of one entry: they begin inside `allowed` and end at `next` at the latest.
fn extent<'a>(
    stored: &Stored,
    data: &'a [u8],
    allowed: std::ops::Range<usize>,
    next: usize,
) -> Result<Entry<'a>, HeaderError> {
    let &Stored { tag, kind: number, count, .. } = stored;
    let kind = Kind::from_number(number).filter(|kind| count > 0 && (count == 1 || *kind != Kind::String));
    let kind = kind.ok_or(HeaderError::Type { tag, kind: number, count })?;
    let out_of_place = HeaderError::Extent { tag, offset: stored.offset };
    let start = offset(stored);
    if start >= allowed.end || !start.is_multiple_of(kind.width().unwrap_or(1)) {
        return Err(out_of_place);
    }
    if start < allowed.start {
        return Err(HeaderError::Overlap { tag });
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let room = data.get(start..allowed.end).unwrap_or_default();
    let until_next = data.get(start..next.max(start)).unwrap_or_default();
    let length = match kind.width() {
        Some(width) => count.checked_mul(width).filter(|length| *length <= room.len()),
        None => strings_length(until_next, count),
    };
    // Strings that do not end before the next entry begins run into it.
    let length = length.ok_or(if kind.width().is_none() && next < allowed.end {
        HeaderError::Overlap { tag }
    } else {
        out_of_place
    })?;
    match until_next.get(..length) {
        Some(values) => Ok(Entry { tag, kind, values }),
        None => Err(HeaderError::Overlap { tag }),
    }
}

/// Bytes taken by `count` zero-terminated strings at the beginning of `bytes`.
fn strings_length(bytes: &[u8], count: usize) -> Option<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1);
    ends.take(count).enumerate().last().filter(|(ended, _)| ended + 1 == count).map(|(_, end)| end)
}
