//! The end of a run, whoever decides it: [`finish`] is the only way, in the transaction of what causes it.

use std::time::Duration;

use restroy_run_queue::run_api::HeldTask;
use restroy_sdk::{
    event::{EventKind, StepError, StepRef, Usage},
    ids::{ExecutorId, RunId, TaskId},
    status::{RunStatus, StepStatus},
    time::Timestamp,
};
use sqlx::{query, query_as, query_scalar};

use super::{
    events::{self, BatchOrigin, LogPosition},
    lease::LeasedTask,
    rows,
};
use crate::{DomainResult, sql, store::TeamTx};

/// How a run ends.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// A terminal status.
    pub(crate) status: RunStatus,
    /// Why it did not succeed.
    pub(crate) error: Option<StepError>,
}

impl Ending {
    /// An end with a code and a message.
    pub(crate) fn with_code(status: RunStatus, code: &str, message: impl Into<String>) -> Self {
        Self { status, error: Some(StepError::new(code, message)) }
    }

    fn event(&self) -> EventKind {
        EventKind::RunFinished { status: self.status, error: self.error.clone() }
    }
}

/// A run that was ended, in a transaction still to be committed.
#[derive(Debug)]
#[must_use = "announce it after the commit (`Announcements::run_ended`)"]
pub(crate) struct RunEnded {
    pub(super) run_id: RunId,
    pub(super) status: RunStatus,
    /// Where the run's log ends.
    pub(super) log: LogPosition,
    /// How long after its first claim its holder ended it; nothing where somebody else did.
    pub(super) took: Option<Duration>,
    /// The tasks that an executor held and has to stop working on, and which executor.
    pub(super) released: Vec<(ExecutorId, HeldTask)>,
}

/// Who ends a run.
#[derive(Debug)]
pub(crate) enum EndedBy<'a> {
    /// The control-plane: a person, a rule or a lease that ran out. The run's tasks are done and their fences raised, so
    /// that nothing which an executor still sends is taken.
    ///
    /// A task that an executor holds and that confirms its stop counts as running until it did, or until its
    /// lease would have ended (`draining_until`): what is admitted in its place finds it gone.
    ControlPlane,
    /// The executor that holds its task, in a batch whose last event says so. The task keeps its token, for a repost of
    /// the batch.
    Holder {
        task: &'a LeasedTask,
        batch: BatchOrigin,
        /// The batch's events.
        events: Vec<EventKind>,
        /// What the batch takes beside them, bytes.
        beside: i64,
    },
}

/// Ends a run: the only way in which one ends. Its open steps are cancelled, its tasks done, its log closed. Nothing when
/// the run had ended before. The run's row is to be locked.
pub(crate) async fn finish(
    tx: &mut TeamTx,
    run: RunId,
    now: Timestamp,
    ending: &Ending,
    by: EndedBy<'_>,
) -> DomainResult<Option<RunEnded>> {
    let Some(started_at) = set_status(tx, run, now, ending).await? else { return Ok(None) };
    let cancelled = close_steps(tx, run, now).await?;
    let released = close_tasks(tx, run, &by).await?;
    // How long a run took that somebody else ended says nothing about its work.
    let took = match &by {
        EndedBy::Holder { .. } => started_at.map(|started| now.since(started)),
        EndedBy::ControlPlane => None,
    };
    let (mut log, batch, beside) = match by {
        EndedBy::ControlPlane => (vec![ending.event()], None, 0),
        EndedBy::Holder { batch, events, beside, .. } => (events, Some(batch), beside),
    };
    // The end of the run is the last event of all.
    let last = log.len().saturating_sub(1);
    log.splice(last..last, cancelled);
    let log = events::append_with_bytes(tx, run, now, &log, batch, beside).await?;
    Ok(Some(RunEnded { run_id: run, status: ending.status, log, took, released }))
}

/// Ends the tasks of a run; gives those that an executor other than the one that ends the run still holds.
async fn close_tasks(tx: &mut TeamTx, run: RunId, by: &EndedBy<'_>) -> DomainResult<Vec<(ExecutorId, HeldTask)>> {
    let team = tx.team();
    if let EndedBy::Holder { task, .. } = by {
        sql!(
            &mut **tx,
            execute,
            query("UPDATE tasks SET state = 'done', lease_until = NULL WHERE team_id = $1 AND id = $2")
                .bind(team)
                .bind(task.task_id)
        )?;
        return Ok(Vec::new());
    }
    let tasks: Vec<(TaskId, i64, Option<ExecutorId>)> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "UPDATE tasks SET state = 'done', fence = fence + 1, token_hash = NULL, lease_until = NULL, wake_at = NULL,
                    draining_until = CASE WHEN state = 'leased' AND confirms THEN lease_until END
             WHERE team_id = $1 AND run_id = $2 AND state <> 'done' RETURNING id, fence, owner"
        )
        .bind(team)
        .bind(run)
    )?;
    let held = |(task_id, fence, owner): (TaskId, i64, Option<ExecutorId>)| {
        Some((owner?, HeldTask { task_id, fence: fence - 1 }))
    };
    Ok(tasks.into_iter().filter_map(held).collect())
}

/// Writes the terminal status; nothing when there was one already. Gives when the run was claimed first.
async fn set_status(
    tx: &mut TeamTx,
    run: RunId,
    now: Timestamp,
    ending: &Ending,
) -> DomainResult<Option<Option<Timestamp>>> {
    let team = tx.team();
    let error = ending.error.as_ref().map(serde_json::to_string).transpose()?;
    Ok(sql!(
        &mut **tx,
        fetch_optional,
        query_scalar(
            "UPDATE runs SET status = $3, error = $4, finished_at = $5
             WHERE team_id = $1 AND id = $2 AND status IN ('queued', 'running', 'waiting') RETURNING started_at"
        )
        .bind(team)
        .bind(run)
        .bind(ending.status)
        .bind(error)
        .bind(now)
    )?)
}

/// Cancels what is still open of a run's steps; gives the events that say so, for those attempts
/// that watchers saw begin.
async fn close_steps(tx: &mut TeamTx, run: RunId, now: Timestamp) -> DomainResult<Vec<EventKind>> {
    let team = tx.team();
    let begun: Vec<(String, i64, i64)> = sql!(
        &mut **tx,
        fetch_all,
        query_as(
            "SELECT step, idx, attempt FROM step_runs
             WHERE team_id = $1 AND run_id = $2 AND status IN ('running', 'waiting') ORDER BY step, idx DESC, attempt"
        )
        .bind(team)
        .bind(run)
    )?;
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE step_runs SET status = 'cancelled', finished_at = $3
             WHERE team_id = $1 AND run_id = $2 AND status IN ('pending', 'running', 'waiting')"
        )
        .bind(team)
        .bind(run)
        .bind(now)
    )?;
    Ok(begun.into_iter().map(|(step, idx, attempt)| cancelled(rows::step_ref(&step, idx, attempt))).collect())
}

fn cancelled(step: StepRef) -> EventKind {
    EventKind::StepFinished {
        step,
        status: StepStatus::Cancelled,
        output: None,
        error: Some(StepError::new("run_ended", "The run ended before the step did.")),
        usage: Usage::default(),
    }
}
