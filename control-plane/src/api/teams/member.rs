//! `/v1/teams/{id}/members/{user}`, `POST /v1/teams/{id}/leave`

use axum::{Json, extract::State, http::StatusCode};
use restroy_run_queue::wake::Wake;
use restroy_sdk::{
    api::team::{Member, SetRole},
    ids::{TeamId, UserId},
    problem::{FieldError, Problem, ProblemCode},
};
use serde_json::json;

use super::notices::{Notice, queue_member_notice};
use crate::{
    api::http::{Body, Path},
    auth::{Caller, Permission, Role, grant},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        Bypass, TeamTx, audit, members,
        roles::{self, AnyRole},
        token_makers,
    },
};

/// Get a member of a team
#[utoipa::path(
    get, path = "/v1/teams/{id}/members/{user}", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), ("user" = UserId, Path, description = "The person")),
    responses((status = 200, description = "The member", body = Member)),
)]
pub(super) async fn get_member(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, user)): Path<(TeamId, UserId)>,
) -> ApiResult<Json<Member>> {
    let scope = caller.team(&state, id, Permission::MemberRead).await?;
    let found = members::get(&mut scope.read().await?, user).await?.ok_or_else(ApiError::not_found)?;
    Ok(Json(found.member))
}

/// Change a member's role
///
/// Takes effect with their next request. Nobody can grant permissions that they do not have, or change a member
/// who has more. The last owner stays an owner.
#[utoipa::path(
    patch, path = "/v1/teams/{id}/members/{user}", tag = "teams", request_body = SetRole,
    params(("id" = TeamId, Path, description = "The team"), ("user" = UserId, Path, description = "The person")),
    responses((status = 200, description = "The member", body = Member)),
)]
pub(super) async fn patch_member(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, user)): Path<(TeamId, UserId)>,
    Body(new): Body<SetRole>,
) -> ApiResult<Json<Member>> {
    let scope = caller.team(&state, id, Permission::MemberEdit).await?;
    let (mut tx, held) = scope.write_bypassing_rls(Bypass::MemberChange).await?;
    let before = members::get(&mut tx, user).await?.ok_or_else(ApiError::not_found)?;
    let role = find_role(&mut tx, &new.role).await?;
    grant::ensure_can_manage(held, before.permissions)?;
    grant::ensure_can_grant(held, role.permissions())?;
    if before.service && role.is_owner() {
        let fault = FieldError::new("/role", "a service account cannot own a team; name another role");
        return Err(Problem::new(ProblemCode::Invalid).errors(vec![fault]).into());
    }
    members::set_role(&mut tx, user, &role).await?;
    ensure_owner_remains(&mut tx).await?;
    if role.is_owner() && !before.is_owner() {
        queue_member_notice(&state, &mut tx, caller.user_id, &before.member, before.service, Notice::Owner).await?;
    }
    let entry = audit::Entry::new("member.role", "user", user)
        .before(json!({ "role": before.member.role }))
        .after(json!({ "role": role.name() }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    token_makers::revoke_uncovered(&mut tx, &state.ambient, caller.actor(), state.ambient.now()).await?;
    tx.commit().await?;
    state.mail_queued();
    state.wake.send(Wake::Access { team_id: id });
    let (role, role_id) = (role.name().to_owned(), role.id());
    Ok(Json(Member { role, role_id, ..before.member }))
}

/// Remove a member from a team
///
/// And from its boards; an e-mail informs them. No permission is needed to remove oneself. The last owner cannot
/// be removed.
#[utoipa::path(
    delete, path = "/v1/teams/{id}/members/{user}", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), ("user" = UserId, Path, description = "The person")),
    responses((status = 204, description = "No longer a member")),
)]
pub(super) async fn remove_member(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, user)): Path<(TeamId, UserId)>,
) -> ApiResult<StatusCode> {
    remove_from_team(&state, caller, id, user).await
}

/// Leave a team
///
/// And its boards. The last owner cannot leave: transfer or delete the team instead.
#[utoipa::path(
    post, path = "/v1/teams/{id}/leave", tag = "teams",
    params(("id" = TeamId, Path, description = "The team")),
    responses((status = 204, description = "No longer a member")),
)]
pub(super) async fn leave_team(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
) -> ApiResult<StatusCode> {
    remove_from_team(&state, caller, id, caller.user_id).await
}

async fn remove_from_team(state: &AppState, caller: Caller, id: TeamId, user: UserId) -> ApiResult<StatusCode> {
    let oneself = user == caller.user_id;
    let permission = if oneself { Permission::TeamRead } else { Permission::MemberRemove };
    let scope = caller.team(state, id, permission).await?;
    let (mut tx, held) = scope.write_bypassing_rls(Bypass::MemberChange).await?;
    let before = members::get(&mut tx, user).await?.ok_or_else(ApiError::not_found)?;
    grant::ensure_can_manage(held, before.permissions)?;
    members::remove(&mut tx, user).await?;
    ensure_owner_remains(&mut tx).await?;
    queue_member_notice(state, &mut tx, caller.user_id, &before.member, before.service, Notice::Removed).await?;
    let action = if oneself { "member.leave" } else { "member.remove" };
    let entry = audit::Entry::new(action, "user", user).before(json!({ "role": before.member.role }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    token_makers::revoke_uncovered(&mut tx, &state.ambient, caller.actor(), state.ambient.now()).await?;
    tx.commit().await?;
    state.mail_queued();
    state.wake.send(Wake::Access { team_id: id });
    Ok(StatusCode::NO_CONTENT)
}

/// The role that a body names, or 422.
pub(in crate::api) async fn find_role(tx: &mut TeamTx, wanted: &str) -> ApiResult<AnyRole> {
    // Not for the database to see: no name has it in it.
    let found = if wanted.contains('\0') { None } else { roles::find(tx, wanted).await? };
    found.ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        let detail = format!("not a role of this team: {}, or the name or id of its own", names.join(", "));
        Problem::new(ProblemCode::Invalid).errors(vec![FieldError::new("/role", detail)]).into()
    })
}

/// Refuses what would leave the team without an owner. The team's row is held: who else takes an
/// owner away finds this done, or undone.
async fn ensure_owner_remains(tx: &mut TeamTx) -> ApiResult<()> {
    if members::count_owners(tx).await? > 0 {
        return Ok(());
    }
    Err(ApiError::with(
        ProblemCode::Conflict,
        "That would leave the team without an owner: make another member the owner first, or delete the team.",
    ))
}
