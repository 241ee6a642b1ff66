//! Removal of what has served its time, in small steps: none holds the writer for long.

use std::time::Duration;

use restroy_sdk::{
    ids::{BoardId, TeamId},
    time::Timestamp,
};
use sqlx::{query, query_as};

use crate::{
    error::ApiResult,
    sql,
    state::AppState,
    store::{audit, usage},
};

/// How many rows a statement removes.
const STEP: i64 = 500;
/// How long the answers of idempotent requests are kept.
const IDEMPOTENCY: Duration = Duration::from_hours(24);
/// How long an executor that does not answer is remembered after it was revoked.
const EXECUTORS: Duration = Duration::from_hours(30 * 24);
/// How long an e-mail is kept that is not on its way. A script's own idempotency key for an e-mail is
/// good for as long.
const MAIL: Duration = Duration::from_hours(30 * 24);
/// How long an invitation is shown after its time, whatever became of it.
const INVITATIONS: Duration = Duration::from_hours(30 * 24);
/// How long a session is remembered that was ended.
const ENDED_SESSIONS: Duration = Duration::from_hours(24);
/// How long an account waits to be verified, unless it has a link that is still good.
const UNVERIFIED: Duration = Duration::from_hours(7 * 24);

/// The statement that removes at most `$2` rows of a table, for each backend. A row that another
/// transaction holds is left for the next time: removal waits for nobody, so nobody waits in a
/// circle with it.
macro_rules! remove {
    ($table:literal, $key:literal, $old:literal) => {
        (remove!($table, $key, $old, ""), remove!($table, $key, $old, " FOR UPDATE SKIP LOCKED"))
    };
    ($table:literal, $key:literal, $old:literal, $lock:literal) => {
        concat!(
            "WITH old AS (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE ",
            $old,
            " LIMIT $2",
            $lock,
            ") DELETE FROM ",
            $table,
            " WHERE (",
            $key,
            ") IN (SELECT ",
            $key,
            " FROM old)"
        )
    };
}

/// Takes one step. Gives how many rows went; more may be left when it is many.
pub async fn step(state: &AppState) -> ApiResult<u64> {
    let now = state.ambient.now();
    let mut removed = 0;
    for ((sqlite, postgres), before) in [
        (remove!("one_time_tokens", "hash", "expires_at <= $1"), now),
        (remove!("idempotency_keys", "scope, route, key", "created_at <= $1"), now.before(IDEMPOTENCY)),
        (remove!("sessions", "id", "expires_at <= $1"), now),
        (remove!("sessions", "id", "revoked_at <= $1"), now.before(ENDED_SESSIONS)),
        // Compared as a moment: an hour is the one at which it begins.
        (remove!("usage", "team_id, hour, shard", "hour <= $1"), now.before(usage::USAGE_KEPT)),
        (remove!("executors", "id", "revoked_at <= $1"), now.before(EXECUTORS)),
        (remove!("invitations", "id", "expires_at <= $1"), now.before(INVITATIONS)),
        (remove!("outbox", "id", "status <> 'queued' AND created_at <= $1"), now.before(MAIL)),
        (
            // Links that are not good any more went with the first of these statements.
            remove!(
                "users",
                "id",
                "email_verified_at IS NULL AND deleted_at IS NULL AND created_at <= $1
                 AND NOT EXISTS (SELECT 1 FROM one_time_tokens t WHERE t.user_id = users.id)"
            ),
            now.before(UNVERIFIED),
        ),
    ] {
        let mut tx = state.db.system_write().await?;
        let statement = tx.pick(sqlite, postgres);
        removed += sql!(&mut tx, execute, query(statement).bind(before).bind(STEP))?.rows_affected();
        tx.commit().await?;
    }
    Ok(removed
        + old_audit(state, now).await?
        + expired_keys(state, now).await?
        + crate::auth::purge::step(state, now).await?)
}

/// Removes what is old in the audit log, found by the age of its ids.
async fn old_audit(state: &AppState, now: Timestamp) -> ApiResult<u64> {
    let mut tx = state.db.system_write().await?;
    // Without a lock: nobody may change an entry, so nobody holds one. What the table would refuse to give
    // up, since by the database's own clock it is young, is left.
    macro_rules! old {
        ($now:literal) => {
            concat!(
                "DELETE FROM audit_log WHERE id IN (
                     SELECT id FROM audit_log WHERE id < $1 AND created_at <= (",
                $now,
                " - 395 * 86400) * 1000000 ORDER BY id LIMIT $2)"
            )
        };
    }
    let statement = tx.pick(old!("unixepoch()"), old!("extract(epoch FROM now())"));
    let removed = sql!(&mut tx, execute, query(statement).bind(audit::oldest_kept(now)).bind(STEP))?.rows_affected();
    tx.commit().await?;
    Ok(removed)
}

/// Removes what has outlived its time in the boards' stores. The board's row is held first, as by
/// whoever writes there.
async fn expired_keys(state: &AppState, now: Timestamp) -> ApiResult<u64> {
    let mut tx = state.db.system_read().await?;
    let boards: Vec<(TeamId, BoardId)> = sql!(
        &mut tx,
        fetch_all,
        query_as("SELECT DISTINCT team_id, board_id FROM kv_entries WHERE expires_at <= $1 LIMIT $2")
            .bind(now)
            .bind(STEP)
    )?;
    drop(tx);
    let mut removed = 0;
    for (team, board) in boards {
        let mut tx = state.db.team_write(team).await?;
        tx.lock_board(board).await?;
        removed += sql!(
            &mut *tx,
            execute,
            query(
                "DELETE FROM kv_entries WHERE team_id = $1 AND board_id = $2 AND key IN
                     (SELECT key FROM kv_entries
                      WHERE team_id = $1 AND board_id = $2 AND expires_at <= $3 LIMIT $4)"
            )
            .bind(team)
            .bind(board)
            .bind(now)
            .bind(STEP)
        )?
        .rows_affected();
        tx.commit().await?;
    }
    Ok(removed)
}

/// Whether a step may have left something behind.
pub fn again(removed: u64) -> bool {
    removed >= STEP.unsigned_abs()
}
