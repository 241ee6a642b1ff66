//! `/v1/me/invitations`: into teams that the caller is not in yet.
//!
//! An invitation is for an address: the caller's, verified. The token from the e-mail finds it too, and
//! is good for nobody else.

use axum::{Json, extract::State, http::StatusCode};
use restroy_sdk::{
    api::{
        Page,
        invitation::{AcceptInvitation, MyInvitation},
        team::Team,
    },
    ids::InvitationId,
    problem::{Fault, Problem, ProblemCode},
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        http::{Aged, Body, Path, Query, paged},
        limits,
    },
    auth::{Caller, Permission, grant, token},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        TeamTx, Tx, audit,
        invitations::{self, Settled, Waiting},
        members,
        roles::{self, AnyRole},
        sort::Age,
        teams, users,
    },
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_my_invitations))
        .routes(routes!(accept_by_token))
        .routes(routes!(accept))
        .routes(routes!(decline))
}

/// The invitations that wait for the caller.
#[utoipa::path(
    get, path = "/v1/me/invitations", tag = "me", params(Aged),
    responses((status = 200, description = "The oldest first unless told", body = Page<MyInvitation>)),
)]
async fn list_my_invitations(
    State(state): State<AppState>,
    caller: Caller,
    Query(aged): Query<Aged>,
) -> ApiResult<Json<Page<MyInvitation>>> {
    caller.session()?;
    let (age, page) = aged.or(Age::Oldest);
    let (after, rows) = (page.after::<InvitationId>()?, page.rows()?);
    let mut tx = state.db.system_read().await?;
    let waiting = invitations::of_user(&mut tx, caller.user_id, state.ambient.now(), age, after, rows).await?;
    Ok(Json(paged(&page, waiting, |invitation| invitation.id)?))
}

/// Joins the team. 409 when whoever invited may not do so any more.
#[utoipa::path(
    post, path = "/v1/me/invitations/{id}/accept", tag = "me",
    params(("id" = InvitationId, Path, description = "The invitation")),
    responses((status = 200, description = "The team", body = Team)),
)]
async fn accept(State(state): State<AppState>, caller: Caller, Path(id): Path<InvitationId>) -> ApiResult<Json<Team>> {
    caller.session()?;
    let mut tx = state.db.system_write().await?;
    users::lock(&mut tx, caller.user_id).await?;
    let found = invitations::waiting(&mut tx, caller.user_id, Some(id), None, state.ambient.now()).await?;
    join(&state, &caller, tx, found.ok_or_else(ApiError::not_found)?).await
}

/// Joins the team, with the token from the e-mail, which must have been sent to the caller's address.
#[utoipa::path(
    post, path = "/v1/me/invitations/accept", tag = "me", request_body = AcceptInvitation,
    responses((status = 200, description = "The team", body = Team)),
)]
async fn accept_by_token(
    State(state): State<AppState>,
    caller: Caller,
    Body(body): Body<AcceptInvitation>,
) -> ApiResult<Json<Team>> {
    caller.session()?;
    let hash = token::hash(&body.token);
    let mut tx = state.db.system_write().await?;
    users::lock(&mut tx, caller.user_id).await?;
    let found = invitations::waiting(&mut tx, caller.user_id, None, Some(&hash), state.ambient.now()).await?;
    let found = found.ok_or_else(|| {
        let detail = "unknown, used, too old, or for another address than yours; ask for another invitation";
        Problem::new(ProblemCode::Invalid).errors(vec![Fault::new("/token", detail)])
    })?;
    join(&state, &caller, tx, found).await
}

/// Says no; the team may invite again.
#[utoipa::path(
    post, path = "/v1/me/invitations/{id}/decline", tag = "me",
    params(("id" = InvitationId, Path, description = "The invitation")),
    responses((status = 204, description = "Declined")),
)]
async fn decline(State(state): State<AppState>, caller: Caller, Path(id): Path<InvitationId>) -> ApiResult<StatusCode> {
    caller.session()?;
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    let found = invitations::waiting(&mut tx, caller.user_id, Some(id), None, now).await?;
    let found = found.ok_or_else(ApiError::not_found)?;
    let mut tx = TeamTx::unwalled(tx, found.team_id);
    if !invitations::settle(&mut tx, id, Settled::Declined, now).await? {
        return Err(ApiError::not_found());
    }
    let entry = audit::Entry::new("member.decline", "invitation", id)
        .before(json!({ "state": "pending" }))
        .after(json!({ "state": Settled::Declined.as_str() }));
    audit::in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the caller, whose account's row is held, into the team.
async fn join(state: &AppState, caller: &Caller, mut tx: Tx, invitation: Waiting) -> ApiResult<Json<Team>> {
    let now = state.ambient.now();
    limits::room(teams::joined(&mut tx, caller.user_id).await?, limits::TEAMS_PER_PERSON, "teams of one person")?;
    teams::lock(&mut tx, invitation.team_id).await?;
    let mut tx = TeamTx::unwalled(tx, invitation.team_id);
    // Once the team's row is held, nothing of the team changes: what was read before is settled here.
    let role = still_granted(&mut tx, &invitation).await?;
    let settled = if role.is_some() { Settled::Accepted } else { Settled::Revoked };
    if !invitations::settle(&mut tx, invitation.id, settled, now).await? {
        return Err(ApiError::not_found());
    }
    let Some(role) = role else {
        let entry = audit::Entry::new("member.uninvite", "invitation", invitation.id)
            .details(json!({ "reason": "whoever invited may not do so any more" }))
            .before(json!({ "state": "pending" }))
            .after(json!({ "state": settled.as_str() }));
        audit::in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
        tx.commit().await?;
        let detail = "Whoever invited you may not do so any more; ask the team for another invitation.";
        return Err(ApiError::with(ProblemCode::Conflict, detail));
    };
    limits::room(members::count(&mut tx).await?, limits::MEMBERS_PER_TEAM, "members of a team")?;
    members::add(&mut tx, caller.user_id, &role, now).await?;
    let entry = audit::Entry::new("member.join", "user", caller.user_id)
        .details(json!({ "invitation": invitation.id }))
        .after(json!({ "role": role.name() }));
    audit::in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    // The team may have been deleted in the meantime.
    let team = teams::get(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok(Json(team))
}

/// The role, if whoever invited is still a member who could invite to it: who has gone, or holds less
/// by now, leaves no way in behind.
async fn still_granted(tx: &mut TeamTx, invitation: &Waiting) -> ApiResult<Option<AnyRole>> {
    let wanted = invitation.role_id.map(|role| role.to_string()).or_else(|| invitation.role.clone());
    let Some(role) = roles::find(tx, &wanted.unwrap_or_default()).await? else { return Ok(None) };
    let Some(inviter) = invitation.invited_by else { return Ok(None) };
    let Some(inviter) = members::get(tx, inviter).await? else { return Ok(None) };
    let may = inviter.permissions.holds(Permission::MemberInvite)
        && grant::gives(inviter.permissions, role.permissions()).is_ok();
    Ok(may.then_some(role))
}
