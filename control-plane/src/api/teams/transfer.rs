//! `POST /v1/teams/{id}/transfer`

use axum::{Json, extract::State};
use restroy_run_queue::wake::Wake;
use restroy_sdk::{
    api::team::{Team, Transfer},
    ids::TeamId,
    problem::{FieldError, Problem, ProblemCode},
};
use serde_json::json;

use super::notices::{Notice, queue_member_notice};
use crate::{
    api::http::{Body, Path},
    auth::{Caller, Permission, Role, grant},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{Bypass, audit, members, roles::AnyRole, teams, token_makers},
};

/// Transfer a team to another member
///
/// The member becomes an owner and is informed by e-mail; the caller becomes an admin. Other owners stay.
#[utoipa::path(
    post, path = "/v1/teams/{id}/transfer", tag = "teams", request_body = Transfer,
    params(("id" = TeamId, Path, description = "The team")),
    responses((status = 200, description = "The team, with the caller's new role", body = Team)),
)]
pub(super) async fn transfer_team(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Body(to): Body<Transfer>,
) -> ApiResult<Json<Team>> {
    let scope = caller.team(&state, id, Permission::TeamTransfer).await?;
    let (mut tx, held) = scope.write_bypassing_rls(Bypass::MemberChange).await?;
    let giver = members::get(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    if !giver.is_owner() {
        return Err(ApiError::with(ProblemCode::Forbidden, "Only an owner can transfer the team."));
    }
    let refused = |detail: &str| Problem::new(ProblemCode::Invalid).errors(vec![FieldError::new("/user_id", detail)]);
    if to.user_id == caller.user_id {
        return Err(refused("you own it already; name another member").into());
    }
    let Some(taker) = members::get(&mut tx, to.user_id).await? else {
        return Err(refused("not a member of the team; invite them first").into());
    };
    if taker.service {
        return Err(refused("a service account cannot own a team; name a person").into());
    }
    grant::ensure_can_grant(held, Role::Owner.permissions())?;
    members::set_role(&mut tx, to.user_id, &AnyRole::BuiltIn(Role::Owner)).await?;
    members::set_role(&mut tx, caller.user_id, &AnyRole::BuiltIn(Role::Admin)).await?;
    if !taker.is_owner() {
        queue_member_notice(&state, &mut tx, caller.user_id, &taker.member, taker.service, Notice::Owner).await?;
    }
    let entry = audit::Entry::new("team.transfer", "team", id)
        .details(json!({ "to": to.user_id }))
        .before(json!({ "role": giver.member.role, "role_of_the_other": taker.member.role }))
        .after(json!({ "role": Role::Admin.as_str(), "role_of_the_other": Role::Owner.as_str() }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    token_makers::revoke_uncovered(&mut tx, &state.ambient, caller.actor(), state.ambient.now()).await?;
    let team = teams::get(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    state.mail_queued();
    state.wake.send(Wake::Access { team_id: id });
    Ok(Json(team))
}
