//! Tokens that are good once, kept as hashes: links in e-mails, stream tickets, half-done logins.

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
    /// To choose another password; the subject is the address, folded, also where no account has it.
    ResetPassword,
    /// To finish a login with a code.
    SecondFactor,
    /// To let an account go to another address, from the old one; the subject is the change.
    EmailOld,
    /// The same from the new address; the same subject.
    EmailNew,
    /// To come back from an OpenID provider; of no account yet, the subject is the flow as JSON.
    Oidc,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::Stream => "stream",
            Self::ResetPassword => "reset_password",
            Self::SecondFactor => "second_factor",
            Self::EmailOld => "email_old",
            Self::EmailNew => "email_new",
            Self::Oidc => "oidc",
        }
    }
}

/// A new token. Those that have ended are removed by the purge.
pub async fn insert(
    tx: &mut Tx,
    purpose: Purpose,
    hash: &[u8],
    user: impl Into<Option<UserId>>,
    subject: &str,
    now: Timestamp,
    expires: Timestamp,
) -> Result<(), sqlx::Error> {
    let user: Option<UserId> = user.into();
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
pub async fn count_created_since(
    tx: &mut Tx,
    purpose: Purpose,
    user: UserId,
    since: Timestamp,
) -> Result<i64, sqlx::Error> {
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
             WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3 AND user_id IS NOT NULL
             RETURNING user_id, subject"
        )
        .bind(hash)
        .bind(purpose.as_str())
        .bind(now)
    )
}

/// Until the transaction ends nobody else has an e-mail of that kind sent to an address.
async fn lock_recipient(tx: &mut Tx, kind: &str, folded: &str) -> Result<(), sqlx::Error> {
    if let Tx::Postgres(..) = tx {
        // There may be no account whose row could be held.
        let statement = "SELECT pg_advisory_xact_lock(hashtextextended($1 || ' ' || $2, 0))";
        sql!(tx, execute, query(statement).bind(kind).bind(folded))?;
    }
    Ok(())
}

/// How many changes to an address, of whichever accounts, were begun since a moment. Until the transaction ends,
/// nobody else begins one.
pub async fn count_changes_since(tx: &mut Tx, folded: &str, since: Timestamp) -> Result<i64, sqlx::Error> {
    lock_recipient(&mut *tx, "email", folded).await?;
    sql!(
        tx,
        fetch_one,
        query_scalar("SELECT count(*) FROM one_time_tokens WHERE address = $1 AND created_at > $2")
            .bind(folded)
            .bind(since)
    )
}

/// Says which address, folded, a token is sent to, for [`count_changes_since`].
pub async fn set_recipient(tx: &mut Tx, hash: &[u8], folded: &str) -> Result<(), sqlx::Error> {
    sql!(tx, execute, query("UPDATE one_time_tokens SET address = $2 WHERE hash = $1").bind(hash).bind(folded))?;
    Ok(())
}

/// How many password resets were asked for at an address since a moment. Until the transaction ends,
/// nobody else asks for one there.
pub async fn count_resets_since(tx: &mut Tx, folded: &str, since: Timestamp) -> Result<i64, sqlx::Error> {
    lock_recipient(&mut *tx, "reset", folded).await?;
    sql!(
        tx,
        fetch_one,
        query_scalar(
            "SELECT count(*) FROM one_time_tokens WHERE purpose = 'reset_password' AND subject = $1 AND created_at > $2"
        )
        .bind(folded)
        .bind(since)
    )
}

/// Whose token it is, if it is still valid; it stays so.
pub async fn find_valid(
    tx: &mut Tx,
    purpose: Purpose,
    hash: &[u8],
    now: Timestamp,
) -> Result<Option<(UserId, String)>, sqlx::Error> {
    let found = find_including_spent(tx, purpose, hash, now).await?;
    Ok(found.filter(|(.., spent)| !spent).map(|(user, subject, _)| (user, subject)))
}

/// The same, be it spent, if it is not too old; and whether it is spent.
pub async fn find_including_spent(
    tx: &mut Tx,
    purpose: Purpose,
    hash: &[u8],
    now: Timestamp,
) -> Result<Option<(UserId, String, bool)>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_as(
            "SELECT user_id, subject, used_at IS NOT NULL FROM one_time_tokens
             WHERE hash = $1 AND purpose = $2 AND expires_at > $3 AND user_id IS NOT NULL"
        )
        .bind(hash)
        .bind(purpose.as_str())
        .bind(now)
    )
}

/// Spends every token of an account for that purpose.
pub async fn spend_all(tx: &mut Tx, purpose: Purpose, user: UserId, now: Timestamp) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query("UPDATE one_time_tokens SET used_at = $3 WHERE user_id = $1 AND purpose = $2 AND used_at IS NULL")
            .bind(user)
            .bind(purpose.as_str())
            .bind(now)
    )?;
    Ok(())
}

/// Spends an account's token of that purpose and subject; whether there was one, unspent and not too old.
pub async fn spend_by_subject(
    tx: &mut Tx,
    purpose: Purpose,
    user: UserId,
    subject: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query(
            "UPDATE one_time_tokens SET used_at = $4
             WHERE user_id = $1 AND purpose = $2 AND subject = $3 AND used_at IS NULL AND expires_at > $4"
        )
        .bind(user)
        .bind(purpose.as_str())
        .bind(subject)
        .bind(now)
    )?;
    Ok(done.rows_affected() > 0)
}

/// Whether an account's token of that purpose and subject was spent, and is not too old.
pub async fn was_spent(
    tx: &mut Tx,
    purpose: Purpose,
    user: UserId,
    subject: &str,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let found: Option<i64> = sql!(
        tx,
        fetch_optional,
        query_scalar(
            "SELECT CAST(1 AS BIGINT) FROM one_time_tokens
             WHERE user_id = $1 AND purpose = $2 AND subject = $3 AND used_at IS NOT NULL AND expires_at > $4"
        )
        .bind(user)
        .bind(purpose.as_str())
        .bind(subject)
        .bind(now)
    )?;
    Ok(found.is_some())
}

/// What was kept of a flow to an OpenID provider, if it is still valid; it stays so.
pub async fn find_flow(tx: &mut Tx, hash: &[u8], now: Timestamp) -> Result<Option<String>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_scalar(
            "SELECT subject FROM one_time_tokens
             WHERE hash = $1 AND purpose = 'oidc' AND used_at IS NULL AND expires_at > $2"
        )
        .bind(hash)
        .bind(now)
    )
}

/// Spends a flow; whether it was good.
pub async fn spend_flow(tx: &mut Tx, hash: &[u8], now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query(
            "UPDATE one_time_tokens SET used_at = $2
             WHERE hash = $1 AND purpose = 'oidc' AND used_at IS NULL AND expires_at > $2"
        )
        .bind(hash)
        .bind(now)
    )?;
    Ok(done.rows_affected() == 1)
}
