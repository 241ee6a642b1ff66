//! The network address that a request comes from.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use axum::{
    extract::{ConnectInfo, FromRequestParts},
    http::{HeaderMap, request::Parts},
};

use crate::state::AppState;

const FORWARDED: &str = "x-forwarded-for";

/// The caller's address; unknown when the router is not served over a socket. The peer's own, unless
/// proxies are in front that the operator trusts: each adds the address it was called from at the
/// right of `X-Forwarded-For`, so that of the caller is as many from the right as there are proxies.
/// What is further left anybody may have written, and is not looked at.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub Option<IpAddr>);

impl Peer {
    /// Whose request it is.
    pub fn of(parts: &Parts, state: &AppState) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        Self(forwarded(&parts.headers, state.settings.trusted_proxies).or(peer))
    }
}

impl FromRequestParts<AppState> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        Ok(Self::of(parts, state))
    }
}

/// The address that stands `proxies` from the right; nothing when there are fewer, or it is none: such
/// a request did not come through all the proxies.
fn forwarded(headers: &HeaderMap, proxies: u32) -> Option<IpAddr> {
    let from_right = usize::try_from(proxies).ok()?.checked_sub(1)?;
    // Several headers are one list (RFC 9110, section 5.3).
    let values = headers.get_all(FORWARDED).iter().rev();
    // By bytes: what is no text further left is none of the right's business.
    let mut entries = values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','));
    let entry = str::from_utf8(entries.nth(from_right)?).ok()?.trim();
    let bare = entry.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn caller(proxies: u32, values: &[&str]) -> Option<String> {
        caller_of(proxies, &values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>())
    }

    fn caller_of(proxies: u32, values: &[&[u8]]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED, HeaderValue::from_bytes(value).unwrap());
        }
        forwarded(&headers, proxies).map(|address| address.to_string())
    }

    #[test]
    fn what_the_caller_may_have_written_is_not_looked_at() {
        assert_eq!(caller(0, &["192.0.2.1"]), None, "no proxy is trusted");
        assert_eq!(caller(1, &["203.0.113.9, 192.0.2.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(caller(1, &["203.0.113.9", "192.0.2.1"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(caller(2, &["203.0.113.9, 192.0.2.1", "192.0.2.2"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(caller_of(1, &[b"\xff, 192.0.2.1"]).as_deref(), Some("192.0.2.1"), "nor does it hide the rest");
        assert_eq!(caller_of(1, &[b"192.0.2.1, \xff"]), None);
    }

    #[test]
    fn a_request_around_the_proxies_counts_by_its_peer() {
        assert_eq!(caller(1, &[]), None);
        assert_eq!(caller(2, &["192.0.2.1"]), None);
        assert_eq!(caller(1, &["unknown"]), None);
        assert_eq!(caller(1, &[""]), None);
    }

    #[test]
    fn addresses_may_have_ports() {
        assert_eq!(caller(1, &["192.0.2.1:4711"]).as_deref(), Some("192.0.2.1"));
        assert_eq!(caller(1, &["[2001:db8::1]:4711"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(caller(1, &["[2001:db8::1]"]).as_deref(), Some("2001:db8::1"));
        assert_eq!(caller(1, &["2001:db8::1"]).as_deref(), Some("2001:db8::1"));
    }
}
