//! Resolves names and drops the addresses that are out of reach. The connection goes to one of the
//! addresses that were checked: there is no second lookup in which a name could change its mind.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::address::Reach;

/// A name has at most so many addresses that are looked at.
const MOST_ADDRESSES: usize = 32;

/// Asks for a name's addresses.
pub(super) type Lookup = Arc<dyn Fn(String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The operating system's resolver.
pub(super) fn system() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).take(MOST_ADDRESSES).collect())
        })
    })
}

/// A name none of whose addresses is within reach.
#[derive(Debug, thiserror::Error)]
#[error("none of the name's addresses may be reached from a script")]
pub(super) struct OutOfReach;

/// Resolves what is within reach.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) reach: Reach,
    pub(super) lookup: Lookup,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { reach, lookup } = self.clone();
        Box::pin(async move {
            let found = lookup(name.as_str().to_owned()).await?;
            let allowed: Vec<SocketAddr> =
                found.into_iter().filter(|ip| reach.allows(*ip)).map(|ip| SocketAddr::new(ip, 0)).collect();
            if allowed.is_empty() {
                return Err(OutOfReach.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}
