//! Settings about networks: where a service listens, whose word about callers counts.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use restroy_control_plane::auth::{Network, Networks};

use super::value::Value;

impl Value for Networks {
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.parse::<u32>().is_ok_and(|count| count > 0) {
            return Err(format!(
                "`{text}` is a number of proxies, and X-Forwarded-For counts only from proxies that are known: name their \
                 addresses or networks, such as 10.0.0.7 or 10.0.0.0/24"
            ));
        }
        let networks = text.split(',').map(str::trim).filter(|network| !matches!(*network, "" | "0"));
        let networks = networks.map(|network| network.parse::<Network>().map_err(|error| error.to_string()));
        networks.collect::<Result<Vec<_>, _>>().map(Self::new)
    }

    fn shown(&self) -> toml::Value {
        self.iter().map(|network| network.to_string()).collect::<Vec<_>>().into()
    }
}

/// Where a service listens: one or more addresses with ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenOn(Vec<ListenAddress>);

/// An address, or the address that this machine has in a network; and a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ListenAddress {
    network: Network,
    port: u16,
}

impl ListenOn {
    /// Whether nobody but this machine can reach it.
    pub(crate) fn is_loopback(&self) -> bool {
        self.0.iter().all(|place| place.network.is_single_address() && place.network.address().is_loopback())
    }

    /// The addresses to bind. The error says in which network this machine has none.
    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        self.0.iter().map(|place| place.address()).collect()
    }
}

impl ListenAddress {
    fn address(self) -> Result<SocketAddr, String> {
        if self.network.is_single_address() {
            return Ok(SocketAddr::new(self.network.address(), self.port));
        }
        own_address(self.network)
            .map(|address| SocketAddr::new(address, self.port))
            .ok_or_else(|| format!("this machine has no address in the network {}", self.network))
    }
}

/// The address that this machine has in a network: the one from which it would send there. Nothing is sent.
fn own_address(network: Network) -> Option<IpAddr> {
    let (any, there): (IpAddr, IpAddr) = match network.first() {
        IpAddr::V4(first) => (Ipv4Addr::UNSPECIFIED.into(), first.into()),
        IpAddr::V6(first) => (Ipv6Addr::UNSPECIFIED.into(), first.into()),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    // The port is that of no service: a datagram socket only looks up its route.
    socket.connect((there, 9)).ok()?;
    socket.local_addr().ok().map(|own| own.ip()).filter(|own| network.contains(*own))
}

impl fmt::Display for ListenOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, ListenAddress { network, port }) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            if network.address().is_ipv6() {
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
            let network: Network = bare.unwrap_or(host).parse().map_err(|_| wrong())?;
            if network.address().is_ipv6() != bare.is_some() {
                return Err(wrong());
            }
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
}
