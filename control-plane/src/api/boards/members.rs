//! `/v1/boards/{id}/members`, `/v1/boards/{id}/members/{user}`

use axum::{Json, extract::State, http::StatusCode};
use restroy_run_queue::wake::Wake;
use restroy_sdk::{
    api::{Page, board::BoardMember, team::SetRole},
    ids::{BoardId, Id, UserId},
    problem::{FieldError, Problem, ProblemCode},
};
use serde_json::json;

use crate::{
    api::{
        http::{Body, Path, Query, SortedPageQuery},
        teams::find_role,
    },
    auth::{Caller, Permission, Permissions, Role, grant},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{TeamTx, audit, board_members, members, roles::AnyRole},
};

/// List the members of a board
///
/// They are those with a role on the board. A private board is visible to them and to those who administer boards
/// in the team. Addresses are shown with the permission `member.read` in the team.
#[utoipa::path(
    get, path = "/v1/boards/{id}/members", tag = "boards",
    params(("id" = BoardId, Path, description = "The board"), SortedPageQuery),
    responses((status = 200, description = "The oldest accounts first by default", body = Page<BoardMember>)),
)]
pub(super) async fn list_board_members(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<BoardId>,
    Query(sorted): Query<SortedPageQuery>,
) -> ApiResult<Json<Page<BoardMember>>> {
    let scope = caller.board(&state, id, Permission::BoardRead).await?;
    let selection = sorted.selection()?;
    let mut members = board_members::list(&mut scope.read().await?, id, &selection).await?;
    if !scope.has_team_permission(Permission::MemberRead) {
        for member in &mut members {
            member.email = None;
        }
    }
    Ok(Json(sorted.page(members, |member| (member.user_id.uuid(), &member.name))?))
}

/// Set a member's role on a board
///
/// The role adds to the one in the team; on a private board it replaces it. Nobody can grant permissions that
/// they do not have there.
#[utoipa::path(
    put, path = "/v1/boards/{id}/members/{user}", tag = "boards", request_body = SetRole,
    params(("id" = BoardId, Path, description = "The board"), ("user" = UserId, Path, description = "The person")),
    responses((status = 200, description = "The board's member", body = BoardMember)),
)]
pub(super) async fn put_board_member(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, user)): Path<(BoardId, UserId)>,
    Body(new): Body<SetRole>,
) -> ApiResult<Json<BoardMember>> {
    let scope = caller.board(&state, id, Permission::BoardAdminister).await?;
    let (mut tx, held) = scope.write_with_permissions().await?;
    let theirs = team_permissions(&mut tx, user).await?;
    let role = find_role(&mut tx, &new.role).await?;
    if matches!(role, AnyRole::BuiltIn(Role::Owner)) {
        let fault = FieldError::new("/role", "a team has owners, a board has none: `admin` allows the same here");
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![fault]).into());
    }
    grant::ensure_can_manage(held, theirs.union(board_members::permissions(&mut tx, id, user).await?).board_scoped())?;
    grant::ensure_can_grant(held, role.permissions().board_scoped())?;
    let before = board_members::get(&mut tx, id, user).await?;
    let now = state.ambient.now();
    board_members::put(&mut tx, id, user, &role, now).await?;
    let mut entry = audit::Entry::new("board.member", "board", id).details(json!({ "user": user }));
    entry.before = before.map(|before| json!({ "role": before.role }));
    entry.after = Some(json!({ "role": role.name() }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let mut member = board_members::get(&mut tx, id, user).await?.ok_or_else(ApiError::not_found)?;
    if !scope.has_team_permission(Permission::MemberRead) {
        member.email = None;
    }
    tx.commit().await?;
    state.wake.send(Wake::Access { team_id: scope.team() });
    Ok(Json(member))
}

/// Remove a member from a board
///
/// No permission is needed to remove oneself.
#[utoipa::path(
    delete, path = "/v1/boards/{id}/members/{user}", tag = "boards",
    params(("id" = BoardId, Path, description = "The board"), ("user" = UserId, Path, description = "The person")),
    responses((status = 204, description = "No longer a member of the board")),
)]
pub(super) async fn remove_board_member(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, user)): Path<(BoardId, UserId)>,
) -> ApiResult<StatusCode> {
    let oneself = user == caller.user_id;
    let permission = if oneself { Permission::BoardRead } else { Permission::BoardAdminister };
    let scope = caller.board(&state, id, permission).await?;
    let (mut tx, held) = scope.write_with_permissions().await?;
    let before = board_members::get(&mut tx, id, user).await?.ok_or_else(ApiError::not_found)?;
    if !oneself {
        let theirs = team_permissions(&mut tx, user).await?;
        grant::ensure_can_manage(
            held,
            theirs.union(board_members::permissions(&mut tx, id, user).await?).board_scoped(),
        )?;
    }
    board_members::remove(&mut tx, id, user).await?;
    let entry = audit::Entry::new("board.member_remove", "board", id)
        .details(json!({ "user": user }))
        .before(json!({ "role": before.role }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    state.wake.send(Wake::Access { team_id: scope.team() });
    Ok(StatusCode::NO_CONTENT)
}

/// What somebody's role in the team gives them; 404 when they are not in it.
async fn team_permissions(tx: &mut TeamTx, user: UserId) -> ApiResult<Permissions> {
    Ok(members::get(tx, user).await?.ok_or_else(ApiError::not_found)?.permissions)
}
