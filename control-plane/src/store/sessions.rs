//! Sessions: a login each, with the hash of its newest refresh token.

use restroy_sdk::{
    ids::{SessionId, UserId},
    time::Timestamp,
};
use sqlx::{query, query_as};

use super::Tx;
use crate::sql;

/// A session.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// SHA-256 of the newest refresh token.
    pub refresh_hash: Vec<u8>,
    /// Counts the rotations, from 1.
    pub generation: i64,
}

/// A new session.
pub async fn insert(
    tx: &mut Tx,
    session: &Session,
    user_agent: Option<&str>,
    now: Timestamp,
    expires: Timestamp,
) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query(
            "INSERT INTO sessions
                 (id, user_id, refresh_hash, generation, user_agent, created_at, refreshed_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $6, $7)"
        )
        .bind(session.id)
        .bind(session.user_id)
        .bind(&session.refresh_hash)
        .bind(session.generation)
        .bind(user_agent)
        .bind(now)
        .bind(expires)
    )?;
    Ok(())
}

/// A session that is still good, of an account that is. Its row is held until the transaction ends:
/// of two who show the same refresh token, the second finds it used.
pub async fn live(tx: &mut Tx, id: SessionId, now: Timestamp) -> Result<Option<Session>, sqlx::Error> {
    macro_rules! live {
        () => {
            "SELECT s.id, s.user_id, s.refresh_hash, s.generation
             FROM sessions s JOIN users u ON u.id = s.user_id AND u.deleted_at IS NULL
             WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > $2"
        };
    }
    let statement = tx.pick(live!(), concat!(live!(), " FOR NO KEY UPDATE OF s"));
    sql!(tx, fetch_optional, query_as(statement).bind(id).bind(now))
}

/// Replaces the refresh token of generation `from`; whether that was still the newest.
pub async fn rotate(
    tx: &mut Tx,
    id: SessionId,
    from: i64,
    refresh_hash: &[u8],
    now: Timestamp,
    expires: Timestamp,
) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query(
            "UPDATE sessions SET refresh_hash = $3, generation = $2 + 1, refreshed_at = $4, expires_at = $5
             WHERE id = $1 AND generation = $2 AND revoked_at IS NULL"
        )
        .bind(id)
        .bind(from)
        .bind(refresh_hash)
        .bind(now)
        .bind(expires)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Ends a session, and with it every token of its family.
pub async fn revoke(tx: &mut Tx, id: SessionId, now: Timestamp) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query("UPDATE sessions SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL").bind(id).bind(now)
    )?;
    Ok(())
}

/// Ends the oldest sessions of an account beyond the newest `keep`.
pub async fn revoke_beyond(tx: &mut Tx, user: UserId, keep: i64, now: Timestamp) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query(
            "UPDATE sessions SET revoked_at = $3
             WHERE user_id = $1 AND revoked_at IS NULL AND id NOT IN (
                 SELECT id FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $3
                 ORDER BY refreshed_at DESC, id DESC LIMIT $2)"
        )
        .bind(user)
        .bind(keep)
        .bind(now)
    )?;
    Ok(())
}
