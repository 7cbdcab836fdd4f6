//! Which addresses a name may stand for.
//!
//! A name that is allowed must not lead to the builder itself or to its cloud's metadata service. The check resolves
//! the name and looks at every address; the HTTP client resolves it again (see the crate's text).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};

use http::Url;

use crate::exchange::Refusal;
use crate::rules::{Reach, normal};

/// Whether the builder goes through a proxy of its own, which then resolves names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// It connects itself.
    Direct,
    /// It asks its proxy.
    Proxied,
}

impl Route {
    /// The way to `url` with these proxies.
    pub(crate) fn of(url: &Url, proxies: &http::Proxies) -> Self {
        let proxy = if url.scheme() == "https" { &proxies.https } else { &proxies.http };
        if proxy.as_deref().is_some_and(|proxy| !proxy.is_empty()) { Self::Proxied } else { Self::Direct }
    }
}

/// Lets `host` pass if all its addresses are within `reach`.
///
/// # Errors
/// A refusal for an address out of reach, and for a name without addresses unless a proxy may know it.
pub(crate) fn check(host: &str, port: u16, reach: Reach, route: Route) -> Result<(), Refusal> {
    if reach == Reach::Everywhere {
        return Ok(());
    }
    let host = normal(host);
    let refuse = |what: &str| {
        Err(Refusal::forbidden(format!(
            "{host} is {what}, which a step may not reach; only a rule of the site's network.allow that names the address itself can open it"
        )))
    };
    if host == "localhost" || host.ends_with(".localhost") {
        return refuse("the builder itself");
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return if is_within(address, reach) { Ok(()) } else { refuse("a local address") };
    }
    match (host.as_str(), port).to_socket_addrs() {
        Ok(mut addresses) => match addresses.find(|address| !is_within(address.ip(), reach)) {
            Some(address) => refuse(&format!("a name for the local address {}", address.ip())),
            None => Ok(()),
        },
        Err(_) if route == Route::Proxied => Ok(()),
        Err(_) => Err(Refusal::failed(format!("{host}: the builder cannot resolve this name"))),
    }
}

fn is_within(address: IpAddr, reach: Reach) -> bool {
    match reach {
        Reach::Everywhere => true,
        Reach::NotLocal => !is_local(address),
        Reach::Public => !is_local(address) && !is_private(address),
    }
}

/// Loopback, link-local, unspecified, multicast or broadcast, in whichever way IPv6 wraps it.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_local_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => is_local_v4(inner),
            None => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_multicast()
                    || address.is_unicast_link_local()
            }
        },
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    // 0.0.0.0/8 is "this host" (RFC 1122, section 3.2.1.3).
    address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.octets()[0] == 0
}

fn is_private(address: IpAddr) -> bool {
    let is_private_v4 = |address: Ipv4Addr| {
        let [a, b, ..] = address.octets();
        // RFC 6598: 100.64.0.0/10.
        address.is_private() || (a == 100 && b & 0xc0 == 64)
    };
    match address {
        IpAddr::V4(address) => is_private_v4(address),
        IpAddr::V6(address) => embedded(address).map_or(address.is_unique_local(), is_private_v4),
    }
}

/// The IPv4 address in a mapped (RFC 4291), translated (RFC 6052, 64:ff9b::/96) or 6to4 address (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let last = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(last(high, low))
        }
        // Compatible addresses, but not :: and ::1.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(last(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_address(text: &str, not_local: bool, public: bool) {
        let address = text.parse().unwrap();
        let found = (is_within(address, Reach::NotLocal), is_within(address, Reach::Public));
        assert_eq!(found, (not_local, public), "{text}");
    }

    #[test]
    fn local_addresses_are_known_in_every_dress() {
        for text in [
            "127.0.0.1",
            "127.255.0.9",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "::127.0.0.1",
        ] {
            check_address(text, false, false);
        }
        for text in ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "::ffff:10.0.0.1"] {
            check_address(text, true, false);
        }
        for text in ["192.0.2.1", "2001:db8::1", "100.128.0.1"] {
            check_address(text, true, true);
        }
    }

    #[test]
    fn a_name_for_a_local_address_is_refused_unless_the_rule_names_it() {
        for host in ["localhost", "x.localhost", "127.0.0.1", "[::1]", "169.254.169.254"] {
            assert_eq!(super::check(host, 80, Reach::NotLocal, Route::Direct).unwrap_err().status, 403, "{host}");
            assert!(super::check(host, 80, Reach::Everywhere, Route::Direct).is_ok());
        }
        assert!(super::check("192.0.2.1", 80, Reach::NotLocal, Route::Direct).is_ok());
    }
}
