//! Single values with rules: durations, sizes, URLs, hosts, paths.

use std::fmt::{self, Debug, Display, Formatter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::error::Fault;
use super::fields::Item;

/// Longest duration, in seconds: 30 days.
const LONGEST: u64 = 30 * 24 * 60 * 60;

/// The URL of a proxy. It may hold a password, so `Debug` and JSON show `***` in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl(String);

impl ProxyUrl {
    /// The URL as it is to be used.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(super) fn read(item: &Item<'_>) -> Result<Self, Fault> {
        let text = item.text_of("an http or https URL").map_err(Fault::undrawn)?;
        let fault = |why: &str| item.fault(why).undrawn();
        check_url(text, UserInfo::Allowed).map_err(fault)?;
        Ok(Self(text.to_owned()))
    }
}

impl Display for ProxyUrl {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&without_login(&self.0))
    }
}

/// `url` with `***` for user and password.
pub(super) fn without_login(url: &str) -> String {
    match url.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
        Some((scheme, rest)) => format!("{scheme}://***@{rest}"),
        None => url.to_owned(),
    }
}

impl Debug for ProxyUrl {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "ProxyUrl({self})")
    }
}

impl Serialize for ProxyUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// `90m`, `1h30m`, `3600s`, or a number of seconds.
pub(super) fn duration(item: &Item<'_>) -> Result<Duration, Fault> {
    const KIND: &str = "a duration such as 90m, 1h30m, 3600s or a number of seconds";
    let seconds = match item.integer() {
        Some(number) => u64::try_from(number).ok(),
        None => seconds(item.any_text(KIND)?),
    };
    let seconds = seconds.ok_or_else(|| item.expected(KIND))?;
    if seconds == 0 {
        return Err(item.fault("a duration of nothing; take the key out for no limit"));
    }
    if seconds > LONGEST {
        return Err(item.fault("longer than 30 days; take the key out for no limit"));
    }
    Ok(Duration::from_secs(seconds))
}

/// The sum of numbers with units, each unit once and the larger before the smaller.
fn seconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum: u64 = 0;
    for (unit, factor) in [('d', 86_400), ('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, behind)) = rest.split_once(unit) {
            sum = sum.checked_add(digits(number)?.checked_mul(factor)?)?;
            rest = behind;
        }
    }
    if text.is_empty() {
        None
    } else if rest == text {
        digits(text)
    } else {
        rest.is_empty().then_some(sum)
    }
}

fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// A number of bytes, or one with `KiB`, `MiB`, `GiB` or `TiB`.
pub(super) fn size(item: &Item<'_>) -> Result<u64, Fault> {
    const KIND: &str = "a size such as 512MiB, 4GiB or a number of bytes";
    if item.integer().is_some() {
        return item.whole();
    }
    let text = item.any_text(KIND)?;
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1_u64 << 40)];
    let parsed = units.iter().find_map(|(unit, factor)| {
        let number = text.strip_suffix(unit)?.trim_end();
        digits(number)?.checked_mul(*factor)
    });
    parsed.or_else(|| digits(text)).ok_or_else(|| item.expected(KIND))
}

/// A path; a relative one starts at `base`.
pub(super) fn path(item: &Item<'_>, base: &Path) -> Result<PathBuf, Fault> {
    Ok(base.join(item.text_of("a path")?))
}

/// `host` or `host:port`, as in the network location of a URL.
pub(super) fn domain(item: &Item<'_>) -> Result<String, Fault> {
    let text = item.text_of("a host or host:port")?;
    if is_host_port(text) { Ok(text.to_owned()) } else { Err(item.expected("a host or host:port")) }
}

/// `host`, `host:port`, either with a path behind it.
pub(super) fn domain_path(item: &Item<'_>) -> Result<String, Fault> {
    let text = item.text_of("a host with or without a path")?;
    let host = text.split('/').next().unwrap_or_default();
    let is_right = is_host_port(host) && !text.contains(char::is_whitespace);
    if is_right { Ok(text.to_owned()) } else { Err(item.expected("a host with or without a path")) }
}

/// The shape of a host rule: `host`, `*.domain`, `*`, each with `:port` or `:*` or neither. `gateway` has the rules.
pub(super) fn host_rule(item: &Item<'_>) -> Result<String, Fault> {
    const KIND: &str = "a host such as example.org, *.example.org or example.org:8443";
    let text = item.text_of(KIND)?;
    let host = text.strip_suffix(":*").unwrap_or(text);
    let host = host.strip_prefix("*.").unwrap_or(host);
    let is_any = host == "*" || host.strip_prefix("*:").is_some_and(is_port);
    if is_any || is_host_port(host) { Ok(text.to_owned()) } else { Err(item.expected(KIND)) }
}

/// An http or https URL without user and password.
pub(super) fn url(item: &Item<'_>) -> Result<String, Fault> {
    let text = item.text_of("an http or https URL")?;
    check_url(text, UserInfo::Refused).map_err(|why| {
        let fault = item.fault(why);
        if text.contains('@') { fault.undrawn() } else { fault }
    })?;
    Ok(text.to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum UserInfo {
    Allowed,
    Refused,
}

fn check_url(text: &str, user_info: UserInfo) -> Result<(), &'static str> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or("expected an http or https URL")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = match authority.rsplit_once('@') {
        Some(_) if user_info == UserInfo::Refused => {
            return Err("a URL with a user name or password; put them into a file and name it in network.credentials");
        }
        Some((_, host)) => host,
        None => authority,
    };
    if !is_host_port(host) {
        return Err("the URL has no valid host");
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a URL has no blanks");
    }
    Ok(())
}

/// Whether `text` is a host name, an address, or one of these with a port.
pub(super) fn is_host_port(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
            return rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        }
        Some(_) => return false,
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= 253 && host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    digits(text).is_some_and(|port| (1..=65_535).contains(&port))
}
