//! What goes of accounts when its time is over: what identifies a person who left 30 days ago, tokens that
//! ended, service accounts whose team is gone. In small steps, of rows that nobody holds.

use std::time::Duration;

use restroy_sdk::time::Timestamp;
use sqlx::query;

use crate::{sql, state::DomainState};

/// How long a deleted account keeps its name and address.
const ACCOUNT_RETENTION: Duration = Duration::from_hours(30 * 24);
/// How long an API token that ended is remembered.
const TOKEN_RETENTION: Duration = Duration::from_hours(30 * 24);

/// A statement with `{lock}` left out on SQLite, which has one writer anyway.
macro_rules! both {
    ($before:literal, $after:literal) => {
        (concat!($before, $after), concat!($before, " FOR UPDATE SKIP LOCKED", $after))
    };
}

/// Takes name and address, and what is left to sign in with, from accounts that were deleted a while ago: of so many
/// at most. How many it were.
pub(crate) async fn purge_deleted_accounts(state: &DomainState, now: Timestamp, most: i64) -> Result<u64, sqlx::Error> {
    let mut changed = 0;
    let deleted = both!(
        "WITH old AS (SELECT id FROM users WHERE deleted_at <= $1 AND purged_at IS NULL LIMIT $2",
        ") SELECT id FROM old"
    );
    let mut tx = state.db.system_write().await?;
    let statement = tx.pick(deleted.0, deleted.1);
    let ids: Vec<restroy_sdk::ids::UserId> =
        sql!(&mut tx, fetch_all, sqlx::query_scalar(statement).bind(now.before(ACCOUNT_RETENTION)).bind(most))?;
    for id in ids {
        for statement in [
            "DELETE FROM sessions WHERE user_id = $1",
            "DELETE FROM api_tokens WHERE user_id = $1",
            "DELETE FROM one_time_tokens WHERE user_id = $1",
            "DELETE FROM recovery_codes WHERE user_id = $1",
            "DELETE FROM totp WHERE user_id = $1",
        ] {
            sql!(&mut tx, execute, query(statement).bind(id))?;
        }
        let anonymous = "UPDATE users SET email = '', email_folded = '', name = 'Somebody who left', about = '',
                             timezone = 'UTC', password_hash = '', last_login_at = NULL, purged_at = $2
                         WHERE id = $1";
        changed += sql!(&mut tx, execute, query(anonymous).bind(id).bind(now))?.rows_affected();
    }
    tx.commit().await?;
    Ok(changed)
}

/// Forgets API tokens that ended a while ago, so many at most.
pub(crate) async fn purge_ended_tokens(state: &DomainState, now: Timestamp, most: i64) -> Result<u64, sqlx::Error> {
    let statement = both!(
        "WITH old AS (SELECT id FROM api_tokens WHERE (revoked_at IS NOT NULL OR expires_at IS NOT NULL)
             AND coalesce(revoked_at, expires_at) <= $1 LIMIT $2",
        ") DELETE FROM api_tokens WHERE id IN (SELECT id FROM old)"
    );
    execute(state, statement, now.before(TOKEN_RETENTION), most).await
}

/// Deletes service accounts whose team is gone, so many at most.
pub(crate) async fn delete_orphaned_service_accounts(
    state: &DomainState,
    now: Timestamp,
    most: i64,
) -> Result<u64, sqlx::Error> {
    let statement = both!(
        "WITH old AS (SELECT id FROM users u WHERE kind = 'service' AND deleted_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM memberships m WHERE m.user_id = u.id) LIMIT $2",
        ") UPDATE users SET deleted_at = $1 WHERE id IN (SELECT id FROM old)"
    );
    execute(state, statement, now, most).await
}

async fn execute(
    state: &DomainState,
    (sqlite, postgres): (&'static str, &'static str),
    at: Timestamp,
    most: i64,
) -> Result<u64, sqlx::Error> {
    let mut tx = state.db.system_write().await?;
    let statement = tx.pick(sqlite, postgres);
    let rows = sql!(&mut tx, execute, query(statement).bind(at).bind(most))?.rows_affected();
    tx.commit().await?;
    Ok(rows)
}
