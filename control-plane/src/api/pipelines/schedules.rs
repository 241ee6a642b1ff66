//! `GET /v1/pipelines/{id}/schedules`, `POST …/schedules/{name}/pause`, `POST …/schedules/{name}/resume`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, trigger::PipelineSchedule},
    ids::PipelineId,
};

use crate::{
    api::http::Path,
    auth::{Caller, Permission},
    error::ApiResult,
    runs::schedules,
    state::AppState,
};

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
    Ok(Json(Page { items: schedules::list(&state, &scope, id).await?, next_cursor: None }))
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
    Ok(Json(schedules::pause(&state, &scope, id, &name).await?))
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
    Ok(Json(schedules::resume(&state, &scope, id, &name).await?))
}
