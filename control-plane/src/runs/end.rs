//! The end of a run, whoever decides it: one transaction, nothing follows.

use restroy_sdk::{
    event::{EventKind, StepError, StepRef, Usage},
    ids::RunId,
    status::{RunStatus, StepStatus},
    time::Timestamp,
};
use sqlx::{query, query_as};

use super::{events, rows};
use crate::{error::ApiResult, sql, store::TeamTx};

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
    pub(crate) fn because(status: RunStatus, code: &str, message: impl Into<String>) -> Self {
        Self { status, error: Some(StepError::new(code, message)) }
    }

    fn event(&self) -> EventKind {
        EventKind::RunFinished { status: self.status, error: self.error.clone() }
    }
}

/// Ends a run from the control-plane's side: its open steps are cancelled, its tasks done and their
/// fences raised, so that nothing its executor still sends is taken. Gives the newest event's
/// number, or nothing when the run had ended before.
pub(crate) async fn end(tx: &mut TeamTx, run: RunId, now: Timestamp, ending: &Ending) -> ApiResult<Option<i64>> {
    if !set_status(tx, run, now, ending).await? {
        return Ok(None);
    }
    let mut log = close_steps(tx, run, now).await?;
    let team = tx.team();
    sql!(
        &mut **tx,
        execute,
        query(
            "UPDATE tasks SET state = 'done', fence = fence + 1, token_hash = NULL, lease_until = NULL
             WHERE team_id = $1 AND run_id = $2 AND state <> 'done'"
        )
        .bind(team)
        .bind(run)
    )?;
    log.push(ending.event());
    Ok(Some(events::append(tx, run, now, &log, None).await?.last_seq))
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
