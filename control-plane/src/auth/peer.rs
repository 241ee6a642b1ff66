//! The network address that a request comes from.

use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, request::Parts},
};

use crate::state::AppState;

const FORWARDED: &str = "x-forwarded-for";

/// Networks, of IPv4 and IPv6.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

/// A network: an address and how many of its bits, from the left, are the network's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// The text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address or network, such as 192.0.2.7, 10.0.0.0/8 or fd00::/8")]
pub struct ParseNetworkError(String);

impl Network {
    /// Whether an address is within it.
    pub fn contains(self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                shifted(network.to_bits().into(), self.bits, 32) == shifted(address.to_bits().into(), self.bits, 32)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                shifted(network.to_bits(), self.bits, 128) == shifted(address.to_bits(), self.bits, 128)
            }
            _ => false,
        }
    }

    /// The address that it was written with.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The first address in it that a machine has.
    pub fn first(self) -> IpAddr {
        let keep = |bits: u128, all: u8| {
            let host = u32::from(all.saturating_sub(self.bits));
            bits.checked_shr(host).and_then(|bits| bits.checked_shl(host)).unwrap_or(0)
        };
        match self.address {
            _ if self.is_single_address() => self.address,
            IpAddr::V4(address) => {
                let first = u32::try_from(keep(address.to_bits().into(), 32)).unwrap_or(0);
                IpAddr::V4(first.saturating_add(1).into())
            }
            IpAddr::V6(address) => IpAddr::V6(keep(address.to_bits(), 128).saturating_add(1).into()),
        }
    }

    /// Whether it is one address alone.
    pub fn is_single_address(self) -> bool {
        self.bits == if self.address.is_ipv4() { 32 } else { 128 }
    }
}

/// The bits of a network, of `all` that an address has.
fn shifted(address: u128, bits: u8, all: u8) -> u128 {
    address.checked_shr(u32::from(all.saturating_sub(bits))).unwrap_or(0)
}

impl FromStr for Network {
    type Err = ParseNetworkError;

    fn from_str(text: &str) -> Result<Self, ParseNetworkError> {
        let wrong = || ParseNetworkError(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_| wrong())?;
        if bits > all {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single_address() {
            return write!(f, "{}", self.address);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Networks {
    /// Of a list.
    pub fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Network> {
        self.0.iter().copied()
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// The caller's address; unknown when the router is not served over a socket. The peer's own, unless the peer is a
/// proxy that the operator trusts: it adds the address that it was called from at the right of `X-Forwarded-For`. If
/// that is a trusted proxy too, the address to the left of it counts, and so on. What is further left anybody may have
/// written, and is not looked at; nor is the header of whoever is no such proxy.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress(pub Option<IpAddr>);

impl PeerAddress {
    /// Whose request it is.
    pub fn from_parts(parts: &Parts, state: &AppState) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        Self(peer.map(|peer| caller(peer, &parts.headers, &state.settings.trusted_proxies)))
    }
}

impl FromRequestParts<AppState> for PeerAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(Self::from_parts(parts, state))
    }
}

/// Who called the first of the trusted proxies; the last address that is known where an entry is none.
fn caller(peer: IpAddr, headers: &HeaderMap, trusted: &Networks) -> IpAddr {
    // Several headers are one list (RFC 9110, section 5.3).
    let values = headers.get_all(FORWARDED).iter().rev();
    // By bytes: what is not a text further left is none of the right's business.
    let mut entries = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let mut caller = peer;
    while trusted.contains(caller) {
        match entries.next().and_then(address) {
            Some(before) => caller = before,
            None => break,
        }
    }
    caller
}

fn address(entry: &[u8]) -> Option<IpAddr> {
    let entry = str::from_utf8(entry).ok()?.trim();
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn networks(list: &[&str]) -> Networks {
        Networks::new(list.iter().map(|text| text.parse().unwrap()).collect())
    }

    fn caller(trusted: &[&str], peer: &str, values: &[&str]) -> String {
        caller_of(trusted, peer, &values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>())
    }

    fn caller_of(trusted: &[&str], peer: &str, values: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED, HeaderValue::from_bytes(value).unwrap());
        }
        super::caller(peer.parse().unwrap(), &headers, &networks(trusted)).to_string()
    }

    const PROXY: &str = "10.0.0.7";

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        assert_eq!(caller(&[], PROXY, &["192.0.2.1"]), PROXY, "no proxy is trusted");
        assert_eq!(caller(&["10.0.0.0/24"], PROXY, &["192.0.2.1"]), "192.0.2.1");
        assert_eq!(caller(&["10.0.0.7"], "10.0.0.8", &["192.0.2.1"]), "10.0.0.8", "an executor writes what it likes");
        assert_eq!(caller(&["10.0.0.7"], "::ffff:10.0.0.7", &["192.0.2.1"]), "192.0.2.1");
    }

    #[test]
    fn what_the_caller_may_have_written_is_not_looked_at() {
        let trusted = &["10.0.0.0/24"];
        assert_eq!(caller(trusted, PROXY, &["203.0.113.9, 192.0.2.1"]), "192.0.2.1");
        assert_eq!(caller(trusted, PROXY, &["203.0.113.9", "192.0.2.1"]), "192.0.2.1");
        assert_eq!(caller(trusted, PROXY, &["203.0.113.9, 192.0.2.1, 10.0.0.8"]), "192.0.2.1", "through two of ours");
        assert_eq!(caller(trusted, PROXY, &["203.0.113.9, 192.0.2.1", "10.0.0.8"]), "192.0.2.1");
        assert_eq!(caller_of(trusted, PROXY, &[b"\xff, 192.0.2.1"]), "192.0.2.1", "nor does it hide the rest");
        assert_eq!(caller_of(trusted, PROXY, &[b"192.0.2.1, \xff"]), PROXY);
    }

    #[test]
    fn a_request_without_a_caller_counts_by_its_proxy() {
        let trusted = &["10.0.0.0/24"];
        for values in [&[][..], &["unknown"], &[""], &["192.0.2.1, unknown"]] {
            assert_eq!(caller(trusted, PROXY, values), PROXY, "{values:?}");
        }
        assert_eq!(caller(trusted, PROXY, &["10.0.0.9"]), "10.0.0.9", "one of ours asks for itself");
    }

    #[test]
    fn addresses_may_have_ports() {
        for (value, expected) in [
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert_eq!(caller(&[PROXY], PROXY, &[value]), expected);
        }
    }

    #[test]
    fn networks_are_read_and_hold_what_is_within() {
        for (network, within, without) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "203.0.113.1", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::/0", "2001:db8::1", "192.0.2.1"),
            ("192.0.2.64/26", "192.0.2.127", "192.0.2.128"),
        ] {
            let read: Network = network.parse().unwrap();
            assert_eq!(read.to_string(), network);
            assert!(read.contains(within.parse().unwrap()), "{within} in {network}");
            assert!(!read.contains(without.parse().unwrap()), "{without} not in {network}");
        }
        for (network, first) in [("10.0.3.9/8", "10.0.0.1"), ("192.0.2.7", "192.0.2.7"), ("fd00:1::/8", "fd00::1")] {
            assert_eq!(network.parse::<Network>().unwrap().first().to_string(), first);
        }
        for bad in ["", "1", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0/8", "proxy", "10.0.0.0/-1", "10.0.0.0/8/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
