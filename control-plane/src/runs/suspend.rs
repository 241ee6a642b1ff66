//! Suspension: a run of which nothing is left but waiting holds neither lease nor slot.
//!
//! When an attempt is due was recorded when its wait began ([`super::machine`]): by a retry for the attempt that follows,
//! by a step that waits for itself. The task keeps the first of these times (`wake_at`, with an index). When it comes, or
//! had come while no control-plane was running, the dispatcher makes the task pending and admits it like any other;
//! whoever claims it continues from what is recorded. Nothing of this is kept in a process: a suspended run survives
//! restarts of all of them.
//!
//! A run that is ended while it is suspended ends at once, since nobody holds its task. While it is suspended, its active
//! time stands still: its deadline is that of its whole age.

use restroy_sdk::{
    event::{EventKind, StepRef},
    ids::RunId,
    problem::FieldError,
    status::RunStatus,
    time::{Ambient, Timestamp},
};
use sqlx::{query, query_scalar};

use super::{
    announce::Announcements,
    events,
    lease::{self, LeasedTask},
    limits::MAX_RUN_AGE,
    machine, steps,
};
use crate::{
    error::{ApiError, ApiResult},
    sql,
    store::{TeamTx, Tx},
};

/// A run that was suspended, in a transaction still to be committed.
#[derive(Debug)]
#[must_use = "announce it after the commit"]
pub(crate) struct Suspended {
    /// When the first of its attempts is due; none: it waits for something else than a time.
    pub(crate) due: Option<Timestamp>,
    pub(crate) announcements: Announcements,
}

/// Why a run is not suspended.
#[derive(Debug)]
pub(crate) enum SuspendError {
    /// The attempts do not wait, as far as is recorded; the pointer is one into the request.
    Invalid(Box<FieldError>),
    /// See the error; `lease_lost` where the task is in other hands.
    Failed(ApiError),
}

impl<E: Into<ApiError>> From<E> for SuspendError {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Takes a task back of which only these attempts are left, which wait. Says so of those of which it was not said yet.
pub(crate) async fn suspend(
    tx: &mut TeamTx,
    ambient: &Ambient,
    leased: &LeasedTask,
    waiting: &[StepRef],
    now: Timestamp,
) -> Result<Suspended, SuspendError> {
    let due = record_waiting(tx, ambient, leased, waiting, now).await?;
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
        return Err(lease::lease_lost().into());
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
    let mut announcements = Announcements::default();
    announcements.run_changed(leased.run_id);
    announcements.admit();
    Ok(Suspended { due, announcements })
}

/// Records that attempts wait; gives when the first is due.
async fn record_waiting(
    tx: &mut TeamTx,
    ambient: &Ambient,
    leased: &LeasedTask,
    waiting: &[StepRef],
    now: Timestamp,
) -> Result<Option<Timestamp>, SuspendError> {
    let invalid =
        |at: usize, detail: String| SuspendError::Invalid(Box::new(FieldError::new(format!("/waiting/{at}"), detail)));
    if waiting.is_empty() {
        let detail = "at least one attempt that waits";
        return Err(SuspendError::Invalid(Box::new(FieldError::new("/waiting", detail))));
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
    let changes = machine::apply(newest, &log, now).map_err(SuspendError::Invalid)?;
    steps::save(tx, ambient, leased.run_id, &changes.attempts, "").await?;
    events::append(tx, leased.run_id, now, &log, None).await?;
    Ok(first)
}

/// A suspended run was claimed: it is active again, for as long as was left of its active time.
pub(crate) async fn resume(tx: &mut TeamTx, run: RunId, now: Timestamp) -> ApiResult<()> {
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
pub(crate) async fn is_due(tx: &mut Tx, now: Timestamp) -> ApiResult<bool> {
    Ok(sql!(
        tx,
        fetch_one,
        query_scalar("SELECT EXISTS (SELECT 1 FROM tasks WHERE state = 'waiting' AND wake_at <= $1)").bind(now)
    )?)
}

/// Makes suspended tasks pending whose time has come, the first due first, at most `most`. A row that another transaction
/// holds is left for the next pass.
pub(crate) async fn wake_due(tx: &mut Tx, now: Timestamp, most: i64) -> ApiResult<()> {
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
