//! The start of an embedded installation. Its data folder is locked: no other process can hold a
//! lease, so whatever is leased belonged to a process that is gone.

use sqlx::{query, query_as};

use super::{
    dispatch, lost, reconcile,
    rows::{TaskRow, task_columns},
};
use crate::{error::ApiResult, sql, state::AppState};

/// Takes every leased task back at once, as if its lease had run out, and pushes what was admitted
/// again: the queue was in the memory of the process that is gone. The executors' credentials are
/// revoked: the process that is gone was the only one that had them. Gives how many leases it took.
///
/// Call it before the executor and the services start, and only where the data folder is locked.
pub async fn embedded(state: &AppState) -> ApiResult<usize> {
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
        match release(state, &task).await {
            Ok(released) => count += usize::from(released),
            // The installation serves all the others; this one's lease runs out by itself.
            Err(error) => tracing::error!(task_id = %task.id, problem = %error.0, "a lease cannot be released"),
        }
    }
    dispatch::push_again(state, true).await?;
    Ok(count)
}

async fn release(state: &AppState, task: &TaskRow) -> ApiResult<bool> {
    let mut tx = state.db.team_write(task.team_id).await?;
    tx.lock_run(task.run_id).await?;
    let Some(lost) = lost::lose(&mut tx, task, state.ambient.now()).await? else { return Ok(false) };
    tx.commit().await?;
    tracing::info!(task_id = %task.id, run_id = %task.run_id, ended = lost.ended, "a lease of the last process was released");
    reconcile::announce(state, task, lost);
    Ok(true)
}
