//! Settings about networks: where a service listens, whose word about callers counts.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use ipnet::IpNet;
use restroy_control_plane::auth::Networks;

use super::value::Value;

/// Reads a network in CIDR notation (RFC 4632), or a single address. IPv4 written inside IPv6 (`::ffff:192.0.2.0/120`)
/// means the IPv4 addresses. Bits beyond the prefix are refused: most likely they are a mistake.
pub(super) fn read_network(text: &str) -> Result<IpNet, String> {
    let form = || format!("`{text}` is not an address or network, such as 192.0.2.7, 10.0.0.0/8 or fd00::/8");
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().map_err(|_| form())?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().map_err(|_| form())?,
        Some(_) => return Err(form()),
        None => width,
    };
    let network = IpNet::new(address, bits)
        .map_err(|_| format!("`{text}` has a prefix that is too long: such an address has {width} bits"))?;
    if network.trunc() != network {
        return Err(format!("`{text}` has bits beyond its prefix; did you mean {}?", network.trunc()));
    }
    match address.to_canonical() {
        mapped @ IpAddr::V4(_) if width == 128 && bits >= 96 => IpNet::new(mapped, bits - 96).map_err(|_| form()),
        _ => Ok(network),
    }
}

/// Reads networks with commas between them.
fn read_networks(text: &str) -> Result<Vec<IpNet>, String> {
    text.split(',').map(str::trim).filter(|network| !network.is_empty()).map(read_network).collect()
}

/// As it is written in settings: a single address without its prefix.
fn shown(network: IpNet) -> String {
    if is_single_address(network) { network.addr().to_string() } else { network.to_string() }
}

fn is_single_address(network: IpNet) -> bool {
    network.prefix_len() == network.max_prefix_len()
}

/// Networks that scripts may not reach, with commas between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeniedNetworks(pub(crate) Vec<IpNet>);

impl Value for DeniedNetworks {
    fn read(text: &str) -> Result<Self, String> {
        read_networks(text).map(Self)
    }

    fn shown(&self) -> toml::Value {
        self.0.iter().map(|network| shown(*network)).collect::<Vec<_>>().into()
    }
}

impl Value for Networks {
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.parse::<u32>().is_ok_and(|count| count > 0) {
            return Err(format!(
                "`{text}` is a number of proxies, and X-Forwarded-For counts only from proxies that are known: name their \
                 addresses or networks, such as 10.0.0.7 or 10.0.0.0/24"
            ));
        }
        if text == "0" {
            return Ok(Self::default());
        }
        read_networks(text).map(Self::new)
    }

    fn shown(&self) -> toml::Value {
        self.iter().map(shown).collect::<Vec<_>>().into()
    }
}

/// Where a service listens: one or more addresses with ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenOn(Vec<ListenAddress>);

/// An address, or the address that this machine has in a network; and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ListenAddress {
    network: IpNet,
    port: u16,
}

impl ListenOn {
    /// Whether nobody but this machine can reach it.
    pub(crate) fn is_loopback(&self) -> bool {
        self.0.iter().all(|place| is_single_address(place.network) && place.network.addr().is_loopback())
    }

    /// The addresses to bind. The error says in which network this machine has none.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        self.0.iter().map(|place| place.address()).collect()
    }
}

impl ListenAddress {
    fn address(self) -> Result<SocketAddr, String> {
        if is_single_address(self.network) {
            return Ok(SocketAddr::new(self.network.addr(), self.port));
        }
        own_address(self.network)
            .map(|address| SocketAddr::new(address, self.port))
            .ok_or_else(|| format!("this machine has no address in the network {}", self.network))
    }
}

/// The address that this machine has in a network: the one from which it would send there. Nothing is sent.
fn own_address(network: IpNet) -> Option<IpAddr> {
    // The first address that a machine can have there.
    let (any, there): (IpAddr, IpAddr) = match network {
        IpNet::V4(network) => {
            let first = network.network().to_bits().saturating_add(1);
            (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::from_bits(first).into())
        }
        IpNet::V6(network) => {
            let first = network.network().to_bits().saturating_add(1);
            (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::from_bits(first).into())
        }
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // The port is that of no service: a datagram socket only looks up its route.
    socket.connect((there, 9)).ok()?;
    socket.local_addr().ok().map(|own| own.ip()).filter(|own| network.contains(own))
}

impl fmt::Display for ListenOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, ListenAddress { network, port }) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            let network = shown(*network);
            if network.contains(':') {
                write!(f, "{comma}[{network}]:{port}")?;
            } else {
                write!(f, "{comma}{network}:{port}")?;
            }
        }
        Ok(())
    }
}

impl Value for ListenOn {
    fn read(text: &str) -> Result<Self, String> {
        let place = |text: &str| {
            let wrong = || {
                format!(
                    "`{text}` is not an address and port, such as 127.0.0.1:8080, or a network and port, such as 10.0.0.0/24:8080"
                )
            };
            let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
            let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
            let host = bare.unwrap_or(host);
            if host.contains(':') != bare.is_some() {
                return Err(wrong());
            }
            let network = read_network(host).map_err(|_| wrong())?;
            Ok(ListenAddress { network, port: port.parse().map_err(|_| wrong())? })
        };
        let places = text.split(',').map(str::trim).map(place).collect::<Result<Vec<_>, _>>()?;
        Ok(Self(places))
    }

    fn shown(&self) -> toml::Value {
        self.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_listens_on_addresses_and_in_networks() {
        for text in ["127.0.0.1:8080", "[::1]:0", "10.0.0.7:80,127.0.0.1:8080", "10.0.0.0/24:80", "[fd00::/8]:80"] {
            assert_eq!(ListenOn::read(text).unwrap().to_string(), text);
        }
        for bad in ["", "8080", "127.0.0.1", "::1:80", "localhost:80", "10.0.0.0/24", "127.0.0.1:80,", "1.2.3.4:99999"]
        {
            assert!(ListenOn::read(bad).is_err(), "{bad}");
        }
        assert!(ListenOn::read("127.0.0.1:1,[::1]:2").unwrap().is_loopback());
        assert!(!ListenOn::read("127.0.0.1:1,0.0.0.0:2").unwrap().is_loopback());
        assert!(!ListenOn::read("127.0.0.0/8:1").unwrap().is_loopback(), "which address that is shows later");
        let here = ListenOn::read("127.0.0.0/8:7").unwrap().addresses().unwrap();
        assert_eq!(here, ["127.0.0.1:7".parse().unwrap()]);
        // A network for documentation (RFC 9637), which no machine is in.
        let nowhere = ListenOn::read("[3fff::/20]:7").unwrap().addresses().unwrap_err();
        assert_eq!(nowhere, "this machine has no address in the network 3fff::/20");
    }

    #[test]
    fn proxies_are_networks_and_no_number() {
        for (text, shown) in [("", 0), ("0", 0), ("10.0.0.7", 1), ("10.0.0.0/24, fd00::/8", 2)] {
            assert_eq!(Networks::read(text).unwrap().iter().count(), shown, "{text}");
        }
        assert!(Networks::read("1").unwrap_err().contains("a number of proxies"));
        assert!(Networks::read("10.0.0.0/24,proxy").unwrap_err().contains("`proxy`"));
    }

    #[test]
    fn networks_are_read_however_they_are_written() {
        for (network, inside, outside) in [
            ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
            ("203.0.113.7", "203.0.113.7", "203.0.113.8"),
            ("::ffff:203.0.113.0/120", "203.0.113.9", "203.0.114.9"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("192.0.2.64/26", "192.0.2.127", "192.0.2.128"),
            ("0.0.0.0/0", "198.51.100.1", "2001:db8::1"),
            ("::/0", "2001:db8::1", "198.51.100.1"),
        ] {
            let read = read_network(network).unwrap();
            assert!(read.contains(&inside.parse::<IpAddr>().unwrap()), "{network} {inside}");
            assert!(!read.contains(&outside.parse::<IpAddr>().unwrap()), "{network} {outside}");
            assert_eq!(read_network(&shown(read)), Ok(read));
        }
        assert_eq!(shown(read_network("192.0.2.7/32").unwrap()), "192.0.2.7");
        let list = DeniedNetworks::read("203.0.113.0/24, 2001:db8::1").unwrap();
        assert_eq!(list.shown().to_string(), r#"["203.0.113.0/24", "2001:db8::1"]"#);
    }

    #[test]
    fn what_is_not_a_network_is_refused_with_the_reason() {
        for text in
            ["", "/", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "10.0.0.0/8/8", "example.com", "[::]/0", "10.0.0.0/999"]
        {
            assert!(read_network(text).unwrap_err().contains("is not an address or network"), "{text}");
        }
        for (text, bits) in [("10.0.0.0/33", 32), ("::/129", 128)] {
            assert!(read_network(text).unwrap_err().ends_with(&format!("has {bits} bits")), "{text}");
        }
        let error = read_network("10.1.2.3/8").unwrap_err();
        assert_eq!(error, "`10.1.2.3/8` has bits beyond its prefix; did you mean 10.0.0.0/8?");
        assert!(read_network("2001:db8::1/32").is_err());
    }
}
