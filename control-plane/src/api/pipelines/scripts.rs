//! `/v1/pipelines/{id}/scripts`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, script::Script},
    ids::{Id, PipelineId},
};

use crate::{
    api::http::{Path, Query, SortedPageQuery},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::{scripts, sort::SortOrder},
};

/// List a pipeline's scripts across its versions
#[utoipa::path(
    get, path = "/v1/pipelines/{id}/scripts", tag = "scripts",
    params(("id" = PipelineId, Path, description = "The pipeline"), SortedPageQuery),
    responses((status = 200, description = "Sorted by path, the script's name, by default", body = Page<Script>)),
)]
pub(super) async fn list_scripts(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
    Query(sorted): Query<SortedPageQuery>,
) -> ApiResult<Json<Page<Script>>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRead).await?;
    let sorted = sorted.default_order(SortOrder::Name);
    let selection = sorted.selection()?;
    let scripts = scripts::list(&mut scope.read().await?, id, &selection).await?;
    Ok(Json(sorted.page(scripts, |script| (script.id.uuid(), &script.path))?))
}
