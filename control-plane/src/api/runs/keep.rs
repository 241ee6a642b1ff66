//! `PUT DELETE /v1/runs/{id}/keep`, `DELETE /v1/runs/{id}`.

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{api::run::Run, ids::RunId};

use crate::{
    api::http::Path,
    auth::{Caller, Permission},
    error::ApiResult,
    runs::keep as change,
    state::AppState,
};

/// Keep a run
///
/// Exempts it from retention; it still counts towards `storage_bytes`. Requires the permission `run.keep`.
#[utoipa::path(
    put, path = "/v1/runs/{id}/keep", tag = "runs", operation_id = "keep_run",
    params(("id" = RunId, Path, description = "The run")),
    responses((status = 200, description = "The run is kept", body = Run))
)]
pub(super) async fn keep(State(state): State<AppState>, caller: Caller, Path(id): Path<RunId>) -> ApiResult<Json<Run>> {
    let scope = caller.run(&state, id, Permission::RunKeep).await?;
    Ok(Json(change::keep(&state, &scope, id, true).await?.into_api(None)?))
}

/// Undo keeping a run
///
/// Its pipeline's retention applies again. Requires the permission `run.keep`.
#[utoipa::path(
    delete, path = "/v1/runs/{id}/keep", tag = "runs", operation_id = "unkeep_run",
    params(("id" = RunId, Path, description = "The run")),
    responses((status = 200, description = "The run is no longer kept", body = Run))
)]
pub(super) async fn unkeep(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<RunId>,
) -> ApiResult<Json<Run>> {
    let scope = caller.run(&state, id, Permission::RunKeep).await?;
    Ok(Json(change::keep(&state, &scope, id, false).await?.into_api(None)?))
}

/// Delete a run
///
/// With its events, outputs and artifacts; the storage is free within seconds. 409 while it has not ended or is
/// kept. Requires the permission `run.keep`.
#[utoipa::path(
    delete, path = "/v1/runs/{id}", tag = "runs", operation_id = "delete_run",
    params(("id" = RunId, Path, description = "The run")),
    responses((status = 204, description = "Deleted"))
)]
pub(super) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<RunId>,
) -> ApiResult<StatusCode> {
    let scope = caller.run(&state, id, Permission::RunKeep).await?;
    change::delete(&state, &scope, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
