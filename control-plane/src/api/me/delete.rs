//! `DELETE /v1/me`

use axum::{extract::State, http::StatusCode};
use restroy_sdk::{api::account::Proof, ids::TeamId, problem::ProblemCode, time::Timestamp};
use serde_json::json;

use super::proof;
use crate::{
    api::http::{Body, SignInAttempt},
    auth::Caller,
    error::{ApiError, ApiResult},
    runs::{
        announce::Announcements,
        removed::{self, DeletedScope},
    },
    state::AppState,
    store::{Bypass, TeamTx, Tx, audit, members, teams, token_makers, users},
};

/// Delete the caller's account
///
/// Its sessions and API tokens end, it leaves its teams, and teams without other members are deleted. Tokens of
/// service accounts that it created end. Name and address are removed 30 days later. 409 if another team would be
/// left without an owner.
#[utoipa::path(
    delete, path = "/v1/me", tag = "me", request_body = Proof,
    responses((status = 204, description = "Deleted")),
)]
pub(super) async fn delete_me(
    State(state): State<AppState>,
    caller: Caller,
    attempt: SignInAttempt,
    Body(body): Body<Proof>,
) -> ApiResult<StatusCode> {
    let user = proof::verify_caller(&state, caller, &attempt, body.password).await?;
    let now = state.ambient.now();
    let mut tx = proof::begin_verified(&state, caller, &user, now).await?;
    let mut left_alone = Vec::new();
    let mut announcements = Announcements::default();
    // All teams are held before anything is looked at: one owner leaves after the other, and who is made an owner
    // at this moment is one here, or not there any more for who would make them so.
    let teams = teams::ids_of_user(&mut tx, user.id).await?;
    for team in &teams {
        teams::lock(&mut tx, *team).await?;
    }
    for (team, name) in teams::owned_by(&mut tx, user.id).await? {
        match teams::others(&mut tx, team, user.id).await? {
            teams::OtherMembers { people: 0, .. } => {
                let (back, stopped) = delete_team(&state, tx, caller, (team, name), now).await?;
                tx = back;
                announcements.extend(stopped);
            }
            teams::OtherMembers { owners: 0, .. } => left_alone.push(format!("`{name}`")),
            teams::OtherMembers { .. } => {}
        }
    }
    if !left_alone.is_empty() {
        let detail = format!(
            "You are the last owner of {}, which has other members. Make another member an owner, or delete it, \
            first.",
            left_alone.join(", ")
        );
        return Err(ApiError::with(ProblemCode::Conflict, detail));
    }
    for team in &teams {
        let mut team = TeamTx::bypassing_rls(tx, *team, Bypass::LeavingAll);
        if let Some(member) = members::get(&mut team, user.id).await? {
            let entry = audit::Entry::new("member.leave", "user", user.id)
                .details(json!({ "reason": "the account was deleted" }))
                .before(json!({ "role": member.member.role }));
            audit::record_in_team(&mut team, &state.ambient, caller.actor(), entry).await?;
        }
        tx = team.into_system();
    }
    users::delete(&mut tx, user.id, now).await?;
    for team in &teams {
        let mut of_team = TeamTx::bypassing_rls(tx, *team, Bypass::LeavingAll);
        token_makers::revoke_uncovered(&mut of_team, &state.ambient, caller.actor(), now).await?;
        tx = of_team.into_system();
    }
    let entry = audit::Entry::new("user.delete", "user", user.id);
    audit::record_for_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    for team_id in teams {
        announcements.access_changed(team_id);
    }
    announcements.commit(tx, &state).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a team that nobody else is in, with its runs and schedules.
async fn delete_team(
    state: &AppState,
    tx: Tx,
    caller: Caller,
    (team, name): (TeamId, String),
    now: Timestamp,
) -> ApiResult<(Tx, Announcements)> {
    let mut tx = TeamTx::bypassing_rls(tx, team, Bypass::LeavingAll);
    let ended = removed::cancel_runs(&mut tx, now, DeletedScope::Team).await?;
    teams::delete(&mut tx, now).await?;
    let entry = audit::Entry::new("team.delete", "team", team).before(json!({ "name": name }));
    audit::record_in_team(&mut tx, &state.ambient, caller.actor(), entry).await?;
    Ok((tx.into_system(), ended))
}
