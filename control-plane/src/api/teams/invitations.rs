//! `/v1/teams/{id}/invitations`

use std::time::Duration;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use restroy_sdk::{
    api::{
        Page,
        invitation::{Invitation, NewInvitation},
    },
    ids::{Id, InvitationId, TeamId},
    problem::ProblemCode,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::member::find_role;
use crate::{
    api::{
        http::{Body, Idempotency, Idempotent, PageQuery, Path, Query, paged},
        limits, strangers,
    },
    auth::{Caller, Permission, grant, token::OpaqueToken},
    error::{ApiError, ApiResult},
    mail::quoted,
    state::AppState,
    store::{
        Bypass, TeamTx, audit,
        invitations::{self, InvitationOutcome},
        members, outbox,
        sort::AgeOrder,
        stranger_mails::EmailCause,
        teams, users,
    },
};

/// What is counted per day is counted in the last 24 hours.
const DAY: Duration = Duration::from_hours(24);

/// Which invitations.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct InvitationFilter {
    /// Only those in this state.
    #[param(inline)]
    state: Option<InvitationState>,
    /// Sort order (default: the newest first).
    #[param(inline)]
    sort: Option<AgeOrder>,
    /// How many items (1–100, default 50).
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// What can have become of an invitation.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum InvitationState {
    /// It waits.
    Pending,
    /// The person joined.
    Accepted,
    /// The person said no.
    Declined,
    /// The team took it back.
    Revoked,
    /// Nobody answered in time.
    Expired,
}

impl InvitationState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

/// List a team's invitations
///
/// Includes settled ones for some weeks.
#[utoipa::path(
    get, path = "/v1/teams/{id}/invitations", tag = "teams",
    params(("id" = TeamId, Path, description = "The team"), InvitationFilter),
    responses((status = 200, description = "The newest first by default", body = Page<Invitation>)),
)]
pub(super) async fn list_invitations(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    Query(filter): Query<InvitationFilter>,
) -> ApiResult<Json<Page<Invitation>>> {
    let scope = caller.team(&state, id, Permission::MemberInvite).await?;
    let (age, wanted) = (filter.sort.unwrap_or_default(), filter.state.map(InvitationState::as_str));
    let page = PageQuery::new(filter.limit, filter.cursor).for_list((age, wanted));
    let (after, rows) = (page.after::<InvitationId>()?, page.rows()?);
    let mut tx = scope.read().await?;
    let invitations = invitations::list(&mut tx, wanted, age, after, rows, state.ambient.now()).await?;
    Ok(Json(paged(&page, invitations, |invitation| invitation.id)?))
}

/// Invite somebody by e-mail
///
/// Valid for seven days. The response does not reveal whether the address has an account. Nobody can grant
/// permissions that they do not have.
#[utoipa::path(
    post, path = "/v1/teams/{id}/invitations", tag = "teams", request_body = NewInvitation,
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeats the first answer for 24 hours"),
    ),
    responses((status = 201, description = "The invitation", body = Invitation)),
)]
pub(super) async fn create_invitation(
    State(state): State<AppState>,
    caller: Caller,
    Path(id): Path<TeamId>,
    idempotency: Idempotency,
    Body(new): Body<NewInvitation>,
) -> ApiResult<Response> {
    let scope = caller.team(&state, id, Permission::MemberInvite).await?;
    let (email, folded) = (new.email.trim(), users::fold(&new.email));
    let now = state.ambient.now();
    let (mut tx, held) = scope.write_bypassing_rls(Bypass::InvitationMail).await?;
    let slot = match idempotency.begin(&mut tx, id.uuid(), &new, now).await? {
        Idempotent::New(slot) => slot,
        Idempotent::Replay(answer) => return Ok(answer),
    };
    let role = find_role(&mut tx, &new.role).await?;
    grant::ensure_can_grant(held, role.permissions())?;
    limits::ensure_below_limit(members::count(&mut tx).await?, limits::MEMBERS_PER_TEAM, "members of a team")?;
    limits::ensure_below_limit(
        invitations::count_pending(&mut tx, now).await?,
        limits::PENDING_INVITATIONS,
        "pending invitations",
    )?;
    let today = invitations::count_created_since(&mut tx, now.before(DAY)).await?;
    if today >= limits::INVITATIONS_PER_DAY {
        let detail = format!("The limit is {} invitations in 24 hours.", limits::INVITATIONS_PER_DAY);
        return Err(ApiError::with(ProblemCode::QuotaExceeded, detail));
    }
    let sent = invitations::count_by_inviter_since(&mut tx, caller.accountable_user(), now.before(DAY)).await?;
    if sent >= limits::INVITATIONS_PER_PERSON {
        let detail = format!("The limit is {} invitations of one person in 24 hours.", limits::INVITATIONS_PER_PERSON);
        return Err(ApiError::with(ProblemCode::QuotaExceeded, detail));
    }
    if members::has_address(&mut tx, &folded).await? {
        return Err(ApiError::with(
            ProblemCode::Conflict,
            "The owner of this address is already a member of the \
            team.",
        ));
    }
    invitations::expire(&mut tx, &folded, now).await?;
    if invitations::has_pending_for(&mut tx, &folded, now).await? {
        let detail = "This address already has a pending invitation. Revoke it to send another.";
        return Err(ApiError::with(ProblemCode::Conflict, detail));
    }
    let token = OpaqueToken::new(&state.ambient);
    let mails = invitations::count_emails_since(&mut tx, &folded, now.before(DAY)).await?;
    // Beyond the limits the invitation is made all the same, and waits for whoever owns the address.
    let mailed = mails < limits::INVITATIONS_TO_ADDRESS
        && (users::is_taken(&mut tx, email).await?
            || strangers::may_email(&state, &mut tx, email, EmailCause::Account, caller.address, now).await?);
    let invitation = invitations::NewInvitation {
        id: state.ambient.id(),
        email,
        email_folded: &folded,
        role: &role,
        token_hash: token.hash(),
        mailed,
        invited_by: caller.user_id,
        accountable: caller.accountable_user(),
    };
    invitations::insert(&mut tx, &invitation, now).await?;
    if invitation.mailed {
        queue_invitation_email(&state, &mut tx, &caller, &invitation, token.into_text()).await?;
    }
    let entry = audit::Entry::new("member.invite", "invitation", invitation.id)
        .after(json!({ "email": email, "role": role.name(), "state": "pending" }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    let made = invitations::get(&mut tx, invitation.id, now).await?.ok_or_else(ApiError::not_found)?;
    let answer = slot.store_response(&mut tx, StatusCode::CREATED, &made).await?;
    tx.commit().await?;
    state.mail_queued();
    Ok(answer)
}

/// Notifies the owner of the address. The same for one with an account and one without. It is not sent once the
/// invitation is no longer pending.
async fn queue_invitation_email(
    state: &AppState,
    tx: &mut TeamTx,
    caller: &Caller,
    invitation: &invitations::NewInvitation<'_>,
    token: String,
) -> ApiResult<()> {
    let team = teams::get(tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?.name;
    let inviter = members::get(tx, caller.user_id).await?.ok_or_else(ApiError::not_found)?.member.name;
    let (team, inviter) = (quoted(&team), quoted(&inviter));
    let url = &state.settings.public_url;
    let text = format!(
        "{inviter} invites you into the team {team} at {url}.\n\n\
         If you want to join, sign in with this address, or register with it first, within seven days:\n\n  \
         {url}/invitations#{token}\n\n\
         or pass the token to the API or the command line:\n\n  {token}\n\n\
         If you do not know what this is about, there is nothing to do.\n"
    );
    let status = state.new_mail_status();
    let subject = "An invitation into a team at Restroy";
    let mail = outbox::insert_own(tx, &state.ambient, status, invitation.email, subject, &text).await?;
    Ok(outbox::set_invitation(tx, mail, invitation.id).await?)
}

/// Revoke a pending invitation
#[utoipa::path(
    delete, path = "/v1/teams/{id}/invitations/{invitation}", tag = "teams",
    params(
        ("id" = TeamId, Path, description = "The team"),
        ("invitation" = InvitationId, Path, description = "The invitation"),
    ),
    responses((status = 204, description = "It can no longer be accepted")),
)]
pub(super) async fn revoke_invitation(
    State(state): State<AppState>,
    caller: Caller,
    Path((id, invitation)): Path<(TeamId, InvitationId)>,
) -> ApiResult<StatusCode> {
    let scope = caller.team(&state, id, Permission::MemberInvite).await?;
    let now = state.ambient.now();
    let (mut tx, held) = scope.write_with_permissions().await?;
    let found = invitations::get(&mut tx, invitation, now).await?.ok_or_else(ApiError::not_found)?;
    if found.state == "pending" {
        let wanted = found.role_id.map_or_else(|| found.role.clone(), |role| role.to_string());
        grant::ensure_can_manage(held, find_role(&mut tx, &wanted).await?.permissions())?;
    }
    if !invitations::settle(&mut tx, invitation, InvitationOutcome::Revoked, now).await? {
        let detail = format!("The invitation is no longer pending: it is {}.", found.state);
        return Err(ApiError::with(ProblemCode::Conflict, detail));
    }
    let entry = audit::Entry::new("member.uninvite", "invitation", invitation)
        .before(json!({ "email": found.email, "role": found.role, "state": found.state }))
        .after(json!({ "email": found.email, "role": found.role, "state": InvitationOutcome::Revoked.as_str() }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
