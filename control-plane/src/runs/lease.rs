//! Who holds a task: every write of an executor begins here, in the write's own transaction.

use restroy_sdk::{
    ids::{BoardId, RunId, TaskId, TeamId},
    problem::ProblemCode,
    status::RunStatus,
    time::Timestamp,
};
use sqlx::{FromRow, query, query_as};

use super::limits::LEASE;
use crate::{
    auth::token::hash,
    error::{ApiError, ApiResult},
    sql,
    store::{TeamTx, Tx},
};

/// A task and its run, as its token's holder finds them.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct Holding {
    pub(crate) task_id: TaskId,
    pub(crate) team_id: TeamId,
    pub(crate) run_id: RunId,
    pub(crate) board_id: BoardId,
    pub(crate) fence: i64,
    pub(crate) last_batch: i64,
    pub(crate) last_seq: i64,
    state: String,
    status: RunStatus,
}

impl Holding {
    /// Whether the holder may still write. A task that its holder itself ended keeps the token,
    /// so that a repost of the last batch gets its answer; nothing can be written with it.
    pub(crate) fn alive(&self) -> bool {
        self.state == "leased" && !self.status.is_terminal()
    }
}

/// The holding that a token stands for, dead or alive. Raising the fence takes the token's hash
/// off the task: a token of an earlier claim finds nothing.
pub(crate) async fn find(mut tx: Tx, task: TaskId, token: &str) -> ApiResult<(TeamTx, Holding)> {
    let holding: Option<Holding> = sql!(
        &mut tx,
        fetch_optional,
        query_as(
            "SELECT t.id AS task_id, t.team_id, t.run_id, r.board_id, t.fence, t.last_batch,
                    r.last_seq, t.state, r.status
             FROM tasks t JOIN runs r ON r.team_id = t.team_id AND r.id = t.run_id
             WHERE t.id = $1 AND t.token_hash = $2"
        )
        .bind(task)
        .bind(hash(token))
    )?;
    let holding = holding.ok_or_else(lost)?;
    Ok((TeamTx::new(tx, holding.team_id), holding))
}

/// The holding that a token stands for, if it may still write; else 409 `lease_lost`.
pub(crate) async fn hold(tx: Tx, task: TaskId, token: &str) -> ApiResult<(TeamTx, Holding)> {
    let (tx, holding) = find(tx, task, token).await?;
    if holding.alive() { Ok((tx, holding)) } else { Err(lost()) }
}

/// Makes the lease last from now on.
pub(crate) async fn renew(tx: &mut TeamTx, holding: &Holding, now: Timestamp, batch: i64) -> ApiResult<()> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE tasks SET lease_until = $3, last_batch = $4 WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(holding.task_id)
            .bind(now.after(LEASE))
            .bind(batch)
    )?;
    Ok(())
}

/// How long a lease lasts, as executors are told.
pub(crate) fn lease_ms() -> u64 {
    u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX)
}

/// The task is in other hands, or its run has ended.
pub(crate) fn lost() -> ApiError {
    ApiError::with(
        ProblemCode::LeaseLost,
        "The task is in other hands, or its run has ended: stop working on it and drop what was not reported.",
    )
}
