//! Suspension: a run whose steps all wait holds neither lease nor slot.
//!
//! When an attempt is due was recorded when its wait began ([`super::machine`]): by a retry for the attempt that follows,
//! by a step that waits for itself. The task keeps the first of these times (`wake_at`, with an index). When it comes, or
//! had come while no control-plane was running, the dispatcher makes the task pending and admits it like any other;
//! the executor that claims it continues from the recorded steps. The database alone holds this state: a suspended run
//! survives restarts of all processes.
//!
//! A run that is ended while it is suspended ends at once, since nobody holds its task. While it is suspended, its active
//! time stands still: its deadline is that of its whole age.

use restroy_run_queue::run_api::Suspend;
use restroy_sdk::{
    event::{EventKind, StepRef},
    ids::{RunId, TaskId},
    problem::FieldError,
    status::RunStatus,
    time::Timestamp,
};
use sqlx::{query, query_scalar};

use super::{
    announce::Announcements,
    events,
    lease::{self, LeaseWrite, LeasedTask},
    limits::MAX_RUN_AGE,
    machine, steps,
};
use crate::{
    DomainError, DomainResult, sql,
    state::DomainState,
    store::{TeamTx, Tx},
};

/// Takes a task back from its holder of which only these attempts are left, which wait. Says so of those of which it was
/// not said yet.
pub async fn suspend(state: &DomainState, id: TaskId, token: &str, request: &Suspend) -> DomainResult<()> {
    let (mut tx, leased) = lease::leased_task(&state.db, LeaseWrite::Commit, id, token).await?;
    let now = state.ambient.now();
    let due = record_waiting(&mut tx, state, &leased, &request.waiting, now).await?;
    release(&mut tx, &leased, due, now).await?;
    let mut announcements = Announcements::default();
    announcements.run_changed(leased.run_id);
    announcements.admit();
    announcements.commit(tx, state).await?;
    tracing::info!(task_id = %id, run_id = %leased.run_id, ?due, "a run is suspended");
    Ok(())
}

/// Sets the task aside until it is due, and lets the run's active time stand still.
async fn release(tx: &mut TeamTx, leased: &LeasedTask, due: Option<Timestamp>, now: Timestamp) -> DomainResult<()> {
    let team = tx.team();
    let released = sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE tasks SET state = 'waiting', fence = fence + 1, token_hash = NULL, owner = NULL, lease_until = NULL,
                    admitted_at = NULL, wake_at = $4
             WHERE team_id = $1 AND id = $2 AND state = 'leased' AND fence = $3"
        )
        .bind(team)
        .bind(leased.task_id)
        .bind(leased.fence)
        .bind(due)
    )?;
    if released.rows_affected() == 0 {
        return Err(DomainError::LeaseLost);
    }
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE runs SET status = $3, active_left = deadline_at - $5, deadline_at = started_at + $6
             WHERE team_id = $1 AND id = $2 AND status = $4"
        )
        .bind(team)
        .bind(leased.run_id)
        .bind(RunStatus::Waiting)
        .bind(RunStatus::Running)
        .bind(now)
        .bind(i64::try_from(MAX_RUN_AGE.as_micros()).unwrap_or(i64::MAX))
    )?;
    Ok(())
}

/// Records that attempts wait; gives when the first is due.
async fn record_waiting(
    tx: &mut TeamTx,
    state: &DomainState,
    leased: &LeasedTask,
    waiting: &[StepRef],
    now: Timestamp,
) -> DomainResult<Option<Timestamp>> {
    let invalid = |at: usize, detail: String| invalid_request(FieldError::new(format!("/waiting/{at}"), detail));
    if waiting.is_empty() {
        return Err(invalid_request(FieldError::new("/waiting", "at least one attempt that waits")));
    }
    if let Some(at) = waiting.iter().position(|step| step.step.contains('\0')) {
        return Err(invalid(at, "a step's name has no character U+0000".into()));
    }
    let newest = steps::newest(tx, leased.run_id, machine::keys_of(waiting)).await?;
    let mut log = Vec::new();
    let mut first: Option<Timestamp> = None;
    for (at, step) in waiting.iter().enumerate() {
        let known = newest.get(&(step.step.clone(), step.index.unwrap_or(0)));
        let wait = machine::wait_of(known, step).map_err(|detail| invalid(at, detail))?;
        first = [first, wait.due].into_iter().flatten().min();
        // What was said before is not said again.
        if !wait.recorded {
            log.push(EventKind::StepWaiting { step: step.clone(), until: wait.due, delay_ms: None });
        }
    }
    let changes = machine::apply(newest, &log, now).map_err(|fault| invalid_request(*fault))?;
    steps::save(tx, &state.ambient, leased.run_id, &changes.attempts, "").await?;
    events::append(tx, leased.run_id, now, &log, None).await?;
    Ok(first)
}

fn invalid_request(fault: FieldError) -> DomainError {
    DomainError::Invalid {
        detail: Some("The task was not suspended; nothing is recorded.".into()),
        errors: vec![fault],
    }
}

/// A suspended run was claimed: it is active again, for as long as was left of its active time.
pub(crate) async fn resume(tx: &mut TeamTx, run: RunId, now: Timestamp) -> DomainResult<()> {
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE runs SET status = $3, active_left = NULL,
                    deadline_at = CASE WHEN $5 + active_left < deadline_at THEN $5 + active_left ELSE deadline_at END
             WHERE team_id = $1 AND id = $2 AND status = $4"
        )
        .bind(team)
        .bind(run)
        .bind(RunStatus::Running)
        .bind(RunStatus::Waiting)
        .bind(now)
    )?;
    Ok(())
}

/// Whether a suspended task is due.
pub(crate) async fn is_due(tx: &mut Tx, now: Timestamp) -> DomainResult<bool> {
    Ok(sql!(
        tx,
        fetch_one,
        query_scalar("SELECT EXISTS (SELECT 1 FROM tasks WHERE state = 'waiting' AND wake_at <= $1)").bind(now)
    )?)
}

/// Makes suspended tasks pending whose time has come, the first due first, at most `most`. A row that another transaction
/// holds is left for the next pass.
pub(crate) async fn wake_due(tx: &mut Tx, now: Timestamp, most: i64) -> DomainResult<()> {
    let statement = tx.pick(
        "UPDATE tasks SET state = 'pending', wake_at = NULL WHERE id IN (
             SELECT id FROM tasks WHERE state = 'waiting' AND wake_at <= $1 ORDER BY wake_at LIMIT $2)",
        "UPDATE tasks SET state = 'pending', wake_at = NULL WHERE id = ANY(ARRAY(
             SELECT id FROM tasks WHERE state = 'waiting' AND wake_at <= $1 ORDER BY wake_at LIMIT $2
             FOR NO KEY UPDATE SKIP LOCKED))",
    );
    sql!(tx, execute, query(statement).bind(now).bind(most))?;
    Ok(())
}
