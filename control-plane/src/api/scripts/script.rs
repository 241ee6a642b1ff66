//! `/v1/scripts/{id}`

use axum::{Json, extract::State};
use restroy_sdk::{api::script::Script, ids::ScriptId};

use crate::{
    api::http::Path,
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
    store::scripts,
};

/// Get a script
#[utoipa::path(
    get, path = "/v1/scripts/{id}", tag = "scripts", params(("id" = ScriptId, Path, description = "The script")),
    responses((status = 200, description = "The script", body = Script)),
)]
pub(super) async fn get_script(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<ScriptId>,
) -> ApiResult<Json<Script>> {
    let scope = caller.script(&state, id, Permission::PipelineRead).await?;
    let mut tx = scope.read().await?;
    scripts::get(&mut tx, id).await?.map(Json).ok_or_else(ApiError::not_found)
}
