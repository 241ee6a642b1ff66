//! Removal of what has served its time, in small steps: none holds the writer for long, and none that fails
//! keeps the others from their turn.

use std::time::Duration;

use restroy_sdk::{
    ids::{BoardId, TeamId},
    time::Timestamp,
};
use sqlx::{query, query_as};

use super::{purge_deleted, purge_teams, removed};
use crate::{
    DomainError, DomainResult, auth, sql,
    state::DomainState,
    store::{audit, failure, stranger_mails, usage},
};

/// How many rows a statement removes, unless that took too long.
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

/// What is removed by its age.
#[derive(Debug)]
enum PurgeStep {
    /// Rows of a table: the statement for each backend, and how long they are kept.
    Rows(&'static str, (&'static str, &'static str), Duration),
    Audit,
    Keys,
    Accounts,
    Tokens,
    Services,
}

/// The total. `$1` of a statement is the moment before which a row is old, `$2` how many go.
const PARTS: [PurgeStep; 15] = [
    PurgeStep::Rows("one_time_tokens", remove!("one_time_tokens", "hash", "expires_at <= $1"), Duration::ZERO),
    PurgeStep::Rows(
        "idempotency_keys",
        remove!("idempotency_keys", "scope, route, key", "created_at <= $1"),
        IDEMPOTENCY,
    ),
    PurgeStep::Rows("sessions", remove!("sessions", "id", "expires_at <= $1"), Duration::ZERO),
    PurgeStep::Rows("ended sessions", remove!("sessions", "id", "revoked_at <= $1"), ENDED_SESSIONS),
    // Compared as a moment: an hour is the one at which it begins.
    PurgeStep::Rows("usage", remove!("usage", "team_id, hour, shard", "hour <= $1"), usage::USAGE_KEPT),
    PurgeStep::Rows("executors", remove!("executors", "id", "revoked_at <= $1"), EXECUTORS),
    PurgeStep::Rows("invitations", remove!("invitations", "id", "expires_at <= $1"), INVITATIONS),
    PurgeStep::Rows("stranger_mails", remove!("stranger_mails", "id", "created_at <= $1"), stranger_mails::WINDOW),
    PurgeStep::Rows("outbox", remove!("outbox", "id", "status <> 'queued' AND created_at <= $1"), MAIL),
    PurgeStep::Rows(
        "users",
        // Links that are not good any more went with the first of these statements.
        remove!(
            "users",
            "id",
            "email_verified_at IS NULL AND deleted_at IS NULL AND created_at <= $1
             AND NOT EXISTS (SELECT 1 FROM one_time_tokens t WHERE t.user_id = users.id)"
        ),
        UNVERIFIED,
    ),
    PurgeStep::Audit,
    PurgeStep::Keys,
    PurgeStep::Accounts,
    PurgeStep::Tokens,
    PurgeStep::Services,
];

impl PurgeStep {
    fn name(&self) -> &'static str {
        match self {
            Self::Rows(table, ..) => table,
            Self::Audit => "audit_log",
            Self::Keys => "kv_entries",
            Self::Accounts => "deleted accounts",
            Self::Tokens => "api_tokens",
            Self::Services => "service accounts",
        }
    }

    /// Removes so many rows at most; how many it were.
    async fn remove(&self, state: &DomainState, now: Timestamp, most: i64) -> Result<u64, sqlx::Error> {
        match self {
            Self::Rows(_, (sqlite, postgres), kept) => {
                let mut tx = state.db.system_write().await?;
                let statement = tx.pick(sqlite, postgres);
                let rows = sql!(&mut tx, execute, query(statement).bind(now.before(*kept)).bind(most))?.rows_affected();
                tx.commit().await?;
                Ok(rows)
            }
            Self::Audit => purge_audit(state, now, most).await,
            Self::Keys => purge_expired_keys(state, now, most).await,
            Self::Accounts => auth::purge::purge_deleted_accounts(state, now, most).await,
            Self::Tokens => auth::purge::purge_ended_tokens(state, now, most).await,
            Self::Services => auth::purge::delete_orphaned_service_accounts(state, now, most).await,
        }
    }
}

/// Takes steps until nothing is left that has served its time: what is old, deleted teams, deleted boards and
/// pipelines, in turn, so that none waits for the end of another. Of what fails the first error is given, after
/// all others had their turn.
pub async fn pass(state: &DomainState) -> DomainResult<()> {
    let (mut aged, mut failed) = (AgePass::default(), None);
    let (mut teams, mut deleted, mut open_runs) = (true, true, true);
    loop {
        aged.step(state).await;
        open_runs =
            open_runs && log_step("runs of what is deleted", removed::cancel_remaining(state).await, &mut failed);
        teams = teams && log_step("deleted teams", purge_teams::step(state).await, &mut failed);
        deleted =
            deleted && log_step("deleted things", purge_deleted::step(state).await.map(|rows| rows > 0), &mut failed);
        if !(aged.more || open_runs || teams || deleted) {
            return aged.failed.or(failed).map_or(Ok(()), Err);
        }
        tokio::task::yield_now().await;
    }
}

/// Whether there is more to do; what failed has had its turn in this pass.
fn log_step(what: &str, done: DomainResult<bool>, failed: &mut Option<DomainError>) -> bool {
    done.unwrap_or_else(|error| {
        tracing::error!(what, %error, "cannot be purged in this pass");
        failed.get_or_insert(error);
        false
    })
}

/// Takes one step with everything that is old. Gives how many rows went; of what fails the first error, after
/// the others had their turn.
pub async fn step(state: &DomainState) -> DomainResult<u64> {
    let mut aged = AgePass::default();
    let removed = aged.step(state).await;
    aged.failed.map_or(Ok(removed), Err)
}

/// How far a pass has come with what is old.
#[derive(Debug)]
struct AgePass {
    /// How many rows of each part go at once; none of a part that failed in this pass.
    most: [i64; PARTS.len()],
    /// Whether the newest step may have left something behind.
    more: bool,
    /// The first error.
    failed: Option<DomainError>,
}

impl Default for AgePass {
    fn default() -> Self {
        Self { most: [STEP; PARTS.len()], more: false, failed: None }
    }
}

impl AgePass {
    async fn step(&mut self, state: &DomainState) -> u64 {
        let now = state.ambient.now();
        let mut removed = 0;
        self.more = false;
        for (part, most) in PARTS.iter().zip(&mut self.most) {
            if *most == 0 {
                continue;
            }
            match part.remove(state, now, *most).await {
                Ok(rows) => {
                    removed += rows;
                    self.more |= rows >= most.unsigned_abs();
                }
                // What goes with a row may be much.
                Err(error) if *most > 1 && failure::is_statement_timeout(&error) => {
                    tracing::warn!(part = part.name(), rows = *most, "a purge step took too long: halving the batch");
                    *most /= 2;
                    self.more = true;
                }
                Err(error) => {
                    tracing::error!(part = part.name(), %error, "cannot be purged in this pass");
                    *most = 0;
                    self.failed.get_or_insert(error.into());
                }
            }
        }
        removed
    }
}

/// Removes what is old in the audit log, found by the age of its ids.
async fn purge_audit(state: &DomainState, now: Timestamp, most: i64) -> Result<u64, sqlx::Error> {
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
    let removed = sql!(&mut tx, execute, query(statement).bind(audit::oldest_kept(now)).bind(most))?.rows_affected();
    tx.commit().await?;
    Ok(removed)
}

/// Removes what has outlived its time in the boards' stores. The board's row is held first, as by
/// whoever writes there.
async fn purge_expired_keys(state: &DomainState, now: Timestamp, most: i64) -> Result<u64, sqlx::Error> {
    let mut tx = state.db.system_read().await?;
    let boards: Vec<(TeamId, BoardId)> = sql!(
        &mut tx,
        fetch_all,
        query_as("SELECT DISTINCT team_id, board_id FROM kv_entries WHERE expires_at <= $1 LIMIT $2")
            .bind(now)
            .bind(most)
    )?;
    drop(tx);
    let (mut removed, mut failed) = (0, None);
    for (team, board) in boards {
        match purge_expired_keys_of(state, team, board, now, most).await {
            Ok(rows) => removed += rows,
            Err(error) => {
                tracing::error!(%board, %error, "what has outlived its time on a board cannot be removed");
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(removed), Err)
}

async fn purge_expired_keys_of(
    state: &DomainState,
    team: TeamId,
    board: BoardId,
    now: Timestamp,
    most: i64,
) -> Result<u64, sqlx::Error> {
    let mut tx = state.db.team_write(team).await?;
    tx.lock_board(board).await?;
    let rows = sql!(
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
        .bind(most)
    )?
    .rows_affected();
    tx.commit().await?;
    Ok(rows)
}
