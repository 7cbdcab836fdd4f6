//! Typed reading of the entries of one part of a header.
//!
//! What comes in: entries whose extents were checked. What goes out: values, or `None` where the tag is
//! absent or of another type; a reader never converts between types, because rpm does not either.

use std::borrow::Cow;

/// One index entry and its checked values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) tag: u32,
    pub(super) kind: Kind,
    /// Exactly the bytes of the values; strings with their terminating zero bytes.
    pub(super) values: &'a [u8],
}

/// Types of values (rpm, `rpmTagType`), by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Char,
    Int8,
    Int16,
    Int32,
    Int64,
    String,
    Binary,
    StringArray,
    I18nString,
}

impl Kind {
    pub(super) fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Char,
            2 => Self::Int8,
            3 => Self::Int16,
            4 => Self::Int32,
            5 => Self::Int64,
            6 => Self::String,
            7 => Self::Binary,
            8 => Self::StringArray,
            9 => Self::I18nString,
            _ => return None,
        })
    }

    /// Bytes of one value, which is also its alignment; `None` for strings.
    pub(super) fn width(self) -> Option<usize> {
        match self {
            Self::Char | Self::Int8 | Self::Binary => Some(1),
            Self::Int16 => Some(2),
            Self::Int32 => Some(4),
            Self::Int64 => Some(8),
            Self::String | Self::StringArray | Self::I18nString => None,
        }
    }
}

/// Entries of one part of a header, region or dribbles, by tag.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// Sorted by tag.
    entries: &'a [Entry<'a>],
}

impl<'a> Section<'a> {
    pub(super) fn new(entries: &'a [Entry<'a>]) -> Self {
        Self { entries }
    }

    /// Whether the tag is there, with whatever type.
    #[must_use]
    pub fn has(&self, tag: u32) -> bool {
        self.entry(tag).is_some()
    }

    /// The tags, in ascending order.
    pub fn tags(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.entries.iter().map(|entry| entry.tag)
    }

    /// A string, or the first value of a translated one. What is not UTF-8 is replaced, so this is for
    /// showing, not for comparing.
    #[must_use]
    pub fn string(&self, tag: u32) -> Option<Cow<'a, str>> {
        self.raw_string(tag).map(String::from_utf8_lossy)
    }

    /// The bytes of a string, or of the first value of a translated one, without the ending zero.
    #[must_use]
    pub fn raw_string(&self, tag: u32) -> Option<&'a [u8]> {
        let entry = self.entry(tag)?;
        match entry.kind {
            Kind::String | Kind::I18nString => split_strings(entry.values).next(),
            Kind::Char | Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 | Kind::Binary | Kind::StringArray => {
                None
            }
        }
    }

    /// The values of a string array, as bytes without the ending zeros.
    #[must_use]
    pub fn strings(&self, tag: u32) -> Option<Vec<&'a [u8]>> {
        Some(split_strings(self.values(tag, Kind::StringArray)?).collect())
    }

    /// Binary data.
    #[must_use]
    pub fn binary(&self, tag: u32) -> Option<&'a [u8]> {
        self.values(tag, Kind::Binary)
    }

    /// 8-bit integers (file states, for example).
    #[must_use]
    pub fn u8s(&self, tag: u32) -> Option<&'a [u8]> {
        self.values(tag, Kind::Int8).or_else(|| self.values(tag, Kind::Char))
    }

    /// 16-bit integers.
    #[must_use]
    pub fn u16s(&self, tag: u32) -> Option<Vec<u16>> {
        let (values, _) = self.values(tag, Kind::Int16)?.as_chunks();
        Some(values.iter().map(|value| u16::from_be_bytes(*value)).collect())
    }

    /// 32-bit integers.
    #[must_use]
    pub fn u32s(&self, tag: u32) -> Option<Vec<u32>> {
        let (values, _) = self.values(tag, Kind::Int32)?.as_chunks();
        Some(values.iter().map(|value| u32::from_be_bytes(*value)).collect())
    }

    /// 64-bit integers.
    #[must_use]
    pub fn u64s(&self, tag: u32) -> Option<Vec<u64>> {
        let (values, _) = self.values(tag, Kind::Int64)?.as_chunks();
        Some(values.iter().map(|value| u64::from_be_bytes(*value)).collect())
    }

    /// The first 32-bit integer.
    #[must_use]
    pub fn u32(&self, tag: u32) -> Option<u32> {
        let (values, _) = self.values(tag, Kind::Int32)?.as_chunks();
        values.first().map(|value| u32::from_be_bytes(*value))
    }

    fn values(&self, tag: u32, kind: Kind) -> Option<&'a [u8]> {
        self.entry(tag).filter(|entry| entry.kind == kind).map(|entry| entry.values)
    }

    /// The first entry of that tag.
    fn entry(&self, tag: u32) -> Option<&'a Entry<'a>> {
        let at = self.entries.partition_point(|entry| entry.tag < tag);
        self.entries.get(at).filter(|entry| entry.tag == tag)
    }
}

/// Zero-terminated strings; the last one's zero was checked to be there.
fn split_strings(values: &[u8]) -> impl Iterator<Item = &[u8]> {
    values.split_inclusive(|byte| *byte == 0).map(|value| value.strip_suffix(&[0]).unwrap_or(value))
}
