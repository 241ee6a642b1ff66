//! `/v1/pipelines/{id}/scripts`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, script::Script},
    ids::PipelineId,
};

use crate::{
    api::http::{Paged, Path, Query, paged},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::scripts,
};

/// The pipeline's scripts, across its versions.
#[utoipa::path(
    get, path = "/v1/pipelines/{id}/scripts", tag = "scripts",
    params(("id" = PipelineId, Path, description = "The pipeline"), Paged),
    responses((status = 200, description = "By path", body = Page<Script>)),
)]
pub(super) async fn list_scripts(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
    Query(page): Query<Paged>,
) -> ApiResult<Json<Page<Script>>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRead).await?;
    let (after, rows) = (page.after::<String>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let scripts = scripts::list(&mut tx, id, after.as_deref(), rows).await?;
    Ok(Json(paged(&page, scripts, |script| script.path.clone())?))
}
