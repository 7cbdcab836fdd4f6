//! PAX records (POSIX pax, "pax Header Block"): `length key=value\n`, values being bytes.

use super::sparse::{Extent, MAX_EXTENTS};
use super::{Time, Xattr};

const XATTR: &[u8] = b"SCHILY.xattr.";
const SPARSE: &[u8] = b"GNU.sparse.";

/// The records this program understands; an empty value leaves the header's in force, as in Go.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: Option<Sparse>,
}

/// What `GNU.sparse.*` records say, of formats 0.0, 0.1 and 1.0.
#[derive(Clone, Debug, Default)]
pub(super) struct Sparse {
    pub(super) major: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) extents: Vec<Extent>,
    pending: Option<u64>,
}

impl Records {
    pub(super) fn parse(mut text: &[u8]) -> Result<Self, &'static str> {
        let mut records = Self::default();
        while !text.is_empty() {
            let (key, value, rest) = record(text).ok_or("a malformed PAX record")?;
            records.take(key, value)?;
            text = rest;
        }
        Ok(records)
    }

    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let some = |value: &[u8]| if value.is_empty() { None } else { Some(value.to_vec()) };
        match key {
            b"path" => self.path = some(value),
            b"linkpath" => self.link = some(value),
            b"size" => self.size = optional(value, "the PAX size is not a number")?,
            b"uid" => self.uid = optional(value, "the PAX uid is not a number")?,
            b"gid" => self.gid = optional(value, "the PAX gid is not a number")?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value).ok_or("the PAX mtime is not a time")?),
            key => {
                if let Some(name) = key.strip_prefix(XATTR) {
                    self.take_xattr(name, value)?;
                } else if let Some(key) = key.strip_prefix(SPARSE) {
                    self.sparse.get_or_insert_default().take(key, value)?;
                }
            }
        }
        Ok(())
    }

    fn take_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if name.is_empty() || name.contains(&0) {
            return Err("an extended attribute without a name");
        }
        self.xattrs.retain(|xattr| xattr.name != name);
        self.xattrs.push(Xattr { name: name.to_vec(), value: value.to_vec() });
        Ok(())
    }
}

impl Sparse {
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        const BAD: &str = "a malformed GNU.sparse record";
        match key {
            b"major" => self.major = Some(decimal(value).ok_or(BAD)?),
            b"name" => self.name = Some(value.to_vec()).filter(|name| !name.is_empty() && !name.contains(&0)),
            b"size" | b"realsize" => self.size = Some(decimal(value).ok_or(BAD)?),
            b"offset" => self.pending = Some(decimal(value).ok_or(BAD)?),
            b"numbytes" => {
                let extent = Extent { offset: self.pending.take().ok_or(BAD)?, length: decimal(value).ok_or(BAD)? };
                self.push(extent)?;
            }
            b"map" => self.take_map(value).ok_or(BAD)?,
            _ => {}
        }
        Ok(())
    }

    fn push(&mut self, extent: Extent) -> Result<(), &'static str> {
        self.extents.push(extent);
        if self.extents.len() > MAX_EXTENTS { Err("a sparse file of too many pieces") } else { Ok(()) }
    }

    fn take_map(&mut self, value: &[u8]) -> Option<()> {
        let mut numbers = value.split(|byte| *byte == b',').map(decimal);
        while let Some(offset) = numbers.next() {
            self.push(Extent { offset: offset?, length: numbers.next()?? }).ok()?;
        }
        Some(())
    }
}

/// Key and value of the first record, and what follows it.
fn record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = text.iter().take(20).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(text.get(..blank)?)?).ok()?;
    let body = text.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=').filter(|at| *at > 0)?;
    Some((body.get(..equals)?, body.get(equals + 1..)?, text.get(length..)?))
}

fn optional(value: &[u8], what: &'static str) -> Result<Option<u64>, &'static str> {
    if value.is_empty() { Ok(None) } else { decimal(value).map(Some).ok_or(what) }
}

/// Decimal digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let digit = |value: u64, byte: &u8| match byte {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    };
    if text.is_empty() { None } else { text.iter().try_fold(0, digit) }
}

/// `[-]seconds[.fraction]`; digits past the ninth are cut off.
fn time(text: &[u8]) -> Option<Time> {
    let (is_negative, text) = text.strip_prefix(b"-").map_or((false, text), |rest| (true, rest));
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    let nanoseconds = digits.fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    match (is_negative, nanoseconds) {
        (false, nanoseconds) => Some(Time { seconds, nanoseconds }),
        (true, 0) => Some(Time { seconds: -seconds, nanoseconds }),
        (true, below) => Some(Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - below }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_bytes_with_their_length() {
        let records = Records::parse(b"30 path=with = and \n in it\xff\xfe!!\n11 uid=4294\n").unwrap_err();
        assert_eq!(records, "a malformed PAX record");
        let records = Records::parse(b"17 path=a\n=b\xff\0 c\n13 uid=42949\n8 size=\n").unwrap();
        assert_eq!(records.path.unwrap(), b"a\n=b\xff\0 c");
        assert_eq!((records.uid, records.size), (Some(42_949), None));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for text in [&b"5 a=b\n"[..], b"99 a=b\n", b"6 a=b", b"-6 a=b\n", b"3 =\n", b"18446744073709551616 a=b\n", b"6"]
        {
            assert!(Records::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_keep_their_fraction_and_sign() {
        let check = |text: &str, seconds, nanoseconds| {
            assert_eq!(time(text.as_bytes()), Some(Time { seconds, nanoseconds }), "{text}");
        };
        check("1.5", 1, 500_000_000);
        check("-1.25", -2, 750_000_000);
        check("0.0000000019", 0, 1);
        check("-3", -3, 0);
        assert_eq!(time(b"1e3"), None);
        assert_eq!(time(b"9223372036854775808"), None);
    }
}
