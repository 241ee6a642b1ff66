//! The network address that a request comes from.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{HeaderMap, request::Parts},
};
use ipnet::IpNet;

const FORWARDED: &str = "x-forwarded-for";

/// Networks, of IPv4 and IPv6.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Of a list.
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self(networks)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> {
        self.0.iter().copied()
    }

    /// An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) counts as the IPv4 address that it is.
    fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
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
    pub fn from_parts(parts: &Parts, trusted: &Networks) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        Self(peer.map(|peer| caller(peer, &parts.headers, trusted)))
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
        Networks::new(
            list.iter()
                .map(|text| text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)))
                .map(Result::unwrap)
                .collect(),
        )
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
}
