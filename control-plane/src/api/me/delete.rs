//! `DELETE /v1/me`

use axum::{extract::State, http::StatusCode};
use restroy_run_queue::wake::Wake;
use restroy_sdk::{api::account::Proof, ids::TeamId, problem::ProblemCode, time::Timestamp};

use super::proof;
use crate::{
    api::http::Body,
    auth::{Attempt, Caller},
    error::{ApiError, ApiResult},
    runs::removed::{self, Ended, Removed},
    state::AppState,
    store::{TeamTx, Tx, audit, teams, users},
};

/// Deletes the account: it cannot sign in any more, its sessions and API tokens end, it leaves its teams, and teams
/// without anybody else are deleted. Name and address go 30 days later. 409 while another team would be left without
/// an owner.
#[utoipa::path(
    delete, path = "/v1/me", tag = "me", request_body = Proof,
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete_me(
    State(state): State<AppState>,
    caller: Caller,
    attempt: Attempt,
    Body(body): Body<Proof>,
) -> ApiResult<StatusCode> {
    let user = proof::prove(&state, caller, &attempt, body.password).await?;
    let now = state.ambient.now();
    let mut tx = proof::go_on(&state, caller, &user, now).await?;
    let mut left_alone = Vec::new();
    let mut ended = Vec::new();
    for (team, name) in teams::owned_by(&mut tx, user.id).await? {
        // One owner of a team leaves after the other.
        teams::lock(&mut tx, team).await?;
        match teams::others(&mut tx, team, user.id).await? {
            teams::Others { people: 0, .. } => {
                let (back, stopped) = delete_team(&state, tx, caller, team, now).await?;
                tx = back;
                ended.push(stopped);
            }
            teams::Others { owners: 0, .. } => left_alone.push(format!("`{name}`")),
            teams::Others { .. } => {}
        }
    }
    if !left_alone.is_empty() {
        let detail = format!(
            "You are the last owner of {}, which others are in: make somebody else an owner, or delete it, first.",
            left_alone.join(", ")
        );
        return Err(ApiError::with(ProblemCode::Conflict, detail));
    }
    let left = teams::ids_of_user(&mut tx, user.id).await?;
    users::delete(&mut tx, user.id, now).await?;
    let entry = audit::Entry::new("user.delete", "user", user.id);
    audit::of_user(&mut tx, &state.ambient, caller.actor(), entry).await?;
    tx.commit().await?;
    for ended in ended {
        ended.announce(&state);
    }
    for team_id in left {
        state.wake.send(Wake::Access { team_id });
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a team that nobody else is in, with its runs and schedules.
async fn delete_team(state: &AppState, tx: Tx, caller: Caller, team: TeamId, now: Timestamp) -> ApiResult<(Tx, Ended)> {
    let mut tx = TeamTx::unwalled(tx, team);
    let ended = removed::cancel_runs(&mut tx, now, Removed::Team).await?;
    teams::delete(&mut tx, now).await?;
    audit::in_team(&mut tx, &state.ambient, caller.actor(), audit::Entry::new("team.delete", "team", team)).await?;
    Ok((tx.leave(), ended))
}
