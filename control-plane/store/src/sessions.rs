//! Sessions: a login each, with the hash of its newest refresh token.

use restroy_sdk::{
    api::account::SessionInfo,
    ids::{SessionId, UserId},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::{
    Tx,
    sort::{AgeOrder, by_age},
};
use crate::sql;

/// A session.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Session {
    /// The session's id.
    pub id: SessionId,
    /// The account that it belongs to.
    pub user_id: UserId,
    /// SHA-256 of the newest refresh token.
    pub refresh_hash: Vec<u8>,
    /// Counts the rotations, from 1.
    pub generation: i64,
}

/// Who signed in, as far as they told.
#[derive(Debug, Clone, Default)]
pub struct SessionOrigin {
    /// What their program calls itself.
    pub user_agent: Option<String>,
    /// Where they are.
    pub address: Option<String>,
}

/// A new session.
pub async fn insert(
    tx: &mut Tx,
    session: &Session,
    from: &SessionOrigin,
    now: Timestamp,
    expires: Timestamp,
) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query(
            "INSERT INTO sessions
                 (id, user_id, refresh_hash, generation, user_agent, address, created_at, refreshed_at, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8)"
        )
        .bind(session.id)
        .bind(session.user_id)
        .bind(&session.refresh_hash)
        .bind(session.generation)
        .bind(&from.user_agent)
        .bind(&from.address)
        .bind(now)
        .bind(expires)
    )?;
    Ok(())
}

/// A session that is still good, of an account that is. Its row is held until the transaction ends:
/// of two who show the same refresh token, the second finds it used.
pub async fn find_live(tx: &mut Tx, id: SessionId, now: Timestamp) -> Result<Option<Session>, sqlx::Error> {
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

/// Ends a session of an account; whether it had that one, and it went on.
pub async fn revoke_for_user(tx: &mut Tx, user: UserId, id: SessionId, now: Timestamp) -> Result<bool, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query(
            "UPDATE sessions SET revoked_at = $3
             WHERE id = $2 AND user_id = $1 AND revoked_at IS NULL AND expires_at > $3"
        )
        .bind(user)
        .bind(id)
        .bind(now)
    )?;
    Ok(done.rows_affected() == 1)
}

/// Ends every session of an account but `keep`; gives how many.
pub async fn revoke_others(
    tx: &mut Tx,
    user: UserId,
    keep: Option<SessionId>,
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    let done = sql!(
        tx,
        execute,
        query(
            "UPDATE sessions SET revoked_at = $3
             WHERE user_id = $1 AND ($2 IS NULL OR id <> $2) AND revoked_at IS NULL AND expires_at > $3"
        )
        .bind(user)
        .bind(keep)
        .bind(now)
    )?;
    Ok(done.rows_affected())
}

#[derive(sqlx::FromRow)]
struct SessionRow {
    id: SessionId,
    user_agent: Option<String>,
    address: Option<String>,
    created_at: Timestamp,
    refreshed_at: Timestamp,
    expires_at: Timestamp,
}

/// The sessions of an account that are active, the newest login first, before `before`.
pub async fn list(
    tx: &mut Tx,
    user: UserId,
    current: SessionId,
    age: AgeOrder,
    after: Option<SessionId>,
    rows: i64,
    now: Timestamp,
) -> Result<Vec<SessionInfo>, sqlx::Error> {
    let rows: Vec<SessionRow> = sql!(
        tx,
        fetch_all,
        query_as(by_age!(
            age,
            "id",
            "SELECT id, user_agent, address, created_at, refreshed_at, expires_at FROM sessions
             WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $4"
        ))
        .bind(user)
        .bind(after)
        .bind(rows)
        .bind(now)
    )?;
    let info = |row: SessionRow| SessionInfo {
        id: row.id,
        current: row.id == current,
        user_agent: row.user_agent,
        address: row.address,
        created_at: row.created_at,
        refreshed_at: row.refreshed_at,
        expires_at: row.expires_at,
    };
    Ok(rows.into_iter().map(info).collect())
}

/// Where an account, by its folded address, was signed in from, as far as its sessions tell that are still there:
/// the newest hundred.
pub async fn addresses(tx: &mut Tx, folded: &str) -> Result<Vec<String>, sqlx::Error> {
    sql!(
        tx,
        fetch_all,
        query_scalar(
            "SELECT s.address FROM sessions s JOIN users u ON u.id = s.user_id
             WHERE u.email_folded = $1 AND u.kind = 'person' AND u.deleted_at IS NULL AND s.address IS NOT NULL
             ORDER BY s.id DESC LIMIT 100"
        )
        .bind(folded)
    )
}

/// Ends the oldest sessions of an account beyond the newest `keep`.
pub async fn revoke_oldest(tx: &mut Tx, user: UserId, keep: i64, now: Timestamp) -> Result<(), sqlx::Error> {
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
