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

/// Puts a pipeline to the end of another board of its team. It takes the right to delete it here and
/// to make one there. Its versions, schedules, configuration and runs go along; what its scripts keep in the
/// board's key-value store stays behind. 409 while a run goes on.
///
/// What the published version may touch was granted on the board where it lies: when it may touch something, the
/// move takes `capability.grant` on the other board. Secrets of its scripts go along: when there are some, it takes
/// `capability.grant` here.
#[utoipa::path(
    post, path = "/v1/pipelines/{id}/move", tag = "pipelines", request_body = MovePipeline,
    params(
        ("id" = PipelineId, Path, description = "The pipeline"),
        ("If-Match" = Option<String>, Header, description = "Refused with 412 unless it is the pipeline's tag"),
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
        let detail = format!("{active} of its runs go on or wait: let them end, or cancel them, then move it.");
        return Err(ApiError::with(ProblemCode::Conflict, detail));
    }
    let published = escalation::published(&mut tx, &pipeline).await?;
    let touches = published.as_ref().map(Escalations::all_of);
    if let Some(touches) = &touches {
        let what = "What the published version may touch was not granted on the other board; to move it there";
        touches.check(&there, &mut tx, what).await?;
    }
    if configuration::scripts_have_secrets(&mut tx, id).await? && !scope.has_permission(Permission::CapabilityGrant) {
        let detail = format!(
            "The secrets of its scripts would go along; to take them off this board takes the permission `{}` here.",
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
