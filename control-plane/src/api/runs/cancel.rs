//! `POST /v1/runs/{id}/cancel`.

use axum::{Json, extract::State};
use restroy_sdk::{api::run::Run, ids::RunId};

use crate::{
    api::http::Path,
    auth::{Caller, Permission},
    error::ApiResult,
    runs::cancel,
    state::AppState,
};

/// Cancel a run
///
/// Takes effect in the database at once, whatever its executor does. Cancelling a cancelled run returns it
/// unchanged; a run that ended otherwise is a conflict. Requires the permission `run.cancel`.
#[utoipa::path(
    post, path = "/v1/runs/{id}/cancel", tag = "runs", operation_id = "cancel_run",
    params(("id" = RunId, Path, description = "The run")),
    responses((status = 200, description = "The run is cancelled", body = Run))
)]
pub(super) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<RunId>,
) -> ApiResult<Json<Run>> {
    let scope = caller.run(&state, id, Permission::RunCancel).await?;
    Ok(Json(cancel::cancel(&state, &scope, id).await?.into_api(None)?))
}
