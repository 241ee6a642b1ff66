//! Resolves names and drops the addresses that are out of reach. The connection goes to one of the
//! addresses that were checked: there is no second lookup in which a name could change its mind.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::ReachPolicy;

/// Asks for a name's addresses.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// A name none of whose addresses is within reach.
#[derive(Debug, thiserror::Error)]
#[error("none of the name's addresses may be reached from a script")]
pub(super) struct DeniedAddress;

/// Whether the address lies in one of the networks. An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) counts as the IPv4
/// address that it is.
pub(super) fn is_denied(denied: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    denied.iter().any(|network| network.contains(&address))
}

/// Resolves what is within reach.
#[derive(Clone)]
pub(super) struct CheckedResolver {
    pub(super) reach: ReachPolicy,
    /// The operator's networks that are out of reach too.
    pub(super) denied: Arc<[IpNet]>,
    pub(super) lookup: Lookup,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { reach, denied, lookup } = self.clone();
        Box::pin(async move {
            let found = lookup(name.as_str().to_owned()).await?;
            let reachable = |ip: &IpAddr| reach.allows(*ip) && !is_denied(&denied, *ip);
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(reachable).map(|ip| SocketAddr::new(ip, 0)).collect();
            if allowed.is_empty() {
                return Err(DeniedAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
