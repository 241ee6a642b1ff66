//! `/v1/boards/{id}`

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use restroy_sdk::{
    api::board::{Board, BoardPatch},
    ids::BoardId,
    problem::ProblemCode,
};

use crate::{
    api::http::{Body, Path, check_preconditions, etag},
    auth::{Caller, Permission},
    error::{ApiError, ApiResult, name_taken},
    runs::{
        announce::Announcements,
        removed::{self, DeletedScope},
    },
    state::AppState,
    store::{audit, boards, schedules},
};

/// Get a board
#[utoipa::path(
    get, path = "/v1/boards/{id}", tag = "boards", params(("id" = BoardId, Path, description = "The board")),
    responses((status = 200, description = "The board", body = Board,
        headers(("ETag" = String, description = "For `If-Match` of the next change")))),
)]
pub(super) async fn get_board(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
) -> ApiResult<Response> {
    let scope = caller.board(&state, id, Permission::BoardRead).await?;
    let mut tx = scope.read().await?;
    let board = boards::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    Ok((etag(board.revision), Json(board)).into_response())
}

/// Update a board
///
/// Renames, describes, archives or unarchives it, or makes it private or open to the team. When it is archived,
/// waiting runs wait until it is unarchived, for seven days at most; running ones continue.
#[utoipa::path(
    patch, path = "/v1/boards/{id}", tag = "boards", request_body = BoardPatch,
    params(
        ("id" = BoardId, Path, description = "The board"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the board's tag"),
    ),
    responses((status = 200, description = "The board", body = Board,
        headers(("ETag" = String, description = "For `If-Match` of the next change")))),
)]
pub(super) async fn patch_board(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
    headers: HeaderMap,
    Body(patch): Body<BoardPatch>,
) -> ApiResult<Response> {
    let edits = patch.name.is_some() || patch.description.is_some();
    let scope = if patch.private.is_some() {
        caller.board(&state, id, Permission::BoardAdminister).await?
    } else if patch.archived.is_some() {
        caller.board(&state, id, Permission::BoardArchive).await?
    } else {
        caller.board(&state, id, Permission::BoardEdit).await?
    };
    let now = state.ambient.now();
    let (mut tx, scope) = scope.write_with_scope().await?;
    if patch.archived.is_some() {
        scope.require(Permission::BoardArchive)?;
    }
    if edits {
        scope.require(Permission::BoardEdit)?;
    }
    let mut board = boards::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(&headers, Some(board.revision))?;
    let before = serde_json::to_value(&board)?;
    let comes_back = board.archived && patch.archived == Some(false);
    let archived = patch.archived.unwrap_or(board.archived);
    if edits && board.archived && archived {
        return Err(ApiError::with(ProblemCode::Conflict, "The board is archived. Restore it first."));
    }
    board.archived = archived;
    let privacy_changed = patch.private.is_some_and(|private| private != board.private);
    board.private = patch.private.unwrap_or(board.private);
    board.name = patch.name.unwrap_or(board.name);
    board.description = patch.description.unwrap_or(board.description);
    let board = boards::update(&mut tx, &board, now)
        .await
        .map_err(|error| name_taken(error, "a board of this team", &board.name))?;
    let entry = audit::Entry::new("board.change", "board", id).before(before).after(serde_json::to_value(&board)?);
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let mut announcements = Announcements::default();
    if comes_back {
        // What waited for it.
        announcements.admit();
    }
    if privacy_changed {
        announcements.access_changed(board.team_id);
    }
    announcements.commit(tx, &state).await?;
    Ok((etag(board.revision), Json(board)).into_response())
}

/// Delete a board
///
/// Deletes its pipelines too and cancels their runs. It can be restored for 30 days.
#[utoipa::path(
    delete, path = "/v1/boards/{id}", tag = "boards",
    params(
        ("id" = BoardId, Path, description = "The board"),
        ("If-Match" = Option<String>, Header, description = "412 unless it is the board's tag"),
    ),
    responses((status = 204, description = "Deleted")),
)]
pub(super) async fn delete_board(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
    headers: HeaderMap,
) -> ApiResult<StatusCode> {
    let scope = caller.board(&state, id, Permission::BoardDelete).await?;
    let now = state.ambient.now();
    let mut tx = scope.write().await?;
    let board = boards::get(&mut tx, id).await?.ok_or_else(ApiError::not_found)?;
    check_preconditions(&headers, Some(board.revision))?;
    let announcements = removed::cancel_runs(&mut tx, now, DeletedScope::Board(id)).await?;
    schedules::stop_on_board(&mut tx, id).await?;
    boards::delete(&mut tx, id, now).await?;
    let entry = audit::Entry::new("board.delete", "board", id).before(serde_json::to_value(&board)?);
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    announcements.commit(tx, &state).await?;
    Ok(StatusCode::NO_CONTENT)
}
