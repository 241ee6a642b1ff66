//! E-mails to strangers: to addresses that no account has verified and no invitation waits for. Whoever asks for
//! one may want to pester its owner, so they are counted by where the request came from, and all together, over all
//! replicas. Who is over the limit is not told: the answer is the same as ever.

use std::{net::IpAddr, time::Duration};

use restroy_sdk::{
    ids::MessageId,
    time::{Ambient, Timestamp},
};
use sqlx::query;

use super::Tx;
use crate::sql;

/// What they are counted over.
pub const WINDOW: Duration = Duration::from_hours(1);
/// How many times as many those who have an account may cause from one network: they answer for it by name, and have
/// limits of their own.
const ACCOUNTS: i64 = 10;

/// How many e-mails go to strangers within an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrangerMails {
    /// Caused by visitors from one network (IPv4/24, IPv6/48); by people with an account ten times as many.
    pub per_network: u32,
    /// Caused by all visitors together; by people with an account as many again.
    pub per_installation: u32,
}

impl Default for StrangerMails {
    fn default() -> Self {
        Self { per_network: 20, per_installation: 500 }
    }
}

/// Who causes an e-mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailCause {
    /// Somebody who registers, or asks for another password.
    Visitor,
    /// Somebody with an account who invites others, or changes an address.
    Account,
}

impl EmailCause {
    fn as_str(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::Account => "account",
        }
    }
}

impl StrangerMails {
    /// Counts an e-mail, if it may go out; whether it may. Transactions that count at the same moment do not see one
    /// another: the limits are passed by as many at most as transactions are under way.
    pub async fn try_count(
        self,
        tx: &mut Tx,
        ambient: &Ambient,
        cause: EmailCause,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<bool, sqlx::Error> {
        let per_network = match cause {
            EmailCause::Visitor => i64::from(self.per_network),
            EmailCause::Account => i64::from(self.per_network).saturating_mul(ACCOUNTS),
        };
        let done = sql!(
            tx,
            execute,
            query(
                "INSERT INTO stranger_mails (id, kind, network, created_at)
                 SELECT $1, $2, $3, $4
                 WHERE (SELECT count(*) FROM stranger_mails WHERE kind = $2 AND network = $3 AND created_at > $5) < $6
                   AND (SELECT count(*) FROM stranger_mails WHERE kind = $2 AND created_at > $5) < $7"
            )
            .bind(ambient.id::<MessageId>())
            .bind(cause.as_str())
            .bind(network(from))
            .bind(now)
            .bind(now.before(WINDOW))
            .bind(per_network)
            .bind(i64::from(self.per_installation))
        )?;
        Ok(done.rows_affected() == 1)
    }
}

/// The network that an address is one of many of.
fn network(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => format!("{:x}/24", address.to_bits() >> 8),
        Some(IpAddr::V6(address)) => format!("{:x}/48", address.to_bits() >> 80),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_counted_together() {
        let network = |text: &str| network(Some(text.parse().unwrap()));
        assert_eq!(network("192.0.2.1"), network("192.0.2.200"));
        assert_ne!(network("192.0.2.1"), network("192.0.3.1"));
        assert_eq!(network("192.0.2.1"), network("::ffff:192.0.2.9"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:ff::1"));
        assert_ne!(network("2001:db8:1::1"), network("2001:db8:2::1"));
    }
}
