//! Which hosts may be reached.
//!
//! Comes in: rules as a site writes them. Goes out: yes or no for a host and a port. Names are compared as ASCII
//! without case; an internationalised name is written in its `xn--` form.

use std::fmt::{self, Display, Formatter};
use std::net::IpAddr;
use std::str::FromStr;

/// Ports that a rule without one allows.
const USUAL_PORTS: [u16; 2] = [80, 443];

/// One allowed host, or several.
///
/// `example.org` is that host on the ports 80 and 443; `*.example.org` is every name below it, but not itself;
/// `example.org:8443` is one port, `example.org:*` any; `*` is every host. IPv6 addresses stand in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRule {
    host: HostPattern,
    port: PortPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    Below(String),
    Name(String),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PortPattern {
    Usual,
    Any,
    One(u16),
}

/// Why a text is not a host rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a host: write example.org, *.example.org, example.org:8443, [2001:db8::1] or *")]
pub struct RuleError {
    /// The text refused.
    pub text: String,
}

/// Hosts steps may reach by proxy; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What is allowed; one match is enough.
    pub hosts: Vec<HostRule>,
}

/// Hosts that repository files of images may name. Those in [`Rules`] they may name in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RepositoryHosts {
    /// Any but loopback, link-local, multicast and unspecified addresses.
    #[default]
    Any,
    /// Like `Any`, and no private addresses either (RFC 1918, RFC 4193, RFC 6598).
    Public,
    /// Only these.
    Listed(Vec<HostRule>),
}

/// Addresses behind an allowed name that may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All: somebody who may decide it named the address itself.
    Everywhere,
    /// All but loopback, link-local and the like.
    NotLocal,
    /// Only public ones.
    Public,
}

impl Rules {
    /// What a step may connect to at `host`, `None` for nothing.
    pub(crate) fn reach(&self, host: &str, port: u16) -> Option<Reach> {
        reach(&self.hosts, host, port)
    }
}

impl RepositoryHosts {
    /// What may be connected to for an image's repository at `host`, `None` for nothing.
    pub(crate) fn reach(&self, rules: &Rules, host: &str, port: u16) -> Option<Reach> {
        let otherwise = match self {
            Self::Any => Some(Reach::NotLocal),
            Self::Public => Some(Reach::Public),
            Self::Listed(hosts) => reach(hosts, host, port),
        };
        rules.reach(host, port).or(otherwise)
    }
}

/// The widest reach of the rules that match.
fn reach(rules: &[HostRule], host: &str, port: u16) -> Option<Reach> {
    let mut matching = rules.iter().filter(|rule| rule.matches(host, port)).peekable();
    matching.peek()?;
    let is_literal = matching.any(HostRule::is_literal);
    Some(if is_literal { Reach::Everywhere } else { Reach::NotLocal })
}

impl HostRule {
    /// Whether this rule allows `port` of `host`: a name, or an address with or without brackets.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16) -> bool {
        let host = normal(host);
        let is_host = match &self.host {
            HostPattern::Any => true,
            HostPattern::Below(parent) => host
                .strip_suffix(parent.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|s| !s.is_empty()),
            HostPattern::Name(name) => host == *name,
            HostPattern::Address(address) => host.parse() == Ok(*address),
        };
        let is_port = match self.port {
            PortPattern::Usual => USUAL_PORTS.contains(&port),
            PortPattern::Any => true,
            PortPattern::One(one) => one == port,
        };
        is_host && is_port
    }

    /// Whether it names an address, or the name that always is one.
    fn is_literal(&self) -> bool {
        match &self.host {
            HostPattern::Address(_) => true,
            HostPattern::Name(name) => name == "localhost",
            HostPattern::Any | HostPattern::Below(_) => false,
        }
    }
}

/// A host in lower case, without brackets and without the dot of an absolute name.
pub(crate) fn normal(host: &str) -> String {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()
}

impl FromStr for HostRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        parse(text).ok_or_else(|| RuleError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<HostRule> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (HostPattern::Address(address.parse::<std::net::Ipv6Addr>().ok()?.into()), None),
        Some((address, port)) => {
            (HostPattern::Address(address.parse::<std::net::Ipv6Addr>().ok()?.into()), Some(port.strip_prefix(':')?))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host_pattern(host)?, Some(port)),
            None => (host_pattern(text)?, None),
        },
    };
    let port = match port {
        None => PortPattern::Usual,
        Some("*") => PortPattern::Any,
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            PortPattern::One(number.parse().ok().filter(|port| *port != 0)?)
        }
        Some(_) => return None,
    };
    Some(HostRule { host, port })
}

fn host_pattern(text: &str) -> Option<HostPattern> {
    if text == "*" {
        return Some(HostPattern::Any);
    }
    if let Ok(address) = text.parse::<std::net::Ipv4Addr>() {
        return Some(HostPattern::Address(address.into()));
    }
    let (name, is_below) = match text.strip_prefix("*.") {
        Some(parent) => (normal(parent), true),
        None => (normal(text), false),
    };
    let is_label =
        |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    // A last label of digits would be an address in one of its odd spellings.
    let is_name = name.split('.').all(is_label)
        && name.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
    is_name.then_some(if is_below { HostPattern::Below(name) } else { HostPattern::Name(name) })
}

impl Display for HostRule {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Any => formatter.write_str("*")?,
            HostPattern::Below(parent) => write!(formatter, "*.{parent}")?,
            HostPattern::Name(name) => formatter.write_str(name)?,
            HostPattern::Address(IpAddr::V4(address)) => write!(formatter, "{address}")?,
            HostPattern::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]")?,
        }
        match self.port {
            PortPattern::Usual => Ok(()),
            PortPattern::Any => formatter.write_str(":*"),
            PortPattern::One(port) => write!(formatter, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: &str, host: &str, port: u16, allowed: bool) {
        assert_eq!(rule.parse::<HostRule>().unwrap().matches(host, port), allowed, "{rule} {host}:{port}");
    }

    #[test]
    fn a_rule_without_a_port_means_the_usual_two() {
        check("example.org", "Example.ORG.", 443, true);
        check("example.org", "example.org", 80, true);
        check("example.org", "example.org", 22, false);
        check("example.org:8443", "example.org", 8443, true);
        check("example.org:8443", "example.org", 443, false);
        check("example.org:*", "example.org", 22, true);
    }

    #[test]
    fn a_star_stands_for_whole_labels_only() {
        check("*.example.org", "a.b.example.org", 443, true);
        check("*.example.org", "example.org", 443, false);
        check("*.example.org", "badexample.org", 443, false);
        check("*.example.org", ".example.org", 443, false);
        check("*", "anything.example", 443, true);
    }

    #[test]
    fn addresses_are_compared_as_addresses() {
        check("[2001:DB8::1]:8080", "[2001:db8:0:0::1]", 8080, true);
        check("[2001:db8::1]", "2001:db8::1", 443, true);
        check("192.0.2.1", "192.0.2.1", 80, true);
        check("192.0.2.1", "192.0.2.10", 80, false);
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "", "a b", "http://x", "x/y", "*x.org", "x:", "x:0", "x:+1", "x:70000", "[::1", "a..b", "1.2", "[x]",
            "ä.org",
        ] {
            assert_eq!(text.parse::<HostRule>().unwrap_err().text, text);
        }
    }

    #[test]
    fn a_rule_is_shown_as_it_is_written() {
        for text in ["*", "*.example.org", "example.org:8443", "[2001:db8::1]:*", "192.0.2.1"] {
            assert_eq!(text.parse::<HostRule>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn only_a_rule_that_names_an_address_opens_the_way_to_local_ones() {
        let rules = |texts: &[&str]| Rules { hosts: texts.iter().map(|text| text.parse().unwrap()).collect() };
        assert_eq!(rules(&["*"]).reach("127.0.0.1", 80), Some(Reach::NotLocal));
        assert_eq!(rules(&["*", "127.0.0.1"]).reach("127.0.0.1", 80), Some(Reach::Everywhere));
        assert_eq!(rules(&["localhost:*"]).reach("localhost", 8080), Some(Reach::Everywhere));
        assert_eq!(rules(&["a.example"]).reach("b.example", 80), None);
        assert_eq!(RepositoryHosts::Public.reach(&rules(&["x.example"]), "y.example", 80), Some(Reach::Public));
        assert_eq!(
            RepositoryHosts::Listed(Vec::new()).reach(&rules(&["x.example"]), "x.example", 80),
            Some(Reach::NotLocal)
        );
    }
}
