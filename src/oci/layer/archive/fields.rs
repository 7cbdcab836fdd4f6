//! The fields of a tar header.

use super::Kind;

/// What an entry of this type flag is, `None` if layers have no such entries.
pub(super) fn kind(flag: u8) -> Option<Kind> {
    match flag {
        b'0' | 0 | b'7' | b'S' => Some(Kind::Regular),
        b'1' => Some(Kind::HardLink),
        b'2' => Some(Kind::Symlink),
        b'3' => Some(Kind::Character),
        b'4' => Some(Kind::Block),
        b'5' => Some(Kind::Directory),
        b'6' => Some(Kind::Fifo),
        _ => None,
    }
}

/// A name in a header field.
pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// A number in a header field: octal digits between blanks and NULs, or base 256, possibly negative.
/// An empty field is 0. `None` if it is neither or does not fit.
pub(super) fn number(field: &[u8]) -> Option<i64> {
    match field.split_first() {
        Some((first, rest)) if first & 0x80 != 0 => base_256(*first, rest),
        Some(_) | None => {
            let text = until_nul(field.trim_ascii_start());
            let text = text.trim_ascii();
            let digit = |value: i64, byte: &u8| match byte {
                b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(byte - b'0')),
                _ => None,
            };
            text.iter().try_fold(0, digit)
        }
    }
}

fn base_256(first: u8, rest: &[u8]) -> Option<i64> {
    let is_negative = first & 0x40 != 0;
    // Two's complement of the field's width, of which the top bit only marks the encoding.
    let top = i64::from(first & 0x7f) - if is_negative { 0x80 } else { 0 };
    rest.iter().try_fold(top, |value, byte| value.checked_mul(256)?.checked_add(i64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"  644 \0\0"), Some(0o644));
        assert_eq!(number(b"\0\0\0"), Some(0));
        assert_eq!(number(b"648"), None);
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]), Some(-2));
        assert_eq!(number(&[0xff; 12]), Some(-1));
    }
}
