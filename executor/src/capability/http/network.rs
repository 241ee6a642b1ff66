//! Networks that an operator keeps scripts out of, as CIDR blocks (RFC 4632): `203.0.113.0/24`, `2001:db8::/32`.

use std::{fmt, net::IpAddr, str::FromStr};

/// A block of addresses. An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) counts as the IPv4 address that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    base: IpAddr,
    bits: u8,
}

/// Why a text is not a [`Network`]; completes "`10.0.0.1/8` …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// It has another form.
    #[error("is not a network, such as 203.0.113.0/24, 2001:db8::/32 or a single address")]
    Form,
    /// More bits than an address has.
    #[error("has a prefix that is too long: an address has {0} bits")]
    Prefix(u8),
    /// Bits beyond the prefix are set: most likely a mistake.
    #[error("has bits beyond its prefix; did you mean {0}?")]
    HostBits(Network),
}

impl Network {
    /// Whether the address lies in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => (base.to_bits() ^ ip.to_bits()).leading_zeros() >= self.bits.into(),
            (IpAddr::V6(base), IpAddr::V6(ip)) => (base.to_bits() ^ ip.to_bits()).leading_zeros() >= self.bits.into(),
            _ => false,
        }
    }

    /// Without the bits beyond the prefix.
    fn masked(self) -> Self {
        let cut = |width: u8| u32::from(width - self.bits);
        let base = match self.base {
            IpAddr::V4(ip) => {
                let mask = u32::MAX.checked_shl(cut(32)).unwrap_or(0);
                IpAddr::V4((ip.to_bits() & mask).into())
            }
            IpAddr::V6(ip) => {
                let mask = u128::MAX.checked_shl(cut(128)).unwrap_or(0);
                IpAddr::V6((ip.to_bits() & mask).into())
            }
        };
        Self { base, bits: self.bits }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let base: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = match prefix {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => {
                bits.parse().map_err(|_| NetworkError::Form)?
            }
            Some(_) => return Err(NetworkError::Form),
            None => width,
        };
        if bits > width {
            return Err(NetworkError::Prefix(width));
        }
        let network = Self { base, bits };
        if network.masked() != network {
            return Err(NetworkError::HostBits(network.masked()));
        }
        // What is written as IPv4 inside IPv6 means the IPv4 addresses.
        Ok(match base.to_canonical() {
            base @ IpAddr::V4(_) if bits >= width - 32 && width == 128 => Self { base, bits: bits - 96 },
            _ => network,
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_contains_its_addresses_however_they_are_written() {
        for (network, inside, outside) in [
            ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
            ("203.0.113.7", "203.0.113.7", "203.0.113.8"),
            ("203.0.113.0/24", "::ffff:203.0.113.9", "::ffff:203.0.114.9"),
            ("::ffff:203.0.113.0/120", "203.0.113.9", "203.0.114.9"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("0.0.0.0/0", "198.51.100.1", "2001:db8::1"),
            ("::/0", "2001:db8::1", "198.51.100.1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn an_invalid_network_is_refused() {
        for text in
            ["", "/", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "10.0.0.0/8/8", "example.com", "[::]/0", "10.0.0.0/999"]
        {
            assert_eq!(text.parse::<Network>(), Err(NetworkError::Form), "{text}");
        }
        assert_eq!("10.0.0.0/33".parse::<Network>(), Err(NetworkError::Prefix(32)));
        assert_eq!("::/129".parse::<Network>(), Err(NetworkError::Prefix(128)));
        let error = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert_eq!(error.to_string(), "has bits beyond its prefix; did you mean 10.0.0.0/8?");
        assert!(matches!("2001:db8::1/32".parse::<Network>(), Err(NetworkError::HostBits(_))));
    }
}
