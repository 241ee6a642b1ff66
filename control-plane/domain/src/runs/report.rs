//! `POST /run/v1/tasks/{id}/events`: a batch is taken as a whole, in one transaction, or refused.

use std::collections::BTreeMap;

use restroy_run_queue::run_api::{Batch, BatchAnswer};
use restroy_sdk::{event::EventKind, ids::TaskId, problem::FieldError, status::RunStatus, time::Timestamp};

use super::{
    announce::Announcements,
    end::{EndedBy, Ending, RunEnded, finish},
    events::{self, BatchOrigin, LogPosition},
    executor::check_engine,
    lease::{self, LeaseWrite, LeasedTask},
    limits::MAX_RUN_EVENTS,
    machine::{self, AttemptState},
    steps,
};
use crate::{
    DomainError, DomainResult,
    state::DomainState,
    store::{
        TeamTx,
        quota::Limit,
        storage::{self, StorageUsage},
        usage::{self, LimitExceeded, UsageDelta},
    },
};

/// From how much fuel of a run's own row of the hour on it is summed up what the team used.
const WORTH_SUMMING: i64 = 1_000_000_000;

/// Records a batch of the holder of a task.
pub async fn report(state: &DomainState, id: TaskId, token: &str, batch: Batch) -> DomainResult<BatchAnswer> {
    let (mut tx, leased) = lease::find(&state.db, LeaseWrite::Commit, id, token).await?;
    if (1..=leased.last_batch).contains(&batch.n) {
        // Taken before; the answer was lost on its way.
        let egress_left = usage::egress_left(&mut tx, state.ambient.now()).await?;
        return Ok(batch_answer(state, leased.last_seq, egress_left));
    }
    leased.check_alive()?;
    if batch.n != leased.last_batch + 1 {
        let expected = leased.last_batch + 1;
        let detail = format!("The next batch is number {expected}, not {}: send them one after the other.", batch.n);
        return Err(DomainError::conflict(detail));
    }
    let now = state.ambient.now();
    let count = batch.events.len();
    let used = batch_usage(&batch);
    let AcceptedBatch { log, ended } = apply_batch(state, &mut tx, &leased, batch, now).await?;
    let has_ended = ended.is_some();
    if log.bytes > MAX_RUN_EVENTS {
        drop(tx);
        return Err(finish_oversized(state, id, token).await?);
    }
    let counted = record_usage(&mut tx, &leased, used, now).await?;
    if counted.stored.is_over() {
        // Nothing of the batch is kept: a team that is full does not grow by one batch of each of its runs.
        drop(tx);
        let ending = Ending::with_code(RunStatus::Failed, "quota_exceeded", counted.stored.message());
        return Err(finish_at_limit(state, id, token, &ending).await?);
    }
    let mut announcements = Announcements::default();
    if let Some(ended) = ended {
        announcements.run_ended(ended);
    } else {
        announcements.run_changed(leased.run_id);
    }
    announcements.commit(tx, state).await?;
    state.metrics.events_recorded(count);
    if let (Some(exceeded), false) = (counted.exceeded, has_ended) {
        let ending = Ending::with_code(RunStatus::Failed, "quota_exceeded", exceeded.message());
        return Err(finish_at_limit(state, id, token, &ending).await?);
    }
    Ok(batch_answer(state, log.last_seq, counted.egress_left))
}

fn batch_answer(state: &DomainState, last_seq: i64, egress_left: u64) -> BatchAnswer {
    BatchAnswer { last_seq, lease_ms: lease::lease_ms(state), egress_left: Some(egress_left) }
}

/// What the attempts used that a batch ends, and what went out.
fn batch_usage(batch: &Batch) -> UsageDelta {
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut used = UsageDelta { egress_bytes: whole(batch.egress_bytes), ..UsageDelta::default() };
    for event in &batch.events {
        let (EventKind::StepFinished { usage, .. } | EventKind::StepRetrying { usage, .. }) = event else { continue };
        // What never ran has used nothing.
        used.steps += i64::from(usage.fuel > 0);
        used.fuel = used.fuel.saturating_add(whole(usage.fuel));
        used.cpu_ms = used.cpu_ms.saturating_add(whole(usage.cpu_ms));
    }
    used
}

/// How the team stands after a batch.
struct LimitsReached {
    egress_left: u64,
    stored: StorageUsage,
    /// Its fuel is used up.
    exceeded: Option<LimitExceeded>,
}

async fn record_usage(
    tx: &mut TeamTx,
    leased: &LeasedTask,
    used: UsageDelta,
    now: Timestamp,
) -> DomainResult<LimitsReached> {
    let mut exceeded = None;
    if used != UsageDelta::default() {
        let fuel = usage::add(tx, leased.run_id, now, used).await?;
        // Those who use little are not summed up every time: what they use beyond is little as well.
        if fuel >= WORTH_SUMMING {
            exceeded = usage::exceeded(tx, Limit::FuelPerDay, 0, now).await?;
        }
    }
    let (egress_left, stored) = usage::allowance(tx, now).await?;
    Ok(LimitsReached { egress_left, stored, exceeded })
}

struct AcceptedBatch {
    log: LogPosition,
    /// The run's end, if that was in the batch.
    ended: Option<RunEnded>,
}

async fn apply_batch(
    state: &DomainState,
    tx: &mut TeamTx,
    leased: &LeasedTask,
    mut batch: Batch,
    now: Timestamp,
) -> DomainResult<AcceptedBatch> {
    let run = leased.run_id;
    check_texts(&batch)?;
    machine::set_due_times(&mut batch.events, now).map_err(|fault| invalid_batch(*fault))?;
    let newest = steps::newest(tx, run, machine::step_keys(&batch.events)).await?;
    let known: BTreeMap<_, _> = newest.iter().map(|(place, attempt)| (place.clone(), attempt.number)).collect();
    let changes = machine::apply(newest, &batch.events, now).map_err(|fault| invalid_batch(*fault))?;
    let beside =
        changes.attempts.iter().map(|((place, number), attempt)| size(attempt, known.get(place) < Some(number))).sum();
    steps::save(tx, &state.ambient, run, &changes.attempts, &batch.engine_id).await?;
    lease::renew(state, tx, leased, now, batch.n).await?;
    if batch.events.iter().any(|event| matches!(event, EventKind::StepFinished { .. })) {
        lease::record_progress(tx, leased).await?;
    }

    let origin = BatchOrigin { task: leased.task_id, fence: leased.fence, n: batch.n };
    let Some((status, error)) = changes.ending else {
        let log = events::append_with_bytes(tx, run, now, &batch.events, Some(origin), beside).await?;
        return Ok(AcceptedBatch { log, ended: None });
    };
    if status == RunStatus::Succeeded
        && let Some(step) = steps::open_step(tx, run).await?
    {
        let pointer = format!("/events/{}", batch.events.len().saturating_sub(1));
        let message = format!("The run has not succeeded: the step `{step}` has not ended.");
        return Err(invalid_batch(FieldError::new(pointer, message)));
    }
    let by = EndedBy::Holder { task: leased, batch: origin, events: batch.events, beside };
    let ended = finish(tx, run, now, &Ending { status, error }, by).await?.ok_or(DomainError::RunEnded)?;
    Ok(AcceptedBatch { log: ended.log, ended: Some(ended) })
}

/// What an attempt takes beside its events: its row, and once it has ended what it returned.
fn size(attempt: &AttemptState, new: bool) -> i64 {
    let mut size = if new { storage::ROW } else { 0 };
    if attempt.finished_at.is_some() {
        let output = attempt.output.as_ref().map_or(0, String::len);
        let error = attempt.error.as_ref().map_or(0, |error| error.message.len());
        size += i64::try_from(output + error).unwrap_or(i64::MAX);
    }
    size
}

/// What goes into the database as it is cannot hold U+0000; within events it is escaped.
fn check_texts(batch: &Batch) -> DomainResult<()> {
    check_engine(&batch.engine_id)?;
    let named = |event: &EventKind| machine::step_of(event).is_some_and(|step| step.step.contains('\0'));
    match batch.events.iter().position(named) {
        Some(at) => {
            Err(invalid_batch(FieldError::new(format!("/events/{at}/step"), "a step's name has no character U+0000")))
        }
        None => Ok(()),
    }
}

/// Ends a run whose log would outgrow its bound; what is committed stays.
async fn finish_oversized(state: &DomainState, id: TaskId, token: &str) -> DomainResult<DomainError> {
    let message = format!("The events of a run, output of its scripts included, take at most {MAX_RUN_EVENTS} bytes.");
    finish_at_limit(state, id, token, &Ending::with_code(RunStatus::Failed, "event_limit", message)).await
}

/// Ends a run that may not continue.
async fn finish_at_limit(state: &DomainState, id: TaskId, token: &str, ending: &Ending) -> DomainResult<DomainError> {
    let (mut tx, leased) = lease::leased_task(&state.db, LeaseWrite::Commit, id, token).await?;
    let ended = finish(&mut tx, leased.run_id, state.ambient.now(), ending, EndedBy::ControlPlane).await?;
    if let Some(ended) = ended {
        let mut announcements = Announcements::default();
        announcements.run_ended(ended);
        announcements.commit(tx, state).await?;
    }
    Ok(DomainError::RunEnded)
}

fn invalid_batch(fault: FieldError) -> DomainError {
    DomainError::Invalid { detail: Some("The batch was rejected; none of it is recorded.".into()), errors: vec![fault] }
}
