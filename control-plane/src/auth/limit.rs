//! How often somebody may try to sign in or register: per network address and account, and, ten
//! times as often, per address and per account alone. In memory and per process: a brake on
//! guessing, not a quota. (That on requests of all kinds is in [`super::rate`].)

use std::{net::IpAddr, time::Duration};

use restroy_sdk::{
    problem::ProblemCode,
    time::{Ambient, Timestamp},
};

use super::gcra::{Key, Rate, Table};
use crate::error::{ApiError, ApiResult};

/// What attempts are counted over.
const WINDOW: Duration = Duration::from_mins(1);
/// How many addresses, accounts and pairs of them are counted at once.
const MAX_KEYS: usize = 30_000;

/// Counts attempts.
#[derive(Debug)]
pub struct SignInLimits {
    per_window: u32,
    table: Table,
}

impl SignInLimits {
    /// So many attempts a minute from one address for one account.
    pub fn new(per_minute: u32) -> Self {
        Self { per_window: per_minute.max(1), table: Table::new(MAX_KEYS) }
    }

    /// Counts an attempt; 429 when it is one too many. `account` is whatever was typed: whether it
    /// exists makes no difference.
    pub fn attempt(&self, ambient: &Ambient, address: Option<IpAddr>, account: &str) -> ApiResult<()> {
        // From the attacker's own counters to the shared one: what is refused by the former does not
        // reach the latter, so that nobody alone locks an account, or fills the table, for others.
        self.attempt_from(ambient, address)?;
        let now = ambient.now();
        let address = address.map(network).unwrap_or_default();
        let (address, account) = (address.as_bytes(), account.as_bytes());
        self.count(Key::of(&[b"both", address, account]), self.per_window, now)?;
        self.count(Key::of(&[b"account", account]), self.wide(), now)
    }

    /// Counts an attempt that names no account.
    pub fn attempt_from(&self, ambient: &Ambient, address: Option<IpAddr>) -> ApiResult<()> {
        let address = address.map(network).unwrap_or_default();
        self.count(Key::of(&[b"address", address.as_bytes()]), self.wide(), ambient.now())
    }

    /// How many from an address, or for an account, whatever the other.
    fn wide(&self) -> u32 {
        self.per_window.saturating_mul(10)
    }

    fn count(&self, key: Key, most: u32, now: Timestamp) -> ApiResult<()> {
        match self.table.count(key, Rate { most, window: WINDOW }, now).map(|standing| standing.refused) {
            Some(None) => Ok(()),
            Some(Some(wait)) => Err(refused(wait)),
            None => Err(refused(WINDOW)),
        }
    }
}

/// Whom an address belongs to: one IPv6 subscriber has a network of 64 bits (RFC 6177).
pub(super) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{:x}/64", address.to_bits() >> 64),
    }
}

fn refused(wait: Duration) -> ApiError {
    ApiError::with(ProblemCode::RateLimited, "Too many attempts; wait a minute and try again.").after(wait)
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
