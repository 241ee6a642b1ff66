//! `POST /run/v1/tasks/{id}/wait`: nothing is left of a run but attempts whose time has not come. It holds
//! neither lease nor slot until the first of them is due; then the dispatcher admits it again.

use std::{collections::BTreeMap, time::Duration};

use restroy_run_queue::run_api::{Released, Wait, WaitingStep};
use restroy_sdk::{
    event::EventKind,
    ids::TaskId,
    problem::FieldError,
    status::{RunStatus, StepStatus},
    time::Timestamp,
};
use sqlx::query;

use super::{
    announce::Announcements,
    events,
    lease::{self, LeaseWrite, LeasedTask},
    limits::MAX_RETRY_DELAY,
    machine, steps,
};
use crate::{DomainError, DomainResult, sql, state::DomainState, store::TeamTx};

/// Takes a task back from its holder until the first of the attempts is due.
pub async fn wait(state: &DomainState, id: TaskId, token: &str, wait: &Wait) -> DomainResult<Released> {
    let (mut tx, leased) = lease::leased_task(&state.db, LeaseWrite::Commit, id, token).await?;
    let now = state.ambient.now();
    let Some(due) = wait.steps.iter().map(|step| due_time(step, now)).min() else {
        return Err(invalid_request(FieldError::new("/steps", "at least one attempt that waits")));
    };
    let log = record_waiting(&mut tx, state, &leased, &wait.steps, now).await?;
    let team = tx.team();
    let put_aside = sql!(
        &mut *tx,
        execute,
        query(
            "UPDATE tasks SET state = 'waiting', fence = fence + 1, token_hash = NULL, owner = NULL, lease_until = NULL,
                    admitted_at = NULL, wake_at = $4
             WHERE team_id = $1 AND id = $2 AND state = 'leased' AND fence = $3"
        )
        .bind(team)
        .bind(id)
        .bind(leased.fence)
        .bind(due)
    )?;
    if put_aside.rows_affected() == 0 {
        return Err(DomainError::LeaseLost);
    }
    sql!(
        &mut *tx,
        execute,
        query("UPDATE runs SET status = $3 WHERE team_id = $1 AND id = $2 AND status = $4")
            .bind(team)
            .bind(leased.run_id)
            .bind(RunStatus::Waiting)
            .bind(RunStatus::Running)
    )?;
    events::append(&mut tx, leased.run_id, now, &log, None).await?;
    let mut announcements = Announcements::default();
    announcements.run_changed(leased.run_id);
    announcements.admit();
    announcements.commit(tx, state).await?;
    tracing::info!(task_id = %id, run_id = %leased.run_id, %due, "a task waits");
    Ok(Released {})
}

/// When an attempt is due.
fn due_time(step: &WaitingStep, now: Timestamp) -> Timestamp {
    now.after(Duration::from_millis(step.wait_ms).min(MAX_RETRY_DELAY))
}

/// Records the attempts that wait; gives the events that say so, for those of which it was not said before.
async fn record_waiting(
    tx: &mut TeamTx,
    state: &DomainState,
    leased: &LeasedTask,
    waiting: &[WaitingStep],
    now: Timestamp,
) -> DomainResult<Vec<EventKind>> {
    let all: Vec<EventKind> = waiting
        .iter()
        .map(|step| EventKind::StepWaiting { step: step.step.clone(), until: Some(due_time(step, now)) })
        .collect();
    if waiting.iter().any(|step| step.step.step.contains('\0')) {
        return Err(invalid_request(FieldError::new("/steps", "a step's name has no character U+0000")));
    }
    let newest = steps::newest(tx, leased.run_id, machine::step_keys(&all)).await?;
    let waits_already = |event: &EventKind| {
        machine::step_of(event).is_some_and(|step| {
            let known = newest.get(&(step.step.clone(), step.index.unwrap_or(0)));
            known.is_some_and(|known| known.number == step.attempt && known.status == StepStatus::Waiting)
        })
    };
    let log: Vec<EventKind> = all.into_iter().filter(|event| !waits_already(event)).collect();
    let due: BTreeMap<machine::StepKey, Timestamp> = waiting
        .iter()
        .map(|step| ((step.step.step.clone(), step.step.index.unwrap_or(0)), due_time(step, now)))
        .collect();
    let mut changes = machine::apply(newest, &log, now).map_err(|fault| invalid_request(*fault))?;
    for ((place, _), attempt) in &mut changes.attempts {
        attempt.retry_at = due.get(place).copied();
    }
    steps::save(tx, &state.ambient, leased.run_id, &changes.attempts, "").await?;
    Ok(log)
}

fn invalid_request(fault: FieldError) -> DomainError {
    DomainError::Invalid { detail: Some("The task was not released; nothing is recorded.".into()), errors: vec![fault] }
}
