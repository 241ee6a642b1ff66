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
/// Retention does not remove it, however old it gets; it counts towards `storage_bytes` for as long. Takes the
/// permission `run.keep`.
#[utoipa::path(
    put, path = "/v1/runs/{id}/keep", tag = "runs", operation_id = "keep_run",
    params(("id" = RunId, Path, description = "The run")),
    responses((status = 200, description = "The run is kept", body = Run))
)]
pub(super) async fn keep(State(state): State<AppState>, caller: Caller, Path(id): Path<RunId>) -> ApiResult<Json<Run>> {
    let scope = caller.run(&state, id, Permission::RunKeep).await?;
    Ok(Json(change::keep(&state, &scope, id, true).await?.into_api(None)?))
}

/// Keep a run no longer
///
/// Its pipeline's retention applies again. Takes the permission `run.keep`.
#[utoipa::path(
    delete, path = "/v1/runs/{id}/keep", tag = "runs", operation_id = "unkeep_run",
    params(("id" = RunId, Path, description = "The run")),
    responses((status = 200, description = "The run is kept no longer", body = Run))
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
/// With its events, outputs and artifacts; what it takes is free within seconds. 409 while it has not ended or is
/// kept. Takes the permission `run.keep`.
#[utoipa::path(
    delete, path = "/v1/runs/{id}", tag = "runs", operation_id = "delete_run",
    params(("id" = RunId, Path, description = "The run")),
    responses((status = 204, description = "It is gone"))
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
