//! Removal of what has served its time, in small steps: none holds the writer for long.

use std::time::Duration;

use sqlx::query;

use crate::{error::ApiResult, sql, state::AppState};

/// How many rows a statement removes.
const STEP: i64 = 500;
/// How long the answers of idempotent requests are kept.
const IDEMPOTENCY: Duration = Duration::from_hours(24);
/// How long an executor that does not answer is remembered after it was revoked.
const EXECUTORS: Duration = Duration::from_hours(30 * 24);
/// How long an e-mail is kept that is not on its way. A script's own idempotency key for an e-mail is
/// good for as long.
const MAIL: Duration = Duration::from_hours(30 * 24);
/// How long an account waits to be verified, unless it has a link that is still good.
const UNVERIFIED: Duration = Duration::from_hours(7 * 24);

/// Takes one step. Gives how many rows went; more may be left when it is many.
pub async fn step(state: &AppState) -> ApiResult<u64> {
    let now = state.ambient.now();
    let mut removed = 0;
    for (statement, before) in [
        (
            "DELETE FROM one_time_tokens WHERE hash IN (SELECT hash FROM one_time_tokens WHERE expires_at <= $1 LIMIT $2)",
            now,
        ),
        (
            "DELETE FROM idempotency_keys WHERE (scope, route, key) IN
                 (SELECT scope, route, key FROM idempotency_keys WHERE created_at <= $1 LIMIT $2)",
            now.before(IDEMPOTENCY),
        ),
        (
            "DELETE FROM kv_entries WHERE (board_id, key) IN
                 (SELECT board_id, key FROM kv_entries WHERE expires_at <= $1 LIMIT $2)",
            now,
        ),
        ("DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= $1 LIMIT $2)", now),
        (
            "DELETE FROM executors WHERE id IN (SELECT id FROM executors WHERE revoked_at <= $1 LIMIT $2)",
            now.before(EXECUTORS),
        ),
        (
            "DELETE FROM outbox WHERE id IN
                 (SELECT id FROM outbox WHERE status <> 'queued' AND created_at <= $1 LIMIT $2)",
            now.before(MAIL),
        ),
        (
            // Links that are not good any more went with the first of these statements.
            "DELETE FROM users WHERE email_verified_at IS NULL AND id IN
                 (SELECT id FROM users WHERE email_verified_at IS NULL AND created_at <= $1 AND NOT EXISTS
                      (SELECT 1 FROM one_time_tokens t WHERE t.user_id = users.id) LIMIT $2)",
            now.before(UNVERIFIED),
        ),
    ] {
        let mut tx = state.db.system_write().await?;
        removed += sql!(&mut tx, execute, query(statement).bind(before).bind(STEP))?.rows_affected();
        tx.commit().await?;
    }
    Ok(removed)
}

/// Whether a step may have left something behind.
pub fn again(removed: u64) -> bool {
    removed >= STEP.unsigned_abs()
}
