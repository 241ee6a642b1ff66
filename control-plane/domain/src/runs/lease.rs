//! Who holds a task: every write of an executor begins here, in the write's own transaction.

use restroy_sdk::{
    ids::{BoardId, Id as _, RunId, TaskId, TeamId, VersionId},
    status::RunStatus,
    time::{Ambient, Timestamp},
};
use sqlx::{FromRow, query, query_as, query_scalar};
use uuid::Uuid;

use super::lane::Lane;
use crate::{
    DomainError, DomainResult,
    auth::token::{OpaqueToken, hash},
    sql,
    state::DomainState,
    store::{Db, Durability, TeamTx},
};

/// A task and its run, as its token's holder finds them.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct LeasedTask {
    pub(crate) task_id: TaskId,
    pub(crate) run_id: RunId,
    pub(crate) board_id: BoardId,
    pub(crate) version_id: VersionId,
    pub(crate) fence: i64,
    pub(crate) last_batch: i64,
    pub(crate) last_seq: i64,
    state: String,
    status: RunStatus,
}

impl LeasedTask {
    /// Refuses with 409 unless the holder may still write. A task that its holder itself ended keeps the token,
    /// so that a repost of the last batch gets its answer; nothing can be written with it.
    pub(crate) fn check_alive(&self) -> DomainResult<()> {
        match (self.status.is_terminal(), self.state.as_str()) {
            (true, _) | (_, "done") => Err(DomainError::RunEnded),
            (false, "leased") => Ok(()),
            (false, _) => Err(DomainError::LeaseLost),
        }
    }
}

/// How a transaction of a task's holder begins, and how long what it writes must last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseWrite {
    /// See [`Db::team_write`].
    Commit,
    /// See [`Db::team_write_durably`].
    Fsync,
    /// See [`Db::begin_team_exclusive`] with [`Durability::Fsync`]: for what is counted over all runs of the team.
    FsyncExclusive,
}

/// The token of a new claim: the team, so that the holder's writes begin within it, the executor's lane, so that
/// they wait their turn, and a secret. Team and lane grant nothing: only the whole token's hash on the task does.
pub(crate) fn new_token(ambient: &Ambient, team: TeamId, lane: Lane) -> String {
    format!("{}.{lane}.{}", team.uuid().simple(), OpaqueToken::new(ambient).into_text())
}

/// The team that a token names.
pub fn team_of(token: &str) -> Option<TeamId> {
    let (team, _) = token.split_once('.')?;
    Uuid::try_parse(team).ok().map(TeamId::from)
}

/// The statement of [`find`].
macro_rules! leased_task_sql {
    () => {
        "SELECT t.id AS task_id, t.run_id, r.board_id, r.version_id, t.fence, t.last_batch, r.last_seq, t.state,
                r.status
         FROM runs r JOIN tasks t ON t.team_id = r.team_id AND t.run_id = r.id
         WHERE t.team_id = $1 AND t.id = $2 AND t.token_hash = $3"
    };
}

/// The task that a token holds, dead or alive, in a transaction that writes about its run
/// alone. Raising the fence takes the token's hash off the task: a token of an earlier claim finds
/// nothing.
pub(crate) async fn find(
    db: &Db,
    durability: LeaseWrite,
    task: TaskId,
    token: &str,
) -> DomainResult<(TeamTx, LeasedTask)> {
    let team = team_of(token).ok_or(DomainError::LeaseLost)?;
    let mut tx = match durability {
        LeaseWrite::Commit => db.team_write(team).await?,
        LeaseWrite::Fsync => db.team_write_durably(team).await?,
        LeaseWrite::FsyncExclusive => db.begin_team_exclusive(team, Durability::Fsync).await?,
    };
    // Both rows are held, the run's first: what is read of them is their newest.
    let statement = tx.pick(leased_task_sql!(), concat!(leased_task_sql!(), " FOR NO KEY UPDATE"));
    let leased: Option<LeasedTask> =
        sql!(&mut *tx, fetch_optional, query_as(statement).bind(team).bind(task).bind(hash(token)))?;
    match leased {
        Some(leased) => Ok((tx, leased)),
        None => Err(rejection(&mut tx, task).await?),
    }
}

/// Why a token stands for nothing.
async fn rejection(tx: &mut TeamTx, task: TaskId) -> DomainResult<DomainError> {
    let team = tx.team();
    let state: Option<String> = sql!(
        &mut **tx,
        fetch_optional,
        query_scalar("SELECT state FROM tasks WHERE team_id = $1 AND id = $2").bind(team).bind(task)
    )?;
    // A task that is not there went with its run.
    Ok(if state.is_none_or(|state| state == "done") { DomainError::RunEnded } else { DomainError::LeaseLost })
}

/// The task that a token holds, if it may still write; else 409, `lease_lost` or `run_ended`.
pub(crate) async fn leased_task(
    db: &Db,
    durability: LeaseWrite,
    task: TaskId,
    token: &str,
) -> DomainResult<(TeamTx, LeasedTask)> {
    let (tx, leased) = find(db, durability, task, token).await?;
    leased.check_alive()?;
    Ok((tx, leased))
}

/// The task that a token holds, in a transaction that only reads; 409 `lease_lost` or `run_ended` if it may not
/// write any more.
pub(crate) async fn leased_task_for_read(db: &Db, task: TaskId, token: &str) -> DomainResult<(TeamTx, LeasedTask)> {
    let team = team_of(token).ok_or(DomainError::LeaseLost)?;
    let mut tx = db.team_read(team).await?;
    let leased: Option<LeasedTask> =
        sql!(&mut *tx, fetch_optional, query_as(leased_task_sql!()).bind(team).bind(task).bind(hash(token)))?;
    let Some(leased) = leased else { return Err(rejection(&mut tx, task).await?) };
    leased.check_alive()?;
    Ok((tx, leased))
}

/// A step has ended under the lease, which is progress: losses before it do not count any more.
pub(crate) async fn record_progress(tx: &mut TeamTx, leased: &LeasedTask) -> DomainResult<()> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE tasks SET lost = 0 WHERE team_id = $1 AND id = $2 AND lost > 0").bind(team).bind(leased.task_id)
    )?;
    Ok(())
}

/// Makes the lease last from now on that a token stands for; else 409, `lease_lost` or `run_ended`.
///
/// One statement in its transaction, which holds no row but the task's: a database that is far away, or a report
/// that takes its time, must not cost a lease. A run that has ended has no task that is leased.
pub async fn renew_by_token(state: &DomainState, task: TaskId, token: &str) -> DomainResult<()> {
    let team = team_of(token).ok_or(DomainError::LeaseLost)?;
    let mut tx = state.db.team_write(team).await?;
    let kept = sql!(
        &mut *tx,
        execute,
        query(
            "UPDATE tasks SET lease_until = CASE WHEN lease_until > $4 THEN lease_until ELSE $4 END
             WHERE team_id = $1 AND id = $2 AND token_hash = $3 AND state = 'leased'"
        )
        .bind(team)
        .bind(task)
        .bind(hash(token))
        .bind(state.ambient.now().after(state.settings.lease))
    )?;
    if kept.rows_affected() == 0 {
        return Err(rejection(&mut tx, task).await?);
    }
    Ok(tx.commit().await?)
}

/// Makes the lease last from now on.
pub(crate) async fn renew(
    state: &DomainState,
    tx: &mut TeamTx,
    leased: &LeasedTask,
    now: Timestamp,
    batch: i64,
) -> DomainResult<()> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query("UPDATE tasks SET lease_until = $3, last_batch = $4 WHERE team_id = $1 AND id = $2")
            .bind(team)
            .bind(leased.task_id)
            .bind(now.after(state.settings.lease))
            .bind(batch)
    )?;
    Ok(())
}

/// How long a lease lasts, as executors receive it.
pub fn lease_ms(state: &DomainState) -> u64 {
    u64::try_from(state.settings.lease.as_millis()).unwrap_or(u64::MAX)
}
