//! `PUT /v1/boards/{id}/order`

use axum::{extract::State, http::StatusCode};
use restroy_sdk::{
    api::board::PutOrder,
    ids::BoardId,
    problem::{FieldError, Problem, ProblemCode},
};
use serde_json::json;

use crate::{
    api::http::{Body, Path},
    auth::{Caller, Permission},
    error::ApiResult,
    state::AppState,
    store::{audit, order, pipelines},
};

/// Move a pipeline within its board's order
///
/// Puts it before another pipeline or at the end. The others keep their order, also under concurrent moves.
#[utoipa::path(
    put, path = "/v1/boards/{id}/order", tag = "boards", request_body = PutOrder,
    params(("id" = BoardId, Path, description = "The board")),
    responses((status = 204, description = "It stands there now")),
)]
pub(super) async fn put_pipeline_order(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
    Body(to): Body<PutOrder>,
) -> ApiResult<StatusCode> {
    let scope = caller.board(&state, id, Permission::BoardEdit).await?;
    let refused =
        |pointer: &str, detail: &str| Problem::new(ProblemCode::Invalid).errors(vec![FieldError::new(pointer, detail)]);
    if to.before == Some(to.pipeline) {
        return Err(refused("/before", "a pipeline cannot precede itself").into());
    }
    let mut tx = scope.write().await?;
    let on_board = pipelines::get(&mut tx, to.pipeline).await?.is_some_and(|pipeline| pipeline.board_id == id);
    if !on_board {
        return Err(refused("/pipeline", "not a pipeline of this board").into());
    }
    let stood_before = order::next(&mut tx, id, to.pipeline).await?;
    if !order::move_before(&mut tx, id, to.pipeline, to.before).await? {
        return Err(refused("/before", "not a pipeline of this board").into());
    }
    let entry = audit::Entry::new("board.order", "board", id)
        .details(json!({ "pipeline": to.pipeline }))
        .before(json!({ "stands_before": stood_before }))
        .after(json!({ "stands_before": to.before }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
