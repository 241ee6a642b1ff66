//! How often somebody may try to sign in or register: per network address and account, and, ten
//! times as often, per address and per account alone. In memory and per process: a brake on
//! guessing, not a quota.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use restroy_sdk::{
    problem::ProblemCode,
    time::{Ambient, Timestamp},
};
use sha2::{Digest, Sha256};

use crate::error::{ApiError, ApiResult};

/// The window that attempts are counted in.
const WINDOW: Duration = Duration::from_mins(1);
/// How many counters are held; about 64 bytes each.
const MAX_COUNTERS: usize = 30_000;

#[derive(Debug, Clone, Copy)]
struct Counter {
    since: Timestamp,
    attempts: u32,
}

/// Counts attempts.
#[derive(Debug)]
pub struct SignInLimits {
    per_window: u32,
    counters: Mutex<HashMap<[u8; 16], Counter>>,
}

impl SignInLimits {
    /// So many attempts a minute from one address for one account.
    pub fn new(per_minute: u32) -> Self {
        Self { per_window: per_minute.max(1), counters: Mutex::new(HashMap::new()) }
    }

    /// Counts an attempt; 429 when it is one too many. `account` is whatever was typed: whether it
    /// exists makes no difference.
    pub fn attempt(&self, ambient: &Ambient, address: Option<IpAddr>, account: &str) -> ApiResult<()> {
        let now = ambient.now();
        let address = address.map(network).unwrap_or_default();
        let wide = self.per_window.saturating_mul(10);
        // From the attacker's own counters to the shared one: what is refused by the former does not
        // reach the latter, so that nobody alone locks an account, or fills the table, for others.
        let counted = [
            (key(&["address", &address]), wide),
            (key(&["both", &address, account]), self.per_window),
            (key(&["account", account]), wide),
        ];
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, most) in counted {
            if counters.len() >= MAX_COUNTERS && !counters.contains_key(&key) {
                counters.retain(|_, counter| now.since(counter.since) < WINDOW);
                if counters.len() >= MAX_COUNTERS {
                    return Err(refused());
                }
            }
            let counter = counters.entry(key).or_insert(Counter { since: now, attempts: 0 });
            if now.since(counter.since) >= WINDOW {
                *counter = Counter { since: now, attempts: 0 };
            }
            counter.attempts = counter.attempts.saturating_add(1);
            if counter.attempts > most {
                return Err(refused());
            }
        }
        Ok(())
    }
}

/// Whom an address belongs to: one IPv6 subscriber has a network of 64 bits (RFC 6177).
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{:x}/64", address.to_bits() >> 64),
    }
}

/// Of fixed length, whatever was typed.
fn key(parts: &[&str]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let mut short = [0; 16];
    short.copy_from_slice(&hasher.finalize()[..16]);
    short
}

fn refused() -> ApiError {
    ApiError::with(ProblemCode::RateLimited, "Too many attempts; wait a minute and try again.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_locks_nobody_else_out() {
        let (limits, ambient) = (SignInLimits::new(10), Ambient::system());
        for _ in 0..1_000 {
            let _ = limits.attempt(&ambient, Some(address("192.0.2.1")), "ann"); // most are refused
        }
        for n in 0..40_000 {
            let _ = limits.attempt(&ambient, Some(address("192.0.2.1")), &n.to_string());
        }
        limits.attempt(&ambient, Some(address("192.0.2.2")), "ann").unwrap();
        limits.attempt(&ambient, Some(address("192.0.2.2")), "bob").unwrap();
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let (limits, ambient) = (SignInLimits::new(1), Ambient::system());
        limits.attempt(&ambient, Some(address("2001:db8::1")), "ann").unwrap();
        assert!(limits.attempt(&ambient, Some(address("2001:db8::2")), "ann").is_err());
        limits.attempt(&ambient, Some(address("2001:db8:0:1::1")), "ann").unwrap();
    }
}
