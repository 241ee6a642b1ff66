//! `/v1/scripts/{id}/versions`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, script::ScriptVersion},
    ids::{ScriptId, ScriptVersionId},
};

use crate::{
    api::http::{Paged, Path, Query, paged},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::scripts,
};

/// The script's sources so far.
#[utoipa::path(
    get, path = "/v1/scripts/{id}/versions", tag = "scripts",
    params(("id" = ScriptId, Path, description = "The script"), Paged),
    responses((status = 200, description = "The newest first", body = Page<ScriptVersion>)),
)]
pub(super) async fn list_script_versions(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<ScriptId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<ScriptVersion>>> {
    let scope = caller.script(&state, id, Permission::PipelineRead).await?;
    let (before, rows) = (page.after::<ScriptVersionId>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let versions = scripts::versions(&mut tx, id, before, rows).await?;
    Ok(Json(paged(&page, versions, |version| version.id)?))
}
