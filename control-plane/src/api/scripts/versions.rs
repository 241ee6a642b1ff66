//! `/v1/scripts/{id}/versions`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{Page, script::ScriptVersion},
    ids::{ScriptId, ScriptVersionId},
};

use crate::{
    api::http::{AgePageQuery, PageBuilder, Path, Query},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::{scripts, sort::AgeOrder},
};

/// List a script's sources
///
/// A page ends early when the sources take more than 1 MiB.
#[utoipa::path(
    get, path = "/v1/scripts/{id}/versions", tag = "scripts",
    params(("id" = ScriptId, Path, description = "The script"), AgePageQuery),
    responses((status = 200, description = "The newest first by default", body = Page<ScriptVersion>)),
)]
pub(super) async fn list_script_versions(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<ScriptId>,
    Query(aged): Query<AgePageQuery>,
) -> ApiResult<Json<Page<ScriptVersion>>> {
    let scope = caller.script(&state, id, Permission::PipelineRead).await?;
    let (age, page) = aged.default_order(AgeOrder::Newest);
    let mut after = page.after::<ScriptVersionId>()?;
    let mut filling = PageBuilder::new(&page)?;
    let mut tx = scope.read().await?;
    while let Some(rows) = filling.rows_wanted() {
        let versions = scripts::versions(&mut tx, id, age, after, rows).await?;
        after = versions.last().map(|version| version.id).or(after);
        filling.push_rows(versions, rows, |version| version.source.len());
    }
    Ok(Json(filling.page(|version| version.id)))
}
