//! Values of options that are neither words nor plain numbers: sizes, durations, truth.

use std::time::Duration;

/// Bytes: a number and b, k, m, g or t, each 1024 times the one before (docker/go-units, RAMInBytes).
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let invalid = || format!("`{text}` is no size: expected a number above 0 and perhaps b, k, m or g");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = lower.strip_prefix(digits).unwrap_or_default();
    let shift = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(invalid()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| invalid())?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0).ok_or_else(invalid)
}

/// A duration as Go writes it: numbers with ns, us, ms, s, m or h, one after the other; `0` alone too.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("`{text}` is no duration: expected something like 2s, 1m30s or 500ms");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, after) = rest.split_at_checked(number_end).ok_or_else(invalid)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(unit_end).ok_or_else(invalid)?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(invalid()),
        };
        let number: f64 = number.parse().map_err(|_| invalid())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| invalid())?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        rest = next;
    }
    if text.is_empty() { Err(invalid()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, expected) in [("1", 1), ("64m", 64 << 20), ("1G", 1 << 30), ("2kb", 2048), ("3MiB", 3 << 20)] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "m", "0", "-1", "1x", "1.5g", "99999999999g"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_in_go() {
        for (text, milliseconds) in [("2s", 2000), ("1m30s", 90_000), ("500ms", 500), ("1.5s", 1500), ("0", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "2", "s", "2x", "1s2", "-1s", "1e400s", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
