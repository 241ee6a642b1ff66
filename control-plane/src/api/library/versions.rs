//! `/v1/teams/{id}/library/{name}/versions`, `…/versions/{n}`

use axum::{Json, extract::State};
use restroy_sdk::{
    api::{
        Page,
        library::{LibrarySource, LibraryVersion},
    },
    ids::TeamId,
};

use super::module::load_with_source;
use crate::{
    api::http::{AgePageQuery, Path, Query, paged},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{library, sort::AgeOrder},
};

/// List a library module's versions without their sources
#[utoipa::path(
    get, path = "/v1/teams/{id}/library/{name}/versions", tag = "library",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("name" = String, Path, description = "The module's name"),
        AgePageQuery,
    ),
    responses((status = 200, description = "The newest first by default", body = Page<LibraryVersion>)),
)]
pub(super) async fn list_library_module_versions(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, name)): Path<(TeamId, String)>,
    Query(aged): Query<AgePageQuery>,
) -> ApiResult<Json<Page<LibraryVersion>>> {
    let scope = caller.team(&state, id, Permission::PipelineRead).await?;
    let (age, page) = aged.default_order(AgeOrder::Newest);
    let (after, rows) = (page.after::<i64>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let module = library::get(&mut tx, &name).await?.ok_or_else(ApiError::not_found)?;
    let versions = library::versions(&mut tx, module.id, age, after, rows).await?;
    Ok(Json(paged(&page, versions, |version| version.number)?))
}

/// Get a version of a library module with its source
#[utoipa::path(
    get, path = "/v1/teams/{id}/library/{name}/versions/{number}", tag = "library",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("name" = String, Path, description = "The module's name"),
        ("number" = i64, Path, description = "The version's number"),
    ),
    responses((status = 200, description = "The version", body = LibrarySource)),
)]
pub(super) async fn get_library_module_version(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, name, number)): Path<(TeamId, String, i64)>,
) -> ApiResult<Json<LibrarySource>> {
    let scope = caller.team(&state, id, Permission::PipelineRead).await?;
    load_with_source(&mut scope.read().await?, &name, Some(number)).await.map(Json)
}
