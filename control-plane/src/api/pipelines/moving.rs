//! `POST /v1/pipelines/{id}/move`

use axum::{Json, extract::State, http::HeaderMap};
use restroy_sdk::{
    api::pipeline::{MovePipeline, Pipeline},
    document::capabilities,
    ids::PipelineId,
    problem::{FieldError, Problem, ProblemCode},
};
use serde_json::json;

use super::escalation::{self, Escalations};
use crate::{
    api::{
        http::{Body, Path, check_preconditions},
        limits,
    },
    auth::{Caller, Permission},
    error::{ApiError, ApiResult, name_taken},
    state::AppState,
    store::{audit, configuration, pipelines},
};

/// Move a pipeline to another board of its team
///
/// Requires the permissions to delete it here and to create one there. Versions, schedules, configuration and
/// runs move along; entries of the board's key-value store stay. 409 while a run is active.
///
/// Capabilities were granted on the current board: a pipeline with capabilities requires `capability.grant` on
/// the other board. If its scripts have secrets, the move also requires `capability.grant` here.
#[utoipa::path(
    post, path = "/v1/pipelines/{id}/move", tag = "pipelines", request_body = MovePipeline,
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the pipeline's tag"),
    ),
    responses((status = 200, description = "The pipeline, on the other board", body = Pipeline)),
)]
pub(super) async fn move_pipeline(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<PipelineId>,
    headers: HeaderMap,
    Body(to): Body<MovePipeline>,
) -> ApiResult<Json<Pipeline>> {
    let scope = caller.pipeline(&state, id, Permission::PipelineDelete).await?;
    let there = caller.board(&state, to.board, Permission::PipelineCreate).await?;
    if there.team() != scope.team() {
        let fault =
            FieldError::new("/board", "the board of another team: a pipeline stays in its team; push it there instead");
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![fault]).into());
    }
    let (mut tx, scope) = scope.write_with_scope().await?;
    let there = there.reauthorized(&mut tx).await?;
    let pipeline = pipelines::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(&headers, Some(pipeline.revision))?;
    if pipeline.board_id == to.board {
        return Ok(Json(pipeline));
    }
    let active = pipelines::count_active_runs(&mut tx, id).await?;
    if active > 0 {
        let detail = format!(
            "{active} of its runs are running or waiting. Let them finish or cancel them, then move \
            it."
        );
        return Err(ApiError::with(ProblemCode::Conflict, detail));
    }
    let published = escalation::published(&mut tx, &pipeline).await?;
    let touches = published.as_ref().map(Escalations::all_of);
    if let Some(touches) = &touches {
        let what = "The published version's capabilities were not granted on the other board; to move it there";
        touches.check(&there, &mut tx, what).await?;
    }
    if configuration::scripts_have_secrets(&mut tx, id).await? && !scope.has_permission(Permission::CapabilityGrant) {
        let detail = format!(
            "Its scripts' secrets would move too; moving them off this board requires the permission `{}` here.",
            Permission::CapabilityGrant
        );
        return Err(ApiError::with(ProblemCode::Forbidden, detail));
    }
    limits::ensure_below_limit(
        pipelines::count(&mut tx, to.board).await?,
        limits::PIPELINES_PER_BOARD,
        "pipelines on a board",
    )?;
    let moved = pipelines::put_on(&mut tx, id, to.board, state.ambient.now())
        .await
        .map_err(|error| name_taken(error, "a pipeline on that board", &pipeline.name))?;
    let entry = audit::Entry::new("pipeline.move", "pipeline", id);
    let entry = entry
        .details(json!({ "granted": published.as_ref().map(capabilities) }))
        .before(json!({ "board_id": pipeline.board_id }))
        .after(json!({ "board_id": to.board }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(Json(moved))
}
