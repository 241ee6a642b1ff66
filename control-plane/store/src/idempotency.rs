//! Requests that came with an idempotency key, and what they were answered.

use std::time::Duration;

use restroy_sdk::time::Timestamp;
use sqlx::{query, query_as};
use uuid::Uuid;

use super::Tx;
use crate::sql;

/// How long a key stands for its request.
const KEY_TTL: Duration = Duration::from_hours(24);

/// What a key is unique within: the team, or the user where there is no team yet, and the route.
#[derive(Debug, Clone, Copy)]
pub struct KeyRef<'a> {
    /// The team or the user.
    pub scope: Uuid,
    /// Method and path.
    pub route: &'a str,
    /// The key.
    pub key: &'a str,
}

/// What is known of a key.
#[derive(Debug)]
pub enum KeyState {
    /// It stands for this request from now on.
    New,
    /// It stands for an earlier one.
    Known {
        /// The hash of that one.
        request_hash: Vec<u8>,
        /// What it was answered, status and body; none while it is in progress.
        answer: Option<(i64, String)>,
    },
    /// Its time ended between two statements.
    Expired,
}

/// Lets a key stand for a request, unless it stands for another.
pub async fn begin(tx: &mut Tx, at: KeyRef<'_>, request_hash: &[u8], now: Timestamp) -> Result<KeyState, sqlx::Error> {
    // On Postgres this waits for another transaction that has the same key in hand: afterwards its
    // answer is there, or the key is free.
    let inserted = sql!(
        &mut *tx,
        execute,
        query(
            "INSERT INTO idempotency_keys (scope, route, key, request_hash, created_at)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (scope, route, key) DO UPDATE SET
                 request_hash = excluded.request_hash, status = NULL, answer = NULL,
                 created_at = excluded.created_at
             WHERE idempotency_keys.created_at < $6"
        )
        .bind(at.scope)
        .bind(at.route)
        .bind(at.key)
        .bind(request_hash)
        .bind(now)
        .bind(now.before(KEY_TTL))
    )?;
    if inserted.rows_affected() == 1 {
        return Ok(KeyState::New);
    }
    let first: Option<(Vec<u8>, Option<i64>, Option<String>)> = sql!(
        &mut *tx,
        fetch_optional,
        query_as(
            "SELECT request_hash, status, answer FROM idempotency_keys
             WHERE scope = $1 AND route = $2 AND key = $3"
        )
        .bind(at.scope)
        .bind(at.route)
        .bind(at.key)
    )?;
    Ok(first.map_or(KeyState::Expired, |(request_hash, status, answer)| KeyState::Known {
        request_hash,
        answer: status.zip(answer),
    }))
}

/// Keeps the answer of a request for a repeat.
pub async fn store_answer(tx: &mut Tx, at: KeyRef<'_>, status: u16, answer: &str) -> Result<(), sqlx::Error> {
    sql!(
        tx,
        execute,
        query("UPDATE idempotency_keys SET status = $4, answer = $5 WHERE scope = $1 AND route = $2 AND key = $3")
            .bind(at.scope)
            .bind(at.route)
            .bind(at.key)
            .bind(i64::from(status))
            .bind(answer)
    )?;
    Ok(())
}
