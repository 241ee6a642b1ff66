//! `GET /v1/pipelines/{id}/schedules`, `POST …/schedules/{name}/pause`, `POST …/schedules/{name}/resume`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{
        Page,
        trigger::{PipelineSchedule, ScheduledRun},
    },
    document::Schedule,
    ids::{Id, PipelineId},
    time::Timestamp,
};
use serde_json::json;

use crate::{
    api::http::Path,
    auth::{Caller, Permission, Scope},
    error::{ApiError, ApiResult},
    runs::schedule::next_fire,
    state::AppState,
    store::{
        audit,
        schedules::{self, StoredSchedule},
    },
};

/// How many of its next times a schedule is shown with.
const NEXT: usize = 10;

/// List a pipeline's schedules
///
/// Those of the published version, sorted by name; always one page.
#[utoipa::path(
    get, path = "/v1/pipelines/{id}/schedules", tag = "pipelines", operation_id = "list_schedules",
    params(("id" = PipelineId, Path, description = "The pipeline")),
    responses((status = 200, description = "The schedules", body = Page<PipelineSchedule>))
)]
pub(super) async fn list_schedules(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
) -> ApiResult<Json<Page<PipelineSchedule>>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRead).await?;
    let mut tx = scope.read().await?;
    let stored = schedules::list(&mut tx, id).await?;
    drop(tx);
    Ok(Json(Page { items: with_next_times(&state, &scope, stored).await?, next_cursor: None }))
}

/// Pause a schedule
///
/// It starts no runs until it is resumed, and stays paused when a version that has it is published.
#[utoipa::path(
    post, path = "/v1/pipelines/{id}/schedules/{name}/pause", tag = "pipelines", operation_id = "pause_schedule",
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("name" = String, Path, description = "The schedule's name"),
    ),
    responses((status = 200, description = "The paused schedule", body = PipelineSchedule))
)]
pub(super) async fn pause_schedule(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, name)): Path<(PipelineId, String)>,
) -> ApiResult<Json<PipelineSchedule>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineEdit).await?;
    let mut tx = scope.write().await?;
    let mut stored = schedules::find(&mut tx, id, &name).await?.ok_or_else(ApiError::not_found)?;
    if stored.paused_at.is_none() {
        let now = state.ambient.now();
        schedules::pause(&mut tx, stored.id, now).await?;
        audit::record_in_team(&mut tx, &state.ambient, scope.actor(), entry("schedule.pause", &stored, Some(now)))
            .await?;
        tx.commit().await?;
        stored = StoredSchedule { paused_at: Some(now), next_fire_at: None, ..stored };
    }
    Ok(Json(shown(&scope, stored, Vec::new())))
}

/// Resume a paused schedule
///
/// Times that passed while it was paused start no run.
#[utoipa::path(
    post, path = "/v1/pipelines/{id}/schedules/{name}/resume", tag = "pipelines", operation_id = "resume_schedule",
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("name" = String, Path, description = "The schedule's name"),
    ),
    responses((status = 200, description = "The schedule, enabled", body = PipelineSchedule))
)]
pub(super) async fn resume_schedule(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, name)): Path<(PipelineId, String)>,
) -> ApiResult<Json<PipelineSchedule>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineEdit).await?;
    let mut tx = scope.read().await?;
    let stored = schedules::find(&mut tx, id, &name).await?.ok_or_else(ApiError::not_found)?;
    drop(tx);
    let resumed = StoredSchedule { paused_at: None, next_fire_at: Some(state.ambient.now()), ..stored.clone() };
    let mut shown = with_next_times(&state, &scope, vec![resumed]).await?;
    let shown = shown.pop().ok_or_else(ApiError::not_found)?;
    let mut tx = scope.write().await?;
    let present = schedules::find(&mut tx, id, &name).await?.ok_or_else(ApiError::not_found)?;
    if (&present.cron, &present.timezone) != (&stored.cron, &stored.timezone) {
        // Published anew meanwhile: the request is repeated with its new times.
        return Err(ApiError::conflict());
    }
    if present.paused_at.is_some() {
        schedules::unpause(&mut tx, present.id, shown.next.first().copied()).await?;
        audit::record_in_team(&mut tx, &state.ambient, scope.actor(), entry("schedule.resume", &present, None)).await?;
        tx.commit().await?;
    }
    Ok(Json(shown))
}

fn entry<'a>(action: &'a str, stored: &StoredSchedule, paused_at: Option<Timestamp>) -> audit::Entry<'a> {
    audit::Entry::new(action, "schedule", stored.id)
        .details(json!({ "pipeline_id": stored.pipeline_id, "name": stored.name }))
        .before(json!({ "paused_at": stored.paused_at }))
        .after(json!({ "paused_at": paused_at }))
}

/// As the API shows them. The search for the next times is work of the tenant's, in its turn.
async fn with_next_times(
    state: &AppState,
    scope: &Scope,
    stored: Vec<StoredSchedule>,
) -> ApiResult<Vec<PipelineSchedule>> {
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
    let schedule = Schedule {
        cron: stored.cron.clone(),
        timezone: Some(stored.timezone.clone()),
        misfire: stored.misfire,
        overlap: stored.overlap,
    };
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
