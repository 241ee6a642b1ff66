//! What is put right before anything starts: at every start of an embedded installation, whose data
//! folder is locked, so that whatever is leased belonged to a process that is gone; and after a
//! backup was restored.

use restroy_sdk::time::Ambient;
use serde_json::json;
use sqlx::{query, query_as};

use super::{
    dispatch, leader, lease_expiry,
    rows::{TaskRow, task_columns},
};
use crate::{
    DomainResult, sql,
    state::DomainState,
    store::{Db, audit},
};

/// Takes every leased task back at once, which counts as no loss of a lease, and pushes what was admitted
/// again: the queue was in the memory of the process that is gone. The executors' credentials are
/// revoked: the process that is gone was the only one that had them. Gives how many leases it took.
///
/// Call it before the executor and the services start, and only where the data folder is locked.
pub async fn start_embedded(state: &DomainState) -> DomainResult<usize> {
    let mut tx = state.db.system_write().await?;
    sql!(&mut tx, execute, query("DELETE FROM leader_leases"))?;
    let now = state.ambient.now();
    sql!(&mut tx, execute, query("UPDATE executors SET revoked_at = $1 WHERE revoked_at IS NULL").bind(now))?;
    tx.commit().await?;

    let mut tx = state.db.system_read().await?;
    let tasks: Vec<TaskRow> = sql!(
        &mut tx,
        fetch_all,
        query_as(concat!("SELECT ", task_columns!(), " FROM tasks WHERE state = 'leased' ORDER BY id"))
    )?;
    drop(tx);
    let mut count = 0;
    for task in tasks {
        match reclaim_task(state, &task).await {
            Ok(released) => count += usize::from(released),
            // The installation serves all the others; this one's lease runs out by itself.
            Err(error) => tracing::error!(task_id = %task.id, %error, "a lease cannot be released"),
        }
    }
    dispatch::push_again(state, true).await?;
    Ok(count)
}

/// The start of a replica among others: pushes what is admitted again, since Redis may be empty. The
/// leader alone does so; where another replica leads, it looks after that itself.
pub async fn start_replica(state: &DomainState) -> DomainResult<usize> {
    dispatch::push_again(state, true).await
}

/// The end of a replica among others, after its services have ended: another leads at once.
pub async fn resign(state: &DomainState) -> DomainResult<()> {
    leader::resign(&state.db, state.replica, state.ambient.now()).await
}

/// By how much a fence rises when a backup was restored: further than it can have come since the
/// backup was made.
const FENCE_JUMP: i64 = 1_000_000;

/// What [`after_restore`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreReport {
    /// Tasks whose fence was raised: all that are not done.
    pub tasks: u64,
    /// Those of them that were leased; their leases have run out.
    pub leases: u64,
}

/// After a backup was restored, before anything is started: the database has gone back in time, and
/// whoever holds a lease may have reported what it no longer knows. Raises every fence, takes every
/// token away, and lets every lease run out; the next pass of recovery takes the work back. That an
/// executor was not lost, the database was, does not count against its run. Safe to repeat.
pub async fn after_restore(db: &Db, ambient: &Ambient) -> DomainResult<RestoreReport> {
    let mut tx = db.system_write().await?;
    let leases = sql!(&mut tx, execute, query("UPDATE tasks SET lease_until = 0, lost = 0 WHERE state = 'leased'"))?
        .rows_affected();
    let tasks = sql!(
        &mut tx,
        execute,
        query("UPDATE tasks SET fence = fence + $1, token_hash = NULL WHERE state <> 'done'").bind(FENCE_JUMP)
    )?
    .rows_affected();
    let now = ambient.now();
    sql!(
        &mut tx,
        execute,
        query("UPDATE leader_leases SET fence = fence + $1, lease_until = $2")
            .bind(FENCE_JUMP)
            .bind(now.before(std::time::Duration::from_secs(1)))
    )?;
    let entry = audit::Entry::new("fences.raise", "installation", "tasks");
    let entry = entry.details(json!({ "tasks": tasks, "leases": leases }));
    audit::record_for_installation(&mut tx, ambient, entry).await?;
    tx.commit().await?;
    Ok(RestoreReport { tasks, leases })
}

async fn reclaim_task(state: &DomainState, task: &TaskRow) -> DomainResult<bool> {
    let mut tx = state.db.team_write(task.team_id).await?;
    tx.lock_run(task.run_id).await?;
    let Some(taken) = lease_expiry::reclaim(&mut tx, task, state.ambient.now()).await? else { return Ok(false) };
    taken.announcements.commit(tx, state).await?;
    tracing::info!(task_id = %task.id, run_id = %task.run_id, "a lease of the last process was released");
    Ok(true)
}
