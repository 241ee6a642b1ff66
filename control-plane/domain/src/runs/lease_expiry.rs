//! The end of a lease before its work is done: lost, since the executor is presumed gone, or given
//! back. The token is void, the work starts again.

use restroy_run_queue::run_api::{HeldTask, ReleaseReason};
use restroy_sdk::{
    event::EventKind,
    ids::{RunId, TaskId},
    status::RunStatus,
    time::Timestamp,
};
use sqlx::{query_as, query_scalar};

use super::{
    announce::Announcements,
    end::{EndedBy, Ending, finish},
    events,
    lease::{self, LeaseWrite},
    limits::MAX_LEASE_EXPIRIES,
    rows::{TaskRow, step_ref},
};
use crate::{DomainError, DomainResult, sql, state::DomainState, store::TeamTx};

/// A lease that ended before its work was done, in a transaction still to be committed.
#[derive(Debug)]
#[must_use = "announce it after the commit"]
pub(crate) struct EndedLease {
    /// The task's fence from now on.
    pub(crate) fence: i64,
    pub(crate) announcements: Announcements,
    run_ended: bool,
}

impl EndedLease {
    /// Whether it was one expired lease too many: the run failed with `executor_lost`.
    pub(crate) fn run_ended(&self) -> bool {
        self.run_ended
    }
}

/// [`expire`], if the lease has run out: a lease renewed since it was looked at is kept.
pub(crate) async fn expire_if_overdue(
    tx: &mut TeamTx,
    task: &TaskRow,
    now: Timestamp,
) -> DomainResult<Option<EndedLease>> {
    let team = tx.team();
    let expired: bool = sql!(
        &mut **tx,
        fetch_one,
        query_scalar(
            "SELECT EXISTS (SELECT 1 FROM tasks WHERE team_id = $1 AND id = $2 AND fence = $3 AND lease_until < $4)"
        )
        .bind(team)
        .bind(task.id)
        .bind(task.fence)
        .bind(now)
    )?;
    if expired { expire(tx, task, now).await } else { Ok(None) }
}

/// Takes a leased task back: fence raised, state `pending`, one more loss counted. The attempts
/// that were being executed go back to `pending` and are told of by `step.lost`; no retry is
/// spent. Nothing when the task changed hands meanwhile.
pub(crate) async fn expire(tx: &mut TeamTx, task: &TaskRow, now: Timestamp) -> DomainResult<Option<EndedLease>> {
    let Some(mut ended) = end_lease(tx, task.id, task.run_id, task.fence, now, 1).await? else { return Ok(None) };
    if let Some(executor_id) = task.owner {
        let reason = if ended.run_ended { ReleaseReason::Ended } else { ReleaseReason::Taken };
        ended.announcements.released(executor_id, HeldTask { task_id: task.id, fence: task.fence }, reason);
    }
    ended.announcements.lease_expired();
    Ok(Some(ended))
}

/// Gives a leased task back, as an executor that is to end does: the same, and no loss is counted,
/// since nothing went wrong.
pub async fn release(state: &DomainState, id: TaskId, token: &str) -> DomainResult<()> {
    let (mut tx, leased) = lease::leased_task(&state.db, LeaseWrite::Commit, id, token).await?;
    let ended = end_lease(&mut tx, leased.task_id, leased.run_id, leased.fence, state.ambient.now(), 0).await?;
    ended.ok_or(DomainError::LeaseLost)?.announcements.commit(tx, state).await?;
    tracing::info!(task_id = %id, run_id = %leased.run_id, "a task was given back");
    Ok(())
}

/// Takes a leased task back from a process that is gone as a whole, control-plane and executor: the same, and
/// no loss is counted, since it says nothing about the run.
pub(crate) async fn reclaim(tx: &mut TeamTx, task: &TaskRow, now: Timestamp) -> DomainResult<Option<EndedLease>> {
    end_lease(tx, task.id, task.run_id, task.fence, now, 0).await
}

async fn end_lease(
    tx: &mut TeamTx,
    task: TaskId,
    run: RunId,
    fence: i64,
    now: Timestamp,
    losses: i64,
) -> DomainResult<Option<EndedLease>> {
    let team = tx.team();
    let lost: Option<(i64, i64)> = sql!(
        &mut **tx,
        fetch_optional,
        query_as(
            "UPDATE tasks SET state = 'pending', fence = fence + 1, lost = lost + $4, token_hash = NULL, owner = NULL,
                    lease_until = NULL, admitted_at = NULL
             WHERE team_id = $1 AND id = $2 AND state = 'leased' AND fence = $3
             RETURNING lost, fence"
        )
        .bind(team)
        .bind(task)
        .bind(fence)
        .bind(losses)
    )?;
    let Some((lost, fence)) = lost else { return Ok(None) };
    let mut attempts: Vec<(String, i64, i64)> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "UPDATE step_runs SET status = 'pending' WHERE team_id = $1 AND run_id = $2 AND status = 'running'
             RETURNING step, idx, attempt"
        )
        .bind(team)
        .bind(run)
    )?;
    attempts.sort_unstable();
    let log: Vec<EventKind> = attempts
        .iter()
        .map(|(step, idx, attempt)| EventKind::StepLost { step: step_ref(step, *idx, *attempt) })
        .collect();
    events::append(tx, run, now, &log, None).await?;
    let mut announcements = Announcements::default();
    announcements.run_changed(run);
    announcements.admit();
    if losses == 0 || lost < MAX_LEASE_EXPIRIES {
        return Ok(Some(EndedLease { fence, announcements, run_ended: false }));
    }
    let ending = Ending::with_code(
        RunStatus::Failed,
        "executor_lost",
        format!("The executor was lost {lost} times while it worked on this run; the last one is not replaced."),
    );
    // The task is pending by now: nobody holds it.
    if let Some(ended) = finish(tx, run, now, &ending, EndedBy::ControlPlane).await? {
        announcements.run_ended(ended);
    }
    Ok(Some(EndedLease { fence, announcements, run_ended: true }))
}
