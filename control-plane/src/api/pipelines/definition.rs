//! `/v1/pipelines/{id}/definition`

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use indexmap::IndexMap;
use restroy_sdk::{
    api::pipeline::{Definition, PutDefinition, VersionWritten},
    ids::PipelineId,
};
use serde_json::json;

use super::{
    escalation::Escalations,
    publish::{next_fire_times, publish},
    review,
    versions::version_response,
};
use crate::{
    api::{
        http::{Body, Path, check_preconditions, etag},
        limits,
    },
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{audit, library, pipelines, versions},
};

/// Get the latest version's definition
///
/// Whether it is published or not.
#[utoipa::path(
    get, path = "/v1/pipelines/{id}/definition", tag = "pipelines",
    params(("id" = PipelineId, Path, description = "The pipeline")),
    responses(
        (status = 200, description = "The latest version", body = Definition,
         headers(("ETag" = String, description = "For `If-Match` of the next change"))),
    ),
)]
pub(super) async fn get_definition(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
) -> ApiResult<Response> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRead).await?;
    let mut tx = scope.read().await?;
    let pipeline = pipelines::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    let number = pipeline.latest_version.ok_or_else(ApiError::not_found)?;
    let definition = version_response(&state, &caller, &mut tx, id, number).await?;
    Ok((etag(number), definition).into_response())
}

/// Create a new version of a pipeline
///
/// Optionally publishes it. All or nothing.
#[utoipa::path(
    put, path = "/v1/pipelines/{id}/definition", tag = "pipelines", request_body = PutDefinition,
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the latest version's tag"),
    ),
    responses(
        (status = 200, description = "The new version and its added capabilities", body = VersionWritten,
         headers(("ETag" = String, description = "For `If-Match` of the next change"))),
    ),
)]
pub(super) async fn put_definition(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
    headers: HeaderMap,
    Body(put): Body<PutDefinition>,
) -> ApiResult<Response> {
    let scope = caller.pipeline(&state, id, Permission::PipelineEdit).await?;
    let bounds = review::bounds(&mut scope.read().await?).await?;
    let files = Arc::new(put.files);
    let document = Arc::new(review::read(&state, scope.team(), put.definition, &files, bounds).await?);
    let library = review::resolve_pins(&state, &scope, &document, &files).await?;
    let now = state.ambient.now();
    let upcoming = if put.publish { next_fire_times(&state, scope.team(), &document).await? } else { IndexMap::new() };
    let (mut tx, scope) = scope.write_with_scope().await?;
    let pipeline = pipelines::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(&headers, pipeline.latest_version)?;
    if !library::all_exist(&mut tx, &library).await? {
        // A module was deleted since: done again at once, its absence is reported.
        return Err(ApiError::conflict());
    }
    let number = pipeline.latest_version.unwrap_or(0) + 1;
    limits::ensure_below_limit(number - 1, limits::VERSIONS_PER_PIPELINE, "versions of a pipeline")?;
    let new = versions::NewVersion {
        pipeline: id,
        number,
        document: &document,
        files: &files,
        library: &library,
        message: &put.message,
        author: caller.user_id,
    };
    versions::insert(&mut tx, &state.ambient, &new).await?;
    limits::ensure_sources_below_limit(&mut tx).await?;
    pipelines::set_latest(&mut tx, id, number, now).await?;
    let entry = audit::Entry::new("pipeline.define", "pipeline", id);
    let entry = entry
        .before(json!({ "latest_version": pipeline.latest_version }))
        .after(json!({ "latest_version": number, "message": put.message }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let widened = if put.publish {
        publish(&state, &scope, &mut tx, &pipeline, number, &document, &upcoming).await?
    } else {
        Escalations::against_published(&mut tx, &pipeline, &document).await?.field_errors()
    };
    let version = versions::by_number(&mut tx, id, number).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok((etag(number), Json(VersionWritten { version, widened })).into_response())
}
