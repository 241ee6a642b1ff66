//! Which addresses a stranger's request may reach: global unicast, and nothing of our own network.
//!
//! From IANA's registries of special-purpose addresses (RFC 6890 and its updates), and the metadata
//! services of clouds that lie outside of those. IPv6 that carries an IPv4 address inside (mapped,
//! compatible, NAT64, 6to4, Teredo) is refused as a whole: there is no honest use for it here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks within 0.0.0.0/0 that are not global unicast.
const REFUSED_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::UNSPECIFIED, 8),            // this network, unspecified
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // shared (CGNAT); Alibaba's metadata service
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // Azure's metadata service
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local; metadata services
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments; Oracle's metadata service
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 31, 196, 0), 24),  // AS112
    (Ipv4Addr::new(192, 52, 193, 0), 24),  // AMT
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(192, 175, 48, 0), 24),  // AS112
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarking
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, broadcast
];

/// What of IPv6 is global unicast at all.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Networks within [`GLOBAL_V6`] that are not.
const REFUSED_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarking, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48), // AS112
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Whose addresses a request may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReachPolicy {
    /// The world.
    Global,
    /// The world and this machine.
    GlobalOrLoopback,
    /// This machine only.
    Loopback,
}

impl ReachPolicy {
    /// Whether the address lies within reach.
    pub(crate) fn allows(self, address: IpAddr) -> bool {
        let is_loopback = match address {
            IpAddr::V4(ip) => ip.is_loopback(),
            IpAddr::V6(ip) => ip == Ipv6Addr::LOCALHOST,
        };
        match self {
            Self::Global => is_global(address),
            Self::GlobalOrLoopback => is_loopback || is_global(address),
            Self::Loopback => is_loopback,
        }
    }
}

/// Whether the address is global unicast.
fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            !REFUSED_V4.iter().any(|(net, bits)| within(ip.to_bits().into(), net.to_bits().into(), bits + 96))
        }
        IpAddr::V6(ip) => {
            let inside = |(net, bits): &(Ipv6Addr, u32)| within(ip.to_bits(), net.to_bits(), *bits);
            inside(&GLOBAL_V6) && !REFUSED_V6.iter().any(inside)
        }
    }
}

fn within(address: u128, network: u128, bits: u32) -> bool {
    (address ^ network).leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn allowed(address: &str) -> bool {
        ReachPolicy::Global.allows(address.parse().unwrap())
    }

    #[test]
    fn the_world_is_within_reach() {
        for address in ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1"] {
            assert!(allowed(address), "{address}");
        }
    }

    #[test]
    fn special_addresses_are_not() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.1.2.3",
            "168.63.129.16",
            "169.254.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "::8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "ffff::1",
        ] {
            assert!(!allowed(address), "{address}");
        }
    }

    #[test]
    fn loopback_is_reachable_only_when_allowed() {
        for address in ["127.0.0.1", "127.8.8.8", "::1"] {
            let address: IpAddr = address.parse().unwrap();
            assert!(!ReachPolicy::Global.allows(address));
            assert!(ReachPolicy::GlobalOrLoopback.allows(address));
            assert!(ReachPolicy::Loopback.allows(address));
        }
        for address in ["10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "::", "0.0.0.0"] {
            let address: IpAddr = address.parse().unwrap();
            assert!(!ReachPolicy::GlobalOrLoopback.allows(address), "{address}");
            assert!(!ReachPolicy::Loopback.allows(address), "{address}");
        }
        assert!(!ReachPolicy::Loopback.allows("8.8.8.8".parse().unwrap()));
    }

    proptest! {
        /// The standard library's own judgements, as far as they are stable.
        #[test]
        fn agrees_with_the_standard_library_on_ipv4(bits in any::<u32>()) {
            let ip = Ipv4Addr::from_bits(bits);
            if ReachPolicy::Global.allows(ip.into()) {
                prop_assert!(!ip.is_private() && !ip.is_loopback() && !ip.is_link_local() && !ip.is_multicast());
                prop_assert!(!ip.is_broadcast() && !ip.is_documentation() && !ip.is_unspecified());
            }
        }

        #[test]
        fn agrees_with_the_standard_library_on_ipv6(bits in any::<u128>()) {
            let ip = Ipv6Addr::from_bits(bits);
            if ReachPolicy::Global.allows(ip.into()) {
                prop_assert!(!ip.is_loopback() && !ip.is_multicast() && !ip.is_unspecified());
                prop_assert!(!ip.is_unique_local() && !ip.is_unicast_link_local());
            }
        }

        /// No disguise of an IPv4 address gets through, whatever the address.
        #[test]
        fn ipv4_inside_ipv6_is_out_of_reach(bits in any::<u32>(), rest in any::<u64>()) {
            let v4 = u128::from(bits);
            let disguises = [
                v4,                                                   // compatible
                (0xffff << 32) | v4,                                  // mapped
                (0x0064_ff9b_u128 << 96) | v4,                        // NAT64
                (0x0064_ff9b_0001_u128 << 80) | v4,                   // NAT64, local
                (0x2002_u128 << 112) | (v4 << 80) | u128::from(rest), // 6to4
                (0x2001_0000_u128 << 96) | (u128::from(rest) << 32) | v4, // Teredo
            ];
            for disguise in disguises {
                let ip = IpAddr::V6(Ipv6Addr::from_bits(disguise));
                prop_assert!(!ReachPolicy::Global.allows(ip), "{}", ip);
            }
        }

        #[test]
        fn private_networks_are_out_of_reach(host in any::<u32>()) {
            for (net, bits) in REFUSED_V4 {
                let mask = u32::MAX.checked_shr(*bits).unwrap_or(0);
                let ip = Ipv4Addr::from_bits(net.to_bits() | (host & mask));
                prop_assert!(!ReachPolicy::Global.allows(ip.into()), "{}", ip);
            }
        }
    }
}
