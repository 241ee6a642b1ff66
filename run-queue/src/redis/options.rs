//! Where Redis is and under which names it is used.

use std::fmt;

use redis::{Client, IntoConnectionInfo, ProtocolVersion, TlsCertificates, io::tcp::TcpSettings};
use url::Url;

/// The longest prefix, in bytes.
const MAX_PREFIX: usize = 64;

/// What every key and channel in Redis begins with: 1 to 64 letters, digits, `-`, `_`, `.` and `:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Validates a prefix.
    pub fn new(text: &str) -> Result<Self, RedisOptionsError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        if text.is_empty() || text.len() > MAX_PREFIX || !text.chars().all(allowed) {
            return Err(RedisOptionsError::Prefix);
        }
        Ok(Self(text.to_owned()))
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A checked address of a Redis and the prefix of every key and channel that is used there.
#[derive(Clone)]
pub struct RedisOptions {
    client: Client,
    prefix: Prefix,
}

/// Why Redis cannot be used with such settings. Never shows the URL's password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisOptionsError {
    /// The URL.
    #[error("the Redis URL {0}; it is written redis://[user:password@]host[:port][/database], rediss:// for TLS")]
    Url(String),
    /// The prefix.
    #[error(
        "the Redis prefix must be 1 to {MAX_PREFIX} characters long and consist of letters, digits, \
         '-', '_', '.' and ':'"
    )]
    Prefix,
    /// The certificate authority.
    #[error("the certificate authority for Redis cannot be used: {0}")]
    Authority(String),
}

impl RedisOptions {
    /// A Redis at `redis://` or `rediss://` (TLS, checked against the system's authorities). All
    /// that is kept there and said there goes under `prefix`, so several installations share one.
    /// Nothing is connected yet.
    pub fn new(url: &str, prefix: &str) -> Result<Self, RedisOptionsError> {
        Self::build(url, prefix, None)
    }

    /// As [`RedisOptions::new`], for a `rediss://` whose certificate comes from an authority of
    /// one's own: `authority_pem` holds its certificates, and only they are trusted.
    pub fn with_authority(url: &str, prefix: &str, authority_pem: Vec<u8>) -> Result<Self, RedisOptionsError> {
        Self::build(url, prefix, Some(authority_pem))
    }

    fn build(url: &str, prefix: &str, authority: Option<Vec<u8>>) -> Result<Self, RedisOptionsError> {
        let prefix = Prefix::new(prefix)?;
        let parsed = parse(url).map_err(RedisOptionsError::Url)?;
        let tls = parsed.scheme() == "rediss";
        // The library's own words may repeat parts of the URL.
        let info = parsed.into_connection_info().map_err(|_| RedisOptionsError::Url("cannot be used".to_owned()))?;
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(redis).set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let client = match authority {
            None => Client::open(info).map_err(|_| RedisOptionsError::Url("cannot be used".to_owned()))?,
            Some(_) if !tls => {
                return Err(RedisOptionsError::Authority("the Redis URL is not rediss://".to_owned()));
            }
            Some(pem) => Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(pem) })
                .map_err(|error| RedisOptionsError::Authority(error.to_string()))?,
        };
        Ok(Self { client, prefix })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// The full name of a key or channel.
    pub(super) fn name(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix.as_str())
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address without user and password.
        f.debug_struct("RedisOptions")
            .field("address", &self.client.get_connection_info().addr().to_string())
            .field("prefix", &self.prefix.as_str())
            .finish_non_exhaustive()
    }
}

/// Checks the URL's shape; what is wrong with it, without repeating any of it.
fn parse(url: &str) -> Result<Url, String> {
    let parsed = Url::parse(url).map_err(|error| format!("is not a URL ({error})"))?;
    if !matches!(parsed.scheme(), "redis" | "rediss") {
        return Err("begins with neither redis:// nor rediss://".to_owned());
    }
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err("names no host".to_owned());
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err("has something after a '?' or '#', which nothing reads".to_owned());
    }
    let database = parsed.path().trim_start_matches('/');
    if !database.is_empty() && database.parse::<u16>().is_err() {
        return Err("ends with something other than the number of a database".to_owned());
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_work_and_never_shows_the_password() {
        for (url, word) in [
            ("", "not a URL"),
            ("localhost:6379", "neither redis"),
            ("http://user:hunter2@localhost", "neither redis"),
            ("redis://user:hunter2@", "not a URL"),
            ("redis://user:hunter2@host:port/", "not a URL"),
            ("redis://user:hunter2@host/zero", "database"),
            ("redis://user:hunter2@host/70000", "database"),
            ("redis://user:hunter2@host/?protocol=hunter2", "after a '?'"),
            ("rediss://user:hunter2@host/#insecure", "after a '?'"),
            ("redis://:hunter2%ff@host", "cannot be used"),
            ("redis://:hunter2@0.0.0.0", "cannot be used"),
        ] {
            let error = RedisOptions::new(url, "restroy").expect_err(url).to_string();
            assert!(error.contains(word), "{url}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn refuses_a_prefix_that_is_none() {
        for prefix in ["", "a b", "a*", "a{b}", "ä", &"a".repeat(65)] {
            assert_eq!(RedisOptions::new("redis://h", prefix).expect_err(prefix), RedisOptionsError::Prefix);
        }
    }

    #[test]
    fn an_authority_goes_with_tls_only() {
        let error = RedisOptions::with_authority("redis://h", "restroy", Vec::new()).expect_err("no TLS");
        assert!(error.to_string().contains("rediss://"), "{error}");
    }

    #[test]
    fn shows_the_address_and_no_password() {
        let options = RedisOptions::new("rediss://user:hunter2@redis.example:6380/3", "restroy:eu").unwrap();
        let shown = format!("{options:?}");
        assert!(shown.contains("redis.example:6380") && !shown.contains("hunter2"), "{shown}");
        assert_eq!(options.name("wake"), "restroy:eu:wake");
    }
}
