//! HEALTHCHECK and its durations.

use std::time::Duration;

use super::flags::{Accepted, Flags, Shape};
use super::{command, count};
use crate::Keyword;
use crate::error::ParseError;
use crate::instruction::{Healthcheck, Kind, Probe};
use crate::tree::Node;

const DURATION: &str = "0 or a duration of at least 1ms, such as 1m30s";

pub(super) fn healthcheck(flags: Flags<'_>, node: &mut Node) -> Result<Kind, ParseError> {
    let known = [
        ("interval", Shape::Text),
        ("timeout", Shape::Text),
        ("start-period", Shape::Text),
        ("start-interval", Shape::Text),
        ("retries", Shape::Text),
    ];
    if node.args.is_empty() {
        return Err(count(Keyword::Healthcheck, "CMD and a command, or NONE", node));
    }
    let kind = node.args.remove(0);
    let mut flags = flags.accept(&known)?;
    match kind.raw.to_uppercase().as_str() {
        "NONE" if node.args.is_empty() => Ok(Kind::Healthcheck(Healthcheck::None)),
        "NONE" => Err(count(Keyword::Healthcheck, "no arguments after NONE", node)),
        "CMD" if node.args.is_empty() => Err(count(Keyword::Healthcheck, "a command after CMD", node)),
        "CMD" => Ok(Kind::Healthcheck(Healthcheck::Probe(Probe {
            interval: duration(&mut flags, "interval")?,
            timeout: duration(&mut flags, "timeout")?,
            start_period: duration(&mut flags, "start-period")?,
            start_interval: duration(&mut flags, "start-interval")?,
            retries: retries(&mut flags)?,
            command: command(node),
        }))),
        _ => Err(ParseError::BadHealthcheck { kind: kind.raw, span: kind.span }),
    }
}

fn duration(flags: &mut Accepted, flag: &'static str) -> Result<Option<Duration>, ParseError> {
    let Some(word) = flags.text(flag) else { return Ok(None) };
    match parse_duration(&word.raw) {
        Some(Duration::ZERO) => Ok(None),
        Some(duration) if duration >= Duration::from_millis(1) => Ok(Some(duration)),
        _ => Err(ParseError::BadFlagValue {
            instruction: Keyword::Healthcheck,
            flag,
            value: word.raw,
            allowed: DURATION,
            span: word.span,
        }),
    }
}

fn retries(flags: &mut Accepted) -> Result<Option<u32>, ParseError> {
    let Some(word) = flags.text("retries") else { return Ok(None) };
    match word.raw.parse::<i32>().ok().and_then(|retries| u32::try_from(retries).ok()) {
        Some(0) => Ok(None),
        Some(retries) => Ok(Some(retries)),
        None => Err(ParseError::BadFlagValue {
            instruction: Keyword::Healthcheck,
            flag: "retries",
            value: word.raw,
            allowed: "a number that is not negative",
            span: word.span,
        }),
    }
}

/// A duration as Go writes them: numbers, perhaps with a fraction, each with its unit; `0` needs none.
///
/// `None` where it is no duration, or is negative. The longest is 2^63 - 1 nanoseconds, which is what the image
/// config can hold.
fn parse_duration(text: &str) -> Option<Duration> {
    let (is_negative, text) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanoseconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (part, after) = quantity(rest)?;
        nanoseconds = nanoseconds.checked_add(part).filter(|sum| i64::try_from(*sum).is_ok())?;
        rest = after;
    }
    let is_valid = !text.is_empty() && (!is_negative || nanoseconds == 0);
    is_valid.then(|| Duration::from_nanos(nanoseconds))
}

/// The first number and unit of `text` in nanoseconds, and what is after them.
fn quantity(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    // The longer units first: `m` is the start of `ms`.
    let units: [(&str, u64); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let (unit, rest) = units.into_iter().find_map(|(name, unit)| Some((unit, rest.strip_prefix(name)?)))?;
    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    Some((whole.checked_mul(unit)?.checked_add(part_of(unit, fraction))?, rest))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The decimal `fraction` of `unit`, rounded down; digits beyond a nanosecond's do not count.
fn part_of(unit: u64, fraction: &str) -> u64 {
    let (mut value, mut scale): (u128, u128) = (0, 1);
    for digit in fraction.bytes().take(18) {
        value = value * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    u64::try_from(u128::from(unit) * value / scale).unwrap_or_default()
}
