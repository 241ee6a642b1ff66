//! The second factor of accounts: a sealed TOTP secret each, and recovery codes as hashes.

use restroy_sdk::{
    ids::UserId,
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_as, types::Uuid};

use super::{Db, StoreError, Tx, team_keys::RewrapReport};
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

/// How many secrets each master key seals, by its id.
pub async fn key_uses(db: &Db) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let mut tx = db.system_read().await?;
    let count = "SELECT key_id, count(*) FROM totp GROUP BY key_id ORDER BY key_id";
    sql!(&mut tx, fetch_all, query_as(count))
}

/// How many secrets are looked up at a time.
const REWRAP_STEP: i64 = 200;

/// Seals every secret anew that is sealed with an older master key, as [`team_keys::rewrap`](super::team_keys::rewrap)
/// does with the teams' keys: it may be repeated, and continue while the service runs; what is sealed with a key that
/// the ring lacks stays as it is, and is counted.
pub async fn rewrap(db: &Db, keys: &KeyRing, ambient: &Ambient) -> Result<RewrapReport, StoreError> {
    let mut rewrapped = RewrapReport::default();
    loop {
        let before = rewrapped.done;
        rewrapped.unknown.clear();
        let mut last = UserId(Uuid::nil());
        loop {
            let users = not_newest(db, keys, last).await?;
            let Some((newest, _)) = users.last() else { break };
            last = *newest;
            for (user, key_id) in users {
                if !keys.ids().any(|id| id == key_id) {
                    *rewrapped.unknown.entry(key_id).or_default() += 1;
                } else if rewrap_one(db, keys, ambient, user).await? {
                    rewrapped.done += 1;
                }
            }
        }
        if rewrapped.done == before {
            return Ok(rewrapped);
        }
    }
}

/// Accounts after `after` whose secret is not sealed with the newest master key, and with which.
async fn not_newest(db: &Db, keys: &KeyRing, after: UserId) -> Result<Vec<(UserId, String)>, sqlx::Error> {
    let mut tx = db.system_read().await?;
    let older = "SELECT user_id, key_id FROM totp WHERE user_id > $1 AND key_id <> $2 ORDER BY user_id LIMIT $3";
    sql!(&mut tx, fetch_all, query_as(older).bind(after).bind(keys.newest()).bind(REWRAP_STEP))
}

/// Whether there was anything to do.
async fn rewrap_one(db: &Db, keys: &KeyRing, ambient: &Ambient, user: UserId) -> Result<bool, StoreError> {
    let mut tx = db.system_write().await?;
    let Some(totp) = get(&mut tx, user).await? else { return Ok(false) };
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
    Ok(done.rows_affected() == 1)
}
