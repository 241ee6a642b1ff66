//! A pipeline's schedules for its team: shown with their next times, paused and resumed. [`super::schedule`] starts
//! their runs.

use restroy_sdk::{
    api::trigger::{PipelineSchedule, ScheduledRun},
    ids::{Id as _, PipelineId},
    time::Timestamp,
};
use serde_json::json;

use super::cron::next_fire;
use crate::{
    DomainError, DomainResult,
    auth::{Permission, Scope},
    state::DomainState,
    store::{
        audit,
        schedules::{self, StoredSchedule},
    },
};

/// How many of its next times a schedule is shown with.
const NEXT: usize = 10;

/// Those of the published version, sorted by name.
pub async fn list(state: &DomainState, scope: &Scope, pipeline: PipelineId) -> DomainResult<Vec<PipelineSchedule>> {
    let mut tx = scope.read().await?;
    let stored = schedules::list(&mut tx, pipeline).await?;
    drop(tx);
    with_next_times(state, scope, stored).await
}

/// Pauses a schedule until it is resumed. Doing it twice is doing it once.
pub async fn pause(
    state: &DomainState,
    scope: &Scope,
    pipeline: PipelineId,
    name: &str,
) -> DomainResult<PipelineSchedule> {
    let mut tx = scope.write().await?;
    let mut stored = schedules::find(&mut tx, pipeline, name).await?.ok_or(DomainError::NotFound)?;
    if stored.paused_at.is_none() {
        let now = state.ambient.now();
        schedules::pause(&mut tx, stored.id, now).await?;
        audit::record_in_team(&mut tx, &state.ambient, scope.actor(), entry("schedule.pause", &stored, Some(now)))
            .await?;
        tx.commit().await?;
        stored = StoredSchedule { paused_at: Some(now), next_fire_at: None, ..stored };
    }
    Ok(shown(scope, stored, Vec::new()))
}

/// Resumes a paused schedule with its next time from now on. Doing it twice is doing it once. The error is
/// [`DomainError::ConcurrentChange`] when a version with other times was published meanwhile: the request is repeated
/// with those.
pub async fn resume(
    state: &DomainState,
    scope: &Scope,
    pipeline: PipelineId,
    name: &str,
) -> DomainResult<PipelineSchedule> {
    let mut tx = scope.read().await?;
    let stored = schedules::find(&mut tx, pipeline, name).await?.ok_or(DomainError::NotFound)?;
    drop(tx);
    let resumed = StoredSchedule { paused_at: None, next_fire_at: Some(state.ambient.now()), ..stored.clone() };
    let shown = with_next_times(state, scope, vec![resumed]).await?.pop().ok_or(DomainError::NotFound)?;
    let mut tx = scope.write().await?;
    let present = schedules::find(&mut tx, pipeline, name).await?.ok_or(DomainError::NotFound)?;
    if (&present.cron, &present.timezone) != (&stored.cron, &stored.timezone) {
        return Err(DomainError::ConcurrentChange);
    }
    if present.paused_at.is_some() {
        schedules::unpause(&mut tx, present.id, shown.next.first().copied()).await?;
        audit::record_in_team(&mut tx, &state.ambient, scope.actor(), entry("schedule.resume", &present, None)).await?;
        tx.commit().await?;
    }
    Ok(shown)
}

fn entry<'a>(action: &'a str, stored: &StoredSchedule, paused_at: Option<Timestamp>) -> audit::Entry<'a> {
    audit::Entry::new(action, "schedule", stored.id)
        .details(json!({ "pipeline_id": stored.pipeline_id, "name": stored.name }))
        .before(json!({ "paused_at": stored.paused_at }))
        .after(json!({ "paused_at": paused_at }))
}

/// As the API shows them. The search for the next times is work of the tenant's, in its turn.
async fn with_next_times(
    state: &DomainState,
    scope: &Scope,
    stored: Vec<StoredSchedule>,
) -> DomainResult<Vec<PipelineSchedule>> {
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    let now = state.ambient.now();
    let search = move || stored.into_iter().map(|stored| (next_times(&stored, now), stored)).collect::<Vec<_>>();
    let found = state.tenants.run(scope.team().uuid(), search).await?;
    Ok(found.into_iter().map(|(next, stored)| shown(scope, stored, next)).collect())
}

/// The times after `now` at which a schedule that is not stopped is due.
fn next_times(stored: &StoredSchedule, now: Timestamp) -> Vec<Timestamp> {
    if stored.next_fire_at.is_none() {
        return Vec::new();
    }
    let schedule = stored.schedule();
    std::iter::successors(next_fire(&schedule, now), |time| next_fire(&schedule, *time)).take(NEXT).collect()
}

fn shown(scope: &Scope, stored: StoredSchedule, next: Vec<Timestamp>) -> PipelineSchedule {
    let last_run = stored.run_id.zip(stored.run_status).zip(stored.run_due_at);
    let last_run = last_run.filter(|_| scope.has_permission(Permission::RunRead));
    PipelineSchedule {
        id: stored.id,
        name: stored.name,
        cron: stored.cron,
        timezone: stored.timezone,
        misfire: stored.misfire,
        overlap: stored.overlap,
        paused_at: stored.paused_at,
        next,
        last_run: last_run.map(|((id, status), due_at)| ScheduledRun { id, status, due_at }),
    }
}
