//! How often somebody may try to sign in or register: per network address and account, and, ten
//! times as often, per address and per account alone. In memory and per process: a brake on
//! guessing, not a quota. (That on requests of all kinds is in [`super::rate`].)

use std::{net::IpAddr, time::Duration};

use restroy_sdk::time::{Ambient, Timestamp};

use super::gcra::{LimiterGroup, LimiterKey, Rate, RateTable};
use crate::DomainError;

/// What attempts are counted over.
const WINDOW: Duration = Duration::from_mins(1);
/// How many addresses, accounts and pairs of them are counted at once. A large network has a sixteenth of it at most;
/// see [`super::gcra`].
const MAX_KEYS: usize = 50_000;
/// How much more an IPv6 site may do than one of its networks.
const SITE: u32 = 3;

/// What is attempted. What is counted for one does not stop another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptKind {
    /// To sign in with a password.
    Login,
    /// To show the password once more within a session.
    Proof,
    /// To show a token: of an e-mail, or of a sign-in that is half done.
    Token,
    /// To register an address.
    Register,
    /// To have an e-mail sent with which another password can be chosen.
    Reset,
}

impl AttemptKind {
    fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Login => b"login",
            Self::Proof => b"proof",
            Self::Token => b"token",
            Self::Register => b"register",
            Self::Reset => b"reset",
        }
    }

    /// Whether it guesses, so that it is counted for the account wherever it comes from. What guesses nothing is
    /// not: others could use it up.
    fn is_guess(self) -> bool {
        matches!(self, Self::Login | Self::Proof | Self::Token)
    }
}

/// An attempt that was one too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyAttempts {
    wait: Duration,
    /// By what is counted for the account alone: whoever tries has done little, others much.
    pub by_others: bool,
}

impl From<TooManyAttempts> for DomainError {
    fn from(refused: TooManyAttempts) -> Self {
        Self::TooManyAttempts {
            detail: "Too many attempts. Wait a minute and try again.".into(),
            wait: Some(refused.wait),
        }
    }
}

/// Counts attempts.
#[derive(Debug)]
pub struct SignInLimits {
    per_window: u32,
    table: RateTable,
}

impl SignInLimits {
    /// So many attempts a minute from one address for one account.
    pub fn new(per_minute: u32) -> Self {
        Self { per_window: per_minute.max(1), table: RateTable::new(MAX_KEYS) }
    }

    /// Counts an attempt; refuses when it is one too many. `account` is whatever was typed: whether it
    /// exists makes no difference.
    pub fn record_attempt(
        &self,
        ambient: &Ambient,
        address: Option<IpAddr>,
        what: AttemptKind,
        account: &str,
    ) -> Result<(), TooManyAttempts> {
        // From the attacker's own counters to the shared one: what is refused by the former does not
        // reach the latter, so that nobody alone locks an account, or fills the table, for others.
        self.record_address_attempt(ambient, address)?;
        let (now, group) = (ambient.now(), group(address));
        let (what_for, account) = (what.as_bytes(), account.as_bytes());
        for (network, factor) in networks(address) {
            let key = LimiterKey::from_parts(&[b"both", network.as_bytes(), what_for, account]);
            self.count(key, group, self.per_window.saturating_mul(factor), now)?;
        }
        if what.is_guess() {
            let key = LimiterKey::from_parts(&[b"account", what_for, account]);
            self.count(key, group, self.wide(), now)
                .map_err(|refused| TooManyAttempts { by_others: true, ..refused })?;
        }
        Ok(())
    }

    /// Counts an attempt that names no account.
    pub fn record_address_attempt(&self, ambient: &Ambient, address: Option<IpAddr>) -> Result<(), TooManyAttempts> {
        let (now, group) = (ambient.now(), group(address));
        for (network, factor) in networks(address) {
            let most = self.wide().saturating_mul(factor);
            self.count(LimiterKey::from_parts(&[b"address", network.as_bytes()]), group, most, now)?;
        }
        Ok(())
    }

    fn wide(&self) -> u32 {
        self.per_window.saturating_mul(10)
    }

    fn count(&self, key: LimiterKey, group: LimiterGroup, most: u32, now: Timestamp) -> Result<(), TooManyAttempts> {
        match self.table.count(key, group, Rate { most, window: WINDOW }, now).refused {
            None => Ok(()),
            Some(wait) => Err(TooManyAttempts { wait, by_others: false }),
        }
    }
}

/// Whom an address belongs to: one IPv6 subscriber has a network of 64 bits (RFC 6177).
pub fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("{:x}/64", address.to_bits() >> 64),
    }
}

/// The large network that an address is of: what an Internet provider of IPv6 is given (RFC 6177), and a common block
/// of IPv4. Whoever has as many addresses as they like has them there.
pub fn group(address: Option<IpAddr>) -> LimiterGroup {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => LimiterGroup::from_bytes(&address.octets()[..2]),
        Some(IpAddr::V6(address)) => LimiterGroup::from_bytes(&address.octets()[..4]),
        None => LimiterGroup::from_bytes(b""),
    }
}

/// Whether two addresses belong to the same.
pub fn same_network(one: IpAddr, other: IpAddr) -> bool {
    network(one) == network(other)
}

/// The network of an address and, of IPv6, the site that it may be one of 65,536 of; each with how much more than
/// a network it may do.
fn networks(address: Option<IpAddr>) -> impl Iterator<Item = (String, u32)> {
    let site = address.and_then(|address| match address.to_canonical() {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some((format!("{:x}/48", address.to_bits() >> 80), SITE)),
    });
    std::iter::once((address.map(network).unwrap_or_default(), 1)).chain(site)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use restroy_sdk::time::{Clock, System};

    use super::{AttemptKind::Login, *};

    /// A clock that stands: while a test counts, nothing becomes due.
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp(0)
        }
    }

    fn still() -> Ambient {
        Ambient::new(Arc::new(Still), Arc::new(System))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_locks_nobody_else_out() {
        let (limits, ambient) = (SignInLimits::new(10), Ambient::system());
        for _ in 0..1_000 {
            let _ = limits.record_attempt(&ambient, Some(address("192.0.2.1")), Login, "ann"); // most are refused
        }
        for n in 0..40_000 {
            let _ = limits.record_attempt(&ambient, Some(address("192.0.2.1")), Login, &n.to_string());
        }
        limits.record_attempt(&ambient, Some(address("192.0.2.2")), Login, "ann").unwrap();
        limits.record_attempt(&ambient, Some(address("192.0.2.2")), Login, "bob").unwrap();
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let (limits, ambient) = (SignInLimits::new(1), Ambient::system());
        limits.record_attempt(&ambient, Some(address("2001:db8::1")), Login, "ann").unwrap();
        assert!(limits.record_attempt(&ambient, Some(address("2001:db8::2")), Login, "ann").is_err());
        limits.record_attempt(&ambient, Some(address("2001:db8:0:1::1")), Login, "ann").unwrap();
    }

    /// Whoever has a site, such as a network of 48 bits, has 65,536 networks, and still does not lock others out.
    #[test]
    fn a_site_of_ipv6_counts_as_three_networks() {
        let (limits, ambient) = (SignInLimits::new(10), still());
        let mut through = 0;
        for n in 0..1_000 {
            let from = address(&format!("2001:db8:0:{n:x}::1"));
            through += u32::from(limits.record_attempt(&ambient, Some(from), Login, "ann").is_ok());
        }
        assert_eq!(through, 30);
        limits.record_attempt(&ambient, Some(address("2001:db8:1::1")), Login, "ann").unwrap();
    }

    /// Whoever has a network of 32 bits, as providers do, has 65,536 sites.
    #[test]
    fn a_provider_of_ipv6_shuts_nobody_out() {
        let (limits, ambient) = (SignInLimits::new(10), still());
        let ours = Some(address("192.0.2.1"));
        for _ in 0..10 {
            limits.record_attempt(&ambient, ours, Login, "ann").unwrap();
        }
        for n in 0..8_000_u32 {
            let from = address(&format!("2001:db8:{n:x}::1"));
            let _ = limits.record_attempt(&ambient, Some(from), Login, &format!("nobody {n}"));
        }
        limits.record_attempt(&ambient, Some(address("198.51.100.1")), Login, "bob").unwrap();
        assert!(
            limits.record_attempt(&ambient, ours, Login, "ann").is_err(),
            "what was counted elsewhere is not forgotten"
        );
    }

    #[test]
    fn refusals_caused_by_others_are_distinguished() {
        let (limits, ambient) = (SignInLimits::new(1), still());
        let at = |n: u8| Some(IpAddr::from([192, 0, 2, n]));
        for n in 0..10 {
            limits.record_attempt(&ambient, at(n), Login, "ann").unwrap();
        }
        assert!(!limits.record_attempt(&ambient, at(0), Login, "ann").unwrap_err().by_others);
        assert!(limits.record_attempt(&ambient, at(10), Login, "ann").unwrap_err().by_others);
        // What guesses nothing has no count of the account's that others could use up.
        for n in 0..20 {
            limits.record_attempt(&ambient, at(n), AttemptKind::Reset, "ann").unwrap();
        }
    }
}
