//! `/v1/pipelines/{id}/versions`, `…/versions/{n}`

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use restroy_sdk::{
    api::{
        Page,
        pipeline::{Definition, Version},
    },
    ids::PipelineId,
};

use crate::{
    api::http::{AgePageQuery, Path, Query, paged},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{TeamTx, sort::AgeOrder, versions},
};

/// List a pipeline's versions
#[utoipa::path(
    get, path = "/v1/pipelines/{id}/versions", tag = "pipelines",
    params(("id" = PipelineId, Path, description = "The pipeline"), AgePageQuery),
    responses((status = 200, description = "The newest first by default", body = Page<Version>)),
)]
pub(super) async fn list_versions(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
    Query(aged): Query<AgePageQuery>,
) -> ApiResult<Json<Page<Version>>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRead).await?;
    let (age, page) = aged.default_order(AgeOrder::Newest);
    let (after, rows) = (page.after::<i64>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let versions = versions::list(&mut tx, id, age, after, rows).await?;
    Ok(Json(paged(&page, versions, |version| version.number)?))
}

/// Get a version with its document and sources
#[utoipa::path(
    get, path = "/v1/pipelines/{id}/versions/{number}", tag = "pipelines",
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("number" = i64, Path, description = "The version's number"),
    ),
    responses((status = 200, description = "The version", body = Definition)),
)]
pub(super) async fn get_version(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, number)): Path<(PipelineId, i64)>,
) -> ApiResult<Response> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRead).await?;
    let mut tx = scope.read().await?;
    version_response(&state, &caller, &mut tx, id, number).await
}

/// The answer that is a version, its memory reserved before it is read: as it is stored, as a tree, and as JSON.
pub(super) async fn version_response(
    state: &AppState,
    caller: &Caller,
    tx: &mut TeamTx,
    id: PipelineId,
    number: i64,
) -> ApiResult<Response> {
    let version = versions::by_number(tx, id, number).await?.ok_or_else(ApiError::not_found)?;
    let reserved = state.answers.reserve(caller.user_id, 3 * versions::size(tx, version.id).await?)?;
    let (definition, files) = versions::load(tx, version.id).await?;
    let mut response = reserved.response(serde_json::to_vec(&Definition { version, definition, files })?)?;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// A version with its document and sources.
pub(super) async fn load_version(tx: &mut TeamTx, id: PipelineId, number: i64) -> ApiResult<Definition> {
    let version = versions::by_number(tx, id, number).await?.ok_or_else(ApiError::not_found)?;
    let (definition, files) = versions::load(tx, version.id).await?;
    Ok(Definition { version, definition, files })
}
