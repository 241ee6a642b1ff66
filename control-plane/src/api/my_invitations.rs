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
    problem::{FieldError, Problem, ProblemCode},
    time::Timestamp,
};
use serde_json::json;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    api::{
        http::{AgePageQuery, Body, Path, Query, paged},
        limits,
    },
    auth::{Caller, Permission, grant, token},
    error::{ApiError, ApiResult},
    state::AppState,
    store::{
        Bypass, TeamTx, Tx, audit,
        invitations::{self, InvitationOutcome, PendingInvitation},
        members,
        roles::{self, AnyRole},
        sort::AgeOrder,
        teams, users,
    },
};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_my_invitations))
        .routes(routes!(accept_invitation_by_token))
        .routes(routes!(accept_invitation))
        .routes(routes!(decline_invitation))
}

/// List the caller's pending invitations
#[utoipa::path(
    get, path = "/v1/me/invitations", tag = "me", params(AgePageQuery),
    responses((status = 200, description = "The oldest first by default", body = Page<MyInvitation>)),
)]
async fn list_my_invitations(
    State(state): State<AppState>,
    caller: Caller,
    Query(aged): Query<AgePageQuery>,
) -> ApiResult<Json<Page<MyInvitation>>> {
    caller.require_session()?;
    let (age, page) = aged.default_order(AgeOrder::Oldest);
    let (after, rows) = (page.after::<InvitationId>()?, page.rows()?);
    let mut tx = state.db.system_read().await?;
    let waiting = invitations::list_for_user(&mut tx, caller.user_id, state.ambient.now(), age, after, rows).await?;
    Ok(Json(paged(&page, waiting, |invitation| invitation.id)?))
}

/// Accept an invitation
///
/// 409 if the inviter may no longer invite. An existing member keeps their role.
#[utoipa::path(
    post, path = "/v1/me/invitations/{id}/accept", tag = "me",
    params(("id" = InvitationId, Path, description = "The invitation")),
    responses((status = 200, description = "The team", body = Team)),
)]
async fn accept_invitation(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<InvitationId>,
) -> ApiResult<Json<Team>> {
    caller.require_session()?;
    accept_pending(&state, caller, InvitationKey::Id(id)).await?.map(Json).ok_or_else(ApiError::not_found)
}

/// Accept an invitation by its token
///
/// The e-mail with the token must have been sent to the caller's address.
#[utoipa::path(
    post, path = "/v1/me/invitations/accept", tag = "me", request_body = AcceptInvitation,
    responses((status = 200, description = "The team", body = Team)),
)]
async fn accept_invitation_by_token(
    State(state): State<AppState>,
    caller: Caller,
    Body(body): Body<AcceptInvitation>,
) -> ApiResult<Json<Team>> {
    caller.require_session()?;
    let team = accept_pending(&state, caller, InvitationKey::Token(token::hash(&body.token))).await?;
    let team = team.ok_or_else(|| {
        let detail = "unknown, used, expired, or sent to another address; ask for another invitation";
        Problem::new(ProblemCode::Invalid).errors(vec![FieldError::new("/token", detail)])
    })?;
    Ok(Json(team))
}

/// Decline an invitation
///
/// The team may invite again.
#[utoipa::path(
    post, path = "/v1/me/invitations/{id}/decline", tag = "me",
    params(("id" = InvitationId, Path, description = "The invitation")),
    responses((status = 204, description = "Declined")),
)]
async fn decline_invitation(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<InvitationId>,
) -> ApiResult<StatusCode> {
    caller.require_session()?;
    let now = state.ambient.now();
    let mut tx = state.db.system_write().await?;
    let found = InvitationKey::Id(id).find_pending(&mut tx, caller, now).await?.ok_or_else(ApiError::not_found)?;
    let mut tx = TeamTx::bypassing_rls(tx, found.team_id, Bypass::Joining);
    if !invitations::settle(&mut tx, id, InvitationOutcome::Declined, now).await? {
        return Err(ApiError::not_found());
    }
    let entry = audit::Entry::new("member.decline", "invitation", id)
        .before(json!({ "state": "pending" }))
        .after(json!({ "state": InvitationOutcome::Declined.as_str() }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// How an invitation is named.
#[derive(Debug)]
enum InvitationKey {
    Id(InvitationId),
    /// By the hash of the token from its e-mail.
    Token(Vec<u8>),
}

impl InvitationKey {
    /// The invitation, if it waits for the caller.
    async fn find_pending(&self, tx: &mut Tx, caller: Caller, now: Timestamp) -> ApiResult<Option<PendingInvitation>> {
        let (id, hash) = match self {
            Self::Id(id) => (Some(*id), None),
            Self::Token(hash) => (None, Some(hash.as_slice())),
        };
        Ok(invitations::find_pending(tx, caller.user_id, id, hash, now).await?)
    }
}

/// Takes the caller into the team, or nothing when no such invitation waits for them. Who is a member already stays
/// what they are; the invitation is settled all the same.
async fn accept_pending(state: &AppState, caller: Caller, which: InvitationKey) -> ApiResult<Option<Team>> {
    let now = state.ambient.now();
    let found = which.find_pending(&mut state.db.system_read().await?, caller, now).await?;
    let Some(PendingInvitation { team_id, .. }) = found else { return Ok(None) };
    let turn = state.db.queue_for_team_row(team_id).await?;
    let mut tx = state.db.system_write().await?;
    users::lock(&mut tx, caller.user_id).await?;
    teams::lock(&mut tx, team_id).await?;
    drop(turn);
    // Once both rows are held, nothing of the team changes: what is read is settled here.
    let Some(invitation) = which.find_pending(&mut tx, caller, now).await? else { return Ok(None) };
    let joined = teams::count_joined(&mut tx, caller.user_id).await?;
    let mut tx = TeamTx::bypassing_rls(tx, team_id, Bypass::Joining);
    let member = members::get(&mut tx, caller.user_id).await?.is_some();
    let role = verify_inviter(&mut tx, &invitation).await?;
    let settled = if member || role.is_some() { InvitationOutcome::Accepted } else { InvitationOutcome::Revoked };
    if !invitations::settle(&mut tx, invitation.id, settled, now).await? {
        return Ok(None);
    }
    match role {
        _ if member => {}
        Some(role) => {
            limits::ensure_below_limit(joined, limits::TEAMS_PER_PERSON, "teams of one person")?;
            limits::ensure_below_limit(members::count(&mut tx).await?, limits::MEMBERS_PER_TEAM, "members of a team")?;
            members::add(&mut tx, caller.user_id, &role, now).await?;
            let entry = audit::Entry::new("member.join", "user", caller.user_id)
                .details(json!({ "invitation": invitation.id }))
                .after(json!({ "role": role.name() }));
            audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
        }
        None => {
            let entry = audit::Entry::new("member.uninvite", "invitation", invitation.id)
                .details(json!({ "reason": "the inviter may no longer invite" }))
                .before(json!({ "state": "pending" }))
                .after(json!({ "state": settled.as_str() }));
            audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
            tx.commit().await?;
            let detail = "The person who invited you may no longer do so. Ask the team for another invitation.";
            return Err(ApiError::with(ProblemCode::Conflict, detail));
        }
    }
    // The team may have been deleted in the meantime.
    let team = teams::get(&mut tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?;
    tx.commit().await?;
    Ok(Some(team))
}

/// The role, if whoever invited is still a member who could invite to it, and so is whoever answers for them: who has
/// gone, or holds less now, leaves no way in behind.
async fn verify_inviter(tx: &mut TeamTx, invitation: &PendingInvitation) -> ApiResult<Option<AnyRole>> {
    let wanted = invitation.role_id.map(|role| role.to_string()).or_else(|| invitation.role.clone());
    let Some(role) = roles::find(tx, &wanted.unwrap_or_default()).await? else { return Ok(None) };
    let Some(inviter) = invitation.invited_by else { return Ok(None) };
    for person in [Some(inviter), invitation.accountable_id.filter(|person| *person != inviter)].into_iter().flatten() {
        let Some(member) = members::get(tx, person).await? else { return Ok(None) };
        let may = member.permissions.contains(Permission::MemberInvite)
            && grant::ensure_can_grant(member.permissions, role.permissions()).is_ok();
        if !may {
            return Ok(None);
        }
    }
    Ok(Some(role))
}
