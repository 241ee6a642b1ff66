//! `/v1/teams/{id}/boards`

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        board::{Board, NewBoard},
    },
    ids::{Id, TeamId},
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    api::{
        http::{Begun, Body, Fields, Idempotency, Path, Query, Sorted},
        limits,
    },
    auth::{Caller, Permission},
    error::{ApiResult, name_taken},
    state::AppState,
    store::{audit, boards, sort::Order},
};

/// Which of the team's boards.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    /// Those that were deleted and can be restored.
    #[serde(default)]
    deleted: bool,
    /// In which order: the oldest first unless told.
    #[param(inline)]
    sort: Option<Order>,
    /// Only what has this in its name; ASCII letters in either case.
    #[param(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// How many things: 1 to 100, 50 unless told.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The team's boards that the caller sees, archived ones among them.
#[utoipa::path(
    get, path = "/v1/teams/{id}/boards", tag = "boards",
    params(("id" = TeamId, Path, description = "The team"), Listing),
    responses((status = 200, description = "The oldest first unless told", body = Page<Board>)),
)]
pub(super) async fn list_boards(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(listing): Query<Listing>,
) -> ApiResult<Json<Page<Board>>> {
    // Whose role in the team sees no boards may have one on some.
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    let sorted = Sorted::new(listing.sort, listing.name, listing.limit, listing.cursor);
    let selection = sorted.selection()?;
    let viewer = boards::Viewer::new(&scope, Permission::BoardRead);
    let boards = boards::list(&mut scope.read().await?, viewer, listing.deleted, &selection).await?;
    Ok(Json(sorted.page(boards, |board| (board.id.uuid(), &board.name))?))
}

/// Makes a board.
#[utoipa::path(
    post, path = "/v1/teams/{id}/boards", tag = "boards", request_body = NewBoard,
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer for 24 hours"),
    ),
    responses((status = 201, description = "The board", body = Board)),
)]
pub(super) async fn create_board(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    idempotency: Idempotency,
    Body(new): Body<NewBoard>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::BoardCreate).await?;
    Fields::new()
        .name("/name", &new.name, limits::MAX_NAME)
        .text("/description", &new.description, limits::MAX_DESCRIPTION)
        .done()?;
    let now = state.ambient.now();
    let mut tx = scope.write().await?;
    let slot = match idempotency.begin(&mut tx, id.uuid(), &new, now).await? {
        Begun::First(slot) => slot,
        Begun::Again(answer) => return Ok(answer),
    };
    limits::room_with_deleted(boards::count(&mut tx).await?, limits::BOARDS_PER_TEAM, "boards in a team")?;
    let board = boards::insert(&mut tx, state.ambient.id(), &new.name, &new.description, now)
        .await
        .map_err(|error| name_taken(error, "a board of this team", &new.name))?;
    let entry = audit::Entry::new("board.create", "board", board.id).after(serde_json::to_value(&board)?);
    audit::in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let answer = slot.answer(&mut tx, StatusCode::CREATED, &board).await?;
    tx.commit().await?;
    Ok(answer)
}
