//! Paths of URLs: what is refused in them, and what they name.

/// Refuses dot segments, plain or encoded, and encoded characters that servers take for others.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(path: &str) -> Result<(), &'static str> {
    if !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err("it has characters that must be percent-encoded");
    }
    for segment in path.split('/') {
        let decoded = decode_bytes(segment).ok_or("it has a malformed percent-encoding")?;
        if decoded == b"." || decoded == b".." {
            return Err("it has a dot segment");
        }
        if decoded.iter().any(|byte| matches!(byte, b'/' | b'\\') || byte.is_ascii_control()) {
            return Err("it has an encoded slash or control character");
        }
    }
    Ok(())
}

/// `text` with its percent-encodings taken back; as it is where they are malformed.
pub(crate) fn decode(text: &str) -> String {
    match decode_bytes(text).map(String::from_utf8) {
        Some(Ok(decoded)) => decoded,
        Some(Err(_)) | None => text.to_owned(),
    }
}

fn decode_bytes(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        if !code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_climbs_or_hides_is_refused() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/a/%2e%2E/b",
            "/.%2e",
            "/a%2fb",
            "/a%5Cb",
            "/a\\b",
            "/a%00",
            "/a%0a",
            "/a%",
            "/a%zz",
            "/a b",
            "/a/..",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
        for path in ["/a/b.c/..d/x%20y", "/a//b", "/...", "", "/%C3%A4"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn a_percent_encoding_is_taken_back() {
        assert_eq!(decode("a%2Bb%20c"), "a+b c");
        assert_eq!(decode("100%"), "100%");
    }
}
