//! The end of a run, whoever decides it: one transaction, nothing follows.

use restroy_run_queue::{
    run_api::{HeldTask, ReleaseReason},
    wake::Wake,
};
use restroy_sdk::{
    event::{EventKind, StepError, StepRef, Usage},
    ids::{ExecutorId, RunId, TaskId},
    status::{RunStatus, StepStatus},
    time::Timestamp,
};
use sqlx::{query, query_as};

use super::{events, rows};
use crate::{error::ApiResult, sql, state::AppState, store::TeamTx};

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

/// A run that was ended: what is to be announced once that is committed.
#[derive(Debug)]
#[must_use = "announce it after the commit: its executor stops at once, and others start"]
pub(crate) struct RunEnded {
    run_id: RunId,
    status: RunStatus,
    /// The run's newest event.
    pub(crate) last_seq: i64,
    /// The tasks that an executor held, and which.
    released: Vec<(ExecutorId, HeldTask)>,
}

impl RunEnded {
    /// Notifies watchers, the executor that was running, and the dispatcher; counts the end.
    pub(crate) fn announce(self, state: &AppState) {
        state.metrics.run_ended(self.status, None);
        for wake in self.wakes() {
            state.wake.send(wake);
        }
        state.wake.send(Wake::Admit);
    }

    /// The wake-ups, but for [`Wake::Admit`]: for a caller that ends several runs at once.
    pub(crate) fn wakes(self) -> impl Iterator<Item = Wake> {
        let released = self.released.into_iter().map(|(executor_id, task)| Wake::Released {
            executor_id,
            task,
            reason: ReleaseReason::Ended,
        });
        // The executor first: it may be about to do something.
        released.chain([Wake::Run { run_id: self.run_id, last_seq: self.last_seq }])
    }
}

/// Ends a run from the control-plane's side: its open steps are cancelled, its tasks done and their
/// fences raised, so that nothing its executor still sends is taken. Nothing when the run had ended before.
///
/// A task that an executor holds and that confirms its stop counts as running until it did, or until its
/// lease would have ended (`draining_until`): what is admitted in its place finds it gone.
pub(crate) async fn finish(
    tx: &mut TeamTx,
    run: RunId,
    now: Timestamp,
    ending: &Ending,
) -> ApiResult<Option<RunEnded>> {
    if !set_status(tx, run, now, ending).await? {
        return Ok(None);
    }
    let mut log = close_steps(tx, run, now).await?;
    let team = tx.team();
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
    log.push(ending.event());
    let last_seq = events::append(tx, run, now, &log, None).await?.last_seq;
    let released = tasks
        .into_iter()
        .filter_map(|(task_id, fence, owner)| Some((owner?, HeldTask { task_id, fence: fence - 1 })))
        .collect();
    Ok(Some(RunEnded { run_id: run, status: ending.status, last_seq, released }))
}

/// Writes the terminal status; false when there was one already.
pub(crate) async fn set_status(tx: &mut TeamTx, run: RunId, now: Timestamp, ending: &Ending) -> ApiResult<bool> {
    let team = tx.team();
    let error = ending.error.as_ref().map(serde_json::to_string).transpose()?;
    let changed = sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE runs SET status = $3, error = $4, finished_at = $5
             WHERE team_id = $1 AND id = $2 AND status IN ('queued', 'running', 'waiting')"
        )
        .bind(team)
        .bind(run)
        .bind(ending.status)
        .bind(error)
        .bind(now)
    )?
    .rows_affected();
    Ok(changed > 0)
}

/// Cancels what is still open of a run's steps; gives the events that say so, for those attempts
/// that watchers saw begin.
pub(crate) async fn close_steps(tx: &mut TeamTx, run: RunId, now: Timestamp) -> ApiResult<Vec<EventKind>> {
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
