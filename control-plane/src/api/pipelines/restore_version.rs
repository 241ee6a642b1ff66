//! `POST /v1/pipelines/{id}/versions/{n}/restore`

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use indexmap::IndexMap;
use restroy_sdk::{
    api::pipeline::{RestoreVersion, VersionWritten},
    ids::{Id, PipelineId},
};

use super::{
    escalation::Escalations,
    publish::{next_fire_times, publish},
};
use crate::{
    api::{
        http::{Body, Idempotency, Idempotent, Path, check_preconditions},
        limits,
    },
    auth::{Caller, Permission},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{audit, pipelines, versions},
};

/// Create a new version from an old one
///
/// Optionally publishes it. The versions in between stay.
#[utoipa::path(
    post, path = "/v1/pipelines/{id}/versions/{number}/restore", tag = "pipelines", request_body = RestoreVersion,
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("number" = i64, Path, description = "The version's number"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer for 24 hours"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the latest version's tag"),
    ),
    responses((status = 201, description = "The new version and its added capabilities", body = VersionWritten)),
)]
pub(super) async fn restore_version(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, number)): Path<(PipelineId, i64)>,
    idempotency: Idempotency,
    headers: HeaderMap,
    Body(restore): Body<RestoreVersion>,
) -> ApiResult<Response> {
    let scope = caller.pipeline(&state, id, Permission::PipelineEdit).await?;
    let mut tx = scope.read().await?;
    let old = versions::by_number(&mut tx, id, number).await?.ok_or_else(ApiError::not_found)?;
    let (document, files) = versions::load(&mut tx, old.id).await?;
    let library = versions::library_versions(&mut tx, old.id).await?;
    drop(tx);
    let upcoming =
        if restore.publish { next_fire_times(&state, scope.team(), &document).await? } else { IndexMap::new() };
    let now = state.ambient.now();
    let (mut tx, scope) = scope.write_with_scope().await?;
    let slot = match idempotency.begin(&mut tx, scope.team().uuid(), &restore, now).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    let pipeline = pipelines::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(&headers, pipeline.latest_version)?;
    let next = pipeline.latest_version.unwrap_or(0) + 1;
    limits::ensure_below_limit(next - 1, limits::VERSIONS_PER_PIPELINE, "versions of a pipeline")?;
    let told = format!("As version {number} was");
    let message = if restore.message.is_empty() { &told } else { &restore.message };
    let new = versions::NewVersion {
        pipeline: id,
        number: next,
        document: &document,
        files: &files,
        library: &library,
        message,
        author: caller.user_id,
    };
    versions::insert(&mut tx, &state.ambient, &new).await?;
    limits::ensure_sources_below_limit(&mut tx).await?;
    pipelines::set_latest(&mut tx, id, next, now).await?;
    let entry = audit::Entry::new("pipeline.define", "pipeline", id);
    let entry = entry
        .details(serde_json::json!({ "restored": number }))
        .before(serde_json::json!({ "latest_version": pipeline.latest_version }))
        .after(serde_json::json!({ "latest_version": next, "message": message }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let widened = if restore.publish {
        publish(&state, &scope, &mut tx, &pipeline, next, &document, &upcoming).await?
    } else {
        Escalations::against_published(&mut tx, &pipeline, &document).await?.field_errors()
    };
    let version = versions::by_number(&mut tx, id, next).await?.ok_or_else(ApiError::not_found)?;
    let answer = slot.store_response(&mut tx, StatusCode::CREATED, &VersionWritten { version, widened }).await?;
    tx.commit().await?;
    Ok(answer)
}
