//! Tokens that are good once, kept as hashes: e-mail verification, stream tickets.

use restroy_sdk::{ids::UserId, time::Timestamp};
use sqlx::{query, query_as, query_scalar};

use super::Tx;
use crate::sql;

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To verify an e-mail address; the subject is the registration as JSON.
    VerifyEmail,
    /// To open a stream; the subject is the session and the path.
    Stream,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::Stream => "stream",
        }
    }
}

/// A new token. Those that have ended are removed by the purge.
pub async fn insert(
    tx: &mut Tx,
    purpose: Purpose,
    hash: &[u8],
    user: UserId,
    subject: &str,
    now: Timestamp,
    expires: Timestamp,
) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query(
            "INSERT INTO one_time_tokens (hash, purpose, user_id, subject, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6)"
        )
        .bind(hash)
        .bind(purpose.as_str())
        .bind(user)
        .bind(subject)
        .bind(now)
        .bind(expires)
    )?;
    Ok(())
}

/// How many tokens an account got since a moment, spent or not.
pub async fn made_since(tx: &mut Tx, purpose: Purpose, user: UserId, since: Timestamp) -> Result<i64, sqlx::Error> {
    sql!(
        tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM one_time_tokens WHERE user_id = $1 AND purpose = $2 AND created_at > $3")
            .bind(user)
            .bind(purpose.as_str())
            .bind(since)
    )
}

/// Whether there is such a token at all; asked of a reader first, so that guessing never takes the
/// writer.
pub async fn is_known(tx: &mut Tx, purpose: Purpose, hash: &[u8]) -> Result<bool, sqlx::Error> {
    let found: Option<i64> = sql!(
        tx,
        fetch_optional,
        query_scalar("SELECT CAST(1 AS BIGINT) FROM one_time_tokens WHERE hash = $1 AND purpose = $2")
            .bind(hash)
            .bind(purpose.as_str())
    )?;
    Ok(found.is_some())
}

/// Spends a token: whose it was, and its subject; `None` when it is unknown, spent or too old.
pub async fn spend(
    tx: &mut Tx,
    purpose: Purpose,
    hash: &[u8],
    now: Timestamp,
) -> Result<Option<(UserId, String)>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_as(
            "UPDATE one_time_tokens SET used_at = $3
             WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3
             RETURNING user_id, subject"
        )
        .bind(hash)
        .bind(purpose.as_str())
        .bind(now)
    )
}
