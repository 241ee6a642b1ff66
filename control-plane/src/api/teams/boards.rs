//! `/v1/teams/{id}/boards`

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        board::{Board, NewBoard},
    },
    ids::{BoardId, Id, TeamId, UserId},
    time::Timestamp,
};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::{
    api::{
        http::{Body, Idempotency, Idempotent, Path, Query, SortedPageQuery},
        limits,
    },
    auth::{Caller, Permission, Role},
    error::{ApiError, ApiResult, name_taken},
    state::AppState,
    store::{
        TeamTx, audit, board_members, boards, members,
        roles::{self, AnyRole},
        sort::SortOrder,
    },
};

/// Which of the team's boards.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct BoardQuery {
    /// Those that were deleted and can be restored.
    #[serde(default)]
    deleted: bool,
    /// Sort order (default: the oldest first).
    #[param(inline)]
    sort: Option<SortOrder>,
    /// Only what has this in its name; ASCII letters in either case.
    #[param(min_length = 1, max_length = 64)]
    name: Option<String>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List a team's boards
///
/// Those visible to the caller, including archived ones.
#[utoipa::path(
    get, path = "/v1/teams/{id}/boards", tag = "boards",
    params(("id" = TeamId, Path, description = "The team"), BoardQuery),
    responses((status = 200, description = "The oldest first by default", body = Page<Board>)),
)]
pub(super) async fn list_boards(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(listing): Query<BoardQuery>,
) -> ApiResult<Json<Page<Board>>> {
    // Whose role in the team sees no boards may have one on some.
    let scope = caller.team(&state, id, Permission::TeamRead).await?;
    let sorted =
        SortedPageQuery::new(listing.sort, listing.name, listing.limit, listing.cursor).for_list(listing.deleted);
    let selection = sorted.selection()?;
    let viewer = scope.board_viewer(Permission::BoardRead);
    let boards = boards::list(&mut scope.read().await?, viewer, listing.deleted, &selection).await?;
    Ok(Json(sorted.page(boards, |board| (board.id.uuid(), &board.name))?))
}

/// Create a board
///
/// A private one also requires `board.administer`; its creator becomes its first member with their role in the
/// team (an owner as an admin).
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
    let now = state.ambient.now();
    let (mut tx, scope) = scope.write_with_scope().await?;
    if new.private {
        scope.require(Permission::BoardAdminister)?;
    }
    let slot = match idempotency.begin(&mut tx, id.uuid(), &new, now).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    limits::ensure_below_limit_with_deleted(
        boards::count(&mut tx).await?,
        limits::BOARDS_PER_TEAM,
        "boards in a team",
    )?;
    let board = boards::insert(&mut tx, state.ambient.id(), &new, now)
        .await
        .map_err(|error| name_taken(error, "a board of this team", &new.name))?;
    if new.private {
        add_creator(&mut tx, board.id, scope.user(), now).await?;
    }
    let entry = audit::Entry::new("board.create", "board", board.id).after(serde_json::to_value(&board)?);
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let answer = slot.store_response(&mut tx, StatusCode::CREATED, &board).await?;
    tx.commit().await?;
    Ok(answer)
}

/// Makes who made a private board its member. They hold there what they hold already.
async fn add_creator(tx: &mut TeamTx, board: BoardId, user: UserId, now: Timestamp) -> ApiResult<()> {
    let member = members::get(tx, user).await?.ok_or_else(ApiError::not_found)?.member;
    let wanted = member.role_id.map_or(member.role, |id| id.to_string());
    let role = roles::find(tx, &wanted).await?.ok_or_else(ApiError::not_found)?;
    let role = if role.is_owner() { AnyRole::BuiltIn(Role::Admin) } else { role };
    board_members::put(tx, board, user, &role, now).await?;
    Ok(())
}
