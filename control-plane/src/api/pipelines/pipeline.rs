//! `/v1/pipelines/{id}`

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{api::pipeline::Pipeline, ids::PipelineId};

use crate::{
    api::http::Path,
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    runs::removed::{self, Removed},
    state::AppState,
    store::{audit, pipelines, schedules},
};

/// A pipeline.
#[utoipa::path(
    get, path = "/v1/pipelines/{id}", tag = "pipelines",
    params(("id" = PipelineId, Path, description = "The pipeline")),
    responses((status = 200, description = "The pipeline", body = Pipeline)),
)]
pub(super) async fn get_pipeline(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
) -> ApiResult<Json<Pipeline>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRead).await?;
    let mut tx = scope.read().await?;
    pipelines::get(&mut tx, id).await?.map(Json).ok_or_else(ApiError::not_found)
}

/// Deletes a pipeline; its runs end.
#[utoipa::path(
    delete, path = "/v1/pipelines/{id}", tag = "pipelines",
    params(("id" = PipelineId, Path, description = "The pipeline")),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete_pipeline(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
) -> ApiResult<StatusCode> {
    let scope = caller.pipeline(&state, id, Permission::PipelineDelete).await?;
    let mut tx = scope.write().await?;
    let now = state.ambient.now();
    let pipeline = pipelines::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    let ended = removed::cancel_runs(&mut tx, now, Removed::Pipeline(id)).await?;
    schedules::stop(&mut tx, id).await?;
    pipelines::delete(&mut tx, id, now).await?;
    let entry = audit::Entry::new("pipeline.delete", "pipeline", id).before(serde_json::to_value(&pipeline)?);
    audit::in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    ended.announce(&state);
    Ok(StatusCode::NO_CONTENT)
}
