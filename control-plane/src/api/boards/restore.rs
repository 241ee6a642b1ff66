//! `POST /v1/boards/{id}/restore`

use axum::{Json, extract::State};
use restroy_sdk::{api::board::Board, ids::BoardId};

use crate::{
    api::{http::Path, restore::Restoration},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult, name_taken},
    runs::{
        purge_deleted::RETENTION,
        removed::{self, DeletedScope},
    },
    state::AppState,
    store::{audit, boards, schedules::ScheduleOwner},
};

/// Restore a deleted board
///
/// Within 30 days, with the pipelines that were on it; their schedules fire again. 409 `name_taken` if another
/// board has its name.
#[utoipa::path(
    post, path = "/v1/boards/{id}/restore", tag = "boards",
    params(("id" = BoardId, Path, description = "The board that was deleted")),
    responses((status = 200, description = "The board", body = Board)),
)]
pub(super) async fn restore_board(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
) -> ApiResult<Json<Board>> {
    let scope = caller.deleted_board(&state, id, Permission::BoardDelete).await?;
    let mut back = Restoration::begin(&state, &scope, ScheduleOwner::Board(id)).await?;
    let name = boards::get_deleted(&mut back.tx, id).await?.ok_or_else(ApiError::not_found)?;
    removed::ensure_runs_ended(&mut back.tx, DeletedScope::Board(id)).await?;
    let board = boards::restore(&mut back.tx, id, back.now.before(RETENTION), back.now)
        .await
        .map_err(|error| name_taken(error, "a board of this team", &name))?
        .ok_or_else(ApiError::not_found)?;
    let entry = audit::Entry::new("board.restore", "board", id).after(serde_json::to_value(&board)?);
    back.finish(&state, &caller, entry).await?;
    Ok(Json(board))
}
