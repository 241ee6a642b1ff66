//! `/v1/pipelines/{id}`

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use restroy_sdk::{
    api::pipeline::{Pipeline, PipelinePatch, Retention},
    ids::PipelineId,
    problem::{FieldError, Problem, ProblemCode},
};
use serde_json::json;

use crate::{
    api::http::{Body, Path, check_preconditions, etag},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult, name_taken},
    runs::removed::{self, DeletedScope},
    state::AppState,
    store::{
        TeamTx, audit, pipelines,
        quota::{self, Limit},
        schedules,
    },
};

/// Get a pipeline
#[utoipa::path(
    get, path = "/v1/pipelines/{id}", tag = "pipelines",
    params(("id" = PipelineId, Path, description = "The pipeline")),
    responses((status = 200, description = "The pipeline", body = Pipeline,
        headers(("ETag" = String, description = "For `If-Match` of the next change")))),
)]
pub(super) async fn get_pipeline(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
) -> ApiResult<Response> {
    let scope = caller.pipeline(&state, id, Permission::PipelineRead).await?;
    let mut tx = scope.read().await?;
    let pipeline = pipelines::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    Ok((etag(pipeline.revision), Json(pipeline)).into_response())
}

/// Update a pipeline
///
/// Its name, description or retention.
#[utoipa::path(
    patch, path = "/v1/pipelines/{id}", tag = "pipelines", request_body = PipelinePatch,
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the pipeline's tag"),
    ),
    responses((status = 200, description = "The pipeline", body = Pipeline,
        headers(("ETag" = String, description = "For `If-Match` of the next change")))),
)]
pub(super) async fn patch_pipeline(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
    headers: HeaderMap,
    Body(patch): Body<PipelinePatch>,
) -> ApiResult<Response> {
    let scope = caller.pipeline(&state, id, Permission::PipelineEdit).await?;
    let mut tx = scope.write().await?;
    let before = pipelines::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(&headers, Some(before.revision))?;
    if let Some(retention) = patch.retention {
        check_retention(&mut tx, retention).await?;
    }
    let was = json!({ "name": before.name, "description": before.description, "retention": before.retention });
    let (name, description) = (patch.name.unwrap_or(before.name), patch.description.unwrap_or(before.description));
    let retention = patch.retention.unwrap_or(before.retention);
    let change = pipelines::PipelineUpdate { name: &name, description: &description, retention };
    let pipeline = pipelines::update(&mut tx, id, &change, state.ambient.now())
        .await
        .map_err(|error| name_taken(error, "a pipeline on this board", &name))?;
    let entry = audit::Entry::new("pipeline.change", "pipeline", id);
    let now = json!({ "name": name, "description": description, "retention": retention });
    let entry = entry.before(was).after(now);
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok((etag(pipeline.revision), Json(pipeline)).into_response())
}

/// 422 unless the team may keep so many runs for so long.
async fn check_retention(tx: &mut TeamTx, retention: Retention) -> ApiResult<()> {
    let [days, runs] = quota::effective_many(tx, [Limit::RetentionDays, Limit::RetentionRuns]).await?;
    let mut errors = Vec::new();
    for (field, given, most, limit) in
        [("days", retention.days, days, Limit::RetentionDays), ("runs", retention.runs, runs, Limit::RetentionRuns)]
    {
        if given.is_some_and(|given| !(1..=most).contains(&given)) {
            let detail = format!("must be between 1 and {most} (the team's limit `{}`), or null", limit.name());
            errors.push(FieldError::new(format!("/retention/{field}"), detail));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Problem::new(ProblemCode::Invalid).errors(errors).into()) }
}

/// Delete a pipeline
///
/// Cancels its runs. It can be restored for 30 days.
#[utoipa::path(
    delete, path = "/v1/pipelines/{id}", tag = "pipelines",
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the pipeline's tag"),
    ),
    responses((status = 204, description = "Deleted")),
)]
pub(super) async fn delete_pipeline(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let scope = caller.pipeline(&state, id, Permission::PipelineDelete).await?;
    let mut tx = scope.write().await?;
    let pipeline = pipelines::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(&headers, Some(pipeline.revision))?;
    let now = state.ambient.now();
    let announcements = removed::cancel_runs(&mut tx, now, DeletedScope::Pipeline(id)).await?;
    schedules::stop(&mut tx, id).await?;
    pipelines::delete(&mut tx, id, now).await?;
    let entry = audit::Entry::new("pipeline.delete", "pipeline", id).before(serde_json::to_value(&pipeline)?);
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    announcements.commit(tx, &state).await?;
    Ok(StatusCode::NO_CONTENT)
}
