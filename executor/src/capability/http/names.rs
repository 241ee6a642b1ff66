//! The names of scripts' requests, looked up in the DNS without a thread: a lookup is a future, and whoever drops it
//! keeps nothing of it.
//!
//! The name servers are those of `/etc/resolv.conf`, and `/etc/hosts` comes first. A name means the same whoever
//! asks: search domains and `ndots` are not applied, each name counts as complete. Answers are not kept here, since
//! an answer's size is up to whom a stranger asks; the name server keeps them.

use std::{
    fs, io,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
    proto::rr::Name,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};

use super::resolve::Lookup;

/// Lookups of one executor at once. Those of one task are bounded by its exchanges at once.
const LOOKUPS: usize = 64;
/// How long a lookup may take, beside what its caller allows; waiting for its turn counts.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one name server may take for one question, which is asked twice at most.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 1;
/// As many name servers as resolv.conf(5) takes.
const MOST_SERVERS: usize = 3;
/// A name has at most so many addresses that are looked at.
const MOST_ADDRESSES: usize = 32;
/// How often the system's files are looked at.
const REREAD: Duration = Duration::from_secs(10);
/// The most that is read of one of them, in bytes.
const MOST_OF_A_FILE: u64 = 1024 * 1024;

/// Where it is written how names are looked up.
#[derive(Debug, Clone)]
pub(super) struct ResolverFiles {
    /// The name servers, as resolv.conf(5) has it.
    pub(super) resolv_conf: PathBuf,
    /// Names that are not asked for, as hosts(5) has it.
    pub(super) hosts: PathBuf,
    /// The name servers' port.
    pub(super) port: u16,
}

impl ResolverFiles {
    /// The operating system's.
    pub(super) fn system() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into(), port: 53 }
    }

    fn read(&self) -> ResolverFileTexts {
        let read = |path: &PathBuf| {
            let mut text = Vec::new();
            let file = fs::File::open(path)
                .and_then(|file| io::Read::read_to_end(&mut io::Read::take(file, MOST_OF_A_FILE), &mut text));
            // Without the file there is nothing in it.
            file.map_or_else(|_| Vec::new(), |_| text)
        };
        ResolverFileTexts { resolv_conf: read(&self.resolv_conf), hosts: read(&self.hosts) }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct ResolverFileTexts {
    resolv_conf: Vec<u8>,
    hosts: Vec<u8>,
}

/// Asks for names' addresses.
pub(super) fn lookup(source: ResolverFiles) -> Lookup {
    let names = Arc::new(CachedResolver { source, current: Mutex::default(), permits: Semaphore::new(LOOKUPS) });
    Arc::new(move |name| {
        let names = Arc::clone(&names);
        Box::pin(async move { names.lookup(&name).await })
    })
}

struct CachedResolver {
    source: ResolverFiles,
    current: Mutex<Option<CurrentResolver>>,
    permits: Semaphore,
}

/// What was made of the files when they were looked at last.
struct CurrentResolver {
    at: Instant,
    files: ResolverFileTexts,
    resolver: Arc<TokioResolver>,
}

impl CachedResolver {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let mut full = Name::from_str_relaxed(name).map_err(|_| io::Error::other("it is not a name"))?;
        full.set_fqdn(true);
        let asked = async {
            // Never closed. Given back with this future, whoever drops it.
            let _permit = self.permits.acquire().await;
            self.resolver()?.lookup_ip(full).await.map_err(|error| {
                tracing::debug!(%error, "a name was not found");
                let reason =
                    if error.is_no_records_found() { "no such name" } else { "its name servers do not answer" };
                io::Error::other(reason)
            })
        };
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "its name servers do not answer in time");
        let found = timeout(LOOKUP_TIMEOUT, asked).await.map_err(late)??;
        let mut found: Vec<_> = found.iter().take(MOST_ADDRESSES).collect();
        // Not every machine has a way into IPv6.
        found.sort_by_key(IpAddr::is_ipv6);
        Ok(found)
    }

    /// As the files have it, which are looked at now and then.
    fn resolver(&self) -> io::Result<Arc<TokioResolver>> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(current) = current.as_ref()
            && now.duration_since(current.at) < REREAD
        {
            return Ok(Arc::clone(&current.resolver));
        }
        let files = self.source.read();
        if let Some(current) = current.as_mut()
            && current.files == files
        {
            current.at = now;
            return Ok(Arc::clone(&current.resolver));
        }
        let resolver = Arc::new(build(&files, self.source.port)?);
        *current = Some(CurrentResolver { at: now, files, resolver: Arc::clone(&resolver) });
        Ok(resolver)
    }
}

fn build(files: &ResolverFileTexts, port: u16) -> io::Result<TokioResolver> {
    let servers = name_servers(&files.resolv_conf).into_iter().map(|address| {
        let mut server = NameServerConfig::udp_and_tcp(address);
        for connection in &mut server.connections {
            connection.port = port;
        }
        server
    });
    let mut options = ResolverOpts::default();
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = ATTEMPTS;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never; // read below
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // Two questions each, for both kinds of address.
    options.max_active_requests = LOOKUPS * 4;
    options.preserve_intermediates = false;
    let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
    let mut resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(|error| {
            tracing::warn!(%error, "names cannot be looked up");
            io::Error::other("names cannot be looked up")
        })?;
    let mut hosts = Hosts::default();
    if let Err(error) = hosts.read_hosts_conf(files.hosts.as_slice()) {
        tracing::warn!(%error, "the hosts file cannot be read");
    }
    resolver.set_hosts(Arc::new(hosts));
    Ok(resolver)
}

/// The name servers of a resolv.conf(5): this machine where it names none.
fn name_servers(resolv_conf: &[u8]) -> Vec<IpAddr> {
    let text = String::from_utf8_lossy(resolv_conf);
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        // An address within this link may name the interface, which cannot be told here.
        (words.next()? == "nameserver").then(|| words.next()?.split('%').next()?.parse().ok())?
    });
    let servers: Vec<IpAddr> = servers.take(MOST_SERVERS).collect();
    if servers.is_empty() { vec![IpAddr::from([127, 0, 0, 1])] } else { servers }
}

#[cfg(test)]
mod tests;
