//! `POST /v1/pipelines/{id}/restore`

use axum::{Json, extract::State};
use restroy_sdk::{api::pipeline::Pipeline, ids::PipelineId};

use crate::{
    api::{http::Path, limits, restore::Restoration},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult, name_taken},
    runs::{
        purge_deleted::RETENTION,
        removed::{self, DeletedScope},
    },
    state::AppState,
    store::{audit, pipelines, schedules::ScheduleOwner},
};

/// Restore a deleted pipeline
///
/// Within 30 days, with its versions, configuration, runs and position; its schedules fire again. 409
/// `name_taken` if another pipeline has its name.
#[utoipa::path(
    post, path = "/v1/pipelines/{id}/restore", tag = "pipelines",
    params(("id" = PipelineId, Path, description = "The pipeline that was deleted")),
    responses((status = 200, description = "The pipeline", body = Pipeline)),
)]
pub(super) async fn restore_pipeline(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
) -> ApiResult<Json<Pipeline>> {
    let scope = caller.deleted_pipeline(&state, id, Permission::PipelineDelete).await?;
    let mut back = Restoration::begin(&state, &scope, ScheduleOwner::Pipeline(id)).await?;
    let (name, board) = pipelines::get_deleted(&mut back.tx, id).await?.ok_or_else(ApiError::not_found)?;
    removed::ensure_runs_ended(&mut back.tx, DeletedScope::Pipeline(id)).await?;
    let present = pipelines::count(&mut back.tx, board).await?;
    limits::ensure_below_limit(present, limits::PIPELINES_PER_BOARD, "pipelines on a board")?;
    let pipeline = pipelines::restore(&mut back.tx, id, back.now.before(RETENTION), back.now)
        .await
        .map_err(|error| name_taken(error, "a pipeline on this board", &name))?
        .ok_or_else(ApiError::not_found)?;
    let entry = audit::Entry::new("pipeline.restore", "pipeline", id).after(serde_json::to_value(&pipeline)?);
    back.finish(&state, &caller, entry).await?;
    Ok(Json(pipeline))
}
