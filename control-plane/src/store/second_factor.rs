//! The second factor of accounts: a sealed TOTP secret each, and recovery codes as hashes.

use restroy_sdk::{
    ids::UserId,
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as, query_scalar};

use super::{Db, StoreError, Tx};
use crate::{secrets::KeyRing, sql};

/// An account's authenticator.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Totp {
    /// The secret, sealed.
    pub sealed: Vec<u8>,
    /// The master key that sealed it.
    pub key_id: String,
    /// Since when logins ask for it; not yet while it was not confirmed.
    pub confirmed_at: Option<Timestamp>,
    /// The newest step whose code was taken.
    pub last_step: i64,
    /// Wrong codes since `failures_since`.
    pub failures: i64,
    /// When the counting began.
    pub failures_since: Timestamp,
}

/// An account's authenticator, confirmed or not.
pub async fn get(tx: &mut Tx, user: UserId) -> Result<Option<Totp>, sqlx::Error> {
    sql!(
        tx,
        fetch_optional,
        query_as(
            "SELECT sealed, key_id, confirmed_at, last_step, failures, failures_since FROM totp WHERE user_id = $1"
        )
        .bind(user)
    )
}

/// Whether an account's logins ask for a code.
pub async fn is_on(tx: &mut Tx, user: UserId) -> Result<bool, sqlx::Error> {
    Ok(get(tx, user).await?.is_some_and(|totp| totp.confirmed_at.is_some()))
}

/// Gives an account an authenticator that is still to be confirmed, in place of another such.
pub async fn begin(tx: &mut Tx, user: UserId, sealed: &[u8], key_id: &str, now: Timestamp) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query(
            "INSERT INTO totp (user_id, sealed, key_id, created_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (user_id) DO UPDATE SET sealed = excluded.sealed, key_id = excluded.key_id,
                 last_step = 0, failures = 0, failures_since = 0, created_at = excluded.created_at
             WHERE totp.confirmed_at IS NULL"
        )
        .bind(user)
        .bind(sealed)
        .bind(key_id)
        .bind(now)
    )?;
    Ok(())
}

/// From now on logins ask for a code.
pub async fn confirm(tx: &mut Tx, user: UserId, now: Timestamp) -> Result<(), sqlx::Error> {
    sql!(tx, execute, query("UPDATE totp SET confirmed_at = $2 WHERE user_id = $1").bind(user).bind(now))?;
    Ok(())
}

/// Takes a step's code; false when it, or a later one, was taken before.
pub async fn take_step(tx: &mut Tx, user: UserId, step: i64) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query("UPDATE totp SET last_step = $2, failures = 0 WHERE user_id = $1 AND last_step < $2")
            .bind(user)
            .bind(step)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Counts a wrong code.
pub async fn count_failure(tx: &mut Tx, user: UserId, failures: i64, since: Timestamp) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query("UPDATE totp SET failures = $2, failures_since = $3 WHERE user_id = $1")
            .bind(user)
            .bind(failures)
            .bind(since)
    )?;
    Ok(())
}

/// Takes the authenticator and the recovery codes away; whether there was one.
pub async fn remove(tx: &mut Tx, user: UserId) -> Result<bool, sqlx::Error> {
    sql!(&mut *tx, execute, query("DELETE FROM recovery_codes WHERE user_id = $1").bind(user))?;
    let done = sql!(&mut *tx, execute, query("DELETE FROM totp WHERE user_id = $1").bind(user))?;
    Ok(done.rows_affected() == 1)
}

/// Replaces an account's recovery codes by those of these hashes.
pub async fn set_recovery_codes(tx: &mut Tx, user: UserId, hashes: &[Vec<u8>]) -> Result<(), sqlx::Error> {
    sql!(&mut *tx, execute, query("DELETE FROM recovery_codes WHERE user_id = $1").bind(user))?;
    for hash in hashes {
        let insert = "INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2)";
        sql!(&mut *tx, execute, query(insert).bind(user).bind(hash))?;
    }
    Ok(())
}

/// Spends a recovery code; whether it was one, unspent.
pub async fn spend_recovery_code(tx: &mut Tx, user: UserId, hash: &[u8], now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query("UPDATE recovery_codes SET used_at = $3 WHERE user_id = $1 AND hash = $2 AND used_at IS NULL")
            .bind(user)
            .bind(hash)
            .bind(now)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Seals every secret anew that is sealed with an older master key; gives how many. May be repeated, and
/// go on while the service runs.
pub async fn rewrap(db: &Db, keys: &KeyRing, ambient: &Ambient) -> Result<usize, StoreError> {
    let mut tx = db.system_read().await?;
    let users: Vec<UserId> =
        sql!(&mut tx, fetch_all, query_scalar("SELECT user_id FROM totp WHERE key_id <> $1").bind(keys.newest()))?;
    drop(tx);
    let mut rewrapped = 0;
    for user in users {
        let mut tx = db.system_write().await?;
        let Some(totp) = get(&mut tx, user).await? else { continue };
        let plain = keys.open_of_user(user, &totp.sealed, &totp.key_id)?;
        let (sealed, key_id) = keys.seal_for_user(ambient, user, &plain)?;
        let done = sql!(
            &mut tx,
            execute,
            query("UPDATE totp SET sealed = $2, key_id = $3 WHERE user_id = $1 AND sealed = $4")
                .bind(user)
                .bind(sealed)
                .bind(key_id)
                .bind(&totp.sealed)
        )?;
        tx.commit().await?;
        rewrapped += usize::from(done.rows_affected() == 1);
    }
    Ok(rewrapped)
}
